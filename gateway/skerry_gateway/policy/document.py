"""A policy file, checked as a whole before anything of it counts. What is not supported is refused by its name, never ignored.

Sections: acls, grants, groups, hosts, ipsets, tagOwners, autoApprovers, ssh, nodeAttrs, randomizeClientPort, tests, sshTests. Users need
not exist yet. Whether `acls` or `grants` is there matters: without both everything is allowed, empty they allow nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from . import hujson
from .attributes import AutoApprovers, NodeAttribute, read_approvers, read_attribute
from .claims import Claim, SSHClaim, read_claim, read_ssh_claim
from .hujson import PolicyError, Positions
from .reading import Reader, name_of, shown
from .rules import Rule, read_acl, read_grant
from .ssh import SSHRule, read_ssh
from .targets import GROUP, HOST, IPSET, TAG, USER, Names, Target, parse_prefix, parse_targets

SECTIONS = (
    "acls", "grants", "groups", "hosts", "ipsets", "tagOwners", "autoApprovers", "ssh", "nodeAttrs", "randomizeClientPort", "tests",
    "sshTests",
)  # fmt: skip


@dataclass(frozen=True)
class Policy:
    rules: tuple[Rule, ...] | None  # None: neither `acls` nor `grants`, everything is allowed
    groups: dict[str, tuple[str, ...]]
    tag_owners: dict[str, tuple[Target, ...]]
    approvers: AutoApprovers = field(default_factory=AutoApprovers)
    ssh: tuple[SSHRule, ...] = ()
    attributes: tuple[NodeAttribute, ...] = ()
    random_port: bool = False
    claims: tuple[Claim, ...] = ()
    ssh_claims: tuple[SSHClaim, ...] = ()
    positions: Positions = field(default_factory=dict, repr=False, compare=False)  # of the failures of tests


def parse(text: str, domains: Iterable[str] | None = None) -> Policy:
    """The policy a text says. `domains`: those of the network's users. PolicyError with line and column where it goes wrong."""
    data, positions = hujson.parse(text)
    if not isinstance(data, dict):
        raise PolicyError('a policy is an object: { "acls": [ ... ] }', 1, 1)
    reader = Reader(positions)
    reader.names = Names(domains=None if domains is None else frozenset(domains))
    return _policy(reader, data)


def _policy(reader: Reader, data: dict[str, Any]) -> Policy:
    for name in data:
        if name not in SECTIONS:
            reader.fail((name,), f'"{name}" is not supported by this gateway, which knows {", ".join(SECTIONS)}')
    tag_owners = _define(reader, data)
    random_port = data.get("randomizeClientPort", False)
    if not isinstance(random_port, bool):
        reader.fail(("randomizeClientPort",), f"true or false, found {shown(random_port)}")
    return Policy(
        rules=_rules(reader, data),
        groups=reader.names.groups,
        tag_owners=tag_owners,
        approvers=read_approvers(reader, data["autoApprovers"]) if "autoApprovers" in data else AutoApprovers(),
        ssh=tuple(read_ssh(reader, place, name_of(place), item) for place, item in reader.objects(data, "ssh")),
        attributes=tuple(read_attribute(reader, place, item) for place, item in reader.objects(data, "nodeAttrs")),
        random_port=random_port,
        claims=tuple(read_claim(reader, place, item) for place, item in reader.objects(data, "tests")),
        ssh_claims=tuple(read_ssh_claim(reader, place, item) for place, item in reader.objects(data, "sshTests")),
        positions=reader.positions,
    )


def _rules(reader: Reader, data: dict[str, Any]) -> tuple[Rule, ...] | None:
    if "acls" not in data and "grants" not in data:
        return None
    acls = [rule for place, item in reader.objects(data, "acls") for rule in read_acl(reader, place, item)]
    return (*acls, *(rule for place, item in reader.objects(data, "grants") for rule in read_grant(reader, place, item)))


def _define(reader: Reader, data: dict[str, Any]) -> dict[str, tuple[Target, ...]]:
    """Make the policy's names known to the reader; who owns the tags."""
    groups = {name: _group(reader, name, value) for name, value in reader.entries(data, "groups")}
    hosts = {name: _host(reader, name, value) for name, value in reader.entries(data, "hosts")}
    owners = dict(reader.entries(data, "tagOwners"))  # tags may own each other, in circles too
    reader.names = replace(reader.names, groups=groups, hosts=hosts, tags=frozenset(owners))
    reader.names = replace(reader.names, ipsets=_ipsets(reader, data))
    return {name: _owners(reader, name, value) for name, value in owners.items()}


def _group(reader: Reader, name: str, value: Any) -> tuple[str, ...]:
    place = ("groups", name)
    if not GROUP.match(name):
        reader.fail(place, f'"{name}" is no group: expected group: and letters, digits, - _ .')
    members = []
    for i, text in enumerate(reader.list_of(place, value, str)):
        member = text.strip()
        if member.startswith("group:"):
            reader.fail((*place, i), f'"{member}": a group cannot have groups in it')
        if not USER.match(member):
            reader.fail((*place, i), f'"{member}" is no user: expected NAME@ or NAME@DOMAIN')
        members.append(member)
    return tuple(members)


def _host(reader: Reader, name: str, value: Any) -> Target:
    place = ("hosts", name)
    if not HOST.match(name):
        reader.fail(place, f'"{name}" is no host name: expected letters, digits, - _ .')
    found = reader.at(place, parse_prefix, value.strip()) if isinstance(value, str) else None
    if found is None or "-" in found.name:
        reader.fail(place, f"{shown(value)} is no address or prefix")
    return found


def _owners(reader: Reader, name: str, value: Any) -> tuple[Target, ...]:
    place = ("tagOwners", name)
    if not TAG.match(name):
        reader.fail(place, f'"{name}" is no tag: expected tag: and letters, digits and -, beginning with a letter')
    found = []
    for i, text in enumerate(reader.list_of(place, value, str)):
        owner = reader.target((*place, i), text)
        if owner.kind not in ("user", "group", "tag", "member", "owner", "admin"):
            reader.fail((*place, i), f'"{text}" cannot own a tag: expected a user, group, tag, autogroup:member, admin or owner')
        found.append(owner)
    return tuple(found)


def _ipsets(reader: Reader, data: dict[str, Any]) -> dict[str, tuple[Target, ...]]:
    entries = dict(reader.entries(data, "ipsets"))
    found: dict[str, tuple[Target, ...]] = {}
    for name in entries:
        _ipset(reader, name, entries, found, ())
    return found


def _ipset(reader: Reader, name: str, entries: dict[str, Any], found: dict[str, tuple[Target, ...]], around: tuple[str, ...]) -> None:
    """Put the addresses of a set, and of those in it, into `found`: what "add" lists, less what "remove" lists after it."""
    place = ("ipsets", name)
    if name in found:
        return
    if name in around:
        reader.fail(place, f'"{name}" contains itself')
    if not IPSET.match(name):
        reader.fail(place, f'"{name}" is no ipset: expected ipset: and letters, digits, - _ .')
    chosen: list[Target] = []
    for i, text in enumerate(reader.list_of(place, entries[name], str)):
        verb, space, rest = text.strip().partition(" ")
        removes, what = (verb == "remove", rest.strip()) if space and verb in ("add", "remove") else (False, text.strip())
        if what.startswith("ipset:") and what in entries:
            _ipset(reader, what, entries, found, (*around, name))
        names = replace(reader.names, ipsets=found)
        targets = reader.at((*place, i), parse_targets, what.removeprefix("host:"), names)
        if any(target.kind != "prefix" for target in targets):
            reader.fail((*place, i), f'"{text}" is no address, prefix, range, host:NAME or ipset:NAME')
        chosen = _without(chosen, targets) if removes else chosen + [target for target in targets if target not in chosen]
    found[name] = tuple(chosen)


def _without(chosen: list[Target], removed: Iterable[Target]) -> list[Target]:
    """What is left of the addresses chosen."""
    for gone in (prefix for target in removed for prefix in target.prefixes):
        left: list[Target] = []
        for target in chosen:
            if not any(one.version == gone.version and one.overlaps(gone) for one in target.prefixes):
                left.append(target)
                continue
            for one in target.prefixes:
                if one.version != gone.version or not one.overlaps(gone):
                    left.append(Target("prefix", str(one), (one,)))
                elif gone.prefixlen > one.prefixlen:
                    left += [Target("prefix", str(part), (part,)) for part in one.address_exclude(gone)]  # type: ignore[arg-type]
        chosen = left
    return chosen
