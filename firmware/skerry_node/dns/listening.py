"""Where this host's programs ask: port 53, UDP and TCP (RFC 7766), on addresses that only this node has.

Who asks must be this host, or something behind it (a container, a virtual machine): not a neighbour on the way to the Internet, who would
find an open resolver. Peers cannot, the packet filter delivers nothing to these addresses. Connections are bounded in number, in time
and in questions that wait.
"""

import os
import selectors
import socket

from skerry_core import ip

from ..netlink import bypass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PORT = 53
BURST = 64  # datagrams in one go
CONNECTIONS, WAITING, IDLE = 32, 16, 10_000
TRUSTED_FOR, TRUSTED = 10_000, 64
_ELSEWHERE = {socket.AF_INET: "203.0.113.1", socket.AF_INET6: "2001:db8::1"}  # reached as the Internet is
IP_FREEBIND, IPV6_FREEBIND = 15, 78


class Connection:
    """One TCP asker."""

    def __init__(self, sock: socket.socket, now: int) -> None:
        self.socket, self.buffer, self.out, self.waiting, self.until = sock, b"", b"", 0, now + IDLE


class Listening:
    """`open`, then `query(token, data, tcp)` is called for every question; `reply(token, data)` answers it."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        query: "Callable[[Any, bytes, bool], bool]",
        clock: "Callable[[], int]",
        trusts: "Callable[[str, int], bool] | None" = None,
    ) -> None:
        """`trusts(address, family)`: who may ask; the default is this host and what is behind it."""
        self._selector, self._query, self._clock, self._trusts = selector, query, clock, trusts or is_behind
        self._sockets: list[socket.socket] = []
        self._connections: dict[int, Connection] = {}
        self._count = 0
        self._trusted: dict[str, int] = {}

    def open(self, addresses: "list[bytes]", port: int = PORT) -> None:
        """OSError: one of them cannot be had; nothing is open then."""
        try:
            for address in addresses:
                self._bind(address, port, socket.SOCK_DGRAM, self._datagrams)
                self._bind(address, port, socket.SOCK_STREAM, self._accept)
        except OSError:
            self.close()
            raise

    @property
    def is_open(self) -> bool:
        """Whether anybody can ask."""
        return bool(self._sockets)

    def _bind(self, address: bytes, port: int, kind: int, callback: "Callable[[socket.socket], None]") -> None:
        family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._sockets.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1) if kind == socket.SOCK_STREAM else None
        # the address may be put on the link a moment later
        sock.setsockopt(*((socket.IPPROTO_IP, IP_FREEBIND) if family == socket.AF_INET else (socket.IPPROTO_IPV6, IPV6_FREEBIND)), 1)
        sock.bind((ip.format_address(address), port))
        if kind == socket.SOCK_STREAM:
            sock.listen(16)
        self._selector.register(sock, selectors.EVENT_READ, lambda _mask: callback(sock))

    def close(self) -> None:
        """Nobody can ask any more."""
        for number in list(self._connections):
            self._drop(number)
        for sock in self._sockets:
            if sock in self._selector.get_map():
                self._selector.unregister(sock)
            sock.close()
        self._sockets = []

    # who

    def _is_trusted(self, address: str, family: int) -> bool:
        now = self._clock()
        known = self._trusted.get(address)
        if known is None or now >= abs(known):
            if len(self._trusted) >= TRUSTED:
                self._trusted = {}
            known = self._trusted[address] = (now + TRUSTED_FOR) * (1 if self._trusts(address, family) else -1)
        return known > 0

    # UDP

    def _datagrams(self, sock: socket.socket) -> None:
        for _ in range(BURST):
            try:
                data, address = sock.recvfrom(65535)
            except OSError:
                return
            if self._is_trusted(address[0], sock.family):
                self._query((sock, address), data, False)

    # TCP

    def _accept(self, sock: socket.socket) -> None:
        try:
            accepted, address = sock.accept()
        except OSError:
            return
        if len(self._connections) >= CONNECTIONS or not self._is_trusted(address[0], sock.family):
            accepted.close()
            return
        accepted.setblocking(False)
        self._count += 1
        number = self._count
        self._connections[number] = Connection(accepted, self._clock())
        self._selector.register(accepted, selectors.EVENT_READ, lambda mask: self._ready(number, mask))

    def _ready(self, number: int, mask: int) -> None:
        connection = self._connections[number]
        if mask & selectors.EVENT_WRITE:
            self._flush(number)
        if mask & selectors.EVENT_READ and number in self._connections:
            try:
                data = connection.socket.recv(65535)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._drop(number)
                return
            connection.buffer += data
            connection.until = self._clock() + IDLE
            self._cut(number)

    def _cut(self, number: int) -> None:
        while number in self._connections:
            connection = self._connections[number]
            size = int.from_bytes(connection.buffer[:2], "big")
            if len(connection.buffer) < 2 + size or len(connection.buffer) < 2:
                return
            message, connection.buffer = connection.buffer[2 : 2 + size], connection.buffer[2 + size :]
            connection.waiting += 1
            if connection.waiting > WAITING or not self._query((None, number), message, True):
                self._drop(number)

    def reply(self, token: "Any", data: bytes) -> None:
        """To whoever asked; who has left misses it."""
        sock, where = token
        if sock is not None:
            try:
                sock.sendto(data, where)
            except OSError:
                pass
            return
        connection = self._connections.get(where)
        if connection is not None:
            connection.waiting -= 1
            connection.out += len(data).to_bytes(2, "big") + data
            self._flush(where)

    def _flush(self, number: int) -> None:
        connection = self._connections[number]
        try:
            connection.out = connection.out[connection.socket.send(connection.out) :] if connection.out else b""
        except BlockingIOError:
            pass
        except OSError:
            self._drop(number)
            return
        if len(connection.out) > 4 * 65535:
            self._drop(number)
            return
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.out else 0)
        self._selector.modify(connection.socket, mask, lambda m: self._ready(number, m))

    def _drop(self, number: int) -> None:
        connection = self._connections.pop(number)
        self._selector.unregister(connection.socket)
        connection.socket.close()

    def next_timer(self) -> "int | None":
        """When handle_timer has something to do."""
        return min((connection.until for connection in self._connections.values()), default=None)

    def handle_timer(self, now: int) -> None:
        """Close what says nothing."""
        for number, connection in list(self._connections.items()):
            if now >= connection.until:
                self._drop(number)


def is_behind(address: str, family: int) -> bool:
    """Whether an address is this host's, or is not reached the way that leads to the Internet."""
    mine = way_to(address, family)
    return mine == address or mine not in ("", way_to(_ELSEWHERE[socket.AddressFamily(family)], family))


def way_to(address: str, family: int) -> str:
    """This host's address on the way there, the tunnel aside; "" without one."""
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        bypass(probe)
        try:
            probe.connect((address, 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def has_ipv6() -> bool:
    """Whether this host's kernel has it."""
    return os.path.exists("/proc/net/if_inet6")
