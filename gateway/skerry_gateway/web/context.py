"""What the console's handlers work with: the gateway's parts, the session of a request, pages and refusals."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from skerry_gateway.identity import Identity
from skerry_gateway.serve.address import Url
from skerry_gateway.store import User
from skerry_gateway.web.templates import render

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
SECURE_COOKIE, PLAIN_COOKIE = "__Host-skerry", "skerry-plain"


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Context:
    """`call(user, verb, arguments)` is the admin verbs with the rights of that user; LocalError for what cannot be done."""

    url: Url
    identity: Identity
    control_key: bytes
    call: Callable[[User, str, dict[str, Any]], Any]
    public_certificate: bool = False
    wall: Callable[[], int] = wall_ms
    hosts: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.hosts = frozenset({self.url.host, *LOCAL_HOSTS})

    def is_open(self, request: web.Request) -> bool:
        """Routes that say nothing a stranger may not know, and that machines ask by whatever name they have for us."""
        return request.match_info.route.name in OPEN_ROUTES

    def secure(self, request: web.Request) -> bool:
        """Whether the browser speaks TLS, to us or to a proxy that serves our https URL."""
        return request.secure or (self.url.secure and request.host == self.url.authority)

    def strict_transport(self, request: web.Request) -> bool:
        return self.public_certificate and self.url.address is None and self.url.public() and self.secure(request)

    def cookie(self, request: web.Request) -> str:
        return SECURE_COOKIE if self.secure(request) else PLAIN_COOKIE

    def user_of(self, request: web.Request) -> User | None:
        token = request.cookies.get(self.cookie(request))
        return self.identity.session(token, self.wall()) if token else None

    def page(self, request: web.Request, name: str, status: int = 200, **values: Any) -> web.Response:
        values = {"user": request.get(USER), "path": request.path, "url": str(self.url), "now": self.wall(), **values}
        return web.Response(text=render(name, values), status=status, content_type="text/html")

    def refusal(self, request: web.Request, status: int, text: str) -> web.Response:
        if request.path.startswith("/api/"):
            return web.json_response({"error": text}, status=status)
        return self.page(request, "refusal.html", status, text=text)


OPEN_ROUTES = {"key", "probe", "latency", "generate_204", "health"}
CONTEXT: web.AppKey[Context] = web.AppKey("context", Context)
USER = "user"  # request[USER]: the signed-in User or None
