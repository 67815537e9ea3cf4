"""Regions of the DERP map as the engine uses them: those that have a relay, with the literal addresses that need no look-up.

Built from tailcfg.derpmap, which has checked every field; this adds what "connect" and STUN need. Two regions are equal when everything
the map says about them is, so that only a real change closes a connection.
"""

from skerry_core import ip
from skerry_core.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.tailcfg.derpmap import DerpMap, DerpNode


class Node:
    """One host. `addresses` are literal (raw), `families` those the map does not disable, `stun_port` 0 = no STUN."""

    def __init__(self, node: "DerpNode") -> None:
        self.host, self.port, self.relay = node.host_name, node.derp_port, not node.stun_only
        self.stun_port = max(node.stun_port, 0)
        self.cert, self.insecure = node.cert_name, node.insecure
        self.families = [family for family, text in ((4, node.ipv4), (6, node.ipv6)) if text != "none"]
        self.addresses = [ip.parse_address(text) for text in (node.ipv4, node.ipv6) if text not in ("", "none")]
        if not self.addresses:
            self.addresses = _literal(self.host)

    def usable(self) -> bool:
        """Whether the host name can be asked for."""
        return bool(self.host) and all(32 < ord(char) < 127 for char in self.host)

    def connect(self) -> "dict[str, Any]":
        """What "connect" needs."""
        verify: Any = True
        name = self.host
        if self.cert.startswith("sha256-raw:"):
            verify = self.cert
        elif self.cert:
            name = self.cert
        if self.insecure:
            verify = False
        addresses = [ip.format_address(address) for address in self.addresses]
        tls = {"name": name, "verify": verify}
        return {"purpose": "relay", "host": self.host, "port": self.port, "tls": tls, "addresses": addresses}


class Region:
    """`nodes` are the hosts that relay (at least one), `stun` those that answer STUN."""

    def __init__(self, number: int, code: str, measured: bool, score: "Any", nodes: "list[Node]", document: "Any") -> None:
        self.number, self.code, self.measured, self.score = number, code or str(number), measured, score or 1
        self.nodes = [node for node in nodes if node.relay]
        self.stun = [node for node in nodes if node.stun_port]
        self._document = document

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Region) and self._document == other._document

    def __hash__(self) -> int:
        return self.number


def read_map(derp_map: "DerpMap | None") -> "dict[int, Region]":
    """Region number -> region; those without a relay are left out."""
    found: dict[int, Region] = {}
    if derp_map is None:
        return found
    documents = derp_map.document.get("Regions") or {}
    for number, region in derp_map.regions.items():
        nodes = [node for node in [Node(each) for each in region.nodes] if node.usable()]
        made = Region(number, region.code, not region.no_measure, derp_map.scores.get(number), nodes, documents.get(str(number)))
        if made.nodes:
            found[number] = made
    return found


def _literal(host: str) -> "list[bytes]":
    try:
        return [ip.parse_address(host)]
    except PeerError:
        return []
