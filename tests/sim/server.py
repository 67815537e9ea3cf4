"""The gateway of the simulation: the real coordinator, store (SQLite in memory), relay and STUN answers, behind HTTP/1.1 heads.

It does what skerry_gateway.serve does with sockets: tells requests apart, hands upgraded streams to a session, writes what sessions
have ready, keeps one timer per server. A restart loses everything but the store and the keys; streams are cut without a word.
"""

import base64
import json
from typing import Any

from skerry_core import stun
from skerry_core.errors import PeerError
from skerry_core.http1 import RequestHeadParser, response_head
from skerry_gateway import admin
from skerry_gateway.control import Coordinator
from skerry_gateway.relay import Relay
from skerry_gateway.serve.address import parse as parse_url
from skerry_gateway.serve.derpmap import derp_map
from skerry_gateway.store import Store
from skerry_gateway.stun import Answerer
from skerry_shim import crypto
from tests.sim import packets
from tests.sim.network import Endpoint, Host, Network
from tests.sim.streams import End, connect
from tests.sim.world import EPOCH_MS, World

ADDRESS = bytes([10, 0, 0, 1])
PORT, STUN_PORT, QUIET_PORT = 8080, 3478, 40000
POLICIES = [
    json.dumps({"acls": [{"action": "accept", "src": ["*"], "dst": [f"*:{ports}"]}]}) for ports in (packets.PORT, f"{packets.PORT},8888")
]


class SimGateway:
    """`dial(host, name, port)` is how a node's stream arrives; `key` lets any number of nodes join."""

    def __init__(self, world: World, network: Network) -> None:
        self.world = world
        self.network = network
        self.host = network.host("gateway", ADDRESS)
        self.url = f"http://10.0.0.1:{PORT}"
        self.store = Store.memory()
        self.private_key, self.relay_key = world.bytes(32), world.bytes(32)
        self.life = 0
        self._shut_out: set[str] = set()
        self._up()
        self.key: str = self.call("keys create", user="owner", reusable=True)["key"]
        self._edits = 0
        self.edit_policy()

    def call(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """An admin verb, as the gateway's own command line does it."""
        try:
            return admin.call(self.coordinator, verb, arguments, self.world.now)
        finally:
            self._settle()

    def edit_policy(self) -> None:
        """The other of two policies, which differ in a port that nobody uses."""
        if self.host.up:
            self._edits += 1
            self.call("policy set", text=POLICIES[self._edits % 2])
            self.world.hits["policy-edit"] += 1

    def shut_out(self, client: Host) -> None:
        """This node hears nothing from the control server any more, and does not know."""
        self._shut_out.add(client.name)
        for session in [session for session in self.ends if session in self.coordinator.sessions]:
            other = self.ends[session].other
            if other is not None and other.host is client:
                self.ends[session].cut("shut out")

    def let_in(self, client: Host) -> None:
        self._shut_out.discard(client.name)

    def _up(self) -> None:
        self.life += 1
        self.host.up = True
        random = self.world.source("gateway")
        where = derp_map(parse_url(self.url), STUN_PORT, None)
        now = self.world.now
        self.coordinator = Coordinator(self.store, self.private_key, crypto, random, where, now, EPOCH_MS + now, url=self.url)
        self.relay = Relay(crypto, random, self.relay_key, self.coordinator.relay_allowed)
        self.coordinator.on_withdraw(lambda key: self.relay.withdraw(key, self.world.now))
        self.servers: tuple[Any, ...] = (self.coordinator, self.relay)
        self.ends: dict[Any, End] = {}
        self._wake: dict[Any, int] = {}
        answerer = Answerer()
        quiet = (bytes(4), QUIET_PORT), lambda data, to: self.network.send(self.host, QUIET_PORT, to, data)
        answerer.offer((bytes(4), STUN_PORT + 1), {stun.CHANGE_PORT: quiet})
        for port in (STUN_PORT, STUN_PORT + 1):
            self.host.sockets[port] = lambda source, data, port=port: self._stun(answerer, port, source, data)  # type: ignore[misc]

    def restart(self, away: int, orderly: bool) -> None:
        """Stop, and come back after `away` ms. Orderly: the streams are closed; else as when the power goes, and nobody is told."""
        if not self.host.up:
            return
        self.life += 1
        ends, self.ends = self.ends, {}
        for end in ends.values():
            if orderly:
                end.close()
            else:
                end.cut("crash")
        self.host.up = False
        self.host.sockets.clear()
        life = self.life
        self.world.after(away, lambda: self.come_back() if life == self.life else None)

    def come_back(self) -> None:
        if not self.host.up:
            self._up()

    def restart_relay(self) -> None:
        """The relay alone forgets everybody and starts anew; its streams are closed."""
        if not self.host.up:
            return
        for session in [session for session in self.ends if session not in self.coordinator.sessions]:
            end = self.ends.pop(session)
            end.close()
        self.relay = Relay(crypto, self.world.source("relay"), self.relay_key, self.coordinator.relay_allowed)
        self.servers = (self.coordinator, self.relay)

    def public_key(self, hostname: str) -> bytes | None:
        """The node key of a member, by its name."""
        return next((node.node_key for node in self.coordinator.members.nodes.values() if node.name == hostname), None)

    def _stun(self, answerer: Answerer, port: int, source: Endpoint, data: bytes) -> None:
        answer = answerer.answer(data, *source, self.world.now)
        if answer:
            self.network.send(self.host, port, source, answer)

    # -- streams ------------------------------------------------------------------------------------------------------------------
    def dial(self, client: Host, name: str, port: int) -> End | None:
        """A stream from a node; None when nobody answers there."""
        if not (client.reachable and self.host.reachable) or (name, port) != ("10.0.0.1", PORT):
            return None
        theirs, ours = connect(self.world, client, self.host)
        parser = RequestHeadParser()
        life = self.life

        def head(data: bytes) -> None:
            if life != self.life:
                return
            try:
                parsed = parser.feed(data)
            except PeerError:
                ours.close()
                return
            if parsed:
                self._request(ours, client, *parsed)

        ours.on_data = head
        return theirs

    def _request(self, end: End, client: Host, method: str, path: str, headers: dict[str, str], rest: bytes) -> None:
        upgrade = headers.get("upgrade", "")
        if path.startswith("/key"):
            body = json.dumps(self.coordinator.key_json()).encode()
            end.write(response_head(200, "OK", {"Content-Length": str(len(body)), "Connection": "close"}) + body)
            end.close()
        elif (method, path) == ("POST", "/ts2021") and client.name in self._shut_out:
            end.cut("shut out")
        elif (method, path) == ("POST", "/ts2021"):
            end.write(response_head(101, "Switching Protocols", {"Upgrade": upgrade, "Connection": "upgrade"}))
            first = base64.b64decode(headers["x-tailscale-handshake"])
            self._session(self.coordinator, end, client, first + rest)
        else:
            end.write(response_head(101, "Switching Protocols", {"Upgrade": upgrade, "Connection": "upgrade"}))
            self._session(self.relay, end, client, rest)

    def _session(self, server: Any, end: End, client: Host, first: bytes) -> None:
        session = server.open((client.name, 0), self.world.now)
        life = self.life
        self.ends[session] = end

        def data(piece: bytes) -> None:
            if life == self.life:
                session.receive(piece, self.world.now)
                self._write(session)
                self._settle()

        def closed(_: str) -> None:
            if life == self.life and self.ends.pop(session, None):
                session.close(self.world.now)
                self._settle()

        end.on_data, end.on_close = data, closed
        self._write(session)
        if first:
            data(first)
        self._settle()

    def _write(self, session: Any) -> None:
        end = self.ends.get(session)
        if end is None:
            return
        end.write(session.take())
        if session.closed is not None:
            self.ends.pop(session, None)  # the write may have found the stream broken
            end.close()
            session.close(self.world.now)

    def _settle(self) -> None:
        """Write what sessions have because of others, and sleep till the next timers."""
        for _ in range(100):
            ready = [session for server in self.servers for session in server.ready()]
            for session in ready:
                self._write(session)
            if not ready:
                break
        for server in self.servers:
            due = server.next_timer()
            if due is not None and not self.world.now < self._wake.get(server, -1) <= due:
                self._wake[server] = due
                self.world.after(due - self.world.now, lambda server=server, life=self.life: self._timer(server, life))  # type: ignore[misc]

    def _timer(self, server: Any, life: int) -> None:
        if life == self.life:
            server.handle_timer(self.world.now)
            self._settle()
