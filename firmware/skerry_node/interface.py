"""The TUN interface as the operating system sees it: addresses, routes, rules, MTU, up or down.

The engine says what should be (`("interface", {...})`); this module compares that with what it did and with what the
kernel has, and makes the difference. The routes stand in a table of our own (netlink.TABLE), which rules put before the
host's own table; skerry_core.routing says what stands in it. What skerryd itself sends carries a mark that passes it by.
Only routes and rules that carry our protocol number are ever removed. The link belongs to the transport and goes away
with the process, and its addresses and routes with it; a link that somebody made beforehand (`ip tuntap add`) stays, so
everything is taken off it at a clean stop and, after a crash, at the next start. Rules that a crash left look into an
empty table, which changes nothing.

It does not touch the firewall, forwarding (forwarding.py) or DNS.
"""

import errno
import os
import socket

from skerry_core import routing
from skerry_core.errors import LocalError

from .netlink import RULES, Tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .netlink import Prefix


class Interface:
    """`apply(desired)` any number of times, then `clear()`. `problems`: what the kernel refused, one sentence each."""

    def __init__(self, name: str, tables: "Tables | None" = None) -> None:
        self.name = name
        self.problems: list[str] = []
        self._tables = tables or Tables()
        self.index = self._find()
        self._addresses: set[Prefix] = set()
        self._routes: set[Prefix] = set()
        self._throws: set[Prefix] = set()
        self._desired: dict[str, Any] | None = None
        self._link: tuple[bool, int] | None = None
        self._service: set[Prefix] = set()
        self._adopt()

    def _find(self) -> int:
        for index, (name, _flags) in self._tables.links().items():
            if name == self.name:
                return index
        raise LocalError(f"the interface {self.name} is gone: another program removed it; restart skerryd")

    def _adopt(self) -> None:
        """Whatever is on the link now was left by a run before: take it as ours, so that the first apply settles it."""
        for index, address, bits, scope, _flags in self._tables.addresses():
            if index == self.index and scope != 253:  # link-local ones are the kernel's
                self._addresses.add((address, bits))
        self._routes, self._throws = map(set, self._tables.routes(self.index))

    def check(self) -> None:
        """LocalError when the link is no more: nothing passes through a device without one, and only a new device helps."""
        if self._tables.links().get(self.index, ("",))[0] != self.name:
            raise LocalError(f"the interface {self.name} is gone: another program removed or renamed it; restart skerryd")

    def apply(self, desired: "dict[str, Any]") -> None:
        """Make it so. What the kernel refuses is in `problems` and is tried again at the next call."""
        self.problems, self._desired = [], desired
        addresses = {(bytes(a), int(b)) for a, b in desired["addresses"]} | (self._service if desired["up"] else set())
        plan = self._plan(desired)
        routes, throws = set(plan.routes), set(plan.throws)
        link = (bool(desired["up"]), int(desired["mtu"]))
        # what is thrown back goes last and comes first, so that nothing of the host's goes astray in between
        for prefix in self._routes - routes:
            self._drop(self._routes, prefix, self._tables.remove_route, self.index)
        if link != self._link:
            self._set_link(link)
        # the kernel flushes every IPv4 route of a link with its last address: the new ones first
        for prefix in sorted(addresses - self._addresses):
            add = self._tables.add_service_address if prefix in self._service else self._tables.add_address
            self._add(self._addresses, prefix, add, "address", self.index)
        for prefix in self._addresses - addresses:
            self._drop(self._addresses, prefix, self._tables.remove_address, self.index)
        self._routes, self._throws = map(set, self._tables.routes(self.index))
        for prefix in self._throws - throws:
            self._drop(self._throws, prefix, self._tables.remove_route, 0)
        for prefix in sorted(throws - self._throws):
            self._add(self._throws, prefix, self._tables.add_route, "route", 0)
        if link[0]:
            for prefix in sorted(routes - self._routes):
                self._add(self._routes, prefix, self._tables.add_route, "route", self.index)
        self._set_rules(link[0] and bool(addresses))

    def _plan(self, desired: "dict[str, Any]") -> routing.Plan:
        wanted = [(bytes(a), int(b)) for a, b in desired["routes"]]
        host = self._tables.host_routes(self.index) if wanted or desired.get("exit") else []
        plan = routing.plan(wanted, bool(desired.get("exit")), bool(desired.get("lan")), host)
        for prefix in plan.kept:
            if prefix[1] == 8 * len(prefix[0]):  # a subnet that is offered to us and ours is nothing unusual
                address = text(prefix).partition("/")[0]
                self.problems.append(f"{address} is an address of this host's own network and of a peer: it stays the network's")
        return plan

    def refresh(self) -> None:
        """The host's own routes may have changed."""
        if self._desired is not None and self._desired["up"]:
            self.apply(self._desired)

    def _set_rules(self, up: bool) -> None:
        families = [socket.AF_INET, *([socket.AF_INET6] if os.path.exists("/proc/net/if_inet6") else [])]
        have = self._tables.rules()
        try:
            for family in families:
                for rule in RULES:
                    if up and (family, rule[0]) not in have:
                        self._tables.add_rule(family, rule)
                    elif not up and (family, rule[0]) in have:
                        self._tables.remove_rule(family, rule)
        except OSError as error:
            self.problems.append(f"cannot set the rules that lead into the tunnel: {_reason(error)}")

    def serve(self, prefixes: "list[Prefix]") -> None:
        """Addresses besides those of the map, that this host's own programs ask on; never a source of packets by themselves."""
        if set(prefixes) != self._service:
            self._service = set(prefixes)
            if self._desired is not None:
                self.apply(self._desired)

    def clear(self) -> None:
        """Take everything off the link again."""
        self._service = set()
        try:
            self.apply({"addresses": [], "routes": [], "exit": False, "up": False, "mtu": self._link[1] if self._link else 1280})
        except OSError:
            pass  # the link is gone: so is all that was on it
        self._tables.close()

    def _set_link(self, link: "tuple[bool, int]") -> None:
        try:
            self._tables.set_link(self.index, *link)
            self._link = link
        except OSError as error:
            self.problems.append(f"cannot set {self.name} {'up' if link[0] else 'down'}: {_reason(error)}")

    def _add(self, kept: "set[Prefix]", prefix: "Prefix", call: "Any", noun: str, index: int) -> None:
        try:
            call(index, prefix)
            kept.add(prefix)
        except OSError as error:
            if error.errno == errno.EEXIST:
                self.problems.append(f"the {noun} {text(prefix)} exists already on another interface and is left there")
            else:
                self.problems.append(f"cannot add the {noun} {text(prefix)} to {self.name}: {_reason(error)}")

    def _drop(self, kept: "set[Prefix]", prefix: "Prefix", call: "Any", index: int) -> None:
        kept.discard(prefix)
        try:
            call(index, prefix)
        except OSError as error:
            if error.errno not in (errno.ENODEV, errno.ENETDOWN):
                self.problems.append(f"cannot remove {text(prefix)} from {self.name}: {_reason(error)}")


def _reason(error: OSError) -> str:
    if error.errno in (errno.EPERM, errno.EACCES):
        return f"{error.strerror} (run skerryd as root or with CAP_NET_ADMIN; for IPv6, see sysctl net.ipv6.conf.*.disable_ipv6)"
    return error.strerror or str(error)


def text(prefix: "Prefix") -> str:
    """`100.64.0.1/32`"""
    address, bits = prefix
    return f"{socket.inet_ntop(socket.AF_INET6 if len(address) == 16 else socket.AF_INET, address)}/{bits}"
