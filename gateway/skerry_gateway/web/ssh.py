"""The page on which a person lets an SSH login in that the policy wants confirmed."""

from __future__ import annotations

from aiohttp import web

from skerry_gateway.web import forms
from skerry_gateway.web.guard import Denied
from skerry_gateway.web.pages import parts


async def page(request: web.Request) -> web.StreamResponse:
    """Nothing happens until a button is pressed."""
    context, user = parts(request)
    login = context.coordinator.ssh_login(request.match_info["token"], user.id, context.now())
    return context.page(request, "ssh.html", login=login)


async def decide(request: web.Request) -> web.StreamResponse:
    context, user = parts(request)
    form = await forms.read(request, "answer")
    if form["answer"] not in {"approve", "deny"}:
        raise Denied(400, "The form needs an answer: approve or deny.")
    token, approve = request.match_info["token"], form["answer"] == "approve"
    try:
        login = context.coordinator.decide_ssh(token, user.id, approve, context.now())
    finally:
        context.turn()
    return context.page(request, "ssh_decided.html", login=login, approved=approve)
