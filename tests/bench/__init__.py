"""Benchmarks side by side with the official client in one run: `make bench`. Ratios first, medians with their spread, the machine named."""

import statistics
from collections.abc import Callable
from pathlib import Path

OURS, THEIRS = "skerryd", "tailscaled"


class Measured:
    """The values of one measure for both daemons, in `unit`. With `more` more is better, else less.

    The goal: `times` the official client's median (at least with `more`, else at most), `limit` in `unit`, or `above` in `unit` over
    theirs; those that are given. `invalid` is the reason why the values say nothing.
    """

    def __init__(
        self,
        name: str,
        unit: str,
        goal: str,
        times: float | None = None,
        limit: float | None = None,
        above: float | None = None,
        more: bool = False,
        digits: int = 2,
    ) -> None:
        self.name, self.unit, self.goal, self.digits, self.more = name, unit, goal, digits, more
        self._times, self._limit, self._above = times, limit, above
        self.values: dict[str, list[float]] = {OURS: [], THEIRS: []}
        self.invalid = ""
        self.picture: Callable[[Path], None] | None = None  # draws into that file instead of the usual dots

    def median(self, kind: str) -> float | None:
        """Of one daemon; None without values."""
        return statistics.median(self.values[kind]) if self.values[kind] else None

    def ratio(self) -> float | None:
        """Our median by theirs; None where there is nothing to divide."""
        ours, theirs = self.median(OURS), self.median(THEIRS)
        return ours / theirs if ours is not None and theirs else None

    def met(self) -> bool | None:
        """Whether the goal is reached; None when that cannot be told."""
        ours, theirs, ratio = self.median(OURS), self.median(THEIRS), self.ratio()
        if self.invalid or ours is None:
            return None
        if self._times is not None:
            if ratio is None:
                return None
            if not self._reaches(ratio, self._times):
                return False
        if self._above is not None:
            if theirs is None:
                return None
            if not self._reaches(ours, theirs + self._above):
                return False
        return self._limit is None or self._reaches(ours, self._limit)

    def _reaches(self, value: float, mark: float) -> bool:
        return value >= mark if self.more else value <= mark
