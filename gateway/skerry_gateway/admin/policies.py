"""What administrators can do with the policy: look, try, ask, change, go back.

Nothing here changes the network but `policy_set` and `policy_restore`; both store a new version, so no version is ever lost. The policy
says who reaches whom through the tunnel; who may change it is a matter of roles, so no policy can lock its owner out.
"""

from dataclasses import asdict
from typing import Any

from skerry_gateway import policy
from skerry_gateway.control import AdminError, Coordinator
from skerry_gateway.policy import Compiled, Policy, PolicyError, trial
from skerry_gateway.policy.difference import difference
from skerry_gateway.policy.evaluation import describe
from skerry_gateway.policy.people import Member
from skerry_gateway.policy.question import answer
from skerry_gateway.policy.rules import PROTOCOLS
from skerry_gateway.store import PolicyVersion, queries

from .caller import Caller

MAX_REASON = 500
MAX_LINES = 500


def policy_check(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    try:
        passed = _tried(at, args["text"], now)[1]
    except PolicyError as error:
        return {"ok": False, "error": shown_error(error)}
    return {"ok": True, "tests": passed}


def policy_eval(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    """What a policy (the one in force without `text`) means for each node of this network."""
    compiled, passed = at.members.compiled, len(at.members.policy.claims)
    if args["text"] is not None:
        try:
            parsed, passed = _tried(at, args["text"], now)
        except PolicyError as error:
            return {"ok": False, "error": shown_error(error)}
        compiled = _compiled(at, parsed, now)
    names = _names(at)
    nodes = {names[i]: describe(compiled, i, names) for i in sorted(compiled.nodes)}
    return {"ok": True, "nodes": nodes, "tests": {"passed": passed, "failed": 0, "failures": []}}


def policy_diff(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    """The connections that putting a policy in force would open and close."""
    try:
        after = _compiled(at, _tried(at, args["text"], now)[0], now)
        lines = difference(at.members.compiled, after, _names(at))
    except PolicyError as error:
        raise AdminError(f"the policy is not valid: {error}") from None
    except LookupError as error:
        raise AdminError(f"{error.args[0]}; policy eval shows what each node would be sent") from None
    shown = [{**asdict(line), "sources": list(line.sources), "text": str(line)} for line in lines[:MAX_LINES]]
    return {"lines": shown, "left_out": max(len(lines) - MAX_LINES, 0)}


def policy_reach(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    """Whether one node reaches another on a port, and which rule says so."""
    source, destination = (_member(at, args[name]) for name in ("source", "destination"))
    name, port = (args["protocol"] or "tcp").strip().lower(), args["port"]
    if name not in PROTOCOLS:
        raise AdminError(f'"{args["protocol"]}" is no protocol: expected {", ".join(PROTOCOLS)}')
    if not 0 <= port <= 65535:
        raise AdminError(f"{port} is no port: expected 0 to 65535")
    found = answer(at.members.compiled, source, destination, PROTOCOLS[name][0], port)
    return {"allowed": found.allowed, "rule": found.rule, "why": found.why, "source": args["source"], "destination": args["destination"],
            "protocol": name, "port": port}  # fmt: skip


def policy_get(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    found = _version(at, args["version"])
    if found is not None:
        shown = {"text": found.text, "version": found.version, "author": found.author, "created_ms": found.created_ms}
        return {**shown, "reason": found.reason}
    created = at.members.network.created_ms
    return {"text": policy.DEFAULT, "version": 0, "author": "skerry", "created_ms": created, "reason": ""}


def policy_set(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    return _store(at, args["text"], args["reason"] or "", by, now)


def policy_restore(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    """Put an earlier version in force again, as a new version; 0 is the default policy."""
    number = args["version"]
    found = _version(at, number) if number else None
    text = found.text if found else policy.DEFAULT
    return _store(at, text, args["reason"] or f"version {number} restored", by, now)


def policy_history(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    with at.store.read() as c:
        found = queries.policy_history(c, at.members.network.id)
    versions = [
        {"version": p.version, "author": p.author, "created_ms": p.created_ms, "reason": p.reason, "characters": len(p.text)} for p in found
    ]
    return {"versions": versions[::-1]}


def shown_error(error: PolicyError) -> dict[str, Any]:
    return {"stage": error.stage, "message": error.message, "line": error.line, "column": error.column}


def _store(at: Coordinator, text: str, reason: str, by: Caller, now: int) -> dict[str, Any]:
    if len(reason) > MAX_REASON or not reason.isprintable():
        raise AdminError(f"the reason is up to {MAX_REASON} printable characters")
    try:
        return {"version": at.set_policy(text, by.name, now, reason)}
    except PolicyError as error:
        raise AdminError(f"the policy was not stored: {error}; the one before stays in force") from None


def _tried(at: Coordinator, text: str, now: int) -> tuple[Policy, int]:
    """A policy that is valid here and passes its own tests, and how many those are."""
    members = at.members
    parsed = policy.parse(text, members.domains())
    return parsed, trial.check(parsed, members.part(at.wall(now)), members.users.values(), members.network.suffix)


def _compiled(at: Coordinator, parsed: Policy, now: int) -> Compiled:
    members = at.members
    return Compiled(parsed, members.part(at.wall(now)), members.users.values(), members.network.suffix)


def _names(at: Coordinator) -> dict[int, str]:
    return {node.id: node.name for node in at.members.nodes.values()}


def _member(at: Coordinator, name: str | int) -> Member:
    for node in at.members.nodes.values():
        if name in (node.name, node.id, node.ipv4, node.ipv6) or (isinstance(name, str) and name.isdigit() and int(name) == node.id):
            if node.id not in at.members.compiled.members:
                raise AdminError(f"{node.name} takes no part in the network: it is not approved, or its key has expired")
            return at.members.compiled.members[node.id]
    raise AdminError(f'there is no node "{name}"; see: skerry-gateway nodes list')


def _version(at: Coordinator, number: int | None) -> PolicyVersion | None:
    with at.store.read() as c:
        found = queries.policy(c, at.members.network.id, number)
    if found is None and number:
        raise AdminError(f"there is no policy version {number}; see: skerry-gateway policy history")
    return found
