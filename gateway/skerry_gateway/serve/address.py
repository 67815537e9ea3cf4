"""Which address people and nodes reach the gateway by: the `--url` option checked, or a default found on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import socket
import struct
from dataclasses import dataclass
from urllib.parse import urlsplit

from skerry_core.errors import LocalError

_SIOCGIFADDR = 0x8915
_PRIVATE = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Url:
    """`https` or not, host without brackets, port. `str()` is the URL without a path, its default port left out."""

    secure: bool
    host: str
    port: int

    @property
    def scheme(self) -> str:
        return "https" if self.secure else "http"

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host as an address, None if it is a name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    def public(self) -> bool:
        """Whether strangers' networks lie between nodes and this gateway: a global address, or a name that is not a local one."""
        if self.address is not None:
            return self.address.is_global
        return self.host != "localhost" and "." in self.host and not self.host.endswith((".local", ".localhost", ".internal", ".home.arpa"))

    def official_clients_return(self) -> bool:
        """Whether official clients that come back soon after a dial find us: over plain HTTP they do only on a private or loopback address
        (or `localhost`); to anything else they come back by TLS on port 443."""
        if self.secure or self.host == "localhost":
            return True
        address = self.address
        return address is not None and (
            address.is_loopback or any(address in network for network in _PRIVATE if network.version == address.version)
        )

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def parse(text: str) -> Url:
    """LocalError that says what a URL here looks like."""
    expected = "expected http://HOST[:PORT] or https://HOST[:PORT], such as https://vpn.example.org"
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise LocalError(f"--url {text}: not a URL; {expected}") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise LocalError(f"--url {text}: {expected}")
    if parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username:
        raise LocalError(f"--url {text}: the gateway is at the root of its host; {expected}")
    if port == 0:
        raise LocalError(f"--url {text}: port 0 is not a port; {expected}")
    return Url(parts.scheme == "https", parts.hostname.rstrip("."), port or _PORTS[parts.scheme])


def default(listen: str, port: int, secure: bool) -> Url:
    """The address listened on if it is a particular one, else this machine's first that is not a loopback address."""
    host = listen if listen and not _unspecified(listen) else outward() or "127.0.0.1"
    return Url(secure, host, port)


def outwards() -> list[str]:
    """The address of each family that this machine would use towards the Internet (nothing is sent)."""
    found = []
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((target, 9))
            found.append(str(sock.getsockname()[0]))
    return found


def outward() -> str | None:
    """One of those, else the address of any interface."""
    return next((found for found in [*outwards(), *interface_addresses()] if not ipaddress.ip_address(found).is_loopback), None)


def interface_addresses() -> list[str]:
    """The first IPv4 address of each interface."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:
                continue
            found.append(socket.inet_ntoa(answer[20:24]))
    return found


def _unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
