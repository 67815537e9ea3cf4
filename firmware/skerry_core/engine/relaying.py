"""Offering a UDP relay to others: this node's own server (skerry_core.peerrelay), its port, and who may use it.

    wanted      the setting "relay_server_port" (0: any free port; below 0, or none: do not), while we are up and the gateway allows it
                (no attribute disable-relay-server of ours). Our host information says PeerRelay, as stock nodes' does
    asked       AllocateRequest of a peer over DERP: one that our packet filter grants tailscale.com/cap/relay towards us gets a place for
                itself and any other disco key; what the two may say to each other their own filters decide
    ended       the peer leaves, has another disco key, or the grant is gone: its places are closed

The adapter owns the sockets and what forwards in them. It is told by ("relaying", verb, ...): "serve" port or None, and the server's
"open", "bind", "close", "ask" and "send"; it answers by the inputs ("relaying", "serving", port, error), ("relaying", "datagram", path,
data) and ("relaying", "heard", vni, (ms, ms) or None). Clients are told our endpoints with the relay's port: behind a router that port has
to be forwarded, with its number kept. Not done here: STUN of the relay's own socket, static endpoints.
"""

from skerry_core import filter, ip
from skerry_core.errors import PeerError
from skerry_core.path import is_relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core import disco as codec
    from skerry_core.engine.engine import Engine
    from skerry_core.engine.peer import Path, Peer

MAY_ASK = "tailscale.com/cap/relay"
DISABLED = "disable-relay-server"


class Relaying:
    """Of one engine. `port` is the one the adapter listens on, 0 while it does not; `error` says why not."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._server: Any = None
        self._asked_for: int | None = None  # what the adapter was told last
        self._clients: dict[bytes, Peer] = {}  # who asked, by disco key
        self.port = 0
        self.error = ""

    def wanted(self) -> "int | None":
        """The port to serve on (0 = any), None: do not."""
        engine, own = self._engine, self._engine.netmap.self_node
        port = engine.config.get("relay_server_port")
        offered = isinstance(port, int) and port >= 0 and engine.running and own is not None and DISABLED not in own.cap_map
        return port if offered else None

    def sync(self) -> None:
        """The setting, the map, or whether we are up may have changed."""
        wanted = self.wanted()
        if wanted != self._asked_for:
            self._stop()
            self._asked_for = wanted
            self._engine.act(("relaying", "serve", wanted))
            if self._engine.running:
                self._engine.control.maps.update()  # others are to know

    def _stop(self) -> None:
        self._server, self._clients, self.port, self.error = None, {}, 0, ""
        self._engine.timers.cancel(("relaying",))

    def grants_changed(self) -> None:
        """Our filter is another one: who asked and may not any more loses its places."""
        for key, peer in list(self._clients.items()):
            if not self._may_ask(peer):
                self.gone(key)

    def gone(self, key: bytes) -> None:
        """A disco key means nobody any more, or nobody who may use us."""
        if self._server is not None and key:
            self._clients.pop(key, None)
            self._server.receive(("gone", key), self._engine.now)
            self._carry_out()

    # what comes

    def asked(self, peer: "Peer", path: "Path", message: "codec.AllocateRequest") -> None:
        """A peer wants a place. PeerError: it may not, or we do not relay."""
        if self._server is None or not is_relay(path) or not self._may_ask(peer):
            raise PeerError(f"{peer.name()} asks for a place on a UDP relay that it may not use, or that is not offered")
        self._clients[peer.disco] = peer
        self._server.receive(("addresses", self._addresses()), self._engine.now)
        self._server.receive(("request", peer.disco, message), self._engine.now)
        self._carry_out()

    def _addresses(self) -> "list[tuple[bytes, int]]":
        found: list[bytes] = []
        for address, _, _ in self._engine.netcheck.endpoints():
            if address not in found:
                found.append(address)
        return [(address, self.port) for address in found]

    def _may_ask(self, peer: "Peer") -> bool:
        own, node = self._engine.netmap.self_node, peer.node
        if own is None or node is None or not peer.disco or node.document.get("UnsignedPeerAPIOnly"):
            return False
        rules = self._engine.netmap.packet_filter()
        for address, bits in own.addresses:
            granted = filter.granted(rules, MAY_ASK, address) if bits == 8 * len(address) else []
            for theirs, width in node.addresses:
                if width == 8 * len(theirs) == bits and any(ip.contains(prefix, theirs) for prefix in granted):
                    return True
        return False

    def receive(self, what: str, *arguments: "Any") -> None:
        """An answer of the adapter."""
        getattr(self, _INPUTS[what])(*arguments)

    def _serving(self, port: int, error: str = "") -> None:
        self.port, self.error = port, error
        if port and self._asked_for is not None:
            from skerry_core.peerrelay import Server  # who does not relay need not have it in memory

            self._server = Server(self._engine.crypto, self._engine.random, self._engine.now)
        if error:
            self._engine.event(("error", error))

    def _datagram(self, where: "Path", data: bytes) -> None:
        if self._server is not None:
            self._server.receive(("datagram", where, data), self._engine.now)
            self._carry_out()

    def _heard(self, vni: int, heard: "tuple[int, int] | None") -> None:
        if self._server is not None:
            self._server.receive(("heard", vni, heard), self._engine.now)
            self._carry_out()

    def due(self) -> None:
        """Timer: a place is over, perhaps."""
        if self._server is not None:
            self._server.handle_timer(self._engine.now)
            self._carry_out()

    def _carry_out(self) -> None:
        for action in self._server.actions():
            if action[0] == "respond":
                self._engine.disco.tell(self._clients[action[1]], action[2])
            else:
                self._engine.act(("relaying",) + action)
        at = self._server.next_timer()
        if at is not None:
            self._engine.timers.set(("relaying",), at)
        else:
            self._engine.timers.cancel(("relaying",))

    # for people

    def places(self) -> int:
        """How many pairs have a place."""
        return 0 if self._server is None else len(self._server)

    def status(self) -> "dict[str, Any] | None":
        """For the snapshot; None while this is not wanted."""
        return None if self._asked_for is None else {"port": self.port, "pairs": self.places(), "error": self.error}


_INPUTS = {"serving": "_serving", "datagram": "_datagram", "heard": "_heard"}
