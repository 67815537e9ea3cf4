"""A policy's rules on the network as it is: each becomes an `Edge`, the nodes it lets speak and the nodes they may reach.

A change costs the edges it touches, never pairs of nodes. The addresses of an edge's many sources are dealt out to named chunks by node id,
so that one node more or less changes one small chunk of everybody's filter and not everybody's filter.

A node has its addresses and the subnet routes in force. An exit route is not a subnet: it neither makes its node a destination (but of
autogroup:internet) nor counts as a source.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from .people import Member, domain_of, same_user
from .rules import Capabilities, Rule
from .targets import SELF, Ports, Prefix, Target, prefixes_of

# 100.64.0.0/10 without ChromeOS's 100.115.92.0/23, and the ULA prefix of this protocol family
TAILNET = ("100.64.0.0-100.115.91.255", "100.115.94.0-100.127.255.255", "fd7a:115c:a1e0::/48")
# IPv4 without 10/8, 100.64/10, 169.254/16, 172.16/12, 192.168/16; global IPv6
INTERNET = (
    "0.0.0.0-9.255.255.255", "11.0.0.0-100.63.255.255", "100.128.0.0-169.253.255.255", "169.255.0.0-172.15.255.255",
    "172.32.0.0-192.167.255.255", "192.169.0.0-255.255.255.255", "2000::/3",
)  # fmt: skip
BASE = "base"
CHUNKS = 32  # chunks that the sources of one edge are dealt out to ...
SPLIT = 64  # ... when it has more than this: each chunk costs the node's filter a rule more to look at
_ROLES: dict[str, Callable[[Member], bool]] = {
    "member": lambda m: m.user is not None,
    "tagged": lambda m: m.user is None,
    "owner": lambda m: m.user is not None and m.user.role == "owner",
    "admin": lambda m: m.user is not None and m.user.role in ("owner", "admin"),
}


@dataclass(frozen=True, slots=True)
class Reach:
    """Nodes that one destination stands for. `kind`: "own" (each node's own addresses), "any", "prefix", "internet" or "routed" (what lies
    behind each of the nodes by its routes)."""

    nodes: frozenset[int]
    kind: str
    ports: tuple[Ports, ...]
    texts: tuple[str, ...] = ()
    prefixes: tuple[Prefix, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """Any of `sources` may reach each destination's nodes on its ports, or has capabilities there (`app`)."""

    place: str
    sources: frozenset[int]
    source_ips: dict[str, tuple[str, ...]]  # by name of the chunk; never empty tuples
    destinations: tuple[Reach, ...]
    protocols: tuple[int, ...] = ()
    app: Capabilities | None = None
    via: bool = False


class Edges:
    """Makes the edges of one state of the network. `same` gives the lists of addresses of the snapshot before where they are equal."""

    def __init__(self, members: Mapping[int, Member], groups: Mapping[str, tuple[str, ...]], suffix: str) -> None:
        self._members, self._groups, self._suffix = members, groups, suffix
        self._everyone = frozenset(members)
        self._found: dict[Target, frozenset[int]] = {}
        self.before: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.lists: dict[tuple[str, ...], tuple[str, ...]] = {}

    def of(self, rule: Rule) -> list[Edge]:
        own, routed = (tuple(port for target, listed in rule.destinations if target.kind == kind for port in listed) for kind in SELF)
        others = tuple(self._reach(target, ports, rule.via) for target, ports in rule.destinations if target.kind not in SELF)
        sources, ips = self._sources(rule.sources)
        found = []
        if others and ips:
            found.append(Edge(rule.place, sources, ips, others, rule.protocols, rule.app, bool(rule.via)))
            if rule.back:
                found += self._back(rule)
        return found + (self._self_edges(rule, sources, own, routed) if own or routed else [])

    def nodes(self, target: Target) -> frozenset[int]:
        if target not in self._found:
            self._found[target] = frozenset(m.node.id for m in self._members.values() if self.matches(target, m))
        return self._found[target]

    def matches(self, target: Target, member: Member) -> bool:
        if target.kind == "tag":
            return target.name in member.node.tags
        if target.kind in ("any", "danger-all"):
            return True
        if target.kind == "prefix":
            return member.overlaps(target.prefixes)
        if target.kind == "internet":
            return bool(member.exits)
        if target.kind == "tagged-routes":
            return member.user is None and member.routes
        if target.kind in _ROLES:
            return _ROLES[target.kind](member)
        if member.user is None:
            return False
        if target.kind == "domain":
            return domain_of(member.user, self._suffix) == target.name.partition("@")[2]
        names = self._groups.get(target.name, ()) if target.kind == "group" else (target.name,)
        return any(same_user(name, member.user, self._suffix) for name in names)

    def _reach(self, target: Target, ports: tuple[Ports, ...], via: tuple[str, ...]) -> Reach:
        nodes = self.nodes(target)
        kind = target.kind if target.kind in ("internet", "any", "prefix") else "own"
        texts = INTERNET if kind == "internet" else (target.name,) if kind != "own" else ()
        if target.kind == "tagged-routes":
            return self._routed(nodes, ports)
        if via:
            nodes = frozenset(node_id for node_id in nodes if self._carries(self._members[node_id], target, via))
        return Reach(nodes, kind, ports, texts, target.prefixes)

    def _routed(self, nodes: Iterable[int], ports: tuple[Ports, ...]) -> Reach:
        routers = frozenset(node_id for node_id in nodes if self._members[node_id].routes)
        subnets = tuple(dict.fromkeys(prefix for node_id in sorted(routers) for prefix in self._members[node_id].subnets))
        return Reach(routers, "routed", ports, prefixes=subnets)

    def _carries(self, member: Member, target: Target, via: tuple[str, ...]) -> bool:
        """Whether a node has one of the tags and an approved route that overlaps the destination."""
        if not set(via) & set(member.node.tags):
            return False
        if target.kind == "prefix":
            return any(one.version == other.version and one.overlaps(other) for one in member.subnets for other in target.prefixes)
        return bool(member.exits) if target.kind == "internet" else target.kind == "any" and bool(member.subnets or member.exits)

    def _back(self, rule: Rule) -> list[Edge]:
        """What the destinations get towards the sources."""
        sources, ips = self._sources(tuple(target for target, _ in rule.destinations if target.kind not in SELF))
        plain = tuple(Target("any", "*") if source.kind == "danger-all" else source for source in rule.sources)
        back = tuple(self._reach(target, ((0, 65535),), ()) for target in plain)
        return [Edge(rule.place, sources, ips, back, (), rule.back)] if ips else []

    def _self_edges(
        self, rule: Rule, sources: frozenset[int], ports: tuple[Ports, ...], routed: tuple[Ports, ...]
    ) -> list[Edge]:
        devices: defaultdict[int, set[int]] = defaultdict(set)
        for member in self._members.values():
            if member.user is not None:
                devices[member.user.id].add(member.node.id)
        found = []
        for own in map(frozenset, devices.values()):
            speakers = own & sources
            behind = self._routed(own, routed)
            reaches = ((Reach(own, "own", ports),) if ports else ()) + ((behind,) if routed and behind.nodes else ())
            if speakers and reaches:
                found.append(Edge(rule.place, speakers, self._dealt((), speakers), reaches, rule.protocols, rule.app))
                if rule.back:
                    found.append(Edge(rule.place, own, self._dealt((), own), (Reach(speakers, "own", ports),), (), rule.back))
        return found

    def _sources(self, targets: tuple[Target, ...]) -> tuple[frozenset[int], dict[str, tuple[str, ...]]]:
        nodes: set[int] = set()
        texts: list[str] = []
        by_address: set[int] = set()
        for target in targets:
            found = self.nodes(target)
            nodes |= found
            if target.kind == "any":
                texts += [*TAILNET, *self._subnets()]
            elif target.kind in ("prefix", "danger-all"):
                texts.append("*" if target.kind == "danger-all" else target.name)
            elif target.kind != "internet":
                by_address |= found
        return frozenset(nodes), self._dealt(tuple(dict.fromkeys(texts)), by_address)

    def _dealt(self, texts: tuple[str, ...], nodes: Iterable[int]) -> dict[str, tuple[str, ...]]:
        """`texts` and the nodes' addresses as chunks."""
        ids = sorted(nodes)
        if len(ids) <= SPLIT:
            parts = {BASE: tuple(dict.fromkeys(texts + self._addresses(ids)))}
        else:
            parts = {BASE: texts, **{f"of{number}": self._addresses(ids_of) for number, ids_of in _by_remainder(ids)}}
        return {name: self._same(part) for name, part in parts.items() if part}

    def _same(self, part: tuple[str, ...]) -> tuple[str, ...]:
        return self.lists.setdefault(part, self.before.get(part, part))

    def _addresses(self, nodes: list[int]) -> tuple[str, ...]:
        chosen = [self._members[node_id].node for node_id in nodes]
        return tuple(address for node in chosen for address in (node.ipv4, node.ipv6) if address)

    def _subnets(self) -> list[str]:
        return sorted({str(prefix) for m in self._members.values() for prefix in m.subnets})


def dst_ports(member: Member, edge: Edge) -> list[dict[str, object]]:
    """The destinations of an edge as one node is sent them."""
    found: list[dict[str, object]] = []
    for reach in edge.destinations:
        if member.node.id in reach.nodes:
            ips = _own(member) if reach.kind == "own" else _behind(member) if reach.kind == "routed" else reach.texts
            found += [{"IP": ip, "Ports": {"First": first, "Last": last}} for ip in ips for first, last in reach.ports]
    return [entry for i, entry in enumerate(found) if entry not in found[:i]]


def cap_dsts(member: Member, edge: Edge) -> list[str]:
    """Where at one node an edge's capabilities hold: its own addresses, however wide the destination; on a router of it that itself too."""
    found: dict[str, None] = {}
    for reach in edge.destinations:
        if member.node.id not in reach.nodes:
            continue
        held = member.addresses
        if reach.kind == "prefix":
            held = tuple(a for a in held if any(a.version == p.version and a.subnet_of(p) for p in reach.prefixes))  # type: ignore[arg-type]
        found.update(dict.fromkeys(map(str, held)))
        if reach.kind == "prefix" and any(s.version == p.version and s.overlaps(p) for s in member.subnets for p in reach.prefixes):
            found.update(dict.fromkeys(map(str, reach.prefixes)))
    return list(found)


def _own(member: Member) -> tuple[str, ...]:
    return tuple(address for address in (member.node.ipv4, member.node.ipv6) if address)


def _behind(member: Member) -> tuple[str, ...]:
    return (*map(str, member.subnets), *(INTERNET if member.exits else ()))


def _by_remainder(ids: list[int]) -> list[tuple[int, list[int]]]:
    dealt: defaultdict[int, list[int]] = defaultdict(list)
    for node_id in ids:
        dealt[node_id % CHUNKS].append(node_id)
    return sorted(dealt.items())


@cache
def internet_prefixes() -> tuple[Prefix, ...]:
    """INTERNET as prefixes, for looking addresses up."""
    return tuple(prefix for text in INTERNET for prefix in prefixes_of(text))
