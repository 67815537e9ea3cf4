"""The one TCP port: what arrives is told apart by its first byte and its first request, and handed on.

    first byte 0x16 -> TLS, anything else -> plain HTTP
    POST /ts2021    -> the coordinator (ts2021, Noise inside)
    GET /derp       -> the relay (DERP frames)
    anything else   -> aiohttp: /key, the console, probes

Without certificate files TLS is there with a certificate of our own (pinned in the DERP map) and everything also works in plain; with
them a plain request is only told where to go. A connection has `DEADLINE` seconds for its TLS handshake and its first request's head.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skerry_gateway.serve import head as heads
from skerry_gateway.serve.limits import Limits
from skerry_gateway.serve.service import Service
from skerry_gateway.serve.transport import Tls

log = logging.getLogger(__name__)
DEADLINE = 10.0
TLS_HANDSHAKE = 0x16
USER_TIMEOUT_MS = 30_000  # how long written bytes may stay unacknowledged, a full window of a reader that has stopped included
_SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
_RELAY_ANSWER = _SWITCH + "DERP\r\nDerp-Version: 2\r\nDerp-Public-Key: {key}\r\n\r\n"
_CONTROL_ANSWER = f"{_SWITCH}{heads.CONTROL_UPGRADE}\r\n\r\n".encode()


@dataclass
class Front:
    """What every connection of the port needs. `http` makes a protocol of the HTTP server; `tls_only`: where plain requests are sent to."""

    control: Service
    relay: Service
    relay_key: bytes
    http: Callable[[], asyncio.Protocol]
    context: ssl.SSLContext
    limits: Limits
    tls_only: str | None = None
    deadline: float = DEADLINE

    def __call__(self) -> Connection:
        return Connection(self)


class Connection(asyncio.Protocol):
    """One TCP connection; `_above` is the protocol it was handed to, None while it has not said what it wants."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._below: Any = None
        self._tls: Tls | None = None
        self._above: Any = None
        self._head = b""
        self._address = ""
        self._counted = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._below = transport
        self._address = (transport.get_extra_info("peername") or ("",))[0]
        if not self._front.limits.arrive(self._address):
            self._below.abort()
            return
        self._counted = True
        _tune(transport.get_extra_info("socket"))
        self._deadline = asyncio.get_running_loop().call_later(self._front.deadline, self._below.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._counted:
            return
        self._settle()
        self._front.limits.leave(self._address)
        if self._above is not None:
            self._above.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._tls is not None:
            self._tls.feed(data)
        elif self._above is not None:
            self._above.data_received(data)
        elif not self._head and data[0] == TLS_HANDSHAKE:
            self._tls = Tls(self._below, self._front.context, _nothing, self._handshake_failed)
            self._tls.set_protocol(_Opened(self))
            self._tls.feed(data)
        elif self._front.tls_only is not None:
            self._send_elsewhere(data)
        else:
            self.request(self._below, data)

    def eof_received(self) -> bool | None:
        if self._tls is not None:
            return self._tls.feed_eof()
        return bool(self._above.eof_received()) if self._above is not None else False

    def pause_writing(self) -> None:
        if self._above is not None:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        if self._above is not None:
            self._above.resume_writing()

    def request(self, transport: Any, data: bytes) -> None:
        """Bytes of HTTP, from the plain transport or out of TLS."""
        if self._above is not None:
            self._above.data_received(data)
            return
        self._head += data
        head = heads.classify(self._head)
        if head.kind == heads.MORE:
            return
        self._settle()
        {heads.HTTP: self._to_http, heads.CONTROL: self._to_control, heads.RELAY: self._to_relay, heads.REFUSE: _answer}[head.kind](
            transport, head
        )

    def _to_http(self, transport: Any, head: heads.Head) -> None:
        data, self._head = self._head, b""
        self._hand(transport, self._front.http())
        self._above.connection_made(transport)
        self._above.data_received(data)

    def _to_control(self, transport: Any, head: heads.Head) -> None:
        link = self._front.control.open(transport, self._remote())
        self._hand(transport, link)
        transport.write(_CONTROL_ANSWER)
        link.data_received(head.initiation + head.rest)

    def _to_relay(self, transport: Any, head: heads.Head) -> None:
        link = self._front.relay.open(transport, self._remote())
        self._hand(transport, link)
        if not head.fast_start:
            transport.write(_RELAY_ANSWER.format(key=self._front.relay_key.hex()).encode())
        link.data_received(head.rest)

    def _hand(self, transport: Any, above: Any) -> None:
        self._above = above
        if self._tls is not None:
            self._tls.set_protocol(above)
        self._head = b""

    def _remote(self) -> tuple[str, int]:
        peer = self._below.get_extra_info("peername") or ("", 0)
        return (str(peer[0]), int(peer[1]))

    def _settle(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self._front.limits.settle(self._address)

    def _handshake_failed(self, reason: str) -> None:
        log.debug("TLS with %s failed: %s", self._address, reason)

    def _send_elsewhere(self, data: bytes) -> None:
        self._head += data
        if b"\r\n" not in self._head and len(self._head) <= heads.MAX_HEAD:
            return
        url = self._front.tls_only
        path = self._head.split(b" ", 2)[1:2]
        target = path[0].decode("latin-1") if path and path[0].startswith(b"/") and path[0].isascii() else "/"
        text = f"This port speaks TLS; use {url}.\n"
        body = text.encode()
        if self._head.startswith((b"GET ", b"HEAD ")):
            start = f"HTTP/1.1 308 Permanent Redirect\r\nLocation: {url}{target.splitlines()[0]}\r\n"
        else:
            start = "HTTP/1.1 400 Bad Request\r\n"
        self._below.write(f"{start}Content-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        self._below.close()


class _Opened(asyncio.Protocol):
    """What TLS delivers before a connection is handed on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def data_received(self, data: bytes) -> None:
        self._connection.request(self._connection._tls, data)


def _answer(transport: Any, head: heads.Head) -> None:
    body = (head.text + "\n").encode()
    upgrade = "Upgrade: DERP\r\n" if head.status.startswith("426") else ""
    start = f"HTTP/1.1 {head.status}\r\nContent-Type: text/plain\r\n{upgrade}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    transport.write(start.encode() + body)
    transport.close()


def _tune(sock: Any) -> None:
    if sock is None or sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)


def _nothing() -> None:
    """The handshake is done; the first request follows."""
