"""Virtual time: an event heap, seeded randomness, a hash over everything that happened, and a counter for each kind of fault."""

import hashlib
import heapq
import random
from collections import Counter
from collections.abc import Callable

EPOCH_MS = 1_790_000_000_000  # the wall clock when a simulation starts


class World:
    """`now` is virtual milliseconds since the start; nothing here reads a real clock."""

    def __init__(self, seed: int) -> None:
        self.now = 0
        self.random = random.Random(seed)
        self.hits: Counter[str] = Counter()
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._trace = hashlib.sha256()
        self.events = 0

    def after(self, delay: int, action: Callable[[], None]) -> None:
        """Call `action` in `delay` ms; equal times keep the order of the calls."""
        self._sequence += 1
        heapq.heappush(self._heap, (self.now + max(0, delay), self._sequence, action))

    def delay(self) -> int:
        """One way through the Internet: 10..60 ms, drawn for each datagram and piece of a stream."""
        return 10 + int(self.random.random() * 51)

    def bytes(self, n: int) -> bytes:
        return self.random.randbytes(n)

    def source(self, name: str) -> Callable[[int], bytes]:
        """A random source of its own for one participant, so that one's use does not change another's."""
        return random.Random(f"{name}-{self.random.getrandbits(64)}").randbytes

    def trace(self, what: str, *details: object) -> None:
        """Add one thing that happened to the trace."""
        self._trace.update(f"{self.now} {what} {details}\n".encode())

    def hash(self) -> str:
        return self._trace.hexdigest()

    def run(self, until: int) -> None:
        """Advance to `until` ms, event by event."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= until:
            self.now, _, action = pop(heap)
            self.events += 1
            action()
        self.now = until
