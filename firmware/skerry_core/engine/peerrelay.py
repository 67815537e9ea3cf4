"""UDP peer relays, the client's side: which peers relay for us, and asking them for a place for us and another peer.

    wanted      a full probe found no direct path yet: 250 ms later (100 ms behind a hard NAT, where none is likely) ask every relay that
                was not asked for this peer in the last 30 s, unless something answered meanwhile; 4 relays at most
    asked       AllocateRequest over the relay's home DERP region; once more at 3 s, given up at 10 s
    answered    AllocateResponse: the peer is told by CallMeMaybeVia over DERP, and both bind to the place: see binding.py
    called      CallMeMaybeVia of a peer: bind to that place; 6 in 10 s count

A relay is a peer of capability version 121 or more that our own packet filter grants tailscale.com/cap/relay-target towards us. Where
some say in their host information that they relay, only those are asked. What comes counts only over DERP, from that very peer (disco.py),
for a request that is open, and for our two disco keys. Stock clients do the same but begin with a heartbeat, and ask again by themselves
each minute; here nothing is asked while any path answers, and nothing at all while nothing is sent.
"""

from skerry_core import disco as codec
from skerry_core import filter, ip
from skerry_core.errors import PeerError
from skerry_core.path import is_relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from skerry_core.engine.engine import Engine
    from skerry_core.engine.peer import Path, Peer

CAPABLE = 121
TARGET = "tailscale.com/cap/relay-target"
DISABLED = "disable-relay-client"
START, START_HARD, AGAIN = 250, 100, 30_000
RETRY, GIVE_UP = 3_000, 10_000
RELAYS, ENDPOINTS = 4, 16
CALLS, CALLS_WINDOW = 6, 10_000
ASKED, GAVE, SILENT = "was asked", "gave a place", "did not answer"


class Ask:
    """The last request to one relay for one peer; `outcome` is ASKED while it is open."""

    def __init__(self, sent: int, generation: int) -> None:
        self.sent, self.generation, self.outcome = sent, generation, ASKED
        self.barred = True  # not again for 30 s


class PeerRelays:
    """Of one engine. Requests are found by (number of the peer, node key of the relay)."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._asks: dict[tuple[int, bytes], Ask] = {}
        self._open: dict[int, tuple[int, bytes]] = {}  # by generation, those that wait for an answer
        self._calls: dict[int, list[int]] = {}  # when CallMeMaybeVias came, by number of the peer
        self._relays: list[Peer] | None = None
        self._generation = 0

    # which there are

    def map_changed(self) -> None:
        """Peers, our addresses or the filter may be others now."""
        self._relays = None

    def relays(self) -> "list[Peer]":
        """The peers that relay for us, those that say so first."""
        if self._relays is None:
            self._relays = self._find()
        return self._relays

    def _find(self) -> "list[Peer]":
        engine, own = self._engine, self._engine.netmap.self_node
        granted: dict[int, list[tuple[bytes, int]]] = {}  # by the length of addresses: only the first of a family counts
        for address, bits in [] if own is None or DISABLED in own.cap_map else own.addresses:
            if bits == 8 * len(address) and bits not in granted:
                granted[bits] = filter.granted(engine.netmap.packet_filter(), TARGET, address)
        if not any(granted.values()):
            return []
        found = [peer for peer in engine.peers.all() if capable(peer) and _is_granted(peer, granted)]
        willing = [peer for peer in found if peer.node is not None and peer.node.hostinfo.get("PeerRelay") is True]
        return sorted(willing or found, key=lambda peer: (_is_offline(peer), peer.home != engine.netcheck.home, peer.index))

    def enabled(self) -> bool:
        """Whether the gateway lets us use them at all."""
        own = self._engine.netmap.self_node
        return own is not None and DISABLED not in own.cap_map

    # asking

    def wanted(self, peer: "Peer") -> None:
        """No path answers: ask soon, unless one does by then."""
        engine, timer = self._engine, ("peer-relay", peer.index)
        if capable(peer) and engine.timers.at(timer) is None and not engine.paths.trusted(peer) and self.relays():
            near = any(engine.netcheck.is_near(where[2]) for where in peer.candidates)
            engine.timers.set(timer, engine.now + (START_HARD if engine.netcheck.varies and not near else START))

    def start(self, peer: "Peer") -> None:
        """Timer: has nothing answered?"""
        if not self._engine.paths.active(peer) or self._engine.paths.trusted(peer) or not capable(peer):
            return
        for relay in [relay for relay in self.relays() if relay is not peer][:RELAYS]:
            ask = self._asks.get((peer.index, relay.key))
            if ask is None or not ask.barred or self._engine.now - ask.sent >= AGAIN:
                if ask is not None:
                    self._close(peer.index, relay.key, SILENT)
                self._generation = self._generation % 0xFFFFFFFF + 1
                self._asks[peer.index, relay.key] = Ask(self._engine.now, self._generation)
                self._open[self._generation] = (peer.index, relay.key)
                self._request(peer, relay)
                self._engine.timers.set(("place-ask", peer.index, relay.key), self._engine.now + RETRY)

    def _request(self, peer: "Peer", relay: "Peer") -> None:
        ask = self._asks[peer.index, relay.key]
        self._engine.disco.tell(relay, codec.AllocateRequest(self._pair(peer), ask.generation))

    def _pair(self, peer: "Peer") -> "tuple[bytes, bytes]":
        ours = self._engine.disco_public
        return (ours, peer.disco) if ours < peer.disco else (peer.disco, ours)

    def unanswered(self, index: int, key: bytes) -> None:
        """Timer: a relay said nothing for 3 s, or for 10."""
        engine, ask = self._engine, self._asks.get((index, key))
        peer, relay = engine.peers.by_index.get(index), engine.peers.by_key.get(key)
        if ask is None or ask.outcome != ASKED:
            return
        if peer is None or relay is None or engine.now - ask.sent >= GIVE_UP or engine.paths.direct(peer):
            self._close(index, key, SILENT)
            return
        self._request(peer, relay)
        engine.timers.set(("place-ask", index, key), ask.sent + GIVE_UP)

    # what comes

    def answered(self, relay: "Peer", path: "Path", message: "codec.AllocateResponse") -> None:
        """A relay gives a place. PeerError: nobody asked for it."""
        index, key = self._open.get(message.generation, (0, b""))
        if key != relay.key or not is_relay(path):
            raise PeerError(f"{relay.name()} answers a request for a place on it that is not open")
        peer = self._engine.peers.by_index[index]
        self._check(peer, message.allocation)
        self._close(index, key, GAVE)
        message.allocation.endpoints = message.allocation.endpoints[:ENDPOINTS]
        if self._engine.bindings.offer(peer, message.allocation, relay.key):
            self._engine.disco.tell(peer, codec.CallMeMaybeVia(message.allocation))

    def _close(self, index: int, key: bytes, outcome: str) -> None:
        ask = self._asks[index, key]
        ask.outcome = outcome
        self._open.pop(ask.generation, None)
        self._engine.timers.cancel(("place-ask", index, key))

    def called(self, peer: "Peer", path: "Path", message: "codec.CallMeMaybeVia") -> None:
        """The peer waits at a relay. PeerError: not in this way, or too often."""
        now = self._engine.now
        calls = [at for at in self._calls.get(peer.index, ()) if now - at < CALLS_WINDOW]
        if not is_relay(path) or not capable(peer) or not self.enabled() or len(calls) >= CALLS:
            raise PeerError(f"call to a UDP relay of {peer.name()}: over UDP, of an old version, turned off, or {CALLS} in 10 s already")
        self._calls[peer.index] = calls + [now]
        self._check(peer, message.allocation)
        self._engine.paths.heard(peer, path)
        self._engine.bindings.offer(peer, message.allocation, b"")

    def _check(self, peer: "Peer", place: "codec.Allocation") -> None:
        if tuple(sorted(place.client_keys)) != self._pair(peer):
            raise PeerError(f"place on a UDP relay that is not for us and {peer.name()}")

    # the end

    def network_changed(self) -> None:
        """What was bound was bound to our old address: ask again at once."""
        for ask in self._asks.values():
            ask.barred = False

    def lost(self, peer: "Peer") -> None:
        """The path through a place stopped answering: whoever gave it may be asked at once, once for each place."""
        for (index, _), ask in self._asks.items():
            if index == peer.index and ask.outcome == GAVE:
                ask.barred = False

    def remove(self, peer: "Peer") -> None:
        """The peer leaves, or has another disco key: as a relay, and as one that is relayed to."""
        for index, key in [each for each in self._asks if each[0] == peer.index or each[1] == peer.key]:
            self._close(index, key, SILENT)
            del self._asks[index, key]
        self._calls.pop(peer.index, None)
        self._engine.timers.cancel(("peer-relay", peer.index))
        self._engine.bindings.remove(peer)
        self._engine.relaying.gone(peer.disco)
        self._relays = None

    # for people

    def ask_of(self, peer: "Peer", relay: "Peer") -> "Ask | None":
        """The last request to the relay for a place for the peer."""
        return self._asks.get((peer.index, relay.key))

    def name(self, peer: "Peer", where: "Path") -> str:
        """Name of the relay at a path, "" when only its address is known."""
        key = self._engine.bindings.relay_of(peer, where)
        relay = self._engine.peers.by_key.get(key)
        if relay is None:
            told = [each for each in self.relays() if each.node is not None and any(at == where[2] for at, _ in each.node.endpoints)]
            relay = told[0] if len(told) == 1 else None
        return "" if relay is None else relay.name()

    def text(self, peer: "Peer", where: "Path") -> str:
        """`UDP relay NAME at ADDRESS`."""
        name = self.name(peer, where)
        return f"UDP relay{' ' + name if name else ''} at {ip.format_endpoint(where[2], where[3])}"


def address(where: "Path") -> str:
    """A path through a UDP relay as stock clients print it: ip:port:vni:N."""
    return f"{ip.format_endpoint(where[2], where[3])}:vni:{where[4]}"


def capable(peer: "Peer") -> bool:
    """Whether the peer knows UDP relays."""
    return peer.node is not None and peer.node.cap >= CAPABLE and bool(peer.disco)


def _is_offline(peer: "Peer") -> bool:
    return peer.node is not None and peer.node.online is False


def _is_granted(peer: "Peer", granted: "dict[int, list[tuple[bytes, int]]]") -> bool:
    if peer.node is None or peer.node.document.get("UnsignedPeerAPIOnly"):  # such may hold no grants
        return False
    for address, bits in peer.node.addresses:
        if bits == 8 * len(address) and any(ip.contains(prefix, address) for prefix in granted.get(bits, ())):
            return True
    return False
