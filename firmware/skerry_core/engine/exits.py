"""Exit nodes and routes of our own: which peer everything goes through, and what we carry for others.

    use     the setting "exit_node" names a peer by address, name or stable id. From the moment it is set, everything of this host that is
            for none of the mesh leads into the tunnel, whether or not the peer is there: what cannot be carried is dropped, not let out
    offer   the setting "routes" (prefixes, 0.0.0.0/0 and ::/0 for an exit node). Packets for them are let in from the tunnel once the
            gateway gave them to us; of a default route that is the public addresses outside this host's own links
"""

from skerry_core import ip, routing
from skerry_core.errors import LocalError, PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.engine.engine import Engine
    from skerry_core.tailcfg.node import Node

    Prefix = tuple[bytes, int]


DNS_PROXY = 26  # from this capability version on a peer answers names for those who go out through it


class Exits:
    """`lans`: prefixes of this host's links, which an exit node does not give away."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self.lans: list[Prefix] = []

    # an exit node that we use

    @property
    def wanted(self) -> str:
        """Whom the owner named; "" for nobody."""
        return str(self._engine.config.get("exit_node") or "")

    def chosen(self) -> "Node | None":
        """The node of the map that the owner named."""
        return find(self._engine, self.wanted) if self.wanted else None

    def check(self, text: str) -> None:
        """LocalError when `text` is to become the exit node and cannot. Before there is a map nothing is known to be wrong."""
        engine = self._engine
        if not text or engine.netmap.self_node is None or not engine.running:
            return
        node = find(engine, text)
        if node is None:
            raise LocalError(f"{text}: no peer has that address or name; `skerry exit-node list` shows the exit nodes")
        if not offers(node):
            raise LocalError(f"{node.host_name} is no exit node: it does not offer to be one, or the gateway has not approved it")

    def options(self) -> "list[Node]":
        """Peers that let others out."""
        return [node for node in self._engine.netmap.peers.values() if offers(node)]

    def health(self) -> "list[str]":
        """Why nothing leaves this host, if it is so."""
        if not self.wanted or not self._engine.running or self._engine.netmap.self_node is None:
            return []
        node = self.chosen()
        remedy = "Nothing leaves this host meanwhile; choose another with `skerry set --exit-node NAME`, or none with `--exit-node=`."
        if node is None:
            return [f"The exit node {self.wanted} is not among the peers. {remedy}"]
        if node.key not in self._engine.peers.by_key:
            return [f"The key of the exit node {node.host_name} has expired. {remedy}"]
        if not offers(node):
            return [f"{node.host_name} is no exit node any more. {remedy}"]
        if node.online is False:
            return [f"The exit node {node.host_name} is offline. {remedy}"]
        if len(offers(node)) == 1:
            family = "IPv6" if len(offers(node)[0][0]) == 4 else "IPv4"
            return [f"The exit node {node.host_name} carries no {family}, which is dropped."]
        return []

    def name_server(self) -> "tuple[bytes, int, str] | None":
        """Where the exit node answers names for us, if it does: by HTTP (RFC 8484) on its peer API."""
        node = self.chosen()
        if node is None or node.cap < DNS_PROXY or not offers(node):
            return None
        for size, service in ((4, "peerapi4"), (16, "peerapi6")):
            ports = [each.get("Port") for each in node.hostinfo.get("Services") or [] if each.get("Proto") == service]
            addresses = [address for address, _ in node.addresses if len(address) == size]
            if ports and addresses and isinstance(ports[0], int) and 0 < ports[0] < 65536:
                return (addresses[0], ports[0], "http")
        return None

    def snapshot(self) -> "dict[str, Any]":
        """For status()."""
        node = self.chosen()
        key = node.key.hex() if node is not None else ""
        return {"wanted": self.wanted, "key": key, "lan": bool(self._engine.config.get("exit_node_allow_lan_access"))}

    # routes that we offer

    def set_lans(self, lans: "Any") -> None:
        """The adapter looked at this host's links: [(address, bits)]."""
        found = [(ip.masked(bytes(address), bits), int(bits)) for address, bits in lans]
        if found != self.lans:
            self.lans = found
            if self._engine.running and self._engine.netmap.self_node is not None:
                self._engine.peers.sync_self()

    def local_routes(self, node: "Node | None") -> "list[Prefix]":
        """What the transport may deliver besides packets to our addresses."""
        if node is None:
            return []
        found: list[Prefix] = []
        for prefix in node.allowed_ips:
            if prefix not in node.addresses and prefix in self._engine.routes():
                found += [prefix] if prefix[1] else routing.public(prefix, self.lans)
        return found


def offers(node: "Node") -> "list[Prefix]":
    """A node's default routes."""
    return [prefix for prefix in node.allowed_ips if not prefix[1]]


def find(engine: "Engine", text: str) -> "Node | None":
    """The peer of the map with this address, name or stable id."""
    try:
        address = ip.parse_address(text)
    except PeerError:
        address = b""
    wanted = text.lower().rstrip(".")
    for node in engine.netmap.peers.values():
        full = node.name.lower().rstrip(".")
        if any(prefix[0] == address for prefix in node.addresses) or wanted in (full, full.split(".")[0]) or text == node.stable_id:
            return node
    return None
