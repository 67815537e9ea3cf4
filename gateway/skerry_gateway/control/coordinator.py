"""The coordination server's decisions, without sockets, clocks or threads: sessions in, bytes out, the store underneath.

    open(remote, now) -> Session     receive(data, now), take(), closed, close(now): see session.py
    ready() -> list of sessions      which have something because of others' doings; cleared by the call
    handle_timer(now), next_timer()  keepalives, grace before "offline", key expiry, ephemeral nodes, old sign-in pages

How a change of the network reaches everybody is in changes.py, registration in enrolment.py; here are the server's shape and
POST /machine/map. `now` is monotonic milliseconds.
"""

import contextlib
import json
import weakref
from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import DBAPIError

from skerry_core.noise.control import ControlResponder
from skerry_core.tailcfg.keys import encode_key
from skerry_gateway.policy.logins import CHECK_PATH
from skerry_gateway.store import Store, queries

from . import hostinfo
from .changes import EPHEMERAL_MS, GRACE_MS
from .enrolment import Enrolment
from .hostinfo import Live
from .maps import MapStream
from .session import Request, Session
from .twins import ANSWER, mark_of

KEEPALIVE_MS, KEEPALIVE_SPREAD_MS = 50_000, 9_000
HANDSHAKE_MS = 10_000
IDLE_MS = 15 * 60_000  # a connection without a map stream or waiting request may idle this long
STRANGER_IDLE_MS = 60_000  # one of a machine that is no node
MAX_OF_MACHINE, MAX_OF_STRANGERS = 8, 64  # connections of one machine; of machines that are no nodes, from one remote host
RETRY_MS = 10_000  # what time brings is tried again after this when the database refused
MAX_STALLED = 3  # keepalive periods in which a reader took nothing


class Coordinator(Enrolment):
    """See the module. `crypto` is the architecture's crypto interface, `random(n)` gives n random bytes, `wall_ms` is right at `now`."""

    def __init__(
        self,
        store: Store,
        private_key: bytes,
        crypto: Any,
        random: Callable[[int], bytes],
        derp_map: dict[str, Any],
        now: int,
        wall_ms: int,
        *,
        url: str = "http://localhost:8080",
        suffix: str | None = None,
    ) -> None:
        super().__init__(store, random, derp_map, now, wall_ms, suffix)
        self._private, self._crypto = private_key, crypto
        self.public_key: bytes = crypto.x25519_public(private_key)
        self.url = url.rstrip("/")
        self.sessions: dict[Session, None] = {}
        self._alike: dict[Any, dict[Session, None]] = {}  # connections by machine, those of strangers by remote host
        self._opened = 0

    def status(self, now: int) -> dict[str, Any]:
        """Counts for people who watch, and the last trouble of the gateway's own."""
        online = sum(1 for node_id in self.members.nodes if self.live[node_id].online)
        counts = {"nodes": len(self.members.nodes), "online": online, "streams": len(self.maps.streams), "sessions": len(self.sessions)}
        pending = len(self.sign_ins.open(self.wall(now)))
        return {**counts, "users": len(self.members.users), "pending": pending, "trouble": self.trouble}

    def key_json(self) -> dict[str, Any]:
        """The answer to GET /key."""
        return {"legacyPublicKey": encode_key("mkey", bytes(32)), "publicKey": encode_key("mkey", self.public_key)}

    # the server's shape

    def open(self, remote: Any, now: int) -> Session:
        """A connection after its upgrade; feed it the 101-byte initiation first."""
        session = Session(self, remote, now)
        self._opened += 1
        session.number = self._opened
        self.sessions[session] = None
        self._timers.add(now + HANDSHAKE_MS, self._check_session, weakref.ref(session))
        return session

    def ready(self) -> list[Session]:
        found, self._ready = list(self._ready), {}
        return found

    def next_timer(self) -> int | None:
        return self._timers.next()

    def handle_timer(self, now: int) -> None:
        self._last_now = max(self._last_now, now)
        for what, *arguments in self._timers.due(now):
            try:
                what(*arguments, now)
            except DBAPIError as error:
                self.trouble = f"the database refused: {error.orig}"
                self._timers.add(now + RETRY_MS, what, *arguments)
        self.flush(now)

    def stop(self, now: int) -> None:
        """The gateway stops: streams end, and when nodes were seen last is stored."""
        wall = self.wall(now)
        with contextlib.suppress(DBAPIError), self.store.write() as c:  # a full disk must not hold up the stop
            for node_id in self.maps.streams:
                queries.update_node(c, self.members.network.id, node_id, last_seen_ms=wall)
        for session in list(self.sessions):
            session.end("the gateway stops", now)
            self._ready[session] = None

    # what sessions call

    def responder(self) -> tuple[ControlResponder, bytes]:
        return ControlResponder(self._crypto, self._private), self._random(32)

    def arrived(self, session: Session, now: int) -> None:
        """The handshake is done: one machine, and the strangers of one host, have a bounded number of connections; the oldest go."""
        self._leave_group(session)
        stranger = session.machine_key not in self.members.by_machine
        session.group = session.host if stranger else session.machine_key
        alike = self._alike.setdefault(session.group, {})
        alike[session] = None
        if len(alike) > (MAX_OF_STRANGERS if stranger else MAX_OF_MACHINE):
            # whoever became a node meanwhile is no stranger any more
            oldest = next((s for s in alike if not stranger or s.machine_key not in self.members.by_machine), None)
            if oldest is not None:
                oldest.end("too many connections", now)
                self._ready[oldest] = None

    def _leave_group(self, session: Session) -> None:
        alike = self._alike.get(session.group)
        if alike is not None and alike.pop(session, True) is None and not alike:
            del self._alike[session.group]

    def asked(self, session: Session, request: Request, now: int) -> None:
        """A whole request has arrived."""
        if request.method == "GET" and request.path.startswith(CHECK_PATH):
            self._ssh_action(session, request.stream, request.path, now)
            return
        handler = _ROUTES.get((request.method, request.path.partition("?")[0]))
        if handler is None:
            status = 501 if request.path.startswith("/machine/") else 404
            session.respond(request.stream, status, b"not offered by this gateway", kind="text/plain")
            return
        try:
            body = json.loads(bytes(request.body))
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            session.respond(request.stream, 400, b"the body is not a JSON object", kind="text/plain")
            return
        try:
            handler(self, session, request.stream, body, now)
        except DBAPIError as error:  # a full or broken disk is no reason to drop everybody
            self.trouble = f"the database refused: {error.orig}"
            session.respond(request.stream, 503, b"the gateway cannot store this now", kind="text/plain")
        self.flush(now)

    def stream_over(self, session: Session, stream: int, now: int) -> None:
        """The client cancelled a request."""
        self.sign_ins.leave(session, stream)
        self.ssh_checks.leave(session, stream)
        poll = session.poll
        if poll is not None and poll.stream == stream:
            self._stream_ended(poll, now)

    def drained(self, session: Session) -> None:
        """The reader took everything: changes that waited for room can go."""
        if session.poll is not None:
            self.maps.flush(self._last_now, self.wall(self._last_now), session.poll)

    def over(self, session: Session, now: int) -> None:
        """A connection is gone."""
        self.sessions.pop(session, None)
        self._leave_group(session)
        self.sign_ins.leave(session)
        self.ssh_checks.leave(session)
        if session.poll is not None:
            self._stream_ended(session.poll, now)

    # POST /machine/map

    def _map(self, session: Session, stream: int, body: dict[str, Any], now: int) -> None:
        node = self.members.of_machine(session.machine_key)
        # another machine's key in the body is answered like one that nobody has
        if node is None or hostinfo.key(body.get("NodeKey"), "nodekey") != node.node_key:
            session.respond(stream, 404, b"node not found", kind="text/plain")
            return
        if self._copied(session, node.id, body, now):
            session.respond(stream, 409, ANSWER)
            return
        if session.group != session.machine_key:
            self.arrived(session, now)  # it became a node on this connection
        live, compress = self.live[node.id], body.get("Compress") == "zstd"
        live.update(body, fallback=body.get("Stream") is True)
        info = body.get("Hostinfo")
        if isinstance(info, dict) and info and body.get("Stream") is not True:
            self._introduce(node, info, hostinfo.integer(body.get("Version"), 1, 65535) or node.version, now)
        self.maps.touch(node.id)
        if body.get("Stream") is True:
            self._begin(MapStream(node.id, session, stream, compress), live, now)
        elif body.get("OmitPeers") is True:
            session.respond(stream, 200, b"")
        elif not session.room:
            session.respond(stream, 429, b"read the answers before this one first", kind="text/plain")
        else:
            session.respond(stream, 200, self.maps.one_shot(node.id, session, compress, self.wall(now)))

    def _copied(self, session: Session, node_id: int, body: dict[str, Any], now: int) -> bool:
        """Whether this process is a copy of the node's. Those that it proves to be copies are put out."""
        mark = mark_of(body)
        session.mark = mark or session.mark
        for copy in self.twins.heard(node_id, mark, session.number, self.wall(now), body.get("Stream") is True):
            for other in list(self._alike.get(session.machine_key, ())):
                if other.mark == copy and self.twins.is_copy(node_id, copy):
                    other.end("a copy of another device's state", now)
                    self._ready[other] = None
        return self.twins.is_copy(node_id, mark)

    def _begin(self, stream: MapStream, live: Live, now: int) -> None:
        stream.session.respond(stream.stream, 200, b"", kind="application/octet-stream", end=False)
        stream.sent_at = now
        before = self.maps.begin(stream)
        if before is not None:
            before.session.push(before.stream, b"", end=True)
            self._ready[before.session] = None
        live.offline_at = None
        if not live.online:
            live.online, live.seen_ms = True, self.wall(now)
            self.maps.touch(stream.node_id)
            self.maps.carry()
        self._timers.add(now + self._keepalive_in(), self._keep_alive, weakref.ref(stream))

    def _stream_ended(self, stream: MapStream, now: int) -> None:
        if self.maps.finish(stream) and stream.node_id in self.live:
            live = self.live[stream.node_id]
            live.offline_at, live.seen_ms = now + GRACE_MS, self.wall(now)
            self._timers.add(now + GRACE_MS, self._go_offline, stream.node_id)

    # timers

    def _keepalive_in(self) -> int:
        return KEEPALIVE_MS + int.from_bytes(self._random(2), "big") * KEEPALIVE_SPREAD_MS // 65536

    def _keep_alive(self, reference: "weakref.ref[MapStream]", now: int) -> None:
        stream = reference()
        if stream is None or self.maps.streams.get(stream.node_id) is not stream:
            return
        session = stream.session
        stream.stalled = stream.stalled + 1 if session.unread else 0
        if stream.stalled >= MAX_STALLED:
            session.end("nothing was read for minutes", now)
        elif now - stream.sent_at >= KEEPALIVE_MS and session.room:
            session.push(stream.stream, self.maps.keepalive[stream.compress])
            stream.sent_at = now
        if session.closed is None:
            self._timers.add(max(now + 1, stream.sent_at + self._keepalive_in()), self._keep_alive, reference)
        self._ready[session] = None

    def _go_offline(self, node_id: int, now: int) -> None:
        live, node = self.live.get(node_id), self.members.nodes.get(node_id)
        if live is None or node is None or live.offline_at is None or live.offline_at > now:
            return
        live.online, live.offline_at = False, None
        self.maps.touch(node_id)
        self.maps.carry()
        if node.ephemeral:
            self._timers.add(now + EPHEMERAL_MS, self._drop_ephemeral, node_id)
        with self.store.write() as c:  # last: peers are told even when the database refuses
            queries.update_node(c, node.network_id, node_id, last_seen_ms=live.seen_ms)

    def _check_session(self, reference: "weakref.ref[Session]", now: int) -> None:
        session = reference()
        if session is None or session not in self.sessions:
            return
        busy = session.poll is not None or self.sign_ins.waits(session) or self.ssh_checks.waits(session)
        patience = IDLE_MS if session.machine_key in self.members.by_machine else STRANGER_IDLE_MS
        if session.machine_key and (busy or now - session.used_at < patience):
            self._timers.add(now + patience, self._check_session, reference)
            return
        session.end("idle" if session.machine_key else "no handshake within 10 seconds", now)
        self._ready[session] = None


_Handler = Callable[[Coordinator, Session, int, dict[str, Any], int], None]
_ROUTES: dict[tuple[str, str], _Handler] = {
    ("POST", "/machine/register"): Coordinator._register,
    ("POST", "/machine/map"): Coordinator._map,
}
