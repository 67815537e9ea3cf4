"""What the console's handlers work with: the gateway's parts, the session of a request, pages and refusals."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from skerry_gateway import admin
from skerry_gateway.control import Coordinator
from skerry_gateway.identity import Identity
from skerry_gateway.serve.address import Url
from skerry_gateway.store import Node, User
from skerry_gateway.web.render import render

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
NEXT_COOKIE = "skerry-next"
WAITING_PATH = re.compile(r"/(register|ssh)/[A-Za-z0-9_-]{1,100}")
SECURE_COOKIE, PLAIN_COOKIE = "__Host-skerry", "skerry-plain"


@dataclass
class Context:
    """`decide(token, user, allow)` answers a device that asks to join, LocalError when it is too late; `turn()` sends what a verb changed.
    `address` is what nodes are given; `own_certificate`: the owner gave certificate files."""

    url: Url
    coordinator: Coordinator
    address: str
    turn: Callable[[], None]
    decide: Callable[[str, User, bool], Node | None]
    now: Callable[[], int]
    own_certificate: bool = False
    hosts: frozenset[str] = field(init=False)
    open_paths: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.hosts = frozenset({self.url.host, *LOCAL_HOSTS})

    @property
    def identity(self) -> Identity:
        return self.coordinator.identity

    def call(self, user: User, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """An admin verb with the rights of that user. LocalError for what cannot be done."""
        try:
            return admin.call(self.coordinator, verb, arguments, self.now(), user)
        finally:
            self.turn()

    def wall(self) -> int:
        return self.coordinator.wall(self.now())

    def is_open(self, request: web.Request) -> bool:
        """Routes that say nothing a stranger may not know, and that machines ask by whatever name they have for us."""
        return route_of(request) in self.open_paths

    def secure(self, request: web.Request) -> bool:
        """Whether the browser speaks TLS, to us or to a proxy that serves our https URL."""
        return request.secure or (self.url.secure and request.host == self.url.authority)

    def strict_transport(self, request: web.Request) -> bool:
        return self.own_certificate and self.url.address is None and self.url.public() and self.secure(request)

    def cookie(self, request: web.Request) -> str:
        return SECURE_COOKIE if self.secure(request) else PLAIN_COOKIE

    def user_of(self, request: web.Request) -> User | None:
        token = request.cookies.get(self.cookie(request))
        return self.identity.session(token, self.wall()) if token else None

    def page(self, request: web.Request, template: str, status: int = 200, **values: Any) -> web.Response:
        given = {"user": request.get(USER), "path": request.path, "url": str(self.url), "address": self.address, "now": self.wall()}
        return web.Response(text=render(template, {**given, **values}), status=status, content_type="text/html")

    def refusal(self, request: web.Request, status: int, text: str) -> web.StreamResponse:
        """An error as the asker can read it; who is not signed in is told how to, and finds the way back to a device that waits."""
        if request.path.startswith("/api/"):
            return web.json_response({"error": text}, status=status)
        if status != 401:
            return self.page(request, "refusal.html", status, text=text)
        response = self.page(request, "sign_in.html", status, name="", broken=False)
        if WAITING_PATH.fullmatch(request.path):
            response.set_cookie(NEXT_COOKIE, request.path, max_age=600, httponly=True, samesite="Lax")
        return response


def route_of(request: web.Request) -> str:
    """The pattern of the route, for the log: a path itself may hold a token. "" when there is none."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


CONTEXT: web.AppKey[Context] = web.AppKey("context", Context)
# request[USER]: the signed-in User or None; older aiohttp knows plain names only
USER: Any = web.RequestKey("user", object) if hasattr(web, "RequestKey") else "user"
