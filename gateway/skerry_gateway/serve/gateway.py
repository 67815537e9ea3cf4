"""The gateway put together: the state directory's secrets, the coordinator, the relay, the console, and what one does to the other."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from skerry_gateway import admin
from skerry_gateway.control import Coordinator
from skerry_gateway.control.relaypeer import RelayPeer
from skerry_gateway.options import Options
from skerry_gateway.peerrelay import PeerRelay
from skerry_gateway.relay import Relay
from skerry_gateway.serve import address, derpmap, secure
from skerry_gateway.serve.service import Service, monotonic_ms
from skerry_gateway.serve.udprelay import UdpRelay
from skerry_gateway.store import Node, StateDir, Store, User
from skerry_gateway.stun import Answerer
from skerry_gateway.web.app import make_app
from skerry_gateway.web.context import Context
from skerry_shim import crypto

JUMP_MS = 1000


@dataclass
class Gateway:
    """Everything of one running gateway that is not a socket. Make it in the event loop that is to run it."""

    url: address.Url
    tls: secure.Identity
    store: Store
    coordinator: Coordinator
    control: Service
    relay: Service
    answerer: Answerer
    udp_relay: UdpRelay | None
    app: web.Application
    relay_key: bytes
    stun_port: int

    @property
    def address(self) -> str:
        """What nodes are given: the URL and the key it must prove."""
        return f"{self.url}#{self.coordinator.key_json()['publicKey']}"

    def call(self, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """An admin verb of the gateway's own command line, which may do everything."""
        try:
            return admin.call(self.coordinator, verb, arguments, self.control.now())
        finally:
            self.control.turn()

    def decide(self, token: str, user: User, allow: bool) -> Node | None:
        """A person lets the machine at a sign-in page in, or does not; its node."""
        try:
            if allow:
                return self.coordinator.authorize(token, user.id, self.control.now())
            self.coordinator.decline(token, self.control.now())
            return None
        finally:
            self.control.turn()

    def renew(self, options: Options) -> None:
        """Read the certificate files again; nodes are told if what they are to accept has changed. LocalError: nothing changed."""
        self.tls = _tls(options, options.state, self.url)
        self.coordinator.set_derp_map(derpmap.derp_map(self.url, self.stun_port, self.tls.pin), self.control.now())
        self.control.turn()

    def tell_relay(self, relay: RelayPeer) -> None:
        """What nodes are told of the UDP relay has changed."""
        self.coordinator.set_relay(relay, self.control.now())
        self.control.turn()

    def check_clock(self) -> None:
        """Wall time is counted from the start; when the machine's clock was set meanwhile, the coordinator is told."""
        now, wall = self.control.now(), wall_ms()
        if abs(self.coordinator.wall(now) - wall) > JUMP_MS:
            self.coordinator.clock(wall, now)
            self.control.turn()

    def stop(self) -> None:
        self.coordinator.stop(self.control.now())
        self.control.turn()
        self.control.stop()
        self.relay.stop()
        if self.udp_relay is not None:
            self.udp_relay.stop()
        self.store.close()


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def assemble(options: Options, state: StateDir, tcp_port: int, stun_port: int, relaying: Sequence[socket.socket] = ()) -> Gateway:
    """The ports are those listened on; `relaying`: the sockets that relay besides. LocalError for options that cannot work."""
    files = bool(options.tls_cert)
    url = address.parse(options.url) if options.url else address.default(options.listen[0], tcp_port, files)
    tls = _tls(options, state.path, url)
    store = Store.open(state.database)
    now = monotonic_ms()
    regions = derpmap.derp_map(url, stun_port, tls.pin)
    coordinator = Coordinator(store, state.secret("control"), crypto, os.urandom, regions, now, wall_ms(), url=str(url))
    coordinator.recall(state.recall())
    if coordinator.members.network.url != str(url):
        coordinator.configure("serve", now, url=str(url))
    relay = Relay(crypto, os.urandom, state.secret("relay"), coordinator.relay_allowed)
    control_service, relay_service = Service("control", coordinator), Service("relay", relay)
    _withdraw_everywhere(coordinator, relay, relay_service)
    answerer = Answerer()
    udp_relay = _udp_relay(state, coordinator, relay, relay_service, answerer, relaying) if relaying else None
    servers = (coordinator, control_service, relay_service, answerer, udp_relay)
    gateway = Gateway(url, tls, store, *servers, web.Application(), relay.public, stun_port)
    gateway.app = make_app(_console(gateway, files))
    return gateway


def _console(gateway: Gateway, files: bool) -> Context:
    return Context(gateway.url, gateway.coordinator, gateway.address, gateway.control.turn, gateway.decide, gateway.control.now, files)


def _udp_relay(
    state: StateDir, coordinator: Coordinator, relay: Relay, service: Service, answerer: Answerer, sockets: Sequence[socket.socket]
) -> UdpRelay:
    """The UDP relay, which is a client of the DERP relay, and a peer of every node."""
    keys = state.secret("udp-relay-node"), state.secret("udp-relay-disco")
    peer = PeerRelay(crypto, os.urandom, *keys, coordinator, answerer, derpmap.REGION, service.now())

    def send(node_key: bytes, packet: bytes) -> None:
        relay.send_from(peer.node_key, node_key, packet)
        service.turn()

    made = UdpRelay(peer, sockets, send)
    relay.attach(peer.node_key, made.derp)
    coordinator.on_withdraw(made.withdraw)
    coordinator.set_relay(RelayPeer(peer.node_key, peer.disco_key, derpmap.REGION), service.now())
    return made


def _withdraw_everywhere(coordinator: Coordinator, relay: Relay, service: Service) -> None:
    def withdrawn(node_key: bytes) -> None:
        relay.withdraw(node_key, service.now())
        service.turn()

    coordinator.on_withdraw(withdrawn)


def _tls(options: Options, state: Path, url: address.Url) -> secure.Identity:
    if options.tls_cert and options.tls_key:
        return secure.from_files(options.tls_cert, options.tls_key, url)
    return secure.own(state, url, pinned=not url.secure)
