"""What stands in `src` and `dst`: its forms, and how one text becomes one of them.

    *                     everything
    tag:NAME  group:NAME  autogroup:member|tagged|owner|admin
    autogroup:self        the devices of the person who asks; autogroup:self-routes what is routed through those of them that may route
    autogroup:tagged-routes  what is routed through tagged devices; autogroup:internet the Internet through every exit node
    NAME@  NAME@DOMAIN    a user, by name
    10.0.0.0/8  fd00::1   addresses as they stand
    ALIAS                 a name from `hosts`: one address or prefix

A destination adds ports after its last colon: `*`, `22`, `80-90`, `22,80-90`; an IPv6 address may stand in brackets.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from .hujson import PolicyError

Prefix = IPv4Network | IPv6Network
Ports = tuple[int, int]

TAG = re.compile(r"tag:[A-Za-z][A-Za-z0-9-]{0,48}\Z")
GROUP = re.compile(r"group:[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
USER = re.compile(r"[^\s@:/,*]{1,63}@[A-Za-z0-9.-]{0,190}\Z")
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
AUTOGROUPS = ("member", "tagged", "owner", "admin")
SELF_GROUPS = ("self", "self-routes")
ROUTED_GROUPS = ("tagged-routes", "internet")  # ours, but for the last: routes in force, exit routes as the public ranges
DESTINATIONS_ONLY = (*SELF_GROUPS, *ROUTED_GROUPS)
_LATER_AUTOGROUPS = ("danger-all", "shared", "nonroot", "billing-admin", "it-admin", "network-admin", "auditor")
# autogroup:self reaches the devices of the person who asks, so its sources must be people
SELF_SOURCES = ("any", "user", "group", "member", "owner", "admin")


@dataclass(frozen=True, slots=True)
class Target:
    """One source or destination. `kind`: any, tag, group, user, prefix, or the name of an autogroup."""

    kind: str
    name: str = ""  # as written: "tag:cam", "group:ops", "ana@"; the text of a prefix or address
    prefix: Prefix | None = None


def parse_target(text: str, hosts: Mapping[str, Target]) -> Target:
    """PolicyError names the text when it is none of the forms."""
    text = text.strip()
    if text == "*":
        return Target("any", text)
    if text.startswith("tag:"):
        return Target("tag", _matching(TAG, text, "a tag is tag: and letters, digits and -, beginning with a letter"))
    if text.startswith("group:"):
        return Target("group", _matching(GROUP, text, "a group is group: and letters, digits, - _ ."))
    if text.startswith("autogroup:"):
        return _autogroup(text)
    if text in hosts:
        return hosts[text]
    if "@" in text:
        return Target("user", _matching(USER, text, "a user is NAME@ or NAME@DOMAIN"))
    prefix = parse_prefix(text)
    if prefix is None:
        hint = f'; the user of that name is "{text}@"' if HOST.match(text) else ""
        raise PolicyError(f'"{text}" is no address, tag, group or user, and `hosts` has no such name{hint}')
    return prefix


def parse_prefix(text: str) -> Target | None:
    """An address or prefix; None when the text is neither. PolicyError for a prefix with host bits."""
    try:
        network = ip_network(text, strict=False)
        if "/" in text and ip_address(text.partition("/")[0]) != network.network_address:
            raise PolicyError(f'"{text}" has bits beyond its length: write "{network}"')
    except ValueError:
        return None
    return Target("prefix", str(network) if "/" in text else str(network.network_address), network)


def parse_destination(text: str, hosts: Mapping[str, Target]) -> tuple[Target, tuple[Ports, ...]]:
    """`target:ports`. PolicyError names what is wrong."""
    target, colon, ports = text.strip().rpartition(":")
    if not colon or not target or target in ("tag", "group", "autogroup"):
        raise PolicyError(f'"{text}" has no ports: write "{text.strip()}:*" for all, or "{text.strip()}:22,80-90"')
    if target.startswith("[") and target.endswith("]"):
        target = target[1:-1]
    return parse_target(target, hosts), parse_ports(ports)


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


def _autogroup(text: str) -> Target:
    name = text.removeprefix("autogroup:")
    if name in (*AUTOGROUPS, *DESTINATIONS_ONLY):
        return Target(name, text)
    if name in _LATER_AUTOGROUPS:
        raise PolicyError(f'"{text}" is not supported by this gateway')
    known = ", ".join("autogroup:" + each for each in (*AUTOGROUPS, *DESTINATIONS_ONLY))
    raise PolicyError(f'"{text}" is unknown: there are {known}')


def _matching(pattern: re.Pattern[str], text: str, rule: str) -> str:
    if not pattern.match(text):
        raise PolicyError(f'"{text}" is not valid: {rule}')
    return text
