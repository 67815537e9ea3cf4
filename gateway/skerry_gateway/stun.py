"""A STUN server's decisions (RFC 8489, Binding only), sans-IO: `Answerer.answer(data, address, port, now)`.

Answered is the request that Tailscale's clients and our own send (40 bytes: SOFTWARE "tailnode" and a right FINGERPRINT), so that nobody
takes a gateway for a public STUN service. The answer has XOR-MAPPED-ADDRESS alone: 32 bytes for IPv4, 44 for IPv6, so a forged source
address is never sent more than 1.1 times what the forger spends. What one source asks above a rate is dropped before it is looked at.

Not done: other requests and methods, credentials, CHANGE-REQUEST. The caller answers from the address and port that were asked.
"""

from __future__ import annotations

from collections import Counter

from skerry_core import stun
from skerry_core.rate import Rate

REQUEST = 40  # bytes
SOURCES = 4096
BURST = 64
REFILL_MS = 20  # a spoofed victim gets at most 50 short datagrams a second


class Answerer:
    """Counters: answered, ignored, limited."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._sources: dict[bytes, Rate] = {}

    def answer(self, data: bytes, address: bytes, port: int, now: int) -> bytes | None:
        """`address`: 4 or 16 raw bytes (a v4-mapped one counts as IPv4). None: say nothing."""
        if len(data) != REQUEST or not stun.is_stun(data):
            self.counters["ignored"] += 1
            return None
        if address.startswith(bytes(10) + b"\xff\xff"):
            address = address[12:]
        if not self._rate(address[:8]).take(now):
            self.counters["limited"] += 1
            return None
        txid = stun.parse_request(data)
        self.counters["ignored" if txid is None else "answered"] += 1
        return None if txid is None else stun.response(txid, address, port)

    def _rate(self, source: bytes) -> Rate:
        """The rate of one IPv4 address or one IPv6 /64; the table is bounded, whoever asked longest ago is forgotten."""
        rate = self._sources.pop(source, None) or Rate(REFILL_MS, BURST)
        if len(self._sources) >= SOURCES:
            self._sources.pop(next(iter(self._sources)))
        self._sources[source] = rate
        return rate
