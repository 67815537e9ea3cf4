"""Byte streams between a host and the server: ordered and reliable like TCP; a partition stalls them and, when it lasts, breaks them."""

from collections.abc import Callable

from tests.sim.network import Host
from tests.sim.world import World

GIVE_UP_MS = 60_000  # a stalled stream is broken after this long
MAX_PIECE = 16_384


class End:
    """One end of a stream: write(), close(), and two callbacks."""

    def __init__(self, world: World, host: Host) -> None:
        self.world = world
        self.host = host
        self.other: End | None = None
        self.on_data: Callable[[bytes], None] = lambda _: None
        self.on_close: Callable[[str], None] = lambda _: None
        self.open = True
        self._outbox: list[bytes] = []
        self._last_arrival = 0
        self._stalled_since: int | None = None
        self._closing = False

    def write(self, data: bytes) -> None:
        if self.open and data:
            self._outbox.append(bytes(data))
            self._flush()

    def close(self) -> None:
        """Close after what was written; the other end hears of it when it can be reached."""
        if self.open:
            self._closing = True
            self._flush()

    def cut(self, reason: str) -> None:
        """This end is gone at once, as when its host crashed; the other end hears nothing till it sends or times out."""
        self.open = False
        self._outbox.clear()

    def reset(self) -> None:
        """Broken at both ends, as by a router that forgot it."""
        if self.other is not None:
            self.other._broken("reset")
        self._broken("reset")

    def _flush(self) -> None:
        other = self.other
        if not self.open or other is None:
            return
        if not (self.host.reachable and other.host.reachable):
            self._stall()
            return
        self._stalled_since = None
        if not other.open:
            self._broken("reset by the other end")
            return
        pieces, self._outbox = self._outbox, []
        for piece in pieces:
            for at in range(0, len(piece), MAX_PIECE):
                self._deliver(piece[at : at + MAX_PIECE])
        if self._closing:
            self.open = False
            self._at_arrival(lambda: other._broken("closed by the other end"))

    def _stall(self) -> None:
        if self._stalled_since is None:
            self._stalled_since = self.world.now
            self.world.hits["stall"] += 1
            self.world.after(1000, self._retry)

    def _retry(self) -> None:
        since = self._stalled_since
        if since is None or not self.open:
            return
        if self.world.now - since > GIVE_UP_MS:
            self.world.hits["timeout"] += 1
            self._broken("timed out")
            return
        self._flush()
        if self._stalled_since is not None:
            self.world.after(1000, self._retry)

    def _deliver(self, piece: bytes) -> None:
        other = self.other
        assert other is not None

        def arrive() -> None:
            if other.open:
                self.world.trace("stream", other.host.name, len(piece), piece[:8])
                other.on_data(piece)

        self._at_arrival(arrive)

    def _at_arrival(self, action: Callable[[], None]) -> None:
        """After a delay, never before what was sent earlier."""
        arrival = max(self._last_arrival, self.world.now + self.world.delay())
        self._last_arrival = arrival
        self.world.after(arrival - self.world.now, action)

    def _broken(self, reason: str) -> None:
        if self.open:
            self.open = False
            self.on_close(reason)


def connect(world: World, client: Host, server: Host) -> tuple[End, End]:
    """Two ends that belong together; nothing has travelled yet."""
    a, b = End(world, client), End(world, server)
    a.other, b.other = b, a
    return a, b
