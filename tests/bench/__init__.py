"""Benchmarks side by side with the official client in one run: `make bench`. Ratios first, medians with their spread, the machine named."""

import statistics


class Measured:
    """The values of one measure for both daemons, in `unit`, less being better.

    The goal: `times` what the official client needs, or at most `limit`, whichever is given.
    """

    def __init__(self, name: str, unit: str, goal: str, times: float | None = None, limit: float | None = None, digits: int = 2) -> None:
        self.name, self.unit, self.goal, self.digits = name, unit, goal, digits
        self._times, self._limit = times, limit
        self.values: dict[str, list[float]] = {"skerryd": [], "tailscaled": []}

    def ratio(self) -> float:
        """Our median by theirs."""
        return statistics.median(self.values["skerryd"]) / statistics.median(self.values["tailscaled"])

    def met(self) -> bool:
        """Whether the goal is reached."""
        median = statistics.median(self.values["skerryd"])
        return (self._limit is None or median <= self._limit) and (self._times is None or self.ratio() <= self._times)
