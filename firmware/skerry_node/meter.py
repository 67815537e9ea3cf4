"""Reads how many bytes the node has moved, and keeps the record in DIR/data.json.

Read every EVERY, when the addresses change, when somebody asks, and at the end; written when MUCH has come together or LONG has passed, so
that flash does not wear: a power cut costs that much of the record. Bytes belong to the uplink that has the default route at that
moment. While the day is not known (a clock that was never set) they wait.
"""

import json
import os
import time

from . import clock, usage
from .state import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .node import Node

NAME = "data.json"
EVERY, LONG = 600_000, 3_600_000  # ms
MUCH = 1 << 20  # bytes
LIMIT = 1 << 20  # bytes of the file


class Meter:
    """A timer of the node's."""

    def __init__(self, node: "Node", files: "Files | None" = None) -> None:
        self._node, self._files = node, files or Files()
        self._path = os.path.join(node.state.path, NAME)
        self._usage = self._load()
        self._increments = usage.Increments()
        self._undated: dict[tuple[str, str], tuple[int, int]] = {}
        self._uplink, self._uplinks = uplink(), node.uplinks
        now = clock.now()
        self._at, self._written, self._unwritten = now + EVERY, now, 0

    def _load(self) -> usage.Usage:
        try:
            with open(self._path, "rb") as file:
                return usage.load(json.loads(file.read(LIMIT)))
        except FileNotFoundError:
            return usage.Usage()
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            self._node.log.trouble(f"{self._path} cannot be read: bytes are counted from nothing", clock.now())
            return usage.Usage()

    def next_timer(self) -> int:
        """When to read again."""
        return self._at

    def handle_timer(self, now: int) -> None:
        """Read when it is time or when the uplinks changed; write when there is enough."""
        moved = self._node.uplinks is not self._uplinks
        if now < self._at and not moved:
            return
        self._uplinks = self._node.uplinks
        self._at = now + EVERY
        self.read()
        if self._unwritten >= MUCH or (self._unwritten and now - self._written >= LONG):
            self.write(now)

    def read(self) -> usage.Usage:
        """The record, up to now."""
        for purpose, (sent, received) in self._increments.take(self._node.traffic()).items():
            before = self._undated.get((self._uplink, purpose), (0, 0))
            self._undated[self._uplink, purpose] = (before[0] + sent, before[1] + received)
            self._unwritten += sent + received
        self._uplink = uplink()
        day = self.today()
        if day:
            for (name, purpose), (sent, received) in self._undated.items():
                self._usage.add(day, name, purpose, sent, received)
            self._undated = {}
        return self._usage

    def today(self) -> str:
        """The day by this board's clock and time zone, "" while it was never set."""
        wall = clock.wall()
        return time.strftime("%Y-%m-%d", time.localtime(wall // 1000)) if wall >= clock.OLDEST else ""

    def write(self, now: int) -> None:
        """Keep it. A disk that is full loses the record, not the node."""
        data = json.dumps(self._usage.document(), separators=(",", ":")).encode()
        self._written = now
        try:
            self._files.write(self._path + ".new", data)
            self._files.rename(self._path + ".new", self._path)
            self._unwritten = 0
        except OSError as error:
            self._node.log.trouble(f"cannot write {self._path}: {error.strerror or error}", now)

    def close(self) -> None:
        """The node ends."""
        self.read()
        if self._unwritten:
            self.write(clock.now())

    def shown(self) -> "dict[str, Any]":
        """For the portal."""
        return {**self.read().document(), "today": self.today(), "uplink": self._uplink}


def uplink() -> str:
    """The interface with the default route, IPv4's before IPv6's; "none" where there is none."""
    return default4() or default6() or "none"


def default4(path: str = "/proc/net/route") -> str:
    """The interface of IPv4's default route with the lowest metric (Documentation/networking: Iface Destination ... Metric Mask)."""
    found = [(int(row[6]), row[0]) for row in _rows(path)[1:] if len(row) >= 8 and row[1] == row[7] == "00000000" and int(row[3], 16) & 1]
    return min(found)[1] if found else ""


def default6(path: str = "/proc/net/ipv6_route") -> str:
    """The same for IPv6 (destination, its bits, ..., metric in hex, ..., interface); the kernel's own "unreachable" is on lo."""
    default = [row for row in _rows(path) if len(row) >= 10 and row[0] == "0" * 32 and row[1] == "00" and row[9] != "lo"]
    found = [(int(row[5], 16), row[9]) for row in default]
    return min(found)[1] if found else ""


def _rows(path: str) -> "list[list[str]]":
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return [line.split() for line in file.read(1 << 20).splitlines()]
    except OSError:
        return []
