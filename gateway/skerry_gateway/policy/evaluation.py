"""`policy eval`: what a policy would mean for a network given as JSON, without touching any.

Input, one object: `policy` (HuJSON text), `users` [{id, name, email, role}], `nodes` [{name, user, tags, addresses, routable_ips,
approved_routes}], `domains`; unknown keys are ignored. Output: `{"ok": true, "nodes": {NAME: {packet_filter, ssh, node_attrs,
auto_approved_routes, peers}}, "tests": {passed, failed, failures}}`, or `{"ok": false, "error": {stage, message, line, column}}`.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Any

from skerry_core.errors import PeerError

from . import trial
from .compiled import Compiled
from .document import parse
from .hujson import PolicyError
from .logins import ssh_rules

ROLES = ("owner", "admin", "member")


@dataclass(frozen=True, slots=True)
class _User:
    id: int
    name: str
    email: str
    role: str


@dataclass(frozen=True, slots=True)
class _Node:
    id: int
    name: str
    user_id: int | None
    tags: tuple[str, ...]
    ipv4: str
    ipv6: str
    routes_advertised: tuple[str, ...]
    routes_approved: tuple[str, ...]


def evaluate(text: str, snapshot: dict[str, Any]) -> dict[str, Any]:
    """The answer for one policy and network. PeerError when the snapshot is not of the form above."""
    users, nodes = _users(snapshot), _nodes(snapshot)
    domains = _domains(snapshot, users)
    try:
        policy = parse(text, domains)
        passed, failures = trial.run(policy, nodes, users, domains[0] if domains else "")
    except PolicyError as error:
        return _refused(error)
    tests = {"passed": passed - len(failures), "failed": len(failures), "failures": [asdict(failure) for failure in failures]}
    if failures:
        first = failures[0]
        line, column = policy.positions.get((first.block, first.index), (1, 1))
        return {**_refused(PolicyError("test(s) failed: " + "; ".join(map(str, failures[:10])), line, column, "tests")), "tests": tests}
    at = Compiled(policy, nodes, users, domains[0] if domains else "")
    return {"ok": True, "nodes": {node.name: describe(at, node.id, {n.id: n.name for n in nodes}) for node in nodes}, "tests": tests}


def describe(at: Compiled, node_id: int, names: dict[int, str]) -> dict[str, Any]:
    """What one node would be sent."""
    return {
        "packet_filter": at.filter(node_id),
        "ssh": ssh_rules(at, node_id),
        "node_attrs": at.attributes(node_id),
        "auto_approved_routes": list(at.auto_approved(node_id)),
        "peers": {names[peer]: list(at.routes(node_id, peer)) for peer in sorted(at.peers(node_id))},
    }


def answer_line(line: str) -> dict[str, Any]:
    """The answer to one line of a batch, with its `id`."""
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {"id": None, "ok": False, "error": {"stage": "syntax", "message": f"this line is not JSON: {error}"}}
    if not isinstance(asked, dict):
        return {"id": None, "ok": False, "error": {"stage": "syntax", "message": "a line is an object with id and policy"}}
    try:
        if not isinstance(asked.get("policy"), str):
            raise PeerError("policy: expected the HuJSON text")
        return {"id": asked.get("id"), **evaluate(asked["policy"], asked)}
    except PeerError as error:
        return {"id": asked.get("id"), "ok": False, "error": {"stage": "policy", "message": str(error)}}


def _refused(error: PolicyError) -> dict[str, Any]:
    place = {name: value for name, value in (("line", error.line), ("column", error.column)) if value}
    return {"ok": False, "error": {"stage": error.stage, "message": error.message, **place}}


def _domains(snapshot: dict[str, Any], users: list[_User]) -> list[str]:
    found = snapshot.get("domains")
    if found is None:
        return sorted({user.email.partition("@")[2] for user in users if "@" in user.email})
    return list(_texts("domains", found))


def _users(snapshot: dict[str, Any]) -> list[_User]:
    found = []
    for i, item in enumerate(_objects(snapshot, "users")):
        role = item.get("role") or "member"
        if role not in ROLES:
            raise PeerError(f"users[{i}].role: expected {', '.join(ROLES)}, found {role!r}")
        email = _text(f"users[{i}].email", item.get("email") or "")
        found.append(_User(i + 1, _text(f"users[{i}].name", item.get("name")), email, role))
    return found


def _nodes(snapshot: dict[str, Any]) -> list[_Node]:
    users = {user.name: user.id for user in _users(snapshot)}
    found = []
    for i, item in enumerate(_objects(snapshot, "nodes")):
        place, user = f"nodes[{i}]", item.get("user")
        if user is not None and user not in users:
            raise PeerError(f"{place}.user: there is no user {user!r}")
        four, six = _addresses(f"{place}.addresses", item.get("addresses", []))
        tags = _texts(f"{place}.tags", item.get("tags") or [])
        routes = [_texts(f"{place}.{name}", item.get(name) or []) for name in ("routable_ips", "approved_routes")]
        owner = None if user is None else users[user]
        found.append(_Node(i + 1, _text(f"{place}.name", item.get("name")), owner, tags, four, six, *routes))
    if len({node.name for node in found}) < len(found):
        raise PeerError("nodes: two have the same name")
    return found


def _addresses(place: str, value: Any) -> tuple[str, str]:
    try:
        parsed = [ip_address(text) for text in _texts(place, value)]
    except ValueError as error:
        raise PeerError(f"{place}: {error}") from None
    of = {version: [str(address) for address in parsed if address.version == version] for version in (4, 6)}
    if len(of[4]) > 1 or len(of[6]) > 1:
        raise PeerError(f"{place}: expected at most one address of each family")
    return (of[4] or [""])[0], (of[6] or [""])[0]


def _objects(snapshot: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = snapshot.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise PeerError(f"{name}: expected a list of objects")
    return value


def _texts(place: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, Iterable) or isinstance(value, str) or not all(isinstance(item, str) for item in value):
        raise PeerError(f"{place}: expected a list of strings")
    return tuple(value)


def _text(place: str, value: Any) -> str:
    if not isinstance(value, str):
        raise PeerError(f"{place}: expected a string, found {value!r}")
    return value
