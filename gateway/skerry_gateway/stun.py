"""A STUN server's decisions (RFC 8489, Binding only; RFC 5780), sans-IO: `Answerer.answer(data, address, port, now)`.

Answered is the request that Tailscale's clients and our own send (40 bytes: SOFTWARE "tailnode" and a right FINGERPRINT), so that nobody
takes a gateway for a public STUN service. The answer has XOR-MAPPED-ADDRESS alone: 32 bytes for IPv4, 44 for IPv6, so a forged source
address is never sent more than 1.1 times what the forger spends. What one source asks above a rate is dropped before it is looked at.

Where it is `offered`, our nodes' longer requests about NAT behaviour (skerry_core.stun) are answered over IPv4 as well, those with a
CHANGE-REQUEST from the way that it names. Such an answer is shorter than its request. Stock clients see nothing of all this.

Not done: other requests and methods, credentials. What answer() gives is sent from the address and port that were asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from skerry_core import stun
from skerry_core.rate import Rate

REQUEST = 40  # bytes
Endpoint = tuple[bytes, int]
Way = tuple[Endpoint, Callable[[bytes, Endpoint], None]]  # where it sends from, and send(data, destination)
SOURCES = 4096
BURST = 64
REFILL_MS = 20  # a spoofed victim gets at most 50 short datagrams a second


class Answerer:
    """Counters: answered, ignored, limited."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._sources: dict[bytes, Rate] = {}
        self._other: Endpoint | None = None
        self._ways: dict[int, Way] = {}

    def offer(self, other: Endpoint, ways: dict[int, Way]) -> None:
        """Answer about behaviour: `other` is the second address (zeros: none) and port, `ways` leads by CHANGE_ bits to other senders."""
        self._other, self._ways = other, ways

    def answer(self, data: bytes, address: bytes, port: int, now: int, asked: Endpoint = (bytes(4), 0)) -> bytes | None:
        """`address`: 4 or 16 raw bytes (a v4-mapped one counts as IPv4); `asked`: ours, as far as it is known. None: say nothing."""
        if len(data) not in (REQUEST, stun.BEHAVIOUR) or not stun.is_stun(data):
            self.counters["ignored"] += 1
            return None
        if address.startswith(bytes(10) + b"\xff\xff"):
            address = address[12:]
        if not self._rate(address[:8]).take(now):
            self.counters["limited"] += 1
            return None
        if len(data) == stun.BEHAVIOUR:
            return self._behaviour(data, address, port, asked)
        txid = stun.parse_request(data)
        self.counters["ignored" if txid is None else "answered"] += 1
        return None if txid is None else stun.response(txid, address, port)

    def _behaviour(self, data: bytes, address: bytes, port: int, asked: Endpoint) -> bytes | None:
        found = stun.parse_behaviour(data) if self._other is not None and len(address) == 4 else None
        if found is None or self._other is None or (found[1] and found[1] not in self._ways):
            self.counters["ignored"] += 1
            return None
        self.counters["answered"] += 1
        txid, change = found
        if not change:
            return stun.behaviour_response(txid, address, port, asked, self._other)
        origin, send = self._ways[change]
        send(stun.behaviour_response(txid, address, port, origin, self._other), (address, port))
        return None

    def _rate(self, source: bytes) -> Rate:
        """The rate of one IPv4 address or one IPv6 /64; the table is bounded, whoever asked longest ago is forgotten."""
        rate = self._sources.pop(source, None) or Rate(REFILL_MS, BURST)
        if len(self._sources) >= SOURCES:
            self._sources.pop(next(iter(self._sources)))
        self._sources[source] = rate
        return rate
