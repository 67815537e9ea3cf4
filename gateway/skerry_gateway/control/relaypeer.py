"""The gateway's own UDP relay as nodes see it: a peer of every node that takes part, and nobody's node.

It is in no list of members: policy, administrators and the console do not know it. Each map stream holds what it was told of it, so a
change costs one message a stream and nothing else is looked at. The chunk of the packet filter that comes with it says that it may be asked
to relay (`tailscale.com/cap/relay-target`, from its addresses to the node's own) and lets no packet in. A capability that stock clients do
not know tells ours that it is nothing to show to people.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from skerry_core.tailcfg.keys import encode_key
from skerry_core.tailcfg.node import INFRASTRUCTURE
from skerry_gateway.store import Network, Node, addresses

from . import hostinfo
from .wire import rfc3339

ID = (1 << 53) - 1  # no node comes that far
USER = 2147455556
CHUNK = "udp-relay"
CAPABLE = 121  # the first version that relays
_TARGET = "tailscale.com/cap/relay-target"


@dataclass(frozen=True)
class RelayPeer:
    """Its public keys, the DERP region it is met in, and where it can be reached."""

    node_key: bytes
    disco_key: bytes
    region: int
    endpoints: tuple[str, ...] = ()

    def record(self, network: Network, names: Iterable[str]) -> dict[str, Any]:
        """The Node. `names` are those of all nodes: one from before the name was reserved keeps it."""
        ipv4, ipv6 = addresses.RELAY
        own, taken = [f"{ipv4}/32", f"{ipv6}/128"], set(names)
        name = hostinfo.RELAY_NAME if hostinfo.RELAY_NAME not in taken else hostinfo.unique(hostinfo.RELAY_NAME, taken)
        found: dict[str, Any] = {
            "ID": ID,
            "StableID": "udp-relay",
            "Name": f"{name}.{network.suffix}.",
            "User": USER,
            "Key": encode_key("nodekey", self.node_key),
            "DiscoKey": encode_key("discokey", self.disco_key),
            "Addresses": own,
            "AllowedIPs": own,
            "HomeDERP": self.region,
            "Hostinfo": {"Hostname": name, "OS": "linux", "PeerRelay": True},
            "Created": rfc3339(network.created_ms),
            "Cap": CAPABLE,
            "MachineAuthorized": True,
            "Online": True,
            "CapMap": {INFRASTRUCTURE: None},
        }
        if self.endpoints:
            found["Endpoints"] = list(self.endpoints)
        return found


def profile() -> dict[str, Any]:
    """The UserProfile without which stock clients cannot make sense of it."""
    return {"ID": USER, "LoginName": "gateway", "DisplayName": "Gateway"}


def chunk(node: Node) -> list[dict[str, Any]]:
    """The FilterRules that let a node use it."""
    grant = {"Dsts": [f"{node.ipv4}/32", f"{node.ipv6}/128"], "CapMap": {_TARGET: None}}
    return [{"SrcIPs": list(addresses.RELAY), "CapGrant": [grant]}]
