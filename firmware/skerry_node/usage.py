"""What the network cost: bytes of each uplink and purpose, by day. Decides and remembers; no I/O.

```
{"version": 1, "days": {"2026-12-01": {"eth0": {"direct": [sent, received], "relay": ..., "control": ..., "discovery": ...}}}}
```
Bytes as the uplink carries them: with IP, UDP and TCP headers, without the link's own. `direct`: sealed packets and handshakes over UDP,
through a UDP relay too; `discovery`: disco and STUN; `relay` and `control`: the TCP connections to relays and gateway.
At most DAYS days and UPLINKS uplinks a day are kept; further uplinks count as "other".
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Pair = list[int]

PURPOSES = ("direct", "relay", "control", "discovery")
DAYS, UPLINKS = 62, 8
OTHER = "other"


class Usage:
    """`days` as above, the oldest first."""

    def __init__(self, days: "dict[str, dict[str, dict[str, Pair]]] | None" = None) -> None:
        self.days = days or {}

    def add(self, day: str, uplink: str, purpose: str, sent: int, received: int) -> None:
        """So much more on that day."""
        row = self.days.setdefault(day, {})
        if uplink not in row and len(row) >= UPLINKS:
            uplink = OTHER
        pair = row.setdefault(uplink, {}).setdefault(purpose, [0, 0])
        pair[0] += sent
        pair[1] += received
        while len(self.days) > DAYS:
            del self.days[min(self.days)]

    def document(self) -> "dict[str, Any]":
        """JSON-able."""
        return {"version": 1, "days": self.days}


def load(document: "Any") -> Usage:
    """What was saved; ValueError when it is not that."""
    if not isinstance(document, dict) or document.get("version") != 1 or not isinstance(document.get("days"), dict):
        raise ValueError("not a record of bytes")
    found = Usage()
    for day in sorted(document["days"])[-DAYS:]:
        for uplink, purposes in document["days"][day].items():
            for purpose, pair in purposes.items():
                sent, received = pair
                if purpose in PURPOSES and is_day(day) and all(type(n) is int and 0 <= n < 1 << 63 for n in (sent, received)):
                    found.add(day, uplink[:15], purpose, sent, received)
    return found


def is_day(text: object) -> bool:
    """Whether it is written as a day is."""
    return isinstance(text, str) and len(text) == 10 and text[4] == text[7] == "-" and text.replace("-", "").isdigit() and text.isascii()


class Increments:
    """Turns totals since some moment into what came since the last look; a total that falls adds nothing."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] = {}

    def take(self, totals: "dict[str, tuple[int, int]]") -> "dict[str, tuple[int, int]]":
        """purpose: (sent, received) since the last call."""
        found = {}
        for purpose, now in totals.items():
            last = self._last.get(purpose, (0, 0))
            more = (max(0, now[0] - last[0]), max(0, now[1] - last[1]))
            self._last[purpose] = (last[0] + more[0], last[1] + more[1])
            if more != (0, 0):
                found[purpose] = more
        return found
