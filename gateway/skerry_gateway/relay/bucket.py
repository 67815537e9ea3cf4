"""A token bucket over integer milliseconds: `take(now)` is True while the rate allows it."""


class Bucket:
    def __init__(self, interval: int, burst: int) -> None:
        """`interval`: milliseconds per token; `burst`: how many may be taken at once."""
        self._interval = interval
        self._capacity = interval * burst
        self._level = self._capacity
        self._last: int | None = None

    def take(self, now: int) -> bool:
        if self._last is not None:
            self._level = min(self._capacity, self._level + max(0, now - self._last))
        self._last = now
        if self._level < self._interval:
            return False
        self._level -= self._interval
        return True
