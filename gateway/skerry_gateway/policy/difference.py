"""What a change of policy opens and closes, as sentences.

Edges that both policies have are left out first, so the cost is that of the edges that differ. For those each pair of nodes is looked at,
up to a bound, and a connection counts only when no other rule allows it as well.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .compiled import Compiled
from .edges import Edge, Reach
from .question import DEFAULT_PROTOCOLS
from .targets import Ports

MAX_PAIRS = 200_000
_NAMES = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}
_Service = tuple[tuple[int, ...], str, tuple[Ports, ...]]  # protocols, where ("" is the node itself), ports


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence: these sources may, or may no longer, reach that node's service."""

    opens: bool
    sources: tuple[str, ...]
    destination: str
    service: str
    survives: bool  # closing: flows that are open now may go on at a stock client, whose filter passes TCP that is no SYN

    def __str__(self) -> str:
        who = self.sources[0] if len(self.sources) == 1 else f"{', '.join(self.sources[:3])}{_more(len(self.sources) - 3)}"
        can = "can now reach" if self.opens else "can no longer reach"
        tail = "; TCP connections that are open may go on at an official client" if self.survives else ""
        return f"{who} {can} {self.destination} on {self.service}{tail}"


def difference(before: Compiled, after: Compiled, names: dict[int, str]) -> list[Line]:
    """The lines, what opens first. LookupError when more than MAX_PAIRS pairs of nodes would have to be looked at."""
    old, new = _distinct(before), _distinct(after)
    opened = _lines(True, [edge for key, edge in new.items() if key not in old], before, after, names)
    closed = _lines(False, [edge for key, edge in old.items() if key not in new], after, before, names)
    return opened + closed


def _distinct(at: Compiled) -> dict[object, Edge]:
    if at.policy.rules is None:
        everyone = at.nodes
        edge = Edge("", everyone, {"base": ("*",)}, (Reach(everyone, "any", ((0, 65535),), ("*",)),))
        return {"everything": edge}
    return {_key(edge): edge for edge in at.edges if edge.app is None}


def _key(edge: Edge) -> object:
    return (edge.sources, tuple(sorted(edge.source_ips.items())), edge.destinations, edge.protocols)


def _lines(opens: bool, edges: Iterable[Edge], without: Compiled, having: Compiled, names: dict[int, str]) -> list[Line]:
    """What `edges` (of the snapshot `having`) allow that `without` does not."""
    gained: defaultdict[tuple[int, _Service], set[int]] = defaultdict(set)
    pairs = 0
    for edge in edges:
        for source, node_id, service in _connections(edge):
            pairs += 1
            if pairs > MAX_PAIRS:
                raise LookupError(f"the change is too large to list: more than {MAX_PAIRS} pairs of nodes")
            if not _allowed(without, source, node_id, service):
                gained[node_id, service].add(source)
    found = []
    for (node_id, service), sources in gained.items():
        lasting = [i for i in sources if not opens and without.sees(i, node_id) and _carries_tcp(service)]
        who = tuple(sorted(names.get(i, str(i)) for i in sources))
        found.append(Line(opens, who, _place(names.get(node_id, str(node_id)), service), _words(service), bool(lasting)))
    return sorted(found, key=lambda line: (line.destination, line.service))


def _connections(edge: Edge) -> Iterator[tuple[int, int, _Service]]:
    for reach in edge.destinations:
        words = {"internet": "the Internet", "routed": "what is routed", "prefix": reach.texts[0] if reach.texts else ""}
        where = words.get(reach.kind, "")
        service = (edge.protocols, where, reach.ports)
        for node_id in reach.nodes:
            for source in edge.sources:
                if source != node_id:
                    yield source, node_id, service


def _allowed(at: Compiled, source: int, node_id: int, service: _Service) -> bool:
    """Whether rules of this snapshot, each on its own, allow all of it."""
    if at.policy.rules is None:
        return source in at.nodes and node_id in at.nodes
    protocols, where, ports = service
    open_ports: list[Ports] = []
    wanted = set(protocols or DEFAULT_PROTOCOLS)
    for edge in at.heard(node_id):
        if edge.app is not None or source not in edge.sources or not wanted <= set(edge.protocols or DEFAULT_PROTOCOLS):
            continue
        for reach in edge.destinations:
            if node_id in reach.nodes and _includes(reach, where):
                open_ports += reach.ports
    return all(any(low <= first and last <= high for low, high in open_ports) for first, last in ports)


def _includes(reach: Reach, where: str) -> bool:
    if reach.kind == "any" or (where == "" and reach.kind == "own"):
        return True
    if reach.kind == "routed":
        return where == "what is routed"
    return (reach.kind == "internet" and where == "the Internet") or (reach.kind == "prefix" and where in reach.texts)


def _carries_tcp(service: _Service) -> bool:
    return 6 in (service[0] or DEFAULT_PROTOCOLS)


def _place(name: str, service: _Service) -> str:
    where = service[1]
    return f"{where} through {name}" if where else name


def _words(service: _Service) -> str:
    protocols, _, ports = service
    kinds = "/".join(_NAMES.get(p, f"protocol {p}") for p in protocols)
    if ports == ((0, 65535),):
        return kinds or "every port"
    listed = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ports)
    return f"{kinds + ' ' if kinds else ''}port{'s' if len(ports) > 1 or '-' in listed else ''} {listed}"


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""
