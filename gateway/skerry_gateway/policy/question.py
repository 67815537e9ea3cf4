"""Can A reach B on port P, and which rule says so? Answered from the edges, as B's filter would judge A's first packet."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from .compiled import Compiled
from .edges import Edge, Reach, internet_prefixes
from .people import Member
from .targets import Prefix, prefixes_of

DEFAULT_PROTOCOLS = (6, 17, 1, 58)  # TCP, UDP, ICMP, ICMPv6: what a rule without protocols is for
_ICMP = (1, 58)


@dataclass(frozen=True, slots=True)
class Answer:
    allowed: bool
    rule: str  # the first rule that allows it, such as "acls[2]"; "" when none does
    why: str  # one sentence


def reaches(at: Compiled, source: str, destination: str, protocol: int, port: int) -> str | None:
    """The place of the first rule by which `source` (an address) gets to `destination` behind or at a node; None: no rule does.

    ICMP is let through by any rule that has source and destination, whatever its protocols and ports, as receivers do.
    """
    if at.policy.rules is None:
        return "the policy has neither acls nor grants"
    wanted, spoken = ip_address(destination), ip_address(source)
    for node_id, member in at.members.items():
        if not _holds(member, wanted):
            continue
        for edge in at.heard(node_id):
            if edge.app is None and _speaks(edge, spoken) and _takes(edge, protocol) and _hears(edge, member, wanted, protocol, port):
                return edge.place
    return None


def answer(at: Compiled, source: Member, destination: Member, protocol: int, port: int) -> Answer:
    """For two nodes: whether every address of the one gets to the other's of the same family."""
    pairs = [(a, b) for a in _texts(source) for b in _texts(destination) if (":" in a) == (":" in b)]
    places = [reaches(at, a, b, protocol, port) for a, b in pairs]
    if places and all(places):
        return Answer(True, str(places[0]), f"{places[0]} allows it")
    some = [(pair, place) for pair, place in zip(pairs, places, strict=True) if place]
    if some:
        return Answer(False, str(some[0][1]), f"{some[0][1]} allows it from {some[0][0][0]} to {some[0][0][1]} only")
    return Answer(False, "", "no rule allows it; what no rule allows is refused")


def _texts(member: Member) -> list[str]:
    return [text for text in (member.node.ipv4, member.node.ipv6) if text]


def _holds(member: Member, address: Any) -> bool:
    """Whether packets to an address end at this node: its own, behind it, or on the Internet through it."""
    if any(address in prefix for prefix in member.prefixes):
        return True
    return bool(member.exits) and any(address in prefix for prefix in internet_prefixes())


def _speaks(edge: Edge, address: Any) -> bool:
    return any(text == "*" or any(address in prefix for prefix in prefixes_of(text)) for ips in edge.source_ips.values() for text in ips)


def _takes(edge: Edge, protocol: int) -> bool:
    return protocol in _ICMP or protocol in (edge.protocols or DEFAULT_PROTOCOLS)


def _hears(edge: Edge, member: Member, address: Any, protocol: int, port: int) -> bool:
    for reach in edge.destinations:
        open_here = protocol in _ICMP or any(first <= port <= last for first, last in reach.ports)
        if open_here and member.node.id in reach.nodes and any(address in prefix for prefix in _reached(reach, member)):
            return True
    return False


def _reached(reach: Reach, member: Member) -> tuple[Prefix, ...]:
    if reach.kind == "own":
        return member.addresses
    if reach.kind == "internet":
        return internet_prefixes()
    if reach.kind == "routed":
        return member.subnets + (internet_prefixes() if member.exits else ())
    return reach.prefixes if reach.kind == "prefix" else _EVERYTHING


_EVERYTHING = prefixes_of("0.0.0.0/0") + prefixes_of("::/0")
