"""What stands in `src` and `dst`: its forms, and how one text becomes one of them.

    *                     everything
    tag:NAME  group:NAME  autogroup:member|tagged|owner|admin; as a destination also self and internet, as a source danger-all
    autogroup:self-routes|tagged-routes  ours: the subnets, and for exit nodes the Internet, behind one's own or tagged routers
    NAME@  NAME@DOMAIN    a user, by name; user:*@DOMAIN is every user of a domain of the network
    10.0.0.0/8  fd00::1   addresses as they stand, also 10.0.0.1-10.0.0.9
    ALIAS                 a name from `hosts`: one address or prefix
    ipset:NAME            a name from `ipsets`: several of them

A destination of an acl adds ports after its last colon: `*`, `22`, `80-90`, `22,80-90`; an IPv6 address may stand in brackets.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network, summarize_address_range

from .hujson import PolicyError

Prefix = IPv4Network | IPv6Network
Ports = tuple[int, int]

TAG = re.compile(r"tag:[A-Za-z][A-Za-z0-9-]{0,48}\Z")
GROUP = re.compile(r"group:[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
IPSET = re.compile(r"ipset:[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
USER = re.compile(r"[^\s@:/,*]{1,63}@[A-Za-z0-9.-]{0,190}\Z")
DOMAIN = re.compile(r"user:\*@([A-Za-z0-9.-]{1,190})\Z")
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
ROLES = ("member", "tagged", "owner", "admin")
SELF = ("self", "self-routes")
AUTOGROUPS = (*ROLES, *SELF, "tagged-routes", "internet", "danger-all")
_OTHERS = ("shared", "nonroot", "billing-admin", "it-admin", "network-admin", "auditor")
PEOPLE = ("user", "group", "domain", "member", "owner", "admin")


@dataclass(frozen=True, slots=True)
class Target:
    """One source or destination. `kind`: any, tag, group, user, domain, prefix, or an autogroup's name."""

    kind: str
    name: str = ""  # as written: "tag:cam", "group:ops", "ana@"; the text of a prefix, address or range
    prefixes: tuple[Prefix, ...] = ()  # what the text of kind "prefix" covers


@dataclass(frozen=True)
class Names:
    """What a policy defines for use elsewhere in it. `domains`: None takes any domain for one of the network."""

    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    hosts: Mapping[str, Target] = field(default_factory=dict)
    ipsets: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    domains: frozenset[str] | None = None


def parse_targets(text: str, names: Names) -> tuple[Target, ...]:
    """One target, or the several of an ipset. PolicyError names the text when it is none of the forms or not defined."""
    text = text.strip()
    if text.startswith("ipset:"):
        if _matching(IPSET, text, "an ipset is ipset: and letters, digits, - _ .") not in names.ipsets:
            raise PolicyError(f'ipset not found: "{text}"; define it in ipsets')
        return names.ipsets[text]
    return (parse_target(text, names),)


def parse_target(text: str, names: Names) -> Target:
    """As parse_targets, for places that take no ipset."""
    text = text.strip()
    for known, reader in _FORMS.items():
        if text.startswith(known):
            return reader(text, names)
    if text == "*":
        return Target("any", text)
    if text in names.hosts:
        return names.hosts[text]
    if "@" in text:
        return Target("user", _matching(USER, text, "a user is NAME@ or NAME@DOMAIN"))
    prefix = parse_prefix(text)
    if prefix is None:
        hint = f'; the user of that name is "{text}@"' if HOST.match(text) else ""
        raise PolicyError(f'"{text}" is no address, tag, group or user, and `hosts` has no such name{hint}')
    return prefix


def parse_prefix(text: str) -> Target | None:
    """An address, prefix or range; None when the text is none. PolicyError for a prefix with host bits and a range backwards."""
    first, dash, last = text.partition("-")
    try:
        if dash:
            return _range(text, first, last)
        network = ip_network(text, strict=False)
        if "/" in text and ip_address(text.partition("/")[0]) != network.network_address:
            raise PolicyError(f'"{text}" has bits beyond its length: write "{network}"')
    except ValueError:
        return None
    return Target("prefix", str(network) if "/" in text else str(network.network_address), (network,))


@lru_cache(maxsize=4096)
def prefixes_of(text: str) -> tuple[Prefix, ...]:
    """What an address, prefix or range of a filter covers; () for any other text."""
    found = parse_prefix(text)
    return found.prefixes if found else ()


def _range(text: str, first: str, last: str) -> Target:
    low, high = ip_address(first), ip_address(last)
    if low.version != high.version or int(low) > int(high):
        raise PolicyError(f'"{text}" is no range: expected a lower and a higher address of one family')
    return Target("prefix", f"{low}-{high}", tuple(summarize_address_range(low, high)))


def split_ports(text: str) -> tuple[str, tuple[Ports, ...]]:
    """`target:ports` in two. PolicyError names what is wrong."""
    target, colon, ports = text.strip().rpartition(":")
    if not colon or not target or target in ("tag", "group", "autogroup", "ipset"):
        raise PolicyError(f'"{text}" has no ports: write "{text.strip()}:*" for all, or "{text.strip()}:22,80-90"')
    if target.startswith("[") and target.endswith("]"):
        target = target[1:-1]
    return target, parse_ports(ports)


def parse_ports(text: str) -> tuple[Ports, ...]:
    found = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if part.strip() == "*":
            found.append((0, 65535))
            continue
        if not (first.isascii() and first.isdigit()) or (dash and not (last.isascii() and last.isdigit())):
            raise PolicyError(f'"{part.strip()}" is no port: expected *, a number, or a range such as 80-90')
        pair = (int(first[:9]), int(last[:9]) if dash else int(first[:9]))
        if pair[1] > 65535 or pair[0] > pair[1]:
            raise PolicyError(f'"{part.strip()}" is no port range between 0 and 65535')
        found.append(pair)
    return tuple(found)


def _tag(text: str, names: Names) -> Target:
    _matching(TAG, text, "a tag is tag: and letters, digits and -, beginning with a letter")
    if text not in names.tags:
        raise PolicyError(f'tag not found: "{text}"; define it in tagOwners')
    return Target("tag", text)


def _group(text: str, names: Names) -> Target:
    _matching(GROUP, text, "a group is group: and letters, digits, - _ .")
    if text not in names.groups:
        raise PolicyError(f'group not found: "{text}"; define it in groups')
    return Target("group", text)


def _domain(text: str, names: Names) -> Target:
    match = DOMAIN.match(text)
    if match is None:
        raise PolicyError(f'"{text}" is not valid: expected user:*@DOMAIN')
    if names.domains is not None and match.group(1) not in names.domains:
        known = ", ".join(sorted(names.domains)) or "none"
        raise PolicyError(f'"{text}": "{match.group(1)}" is no domain of this network, which has {known}')
    return Target("domain", text)


def _autogroup(text: str, names: Names) -> Target:
    name = text.removeprefix("autogroup:")
    if name in AUTOGROUPS:
        return Target(name, text)
    if name in _OTHERS:
        raise PolicyError(f'"{text}" is not supported by this gateway')
    raise PolicyError(f'"{text}" is unknown: there are {", ".join("autogroup:" + known for known in AUTOGROUPS)}')


def _ipset(text: str, names: Names) -> Target:
    raise PolicyError(f'"{text}" cannot stand here: expected one address, tag, group or user')


_FORMS = {"tag:": _tag, "group:": _group, "user:": _domain, "autogroup:": _autogroup, "ipset:": _ipset}


def _matching(pattern: re.Pattern[str], text: str, rule: str) -> str:
    if not pattern.match(text):
        raise PolicyError(f'"{text}" is not valid: {rule}')
    return text
