"""Random networks, policies and packets, of a seed: small networks in which everything that the policy text numbers comes up."""

from dataclasses import dataclass
from random import Random
from typing import Any

USERS = [
    {"id": 1, "name": "ana", "email": "ana@example.com", "role": "owner"},
    {"id": 2, "name": "ben", "email": "ben@example.com", "role": "admin"},
    {"id": 3, "name": "cy", "email": "cy@corp.example", "role": "member"},
    {"id": 4, "name": "dan", "email": "dan@example.com", "role": "member"},
]
DOMAINS = ["example.com", "corp.example"]
TAGS = ["tag:cam", "tag:router", "tag:east"]
SUBNETS = ["10.1.0.0/24", "10.1.0.0/24", "10.1.0.128/25", "10.2.0.0/16", "fd00:1::/64"]
EXITS = ["0.0.0.0/0", "::/0"]
LITERALS = ["100.64.0.1", "100.64.0.2/32", "fd7a:115c:a1e0::3", "100.64.0.0/29", "10.1.0.0/24", "10.1.0.7", "10.0.0.0/8", "10.2.3.0/24"]
LITERALS += ["fd00:1::/48", "8.8.8.0/24", "192.0.2.9", "net", "cam1"]
HOSTS = {"net": "10.1.0.0/25", "cam1": "100.64.0.1"}
GROUPS = {"group:staff": ["ana@example.com", "cy@corp.example"], "group:ops": ["ben@example.com"], "group:none": []}
PEOPLE = ["ana@example.com", "ben@example.com", "cy@corp.example", "dan@example.com", *GROUPS]
WIDE = ["autogroup:member", "autogroup:tagged", "autogroup:admin", "user:*@example.com", "user:*@corp.example"]
NAMES = [*PEOPLE, *WIDE, *TAGS, "tag:nobody"]
OUTSIDE = ["8.8.8.8", "192.0.2.9", "100.115.92.7", "2001:db8::1", "192.168.1.1", "10.1.0.7", "10.1.0.200", "10.2.3.4", "fd00:1::5"]
OUTSIDE += ["10.77.0.1"]
ACL_PORTS = ["*", "*", "22", "80-443", "22,443", "0-65535"]
GRANT_PORTS = ["*", "*", "443", "80-443", "tcp:22", "tcp:*", "udp:53", "icmp:*", "1-65535", "sctp:*"]
CAPS = ["tailscale.com/cap/drive", "tailscale.com/cap/relay", "example.com/cap/x", "example.com/cap/y"]
VALUES: list[Any] = [[], [{"a": 1}], [{"b": [2]}, {"c": None}]]


@dataclass
class Case:
    document: dict[str, Any]
    snapshot: dict[str, Any]


def network(random: Random) -> dict[str, Any]:
    nodes = []
    for number in range(1, random.randint(6, 9)):
        tags = random.sample(TAGS, random.randint(1, 2)) if random.random() < 0.5 else []
        user = random.choice(USERS)["name"] if not tags or random.random() < 0.3 else None
        advertised = random.sample(SUBNETS, random.randint(1, 2)) if random.random() < 0.5 else []
        advertised = list(dict.fromkeys(advertised)) + (EXITS if random.random() < 0.3 else [])
        kept = [route for route in advertised if route not in EXITS and random.random() < 0.7]
        kept += EXITS if EXITS[0] in advertised and random.random() < 0.7 else []
        addresses = [f"100.64.0.{number}", f"fd7a:115c:a1e0::{number:x}"]
        node = {"name": f"n{number}", "user": user, "tags": tags, "addresses": addresses}
        nodes.append({**node, "routable_ips": advertised, "approved_routes": kept})
    return {"users": USERS, "domains": DOMAINS, "nodes": nodes}


def _source(random: Random) -> str:
    name = random.choices(["*", "autogroup:danger-all", random.choice(LITERALS), random.choice(NAMES)], [12, 2, 26, 60])[0]
    return f" {name} " if random.random() < 0.05 else name


def _destination(random: Random) -> str:
    return random.choices(["*", "autogroup:internet", random.choice(LITERALS), random.choice(NAMES)], [8, 10, 42, 40])[0]


def _selves(random: Random, grant: bool) -> list[str]:
    return [random.choice(["autogroup:member", "ana@example.com", "group:staff", "autogroup:member" if grant else "*"])]


def _target(name: str, ports: str) -> str:
    return f"[{name}]:{ports}" if ":" in name and name[0] == "f" and "/" not in name else f"{name}:{ports}"


def acl(random: Random) -> dict[str, Any]:
    sources = [_source(random) for _ in range(random.randint(1, 2))]
    names = [_destination(random) for _ in range(random.randint(1, 2))]
    if random.random() < 0.12:
        sources, names = _selves(random, False), [*names[1:], "autogroup:self"]
    found = {"action": "accept", "src": sources, "dst": [_target(name, random.choice(ACL_PORTS)) for name in names]}
    protocol = random.choices([None, "tcp", "udp", "icmp", "17", "132"], [60, 15, 10, 5, 5, 5])[0]
    if protocol is not None:
        found["proto"] = protocol
    if protocol in ("icmp", "132"):
        found["dst"] = [_target(name, "*") for name in names]
    return found


def grant(random: Random) -> dict[str, Any]:
    found: dict[str, Any] = {"src": [_source(random) for _ in range(random.randint(1, 2))]}
    found["dst"] = [_destination(random) for _ in range(random.randint(1, 2))]
    if random.random() < 0.12:
        found.update(src=_selves(random, True), dst=["autogroup:self"])
    elif random.random() < 0.3:
        found.update(dst=[random.choice([*LITERALS[4:9], "net", "autogroup:internet"])], via=random.sample(TAGS, random.randint(1, 2)))
    kind = random.random() if "autogroup:internet" not in found["dst"] else 0.0
    if kind < 0.75:
        found["ip"] = random.sample(GRANT_PORTS, random.randint(1, 2))
    if kind > 0.5:
        found["app"] = {name: random.choice(VALUES) for name in random.sample(CAPS, random.randint(1, 2))}
    return found


def policy(random: Random) -> dict[str, Any]:
    owners = {tag: ["ana@example.com"] for tag in [*TAGS, "tag:nobody"]}
    document: dict[str, Any] = {"tagOwners": owners, "groups": dict(GROUPS), "hosts": dict(HOSTS)}
    approvers = [*TAGS, *PEOPLE[:5]]
    listed = random.sample(["10.0.0.0/8", "10.1.0.0/24", "10.1.0.128/25", "0.0.0.0/0", "::/0", "fd00:1::/64", "10.2.0.0/24"], 3)
    document["autoApprovers"] = {
        "routes": {prefix: random.sample(approvers, 2) for prefix in listed},
        "exitNode": random.sample(approvers, random.randint(0, 2)),
    }
    shape = random.random()
    if shape < 0.02:
        return document
    if shape < 0.04:
        return {**document, random.choice(["acls", "grants"]): []}
    if shape < 0.7:
        document["acls"] = [acl(random) for _ in range(random.randint(1, 4))]
    if shape > 0.4:
        document["grants"] = [grant(random) for _ in range(random.randint(1, 4))]
    return document


def spoil(random: Random, document: dict[str, Any]) -> dict[str, Any]:
    """The policy with one thing that the text calls an error."""
    if random.random() < 0.1:
        return {**document, "groups": {**document["groups"], "group:x": ["group:ops"]}}
    if random.random() < 0.1:
        mine = "autogroup:self:*"
        bad = random.choice([(["tag:cam"], mine), (["net"], mine), (["autogroup:self"], "*:*"), (["*"], "autogroup:danger-all:*")])
        return {**document, "acls": [*document.get("acls", []), {"action": "accept", "src": bad[0], "dst": [bad[1]]}]}
    good: dict[str, Any] = {"src": ["*"], "dst": ["tag:cam"], "ip": ["*"]}
    bad_grants = [
        {"src": ["user:*@elsewhere.example"]}, {"dst": ["user:*@EXAMPLE.com"]}, {"dst": ["0.0.0.0/0"]}, {"dst": ["::/0"]}, {"ip": []},
        {"ip": [], "app": {}}, {"via": ["tag:undefined"]}, {"via": ["autogroup:member"]}, {"dst": ["autogroup:self"]}, {"ip": ["icmp"]},
        {"ip": ["ssh"]}, {"ip": ["0"]}, {"ip": ["tcp:0"]}, {"app": {"https://a.example/cap": []}}, {"app": {"tailscale.com/cap/other": []}},
        {"app": {"nopath": []}}, {"dst": ["autogroup:internet"], "app": {"example.com/cap/x": []}}, {"dst": ["autogroup:danger-all"]},
        {"src": ["ana@example.com", "tag:cam"], "dst": ["autogroup:self"]},
    ]  # fmt: skip
    entry = {**good, **random.choice(bad_grants)}
    if random.random() < 0.1:
        entry = {"src": ["*"], "dst": ["*"]}
    return {**document, "grants": [*document.get("grants", []), entry]}


def case(random: Random) -> Case:
    document = policy(random)
    return Case(spoil(random, document) if random.random() < 0.1 else document, network(random))


def packet(random: Random, nodes: list[dict[str, Any]]) -> tuple[str, str, int, int, str]:
    """(source, destination, protocol, destination port, name of the node at which it arrives)."""
    at, sender = random.choice(nodes), random.choice(nodes)
    family = random.randint(0, 1)
    source, destination = sender["addresses"][family], at["addresses"][family]
    mixed = [address for address in OUTSIDE if (":" in address) == bool(family)]
    if random.random() < 0.12:
        source = random.choice(mixed)
    if random.random() < 0.45 if at["routable_ips"] else random.random() < 0.05:
        destination = random.choice(mixed)
    protocol = random.choices([6, 17, 1, 132, 47], [55, 20, 13, 7, 5])[0]
    if protocol == 1 and family:
        protocol = 58
    return source, destination, protocol, random.choice([22, 53, 80, 443, 443, 8080]), at["name"]
