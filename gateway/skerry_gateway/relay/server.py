"""The relay: admits clients by their node key and hands packets from one to the other.

`Relay` has the shape of every server of the gateway (ARCHITECTURE.md): bytes and `now` in, bytes out, no sockets and no clock.
Who may connect is decided by the callback `allow(node_key) -> bool`; it must know a key before the map that names this relay
reaches the node. `withdraw(node_key)` ends its connections at once, queued packets included.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from skerry_core import derp
from skerry_gateway.relay.clients import Clients
from skerry_gateway.relay.session import Session

DISCO_MAGIC = b"TS\xf0\x9f\x92\xac"
DISCO_HEADER = 6 + 32 + 24
MAX_OF_KEY = 4  # connections of one node key: a node, its half-open connection of before, a copied card


class Relay:
    """`crypto`: the crypto interface; `random(n) -> bytes`; `private`: the relay's own X25519 key (not the control key).

    `counters`: packets, bytes, dropped_queue, dropped_nobody, dropped_control, refused, accepted, duplicates, unknown_frames.
    """

    def __init__(self, crypto: Any, random: Callable[[int], bytes], private: bytes, allow: Callable[[bytes], bool]) -> None:
        self.crypto = crypto
        self.private = private
        self.public: bytes = crypto.x25519_public(private)
        self.counters: Counter[str] = Counter()
        self.clients = Clients()
        self._random = random
        self._allow = allow
        self._local: dict[bytes, Callable[[bytes, bytes, int], None]] = {}
        self._ready: dict[Session, None] = {}
        self._timers: list[tuple[int, int, Session]] = []
        self._serial = 0

    def attach(self, key: bytes, receive: Callable[[bytes, bytes, int], None]) -> None:
        """A key of this process: `receive(source, data, now)` gets the packets for it; no client can have it. See send_from()."""
        self._local[key] = receive

    def send_from(self, key: bytes, destination: bytes, data: bytes) -> None:
        """A packet of an attached key; lost when its destination is not connected. `ready()` has the session."""
        target = self.clients.active(destination)
        if target is not None:
            self._deliver(target, key, data)

    def open(self, remote: tuple[str, int], now: int) -> Session:
        """One connection after its HTTP upgrade; its first `take()` is the ServerKey frame."""
        session = Session(self, remote, now)
        self._watch(session)
        return session

    def ready(self) -> list[Session]:
        """Sessions that have something to write, or are closed, because of others' doings; cleared by the call."""
        ready = list(self._ready)
        self._ready.clear()
        return ready

    def next_timer(self) -> int | None:
        while self._timers and self._timers[0][2].closed is not None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def handle_timer(self, now: int) -> None:
        while self._timers and self._timers[0][0] <= now:
            session = heapq.heappop(self._timers)[2]
            if session.closed is not None:
                continue
            if session.due <= now:
                session.timer(now)
                self._ready[session] = None
            if session.closed is None:
                self._watch(session)

    def withdraw(self, node_key: bytes, now: int) -> int:
        """The key is no member any more: end its connections; returns how many there were."""
        sessions = self.clients.connections(node_key)
        for session in sessions:
            session.end("this node was removed", now)
            self._ready[session] = None
        return len(sessions)

    def recheck(self, now: int) -> None:
        """Ask `allow` again for everyone who is connected and end those it refuses."""
        for key in self.clients.everyone():
            if not self._allow(key):
                self.withdraw(key, now)

    # What sessions call.

    def admits(self, key: bytes) -> bool:
        return key not in self._local and self._allow(key)

    def admitted(self, session: Session, now: int) -> None:
        self.counters["accepted"] += 1
        self.counters["duplicates"] += session.key in self.clients
        self.clients.add(session)
        for other in self.clients.connections(session.key)[:-MAX_OF_KEY]:
            other.end("too many connections of one key", now)
            self._ready[other] = None
        session.out.put_control(derp.server_info(self.crypto, self.private, session.key, self._random(24)))
        session.schedule_keepalive(now)  # later than the deadline it waits for in the heap, which therefore need not change

    def packet(self, source: Session, destination: bytes, data: bytes, now: int) -> None:
        self.clients.wrote(source)
        if destination in self._local:
            self._local[destination](source.key, data, now)
            return
        target = self.clients.active(destination)
        if target is None:
            self._nobody(source, destination, _is_disco(data), now)
            return
        self._deliver(target, source.key, data)
        self.clients.delivered(source.key, destination)

    def _deliver(self, target: Session, source: bytes, data: bytes) -> None:
        frame = derp.recv_packet(source, data)
        self.counters["packets"] += 1
        self.counters["bytes"] += len(data)
        self.counters["dropped_queue"] += target.out.put_disco(frame) if _is_disco(data) else target.out.put_data(frame)
        self._ready[target] = None

    def ended(self, session: Session, now: int) -> None:
        self._ready.pop(session, None)
        if not session.admitted:
            return
        gone = derp.peer_gone(session.key, derp.GONE_DISCONNECTED)
        self._tell(self.clients.remove(session), gone)

    def jitter(self, limit: int) -> int:
        return int.from_bytes(self._random(4), "big") % limit

    def _nobody(self, source: Session, destination: bytes, disco: bool, now: int) -> None:
        self.counters["dropped_nobody"] += 1
        if disco and source.not_here.take(now):
            source.out.put_control(derp.peer_gone(destination, derp.GONE_NOT_HERE))

    def _tell(self, keys: Iterable[bytes], frame: bytes) -> None:
        for key in sorted(keys):
            for session in self.clients.connections(key):
                self.counters["dropped_control"] += session.out.put_control(frame)
                self._ready[session] = None

    def _watch(self, session: Session) -> None:
        self._serial += 1
        heapq.heappush(self._timers, (session.due, self._serial, session))


def _is_disco(data: bytes) -> bool:
    return len(data) >= DISCO_HEADER and data.startswith(DISCO_MAGIC)
