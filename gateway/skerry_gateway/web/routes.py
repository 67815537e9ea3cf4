"""Routes: what nodes offer to carry, and the buttons that let them."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from skerry_gateway.admin.tables import route_state
from skerry_gateway.web import forms
from skerry_gateway.web.pages import parts, see


async def listing(request: web.Request) -> web.StreamResponse:
    context, user = parts(request)
    found = context.call(user, "routes list", {})["routes"]
    return context.page(request, "routes.html", routes=[{**row, "state": route_state(row)} for row in found])


async def approve(request: web.Request) -> web.StreamResponse:
    return await _change(request, "routes approve")


async def withdraw(request: web.Request) -> web.StreamResponse:
    return await _change(request, "routes withdraw")


async def _change(request: web.Request, verb: str) -> web.StreamResponse:
    context, user = parts(request)
    form = await forms.read(request, "route")
    arguments: dict[str, Any] = {"node": forms.number(request), "routes": [form["route"]]}
    context.call(user, verb, arguments)
    return see("/routes")
