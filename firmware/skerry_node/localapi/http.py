"""One HTTP/1.1 request on the local socket (RFC 9112), and the answer to it. One request a connection: the socket is near.

A body has at most BODY bytes. What a browser would send (Origin, Referer, Sec-Fetch-*) is
refused with 403, and so is a Host that is not ours: a web page that reaches this socket through some proxy must not
get past it. The head's syntax is `skerry_core.http1`'s.
"""

import json

from skerry_core.http1 import BodyParser, RequestHeadParser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BODY = 65536
HOSTS = ("local-tailscaled.sock", "local-skerryd.sock", "localhost", "")
REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    412: "Precondition Failed",
}
REASONS.update({413: "Content Too Large", 500: "Internal Server Error", 501: "Not Implemented", 503: "Service Unavailable"})


class Refusal(Exception):
    """The request gets this `status` and this sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Request:
    """`method`, `path`, `query` (first values, decoded), `body` (bytes), and who asks: `uid`, `gid`, `pid`."""

    def __init__(self, method: str, target: str, body: bytes) -> None:
        self.method = method
        path, _, query = target.partition("?")
        self.path = unquote(path)
        self.query: dict[str, str] = {}
        for part in query.split("&"):
            name, _, value = part.partition("=")
            if name:
                self.query.setdefault(unquote(name.replace("+", " ")), unquote(value.replace("+", " ")))
        self.body = body
        self.uid = self.gid = self.pid = -1

    def document(self) -> "dict[str, Any]":
        """The body as a JSON object; an empty body is an empty one."""
        if not self.body.strip():
            return {}
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            raise Refusal(400, "the request's body is not JSON") from None
        if not isinstance(document, dict):
            raise Refusal(400, "the request's body must be a JSON object")
        return document


class RequestParser:
    """`feed(data)` gives a Request once it is whole. Refusal or PeerError ends the connection."""

    def __init__(self) -> None:
        self._head = RequestHeadParser()
        self._found: tuple[str, str] | None = None
        self._body: BodyParser | None = None

    def feed(self, data: bytes) -> "Request | None":
        """Take any cut of bytes."""
        if self._found is None:
            head = self._head.feed(data)
            if head is None:
                return None
            method, target, headers, data = head
            check(headers)
            self._found = (method, target)
            if has_body(headers):
                self._body = BodyParser(headers, BODY)
        if self._body is None:
            return Request(*self._found, b"")
        done = self._body.feed(data)
        return None if done is None else Request(*self._found, done[0])


def check(headers: "dict[str, str]") -> None:
    """Refuse browsers and other hosts' names."""
    for name in headers:
        if name in ("origin", "referer") or name.startswith("sec-fetch"):
            raise Refusal(403, f"{name}: this API is not for browsers")
    if headers.get("host", "") not in HOSTS:
        raise Refusal(403, "the Host header names another host: expected local-tailscaled.sock")


def has_body(headers: "dict[str, str]") -> bool:
    """Whether a body follows; too long a one is refused here, before it is read."""
    length = headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and len(length) < 10 and int(length) > BODY:
        raise Refusal(413, f"a body of {int(length)} bytes: at most {BODY}")
    return "transfer-encoding" in headers or length != "0"


def unquote(text: str) -> str:
    """Percent-decoding; what is no escape stays. (urllib.parse is 1.8 MB.)"""
    if "%" not in text:
        return text
    first, *rest = text.split("%")
    out = bytearray(first.encode("latin-1", "replace"))
    for part in rest:
        try:
            out.append(int(part[:2], 16) if len(part) >= 2 else int("x"))
            out += part[2:].encode("latin-1", "replace")
        except ValueError:
            out += b"%" + part.encode("latin-1", "replace")
    return out.decode("utf-8", "replace")


def response(status: int, body: "Any", headers: "tuple[tuple[str, str], ...]" = ()) -> bytes:
    """A whole answer: bytes and text as they are, everything else as JSON."""
    kind = "text/plain; charset=utf-8"
    if isinstance(body, bytes):
        data = body
    elif isinstance(body, str):
        data = body.encode()
    else:
        data, kind = json.dumps(body).encode(), "application/json"
    return head(status, kind, (("Content-Length", str(len(data))), *headers)) + data


def head(status: int, kind: str, headers: "tuple[tuple[str, str], ...]" = ()) -> bytes:
    """The head of an answer; without Content-Length the body lasts until the connection closes."""
    fields = (("Content-Type", kind), ("Connection", "close"), ("Cache-Control", "no-store"), ("Tailscale-Cap", "142"), *headers)
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}\r\n{lines}\r\n".encode()
