"""How many connections there may be: in all, per source, and per source while they have not yet said what they want.

A source is an IPv4 address or an IPv6 /64. It may have few connections before they are handed on; afterwards half of all, because behind
one carrier's NAT there may be hundreds of honest nodes, and yet one source must leave room for others.
"""

from __future__ import annotations

import ipaddress
import resource
from collections import Counter

WAITING_PER_SOURCE = 64
SPARE_FILES = 128


class Limits:
    def __init__(self, total: int | None = None, waiting_per_source: int = WAITING_PER_SOURCE) -> None:
        self.total = total if total is not None else open_files() - SPARE_FILES
        self.waiting_per_source = waiting_per_source
        self.connections = 0
        self.refused = 0
        self._waiting: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()

    def arrive(self, address: str) -> bool:
        """A new connection; False: close it at once (it is not counted)."""
        source = source_of(address)
        full = self.connections >= self.total or self._sources[source] >= max(1, self.total // 2)
        if full or self._waiting[source] >= self.waiting_per_source:
            self.refused += 1
            return False
        self.connections += 1
        self._waiting[source] += 1
        self._sources[source] += 1
        return True

    def settle(self, address: str) -> None:
        """The connection has been handed on, or is gone before it was."""
        _less(self._waiting, source_of(address))

    def leave(self, address: str) -> None:
        """A counted connection is gone."""
        self.connections -= 1
        _less(self._sources, source_of(address))


def _less(counter: Counter[str], source: str) -> None:
    counter[source] -= 1
    if counter[source] <= 0:
        del counter[source]


def source_of(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def open_files() -> int:
    """The process's limit of open files, raised to what it may have (at most 65536)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(65536, hard if hard != resource.RLIM_INFINITY else 65536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft
