"""Disco: asks candidates whether they lead to the peer, answers such questions, and calls peers over the relay.

    ping        to a candidate, or over the relay when a person asks; 5 s to answer; 64 outstanding a peer, 1024 in all
    pong        to the very source of a ping; the source becomes a candidate
    call-me-maybe   our endpoints, over the relay only; one that comes makes us ask all its endpoints at once, and call no one back

In the first minute of a saved engine a peer that pings and has no session with us is offered one: it may be talking into a session that
our last life had, and would notice only after 15 s.

A message counts only when its sender's disco key is in the map, its box opens, and (over a relay) the relay's source key is that peer's.
Disco keys are no secret: who sees one can send what does not open, or give it to the gateway as its own. So messages that were not opened
yet have bounds of their own, more from where the peer is known to be, and of peers with one key the message itself tells which is meant.
Messages about UDP peer relays are handed on to peerrelay.py and binding.py; a relay's own key is in no map.
"""

from skerry_core import disco as codec
from skerry_core.engine import peerrelay
from skerry_core.errors import PeerError
from skerry_core.path import is_relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skerry_core.engine.engine import Engine
    from skerry_core.engine.peer import Path, Peer

TIMEOUT = 5_000
PENDING_LIMIT, PENDING_PER_PEER = 1024, 64
OPENED, KNOWN, STRANGE = 0, 1, 2
PER_SECOND = (64, 256, 64)  # of one peer: that opened; that are to be opened, from its candidates and relays, and from elsewhere
RELAYED = b"\x7f\x03\x03\x28"  # 127.3.3.40 with the region as port stands for a relay


class Ping:
    """A ping of ours without an answer yet."""

    def __init__(self, peer: "Peer", path: "Path", sent: int, padding: int) -> None:
        self.peer, self.path, self.sent, self.padding = peer, path, sent, padding


class Disco:
    """Pings and pongs of one engine."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._pending: dict[bytes, Ping] = {}
        self._asked: dict[Any, tuple[Peer, int]] = {}  # token of a "ping" command: whom, until when
        self._handlers: dict[Any, Callable[[Peer, Path, Any], None]] = {
            codec.Ping: self._ping,
            codec.Pong: self._pong,
            codec.CallMeMaybe: self._called,
            codec.CallMeMaybeVia: engine.peer_relays.called,
            codec.AllocateResponse: engine.peer_relays.answered,
            codec.AllocateRequest: engine.relaying.asked,
            codec.Challenge: self._challenged,
        }

    # out

    def _send(self, peer: "Peer", path: "Path", message: "Any") -> None:
        engine = self._engine
        packet = codec.seal(engine.crypto, self._box(peer), engine.disco_public, engine.random(24), message)
        engine.send(path, packet)

    def _box(self, peer: "Peer") -> bytes:
        if peer.box is None:
            peer.box = self._engine.crypto.box_key(self._engine.disco_private, peer.disco)
        return peer.box

    def ping(self, peer: "Peer", path: "Path", padding: int = 0) -> None:
        """Ask `path`; too many outstanding questions: left out. With padding it asks for the path's MTU, and nothing else hangs on it."""
        engine = self._engine
        if not peer.disco or peer.pings >= PENDING_PER_PEER or len(self._pending) >= PENDING_LIMIT:
            return
        txid = engine.random(12)
        try:
            self._send(peer, path, codec.Ping(txid, engine.node_public, padding))
        except PeerError:  # the map gave it a low-order disco key
            return
        self._pending[txid] = Ping(peer, path, engine.now, padding)
        peer.pings += 1
        if path in peer.candidates and not padding:
            peer.candidates[path].pinged = engine.now
        engine.timers.set(("ping", txid), engine.now + TIMEOUT)

    def call(self, peer: "Peer") -> None:
        """Send our endpoints over the relay, if there are any and there is one."""
        endpoints = self._engine.netcheck.endpoints_to_call()
        if endpoints:
            self.tell(peer, codec.CallMeMaybe(endpoints))

    def tell(self, peer: "Peer", message: "Any") -> None:
        """Send over the relay, if there is one."""
        relay = self._engine.paths.relay(peer)
        if relay is not None and peer.disco:
            self._engine.relays.open(relay[0])
            try:
                self._send(peer, relay, message)
            except PeerError:  # the map gave it a low-order disco key
                return

    # in

    def datagram(self, path: "Path", data: bytes) -> None:
        """A disco packet. PeerError: not from a peer of the map, or malformed."""
        key = codec.sender(data)
        peers = [] if key is None else self._engine.peers.by_disco.get(key, [])
        if is_relay(path):
            peers = [peer for peer in peers if peer.key == path[1]]
        if not peers and key is not None and not is_relay(path) and path[4]:
            self._engine.bindings.datagram(path, key, data)
            return
        if not peers:
            raise PeerError("disco message from a key that is not in the map")
        self._bound(peers[0], KNOWN if is_relay(path) or any(path in peer.candidates for peer in peers) else STRANGE)
        message = codec.open(self._engine.crypto, self._box(peers[0]), data)
        handler = None if message is None else self._handlers.get(type(message))
        if handler is not None:
            peer = self._whose(peers, message)
            self._bound(peer, OPENED)
            handler(peer, path, message)

    def _whose(self, peers: "list[Peer]", message: "Any") -> "Peer":
        if len(peers) > 1:
            ping = self._pending.get(message.txid) if isinstance(message, codec.Pong) else None
            key = message.node_key if isinstance(message, codec.Ping) else b"" if ping is None else ping.peer.key
            for peer in peers:
                if peer.key == key:
                    return peer
        return peers[0]

    def _bound(self, peer: "Peer", kind: int) -> None:
        second = self._engine.now // 1000
        since, count = peer.bursts[kind]
        count = count + 1 if since == second else 1
        if count > PER_SECOND[kind]:
            raise PeerError(f"{peer.name()}: more than {PER_SECOND[kind]} disco messages in a second")
        peer.bursts = tuple([(second, count) if each == kind else peer.bursts[each] for each in range(len(peer.bursts))])

    def _ping(self, peer: "Peer", path: "Path", message: "Any") -> None:
        if (message.node_key and message.node_key != peer.key) or peer.last_ping == (message.txid, path):
            return
        peer.last_ping = (message.txid, path)
        source, port = (RELAYED, path[0]) if is_relay(path) else (path[2], path[3])
        self._send(peer, path, codec.Pong(message.txid, source, port))
        self._engine.paths.heard(peer, path)
        if not is_relay(path) and path[4]:
            self._engine.bindings.pinged(peer, path)
        if self._engine.now < self._engine.greets_until and not peer.sessions():
            self._engine.sessions.start(peer)

    def _pong(self, peer: "Peer", path: "Path", message: "Any") -> None:
        ping = self._pending.get(message.txid)
        if ping is None or ping.peer is not peer or is_relay(ping.path) != is_relay(path):
            return
        self._forget(message.txid)
        if ping.padding:
            self._engine.mtus.answered(peer, ping.path, ping.padding)
            return
        latency = self._engine.now - ping.sent
        if not is_relay(ping.path):
            self._engine.paths.pong(peer, ping.path, latency)
        self._answer(peer, ping.path, latency)

    def _called(self, peer: "Peer", path: "Path", message: "Any") -> None:
        if is_relay(path):
            self._engine.paths.heard(peer, path)
            self._engine.paths.called(peer, list(message.endpoints))

    def _challenged(self, peer: "Peer", path: "Path", message: "Any") -> None:
        if not is_relay(path) and path[4]:  # a relay that uses its node's disco key
            self._engine.bindings.challenged(peer.disco, path, message)

    # the "ping" command

    def ask(self, token: "Any", peer: "Peer") -> None:
        """A person wants to know: the best path, or all candidates and the relay; the first answer counts."""
        engine = self._engine
        self._asked[token] = (peer, engine.now + TIMEOUT)
        engine.timers.set(("asked", token), engine.now + TIMEOUT)
        best, relay = peer.best, engine.paths.relay(peer)
        answers = best is not None and engine.paths.trusted(peer)
        if answers:
            assert best is not None
            self.ping(peer, best.path)
        engine.paths.probe_now(peer)
        if relay is not None and not answers:
            engine.relays.open(relay[0])
            self.ping(peer, relay)

    def _answer(self, peer: "Peer", path: "Path", latency: int) -> None:
        for token in [token for token, (asked, _) in self._asked.items() if asked is peer]:
            del self._asked[token]
            self._engine.timers.cancel(("asked", token))
            self._engine.done(token, ping_result(self._engine, peer, path, latency))

    def unanswered(self, token: "Any") -> None:
        """Timer: nothing answered the command."""
        found = self._asked.pop(token, None)
        if found is not None:
            why = self._engine.why(found[0].key)
            self._engine.done(token, {"error": f"{found[0].name()} did not answer in {TIMEOUT // 1000} s", "why": why})

    # timers

    def timeout(self, txid: bytes) -> None:
        """Timer: a ping was not answered."""
        ping = self._pending.get(txid)
        if ping is not None:
            self._forget(txid)
            if not is_relay(ping.path) and not ping.padding:
                self._engine.paths.missed(ping.peer, ping.path)

    def _forget(self, txid: bytes) -> None:
        ping = self._pending.pop(txid)
        ping.peer.pings -= 1
        self._engine.timers.cancel(("ping", txid))

    def remove(self, peer: "Peer") -> None:
        """The peer leaves, or has another disco key."""
        for txid in [txid for txid, ping in self._pending.items() if ping.peer is peer]:
            self._forget(txid)

    def withdraw(self, peer: "Peer") -> None:
        """The peer left the map: commands that wait for it end."""
        for token in [token for token, (asked, _) in self._asked.items() if asked is peer]:
            del self._asked[token]
            self._engine.timers.cancel(("asked", token))
            self._engine.done(token, {"error": f"{peer.name()} left the network"})


def ping_result(engine: "Engine", peer: "Peer", path: "Path", latency: int) -> "dict[str, Any]":
    """What the "ping" command answers with."""
    from skerry_core import path as paths

    region = path[0] if is_relay(path) else 0
    via = "" if region or not path[4] else peerrelay.address(path)
    kind = "relay" if region else "peer-relay" if via else "direct"
    text = engine.relays.text(region) if region else engine.peer_relays.text(peer, path) if via else paths.text(path)
    return {
        "latency_ms": latency,
        "path": kind,
        "text": text,
        "endpoint": text if kind == "direct" else "",
        "peer_relay": via,
        "region": region,
        "region_code": engine.relays.code(region) if region else "",
        "node": peer.node.name if peer.node is not None else "",
        "key": peer.key.hex(),
    }
