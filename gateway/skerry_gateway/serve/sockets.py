"""Opening the listening sockets: one per address family, with errors that name the option to change."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

from skerry_core.errors import LocalError

BACKLOG = 1024


def listen_tcp(host: str, port: int) -> list[socket.socket]:
    """`host` "" = every address of both families. Port 0 = any, the same for both families."""
    return _open(host, port, socket.SOCK_STREAM, "--listen")


def listen_udp(host: str, port: int, shared: bool = False) -> list[socket.socket]:
    """`shared`: with sockets of particular addresses of this process."""
    return _open(host, port, socket.SOCK_DGRAM, "--stun-listen", shared)


def _open(host: str, port: int, kind: socket.SocketKind, flag: str, shared: bool = False) -> list[socket.socket]:
    opened: list[socket.socket] = []
    with ExitStack() as undo:
        for family, address in _addresses(host, port, kind, flag):
            actual = opened[0].getsockname()[1] if opened else port
            sock = undo.enter_context(socket.socket(family, kind))
            try:
                if shared:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                _bind(sock, address, actual)
            except OverflowError:
                raise LocalError(f"{flag} {host}:{port}: there is no port {actual}; choose one below 65535") from None
            except OSError as error:
                if not host and family == socket.AF_INET6 and error.errno in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
                    sock.close()
                    continue  # a kernel with IPv6 switched off
                raise LocalError(_explain(host, actual, kind, flag, error)) from None
            opened.append(sock)
        undo.pop_all()
    return opened


def _bind(sock: socket.socket, address: str, port: int) -> None:
    sock.setblocking(False)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if sock.type == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    if sock.type == socket.SOCK_STREAM:
        sock.listen(BACKLOG)


def _addresses(host: str, port: int, kind: socket.SocketKind, flag: str) -> list[tuple[socket.AddressFamily, str]]:
    if not host:
        both = [(socket.AF_INET, "0.0.0.0")]
        return [*both, (socket.AF_INET6, "::")] if socket.has_ipv6 else both
    try:
        found = socket.getaddrinfo(host, port, type=kind)
    except OSError as error:
        raise LocalError(f"{flag} {host}:{port}: {error.strerror}; expected an address of this machine, such as 127.0.0.1:{port}") from None
    return list(dict.fromkeys((entry[0], str(entry[4][0])) for entry in found))


def _explain(host: str, port: int, kind: socket.SocketKind, flag: str, error: OSError) -> str:
    what = f"{'TCP' if kind == socket.SOCK_STREAM else 'UDP'} port {port}"
    where = f" of {host}" if host else ""
    if error.errno == errno.EADDRINUSE:
        return f"{what}{where} is in use by another program: stop it, or choose another with {flag} {host}:{port + 1000}"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{what}{where} needs root or CAP_NET_BIND_SERVICE: choose a port above 1023 with {flag} {host}:8080"
    return f"cannot listen on {what}{where}: {error.strerror}; choose another with {flag} ADDR:PORT"
