"""What every request passes before a handler sees it, and what every answer carries.

Order: one Host header, and one of ours (421: pages of other names that resolve to us get nothing); the session; for unsafe methods
proof that our own page sent them (403); a limit of time. Public routes for machines (`/key`, probes) need no Host of ours.

Referrer-Policy is `no-referrer` where browsers tell the site of a request by Sec-Fetch-Site; over plain HTTP they do not, and with
`no-referrer` they would also hide the Origin of our own forms, so it is `same-origin` there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from sqlalchemy.exc import DBAPIError

from skerry_core.errors import LocalError
from skerry_gateway.web.context import CONTEXT, USER, Context, route_of
from skerry_web.headers import HEADERS

log = logging.getLogger(__name__)
SAFE = {"GET", "HEAD", "OPTIONS"}
SECONDS = 30
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Denied(Exception):
    """An answer instead of a page: `status`, and a sentence that says what to do."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    context = request.app[CONTEXT]
    try:
        async with asyncio.timeout(SECONDS):
            response = await _admit(context, request, handler)
    except Denied as denied:
        response = context.refusal(request, denied.status, denied.text)
    except DBAPIError as error:
        log.error("%s %s: the database refused: %s", request.method, route_of(request), error.orig)
        response = context.refusal(request, 503, "The gateway cannot store this now; its disk may be full or read-only.")
    except LocalError as error:
        response = context.refusal(request, 400, str(error))
    except TimeoutError:
        response = context.refusal(request, 408, "The request took too long.")
    except web.HTTPException as error:
        response = error if error.status < 400 else context.refusal(request, error.status, _REASONS.get(error.status, error.reason))
    except Exception:
        log.exception("%s %s failed", request.method, route_of(request))
        response = context.refusal(request, 500, "The gateway made a mistake; its log says more.")
    return _finish(context, request, response)


_REASONS = {404: "There is no such page.", 405: "This address does not do that.", 413: "That is more than this page takes."}


async def _admit(context: Context, request: web.Request, handler: Handler) -> web.StreamResponse:
    if len(request.headers.getall("Host", [])) != 1:
        raise Denied(400, "A request needs exactly one Host header.")
    if context.is_open(request):
        return await handler(request)
    host = _host(request.headers["Host"])
    if host not in context.hosts and host != _own_address(request):
        raise Denied(421, f"This gateway is not known as {request.headers['Host'][:80]}. It is at {context.url}.")
    request[USER] = context.user_of(request)
    if request.method not in SAFE:
        _same_origin(context, request)
    return await handler(request)


def _same_origin(context: Context, request: web.Request) -> None:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        good = site == "same-origin"
    else:
        good = request.headers.get("Origin") == f"{'https' if context.secure(request) else 'http'}://{request.headers['Host']}"
    if not good:
        raise Denied(403, "Another site sent this form. Open the gateway's own page and try again.")


def _host(header: str) -> str:
    try:
        return (urlsplit("//" + header).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _own_address(request: web.Request) -> str:
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return str(name[0]).partition("%")[0].removeprefix("::ffff:") if name else ""


def _finish(context: Context, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Referrer-Policy", "no-referrer" if context.secure(request) else "same-origin")
    response.headers.setdefault("Cache-Control", "no-store")
    if context.strict_transport(request):
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response
