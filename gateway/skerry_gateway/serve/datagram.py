"""STUN on UDP sockets: one per address family and port, all with one `Answerer`; and those that answer from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from skerry_core import stun
from skerry_core.errors import LocalError
from skerry_gateway.serve.service import monotonic_ms
from skerry_gateway.stun import Answerer, Endpoint, Way


class StunSocket(asyncio.DatagramProtocol):
    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self._transport: Any = None
        self._asked = (bytes(4), 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        host, port = transport.get_extra_info("sockname")[:2]
        self._asked = (socket.inet_aton(host) if ":" not in host else bytes(4), port)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        family = socket.AF_INET6 if ":" in addr[0] else socket.AF_INET
        address = socket.inet_pton(family, addr[0].partition("%")[0])
        answer = self._answerer.answer(data, address, addr[1], monotonic_ms(), self._asked)
        if answer is not None:
            self._transport.sendto(answer, addr)

    def error_received(self, exc: Exception) -> None:
        """An ICMP error about an earlier answer; STUN's answers are not repeated."""


class Behaviour:
    """The sockets that answer about NAT behaviour over IPv4 (RFC 5780): one on a port that nobody is told, and those of the other address.

    `host`: where STUN listens, "" for everywhere; `other`: the second address or ""; `ports`: the two that STUN listens on.
    """

    def __init__(self, host: str, other: str, ports: tuple[int, int]) -> None:
        self.quiet: list[socket.socket] = []  # these only send
        self.listening: list[socket.socket] = []
        self._other, self._ports = socket.inet_aton(other) if other else bytes(4), ports
        try:
            self.quiet.append(_bound(host or "0.0.0.0", 0))
            if other:
                self.quiet.append(_bound(other, 0))
                self.listening = [_bound(other, port) for port in ports]
        except OSError as error:
            self.close()
            where = f"{other} with the ports {ports[0]} and {ports[1]}" if other else host
            words = "give another IPv4 address of this machine"
            raise LocalError(f"--stun-other: cannot listen on {where}: {error.strerror}; {words}") from None

    def offer(self, answerer: Answerer) -> None:
        """Have the answerer use them."""
        ways: dict[int, Way] = {stun.CHANGE_PORT: _way(self.quiet[0], bytes(4))}
        if self.listening:
            ways[stun.CHANGE_ADDRESS | stun.CHANGE_PORT] = _way(self.quiet[1], self._other)
            ways[stun.CHANGE_ADDRESS] = _way(self.listening[0], self._other)
        answerer.offer((self._other, self._ports[1]), ways)

    def close(self) -> None:
        for sock in [*self.quiet, *self.listening]:
            sock.close()


def _bound(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # beside the socket of all addresses
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # the kernel's least; nothing is read
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def _way(sock: socket.socket, address: bytes) -> Way:
    def send(data: bytes, destination: Endpoint) -> None:
        with contextlib.suppress(OSError):  # it is asked again
            sock.sendto(data, (socket.inet_ntoa(destination[0]), destination[1]))

    return (address, sock.getsockname()[1]), send
