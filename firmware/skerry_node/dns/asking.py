"""Sockets towards servers: one for each question, so that the kernel chooses its port, connected, so that it drops what others send.

`ask` any number of times; `answered(number, data)` for every datagram or message that comes, `failed(number)` at most once, when nothing
can come any more. Both are called from the selector, never from inside `ask`: what fails at once is told by `settle()`.
"""

import errno
import selectors
import socket

from skerry_core import ip

from ..netlink import bypass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skerry_core.dns.names import Server

DATAGRAM = 65535
LIMIT = 512  # open at once
LONGEST = DATAGRAM + 4096  # with a response's head
PENDING = (errno.EINPROGRESS, errno.EAGAIN)


class _Socket:
    def __init__(self, number: int, sock: socket.socket, out: bytes, http: bool) -> None:
        self.number, self.socket, self.out, self.buffer, self.http = number, sock, out, b"", http


class Asking:
    """`zones`: the links of link-local servers."""

    def __init__(self, selector: selectors.BaseSelector, answered: "Callable[[int, bytes], None]", failed: "Callable[[int], None]") -> None:
        self.zones: dict[bytes, str] = {}
        self._selector, self._answered, self._failed = selector, answered, failed
        self._open: dict[int, _Socket] = {}
        self._broken: list[int] = []

    def ask(self, number: int, server: "Server", tcp: bool, data: bytes) -> None:
        """Send a question. TCP's length is put in front here."""
        if len(self._open) >= LIMIT:
            self._broken.append(number)
            return
        http = len(server) > 2
        tcp = tcp or http
        try:
            sock = connected(server, tcp, self.zones.get(server[0], ""))
        except OSError:  # no route, no such family, no descriptors left
            self._broken.append(number)
            return
        out = post(server, data) if http else len(data).to_bytes(2, "big") + data if tcp else b""
        entry = _Socket(number, sock, out, http)
        self._open[number] = entry
        if tcp:
            self._selector.register(sock, selectors.EVENT_WRITE, lambda mask: self._stream(entry, mask))
            return
        self._selector.register(sock, selectors.EVENT_READ, lambda _mask: self._datagram(entry))
        try:
            sock.send(data)
        except OSError:
            self._broken.append(number)

    def settle(self) -> bool:
        """Tell what failed at once; whether anything did."""
        broken, self._broken = self._broken, []
        for number in broken:
            self._end(number)
        return bool(broken)

    def drop(self, number: int) -> None:
        """Nothing is expected any more."""
        entry = self._open.pop(number, None)
        if entry is not None:
            self._selector.unregister(entry.socket)
            entry.socket.close()

    def close(self) -> None:
        """All of them."""
        for number in list(self._open):
            self.drop(number)
        self._broken = []

    def _end(self, number: int) -> None:
        self.drop(number)
        self._failed(number)

    def _datagram(self, entry: _Socket) -> None:
        try:
            data = entry.socket.recv(DATAGRAM)
        except BlockingIOError:
            return
        except OSError:  # refused, unreachable
            self._end(entry.number)
            return
        self._answered(entry.number, data)

    def _stream(self, entry: _Socket, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                entry.out = entry.out[entry.socket.send(entry.out) :]
                if not entry.out:
                    self._selector.modify(entry.socket, selectors.EVENT_READ, lambda m: self._stream(entry, m))
                return
            data = entry.socket.recv(DATAGRAM)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        entry.buffer += data
        found = body(entry.buffer) if entry.http else framed(entry.buffer)
        if found:
            self._answered(entry.number, found)
            self.drop(entry.number)
        elif not data or len(entry.buffer) > LONGEST:
            self._end(entry.number)


def framed(data: bytes) -> bytes:
    """The message in a stream, b"" before it is whole."""
    size = int.from_bytes(data[:2], "big")
    return data[2 : 2 + size] if len(data) >= 2 + size else b""


def post(server: "Server", data: bytes) -> bytes:
    """The question as a request (RFC 8484, 4.1)."""
    host = ip.format_endpoint(server[0], server[1])
    kind = "application/dns-message"
    lines = ["POST /dns-query HTTP/1.1", f"Host: {host}", f"Content-Type: {kind}", f"Accept: {kind}", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + data


def body(data: bytes) -> bytes:
    """The message in a response of status 200 that says its length, b"" before it is whole, or without one."""
    head, end, rest = data.partition(b"\r\n\r\n")
    status, *fields = head.split(b"\r\n")
    known = {name.strip().lower(): value.strip() for name, _, value in (field.partition(b":") for field in fields)}
    size = known.get(b"content-length", b"")
    if not end or status.split(b" ")[1:2] != [b"200"] or not size.isdigit() or len(size) > 5:
        return b""
    return rest[: int(size)] if len(rest) >= int(size) else b""


def connected(server: "Server", tcp: bool, zone: str, outside: bool = False) -> socket.socket:
    """A non-blocking socket on the way to a server; `outside`: never through the tunnel."""
    address, port = server[0], server[1]
    text = ip.format_address(address)
    where: Any = (text, port) if len(address) == 4 else (text, port, 0, socket.if_nametoindex(zone) if zone else 0)
    kind = (socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    sock = socket.socket(socket.AF_INET if len(address) == 4 else socket.AF_INET6, kind)
    if outside:
        bypass(sock)
    code = sock.connect_ex(where)
    if code and code not in PENDING:
        sock.close()
        raise OSError(code, "cannot connect")
    return sock
