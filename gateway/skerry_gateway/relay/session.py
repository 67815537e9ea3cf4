"""One client's connection to the relay, from the first byte after the HTTP upgrade.

`HANDLERS` is the state machine: for each state the frames that mean something in it. A frame that is in no state is skipped, as the
protocol asks; a known frame in the wrong state, a wrong length, or a frame that needs a mesh key ends the connection.

Not done here: forwarding between relays, health and restart notices, rate limits per client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from skerry_core import derp
from skerry_core.errors import PeerError
from skerry_core.rate import Rate
from skerry_gateway.relay.queues import Outbox

if TYPE_CHECKING:
    from skerry_gateway.relay.server import Relay

SETUP_MS = 10_000
KEEPALIVE_MS = 60_000
KEEPALIVE_JITTER_MS = 5_000
PING_BYTES = range(8, 1001)


class Session:
    """Made by `Relay.open()`. `remote` is (address text, port) for the log."""

    def __init__(self, relay: Relay, remote: tuple[str, int], now: int) -> None:
        self.remote = remote
        self.key = b""
        self.closed: str | None = None
        self.out = Outbox()
        self.due = now + SETUP_MS
        self.preferred = False
        self.not_here = Rate(1000, 3)
        self._relay = relay
        self._state = "greeting"
        self._frames = derp.Deframer(derp.MAX_INFO)
        self.out.put_control(derp.server_key(relay.public))

    @property
    def admitted(self) -> bool:
        return self._state == "open"

    def receive(self, data: bytes, now: int) -> None:
        """Any cut of bytes; never raises for what the client sent."""
        if self.closed is not None:
            return
        try:
            for kind, payload in self._frames.feed(data):
                self._frame(kind, payload, now)
                if self.closed is not None:
                    return
        except PeerError as error:
            self.end(f"protocol error: {error}", now)

    def take(self) -> bytes:
        """What to write; b"" when nothing."""
        return self.out.take()

    def close(self, now: int) -> None:
        """The connection is gone."""
        self.end("connection closed", now)

    def end(self, reason: str, now: int) -> None:
        if self.closed is not None:
            return
        self.closed = reason
        self.out.drop_packets()
        self._relay.ended(self, now)

    def timer(self, now: int) -> None:
        """The relay calls it when `due` has come."""
        if not self.admitted:
            self.end(f"no client info within {SETUP_MS // 1000} s", now)
            return
        self.out.put_control(derp.frame(derp.KEEP_ALIVE))
        self.schedule_keepalive(now)

    def schedule_keepalive(self, now: int) -> None:
        self.due = now + KEEPALIVE_MS + self._relay.jitter(KEEPALIVE_JITTER_MS)

    def _frame(self, kind: int, payload: bytes, now: int) -> None:
        handler = HANDLERS[self._state].get(kind)
        if handler is not None:
            handler(self, payload, now)
        elif kind in KNOWN:
            raise PeerError(f"frame 0x{kind:02x} is not allowed in state {self._state}")
        else:
            self._relay.counters["unknown_frames"] += 1

    def _client_info(self, payload: bytes, now: int) -> None:
        key, _ = derp.open_client_info(self._relay.crypto, self._relay.private, payload)
        if not self._relay.admits(key):
            self._relay.counters["refused"] += 1
            self.end("this node key is not in a network of this gateway", now)
            return
        self.key = key
        self._state = "open"
        self._relay.admitted(self, now)

    def _send_packet(self, payload: bytes, now: int) -> None:
        destination, data = derp.parse_packet(payload)
        self._relay.packet(self, destination, data, now)

    def _note_preferred(self, payload: bytes, now: int) -> None:
        self.preferred = derp.parse_note_preferred(payload)

    def _ping(self, payload: bytes, now: int) -> None:
        if len(payload) not in PING_BYTES:
            raise PeerError(f"frame 0x12: {len(payload)} bytes, need {PING_BYTES.start} to {PING_BYTES.stop - 1}")
        self._relay.counters["dropped_control"] += self.out.put_control(derp.frame(derp.PONG, payload))

    def _ignore(self, payload: bytes, now: int) -> None:
        """A pong, or a keepalive of a client: it shows life and nothing else."""

    def _needs_mesh_key(self, payload: bytes, now: int) -> None:
        raise PeerError("a frame for relays of one mesh came from a client without a mesh key")


Handler = Callable[[Session, bytes, int], None]
HANDLERS: dict[str, dict[int, Handler]] = {
    "greeting": {derp.CLIENT_INFO: Session._client_info},
    "open": {
        derp.SEND_PACKET: Session._send_packet,
        derp.NOTE_PREFERRED: Session._note_preferred,
        derp.PING: Session._ping,
        derp.PONG: Session._ignore,
        derp.KEEP_ALIVE: Session._ignore,
        derp.FORWARD_PACKET: Session._needs_mesh_key,
        derp.WATCH_CONNS: Session._needs_mesh_key,
        derp.CLOSE_PEER: Session._needs_mesh_key,
    },
}
KNOWN = {*HANDLERS["greeting"], *HANDLERS["open"], derp.SERVER_KEY, derp.SERVER_INFO, derp.RECV_PACKET, derp.PEER_GONE, derp.PEER_PRESENT}
