"""Pre-auth keys: the table, a form for a new one, which is shown once, and revoking."""

from __future__ import annotations

from aiohttp import web

from skerry_gateway.web import forms
from skerry_gateway.web.pages import parts, see

DEFAULT_EXPIRY = "90d"


async def listing(request: web.Request) -> web.StreamResponse:
    context, user = parts(request)
    users = [each["name"] for each in context.call(user, "users list", {})["users"]] if user.role != "member" else [user.name]
    found = context.call(user, "keys list", {})["keys"]
    return context.page(request, "keys.html", keys=found, users=users, expiry=DEFAULT_EXPIRY)


async def create(request: web.Request) -> web.StreamResponse:
    """The answer to the form is the only page that ever shows the key."""
    context, user = parts(request)
    form = await forms.read(request, "user", "reusable", "ephemeral", "tags", "expires")
    made = context.call(
        user,
        "keys create",
        {
            "user": form["user"] or user.name,
            "reusable": form["reusable"] == "on",
            "ephemeral": form["ephemeral"] == "on",
            "tags": form["tags"].replace(",", " ").split(),
            "expires": form["expires"] or DEFAULT_EXPIRY,
        },
    )
    return context.page(request, "key.html", key=made)


async def revoke(request: web.Request) -> web.StreamResponse:
    context, user = parts(request)
    await forms.read(request)
    context.call(user, "keys revoke", {"id": forms.number(request)})
    return see("/keys")
