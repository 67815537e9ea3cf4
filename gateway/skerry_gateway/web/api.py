"""JSON under /api/v1, for the session of the browser: `live`, what the pages keep current, and `call`, the verbs of the command line.

POST /api/v1/call   {"verb": "nodes list", "arguments": {}}  ->  {"result": ...} or {"error": "sentence"} with 400, 401 or 403
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from skerry_gateway.web.guard import Denied
from skerry_gateway.web.pages import parts, sentence
from skerry_gateway.web.states import shown

_LIVE = ("id", "state", "word", "seen")


async def live(request: web.Request) -> web.StreamResponse:
    context, user = parts(request)
    found = [shown(node, context.wall()) for node in context.call(user, "nodes list", {})["nodes"]]
    nodes = [{name: node[name] for name in _LIVE} for node in found]
    return web.json_response({"nodes": nodes, "sentence": sentence(found)})


async def call(request: web.Request) -> web.StreamResponse:
    context, user = parts(request)
    verb, arguments = await _read(request)
    return web.json_response({"result": context.call(user, verb, arguments)})


async def _read(request: web.Request) -> tuple[str, dict[str, Any]]:
    if request.content_type != "application/json":
        raise Denied(415, "Send application/json.")
    try:
        sent = json.loads(await request.read())
        verb, arguments = sent["verb"], sent.get("arguments", {})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Denied(400, 'Expected {"verb": NAME, "arguments": {...}}.') from None
    if not isinstance(verb, str) or not isinstance(arguments, dict):
        raise Denied(400, "verb must be a string and arguments an object.")
    return verb, arguments
