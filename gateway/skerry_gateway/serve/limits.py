"""How many connections there may be: in all, and per source while they have not yet said what they want.

A source is an IPv4 address or an IPv6 /64. The limit per source holds only before a connection is handed on, because behind one carrier's
NAT there may be hundreds of honest nodes; what they may do afterwards is the servers' affair.
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

    def arrive(self, address: str) -> bool:
        """A new connection; False: close it at once (it is not counted)."""
        source = source_of(address)
        if self.connections >= self.total or self._waiting[source] >= self.waiting_per_source:
            self.refused += 1
            return False
        self.connections += 1
        self._waiting[source] += 1
        return True

    def settle(self, address: str) -> None:
        """The connection has been handed on, or is gone before it was."""
        source = source_of(address)
        self._waiting[source] -= 1
        if self._waiting[source] <= 0:
            del self._waiting[source]

    def leave(self) -> None:
        self.connections -= 1


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
