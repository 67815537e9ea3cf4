"""Names to addresses in threads, so that a DNS server that does not answer stops nothing else.

`lookup(token, host, port)` starts a thread (at most LIMIT at once; more are refused); when `fileno()` is readable,
`results()` gives what is done. A thread that hangs in the resolver dies with the process.
"""

import _thread
import os
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .dns.lookup import Before

    Address = tuple[int, str, int]  # socket family, literal, port

LIMIT = 8


class Resolver:
    """One for all streams."""

    def __init__(self) -> None:
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._done: list[tuple[int, list[Address], str]] = []
        self._running = 0
        self.before: Before | None = None  # whom to ask while this host's own DNS is we ourselves

    def fileno(self) -> int:
        """Readable while `results()` has something."""
        return self._event

    def lookup(self, token: int, host: str, port: int) -> bool:
        """Start looking; False when too many lookups hang already."""
        if self._running >= LIMIT:
            return False
        try:
            _thread.start_new_thread(self._work, (token, host, port))
        except RuntimeError:  # the system gives no thread
            return False
        self._running += 1
        return True

    def results(self) -> "list[tuple[int, list[Address], str]]":
        """(token, addresses, reason): addresses in the system's order of preference, or none and the reason."""
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return []
        done, self._done = self._done, []
        self._running -= len(done)
        return done

    def close(self) -> None:
        """Stop reporting."""
        event, self._event = self._event, -1
        os.close(event)

    def _work(self, token: int, host: str, port: int) -> None:
        try:
            before = None if host.rstrip(".").endswith(".local") else self.before  # mDNS has ways of its own
            result = (token, resolve(host, port) if before is None else before.resolve(host, port), "")
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            result = (token, [], f"the name {host} has no address ({reason}): check the name and this host's DNS")
        self._done.append(result)
        try:
            os.eventfd_write(self._event, 1)
        except (OSError, ValueError):
            pass  # closed meanwhile


def literal(host: str, port: int) -> "Address | None":
    """`host` as an address if it is one already."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return (family, host, port)
    return None


def resolve(host: str, port: int) -> "list[Address]":
    """All addresses of `host`, which may block for long. Bytes go to getaddrinfo: text would load the IDNA tables."""
    found = []
    for family, _type, _protocol, _name, address in socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM):
        entry = (int(family), str(address[0]), port)
        if entry not in found:
            found.append(entry)
    return found


def interleave(addresses: "list[Address]") -> "list[Address]":
    """The order to try (RFC 8305): families take turns, the one preferred by the system first; at most 8."""
    if not addresses:
        return []
    first = [a for a in addresses if a[0] == addresses[0][0]]
    second = [a for a in addresses if a[0] != addresses[0][0]]
    mixed = []
    while first or second:
        mixed.extend(first[:1] + second[:1])
        first, second = first[1:], second[1:]
    return mixed[:8]
