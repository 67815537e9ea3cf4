"""A heap of things to do at a time. An entry is never taken out early: whoever set it checks, when it comes up, whether it still counts."""

import heapq
from typing import Any


class Timers:
    def __init__(self) -> None:
        self._heap: list[tuple[int, int, tuple[Any, ...]]] = []
        self._count = 0

    def add(self, at: int, *what: Any) -> None:
        """`what` comes back from due() at `at` (monotonic ms) or later."""
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, what))

    def next(self) -> int | None:
        return self._heap[0][0] if self._heap else None

    def due(self, now: int) -> list[tuple[Any, ...]]:
        """What has come up, in order of time; what is added meanwhile waits for the next call."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            found.append(heapq.heappop(self._heap)[2])
        return found
