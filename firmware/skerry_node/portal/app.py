"""The portal's application: `ROUTES` is every address it has, who may call it and which fields its form has."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from skerry_node.portal import data, enrol, live, pages
from skerry_node.portal.site import FORMS, SITE, Handler, Site, guard, signed_in

MAX_BODY = 64 * 1024


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    handler: Handler
    anyone: bool = False
    form: tuple[str, ...] = ()


ROUTES = (
    Route("GET", "/static/{name}", pages.static, anyone=True),
    Route("POST", "/sign-in", pages.sign_in, anyone=True),
    Route("GET", "/connect", enrol.connect, anyone=True),
    Route("POST", "/sign-out", pages.sign_out),
    Route("GET", "/", pages.status),
    Route("GET", "/peers/{name}", pages.peer),
    Route("GET", "/network", pages.network),
    Route("GET", "/data", data.page_of_data),
    Route("GET", "/check", pages.check),
    Route("GET", "/log", pages.log),
    Route("GET", "/live", live.live),
    Route("GET", "/enrol", enrol.form),
    Route("POST", "/enrol", enrol.send, form=("gateway", "key", "hostname")),
    Route("POST", "/cancel", enrol.cancel),
    Route("POST", "/connect", enrol.come_back),
    Route("POST", "/disconnect", enrol.go_down),
    Route("GET", "/leave", enrol.leave_page),
    Route("POST", "/leave", enrol.leave, form=("sure",)),
)


def make_app(site: Site) -> web.Application:
    app = web.Application(middlewares=[guard], client_max_size=MAX_BODY)
    app[SITE] = site
    app[FORMS] = {route.path: route.form for route in ROUTES if route.method == "POST"}
    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.handler if route.anyone else signed_in(route.handler))
    return app
