"""What machines ask: the control key, probes of the relay and of captive portals, and the few static files."""

from __future__ import annotations

import re

from aiohttp import web

from skerry_gateway.web.context import CONTEXT
from skerry_gateway.web.guard import Denied
from skerry_web import files

_FILES = {**files.SHARED, **files.load("skerry_gateway.web", "live.js")}
_CHALLENGE = re.compile(r"[A-Za-z0-9._:-]{1,64}")


async def key(request: web.Request) -> web.Response:
    """The key of the control protocol; a client asks with ?v=<its version>, a person may do so without."""
    return web.json_response(request.app[CONTEXT].coordinator.key_json())


async def empty(request: web.Request) -> web.Response:
    """A relay's latency is measured by asking for nothing; from a browser too."""
    return web.Response(headers={"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"})


async def generate_204(request: web.Request) -> web.Response:
    """Captive portal detection: an answer that a portal cannot know beforehand."""
    challenge = request.headers.get("X-Tailscale-Challenge", "")
    answer = {"X-Tailscale-Response": f"response {challenge}"} if _CHALLENGE.fullmatch(challenge) else {}
    return web.Response(status=204, headers=answer)


async def health(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def static(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in _FILES:
        raise Denied(404, "There is no such file.")
    content, kind = _FILES[name]
    return web.Response(body=content, content_type=kind, charset="utf-8", headers={"Cache-Control": "max-age=300"})
