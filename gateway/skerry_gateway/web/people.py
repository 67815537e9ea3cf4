"""Users: the table, a new user, and a sign-in link for one, which is shown once."""

from __future__ import annotations

from aiohttp import web

from skerry_gateway.web import forms
from skerry_gateway.web.pages import parts


async def listing(request: web.Request) -> web.StreamResponse:
    context, user = parts(request)
    return context.page(request, "users.html", users=context.call(user, "users list", {})["users"])


async def create(request: web.Request) -> web.StreamResponse:
    """A new user can do nothing without a link, so the answer is one."""
    context, user = parts(request)
    form = await forms.read(request, "name", "role")
    made = context.call(user, "users create", {"name": form["name"], "role": form["role"] or "member"})["user"]
    return context.page(request, "link.html", link=context.call(user, "users link", {"name": made["name"]}), name=made["name"])


async def link(request: web.Request) -> web.StreamResponse:
    context, user = parts(request)
    await forms.read(request)
    name = request.match_info["name"]
    return context.page(request, "link.html", link=context.call(user, "users link", {"name": name}), name=name)
