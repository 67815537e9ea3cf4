"""skerryd's own look-ups while names on this host are answered by skerryd: its gateway, relays and STUN servers by name.

They must not need the tunnel that they are for, and must not go round in circles: so the servers that the host had before are asked, not
the host's resolver. /etc/hosts comes first, as everywhere. This runs in a thread (resolver.py) and may block for seconds.
"""

import os
import socket
import time

from skerry_core import ip
from skerry_core.dns import message
from skerry_core.errors import LocalError, PeerError

from .asking import connected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from skerry_core.dns.names import Server

    Address = tuple[int, str, int]

HOSTS = "/etc/hosts"
WAIT, ROUNDS = 1.5, 2  # s for each answer


class Before:
    """The host's own servers: `servers`, `zones` of link-local ones, `search` domains."""

    def __init__(self, servers: "list[Server]", zones: "dict[bytes, str]", search: "list[str]") -> None:
        self.servers, self.zones, self.search = servers, zones, search

    def resolve(self, host: str, port: int) -> "list[Address]":
        """As getaddrinfo does; OSError says why there is none."""
        found = in_hosts(host, HOSTS)
        names = [host] if "." in host else [f"{host}.{domain}" for domain in self.search] + [host]
        for name in names if not found else []:
            found = self._addresses(name)
            if found:
                break
        if not found:
            raise OSError("the servers of this host's network know no address of it")
        return [(socket.AF_INET if len(each) == 4 else socket.AF_INET6, ip.format_address(each), port) for each in found]

    def _addresses(self, name: str) -> "list[bytes]":
        """IPv6 first where this host has a way to it; either alone is enough."""
        try:
            wire = message.encode_name(name)
        except LocalError:
            return []
        found: list[bytes] = []
        for kind in (message.AAAA, message.A):
            size = 16 if kind == message.AAAA else 4
            found += [value for _, each, _, value in self._ask(wire, kind) if each == kind and len(value) == size]
        return found

    def _ask(self, name: bytes, kind: int) -> "list[tuple[bytes, int, int, bytes]]":
        for server in self.servers * ROUNDS:
            for tcp in (False, True):
                try:
                    answer = self._exchange(server, tcp, message.ask(int.from_bytes(os.urandom(2), "big"), name, kind))
                    rcode, records, truncated = message.read_records(answer)
                except (OSError, PeerError):
                    break
                if truncated and not tcp:
                    continue
                if rcode in (message.NOERROR, message.NXDOMAIN):
                    return records
                break
        return []

    def _exchange(self, server: "Server", tcp: bool, data: bytes) -> bytes:
        with connected(server, tcp, self.zones.get(server[0], ""), True) as sock:
            sock.settimeout(WAIT)
            end = time.monotonic() + WAIT
            if tcp:
                return self._over_tcp(sock, data)
            sock.send(data)
            while time.monotonic() < end:
                answer = sock.recv(65535)
                try:
                    message.parse_answer(answer, int.from_bytes(data[:2], "big"), message.parse_query(data).question)
                    return answer
                except PeerError:
                    continue
        raise TimeoutError("no answer")

    def _over_tcp(self, sock: socket.socket, data: bytes) -> bytes:
        sock.sendall(len(data).to_bytes(2, "big") + data)
        found = b""
        while len(found) < 2 or len(found) < 2 + int.from_bytes(found[:2], "big"):
            more = sock.recv(65535)
            if not more:
                raise ConnectionError("closed")
            found += more
        message.parse_answer(found[2:], int.from_bytes(data[:2], "big"), message.parse_query(data).question)
        return found[2:]


def in_hosts(host: str, path: str) -> "list[bytes]":
    """The addresses that hosts(5) has for a name."""
    found: list[bytes] = []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                words = line.partition("#")[0].lower().split()
                if host.lower().rstrip(".") in words[1:]:
                    try:
                        found.append(ip.parse_address(words[0]))
                    except PeerError:
                        continue
    except OSError:
        pass
    return found
