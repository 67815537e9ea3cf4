"""A STUN server's decisions (RFC 8489, Binding only), sans-IO: `Answerer.answer(data, address, port, now)`.

A request is a well-formed Binding request: first 16 bits 0001, length, magic cookie 2112a442, 12 bytes transaction id, attributes.
With FINGERPRINT (0x8028, what Tailscale's clients send) it must be right. The answer is a success response with XOR-MAPPED-ADDRESS
alone: 32 bytes for IPv4, 44 for IPv6. Against the shortest request (20 bytes, and the headers of IP and UDP) that is less than twice
the bytes received. Anything else is dropped without an answer; so is what one source asks above a rate.

Not done: other methods, credentials, CHANGE-REQUEST. The caller answers from the address and port that were asked.
"""

from __future__ import annotations

from collections import Counter

from skerry_core import stun
from skerry_core.errors import PeerError
from skerry_gateway.relay.bucket import Bucket

MAX_REQUEST = 1280
SOURCES = 4096
BURST = 64
REFILL_MS = 20  # a spoofed victim gets at most 50 short datagrams a second


class Answerer:
    """Counters: answered, ignored, limited."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._sources: dict[bytes, Bucket] = {}

    def answer(self, data: bytes, address: bytes, port: int, now: int) -> bytes | None:
        """`address`: 4 or 16 raw bytes (a v4-mapped one counts as IPv4). None: say nothing."""
        txid = _transaction(data)
        if txid is None:
            self.counters["ignored"] += 1
            return None
        if address.startswith(bytes(10) + b"\xff\xff"):
            address = address[12:]
        if not self._bucket(address[:8]).take(now):
            self.counters["limited"] += 1
            return None
        self.counters["answered"] += 1
        return stun.response(txid, address, port)

    def _bucket(self, source: bytes) -> Bucket:
        """The rate of one IPv4 address or one IPv6 /64; the table is bounded, whoever asked longest ago is forgotten."""
        bucket = self._sources.pop(source, None) or Bucket(REFILL_MS, BURST)
        if len(self._sources) >= SOURCES:
            self._sources.pop(next(iter(self._sources)))
        self._sources[source] = bucket
        return bucket


def _transaction(data: bytes) -> bytes | None:
    if len(data) > MAX_REQUEST:
        return None
    try:
        return stun.parse_request(data)
    except PeerError:
        return None
