"""`acls` and `grants`: what both become is a list of `Rule`.

An acl carries the ports with each destination and one protocol. A grant has destinations without ports; each entry of `ip` holds for
every one of them (an entry's protocol makes a rule of its own), `app` makes another rule that gives capabilities. The capabilities of file
sharing and of relays also give one back, from the destinations to the sources.
"""

import re
from dataclasses import dataclass
from typing import Any

from .hujson import Place, PolicyError
from .reading import Reader, name_of, shown
from .targets import PEOPLE, SELF, Ports, Target, parse_ports, split_ports

_SOURCES = ("any", "danger-all", "tag", "group", "user", "domain", "prefix", "member", "tagged", "owner", "admin")
PROTOCOLS = {
    "icmp": (1,), "igmp": (2,), "ipv4": (4,), "ip-in-ip": (4,), "tcp": (6,), "egp": (8,), "igp": (9,), "udp": (17,), "gre": (47,),
    "esp": (50,), "ah": (51,), "sctp": (132,), "ipv6-icmp": (58,),
}  # fmt: skip
_WITH_PORTS = (6, 17, 132)
_ANY = ((0, 65535),)
_EVERYTHING = ("0.0.0.0/0", "::/0")
_CAPABILITY = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9._/-]{1,100}\Z")
_OWN_DOMAIN = "tailscale.com"
_KNOWN = tuple(f"{_OWN_DOMAIN}/cap/{name}" for name in ("drive", "relay", "kubernetes", "webui"))
_GIVEN_BACK = {f"{_OWN_DOMAIN}/cap/drive": f"{_OWN_DOMAIN}/cap/drive-sharer", f"{_OWN_DOMAIN}/cap/relay": f"{_OWN_DOMAIN}/cap/relay-target"}

Capabilities = dict[str, list[Any] | None]


@dataclass(frozen=True, slots=True)
class Rule:
    place: str  # "acls[0]", where the policy says it
    sources: tuple[Target, ...]
    destinations: tuple[tuple[Target, tuple[Ports, ...]], ...]
    protocols: tuple[int, ...] = ()  # (): TCP, UDP, ICMP
    via: tuple[str, ...] = ()  # tags of the routers it goes through
    app: Capabilities | None = None  # what it gives in place of connections
    back: Capabilities | None = None  # what the destinations then get towards the sources


def read_acl(reader: Reader, place: Place, data: dict[str, Any]) -> list[Rule]:
    reader.only(place, data, ("action", "src", "dst", "proto"))
    if data.get("action") != "accept":
        reader.fail((*place, "action"), f'action is "accept", found {shown(data.get("action"))}')
    sources = _sources(reader, place, data)
    destinations: list[tuple[Target, tuple[Ports, ...]]] = []
    for where, text in reader.texts(place, data, "dst"):
        name, ports = reader.at(where, split_ports, text)
        destinations += [(target, ports) for target in _destination(reader, where, name, sources, ("any",))]
    return [Rule(name_of(place), sources, tuple(destinations), _acl_protocols(reader, (*place, "proto"), data.get("proto", "")))]


def read_grant(reader: Reader, place: Place, data: dict[str, Any]) -> list[Rule]:
    reader.only(place, data, ("src", "dst", "ip", "app", "via"))
    name, sources = name_of(place), _sources(reader, place, data)
    targets = tuple(t for where, text in reader.texts(place, data, "dst") for t in _grant_destination(reader, where, text, sources))
    via = tuple(reader.target(where, text, ("tag",), "a tag").name for where, text in reader.texts(place, data, "via", needed=False))
    app = _app(reader, place, data)
    ports = _ip(reader, place, data)
    if not ports and not app:
        reader.fail(place, 'a grant needs "ip" or "app" with at least one entry')
    routed = [target.name for target in targets if target.kind in ("internet", "self-routes", "tagged-routes")]
    if app and routed:
        reader.fail((*place, "app"), f'"{routed[0]}" has no applications: write "ip" there')
    rules = [Rule(name, sources, tuple((t, listed) for t in targets), protocols, via) for protocols, listed in ports.items()]
    if app:
        # under `via` no capability is sent, so none is given back
        back: Capabilities = {_GIVEN_BACK[capability]: None for capability in app if capability in _GIVEN_BACK and not via}
        rules.append(Rule(name, sources, tuple((target, _ANY) for target in targets), via=via, app=app, back=back))
    return rules


def _sources(reader: Reader, place: Place, data: dict[str, Any]) -> tuple[Target, ...]:
    found: list[Target] = []
    for where, text in reader.texts(place, data, "src"):
        for target in reader.targets(where, text):
            if target.kind not in _SOURCES:
                reader.fail(where, f'"{target.name}" is a destination only')
            found.append(target)
    return tuple(found)


def _destination(
    reader: Reader, place: Place, text: str, sources: tuple[Target, ...], besides: tuple[str, ...]
) -> tuple[Target, ...]:
    """`besides`: kinds of sources that autogroup:self takes besides people."""
    found = reader.targets(place, text)
    for target in found:
        if target.kind == "danger-all":
            reader.fail(place, f'"{target.name}" is a source only')
        wrong = [source.name for source in sources if target.kind in SELF and source.kind not in (*PEOPLE, *besides)]
        if wrong:
            reader.fail(place, f'"{target.name}" needs people as sources, not "{wrong[0]}"')
    return found


def _grant_destination(reader: Reader, place: Place, text: str, sources: tuple[Target, ...]) -> tuple[Target, ...]:
    found = _destination(reader, place, text, sources, ())
    for target in found:
        if target.name in _EVERYTHING:
            reader.fail(place, f'"{target.name}" would be everything: write "*" for the network, or "autogroup:internet"')
    return found


def _acl_protocols(reader: Reader, place: Place, value: Any) -> tuple[int, ...]:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else "?"
    return () if text.strip() == "" else reader.at(place, _protocol, text)


def _protocol(text: str) -> tuple[int, ...]:
    name = text.strip().lower()
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    if not (name.isascii() and name.isdigit() and 0 < int(name[:4]) < 256):
        raise PolicyError(f'"{text}" is no protocol: expected {", ".join(PROTOCOLS)} or a number from 1 to 255')
    return (int(name),)


def _ip(reader: Reader, place: Place, data: dict[str, Any]) -> dict[tuple[int, ...], tuple[Ports, ...]]:
    """The ports of each protocol, in the order of the file."""
    found: dict[tuple[int, ...], tuple[Ports, ...]] = {}
    for where, text in reader.texts(place, data, "ip", needed=False):
        protocols, ports = reader.at(where, _ip_entry, text)
        found[protocols] = tuple(dict.fromkeys((*found.get(protocols, ()), *ports)))
    return found


def _ip_entry(text: str) -> tuple[tuple[int, ...], tuple[Ports, ...]]:
    name, colon, ports = text.strip().rpartition(":")
    protocols = _protocol(name) if colon else ()
    if not colon and ports.lower() in PROTOCOLS:
        raise PolicyError(f'"{text}" is a protocol without ports: write "{text}:*"')
    found = parse_ports(ports)
    if any(last == 0 or (first == 0 and last != 65535) for first, last in found):
        raise PolicyError(f'"{text}": there is no port 0; ports are 1 to 65535, or *')
    if protocols and protocols[0] not in _WITH_PORTS and found != _ANY:
        raise PolicyError(f'"{text}": {name} has no ports; write "{name}:*"')
    return protocols, found


def _app(reader: Reader, place: Place, data: dict[str, Any]) -> Capabilities:
    value = data.get("app", {})
    where = (*place, "app")
    if not isinstance(value, dict):
        reader.fail(where, f"an object of capabilities, found {shown(value)}")
    found: Capabilities = {}
    for name, values in value.items():
        if not _CAPABILITY.match(name):
            reader.fail((*where, name), f'"{name}" is no capability: expected DOMAIN/PATH without a scheme, such as example.com/cap/print')
        if name.partition("/")[0] == _OWN_DOMAIN and name not in _KNOWN:
            reader.fail((*where, name), f'"{name}" is not supported: of {_OWN_DOMAIN} there are {", ".join(_KNOWN)}')
        if not isinstance(values, list):
            reader.fail((*where, name), f"a list of values, found {shown(values)}")
        found[name] = values
    return found
