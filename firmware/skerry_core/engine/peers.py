"""The map made into peers: who is installed in the transport, with which allowed IPs, and which of our own settings follow from the map.

A peer is installed when its key has not expired (by the gateway's time) and it is neither jailed nor a plain WireGuard peer. Its own
addresses are always allowed where they are such as meshes use (single ones of 100.64.0.0/10 or fc00::/7); everything else would take
traffic off the host's other networks: only with "accept_routes", and default routes only those of the exit node (exits.py). A prefix that
two peers claim belongs to the one with the lowest id. One response of the map becomes one transaction: peers, allowed IPs, addresses and
filter swap together.
"""

from skerry_core import filter
from skerry_core.engine.exits import offers
from skerry_core.engine.peer import Peer
from skerry_core.tailcfg.keys import ZERO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.engine.engine import Engine
    from skerry_core.engine.peer import Prefix
    from skerry_core.tailcfg.node import Node

MTU = 1280


class Peers:
    """Installed peers, found by key, disco key, number, id or address."""

    def __init__(self, engine: "Engine", stamps: "dict[bytes, bytes]") -> None:
        self._engine = engine
        self.by_key: dict[bytes, Peer] = {}
        self.by_disco: dict[bytes, list[Peer]] = {}  # mostly one; a node may claim the key of another
        self.by_index: dict[int, Peer] = {}
        self.by_id: dict[int, Peer] = {}
        self.by_address: dict[bytes, Peer] = {}
        self.stamps = stamps  # greatest handshake stamps of peers, by node key
        self.count = 0  # the greatest number given
        self._routes: list[Prefix] = []  # every prefix some peer owns
        self.subnets: list[Prefix] = []  # those of them that are not single addresses
        self._filter: bytes | None = b"?"
        self._rules: Any = None  # what the filter was compiled from
        self._interface: Any = None
        self._own: Any = None

    def all(self) -> "list[Peer]":
        """Every installed peer."""
        return list(self.by_index.values())

    # from the map

    def sync(self, touched: "set[int] | None" = None) -> None:
        """Make the peers what the map says; `touched` limits it to these ids."""
        self._engine.peer_relays.map_changed()
        nodes = self._engine.netmap.peers
        ids = set(nodes) | set(self.by_id) if touched is None else touched
        for number in sorted(ids):
            node, peer = nodes.get(number), self.by_id.get(number)
            if peer is not None and (node is None or node.key != peer.key or not self._usable(node)):
                self._remove(number, peer)
        moved = False
        for number in sorted(ids):
            node = nodes.get(number)
            if node is not None and self._usable(node):
                moved = self._update(number, node) or moved
        if moved or touched is None or any(number not in self.by_id for number in ids):
            self._allow()
        self._expiry()

    def _usable(self, node: "Node") -> bool:
        now = self._engine.clock.control(self._engine.now)
        expired = node.expired or (now is not None and node.key_expiry is not None and node.key_expiry <= now)
        return not (expired or node.jailed or node.wireguard_only or node.key == self._engine.node_public)

    def _expiry(self) -> None:
        engine, now = self._engine, self._engine.clock.control(self._engine.now)
        own = engine.netmap.self_node
        times = [node.key_expiry for node in list(engine.netmap.peers.values()) + ([own] if own is not None else [])]
        due = [at for at in times if at is not None and now is not None and at > now]
        if due and now is not None:
            engine.timers.set(("expiry",), engine.now + min(due) - now)
        else:
            engine.timers.cancel(("expiry",))

    def _update(self, number: int, node: "Node") -> bool:
        peer = self.by_id.get(number)
        new = peer is None
        if peer is None:
            if node.key in self.by_key:  # one key under two ids: the first one counts
                return False
            index = self._engine.resumption.number(node.key)
            if index is None:
                index = self.count = self.count + 1
            peer = Peer(index, node.key, self._engine.crypto)
            peer.stamp = self.stamps.get(node.key, b"")
            self.by_key[node.key] = self.by_index[index] = self.by_id[number] = peer
        changed = new or peer.node is None or peer.node.allowed_ips != node.allowed_ips or peer.node.addresses != node.addresses
        peer.node = node
        self._set_disco(peer, node.disco_key)
        peer.home = node.home_derp
        if new:
            self._engine.resumption.peer(peer)
        self._engine.pending_endpoints.append(peer)
        return changed

    def _set_disco(self, peer: Peer, key: bytes) -> None:
        key = b"" if key == ZERO else key
        if key == peer.disco:
            return
        self._drop_disco(peer)
        self._engine.disco.remove(peer)
        self._engine.peer_relays.remove(peer)
        self._engine.paths.unbound(peer)
        peer.restarted = bool(peer.disco)
        peer.disco, peer.box = key, None
        peer.trusted_until, peer.round, peer.probed = 0, 0, None
        for candidate in peer.candidates.values():
            candidate.pinged = None
        if key:
            self.by_disco.setdefault(key, []).append(peer)

    def _drop_disco(self, peer: Peer) -> None:
        sharing = self.by_disco.get(peer.disco, [])
        if peer in sharing:
            sharing.remove(peer)
        if not sharing:
            self.by_disco.pop(peer.disco, None)

    def _remove(self, number: int, peer: Peer) -> None:
        engine = self._engine
        if peer.stamp:
            self.stamps[peer.key] = peer.stamp
        engine.sessions.remove(peer)
        engine.paths.remove(peer)
        engine.disco.remove(peer)
        engine.peer_relays.remove(peer)
        engine.disco.withdraw(peer)
        engine.apply(("remove", peer.index))
        del self.by_key[peer.key], self.by_index[peer.index], self.by_id[number]
        self._drop_disco(peer)
        if peer in engine.pending_endpoints:
            engine.pending_endpoints.remove(peer)

    def _allow(self) -> None:
        owners: dict[Prefix, int] = {}
        self.by_address = {}
        wanted: list[tuple[Peer, list[Prefix]]] = []
        way_out = self._engine.exits.chosen()
        for number in sorted(self.by_id):
            peer, allowed = self.by_id[number], []
            assert peer.node is not None
            for prefix in self._wanted(peer.node) + (offers(peer.node) if peer.node is way_out else []):
                if prefix not in owners and prefix[0] not in self._engine.own_addresses:
                    owners[prefix] = number
                    allowed.append(prefix)
                    if prefix[1] == 8 * len(prefix[0]):
                        self.by_address[prefix[0]] = peer
            wanted.append((peer, allowed))
        for peer, allowed in wanted:
            new = peer.paths is None
            if new or allowed != peer.allowed:
                peer.allowed = allowed
                self._engine.apply(("peer", peer.index, peer.key, allowed))
            if new:
                self._engine.paths.update(peer)
                self._engine.sessions.arm(peer, 1 | 2 | 32)
        self._routes = sorted(owners, key=lambda prefix: (len(prefix[0]), prefix))
        subnets = [prefix for prefix in self._routes if 0 < prefix[1] < 8 * len(prefix[0])]
        if subnets != self.subnets:
            self.subnets = subnets
            self._engine.paths.subnets_changed()

    def _wanted(self, node: "Node") -> "list[Prefix]":
        if self._engine.config.get("accept_routes"):
            return [prefix for prefix in node.addresses + node.allowed_ips if prefix[1]]
        return [prefix for prefix in node.addresses if is_mesh(prefix)]

    def _own_addresses(self, node: "Node | None") -> "list[Prefix]":
        found = [] if node is None else [prefix for prefix in node.addresses if prefix[1] == 8 * len(prefix[0])]
        return found if self._engine.config.get("accept_routes") else [prefix for prefix in found if is_mesh(prefix)]

    # what follows from the map for ourselves

    def sync_self(self) -> None:
        """Addresses, local routes and identity."""
        node = self._engine.netmap.self_node
        addresses = [prefix[0] for prefix in self._own_addresses(node)]
        routes = self._engine.exits.local_routes(node)
        own = (self._engine.node_public, addresses, routes)
        if own != self._own:
            self._own = own
            self._engine.own_addresses = addresses
            self._engine.apply(("identity", self._engine.node_public))
            self._engine.apply(("addresses", addresses))
            self._engine.apply(("local-routes", routes))

    def sync_filter(self) -> None:
        """The packet filter."""
        rules = self._engine.netmap.packet_filter()
        wanted = (rules, self._capabilities(rules))
        if wanted == self._rules:  # most deltas change peers alone, and compiling is most of such a delta's work
            return
        self._rules = wanted
        self._engine.peer_relays.map_changed()
        self._engine.relaying.grants_changed()
        compiled = filter.compile(rules, wanted[1])
        if compiled != self._filter:
            self._filter = compiled
            self._engine.apply(("filter", compiled))

    def _capabilities(self, rules: "list[dict[str, Any]]") -> "dict[str, list[Prefix]]":
        found: dict[str, list[Prefix]] = {}
        for rule in rules:
            for source in rule.get("SrcIPs") or []:
                if isinstance(source, str) and source.startswith("cap:"):
                    found[source[4:]] = []
        for name, addresses in found.items():
            for node in self._engine.netmap.peers.values():
                if name in node.cap_map:
                    addresses.extend(node.addresses)
        return found

    def interface(self, up: bool) -> None:
        """Tell the adapter what the operating system should have, if that changed."""
        node = self._engine.netmap.self_node
        addresses = self._own_addresses(node) if up else []
        routes = self._routes if up else []
        up = up and bool(addresses)
        wanted = {"addresses": addresses, "routes": [prefix for prefix in routes if prefix[1]], "mtu": MTU, "up": up}
        wanted["exit"] = up and bool(self._engine.exits.wanted)
        wanted["lan"] = bool(self._engine.config.get("exit_node_allow_lan_access"))
        wanted["forward"] = self._engine.routes() if up else []
        if wanted != self._interface:
            self._interface = wanted
            self._engine.act(("interface", wanted))

    def clear(self) -> None:
        """The node goes down or logs out: nobody is installed, nothing is allowed in."""
        for number, peer in list(self.by_id.items()):
            self._remove(number, peer)
        self._routes, self.subnets, self.by_address, self._own = [], [], {}, None
        self._engine.own_addresses = []
        self._engine.apply(("addresses", []))
        self._engine.apply(("local-routes", []))
        self._filter = self._rules = None
        self._engine.apply(("filter", None))

    # questions

    def need_relay(self, region: int) -> bool:
        """Whether an active peer is reached through this region."""
        for peer in self.by_index.values():
            if self._engine.paths.active(peer) and not self._engine.paths.trusted(peer):
                relay = self._engine.paths.relay(peer)
                if relay is not None and relay[0] == region:
                    return True
        return False

    def saved_stamps(self) -> "dict[str, str]":
        """What save() keeps: node key -> greatest stamp, in hex."""
        for peer in self.by_index.values():
            if peer.stamp:
                self.stamps[peer.key] = peer.stamp
        return {key.hex(): self.stamps[key].hex() for key in self.stamps if key in self.by_key}


def is_mesh(prefix: "Prefix") -> bool:
    """Whether the prefix is a single address of the ranges that meshes use: 100.64.0.0/10 and fc00::/7."""
    address, bits = prefix
    if bits != 8 * len(address):
        return False
    return address[0] == 100 and address[1] & 0xC0 == 64 if bits == 32 else address[0] & 0xFE == 0xFC
