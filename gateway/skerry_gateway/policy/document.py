"""A policy file as this gateway takes it: `acls`, `groups`, `hosts` and `tagOwners`; everything else is refused by its name.

`parse(text)` checks the whole text before anything of it counts: undefined tags and groups, nested groups, addresses with host
bits, unknown names. Users need not exist yet. Whether `acls` is there matters: without it everything is allowed, empty nothing is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from . import hujson
from .hujson import PolicyError
from .targets import (
    DESTINATIONS_ONLY,
    GROUP,
    HOST,
    SELF_GROUPS,
    SELF_SOURCES,
    TAG,
    USER,
    Ports,
    Target,
    parse_destination,
    parse_prefix,
    parse_target,
)

_T = TypeVar("_T")
Place = tuple[str | int, ...]
Lines = dict[Place, int]

SECTIONS = ("acls", "groups", "hosts", "tagOwners")
_RULE_NAMES = ("action", "src", "dst", "proto")
PROTOCOLS = {
    "icmp": (1,), "igmp": (2,), "ipv4": (4,), "ip-in-ip": (4,), "tcp": (6,), "egp": (8,), "igp": (9,), "udp": (17,), "gre": (47,),
    "esp": (50,), "ah": (51,), "sctp": (132,), "ipv6-icmp": (58,),
}  # fmt: skip
MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Rule:
    sources: tuple[Target, ...]
    destinations: tuple[tuple[Target, tuple[Ports, ...]], ...]
    protocols: tuple[int, ...]  # (): TCP, UDP, ICMP


@dataclass(frozen=True)
class Policy:
    rules: tuple[Rule, ...] | None  # None: no `acls`, everything is allowed
    groups: dict[str, tuple[str, ...]]
    hosts: dict[str, Target]
    tag_owners: dict[str, tuple[Target, ...]]


def parse(text: str) -> Policy:
    """The policy a text says. PolicyError with the line where it goes wrong."""
    data, lines = hujson.parse(text)
    return _Reader(lines).policy(data)


class _Reader:
    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.groups: dict[str, tuple[str, ...]] = {}
        self.hosts: dict[str, Target] = {}
        self.tag_owners: dict[str, tuple[Target, ...]] = {}

    def policy(self, data: Any) -> Policy:
        if not isinstance(data, dict):
            raise PolicyError('a policy is an object: { "acls": [ ... ] }', 1)
        for name in data:
            if name not in SECTIONS:
                self.fail((name,), f'"{name}" is not supported by this gateway, which knows {", ".join(SECTIONS)}')
        self.groups = {name: self.group(name, value) for name, value in self.entries(data, "groups")}
        self.hosts = {name: self.host(name, value) for name, value in self.entries(data, "hosts")}
        owners = dict(self.entries(data, "tagOwners"))
        self.tag_owners = dict.fromkeys(owners, ())  # tags may own each other, in circles too
        self.tag_owners = {name: self.owners(name, value) for name, value in owners.items()}
        rules = None
        if "acls" in data:
            rules = tuple(self.rule(("acls", i), item) for i, item in enumerate(self.list_of(("acls",), data["acls"], dict)))
        return Policy(rules, self.groups, self.hosts, self.tag_owners)

    def entries(self, data: dict[str, Any], section: str) -> list[tuple[str, Any]]:
        value = data.get(section, {})
        if not isinstance(value, dict) or len(value) > MAX_ENTRIES:
            self.fail((section,), f"{section} is an object of at most {MAX_ENTRIES} names")
        return list(value.items())

    def group(self, name: str, value: Any) -> tuple[str, ...]:
        place = ("groups", name)
        if not GROUP.match(name):
            self.fail(place, f'"{name}" is no group: expected group: and letters, digits, - _ .')
        members = []
        for i, member in enumerate(self.list_of(place, value, str)):
            member = member.strip()
            if member.startswith("group:"):
                self.fail((*place, i), f'"{member}": a group cannot have groups in it')
            if not USER.match(member):
                self.fail((*place, i), f'"{member}" is no user: expected NAME@ or NAME@DOMAIN')
            members.append(member)
        return tuple(members)

    def host(self, name: str, value: Any) -> Target:
        place = ("hosts", name)
        if not HOST.match(name):
            self.fail(place, f'"{name}" is no host name: expected letters, digits, - _ .')
        found = self.at(place, parse_prefix, value.strip()) if isinstance(value, str) else None
        if found is None:
            self.fail(place, f'"{value}" is no address or prefix')
        return found

    def owners(self, name: str, value: Any) -> tuple[Target, ...]:
        place = ("tagOwners", name)
        if not TAG.match(name):
            self.fail(place, f'"{name}" is no tag: expected tag: and letters, digits and -, beginning with a letter')
        found = []
        for i, text in enumerate(self.list_of(place, value, str)):
            owner = self.target((*place, i), text)
            if owner.kind not in ("user", "group", "tag", "member", "owner", "admin"):
                self.fail((*place, i), f'"{text}" cannot own a tag: expected a user, group, tag, autogroup:member, admin or owner')
            found.append(owner)
        return tuple(found)

    def rule(self, place: Place, data: dict[str, Any]) -> Rule:
        for name in data:
            if name not in _RULE_NAMES:
                self.fail((*place, name), f'"{name}" is not supported in a rule: expected {", ".join(_RULE_NAMES)}')
        if data.get("action") != "accept":
            self.fail((*place, "action"), f'action is "accept", found {data.get("action")!r}', place)
        sources = tuple(self.source((*place, "src", i), text) for i, text in self.texts(place, data, "src"))
        places = [((*place, "dst", i), text) for i, text in self.texts(place, data, "dst")]
        destinations = tuple(self.destination(where, text, sources) for where, text in places)
        return Rule(sources, destinations, self.protocols((*place, "proto"), data.get("proto", "")))

    def texts(self, place: Place, data: dict[str, Any], name: str) -> list[tuple[int, str]]:
        if name not in data:
            self.fail(place, f'a rule needs "{name}"')
        return list(enumerate(self.list_of((*place, name), data[name], str)))

    def source(self, place: Place, text: str) -> Target:
        found = self.target(place, text)
        if found.kind in DESTINATIONS_ONLY:
            self.fail(place, f'"{found.name}" is a destination only')
        return found

    def destination(self, place: Place, text: str, sources: tuple[Target, ...]) -> tuple[Target, tuple[Ports, ...]]:
        target, ports = self.at(place, parse_destination, text, self.hosts)
        self.known(place, target)
        wrong = [source.name for source in sources if target.kind in SELF_GROUPS and source.kind not in SELF_SOURCES]
        if wrong:
            self.fail(place, f'"{target.name}" needs people as sources, not "{wrong[0]}"')
        return target, ports

    def protocols(self, place: Place, value: Any) -> tuple[int, ...]:
        text = str(value).strip().lower() if isinstance(value, str | int) and not isinstance(value, bool) else "?"
        if text in ("", *PROTOCOLS):
            return PROTOCOLS.get(text, ())
        if not (text.isascii() and text.isdigit() and 0 < int(text[:4]) < 256):
            self.fail(place, f'"{value}" is no protocol: expected {", ".join(PROTOCOLS)} or a number from 1 to 255')
        return (int(text),)

    def target(self, place: Place, text: str) -> Target:
        found = self.at(place, parse_target, text, self.hosts)
        self.known(place, found)
        return found

    def known(self, place: Place, target: Target) -> None:
        if target.kind == "tag" and target.name not in self.tag_owners:
            self.fail(place, f'tag not found: "{target.name}"; define it in tagOwners')
        if target.kind == "group" and target.name not in self.groups:
            self.fail(place, f'group not found: "{target.name}"; define it in groups')

    def list_of(self, place: Place, value: Any, kind: type[_T]) -> list[_T]:
        if not isinstance(value, list) or len(value) > MAX_ENTRIES:
            self.fail(place, f"{_name(place)} is a list of at most {MAX_ENTRIES} entries")
        for i, item in enumerate(value):
            if not isinstance(item, kind):
                self.fail((*place, i), f"expected {'a string' if kind is str else 'an object'}, found {str(item)[:40]}")
        return list(value)

    def at(self, place: Place, function: Callable[..., _T], *arguments: Any) -> _T:
        try:
            return function(*arguments)
        except PolicyError as error:
            self.fail(place, error.message)

    def fail(self, place: Place, message: str, or_place: Place = ()) -> NoReturn:
        raise PolicyError(f"{_name(place)}: {message}", self.lines.get(place) or self.lines.get(or_place))


def _name(place: Place) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
