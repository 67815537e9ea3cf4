"""A gateway's address: `http[s]://host[:port][#mkey:<64 hex>]`. The fragment is the gateway's Noise key, pinned.

It opens nothing; control.py asks for streams to it.
"""

from skerry_core.errors import LocalError
from skerry_core.tailcfg import keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.engine.state import State

_PORTS = {"http": 80, "https": 443}
_EXAMPLE = "write it like https://gateway.example.com or http://192.0.2.1:8080#mkey:..."


class Gateway:
    """`url` without the key, `scheme`, `host`, `port`, `authority` (Host header), `key` (32 bytes or None)."""

    def __init__(self, address: str) -> None:
        """LocalError, saying what to write instead, when `address` is not one."""
        url, _, fragment = address.strip().partition("#")
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in _PORTS:
            raise LocalError(f"gateway address {address!r}: the scheme must be http or https; {_EXAMPLE}")
        self.scheme = scheme
        self.authority = rest.split("/")[0].split("?")[0].lower()
        self.host, self.port = _split(self.authority, address, _PORTS[scheme])
        self.url = f"{scheme}://{self.authority}"
        self.key = _key(fragment, address) if fragment else None

    def connect(self, known: bool) -> "dict[str, Any]":
        """What "connect" needs. With the key known Noise authenticates the gateway and certificates need not."""
        tls = {"name": self.host, "verify": not known} if self.scheme == "https" else None
        return {"purpose": "control", "host": self.host, "port": self.port, "tls": tls, "addresses": []}


def chosen(config: "dict[str, Any]", loaded: "State", random: "Any") -> "tuple[Gateway | None, bytes | None]":
    """The gateway of the configuration, else of the saved state, with the key known for it."""
    text = config.get("gateway") or loaded.gateway
    if not text:
        return None, None
    gateway = Gateway(text)
    if gateway.url != loaded.gateway:  # another gateway than the one joined: nothing of the old one counts
        loaded.forget_network(random)
        return gateway, gateway.key
    return gateway, gateway.key or loaded.gateway_key


def _split(authority: str, address: str, default: int) -> "tuple[str, int]":
    host, port = authority, ""
    if authority.startswith("["):
        host, _, port = authority[1:].partition("]")
        port = port[1:] if port.startswith(":") else port
    elif ":" in authority:
        host, _, port = authority.partition(":")
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        raise LocalError(f"gateway address {address!r}: port {port!r}, need 1..65535; {_EXAMPLE}")
    if not host or "@" in host or any(ord(c) <= 32 or ord(c) > 126 for c in host):
        raise LocalError(f"gateway address {address!r}: no usable host name; {_EXAMPLE}")
    return host, int(port) if port else default


def _key(fragment: str, address: str) -> bytes:
    try:
        return keys.decode_key("mkey", fragment)
    except Exception:  # whichever error: the address came from our owner
        raise LocalError(f"gateway address {address!r}: after # comes the gateway's key, mkey: and 64 hex digits")
