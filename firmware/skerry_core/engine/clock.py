"""Wall time of a board that may have no clock: the local clock, the gateway's time, and TAI64N stamps that only ever grow.

A stamp given to a peer must be above every stamp that peer took from our key, over restarts, wrong clocks and clocks set back. So a
ceiling is saved some hours ahead of the stamps in use, before the first stamp above the old ceiling is used; a restart goes on from
the saved ceiling. Stamps of a clock beyond LATEST are not believed: a clock once wrong by decades would else burn the key for ever.

The gateway's time (ControlTime) wins over a local clock that differs by more than a minute, and key expiry is judged by it alone.
"""

from skerry_core.errors import LocalError
from skerry_core.wireguard import tai64n

LATEST = 2_111_616_000_000  # 2036-11-30, ten years after this was built
AHEAD = 4 * 3600  # seconds the saved ceiling is ahead: six writes a day at most
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
        self._local: "int | None" = None  # wall ms at monotonic 0
        self._control = None if control is None else -1
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
        if value <= self.ceiling:
            return value, False
        seconds = int.from_bytes(value[:8], "big") + AHEAD
        self.ceiling = seconds.to_bytes(8, "big") + value[8:]
        return value, True


def parse_time(text: object) -> "int | None":
    """RFC 3339 to Unix ms, None when it is absent, malformed or Go's zero time."""
    if not isinstance(text, str) or len(text) < 20 or text[:4] == "0001":
        return None
    try:
        date, clock = text[:10].split("-"), text[11:19].split(":")
        days = _days(int(date[0]), int(date[1]), int(date[2]))
        seconds = int(clock[0]) * 3600 + int(clock[1]) * 60 + int(clock[2])
        return (days * 86400 + seconds - _zone(text[19:])) * 1000
    except (ValueError, IndexError):
        return None


def _zone(tail: str) -> int:
    if tail.startswith("."):
        digits = 1
        while digits < len(tail) and tail[digits].isdigit():
            digits += 1
        tail = tail[digits:]
    if tail in ("Z", "z"):
        return 0
    sign = {"+": 1, "-": -1}.get(tail[:1])
    if sign is None:
        raise ValueError(tail)
    hours, minutes = tail[1:].split(":")
    return sign * (int(hours) * 3600 + int(minutes) * 60)


def _days(year: int, month: int, day: int) -> int:
    # days since 1970-01-01 in the proleptic Gregorian calendar, counted from March so that the leap day is the last of a year
    if not (1 <= month <= 12 and 1 <= day <= 31):
        raise ValueError(day)
    year -= 1 if month <= 2 else 0
    era, month = year // 400, (month + 9) % 12
    of_era = year - era * 400
    of_year = (153 * month + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
