"""WireGuard sessions: handshakes and every timer of the protocol. The transport seals, opens and reports edges; nothing here sees data.

    SENT        current session 120 s old and ours (165 s in any case)      -> handshake
    RECEIVED    current session 165 s old and ours                          -> handshake
    SENT, then nothing RECEIVED for 15 s                                    -> handshake
    DATA, then nothing SENT for 10 s                                        -> keepalive
    HANDSHAKE   (data waits, no session), LIMIT (messages near the limit)   -> handshake
    handshake unanswered for 5 s + 0..333 ms                                -> again, with a new stamp, for 90 s
    ... in the first minute after a start that had known peers              -> the first four 500 ms apart: the peer is likely there
    session 180 s old                                                       -> forgotten, keys wiped by the transport

An edge is armed again a second after it fired, so an idle peer costs nothing and a busy one a few events a second. Where one edge of
a pair fired early in that second and the other comes later, the first is armed once more at once: an answer is not missed.
An initiation with an old stamp is not answered; where nothing else has come from that peer for 15 s, we start a handshake instead.
Both sides may start at once; each answers the other and both pairs of keys work. A responder rekeys at 165 s, should no initiator be left.

Source: the WireGuard paper, section 6. A session expires at 180 s, so the wipe at 540 s has nothing left to do.
"""

from skerry_core.engine.peer import Session
from skerry_core.errors import PeerError
from skerry_core.path import is_relay
from skerry_core.wireguard import messages
from skerry_core.wireguard.handshake import Initiator, open_initiation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from skerry_core.engine.engine import Engine
    from skerry_core.engine.peer import Path, Peer

SENT, RECEIVED, HANDSHAKE, CONFIRMED, LIMIT, DATA = 1, 2, 4, 8, 16, 32
WATCH = SENT | RECEIVED | DATA
REKEY_AFTER, REKEY_LATE, REJECT_AFTER = 120_000, 165_000, 180_000
RETRY, RETRY_JITTER, GIVE_UP = 5_000, 334, 90_000
SOON, HURRIED = 500, 4
KEEPALIVE, DEAD, REARM = 10_000, 15_000, 1_000
FLOOD = 20  # ms between initiations of one peer that are answered
TIMERS = ("handshake", "dead", "keepalive", "rearm")


class Sessions:
    """The sessions of all peers. Local indices are random and unique over handshakes and sessions."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._indices: dict[int, Peer] = {}
        self._edges = (
            (CONFIRMED, self._confirmed),
            (SENT, self._sent),
            (RECEIVED, self._received),
            (DATA, self._data),
            (HANDSHAKE, self._wanted),
            (LIMIT, self._limit),
        )

    def known(self, local: int, peer: "Peer") -> None:
        """A session that the transport has already uses this index."""
        self._indices[local] = peer

    # what comes in

    def edge(self, peer: "Peer", what: int) -> None:
        """An ("edge", ...) of the transport."""
        for bit, handler in self._edges:
            if what & bit:
                handler(peer)

    def datagram(self, path: "Path", data: bytes) -> None:
        """A handshake message. PeerError: it is of no use, nothing changed."""
        kind = messages.kind(data)
        if kind == messages.INITIATION:
            self._initiation(path, data)
        elif kind == messages.RESPONSE:
            self._response(data)
        elif kind == messages.COOKIE_REPLY:
            peer = self._indices.get(messages.receiver_index(data))
            if peer is None:
                raise PeerError("cookie reply for an index that is not in use")
            peer.cookies.consume(data, self._engine.now)
        else:
            raise PeerError(f"datagram of {len(data)} bytes is no handshake message")

    def _initiation(self, path: "Path", data: bytes) -> None:
        engine = self._engine
        initiation = open_initiation(engine.crypto, engine.node_private, engine.node_public, data)
        peer = engine.peers.by_key.get(initiation.peer_public)
        if peer is None or (is_relay(path) and path[1] != peer.key):
            raise PeerError("handshake initiation from a key that is not in the map")
        if initiation.tai64n <= peer.stamp or (peer.answered is not None and engine.now - peer.answered < FLOOD):
            self._refused(peer)
            raise PeerError(f"handshake initiation of {peer.name()} is a replay, or one of a flood")
        local = self._index(peer)
        message, keys = initiation.respond(engine.random(32), local, peer.cookies.current(engine.now))
        peer.stamp, peer.answered = initiation.tai64n, engine.now
        peer.cookies.sent(message)
        self._forget(peer, peer.next)
        peer.next = self._install(peer, "next", local, keys.remote_index, keys.send, keys.receive, False)
        engine.paths.heard(peer, path)
        engine.send(path, message)

    def _refused(self, peer: "Peer") -> None:
        """Its stamps are old: a replay, or its card was copied or restored, and then it cannot begin a session but we can."""
        times = [at for at in (peer.answered, peer.last_received) if at is not None]
        if not times or self._engine.now - max(times) >= DEAD:
            self.start(peer)

    def _response(self, data: bytes) -> None:
        peer = self._indices.get(messages.receiver_index(data))
        initiator = None if peer is None else _waiting(peer, messages.receiver_index(data))
        if peer is None or initiator is None:
            raise PeerError("handshake response that nothing waits for")
        keys = initiator.consume(data)
        self._end_handshake(peer, keep=initiator.sender_index)
        self._forget(peer, peer.previous)
        if peer.next is not None:  # never confirmed: it may still bring something, but must not replace a newer session
            self._forget(peer, peer.current)
            peer.current, peer.next = peer.next, None
        peer.previous = peer.current
        peer.current = self._install(peer, "current", initiator.sender_index, keys.remote_index, keys.send, keys.receive, True)
        self._engine.timers.cancel(("dead", peer.index))
        peer.last_received = self._engine.now
        self._engine.session_live(peer)

    # edges

    def _confirmed(self, peer: "Peer") -> None:
        if peer.next is None:
            return
        self._forget(peer, peer.previous)
        peer.previous, peer.current, peer.next = peer.current, peer.next, None
        self._end_handshake(peer)
        self._engine.session_live(peer)

    def _sent(self, peer: "Peer") -> None:
        engine, session = self._engine, peer.current
        self._fired(peer, SENT, RECEIVED)
        engine.timers.cancel(("keepalive", peer.index))
        peer.keepalive_again = False
        if session is not None:
            if engine.timers.at(("dead", peer.index)) is None:
                engine.timers.set(("dead", peer.index), engine.now + DEAD)
            engine.doubts.sent(peer)
            if engine.now - session.created >= (REKEY_AFTER if session.initiator else REKEY_LATE):
                self.start(peer)
        engine.paths.activity(peer)

    def _received(self, peer: "Peer") -> None:
        engine, session = self._engine, peer.current
        self._fired(peer, RECEIVED, 0)
        peer.last_received = engine.now
        engine.timers.cancel(("dead", peer.index))
        engine.doubts.received(peer)
        if session is not None and session.initiator and engine.now - session.created >= REKEY_LATE:
            self.start(peer)

    def _data(self, peer: "Peer") -> None:
        engine = self._engine
        self._fired(peer, DATA, SENT)
        if engine.timers.at(("keepalive", peer.index)) is None:
            engine.timers.set(("keepalive", peer.index), engine.now + KEEPALIVE)
        else:
            peer.keepalive_again = True

    def _wanted(self, peer: "Peer") -> None:
        self._engine.paths.activity(peer)
        self.start(peer)

    def _limit(self, peer: "Peer") -> None:
        self.start(peer)

    def _fired(self, peer: "Peer", bit: int, partner: int) -> None:
        engine = self._engine
        peer.armed &= ~bit
        again = partner & ~peer.armed & ~peer.extra
        if again:
            peer.extra |= again
            self.arm(peer, again)
        if engine.timers.at(("rearm", peer.index)) is None:
            engine.timers.set(("rearm", peer.index), engine.now + REARM)

    def arm(self, peer: "Peer", mask: int) -> None:
        """Ask the transport to report these edges once."""
        peer.armed |= mask & WATCH
        self._engine.apply(("arm", peer.index, mask))

    # handshakes of ours

    def start(self, peer: "Peer") -> None:
        """A session is wanted; nothing new happens while a handshake is under way."""
        if peer.handshake_since is None:
            peer.handshake_since = self._engine.now
            peer.hurry = HURRIED if self._engine.now < self._engine.greets_until else 0
            self._attempt(peer)

    def way_open(self, peer: "Peer", direct: bool) -> None:
        """A path to the peer appeared: a handshake that did not leave yet goes out now.

        One that waits in the buffer of a relay leaves by itself when that relay is up, but a direct path need not wait for it.
        """
        gone = peer.initiated_live if direct else peer.initiated_kept
        if peer.handshake_since is not None and not gone:
            peer.initiated = None
            self._attempt(peer)

    def way_lost(self, peer: "Peer") -> None:
        """A relay failed with what it held."""
        peer.initiated_kept = False

    def network_changed(self, peer: "Peer") -> None:
        """Our address changed: the answer to a handshake under way may be lost, so ask again at once."""
        if peer.handshake_since is not None:
            peer.initiated = None
            self._attempt(peer)

    def _attempt(self, peer: "Peer") -> None:
        engine, since = self._engine, peer.handshake_since
        assert since is not None
        if engine.now - since >= GIVE_UP:
            self._end_handshake(peer)
            self._engine.apply(("purge", peer.index))  # what waited for 90 s would surprise whoever gets it
            return
        wait = SOON if peer.hurry else RETRY
        earliest = engine.now if peer.initiated is None else peer.initiated + wait
        if earliest > engine.now:
            engine.timers.set(("handshake", peer.index), earliest)
            return
        jitter = 0 if peer.hurry else int.from_bytes(engine.random(2), "big") % RETRY_JITTER
        engine.timers.set(("handshake", peer.index), engine.now + wait + jitter)
        self._initiate(peer)

    def _initiate(self, peer: "Peer") -> None:
        engine = self._engine
        paths, peer.initiated_live, peer.initiated_kept = engine.paths.for_control(peer)
        if not paths:
            return
        index = self._index(peer)
        try:
            initiator = Initiator(
                engine.crypto, engine.node_private, engine.node_public, peer.key, engine.random(32), index,
                engine.stamp(), peer.cookies.current(engine.now),
            )  # fmt: skip
        except PeerError:  # the map gave it a low-order key: there is nobody to talk to
            del self._indices[index]
            return
        if peer.superseded is not None:
            self._indices.pop(peer.superseded.sender_index, None)
        peer.superseded, peer.initiator, peer.initiated = peer.initiator, initiator, engine.now
        peer.hurry = max(0, peer.hurry - 1)
        peer.cookies.sent(initiator.message)
        for path in paths:
            engine.send(path, initiator.message)

    def _end_handshake(self, peer: "Peer", keep: "int | None" = None) -> None:
        for initiator in (peer.initiator, peer.superseded):
            if initiator is not None and initiator.sender_index != keep:
                self._indices.pop(initiator.sender_index, None)
        peer.initiator = peer.superseded = peer.handshake_since = None
        self._engine.timers.cancel(("handshake", peer.index))

    # sessions

    def _index(self, peer: "Peer") -> int:
        while True:
            index = int.from_bytes(self._engine.random(4), "big")
            if index not in self._indices:
                self._indices[index] = peer
                return index

    def _install(self, peer: "Peer", slot: str, local: int, remote: int, send: bytes, receive: bytes, initiator: bool) -> Session:
        engine = self._engine
        engine.apply(("session", peer.index, slot, local, remote, send, receive))
        engine.timers.set(("session", local), engine.now + REJECT_AFTER)
        peer.last_handshake = engine.now
        return Session(local, engine.now, initiator)

    def _forget(self, peer: "Peer", session: "Session | None") -> None:
        # mostly the transport replaced it already; not where it promoted what we replace here, and its "edge" is still on the way
        if session is not None:
            self._indices.pop(session.local, None)
            self._engine.apply(("expire", peer.index, session.local))
            self._engine.timers.cancel(("session", session.local))

    def remove(self, peer: "Peer") -> None:
        """The peer leaves; the transport's own removal is the caller's."""
        self._end_handshake(peer)
        for session in peer.sessions():
            self._forget(peer, session)
        peer.current = peer.next = peer.previous = None
        for name in TIMERS:
            self._engine.timers.cancel((name, peer.index))

    # timers

    def expired(self, local: int) -> None:
        """Timer of one session: 180 s are over."""
        peer = self._indices.pop(local, None)
        if peer is None:
            return
        self._engine.apply(("expire", peer.index, local))
        if peer.current is not None and peer.current.local == local:
            peer.current = None
            self._engine.timers.cancel(("keepalive", peer.index))
            self._engine.timers.cancel(("dead", peer.index))
        elif peer.next is not None and peer.next.local == local:
            peer.next = None
        elif peer.previous is not None and peer.previous.local == local:
            peer.previous = None
        self._engine.state_changed()

    def retry(self, peer: "Peer") -> None:
        """Timer: the handshake got no answer."""
        if peer.handshake_since is not None:
            if not peer.hurry:  # half a second is no reason to doubt a relay
                self._engine.check_relays(peer)
            self._attempt(peer)

    def dead(self, peer: "Peer") -> None:
        """Timer: data went out and nothing came back."""
        self._engine.check_relays(peer)
        self.start(peer)

    def keepalive(self, peer: "Peer") -> None:
        """Timer: data came in and nothing went out."""
        session = peer.current
        if session is None or self._engine.now - session.created >= REJECT_AFTER:  # this timer is late, and the session's comes next
            return
        self._engine.apply(("keepalive", peer.index))
        if peer.keepalive_again:
            peer.keepalive_again = False
            self._engine.timers.set(("keepalive", peer.index), self._engine.now + KEEPALIVE)

    def rearm(self, peer: "Peer") -> None:
        """Timer: a second after an edge fired."""
        peer.extra = 0
        if WATCH & ~peer.armed:
            self.arm(peer, WATCH & ~peer.armed)


def _waiting(peer: "Peer", index: int) -> "Initiator | None":
    for initiator in (peer.initiator, peer.superseded):
        if initiator is not None and initiator.sender_index == index:
            return initiator
    return None
