"""Every timer of a node in one heap: name -> absolute time in ms. Setting a name again moves it; next() is exact.

A moved or cancelled timer leaves a stale heap entry behind, which is dropped when it comes to the top.
"""

import heapq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Name = tuple[Any, ...]


class Timers:
    """Named timers; names are tuples whose first item says who handles them."""

    def __init__(self) -> None:
        self._at: dict[Name, int] = {}
        self._heap: list[tuple[int, int, Name]] = []
        self._count = 0

    def set(self, name: "Name", at: int) -> None:
        """(Re)start the timer `name`, due at `at`."""
        if self._at.get(name) == at:
            return
        self._at[name] = at
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, name))
        if len(self._heap) > 64 + 4 * len(self._at):
            self._compact()

    def cancel(self, name: "Name") -> None:
        """Stop the timer; nothing happens when it does not run."""
        self._at.pop(name, None)

    def at(self, name: "Name") -> "int | None":
        """When the timer is due, None when it does not run."""
        return self._at.get(name)

    def next(self) -> "int | None":
        """The earliest due time, None when no timer runs."""
        while self._heap:
            at, _, name = self._heap[0]
            if self._at.get(name) == at:
                return at
            heapq.heappop(self._heap)
        return None

    def due(self, now: int) -> "Name | None":
        """Stop and return the earliest timer that is due, None when there is none."""
        at = self.next()
        if at is None or at > now:
            return None
        name = heapq.heappop(self._heap)[2]
        del self._at[name]
        return name

    def _compact(self) -> None:
        heap = []
        for entry in self._heap:
            if self._at.get(entry[2]) == entry[0]:
                heap.append(entry)
        heapq.heapify(heap)
        self._heap = heap
