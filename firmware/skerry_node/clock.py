"""Time for the engine: `now()` counts on while the board sleeps (CLOCK_BOOTTIME), `Wall` notices when the clock was set."""

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

JUMP = 1000  # ms; less is drift that the engine need not hear of
OLDEST = 1_700_000_000_000  # ms; a wall clock before this was never set


def now() -> int:
    """Milliseconds since boot."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wall() -> int:
    """Milliseconds since 1970 as this host believes."""
    return time.time_ns() // 1_000_000


class Wall:
    """`jumped(now)` gives the wall time in ms at the first call and whenever it moved against `now`, else None."""

    def __init__(self, read: "Callable[[], int]" = wall) -> None:
        self._read = read
        self._offset: int | None = None

    def jumped(self, monotonic: int) -> "int | None":
        """Ask at every wake-up."""
        value = self._read()
        offset = value - monotonic
        if self._offset is not None and abs(offset - self._offset) < JUMP:
            return None
        self._offset = offset
        return value
