"""How often somebody may do something, a token bucket: `take(now)` is True while the rate allows it. Integer milliseconds."""


class Rate:
    """One thing each `interval` ms on the average, `burst` of them at once."""

    def __init__(self, interval: int, burst: int) -> None:
        self._interval = interval
        self._most = interval * (burst - 1)
        self._debt = 0
        self._last = 0

    def take(self, now: int) -> bool:
        """Whether it is allowed; what is refused costs nothing."""
        if now > self._last:
            self._debt = max(0, self._debt - (now - self._last))
            self._last = now
        if self._debt > self._most:
            return False
        self._debt += self._interval
        return True

    def idle(self, now: int) -> bool:
        """Whether one that is new would behave the same."""
        return now - self._last >= self._debt
