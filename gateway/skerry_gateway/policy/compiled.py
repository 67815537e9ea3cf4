"""A policy applied to one state of the network: an immutable snapshot of who may reach and who sees whom.

`filter(node)` is what that node enforces on packets that come in (tailcfg FilterRules), `peers(node)` who is in its map: two nodes see
each other when an edge lets either reach the other. `routes(viewer, peer)` are the peer's routes that the viewer is given. All are computed
when first asked for, so a change costs the nodes it touches.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from .attributes import attributes_of, auto_approved
from .document import Policy
from .edges import BASE, Edge, Edges, Reach, cap_dsts, dst_ports
from .people import Device, Member, Person, member, same_user
from .ssh import SSHRule
from .targets import Prefix, Target, prefixes_of

_ALL_PORTS = {"First": 0, "Last": 65535}
ALLOW_ALL: list[dict[str, Any]] = [{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": _ALL_PORTS}]}]


class Compiled:
    """`nodes` are those that take part: approved, not expired. `suffix` is the domain of users without one in their name. What is as it
    was in the snapshot `before` is the same object here, so that comparing chunks is cheap."""

    def __init__(
        self, policy: Policy, nodes: Iterable[Device], users: Iterable[Person], suffix: str = "", before: "Compiled | None" = None
    ) -> None:
        self.policy = policy
        self.suffix = suffix
        people = {user.id: user for user in users}
        self.members: dict[int, Member] = {n.id: member(n, None if n.user_id is None else people.get(n.user_id)) for n in nodes}
        self._everyone = frozenset(self.members)
        self._maker = Edges(self.members, policy.groups, suffix)
        self._maker.before = before._maker.lists if before is not None else {}
        self._peers: dict[int, frozenset[int]] = {}
        self.edges = [edge for rule in policy.rules or () for edge in self._maker.of(rule)]
        self._maker.before = {}
        self._speaks: defaultdict[int, list[Edge]] = defaultdict(list)
        self._hears: defaultdict[int, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            for node_id in edge.sources:
                self._speaks[node_id].append(edge)
            for node_id in frozenset().union(*(reach.nodes for reach in edge.destinations)):
                self._hears[node_id].append(edge)
        self._behind: dict[Prefix, list[Edge]] = {}
        self._carriers: defaultdict[str, list[int]] = defaultdict(list)
        for node_id in sorted(self.members):
            for prefix in self.members[node_id].subnets:
                self._carriers[str(prefix)].append(node_id)

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
        return self.policy.rules is None or self._may_speak(one, other) or self._may_speak(other, one)

    def _may_speak(self, one: int, other: int) -> bool:
        return any(other in reach.nodes for edge in self._speaks.get(one, ()) for reach in edge.destinations)

    def _find_peers(self, node_id: int) -> frozenset[int]:
        if node_id not in self._everyone:
            return frozenset()
        if self.policy.rules is None:
            return self._everyone - {node_id}
        found: set[int] = set()
        for edge in self._speaks.get(node_id, ()):
            found.update(*(reach.nodes for reach in edge.destinations))
        for edge in self._hears.get(node_id, ()):
            found.update(edge.sources)
        return frozenset(found - {node_id})

    # filters

    def filter(self, node_id: int) -> list[dict[str, Any]]:
        """The FilterRules of a node; [] lets nothing in."""
        return [{**rule, "SrcIPs": list(rule["SrcIPs"])} for rules in self.chunks(node_id).values() for rule in rules]

    def chunks(self, node_id: int) -> dict[str, list[dict[str, Any]]]:
        """The node's filter in its named chunks, each in the policy's order; BASE is always there. Not to be changed."""
        found: dict[str, list[dict[str, Any]]] = {BASE: []}
        if node_id not in self._everyone:
            return found
        if self.policy.rules is None:
            return {BASE: ALLOW_ALL}
        for edge in self._hears.get(node_id, ()):
            rule = self.sent(self.members[node_id], edge)
            for name, ips in edge.source_ips.items() if rule else ():
                found.setdefault(name, []).append({"SrcIPs": ips, **rule})
        return found

    def sent(self, heard: Member, edge: Edge) -> dict[str, Any]:
        """An edge as one node's filter has it, without the sources; {} when it says nothing there."""
        if edge.app is None:
            ports = dst_ports(heard, edge)
            return {**({"IPProto": list(edge.protocols)} if edge.protocols else {}), "DstPorts": ports} if ports else {}
        dsts = [] if edge.via else cap_dsts(heard, edge)
        return {"CapGrant": [{"Dsts": dsts, "CapMap": edge.app}]} if dsts else {}

    def heard(self, node_id: int) -> list[Edge]:
        """The edges that lead to a node, in the policy's order."""
        return self._hears.get(node_id, [])

    # routes

    def routes(self, viewer: int, peer: int, first: Callable[[list[int]], int] = min) -> tuple[str, ...]:
        """The routes of `peer` that `viewer` sends to it: subnets that it carries (`first` chooses one of several routers by node id, the
        lowest without) and exit routes, as far as a rule lets the two have to do with what is behind."""
        if viewer == peer or not self.sees(viewer, peer):
            return ()
        held = self.members[peer]
        found = [str(prefix) for prefix in held.subnets if self._carrier(viewer, prefix, first) == peer]
        return (*found, *(held.exits if self._may_leave(viewer, peer) else ()))

    def _carrier(self, viewer: int, prefix: Prefix, first: Callable[[list[int]], int]) -> int | None:
        carriers = self._carriers[str(prefix)]
        if self.policy.rules is None:
            return first(carriers)
        chosen: set[int] = set()
        for edge in self._speaks.get(viewer, ()):
            for reach in edge.destinations:
                if edge.via and _covers(reach, prefix):
                    chosen |= reach.nodes & set(carriers)
        if chosen:
            return first(sorted(chosen))
        return first(carriers) if self._concerned(viewer, prefix) else None

    def _concerned(self, viewer: int, prefix: Prefix) -> bool:
        """Whether the viewer may reach something in a subnet, or be reached from there."""
        if any(_covers(reach, prefix) for edge in self._speaks.get(viewer, ()) if not edge.via for reach in edge.destinations):
            return True
        return any(viewer in reach.nodes for edge in self._from(prefix) for reach in edge.destinations)

    def _from(self, prefix: Prefix) -> list[Edge]:
        """Edges whose sources name addresses of a subnet."""
        if prefix not in self._behind:
            self._behind[prefix] = [edge for edge in self.edges if any(_texts_cover(ips, prefix) for ips in edge.source_ips.values())]
        return self._behind[prefix]

    def _may_leave(self, viewer: int, peer: int) -> bool:
        if self.policy.rules is None:
            return True
        return any(
            peer in reach.nodes and (reach.kind in ("internet", "routed") or (reach.kind == "any" and not edge.via))
            for edge in self._speaks.get(viewer, ())
            if edge.app is None  # capabilities lead to nodes, not to what is behind them
            for reach in edge.destinations
        )

    # what else the policy says of a node

    def attributes(self, node_id: int) -> dict[str, list[Any] | None]:
        """The capabilities that nodeAttrs gives a node."""
        return attributes_of(self.policy.attributes, self.policy.random_port, self.members[node_id], self._maker.matches)

    def auto_approved(self, node_id: int) -> tuple[str, ...]:
        """Those of a node's advertised routes that need no administrator."""
        return auto_approved(self.policy.approvers, self.members[node_id], self._maker.matches)

    def selected(self, targets: Iterable[Target]) -> frozenset[int]:
        return frozenset().union(*(self._maker.nodes(target) for target in targets))

    def ssh_sources(self, rule: SSHRule, node_id: int) -> frozenset[int]:
        """The nodes from where an ssh rule lets people log in to one node."""
        held = self.members[node_id]
        found: set[int] = set()
        for target in rule.destinations:
            if target.kind == "self":
                if held.user is not None:
                    found |= {i for i in self.selected(rule.sources) if self._owner(i) == held.user.id}
            elif self._maker.matches(target, held):
                found |= self.selected(rule.sources)
        return frozenset(found)

    def _owner(self, node_id: int) -> int | None:
        user = self.members[node_id].user
        return None if user is None else user.id


def _covers(reach: Reach, prefix: Prefix) -> bool:
    if reach.kind == "any":
        return True
    return reach.kind in ("prefix", "routed") and any(p.version == prefix.version and p.overlaps(prefix) for p in reach.prefixes)


def _texts_cover(texts: tuple[str, ...], prefix: Prefix) -> bool:
    return any(text == "*" or any(p.version == prefix.version and p.overlaps(prefix) for p in prefixes_of(text)) for text in texts)


def auto_approves(policy: Policy, node: Device, user: Person | None, suffix: str = "") -> tuple[str, ...]:
    """Those of a node's advertised routes that need no administrator, whether or not it takes part."""
    return auto_approved(policy.approvers, member(node, user), Edges({}, policy.groups, suffix).matches)


def may_tag(policy: Policy, user: Person, tag: str, suffix: str = "") -> bool:
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


def _owns(policy: Policy, owner: Target, user: Person, suffix: str) -> bool:
    if owner.kind == "user":
        return same_user(owner.name, user, suffix)
    if owner.kind == "group":
        return any(same_user(name, user, suffix) for name in policy.groups.get(owner.name, ()))
    return owner.kind == "member" or (owner.kind == "admin" and user.role in ("owner", "admin"))
