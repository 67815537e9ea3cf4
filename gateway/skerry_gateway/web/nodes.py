"""Nodes: the table, one node, and what can be done to it. Expiring and removing are asked twice by being on a page of their own."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from skerry_gateway.web import forms
from skerry_gateway.web.guard import Denied
from skerry_gateway.web.pages import parts, see
from skerry_gateway.web.states import shown

PAIRS = 50  # others on a node's page


async def listing(request: web.Request) -> web.StreamResponse:
    context, user = parts(request)
    found = [shown(node, context.wall()) for node in context.call(user, "nodes list", {})["nodes"]]
    return context.page(request, "nodes.html", nodes=sorted(found, key=lambda node: (node["state"] != "waiting", node["name"])))


async def one(request: web.Request) -> web.StreamResponse:
    context, _ = parts(request)
    node = _find(request, forms.number(request))
    return context.page(request, "node.html", node=node, pairs=_pairs(request, node))


def _pairs(request: web.Request, node: dict[str, Any]) -> list[dict[str, Any]]:
    """What the NATs say of this node and each of the viewer's others, those online before all, the impossible first."""
    context, user = parts(request)
    others = [each for each in context.call(user, "nodes list", {})["nodes"] if each["id"] != node["id"]]
    others.sort(key=lambda each: not each["online"])
    found = [context.call(user, "nodes why", {"node": node["id"], "other": each["id"]}) for each in others[:PAIRS]]
    return sorted(found, key=lambda pair: (pair["possible"] is not False, pair["possible"] is not None, pair["nodes"][1]["name"]))


async def approve(request: web.Request) -> web.StreamResponse:
    await forms.read(request)
    _call(request, "nodes approve")
    return see("/nodes")


async def rename(request: web.Request) -> web.StreamResponse:
    form = await forms.read(request, "name")
    _call(request, "nodes rename", name=form["name"])
    return see(f"/nodes/{forms.number(request)}")


async def expire(request: web.Request) -> web.StreamResponse:
    await forms.read(request)
    _call(request, "nodes expire")
    return see(f"/nodes/{forms.number(request)}")


async def remove(request: web.Request) -> web.StreamResponse:
    await forms.read(request)
    _call(request, "nodes remove")
    return see("/nodes")


def _find(request: web.Request, number: int) -> dict[str, Any]:
    context, user = parts(request)
    for node in context.call(user, "nodes list", {})["nodes"]:
        if node["id"] == number:
            return shown(node, context.wall())
    raise Denied(404, f"There is no node {number}.")


def _call(request: web.Request, verb: str, **arguments: Any) -> Any:
    context, user = parts(request)
    number = forms.number(request)
    _find(request, number)
    return context.call(user, verb, {"node": number, **arguments})
