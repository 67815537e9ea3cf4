"""Runs the tests that a policy has in it against the network as it is, or as it may become."""

from collections.abc import Iterable
from dataclasses import dataclass

from .claims import Claim, Destination, SSHClaim, Wanted
from .compiled import Compiled
from .document import Policy
from .hujson import PolicyError
from .logins import local_account
from .people import Device, Person
from .question import reaches
from .targets import Target

_MADE_UP = ("100.127.255.%d", "fd7a:115c:a1e0:ffff::%x")


@dataclass(frozen=True, slots=True)
class Failure:
    block: str  # "tests" | "sshTests"
    index: int
    source: str
    target: str
    wanted: str  # "accept" | "deny" | "check"
    got: str

    def __str__(self) -> str:
        return f"{self.block}[{self.index}]: {self.source} to {self.target}: wanted {self.wanted}, got {self.got}"


@dataclass(frozen=True, slots=True)
class _Phantom:
    """A node for a tag or person that has none."""

    id: int
    user_id: int | None
    tags: tuple[str, ...]
    ipv4: str
    ipv6: str
    routes_advertised: tuple[str, ...] = ()
    routes_approved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Nobody:
    """A person of that name, when the network has no such user."""

    id: int
    name: str
    role: str
    email: str = ""


def run(policy: Policy, nodes: Iterable[Device], users: Iterable[Person], suffix: str = "") -> tuple[int, list[Failure]]:
    """How many checks were made, and those that failed."""
    if not policy.claims and not policy.ssh_claims:
        return 0, []
    at = _populated(policy, list(nodes), list(users), suffix)
    results = [_try(at, claim, destination) for claim in policy.claims for destination in claim.destinations]
    for claim in policy.ssh_claims:
        results += [_try_ssh(at, claim, target, login) for target in claim.destinations for login in claim.logins]
    return len(results), [failure for failure in results if failure]


def check(policy: Policy, nodes: Iterable[Device], users: Iterable[Person], suffix: str = "") -> int:
    """How many checks passed. PolicyError (stage "tests") when one fails."""
    count, failures = run(policy, nodes, users, suffix)
    if failures:
        first = failures[0]
        line, column = policy.positions.get((first.block, first.index), (1, 1))
        raise PolicyError("test(s) failed: " + "; ".join(map(str, failures[:10])), line, column, "tests")
    return count


def _populated(policy: Policy, nodes: list[Device], users: list[Person], suffix: str) -> Compiled:
    """The network with a node for everybody whom the tests name and who has none."""
    at = Compiled(policy, nodes, users, suffix)
    named = [target for claim in policy.claims for target in (claim.source, *(d.target for d in claim.destinations))]
    named += [target for claim in policy.ssh_claims for target in (claim.source, *(t for _, t in claim.destinations))]
    lacking = [target for target in dict.fromkeys(named) if target.kind not in ("prefix", "self") and not at.selected((target,))]
    if not lacking:
        return at
    for number, target in enumerate(lacking, 1):
        person = _person(policy, target, users, -number)
        if person is not None and all(person.id != user.id for user in users):
            users.append(person)
        tags = (target.name,) if target.kind == "tag" else ("tag:made-up",) if target.kind == "tagged" else ()
        nodes.append(_Phantom(-number, None if person is None else person.id, tags, _MADE_UP[0] % number, _MADE_UP[1] % number))
    return Compiled(policy, nodes, users, suffix)


def _person(policy: Policy, target: Target, users: list[Person], number: int) -> Person | None:
    if target.kind in ("tag", "tagged"):
        return None
    names = policy.groups.get(target.name, ()) if target.kind == "group" else (target.name,) if target.kind == "user" else ()
    known = [user for user in users for name in names if name.rstrip("@") in (user.name, user.email)]
    if known:
        return known[0]
    domain = target.name.partition("@")[2]
    name = names[0].removesuffix("@") if names else f"made-up@{domain}" if target.kind == "domain" else "made-up"
    return _Nobody(number, name, target.kind if target.kind in ("owner", "admin") else "member", name if "@" in name else "")


def _try(at: Compiled, claim: Claim, destination: Destination) -> Failure | None:
    wanted = destination.wanted
    reached = [
        any(reaches(at, source, target, protocol, destination.port) for protocol in claim.protocols)
        for source, own in _addresses(at, claim.source, None)
        for target, _ in _addresses(at, destination.target, own)
    ]
    good = all(reached) if wanted.block == "accept" else not any(reached)
    got = "deny" if wanted.block == "accept" else "accept"
    return None if good else _failure("tests", claim.place, claim.source, wanted, wanted.text, got)


def _addresses(at: Compiled, target: Target, source: int | None) -> list[tuple[str, int | None]]:
    """Addresses a target stands for, each with its node; `source` is the node that asks, for autogroup:self."""
    if target.kind == "prefix":
        holding = [i for i, m in at.members.items() if m.overlaps(target.prefixes)]
        return [(str(prefix.network_address), holding[0] if holding else None) for prefix in target.prefixes]
    if target.kind == "self":
        user = at.members[source].user if source is not None else None
        chosen = [i for i, m in at.members.items() if m.user is not None and user is not None and m.user.id == user.id]
    else:
        chosen = sorted(at.selected((target,)))
    nodes = [at.members[i].node for i in chosen]
    return [(address, node.id) for node in nodes for address in (node.ipv4, node.ipv6) if address]


def _failure(block: str, place: tuple[str | int, ...], source: Target, wanted: Wanted, target: str, got: str) -> Failure:
    return Failure(block, int(place[1]), source.name, target, wanted.block, got)


def _try_ssh(at: Compiled, claim: SSHClaim, destination: tuple[str, Target], login: Wanted) -> Failure | None:
    text, target = destination
    verdicts = {
        _verdict(at, source, node_id, login.text)
        for source in sorted({i for _, i in _addresses(at, claim.source, None) if i is not None})
        for node_id in sorted({i for _, i in _addresses(at, target, source) if i is not None})
    } or {"deny"}
    good = {"accept": verdicts <= {"accept", "check"}, "check": verdicts == {"check"}, "deny": verdicts == {"deny"}}[login.block]
    got = min(verdicts - {"accept" if login.block == "deny" else login.block} or verdicts)
    return None if good else _failure("sshTests", claim.place, claim.source, login, f"{login.text}@{text}", got)


def _verdict(at: Compiled, source: int, node_id: int, login: str) -> str:
    """What becomes of a login: checks first, then in the file's order; the first rule that maps the login decides."""
    for rule in sorted(at.policy.ssh, key=lambda rule: not rule.check):
        if source in at.ssh_sources(rule, node_id) and local_account(at, rule, source, login):
            return "check" if rule.check else "accept"
    return "deny"
