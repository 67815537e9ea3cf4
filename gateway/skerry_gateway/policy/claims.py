"""`tests` and `sshTests`: what a policy claims of itself, checked before it is put in force.

A test holds when every address of its source reaches what `accept` names and none reaches what `deny` names. A source or destination that
no node stands for yet is tried with a node made up for it, so that a policy can be tested before its devices exist.
"""

from dataclasses import dataclass
from typing import Any

from .hujson import Place
from .reading import Reader, shown
from .rules import PROTOCOLS
from .targets import Target, split_ports

_SOURCES = ("tag", "group", "user", "domain", "prefix", "member", "tagged", "owner", "admin")
_DESTINATIONS = ("tag", "group", "user", "domain", "prefix", "self", "member", "tagged", "owner", "admin")
_SSH_DESTINATIONS = ("tag", "user", "self", "member", "tagged", "owner", "admin", "prefix")
_PROTOCOLS = {name: PROTOCOLS[name] for name in ("tcp", "udp", "sctp")}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One line of a test: `block` is accept, deny or check."""

    place: Place
    block: str
    text: str  # as written


@dataclass(frozen=True, slots=True)
class Destination:
    wanted: Wanted
    target: Target
    port: int


@dataclass(frozen=True, slots=True)
class Claim:
    place: Place
    source: Target
    protocols: tuple[int, ...]  # one of these is enough to accept
    destinations: tuple[Destination, ...]


@dataclass(frozen=True, slots=True)
class SSHClaim:
    place: Place
    source: Target
    destinations: tuple[tuple[str, Target], ...]
    logins: tuple[Wanted, ...]


def read_claim(reader: Reader, place: Place, data: dict[str, Any]) -> Claim:
    reader.only(place, data, ("src", "proto", "accept", "deny"))
    source = _source(reader, place, data)
    found = [
        Destination(Wanted(where, block, text), *_destination(reader, where, text, source))
        for block in ("accept", "deny")
        for where, text in reader.texts(place, data, block, needed=False)
    ]
    if not found:
        reader.fail(place, 'a test needs "accept" or "deny" with at least one destination')
    return Claim(place, source, _protocols(reader, (*place, "proto"), data.get("proto", "")), tuple(found))


def read_ssh_claim(reader: Reader, place: Place, data: dict[str, Any]) -> SSHClaim:
    reader.only(place, data, ("src", "dst", "accept", "check", "deny"))
    source = _source(reader, place, data)
    destinations = tuple((text, _ssh_destination(reader, where, text)) for where, text in reader.texts(place, data, "dst"))
    logins = [
        Wanted(where, block, text.strip())
        for block in ("accept", "check", "deny")
        for where, text in reader.texts(place, data, block, needed=False)
    ]
    if not destinations or not logins:
        reader.fail(place, 'a test needs "dst", and logins in "accept", "check" or "deny"')
    return SSHClaim(place, source, destinations, tuple(logins))


def _source(reader: Reader, place: Place, data: dict[str, Any]) -> Target:
    text = data.get("src")
    if not isinstance(text, str) or not text.strip():
        reader.fail(place, f'a test needs "src", one user, tag, group or address, found {shown(text)}')
    return reader.target((*place, "src"), text, _SOURCES, "one user, tag, group or address")


def _destination(reader: Reader, place: Place, text: str, source: Target) -> tuple[Target, int]:
    name, ports = reader.at(place, split_ports, text)
    if len(ports) != 1 or ports[0][0] != ports[0][1] or ports[0][0] == 0:
        reader.fail(place, f'"{text}": a test has one port, a number from 1 to 65535')
    target = reader.target(place, name, _DESTINATIONS, "one host: an address, an alias of one, a user, group or tag")
    if target.kind == "prefix" and ("/" in target.name or "-" in target.name):
        reader.fail(place, f'"{text}": a test has one host, not the prefix {target.name}')
    if target.kind == "self" and source.kind in ("tag", "tagged", "prefix"):
        reader.fail(place, f'"autogroup:self" needs people as sources, not "{source.name}"')
    return target, ports[0][0]


def _ssh_destination(reader: Reader, place: Place, text: str) -> Target:
    found = reader.target(place, text, _SSH_DESTINATIONS, "a user, tag, autogroup or IPv4 address")
    if found.kind == "prefix" and ("/" in found.name or ":" in found.name or "-" in found.name):
        reader.fail(place, f'"{text}" cannot stand here: expected a user, tag, autogroup or one IPv4 address')
    return found


def _protocols(reader: Reader, place: Place, value: Any) -> tuple[int, ...]:
    text = str(value).strip().lower() if isinstance(value, str | int) and not isinstance(value, bool) else "?"
    if text == "":
        return (6, 17)
    found = [numbers for name, numbers in _PROTOCOLS.items() if text in (name, str(numbers[0]))]
    if not found:
        reader.fail(place, f"{shown(value)} cannot be tested: expected tcp, udp, sctp or none")
    return found[0]
