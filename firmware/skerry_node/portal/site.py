"""What every request passes before a handler sees it, and what every answer carries.

Order: exactly one Host header, and one of ours (421); for unsafe methods proof that our own page sent them (403); for signed-in pages a
session that the agent knows, and for their forms the session's token (403, `form_token`).

A Host that is an IP address is taken as it is: a name that was rebound to us says its name. Names are the board's as the agent tells
them, `.local` after the host's own, and those of --host.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from skerry_node.portal.agent import Agent, Away, Said
from skerry_web import headers
from skerry_web.words import environment

log = logging.getLogger(__name__)
COOKIE = "skerry-portal"
HEADERS = {name: value for name, value in headers.HEADERS.items() if name != "Cross-Origin-Opener-Policy"}  # of no effect without TLS
SECONDS, NAMES_LAST = 90, 30
SAFE = {"GET", "HEAD"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_templates = environment("skerry_node.portal")


class Denied(Exception):
    """An answer instead of a page: `status`, and a sentence that says what to do."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


@dataclass
class Site:
    """The agent, names that are ours besides the agent's, and how busy we are: `used` (monotonic s), `open` requests, live `streams`."""

    agent: Agent
    hosts: frozenset[str] = frozenset()
    used: float = field(default_factory=time.monotonic)
    open: int = 0
    streams: int = 0
    _names: tuple[float, frozenset[str]] = (-1e9, frozenset())

    async def names(self) -> frozenset[str]:
        """Every name a browser may call us by."""
        asked, names = self._names
        if time.monotonic() - asked > NAMES_LAST:
            front = await self.agent.call("front")
            host, name = str(front["hostname"]), str(front["name"])
            names = frozenset(each.lower() for each in (host, f"{host}.local", name, name.partition(".")[0]) if each)
            self._names = (time.monotonic(), names)
        return names | self.hosts | {"localhost"}


SITE: web.AppKey[Site] = web.AppKey("site", Site)


def session_of(request: web.Request) -> str:
    """The session's token, "" when there is none."""
    return request.cookies.get(COOKIE, "")[:128]


def form_token(session: str) -> str:
    """What each form of a session carries: nobody else can make it, and it does not tell the session."""
    return hmac.new(session.encode(), b"skerry portal form", hashlib.sha256).hexdigest()


def page(request: web.Request, template: str, status: int = 200, **values: Any) -> web.Response:
    """A page of ours."""
    session = session_of(request)
    given = {"path": request.path, "token": form_token(session), "signed_in": False, "now": time.time_ns() // 1_000_000}
    return web.Response(text=_templates.get_template(template).render({**given, **values}), status=status, content_type="text/html")


def see(path: str) -> web.Response:
    """303: what follows a form."""
    return web.Response(status=303, headers={"Location": path})


async def fields(request: web.Request, *names: str) -> dict[str, str]:
    """The named fields of a form, "" for those that are missing; anything else is refused."""
    if request.content_type not in {"application/x-www-form-urlencoded", "application/octet-stream"}:
        raise Denied(415, "Send the form as application/x-www-form-urlencoded.")
    sent = await request.post()
    if set(sent) - {*names, "token"} or len(sent) != len(set(sent)):
        raise Denied(400, "The form has fields this page does not know. Open the page again.")
    values = dict.fromkeys(names, "")
    for name, value in sent.items():
        if not isinstance(value, str) or "\0" in value:
            raise Denied(400, f"The field {name} must be text.")
        values[name] = value.strip()
    return values


def signed_in(handler: Handler) -> Handler:
    """A page for who has a session; the agent decides whether it lives. A form must carry its token."""

    async def handle(request: web.Request) -> web.StreamResponse:
        session = session_of(request)
        if not session:
            raise Said(401, "")
        if request.method not in SAFE:
            values = await fields(request, *request.app[FORMS].get(request.path, ()))
            sent = str((await request.post()).get("token", ""))
            if not hmac.compare_digest(sent.encode(), form_token(session).encode()):
                raise Denied(403, "This form is from an earlier session. Open the page again and repeat what you did.")
            request["form"] = values
        return await handler(request)

    return handle


FORMS: web.AppKey[dict[str, tuple[str, ...]]] = web.AppKey("forms", dict)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    site = request.app[SITE]
    site.open += 1
    try:
        response = await _answer(site, request, handler)
    finally:
        site.open -= 1
        site.used = time.monotonic()
    if not response.prepared:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Referrer-Policy", "same-origin")
        response.headers.setdefault("Cache-Control", "no-store")
    return response


async def _answer(site: Site, request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        if request.path == "/live":
            await _admit(site, request)
            return await handler(request)
        async with asyncio.timeout(SECONDS):
            await _admit(site, request)
            return await handler(request)
    except Denied as denied:
        return page(request, "refusal.html", denied.status, text=denied.text)
    except Said as said:
        if said.status == 401:
            return page(request, "sign_in.html", 401, text="", next=request.path_qs if request.method in SAFE else "/")
        return page(request, "refusal.html", said.status, text=sentence(str(said)))
    except Away:
        text = "The Skerry node on this board does not answer. It may be starting: wait a moment, then load the page again. "
        return page(request, "refusal.html", 503, text=text + "If that does not help, run: sudo systemctl restart skerryd")
    except TimeoutError:
        return page(request, "refusal.html", 504, text="That took too long. Load the page again to see how far it is.")
    except web.HTTPException as error:
        if error.status < 400:
            return error
        return page(request, "refusal.html", error.status, text=_REASONS.get(error.status, error.reason))
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return page(request, "refusal.html", 500, text="The portal made a mistake; its log says more: journalctl -u skerry-portal")


_REASONS = {404: "There is no such page.", 405: "This address does not do that.", 413: "That is more than this page takes."}


async def _admit(site: Site, request: web.Request) -> None:
    if len(request.headers.getall("Host", [])) != 1:
        raise Denied(400, "A request needs exactly one Host header.")
    host = host_of(request.headers["Host"])
    if not is_address(host) and host not in await site.names():
        raise Denied(421, f"This board is not known as {host[:80]}. Use its address, or its name with .local after it.")
    if request.method not in SAFE:
        _same_origin(request)


def _same_origin(request: web.Request) -> None:
    told = request.headers.get("Sec-Fetch-Site")
    good = told == "same-origin" if told is not None else request.headers.get("Origin") == f"http://{request.headers['Host']}"
    if not good:
        raise Denied(403, "Another site sent this form. Open the board's own page and try again.")


def host_of(header: str) -> str:
    """The name in a Host header, without port, in lower case; "" when it is none."""
    try:
        return (urlsplit("//" + header).hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def sentence(text: str) -> str:
    """As a sentence: a capital first, a full stop last."""
    text = text.strip() or "The board refused that."
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
