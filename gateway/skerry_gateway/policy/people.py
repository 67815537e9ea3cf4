"""Users as a policy names them, and the nodes that take part with what is theirs."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network
from typing import Protocol

from .targets import Prefix

EXIT = ("0.0.0.0/0", "::/0")


class Person(Protocol):
    """A user of the network. `name` may be an e-mail address."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def role(self) -> str: ...  # "owner" | "admin" | "member"
    @property
    def email(self) -> str: ...  # "" when none is known


class Device(Protocol):
    """A node. Only advertised and approved routes are in force."""

    @property
    def id(self) -> int: ...
    @property
    def user_id(self) -> int | None: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def ipv4(self) -> str: ...
    @property
    def ipv6(self) -> str: ...
    @property
    def routes_advertised(self) -> tuple[str, ...]: ...
    @property
    def routes_approved(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Member:
    """A node that takes part. `user` is None for a tagged node: it belongs to its tags alone."""

    node: Device
    user: Person | None
    addresses: tuple[Prefix, ...]
    subnets: tuple[Prefix, ...]  # routes in force, exit routes left out
    exits: tuple[str, ...]  # exit routes in force

    @property
    def routes(self) -> bool:
        """Whether anything is reached through it."""
        return bool(self.subnets or self.exits)

    @property
    def prefixes(self) -> tuple[Prefix, ...]:
        return self.addresses + self.subnets

    def overlaps(self, prefixes: Iterable[Prefix]) -> bool:
        """Whether an address or subnet of the node and one of `prefixes` have an address in common."""
        return any(one.version == other.version and one.overlaps(other) for other in prefixes for one in self.prefixes)


def member(node: Device, user: Person | None) -> Member:
    in_force = routes_in_force(node)
    exits = tuple(route for route in in_force if route in EXIT)
    addresses, subnets = _parsed(node.ipv4, node.ipv6, tuple(route for route in in_force if route not in EXIT))
    return Member(node, None if node.tags else user, addresses, subnets, exits)


@lru_cache(maxsize=8192)  # nodes are looked at again with every change of the network
def _parsed(ipv4: str, ipv6: str, routes: tuple[str, ...]) -> tuple[tuple[Prefix, ...], tuple[Prefix, ...]]:
    addresses = tuple(ip_network(text) for text in (ipv4, ipv6) if text)
    return addresses, tuple(ip_network(text) for text in routes)


def routes_in_force(node: Device) -> tuple[str, ...]:
    """What a node both advertises and was allowed, exit routes included."""
    return tuple(route for route in node.routes_advertised if route in node.routes_approved)


def same_user(name: str, user: Person, suffix: str) -> bool:
    """Whether a policy's NAME@ or NAME@DOMAIN means this user."""
    return name in (user.name, user.name + "@", f"{user.name}@{suffix}") or (bool(user.email) and name == user.email)


def domain_of(user: Person, suffix: str) -> str:
    """The domain of a user's address; `suffix` when the name has none."""
    return (user.email or user.name).partition("@")[2] or suffix


def local_part(user: Person) -> str:
    return (user.email or user.name).partition("@")[0]
