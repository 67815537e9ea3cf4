"""An engine goes on in another process: what it hands over, and what the next one makes of it. The document is in skerry_core.handover.

The transport of the next process has the peers and sessions already and carries packets with them before this engine exists. So a peer of
the map that was handed over keeps its number and its sessions, the changes that a start makes anyway (allowed IPs, paths, filter, edges)
replace what is there, and peers that are no longer in the map are removed, all in the first transaction.

After a crash there is only a hint: no session and no number counts, but who was talked to is offered a session at once where it was last.
"""

from skerry_core import handover as document
from skerry_core.engine.paths import FROM_PING, TRUST
from skerry_core.engine.peer import Candidate, Session
from skerry_core.engine.sessions import REJECT_AFTER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.engine.engine import Engine
    from skerry_core.engine.peer import Peer


def give(engine: "Engine") -> "dict[str, Any]":
    """The document; after it this engine must not be used any more."""
    uplinks = []
    for each in engine.netcheck.uplinks:
        addresses = [[family, address.hex()] for family, address in each["addresses"]]
        uplinks.append({"uplink": each["uplink"], "addresses": addresses})
        uplinks[-1].update({"port4": each["port4"], "port6": each["port6"], "via": each["via"]})
    return {
        "version": document.VERSION,
        "node": engine.node_public.hex(),
        "stamp": engine.clock.last.hex(),
        "uplinks": uplinks,
        "peers": {peer.key.hex(): _peer(engine, peer) for peer in engine.peers.all()},
    }


def hint(engine: "Engine") -> "dict[str, Any]":
    """For an engine that follows a crash, when the sessions are lost: whom we talk to, and where they are. Renewed now and then."""
    found = give(engine)
    found["hint"], found["peers"] = True, {}
    for peer in engine.peers.all():
        if engine.paths.active(peer) or peer.current is not None:
            shown = _peer(engine, peer)
            shown.update({"handshake": True, "timers": {}, "keepalive_again": False, "previous": None, "current": None, "next": None})
            found["peers"][peer.key.hex()] = shown
    return found


def _peer(engine: "Engine", peer: "Peer") -> "dict[str, Any]":
    shown: dict[str, Any] = {
        "index": peer.index,
        "stamp": peer.stamp.hex(),
        "handshake": peer.handshake_since is not None,
        "keepalive_again": peer.keepalive_again,
        "heard_region": peer.heard_region,
        "timers": {},
        "best": _best(engine, peer),
    }
    for slot in document.SLOTS:
        session = getattr(peer, slot)
        shown[slot] = None if session is None else [session.local, session.created, session.initiator]
    for name in document.TIMES:
        shown[name] = getattr(peer, name)
    for name in document.TIMERS:
        at = engine.timers.at((name, peer.index))
        if at is not None:
            shown["timers"][name] = at
    return shown


def _best(engine: "Engine", peer: "Peer") -> "list[Any] | None":
    if peer.best is None or peer.best.path[4]:
        return None
    uplink, _, address, port, _ = peer.best.path
    return [uplink, address.hex(), port, min(peer.best.latency, 60_000), max(peer.trusted_until, 0)]


class Resumption:
    """What is left of a handover while an engine starts with it; nothing when it was started without."""

    def __init__(self, engine: "Engine", given: "Any") -> None:
        """LocalError: `given` is not a document."""
        self._engine = engine
        self._given = None if given is None else document.Handover(given)
        self._ours = self._given is not None and self._given.node == engine.node_public
        self._waiting: dict[bytes, document.PeerState] = {} if self._given is None else dict(self._given.peers)
        self._handshakes: list[Peer] = []
        self._uplinks: Any = None

    def begin(self) -> None:
        """Before the peers are made."""
        engine, given = self._engine, self._given
        if given is None:
            return
        for state in given.peers.values():
            engine.peers.count = max(engine.peers.count, state.index)
        if not self._ours:
            self._remove_waiting()
        else:
            if not given.hint:  # the crashed one gave more stamps after it
                engine.clock.resume(given.stamp)
            engine.netcheck.resume(given.uplinks)
            self._uplinks = given.uplinks

    def number(self, key: bytes) -> "int | None":
        """The number that a peer of this key has in the transport."""
        return self._waiting[key].index if key in self._waiting else None

    def peer(self, peer: "Peer") -> None:
        """A peer was made: give it what was handed over of it."""
        state = self._waiting.pop(peer.key, None)
        if state is None:
            return
        now, timers = self._engine.now, self._engine.timers
        peer.stamp = max(peer.stamp, state.stamp)
        peer.keepalive_again, peer.heard_region = state.keepalive_again, state.heard_region
        for name, at in state.times.items():
            setattr(peer, name, None if at is None else min(at, now))
        for slot, (local, created, initiator) in state.sessions.items():
            session = Session(local, min(created, now), initiator)
            setattr(peer, slot, session)
            self._engine.sessions.known(local, peer)
            timers.set(("session", local), session.created + REJECT_AFTER)
        for name, due in state.timers.items():
            if due is not None:
                timers.set((name, peer.index), due)
        if state.best is not None:
            self._path(peer, *state.best)
        if state.handshake:
            self._handshakes.append(peer)

    def _path(self, peer: "Peer", where: "Any", latency: int, trusted_until: int) -> None:
        candidate = peer.candidates[where] = peer.best = Candidate(where)
        candidate.sources, candidate.latency, candidate.heard = FROM_PING, latency, self._engine.now
        peer.trusted_until = min(trusted_until, self._engine.now + TRUST)
        self._engine.timers.set(("trust", peer.index), peer.trusted_until)

    def end(self) -> None:
        """The peers are made: who is left is not in the map any more."""
        self._remove_waiting()
        for peer in self._handshakes:
            self._engine.sessions.start(peer)

    def _remove_waiting(self) -> None:
        for state in self._waiting.values():
            if self._given is not None and not self._given.hint:
                self._engine.apply(("remove", state.index))
        self._waiting = {}

    def same_uplinks(self, uplinks: "list[dict[str, Any]]") -> bool:
        """Whether the first report of the uplinks says what was handed over: then nothing has changed."""
        known, self._uplinks = self._uplinks, None
        return bool(known) and known == uplinks
