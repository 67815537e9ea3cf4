"""What a policy allows, worked out slowly from the numbered rules of the policy text alone, for comparison with the compiler.

Nothing of our packages is imported. Every answer comes with the numbers of the rules (1-32) that decided it: of an allowed pair those by
which the first statement that fits does so; of a refused one those that alone kept some statement from fitting.

Two things are the receiver's and not the policy's: ICMP passes wherever anything may (any protocol, any port), and a protocol without
ports needs all ports. Left out because the text is silent: `via` with other destinations than prefixes, hosts and autogroup:internet.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any

EXITS = ("0.0.0.0/0", "::/0")
PORTS = {"tcp": 6, "udp": 17, "icmp": 1, "sctp": 132, "gre": 47, "esp": 50}
DEFAULT = (6, 17, 1, 58)
PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
DRIVE, RELAY = "tailscale.com/cap/drive", "tailscale.com/cap/relay"
REVERSE = {DRIVE: DRIVE + "-sharer", RELAY: RELAY + "-target"}
DOCUMENTED = ("drive", "relay", "kubernetes", "webui")
ALL_PORTS = (None, 0, 65535)

Answer = tuple[bool, set[int]]
Node = dict[str, Any]
net, addr = cache(ip_network), cache(ip_address)


@cache
def inside(address: str, prefix: str) -> bool:
    return addr(address) in net(prefix)


@cache
def overlap(one: str, other: str) -> bool:
    return net(one).version == net(other).version and net(one).overlaps(net(other))


@cache
def tailnet(address: str) -> bool:
    """Rule 4's ranges."""
    if ":" in address:
        return inside(address, "fd7a:115c:a1e0::/48")
    return inside(address, "100.64.0.0/10") and not inside(address, "100.115.92.0/23")


@cache
def public(address: str) -> bool:
    """Rule 16's ranges."""
    return inside(address, "2000::/3") if ":" in address else not any(inside(address, prefix) for prefix in PRIVATE)


def subnets(node: Node) -> list[str]:
    return [route for route in node["approved_routes"] if route not in EXITS]


def is_exit(node: Node) -> bool:
    return any(route in EXITS for route in node["approved_routes"])


@dataclass
class Statement:
    """One acl or grant: `ports` are (protocol or None, first, last) beside each destination."""

    sources: list[str]
    destinations: list[tuple[str, list[tuple[int | None, int, int]]]]
    via: list[str]
    app: dict[str, list[Any]]
    grant: bool


def port_range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return (0, 65535) if text == "*" else (int(first), int(last or first))


def _acl(entry: dict[str, Any]) -> Statement:
    protocol = entry.get("proto")
    number = None if protocol is None else PORTS[protocol] if protocol in PORTS else int(protocol)
    destinations = []
    for text in entry["dst"]:
        name, _, ports = text.rpartition(":")
        destinations.append((name.strip().strip("[]"), [(number, *port_range(part)) for part in ports.split(",")]))
    return Statement([name.strip() for name in entry["src"]], destinations, [], {}, False)


def _grant(entry: dict[str, Any]) -> Statement:
    ports: list[tuple[int | None, int, int]] = []
    for text in entry.get("ip", []):
        protocol, colon, rest = text.rpartition(":")
        ports.append((PORTS[protocol] if colon else None, *port_range(rest)))
    sources, names = [name.strip() for name in entry["src"]], [name.strip() for name in entry["dst"]]
    return Statement(sources, [(name, ports) for name in names], entry.get("via", []), entry.get("app", {}), True)


class Judge:
    def __init__(self, document: dict[str, Any], snapshot: dict[str, Any]) -> None:
        self.document, self.domains = document, snapshot["domains"]
        self.nodes: dict[str, Node] = {node["name"]: node for node in snapshot["nodes"]}
        self.users = {user["name"]: user for user in snapshot["users"]}
        self.padded = {
            name.strip() for entry in document.get("acls", []) + document.get("grants", []) for name in entry["src"] if name != name.strip()
        }
        self.open = "acls" not in document and "grants" not in document

    def statements(self) -> Iterator[Statement]:
        for entry in self.document.get("acls", []):
            yield _acl(entry)
        for entry in self.document.get("grants", []):
            yield _grant(entry)

    # who a name is

    def _users(self, name: str) -> set[str]:
        """The users (names) that a user, a group or an autogroup stands for."""
        if name.startswith("group:"):
            return {user for member in self.document["groups"][name] for user in self._users(member)}
        if name.startswith("user:*@"):
            return {user["name"] for user in self.users.values() if user["email"].partition("@")[2] == name[7:]}
        roles = {"autogroup:owner": ("owner",), "autogroup:admin": ("owner", "admin"), "autogroup:member": ("owner", "admin", "member")}
        if name in roles:
            return {user["name"] for user in self.users.values() if user.get("role", "member") in roles[name]}
        return {user["name"] for user in self.users.values() if user["email"] == name}

    def named(self, name: str) -> list[Node] | None:
        """The nodes of a tag, user, group or autogroup; None for other entries."""
        if name.startswith("tag:"):
            return [node for node in self.nodes.values() if name in node["tags"]]
        if name == "autogroup:tagged":
            return [node for node in self.nodes.values() if node["tags"]]
        if "@" in name or name.startswith("group:") or name in ("autogroup:member", "autogroup:admin", "autogroup:owner"):
            users = self._users(name)
            return [node for node in self.nodes.values() if not node["tags"] and node["user"] in users]  # rule 3
        return None

    def prefix(self, name: str) -> str:
        text = self.document.get("hosts", {}).get(name, name)
        return text if "/" in text else f"{text}/{128 if ':' in text else 32}"

    def _kind(self, name: str) -> set[int]:
        """The rule that says who a name is."""
        kinds = {"autogroup:member": 10, "autogroup:tagged": 10, "autogroup:admin": 10}
        found = {12} if name in self.padded else set()
        return found | {11 if name.startswith("user:*@") else kinds.get(name, 2)}

    def owner_of(self, address: str) -> Node | None:
        return next((node for node in self.nodes.values() if address in node["addresses"]), None)

    # one source, one destination

    def _source(self, name: str, address: str) -> Answer:
        if name == "autogroup:danger-all":
            return True, {5}
        if name == "*":
            routed = any(inside(address, route) for node in self.nodes.values() for route in subnets(node))
            return tailnet(address) or routed, {4}
        nodes, node = self.named(name), self.owner_of(address)
        if nodes is None:
            prefix = self.prefix(name)
            paired = node is not None and any(inside(other, prefix) for other in node["addresses"])
            found = inside(address, prefix)
            return found, {8} if found or not paired else {2}
        if node in nodes:
            return True, self._kind(name)
        if not nodes:
            return False, {9}
        return False, {3} if self._formerly(name, node) else self._kind(name)

    def _formerly(self, name: str, node: Node | None) -> bool:
        """A tagged node whose user the name means (rule 3)."""
        if node is None or not node["tags"] or name.startswith("tag:") or name == "autogroup:tagged":
            return False
        return name == "autogroup:member" or node["user"] in self._users(name)

    def _self(self, statement: Statement, source: Node | None, at: Node) -> bool:
        """Rule 17: both are untagged nodes of one user, whom a source means."""
        if source is None or source["tags"] or at["tags"] or source["user"] != at["user"]:
            return False
        return any(name == "*" or source in (self.named(name) or []) for name in statement.sources)

    def _carries(self, prefix: str, node: Node) -> bool:
        return any(overlap(prefix, route) for route in subnets(node))

    def gets(self, name: str, node: Node, via: list[str]) -> bool:
        """Whether a node is (or carries) a destination."""
        if via:
            chosen = bool(set(via) & set(node["tags"]))
            return chosen and (is_exit(node) if name == "autogroup:internet" else self._carries(self.prefix(name), node))
        if name == "*":
            return True
        if name == "autogroup:internet":
            return is_exit(node)
        nodes = self.named(name)
        if nodes is not None:
            return node in nodes
        prefix = self.prefix(name)
        return any(inside(own, prefix) for own in node["addresses"]) or self._carries(prefix, node)

    def _destination(self, name: str, address: str, at: Node, via: list[str]) -> Answer:
        got = self.gets(name, at, via)
        if via:
            fits = public(address) if name == "autogroup:internet" else inside(address, self.prefix(name))
            return got and fits, {29} if name == "autogroup:internet" and not is_exit(at) else {27}
        if name == "*":
            return True, {6}
        if name == "autogroup:internet":
            return got and public(address), {16}
        if self.named(name) is not None:
            if got and address in at["addresses"]:
                return True, self._kind(name)
            if got and any(inside(address, route) for route in subnets(at)):
                return False, {7}
            return False, {3} if self._formerly(name, at) else {9} if not self.named(name) else set()
        prefix = self.prefix(name)
        if not inside(address, prefix):
            return False, {2} if any(inside(own, prefix) for own in at["addresses"]) and address in at["addresses"] else {8}
        if got:
            return True, self._by_route(prefix, at)
        return False, {13} if any(overlap(prefix, r) for r in at["routable_ips"] if r not in EXITS) else {14} if is_exit(at) else set()

    def _by_route(self, prefix: str, at: Node) -> set[int]:
        if any(inside(own, prefix) for own in at["addresses"]):
            return {8}
        others = any(self.first(r, self.nodes.values()) is not at for r in subnets(at) if overlap(prefix, r))
        return {13, 15} if others else {13}

    @staticmethod
    def first(route: str, nodes: Any) -> Node | None:
        return next((node for node in nodes if route in node["approved_routes"]), None)

    # packets

    @staticmethod
    def _passes(ports: list[tuple[int | None, int, int]], protocol: int, port: int, grant: bool) -> Answer:
        if protocol in (1, 58):
            return bool(ports), {19}
        missed = set()
        for listed, low, high in ports:
            if (listed is None and protocol not in DEFAULT) or (listed is not None and protocol != listed):
                missed |= {19}
            elif (low <= port <= high) if protocol in (6, 17, 132) else (low, high) == (0, 65535):
                return True, {20 if grant else 21} | ({19} if listed is None else set())
            else:
                missed |= {20 if grant else 21}
        return False, missed

    def packet(self, source: str, destination: str, protocol: int, port: int, at: str) -> Answer:
        """Whether the filter of node `at` lets in the first packet of a flow."""
        if self.open:
            return protocol in DEFAULT, {1} if protocol in DEFAULT else {19}
        missed: set[int] = set() if self.document.get("acls") or self.document.get("grants") else {1}
        for statement in self.statements():
            allowed, why = self._statement(statement, source, destination, protocol, port, self.nodes[at])
            if allowed:
                return True, why
            missed |= why
        return False, missed

    def _statement(self, statement: Statement, source: str, destination: str, protocol: int, port: int, at: Node) -> Answer:
        missed: set[int] = set()
        heard, whence = self._any_source(statement, source)
        for name, ports in statement.destinations:
            passes, how = self._passes(ports, protocol, port, statement.grant)
            if name == "autogroup:self":
                mine = self._self(statement, self.owner_of(source), at) and destination in at["addresses"]
                steps = [(mine, {17}), (passes, how)]
            else:
                steps = [(heard, whence), self._destination(name, destination, at, statement.via), (passes, how)]
            failed = [why for good, why in steps if not good]
            if not failed:
                return True, set().union(*(why for _, why in steps))
            if len(failed) == 1:
                missed |= failed[0]
        return False, missed

    def _any_source(self, statement: Statement, address: str) -> Answer:
        answers = [(name, *self._source(name, address)) for name in statement.sources]
        missed = set().union(*(why for _, good, why in answers if not good))
        for _, good, why in answers:
            if good:
                beside = "*" in statement.sources and 4 in missed
                return True, why | ({5} if beside else set())
        return False, missed

    # capabilities

    def capabilities(self, source: str, destination: str, at: str) -> tuple[dict[str, list[Any]], set[int]]:
        """Capabilities that `source` has towards `destination`, as the filter of node `at` says."""
        found: dict[str, list[Any]] = {}
        why: set[int] = set()
        node = self.nodes[at]
        for statement in self.statements():
            for name, values in statement.app.items():
                self._capability(statement, name, values, (source, destination, node), found, why)
        return found, why

    def _capability(self, statement: Statement, name: str, values: Any, pair: Any, found: Any, why: set[int]) -> None:
        source, destination, at = pair
        if statement.via:
            if self._any_source(statement, source)[0]:
                why |= {28}
            return
        towards = self._any_source(statement, source)[0]
        if destination not in at["addresses"]:
            why |= {18} if towards else set()  # narrowed to the node's own
            return
        ahead = [target for target, _ in statement.destinations if self._ahead(statement, target, towards, pair)]
        if ahead:
            why |= {25} if name in found else set()
            why |= {22} if statement.destinations[0][1] else set()
            why |= ({23} if not values else set()) | ({18} if "*" in ahead else set())
            found.setdefault(name, []).extend(values or [])
        if name in REVERSE and any(self._back(statement, target, pair) for target, _ in statement.destinations):
            why |= {24}
            found.setdefault(REVERSE[name], [])

    def _ahead(self, statement: Statement, target: str, towards: bool, pair: Any) -> bool:
        source, destination, at = pair
        if target == "autogroup:self":
            return self._self(statement, self.owner_of(source), at)
        return towards and self._destination(target, destination, at, [])[0]

    def _back(self, statement: Statement, target: str, pair: Any) -> bool:
        """Rule 24: from the original destinations to the original sources."""
        source, destination, at = pair
        node = self.owner_of(source)
        if node is None or source not in node["addresses"]:
            return False
        if target == "autogroup:self":
            return self._self(statement, at, node)
        return self._any_source(statement, destination)[0] and self._destination(target, source, node, [])[0]

    # who sees whom, and which routes

    def _speaks(self, name: str, node: Node) -> bool:
        if name in ("*", "autogroup:danger-all"):
            return True
        nodes = self.named(name)
        if nodes is not None:
            return node in nodes
        prefix = self.prefix(name)
        return any(inside(own, prefix) for own in node["addresses"]) or self._carries(prefix, node)

    def _leads(self, statement: Statement, one: Node, other: Node) -> Answer:
        for name, _ in statement.destinations:
            if name == "autogroup:self":
                if self._self(statement, one, other):
                    return True, {17}
            elif any(self._speaks(source, one) for source in statement.sources):
                if self.gets(name, other, statement.via):
                    return True, {28} if statement.via else {16, 32} if name == "autogroup:internet" else {32}
                if statement.via and name == "autogroup:internet" and set(statement.via) & set(other["tags"]):
                    return False, {29}
        return False, {32}

    def sees(self, one: str, other: str) -> Answer:
        if self.open:
            return True, {1}
        a, b = self.nodes[one], self.nodes[other]
        missed: set[int] = set()
        for statement in self.statements():
            for pair in ((a, b), (b, a)):
                seen, why = self._leads(statement, *pair)
                if seen:
                    return True, why
                missed |= why
        return False, missed

    def routes(self, viewer: str, peer: str) -> tuple[set[str], set[int]]:
        """The routes that `viewer` is given through `peer`; of several routers of one prefix the first listed is its primary."""
        one, other = self.nodes[viewer], self.nodes[peer]
        found, why = set(), set()
        for route in other["approved_routes"]:
            for statement in self.statements():
                given, number = self._given(statement, one, other, route)
                if given:
                    found.add(route)
                    why |= number
            if self.open and (route in EXITS or self.first(route, self.nodes.values()) is other):
                found.add(route)
        return found, why

    def _given(self, statement: Statement, viewer: Node, router: Node, route: str) -> Answer:
        ahead = any(self._speaks(source, viewer) for source in statement.sources) and self._covers(statement, route)
        if ahead and router in self._chosen(statement.via) and self._primary(viewer, route) in (None, router):
            return True, {28} if statement.via else {31} if route in EXITS else {32}
        if route in EXITS or self._primary(viewer, route) is not router:
            return False, set()
        heard = any(self._names(source, route) for source in statement.sources)
        asked = any(name != "autogroup:self" and self.gets(name, viewer, statement.via) for name, _ in statement.destinations)
        return heard and asked, {32}

    def _covers(self, statement: Statement, route: str) -> bool:
        """Whether a destination lies behind a route; behind an exit route are only the Internet and everything, not capabilities."""
        for name, ports in statement.destinations:
            if name == "*" or (name == "autogroup:internet" and route in EXITS):
                if ports or route not in EXITS:
                    return True
                continue
            address = not name.startswith("autogroup:") and self.named(name) is None
            if address and route not in EXITS and overlap(self.prefix(name), route):
                return True
        return False

    def _chosen(self, via: list[str]) -> list[Node]:
        return [node for node in self.nodes.values() if not via or set(via) & set(node["tags"])]

    def _primary(self, viewer: Node, route: str) -> Node | None:
        """The one router of a subnet for this viewer: of those that a `via` of it chooses, if any does, else of all (rules 15, 28)."""
        if route in EXITS:
            return None
        tags = {
            tag
            for statement in self.statements()
            if statement.via and self._covers(statement, route) and any(self._speaks(source, viewer) for source in statement.sources)
            for tag in statement.via
        }
        return self.first(route, self._chosen(sorted(tags))) or self.first(route, self.nodes.values())

    def _names(self, source: str, route: str) -> bool:
        if source in ("*", "autogroup:danger-all"):
            return True
        return self.named(source) is None and overlap(self.prefix(source), route)

    def approved(self, name: str) -> tuple[set[str], set[int]]:
        """What autoApprovers approves of the routes that a node advertises."""
        section, node = self.document.get("autoApprovers", {}), self.nodes[name]
        found, why = set(), set()
        for route in node["routable_ips"]:
            if route in EXITS:
                why |= {31}
                if any(node in (self.named(who) or []) for who in section.get("exitNode", [])):
                    found.add(route)
                continue
            for prefix, listed in section.get("routes", {}).items():
                within = net(route).version == net(prefix).version and net(route).subnet_of(net(prefix))  # type: ignore[arg-type]
                if within:
                    why |= {30}
                if within and any(node in (self.named(who) or []) for who in listed):
                    found.add(route)
        return found, why

    # what is no policy

    def refused(self) -> set[int]:
        """The rules that this document breaks."""
        broken = {9 for members in self.document.get("groups", {}).values() for member in members if member.startswith("group:")}
        for section, is_grant in (("acls", False), ("grants", True)):
            for entry in self.document.get(section, []):
                broken |= self._broken(entry, is_grant)
        return broken

    def _broken(self, entry: dict[str, Any], grant: bool) -> set[int]:
        sources = [name.strip() for name in entry["src"]]
        names = [name.strip() if grant else name.rpartition(":")[0].strip() for name in entry["dst"]]
        broken = {11 for name in sources + names if name.startswith("user:*@") and name[7:] not in self.domains}
        broken |= {5} if "autogroup:danger-all" in names else set()
        broken |= {17} if "autogroup:self" in sources else set()
        if "autogroup:self" in names:
            broken |= {17 for name in sources if not self._may_be_self(name, grant)}
        return broken | self._broken_grant(entry, names) if grant else broken

    @staticmethod
    def _may_be_self(name: str, grant: bool) -> bool:
        return name == "autogroup:member" or name.startswith("group:") or "@" in name or (name == "*" and not grant)

    def _broken_grant(self, entry: dict[str, Any], names: list[str]) -> set[int]:
        broken = {26 for name in names if name in EXITS}
        broken |= {27 for tag in entry.get("via", []) if tag not in self.document.get("tagOwners", {})}
        for text in entry.get("ip", []):
            protocol, _, ports = text.rpartition(":")
            low, _, high = ports.partition("-")
            numeric = ports == "*" or (low.isdigit() and (high or low).isdigit() and (ports == "0-65535" or int(low) > 0))
            broken |= {20} if not numeric or (protocol and protocol not in PORTS) else set()
        broken |= set() if entry.get("ip") or entry.get("app") else {22}
        for name in entry.get("app", {}):
            ours = name.removeprefix("tailscale.com/cap/")
            wrong = "://" in name or "/" not in name or (name.startswith("tailscale.com/") and ours not in DOCUMENTED)
            broken |= {23} if wrong or "autogroup:internet" in names else set()
        return broken
