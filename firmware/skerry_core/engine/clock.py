"""Wall time of a board that may have no clock: the local clock, the gateway's time, and TAI64N stamps that only ever grow.

A stamp given to a peer must be above every stamp that peer took from our key, over restarts, wrong clocks and clocks set back. So a
ceiling is saved some hours ahead of the stamps in use, before the first stamp above the old ceiling is used; a restart goes on from
the saved ceiling. Stamps of a clock beyond LATEST are not believed: a clock once wrong by decades would else burn the key for ever.

The gateway's time (ControlTime) wins over a local clock that differs by more than a minute, and key expiry is judged by it alone.
"""

from skerry_core.errors import LocalError, PeerError
from skerry_core.tailcfg import times
from skerry_core.wireguard import tai64n

LATEST = 2_111_616_000_000  # 2036-11-30, ten years after this was built
AHEAD = 4 * 3600  # seconds the saved ceiling is ahead: six writes a day at most
STEP = 1  # the same while stamps are ahead of the clock and grow by 1 ns each: a restart loop must not push them far
SKEW = 60_000


class Clock:
    """`ceiling` (12 bytes) is what must be on disk; `control` is the gateway's time in ms or None."""

    def __init__(self, ceiling: bytes, control: "int | None") -> None:
        if len(ceiling) != tai64n.LENGTH:
            raise LocalError(f"saved TAI64N floor has {len(ceiling)} bytes, need {tai64n.LENGTH}: restore the last good state file")
        if ceiling > tai64n.encode(LATEST + 366 * 86_400_000):
            raise LocalError("saved TAI64N floor is more than ten years ahead: restore the last good state file, or log out and join again")
        self.ceiling = ceiling
        self._last = ceiling
        self._local: int | None = None  # wall ms at monotonic 0
        self._saved_control = control
        self._known = False
        self._offset = 0

    def set_local(self, wall: int, now: int) -> None:
        """The local clock says `wall` at `now`."""
        self._local = wall - now

    def set_control(self, wall: int, now: int) -> None:
        """The gateway says `wall` at `now`."""
        self._known, self._offset = True, wall - now

    def control(self, now: int) -> "int | None":
        """The gateway's time, None until it said so in this run."""
        return self._offset + now if self._known else None

    def wall(self, now: int) -> int:
        """The best estimate of Unix time in ms; 0 when nothing is known."""
        local = None if self._local is None else self._local + now
        control = self.control(now)
        if control is not None and (local is None or abs(local - control) > SKEW):
            return max(control, 0)
        return max(local or 0, self._saved_control or 0, 0)

    def last_control(self, now: int) -> "int | None":
        """What save() keeps of the gateway's time."""
        control = self.control(now)
        return self._saved_control if control is None else control

    def stamp(self, now: int) -> "tuple[bytes, bool]":
        """A stamp above all before, and whether the ceiling moved (and must be saved before the stamp is used)."""
        wall = self.wall(now)
        value = tai64n.stamp(wall if wall < LATEST else 0, self._last)
        self._last = value
        return value, self._raise(value, wall)

    @property
    def last(self) -> bytes:
        """The last stamp given, or the ceiling we began at."""
        return self._last

    def resume(self, last: bytes) -> None:
        """Go on after the last stamp of the process before us, which gives no more, instead of at the ceiling."""
        self._last = min(last, self.ceiling)

    def reserve(self, now: int) -> None:
        """Raise the ceiling for the stamps to come: the caller saves anyway, and the first handshake need not wait for the disk."""
        wall = self.wall(now)
        self._raise(tai64n.stamp(wall if wall < LATEST else 0, self._last), wall)

    def _raise(self, value: bytes, wall: int) -> bool:
        if value <= self.ceiling:
            return False
        from_clock = value[:8] == tai64n.encode(wall)[:8]
        seconds = int.from_bytes(value[:8], "big") + (AHEAD if from_clock else STEP)
        self.ceiling = seconds.to_bytes(8, "big") + value[8:]
        return True


def moment(text: object) -> "int | None":
    """RFC 3339 to Unix ms, None when it is absent, malformed or Go's zero time."""
    try:
        return times.parse(text)
    except PeerError:
        return None
