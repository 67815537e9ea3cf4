"""`skerry/capture`: packets as a pcapng stream, one capture at a time.

The packet path copies packets into a bounded queue; this takes them from it some times a second, as long as there is a caller, and no
faster than the caller reads: what does not fit is lost there, counted, and told in a statistics block. Off, nothing of it runs.
The encrypted side gets IP and UDP headers made up from the addresses and ports: checksums 0, our own address one of the uplinks' or
unspecified. A capture shows traffic, so the verb is one for root. Keys are in neither side.
"""

import struct
import time

from skerry_core.errors import LocalError

from .. import clock, pcapng
from .http import Refusal
from .server import Feed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..node import Node

EVERY = 20  # ms
SIDES = ("decrypted", "encrypted")
SNAPLEN = 65535
WAITING = 256 << 10  # bytes that may wait for the caller; a batch of packets comes on top


class Capture:
    """`open(query, peer)` begins; then it works by its timer until the caller hangs up or what was asked for is there."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._feed: Feed | None = None
        self._at = self._left = self._seen = self._lost = 0
        self._end: int | None = None

    def open(self, query: "dict[str, str]", peer: "int | None") -> Feed:
        """Refusal for a question that makes no sense, and while there is another capture."""
        side = query.get("side", "decrypted")
        if side not in SIDES:
            raise Refusal(400, f"side={side}: expected {' or '.join(SIDES)}")
        count, seconds, snaplen = number(query, "count", 1 << 40), number(query, "seconds", 1 << 31), number(query, "snaplen", SNAPLEN)
        if self._feed is not None and self._feed.closed:
            self._stop()
        try:
            self._node.path.transport.capture_start(side, peer, snaplen or SNAPLEN)
        except LocalError as error:
            raise Refusal(409, str(error)) from None
        now = clock.now()
        self._at, self._left, self._seen, self._lost = now, count or 1 << 62, 0, 0
        self._end = now + 1000 * seconds if seconds else None
        name = self._node.path.name if side == "decrypted" else "udp"
        self._feed = Feed(pcapng.header(name, snaplen or SNAPLEN), "application/x-pcapng")
        return self._feed

    def next_timer(self) -> "int | None":
        """When to look again."""
        return None if self._feed is None else self._at

    def handle_timer(self, now: int) -> None:
        """Pass on what there is."""
        if self._feed is None or now < self._at:
            return
        self._at = now + EVERY
        if self._feed.closed:
            self._stop()
            return
        while self._left and self._feed.waiting < WAITING and self._pass_on():
            pass
        if not self._left or (self._end is not None and now >= self._end):
            feed = self._feed
            feed.line(self._statistics())
            self._stop()
            feed.end()

    def _pass_on(self) -> int:
        assert self._feed is not None
        packets, lost = self._node.path.transport.capture_take()
        packets = packets[: self._left]
        self._left -= len(packets)
        self._seen += len(packets)
        data = b"".join(self._block(*each) for each in packets)
        if lost != self._lost:
            self._lost = lost
            data += self._statistics()
        if data:
            self._feed.line(data)
        return len(packets)

    def _block(self, when: int, direction: int, whole: int, path: "tuple[Any, ...] | None", data: bytes) -> bytes:
        front = b"" if path is None else outer(path, self._own(path), direction == 1, whole)
        return pcapng.packet(when, direction == 1, whole + len(front), front + data)

    def _own(self, path: "tuple[Any, ...]") -> "tuple[bytes, int]":
        family = path[1]
        for uplink in self._node.uplinks:
            for kind, address in uplink["addresses"]:
                if kind == family:
                    return address, self._node.path.ports[family == 6]
        return bytes(4 if family == 4 else 16), self._node.path.ports[family == 6]

    def _statistics(self) -> bytes:
        return pcapng.statistics(time.time_ns(), self._seen + self._lost, self._lost)

    def _stop(self) -> None:
        self._node.path.transport.capture_stop()
        self._feed = None


def number(query: "dict[str, str]", name: str, most: int) -> int:
    """A number of the query, 0 when it is not there."""
    text = query.get(name, "")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 15 and 0 < int(text) <= most):
        raise Refusal(400, f"{name}={text}: expected a number from 1 to {most}")
    return int(text)


def outer(path: "tuple[Any, ...]", own: "tuple[bytes, int]", inward: bool, length: int) -> bytes:
    """IP and UDP headers for a datagram of `length` bytes from or to the other end of a path."""
    other = (path[2], path[3])
    (source, source_port), (destination, port) = (other, own) if inward else (own, other)
    udp = struct.pack(">HHHH", source_port, port, (8 + length) & 0xFFFF, 0)
    if path[1] == 6:
        return struct.pack(">IHBB", 6 << 28, (8 + length) & 0xFFFF, 17, 64) + source + destination + udp
    return struct.pack(">BBHHHBBH", 0x45, 0, (28 + length) & 0xFFFF, 0, 0, 64, 17, 0) + source + destination + udp
