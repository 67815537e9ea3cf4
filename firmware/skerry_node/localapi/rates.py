"""Rates: what went through since somebody asked before, each second. Nothing is measured while nobody asks.

Two looks are kept, the newer one for whoever asks next, so that several callers do not shorten each other's time to nothing. A look
older than STALE is no "last seconds" and is thrown away.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COUNTED = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets")
SHORTEST, FRESH, STALE = 200, 1_000, 10_000  # ms


class Rates:
    """`measure(document, now)` fills in `rates` of the document and of each of its peers: null where there is nothing to compare with."""

    def __init__(self) -> None:
        self._looks: list[tuple[int, dict[str, tuple[int, ...]]]] = []

    def measure(self, document: "dict[str, Any]", now: int) -> None:
        """`now` in monotonic ms."""
        counts = {row["key"]: tuple(row[name] for name in COUNTED) for row in document["peers"]}
        self._looks = [look for look in self._looks if now - look[0] <= STALE]
        before = next(((at, old) for at, old in self._looks if now - at >= SHORTEST), None)
        total = [0] * len(COUNTED)
        for row in document["peers"]:
            row["rates"] = None
            if before is not None:
                passed = difference(counts[row["key"]], before[1].get(row["key"]))
                total = [a + b for a, b in zip(total, passed, strict=True)]
                row["rates"] = each_second(passed, now - before[0])
        document["rates"] = None if before is None else {"over_ms": now - before[0], **each_second(total, now - before[0])}
        if not self._looks or now - self._looks[-1][0] >= FRESH:
            self._looks = [*self._looks[-1:], (now, counts)]


def difference(counts: "tuple[int, ...]", before: "tuple[int, ...] | None") -> "list[int]":
    """0 for a peer that is new or began anew."""
    if before is None:
        return [0] * len(counts)
    return [max(0, now - then) for now, then in zip(counts, before, strict=True)]


def each_second(passed: "list[int]", milliseconds: int) -> "dict[str, int]":
    """By name."""
    return {name: 1000 * count // milliseconds for name, count in zip(COUNTED, passed, strict=True)}
