"""Answers that were given before, as long as their TTLs say: bounded in entries and bytes, the oldest go first.

Positive answers live by their smallest TTL, "no such name" and "nothing of that type" by their SOA (RFC 2308, at most 5 min); neither
longer than an hour, and never an answer without a lifetime. What asked for signatures has entries of its own.
"""

from collections import OrderedDict

from skerry_core.dns import message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.dns.message import Answer

ENTRIES, BYTES = 512, 256 * 1024
LONGEST, LONGEST_NEGATIVE = 3600, 300  # s


class Cache:
    """Times are ms of the caller's clock."""

    def __init__(self, entries: int = ENTRIES, size: int = BYTES) -> None:
        self._entries, self._size = entries, size
        self._kept: OrderedDict[Any, tuple[Answer, int, int]] = OrderedDict()
        self.size = 0
        self.hits = self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Other servers may say something else."""
        self._kept = OrderedDict()
        self.size = 0

    def get(self, key: "Any", now: int) -> "tuple[Answer, int] | None":
        """(answer, its age in s)."""
        found = self._kept.get(key)
        if found is None or now >= found[2]:
            if found is not None:
                self._remove(key)
            self.misses += 1
            return None
        self.hits += 1
        return found[0], (now - found[1]) // 1000

    def put(self, key: "Any", answer: "Answer", now: int) -> None:
        """Keep it, if it may be kept."""
        positive = answer.rcode == message.NOERROR and answer.records > 0
        lifetime = min(answer.lifetime, LONGEST if positive else LONGEST_NEGATIVE)
        if key in self._kept:
            self._remove(key)
        if lifetime <= 0 or answer.truncated or len(answer.data) > self._size // 4:
            return
        self._kept[key] = (answer, now, now + 1000 * lifetime)
        self.size += len(answer.data)
        while len(self._kept) > self._entries or self.size > self._size:
            self._remove(next(iter(self._kept)))

    def _remove(self, key: "Any") -> None:
        self.size -= len(self._kept[key][0].data)
        del self._kept[key]
