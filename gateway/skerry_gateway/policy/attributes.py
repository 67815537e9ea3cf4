"""`nodeAttrs`, `randomizeClientPort` and `autoApprovers`: what a node is told of itself, and which of its routes need no administrator."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Any

from .hujson import Place
from .people import EXIT, Member
from .reading import Reader, shown
from .targets import Prefix, Target

_TARGETS = ("any", "user", "group", "domain", "tag", "prefix", "member", "tagged", "admin", "owner")
_OWNERS = ("user", "group", "tag", "member", "admin", "owner")
_POOL = IPv4Network("100.64.0.0/10")
_RESERVED = tuple(ip_network(text) for text in ("100.100.0.0/24", "100.100.100.0/24", "100.115.92.0/23"))
RANDOM_PORT = "randomize-client-port"
Matches = Callable[[Target, Member], bool]


@dataclass(frozen=True, slots=True)
class NodeAttribute:
    targets: tuple[Target, ...]
    attributes: tuple[str, ...]
    app: dict[str, list[Any]]
    pools: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class AutoApprovers:
    routes: tuple[tuple[Prefix, tuple[Target, ...]], ...] = ()
    exit_node: tuple[Target, ...] = ()


def read_attribute(reader: Reader, place: Place, data: dict[str, Any]) -> NodeAttribute:
    reader.only(place, data, ("target", "attr", "app", "ipPool"))
    words = '"*", a user, group, tag, host, prefix, autogroup:member, tagged, admin or owner'
    targets = [reader.target(where, text, _TARGETS, words) for where, text in reader.texts(place, data, "target", needed=False)]
    app = data.get("app", {})
    if not isinstance(app, dict) or not all(isinstance(value, list) for value in app.values()):
        reader.fail((*place, "app"), f"an object of lists, found {shown(app)}")
    attributes = tuple(text for _, text in reader.texts(place, data, "attr", needed=False))
    pools = tuple(_pool(reader, where, text) for where, text in reader.texts(place, data, "ipPool", needed=False))
    return NodeAttribute(tuple(targets), attributes, app, pools)


def _pool(reader: Reader, place: Place, text: str) -> Prefix:
    try:
        found = ip_network(text.strip())
    except ValueError:
        reader.fail(place, f'"{text}" is no prefix')
    if not isinstance(found, IPv4Network) or not found.subnet_of(_POOL) or any(found.overlaps(reserved) for reserved in _RESERVED):
        reader.fail(place, f'"{text}" is outside {_POOL} or on a reserved range ({", ".join(map(str, _RESERVED))})')
    return found


def read_approvers(reader: Reader, data: Any) -> AutoApprovers:
    place: Place = ("autoApprovers",)
    if not isinstance(data, dict):
        reader.fail(place, f"an object, found {shown(data)}")
    reader.only(place, data, ("routes", "exitNode"))
    routes = data.get("routes", {})
    if not isinstance(routes, dict):
        reader.fail((*place, "routes"), f"an object of prefixes, found {shown(routes)}")
    found = []
    for text in routes:
        try:
            prefix = ip_network(text.strip())
        except ValueError:
            reader.fail((*place, "routes", text), f'"{text}" is no prefix')
        found.append((prefix, _owners(reader, (*place, "routes"), routes, text)))
    return AutoApprovers(tuple(found), _owners(reader, place, data, "exitNode") if "exitNode" in data else ())


def _owners(reader: Reader, place: Place, data: dict[str, Any], name: str) -> tuple[Target, ...]:
    words = "a user, group, tag, autogroup:member, admin or owner"
    return tuple(reader.target(where, text, _OWNERS, words) for where, text in reader.texts(place, data, name))


def attributes_of(policy: Iterable[NodeAttribute], random_port: bool, member: Member, matches: Matches) -> dict[str, list[Any] | None]:
    """The capabilities the policy gives a node: name -> values, None without any."""
    found: dict[str, list[Any] | None] = {RANDOM_PORT: None} if random_port else {}
    values: defaultdict[str, list[Any]] = defaultdict(list)
    for entry in policy:
        if any(matches(target, member) for target in entry.targets):
            found.update(dict.fromkeys(name for name in entry.attributes if name not in found))
            for name, listed in entry.app.items():
                values[name] += listed
    return {**found, **values}


def auto_approved(approvers: AutoApprovers, member: Member, matches: Matches) -> tuple[str, ...]:
    """Those of a node's advertised routes that the policy approves."""
    return tuple(route for route in member.node.routes_advertised if _approves(approvers, route, member, matches))


def _approves(approvers: AutoApprovers, route: str, member: Member, matches: Matches) -> bool:
    if route in EXIT:
        return any(matches(target, member) for target in approvers.exit_node)
    prefix = ip_network(route)
    for within, owners in approvers.routes:
        if within.version == prefix.version and prefix.subnet_of(within) and any(matches(target, member) for target in owners):  # type: ignore[arg-type]
            return True
    return False
