"""STUN on UDP sockets: one per address family and port, all with one `Answerer`."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from skerry_gateway.serve.service import monotonic_ms
from skerry_gateway.stun import Answerer


class StunSocket(asyncio.DatagramProtocol):
    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        family = socket.AF_INET6 if ":" in addr[0] else socket.AF_INET
        address = socket.inet_pton(family, addr[0].partition("%")[0])
        answer = self._answerer.answer(data, address, addr[1], monotonic_ms())
        if answer is not None:
            self._transport.sendto(answer, addr)

    def error_received(self, exc: Exception) -> None:
        """An ICMP error about an earlier answer; STUN's answers are not repeated."""
