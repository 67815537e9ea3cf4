"""The HTTP application: `ROUTES` is every address it has and who may call it; nothing is registered elsewhere.

`who`: "open" (machines, any Host), "anyone" (a page of ours without a session), "user" (any living session), "admin" (an owner or
administrator). What a user may do to whose nodes is decided by the admin verbs, not here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from skerry_gateway.web import api, dns, keys, nodes, pages, people, probes, routes, ssh
from skerry_gateway.web.context import CONTEXT, USER, Context
from skerry_gateway.web.guard import Denied, guard

MAX_BODY = 64 * 1024
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    handler: Handler
    who: str


ROUTES = (
    Route("GET", "/key", probes.key, "open"),
    Route("GET", "/derp/probe", probes.empty, "open"),
    Route("GET", "/derp/latency-check", probes.empty, "open"),
    Route("GET", "/generate_204", probes.generate_204, "open"),
    Route("GET", "/healthz", probes.health, "open"),
    Route("GET", "/static/{name}", probes.static, "anyone"),
    Route("GET", "/sign-in", pages.sign_in_help, "anyone"),
    Route("GET", "/sign-in/{token}", pages.sign_in_page, "anyone"),
    Route("POST", "/sign-in/{token}", pages.sign_in, "anyone"),
    Route("POST", "/sign-out", pages.sign_out, "anyone"),
    Route("GET", "/", pages.overview, "user"),
    Route("GET", "/connect", pages.connect, "user"),
    Route("GET", "/register/{id}", pages.register_page, "user"),
    Route("POST", "/register/{id}", pages.register, "user"),
    Route("GET", "/ssh/{token}", ssh.page, "user"),
    Route("POST", "/ssh/{token}", ssh.decide, "user"),
    Route("GET", "/nodes", nodes.listing, "user"),
    Route("GET", "/nodes/{id}", nodes.one, "user"),
    Route("POST", "/nodes/{id}/approve", nodes.approve, "admin"),
    Route("POST", "/nodes/{id}/rename", nodes.rename, "user"),
    Route("POST", "/nodes/{id}/expire", nodes.expire, "user"),
    Route("POST", "/nodes/{id}/remove", nodes.remove, "user"),
    Route("GET", "/routes", routes.listing, "user"),
    Route("POST", "/nodes/{id}/routes/approve", routes.approve, "admin"),
    Route("POST", "/nodes/{id}/routes/withdraw", routes.withdraw, "admin"),
    Route("GET", "/keys", keys.listing, "user"),
    Route("POST", "/keys", keys.create, "user"),
    Route("POST", "/keys/{id}/revoke", keys.revoke, "user"),
    Route("GET", "/users", people.listing, "admin"),
    Route("POST", "/users", people.create, "admin"),
    Route("POST", "/users/{name}/link", people.link, "admin"),
    Route("GET", "/dns", dns.show, "admin"),
    Route("POST", "/dns", dns.change, "admin"),
    Route("GET", "/api/v1/live", api.live, "user"),
    Route("POST", "/api/v1/call", api.call, "user"),
)


def make_app(context: Context) -> web.Application:
    app = web.Application(middlewares=[guard], client_max_size=MAX_BODY)
    app[CONTEXT] = context
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _for(route))
        if route.method == "GET" and route.who == "open":
            app.router.add_route("HEAD", route.path, _for(route))
    context.open_paths = frozenset(route.path for route in ROUTES if route.who == "open")
    return app


def _for(route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        if route.who in {"user", "admin"}:
            _require(request, route.who)
        return await route.handler(request)

    return handle


def _require(request: web.Request, who: str) -> None:
    user: Any = request.get(USER)
    if user is None:
        raise Denied(401, "Sign in first.")
    if who == "admin" and user.role not in {"owner", "admin"}:
        raise Denied(403, "Only an administrator of the network can do that.")
