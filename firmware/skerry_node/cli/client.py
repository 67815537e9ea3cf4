"""The local API from the caller's side: one request a connection over the unix socket, answers as JSON or as lines of it."""

from __future__ import annotations

import os
import socket
import time

from skerry_core.errors import PeerError
from skerry_core.http1 import HeadParser, request_head
from skerry_node.options import default_socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

LIMIT = 64 << 20  # bytes of one answer
WELL_KNOWN = "/run/skerry/skerryd.sock"


class NotRunning(Exception):
    """Nobody answers on the socket."""


class Failed(Exception):
    """The request was refused; the text is the reason."""


class Client:
    """`call` for one answer, `watch` for a stream of them."""

    def __init__(self, path: str | None = None) -> None:
        self.path = path or find_socket()

    def call(
        self, method: str, name: str, body: dict[str, Any] | None = None, query: dict[str, str] | None = None, timeout: float = 90
    ) -> Any:
        """POST or GET /localapi/v0/<name>; the decoded answer. Failed with the node's reason."""
        with self._send(method, name, body, query, timeout) as sock:
            import json  # noqa: F401  5 ms, while skerryd works

            status, rest = self._head(sock)
            data = rest
            while len(data) < LIMIT and (more := sock.recv(65536)):
                data += more
        answer = decode(data)
        if status >= 300:
            raise Failed(answer.get("error") or f"skerryd answered {status}" if isinstance(answer, dict) else str(answer))
        return answer

    def watch(self, name: str = "skerry/watch", timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """Lines as they come, until the node stops (NotRunning) or `timeout` seconds are over (TimeoutError).

        Nothing is missed from the return on.
        """
        end = None if timeout is None else time.monotonic() + timeout
        sock = self._send("GET", name, None, None, timeout)
        try:
            status, data = self._head(sock)
            if status >= 300:
                raise Failed(f"skerryd answered {status}")
        except BaseException:
            sock.close()
            raise
        return self._lines(sock, data, end)

    def stream(self, method: str, name: str, query: dict[str, str]) -> Iterator[bytes]:
        """Bytes as they come until skerryd ends it. Failed with its reason."""
        sock = self._send(method, name, None, query, None)
        try:
            status, data = self._head(sock)
            if status >= 300:
                while len(data) < LIMIT and (more := sock.recv(65536)):
                    data += more
                answer = decode(data)
                raise Failed(answer.get("error", "") if isinstance(answer, dict) else str(answer))
        except BaseException:
            sock.close()
            raise
        return _chunks(sock, data)

    def _lines(self, sock: socket.socket, data: bytes, end: float | None) -> Iterator[dict[str, Any]]:
        import json

        with sock:
            while True:
                line, newline, rest = data.partition(b"\n")
                if newline:
                    data = rest
                    if line.strip():
                        yield json.loads(line)
                    continue
                if end is not None:
                    sock.settimeout(max(0.001, end - time.monotonic()))
                more = sock.recv(65536)
                if not more:
                    raise NotRunning("skerryd stopped while this command was waiting")
                data += more

    def _send(
        self, method: str, name: str, body: dict[str, Any] | None, query: dict[str, str] | None, timeout: float | None
    ) -> socket.socket:
        sock = connect(self.path, timeout)
        data = b"" if body is None else encode(body)
        target = f"/localapi/v0/{name}" + _query(query)
        fields = [("Host", "local-skerryd.sock"), ("Content-Length", str(len(data)))]
        try:
            sock.sendall(request_head(method, target, fields) + data)
        except OSError as error:
            sock.close()
            raise NotRunning(f"skerryd hung up ({error.strerror})") from None
        return sock

    def _head(self, sock: socket.socket) -> tuple[int, bytes]:
        parser = HeadParser()
        try:
            while more := sock.recv(65536):
                found = parser.feed(more)
                if found is not None:
                    return found[0], found[2]
        except TimeoutError:
            raise Failed("skerryd did not answer in time") from None
        except ConnectionError:
            raise Failed("skerryd hung up: it is stopping, or has too many callers; try again") from None
        except PeerError as error:
            raise Failed(f"what answers on {self.path} is not skerryd ({error})") from None
        raise NotRunning("skerryd hung up without an answer")


def _chunks(sock: socket.socket, data: bytes) -> Iterator[bytes]:
    with sock:
        yield data
        while data := _more(sock):
            yield data


def _more(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1 << 18)
    except ConnectionError:
        return b""


def _query(query: dict[str, str] | None) -> str:
    if not query:
        return ""
    from urllib.parse import urlencode  # with it comes ipaddress: 3 ms of every command that needs neither

    return f"?{urlencode(query)}"


def encode(body: dict[str, Any]) -> bytes:
    """JSON. Plain texts need no library, so that loading it can wait until the request is on its way."""
    texts = [*body, *body.values()]
    if all(isinstance(text, str) and text.isascii() and text.isprintable() and '"' not in text and "\\" not in text for text in texts):
        return ("{" + ", ".join([f'"{name}": "{value}"' for name, value in body.items()]) + "}").encode()
    import json

    return json.dumps(body).encode()


def decode(data: bytes) -> Any:
    """JSON, or the text itself."""
    import json

    try:
        return json.loads(data)
    except ValueError:
        return data.decode("utf-8", "replace").strip()


def find_socket() -> str:
    """SKERRY_SOCKET, this user's own skerryd, or the system's."""
    own = default_socket(os.environ, os.geteuid())
    return own if "SKERRY_SOCKET" in os.environ or os.path.exists(own) else WELL_KNOWN


def connect(path: str, timeout: float | None) -> socket.socket:
    """Open the socket, or say what to do."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect(path)
    except PermissionError:
        sock.close()
        raise Failed(f"may not open {path}: run this as root (sudo skerry ...), or join the group skerry") from None
    except OSError as error:
        sock.close()
        raise NotRunning(f"skerryd is not running ({path}: {error.strerror or error})") from None
    return sock
