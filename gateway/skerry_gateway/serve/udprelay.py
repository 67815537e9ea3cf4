"""Carries the UDP relay on asyncio: its sockets and forwarding in C, its timer, and the packets that come and go over DERP.

Where clients reach us is looked up again each minute: what the URL's host resolves to, and the addresses of this machine's default routes
unless we listen on a particular one. The port is the one listened on: whoever forwards it by a router keeps the number.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

from skerry_core import ip
from skerry_core.errors import LocalError
from skerry_gateway.control.relaypeer import RelayPeer
from skerry_gateway.peerrelay import PeerRelay
from skerry_gateway.serve import address
from skerry_gateway.serve.service import monotonic_ms
from skerry_gateway.serve.timer import Timer
from skerry_shim.peerrelay import Forwarder

log = logging.getLogger(__name__)
LOOK_UP_S = 60.0
ENDPOINTS = 8
Endpoint = tuple[bytes, int]


class UdpRelay:
    """`sockets` are bound to one port; duplicates of them are taken. `send(node_key, packet)` sends over DERP."""

    def __init__(self, peer: PeerRelay, sockets: Sequence[socket.socket], send: Callable[[bytes, bytes], None]) -> None:
        self.peer, self._send = peer, send
        self.forwarder = Forwarder()
        self.listening = [sock.getsockname()[:2] for sock in sockets]
        self.endpoints: list[Endpoint] = []
        self._timer = Timer("UDP relay", peer, monotonic_ms, self.turn)
        for sock in sockets:
            self.forwarder.adopt(sock.fileno())

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self.forwarder.fileno(), self._readable)
        self.forwarder.start()

    def stop(self) -> None:
        self._timer.cancel()
        asyncio.get_running_loop().remove_reader(self.forwarder.fileno())
        self.forwarder.close()

    def derp(self, source: bytes, packet: bytes, now: int) -> None:
        """A packet for the relay's node key."""
        self.peer.derp(source, packet, now)
        self.turn()

    def withdraw(self, node_key: bytes) -> None:
        self.peer.withdraw(node_key, monotonic_ms())
        self.turn()

    def reached_at(self, endpoints: list[Endpoint]) -> bool:
        """Take over where clients reach us; True when that is new."""
        if endpoints == self.endpoints:
            return False
        self.endpoints = endpoints
        self.peer.set_addresses(endpoints, monotonic_ms())
        return True

    def turn(self) -> None:
        """Carry out what was decided, and set the timer anew."""
        while actions := self.peer.actions():
            for kind, *arguments in actions:
                try:
                    _ACTIONS[kind](self, *arguments)
                except LocalError as error:
                    log.error("%s", error)
        self._timer.arm()

    def _readable(self) -> None:
        now = monotonic_ms()
        for where, data in self.forwarder.poll():
            self.peer.datagram(where, data, now)
        self.turn()

    def _ask(self, vni: int) -> None:
        stats = self.forwarder.stats(vni)
        self.peer.heard(vni, None if stats is None else (stats[0]["heard"], stats[1]["heard"]), monotonic_ms())


_ACTIONS: dict[str, Callable[..., None]] = {
    "open": lambda relay, vni, keys: relay.forwarder.open(vni, keys),
    "bind": lambda relay, vni, one, other: relay.forwarder.bind(vni, one, other),
    "close": lambda relay, vni: relay.forwarder.forget(vni),
    "send": lambda relay, where, data: relay.forwarder.send(where, data),
    "derp": lambda relay, node_key, packet: relay._send(node_key, packet),
    "ask": UdpRelay._ask,
}


async def watch_addresses(relay: UdpRelay, url: address.Url, region: int, tell: Callable[[RelayPeer], None]) -> None:
    """Until cancelled: keep what clients are told of us true."""
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            if relay.reached_at(await endpoints(url, relay.listening)):
                texts = tuple(ip.format_endpoint(*endpoint) for endpoint in relay.endpoints)
                tell(RelayPeer(relay.peer.node_key, relay.peer.disco_key, region, texts))
                relay.turn()
            await asyncio.sleep(LOOK_UP_S)


async def endpoints(url: address.Url, listening: list[tuple[str, int]]) -> list[Endpoint]:
    """Where clients may reach sockets that listen there, the likeliest first; loopback addresses only where there are no others."""
    hosts = await _resolve(url)
    bound = [ipaddress.ip_address(host.partition("%")[0]) for host, _ in listening]
    own = [*(str(each) for each in bound if not each.is_unspecified), *(address.outwards() if any(b.is_unspecified for b in bound) else [])]
    ports = {each.version: port for each, (_, port) in zip(bound, listening, strict=True)}
    found = [ipaddress.ip_address(host.partition("%")[0]) for host in dict.fromkeys([*hosts, *own])]
    usable = [each for each in found if each.version in ports and not (each.is_unspecified or each.is_multicast or each.is_link_local)]
    chosen = [each for each in usable if not each.is_loopback] or usable
    return [(each.packed, ports[each.version]) for each in chosen[:ENDPOINTS]]


async def _resolve(url: address.Url) -> list[str]:
    if url.address is not None:
        return [str(url.address)]
    try:
        entries: list[Any] = await asyncio.get_running_loop().getaddrinfo(url.host, None, type=socket.SOCK_DGRAM)
    except OSError:
        return []
    return [str(entry[4][0]) for entry in entries]
