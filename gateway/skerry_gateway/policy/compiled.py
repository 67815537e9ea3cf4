"""A policy applied to one state of the network: an immutable snapshot of who may reach and who sees whom.

Each rule becomes an `Edge`: the nodes it lets speak, the nodes it lets them reach. `filter(node)` is what that node enforces on
packets that come in (tailcfg FilterRules), `peers(node)` who is in its map: two nodes see each other when an edge lets either
reach the other. Both are computed when first asked for, so a change costs the nodes it touches.

A filter is made of named chunks: the addresses of an edge's many sources are dealt out by node id, so that one node more or less changes
one small chunk of everybody's filter and not everybody's filter.

A node has its addresses and the subnet routes in force (advertised and approved). An exit route is not a subnet: it neither makes
its node a destination nor counts as a source.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network
from typing import Any

from skerry_gateway.store import Node, User

from .document import Policy, Rule
from .targets import ROUTED_GROUPS, SELF_GROUPS, Ports, Prefix, Target

# 100.64.0.0/10 without ChromeOS's 100.115.92.0/23, and the ULA prefix of this protocol family
TAILNET = ("100.64.0.0-100.115.91.255", "100.115.94.0-100.127.255.255", "fd7a:115c:a1e0::/48")
_EXIT = ("0.0.0.0/0", "::/0")
# what an exit node is for: IPv4 without private, shared and link-local addresses, and the global IPv6 addresses
PUBLIC = {
    "0.0.0.0/0": (
        "0.0.0.0-9.255.255.255", "11.0.0.0-100.63.255.255", "100.128.0.0-169.253.255.255", "169.255.0.0-172.15.255.255",
        "172.32.0.0-192.167.255.255", "192.169.0.0-255.255.255.255",
    ),
    "::/0": ("2000::/3",),
}  # fmt: skip
_ALL_PORTS = {"First": 0, "Last": 65535}
BASE = "base"
CHUNKS = 32  # chunks that the sources of one edge are dealt out to ...
SPLIT = 64  # ... when it has more than this: each chunk costs the node's filter a rule more to look at
ALLOW_ALL: list[dict[str, Any]] = [{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": _ALL_PORTS}]}]
Role = Callable[["_Member"], bool]


@dataclass(frozen=True, slots=True)
class Edge:
    """One rule on the network as it is: any of `sources` may reach each destination's nodes on its ports."""

    sources: frozenset[int]
    source_ips: dict[str, tuple[str, ...]]  # by name of the chunk; never empty tuples
    destinations: tuple["Reach", ...]
    protocols: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reach:
    nodes: frozenset[int]
    ip: str | None  # None: each node's own addresses
    ports: tuple[Ports, ...]
    routed: str = ""  # "exit": not the nodes but the Internet through them; "all": that and their subnet routes


@dataclass(frozen=True, slots=True)
class _Member:
    node: Node
    user: User | None
    prefixes: tuple[Prefix, ...]  # addresses and subnet routes in force


_ROLES: dict[str, Role] = {
    "member": lambda m: m.user is not None,
    "tagged": lambda m: m.user is None,
    "owner": lambda m: m.user is not None and m.user.role == "owner",
    "admin": lambda m: m.user is not None and m.user.role in ("owner", "admin"),
    "tagged-routes": lambda m: m.user is None and bool(routes_in_force(m.node)),
    "internet": lambda m: any(route in _EXIT for route in routes_in_force(m.node)),
}


class Compiled:
    """`nodes` are those that take part: approved, not expired. `suffix` is the domain of users without one in their name. What is as it
    was in the snapshot `before` is the same object here, so that comparing chunks is cheap."""

    def __init__(
        self, policy: Policy, nodes: Iterable[Node], users: Iterable[User], suffix: str = "", before: "Compiled | None" = None
    ) -> None:
        self._policy = policy
        self._suffix = suffix
        people = {user.id: user for user in users}
        self._members = {n.id: _Member(n, None if n.user_id is None else people.get(n.user_id), _prefixes(n)) for n in nodes}
        self._everyone = frozenset(self._members)
        self._before = before._lists if before is not None else {}
        self._lists: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._peers: dict[int, frozenset[int]] = {}
        self.edges = [edge for rule in policy.rules or () for edge in self._edges(rule)]
        self._speaks: defaultdict[int, list[Edge]] = defaultdict(list)
        self._hears: defaultdict[int, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            for node_id in edge.sources:
                self._speaks[node_id].append(edge)
            for node_id in frozenset().union(*(reach.nodes for reach in edge.destinations)):
                self._hears[node_id].append(edge)
        self._before = {}

    @property
    def nodes(self) -> frozenset[int]:
        return self._everyone

    def peers(self, node_id: int) -> frozenset[int]:
        """The ids of the nodes this one sees (and is seen by); empty for a node that takes no part."""
        if node_id not in self._peers:
            self._peers[node_id] = self._find_peers(node_id)
        return self._peers[node_id]

    def sees(self, one: int, other: int) -> bool:
        """Whether `other` is among the peers of `one`, without finding all of them."""
        if one in self._peers:
            return other in self._peers[one]
        if one == other or one not in self._everyone or other not in self._everyone:
            return False
        return self._policy.rules is None or self._may_speak(one, other) or self._may_speak(other, one)

    def _may_speak(self, one: int, other: int) -> bool:
        return any(other in reach.nodes for edge in self._speaks.get(one, ()) for reach in edge.destinations)

    def filter(self, node_id: int) -> list[dict[str, Any]]:
        """The FilterRules of a node; [] lets nothing in."""
        return [{**rule, "SrcIPs": list(rule["SrcIPs"])} for rules in self.chunks(node_id).values() for rule in rules]

    def _find_peers(self, node_id: int) -> frozenset[int]:
        if node_id not in self._everyone:
            return frozenset()
        if self._policy.rules is None:
            return self._everyone - {node_id}
        found: set[int] = set()
        for edge in self._speaks.get(node_id, ()):
            found.update(*(reach.nodes for reach in edge.destinations))
        for edge in self._hears.get(node_id, ()):
            found.update(edge.sources)
        return frozenset(found - {node_id})

    def chunks(self, node_id: int) -> dict[str, list[dict[str, Any]]]:
        """The node's filter in its named chunks, each in the policy's order; BASE is always there. Not to be changed."""
        found: dict[str, list[dict[str, Any]]] = {BASE: []}
        if node_id not in self._everyone:
            return found
        if self._policy.rules is None:
            return {BASE: ALLOW_ALL}
        for edge in self._hears.get(node_id, ()):
            ports = _dst_ports(self._members[node_id].node, edge)
            rule = {"DstPorts": ports, **({"IPProto": list(edge.protocols)} if edge.protocols else {})}
            for name, ips in edge.source_ips.items() if ports else ():
                found.setdefault(name, []).append({"SrcIPs": ips, **rule})
        return found

    def _edges(self, rule: Rule) -> list[Edge]:
        own = [(target, ports) for target, ports in rule.destinations if target.kind in SELF_GROUPS]
        others = tuple(self._reach(target, ports) for target, ports in rule.destinations if target.kind not in SELF_GROUPS)
        sources, ips = self._sources(rule.sources)
        found = [Edge(sources, ips, others, rule.protocols)] if others and ips else []
        if own:
            direct, routed = (tuple(port for target, ports in own if target.kind == kind for port in ports) for kind in SELF_GROUPS)
            found += self._self_edges(sources, direct, routed, rule.protocols)
        return found

    def _self_edges(
        self, sources: frozenset[int], direct: tuple[Ports, ...], routed: tuple[Ports, ...], protocols: tuple[int, ...]
    ) -> list[Edge]:
        devices: defaultdict[int, set[int]] = defaultdict(set)
        for member in self._members.values():
            if member.user is not None:
                devices[member.user.id].add(member.node.id)
        found = []
        for own in devices.values():
            speakers = frozenset(own) & sources
            routers = frozenset(node_id for node_id in own if routes_in_force(self._members[node_id].node))
            reaches = [Reach(frozenset(own), None, direct)] if direct else []
            reaches += [Reach(routers, None, routed, "all")] if routed and routers else []
            if speakers and reaches:
                found.append(Edge(speakers, self._dealt((), speakers), tuple(reaches), protocols))
        return found

    def _sources(self, targets: tuple[Target, ...]) -> tuple[frozenset[int], dict[str, tuple[str, ...]]]:
        nodes: set[int] = set()
        texts: list[str] = []
        by_address: set[int] = set()
        for target in targets:
            found = self._nodes(target)
            nodes |= found
            if target.kind == "any":
                texts += [*TAILNET, *self._subnets()]
            elif target.kind == "prefix":
                texts.append(target.name)
            else:
                by_address |= found
        return frozenset(nodes), self._dealt(tuple(dict.fromkeys(texts)), by_address)

    def _dealt(self, texts: tuple[str, ...], nodes: Iterable[int]) -> dict[str, tuple[str, ...]]:
        """`texts` and the nodes' addresses as chunks."""
        ids = sorted(nodes)
        if len(ids) <= SPLIT:
            parts = {BASE: texts + self._addresses(ids)}
        else:
            parts = {BASE: texts, **{f"of{number}": self._addresses(ids_of) for number, ids_of in _by_remainder(ids)}}
        return {name: self._same(part) for name, part in parts.items() if part}

    def _same(self, part: tuple[str, ...]) -> tuple[str, ...]:
        return self._lists.setdefault(part, self._before.get(part, part))

    def _reach(self, target: Target, ports: tuple[Ports, ...]) -> Reach:
        text = target.name if target.kind in ("any", "prefix") else None
        routed = ("exit" if target.kind == "internet" else "all") if target.kind in ROUTED_GROUPS else ""
        return Reach(self._nodes(target), text, ports, routed)

    def _nodes(self, target: Target) -> frozenset[int]:
        if target.kind == "any":
            return self._everyone
        return frozenset(m.node.id for m in self._members.values() if self._matches(target, m))

    def _matches(self, target: Target, member: _Member) -> bool:
        if target.kind == "tag":
            return target.name in member.node.tags
        if target.kind == "user":
            return member.user is not None and same_user(target.name, member.user, self._suffix)
        if target.kind == "group":
            names = self._policy.groups.get(target.name, ())
            return member.user is not None and any(same_user(name, member.user, self._suffix) for name in names)
        if target.prefix is not None:
            return any(prefix.version == target.prefix.version and prefix.overlaps(target.prefix) for prefix in member.prefixes)
        return _ROLES[target.kind](member)

    def _addresses(self, nodes: list[int]) -> tuple[str, ...]:
        chosen = [self._members[node_id].node for node_id in nodes]
        return tuple(address for node in chosen for address in (node.ipv4, node.ipv6))

    def _subnets(self) -> list[str]:
        return sorted({str(prefix) for m in self._members.values() for prefix in m.prefixes[2:]})


def _by_remainder(ids: list[int]) -> list[tuple[int, list[int]]]:
    dealt: defaultdict[int, list[int]] = defaultdict(list)
    for node_id in ids:
        dealt[node_id % CHUNKS].append(node_id)
    return sorted(dealt.items())


def routes_in_force(node: Node) -> tuple[str, ...]:
    """What a node both advertises and was allowed, exit routes included."""
    return tuple(route for route in node.routes_advertised if route in node.routes_approved)


def same_user(name: str, user: User, suffix: str) -> bool:
    """Whether a policy's NAME@ or NAME@DOMAIN means this user."""
    return name in (user.name, user.name + "@", f"{user.name}@{suffix}")


def may_tag(policy: Policy, user: User, tag: str, suffix: str = "") -> bool:
    """Whether the user may give devices that tag: the network's owner any, others what tagOwners says (tags own tags)."""
    if user.role == "owner":
        return True
    seen, todo = {tag}, [tag]
    while todo:
        for owner in policy.tag_owners.get(todo.pop(), ()):
            if owner.kind == "tag" and owner.name not in seen:
                seen.add(owner.name)
                todo.append(owner.name)
            elif _owns(policy, owner, user, suffix):
                return True
    return False


def _owns(policy: Policy, owner: Target, user: User, suffix: str) -> bool:
    if owner.kind == "user":
        return same_user(owner.name, user, suffix)
    if owner.kind == "group":
        return any(same_user(name, user, suffix) for name in policy.groups.get(owner.name, ()))
    return owner.kind == "member" or (owner.kind == "admin" and user.role in ("owner", "admin"))


def _prefixes(node: Node) -> tuple[Prefix, ...]:
    return _parsed(node.ipv4, node.ipv6, tuple(route for route in routes_in_force(node) if route not in _EXIT))


@lru_cache(maxsize=8192)  # nodes are looked at again with every change of the network
def _parsed(ipv4: str, ipv6: str, routes: tuple[str, ...]) -> tuple[Prefix, ...]:
    return tuple(ip_network(text) for text in (ipv4, ipv6, *routes))


def _dst_ports(node: Node, edge: Edge) -> list[dict[str, Any]]:
    found = []
    for reach in edge.destinations:
        if node.id in reach.nodes:
            ips = _routed(node, reach.routed) if reach.routed else [node.ipv4, node.ipv6] if reach.ip is None else [reach.ip]
            found += [{"IP": ip, "Ports": {"First": first, "Last": last}} for ip in ips for first, last in reach.ports]
    return [entry for i, entry in enumerate(found) if entry not in found[:i]]


def _routed(node: Node, which: str) -> list[str]:
    """What lies behind a node, by the routes in force."""
    routes = [route for route in routes_in_force(node) if which == "all" or route in _EXIT]
    return [text for route in routes for text in PUBLIC.get(route, (route,))]
