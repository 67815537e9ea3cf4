"""The overview, signing in and out, and the page that lets a device in."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from skerry_gateway.store import User
from skerry_gateway.web import forms
from skerry_gateway.web.context import CONTEXT, NEXT_COOKIE, USER, WAITING_PATH, Context
from skerry_gateway.web.guard import Denied
from skerry_gateway.web.states import shown

SESSION_SECONDS = 12 * 3600
DEFAULT_BOARD = "skerry.local:8081"
_BOARD = re.compile(r"([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:]{2,39}\])(:[0-9]{1,5})?")


def parts(request: web.Request) -> tuple[Context, User]:
    """The context and the signed-in user of a route that needs one."""
    return request.app[CONTEXT], request[USER]


def see(path: str) -> web.Response:
    """303: what follows a form that changed something."""
    return web.Response(status=303, headers={"Location": path})


async def overview(request: web.Request) -> web.StreamResponse:
    context, user = parts(request)
    found = context.call(user, "nodes list", {})
    nodes = [shown(node, context.wall()) for node in found["nodes"]]
    waiting = [node for node in nodes if node["state"] == "waiting"]
    return context.page(request, "overview.html", nodes=nodes, waiting=waiting, pending=found["pending"], sentence=sentence(nodes))


def sentence(nodes: list[dict[str, Any]]) -> str:
    """Is it all right? in one sentence."""
    if not nodes:
        return "There are no nodes yet."
    count = {state: sum(node["state"] == state for node in nodes) for state in ("online", "waiting", "expired", "offline")}
    if count["online"] == len(nodes):
        return {1: "The only node is online.", 2: "Both nodes are online."}.get(len(nodes), f"All {len(nodes)} nodes are online.")
    words = [f"{count['online']} of {len(nodes)} nodes online"]
    words += [f"{count[state]} {word}" for state, word in (("waiting", "waiting for approval"), ("expired", "expired")) if count[state]]
    return ", ".join(words) + "."


async def sign_in_help(request: web.Request) -> web.StreamResponse:
    return request.app[CONTEXT].page(request, "sign_in.html", name="", broken=False)


async def sign_in_page(request: web.Request) -> web.StreamResponse:
    """Shows whose link it is and burns nothing: mail and chat programs open links to preview them."""
    context = request.app[CONTEXT]
    user = context.identity.peek_link(request.match_info["token"], context.wall())
    return context.page(request, "sign_in.html", 200 if user else 404, name=user.name if user else "", broken=user is None)


async def sign_in(request: web.Request) -> web.StreamResponse:
    context = request.app[CONTEXT]
    await forms.read(request)
    opened = context.identity.sign_in(request.match_info["token"], context.wall())
    if opened is None:
        return context.page(request, "sign_in.html", 404, name="", broken=True)
    old = request.cookies.get(context.cookie(request))
    if old:
        context.identity.sign_out(old)
    target = request.cookies.get(NEXT_COOKIE, "")
    response = see(target if WAITING_PATH.fullmatch(target) else "/")
    if target:
        response.del_cookie(NEXT_COOKIE)
    secure = context.secure(request)
    response.set_cookie(context.cookie(request), opened[0], max_age=SESSION_SECONDS, secure=secure, httponly=True, samesite="Lax")
    return response


async def sign_out(request: web.Request) -> web.StreamResponse:
    context = request.app[CONTEXT]
    await forms.read(request)
    token = request.cookies.get(context.cookie(request))
    if token:
        context.identity.sign_out(token)
    response = see("/sign-in")
    response.del_cookie(context.cookie(request), secure=context.secure(request), httponly=True, samesite="Lax")
    return response


async def connect(request: web.Request) -> web.StreamResponse:
    """A link and QR that open a board's portal with this gateway filled in; the board's address is the visitor's to say."""
    context, _ = parts(request)
    board = request.query.get("board", DEFAULT_BOARD).strip().removeprefix("http://").rstrip("/")
    if not _BOARD.fullmatch(board):
        raise Denied(400, "A board's address is a name or an IP address, perhaps with a port, such as camera-1.local:8081.")
    return context.page(request, "connect.html", board=board, link=f"http://{board}/connect?{urlencode({'gateway': context.address})}")


async def register_page(request: web.Request) -> web.StreamResponse:
    """Nothing happens until the button is pressed; what asks and its code are there to be compared with the device's."""
    context = request.app[CONTEXT]
    pending = context.coordinator.pending(request.match_info["id"], context.now())
    if pending is None:
        raise Denied(404, "This sign-in is no longer open. Start it again on the device.")
    here = f"{context.url}/register/{request.match_info['id']}"
    return context.page(request, "register.html", pending=pending, here=here)


async def register(request: web.Request) -> web.StreamResponse:
    context, user = parts(request)
    form = await forms.read(request, "answer")
    if form["answer"] not in {"approve", "deny"}:
        raise Denied(400, "The form needs an answer: approve or deny.")
    return context.page(request, "registered.html", node=context.decide(request.match_info["id"], user, form["answer"] == "approve"))
