"""Status, one peer, the log, signing in and out, and the static files."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from skerry_node.portal import words
from skerry_node.portal.agent import Said
from skerry_node.portal.site import COOKIE, SITE, Denied, fields, page, see, sentence, session_of
from skerry_web import files

SESSION_SECONDS = 7 * 24 * 3600
_FILES = {**files.SHARED, **files.load("skerry_node.portal", "live.js")}
_OWN = re.compile(r"/[a-z]*(\?[A-Za-z0-9._~%=&:+-]*)?")


async def shown(request: web.Request) -> dict[str, Any]:
    """The agent's status."""
    document: dict[str, Any] = await request.app[SITE].agent.call("status", session=session_of(request))
    return document


async def static(request: web.Request) -> web.StreamResponse:
    """A file; it says nothing about the board."""
    name = request.match_info["name"]
    if name not in _FILES:
        raise Denied(404, "There is no such file.")
    content, kind = _FILES[name]
    return web.Response(body=content, content_type=kind, charset="utf-8", headers={"Cache-Control": "max-age=300"})


async def sign_in(request: web.Request) -> web.StreamResponse:
    """The board's code becomes a session."""
    form = await fields(request, "code", "next")
    target = form["next"] if _OWN.fullmatch(form["next"]) else "/"
    try:
        opened = await request.app[SITE].agent.call("sign-in", code=form["code"][:200], source=request.remote or "")
    except Said as said:
        return page(request, "sign_in.html", 429 if said.wait else 403, text=sentence(str(said)), next=target)
    response = see(target)
    response.set_cookie(COOKIE, opened["session"], max_age=SESSION_SECONDS, httponly=True, samesite="Strict")
    return response


async def sign_out(request: web.Request) -> web.StreamResponse:
    """The session ends at the agent, not only in the browser."""
    await request.app[SITE].agent.call("sign-out", session=session_of(request))
    response = see("/")
    response.del_cookie(COOKIE, httponly=True, samesite="Strict")
    return response


async def status(request: web.Request) -> web.StreamResponse:
    """Am I connected, to whom and how; a board that is no member is enrolled first."""
    document = await shown(request)
    if document["state"] == "NeedsLogin":
        return see("/enrol")
    rows = sorted(document["peers"], key=lambda row: (not row["online"], row["name"]))
    return page(request, "status.html", signed_in=True, shown=document, peers=rows, headline=words.headline(document))


async def peer(request: web.Request) -> web.StreamResponse:
    """How one peer is reached, and why so."""
    document = await shown(request)
    name = request.match_info["name"]
    row = next((each for each in document["peers"] if each["name"] == name), None)
    if row is None:
        raise Denied(404, f"There is no device {name[:63]} in the network any more.")
    why = await request.app[SITE].agent.call("why", session=session_of(request), peer=row["key"])
    return page(request, "peer.html", signed_in=True, peer=row, lines=why["lines"])


async def network(request: web.Request) -> web.StreamResponse:
    """Uplinks, addresses, DNS."""
    answer = await request.app[SITE].agent.call("network", session=session_of(request))
    return page(request, "network.html", signed_in=True, net=answer)


async def check(request: web.Request) -> web.StreamResponse:
    """What this board depends on, each with a verdict; measured at every visit."""
    answer = await request.app[SITE].agent.call("doctor", session=session_of(request))
    looks = {"found": answer, "looks": words.VERDICTS, "titles": words.CHECKS}
    return page(request, "check.html", signed_in=True, shown=await shown(request), **looks)


async def log(request: web.Request) -> web.StreamResponse:
    """What the agent said lately, the newest first."""
    answer = await request.app[SITE].agent.call("log", session=session_of(request))
    return page(request, "log.html", signed_in=True, lines=list(reversed(answer["lines"])))
