"""A host whose uplink changes under it in every way a board's does, and how long its traffic is away each time.

    eth0  behind router ra (NAT)      eth1  behind router rb (NAT)      wan  on the Internet itself, IPv6 alone

Exactly one of them is the way out, but for the kind "default", which has two for a moment. `Swaps.swap(kind)` returns when the change
is complete; `Echoes.back(since)` tells when replies come again: four in a row at twenty a second.
"""

import random
import re
import time
from collections.abc import Callable, Iterator

from tests.netlab import nat
from tests.netlab.lab import WAN, WAN6, Host, Lab, run, until
from tests.netlab.programs import Node

RATE = 0.05  # s between echo requests
IN_A_ROW = 4


class Way:
    """One uplink of the host: its interface's name now, and its router (None: IPv6 on the Internet itself)."""

    def __init__(self, name: str, router: Host | None, number: int) -> None:
        self.name, self.router, self.number = name, router, number
        self.net = WAN6 if router is None else f"192.168.{router.address.split('.')[3]}"

    def address(self) -> str:
        """With its prefix length."""
        return f"{self.net}::{self.number:x}/64" if self.router is None else f"{self.net}.{self.number}/24"


class Swaps:
    """`host` with three uplinks, `now` the one in use. Build it before the node starts."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.routers = [lab.router(f"{name}-ra"), lab.router(f"{name}-rb")]
        self.host = lab.behind(self.routers[0], name)
        self._numbers = iter(range(100, 250))
        self.ways = [Way("eth0", self.routers[0], next(self._numbers)), Way("eth1", self.routers[1], next(self._numbers))]
        self.ways.append(Way("six", None, 0x1000 + next(self._numbers)))
        number = lab.next
        lab.next += 1
        run("ip", "-n", self.routers[1].name, "link", "add", f"l{number}", "type", "veth", "peer", "name", "eth1", "netns", name)
        self.routers[1].ip("link", "set", f"l{number}", "master", "lan", "up")
        on_the_internet_by_ipv6(lab, self.host, "six")
        self.host.ip("addr", "flush", "dev", "eth0")
        self.host.ip("link", "set", "eth0", "down")
        self.now = self.ways[0]
        self.plug(self.now)
        self.kinds: dict[str, Callable[[random.Random], None]] = {
            "address": self._address,
            "link": self._link,
            "nat": self._nat,
            "router": self._router,
            "default": self._default,
            "rename": self._rename,
            "ipv6": self._ipv6,
            "ipv4": self._ipv4,
        }

    def deal(self, count: int, chance: random.Random) -> Iterator[str]:
        """Kinds, evenly dealt, in a seeded order."""
        kinds = [list(self.kinds)[number % len(self.kinds)] for number in range(count)]
        chance.shuffle(kinds)
        return iter(kinds)

    def swap(self, kind: str, chance: random.Random) -> float:
        """Change the uplink; when that was complete, in seconds of the wall clock."""
        self.kinds[kind](chance)
        return time.time()

    def plug(self, way: Way) -> None:
        """Make it the way out."""
        self.host.ip("link", "set", way.name, "up")
        flags = ["nodad"] if way.router is None else []
        self.host.ip("addr", "replace", way.address(), "dev", way.name, *flags)
        if way.router is not None:
            self.host.ip("route", "replace", "default", "via", f"{way.net}.1", "dev", way.name)
        self.now = way

    def unplug(self, way: Way) -> None:
        self.host.ip("addr", "flush", "dev", way.name)
        self.host.ip("link", "set", way.name, "down")

    def offline(self) -> None:
        """Without any way out."""
        self.unplug(self.now)

    def _move(self, way: Way) -> None:
        self.unplug(self.now)
        self.plug(way)

    def _address(self, _chance: random.Random) -> None:
        self.host.ip("addr", "flush", "dev", self.now.name)
        self.now.number += 1
        self.plug(self.now)

    def _link(self, chance: random.Random) -> None:
        self.host.ip("link", "set", self.now.name, "down")
        time.sleep(chance.uniform(0.1, 1.5))  # how long a cable is out is the point
        self.plug(self.now)

    def _nat(self, _chance: random.Random) -> None:
        self._move(self.ways[1] if self.now is self.ways[0] else self.ways[0])

    def _router(self, chance: random.Random) -> None:
        """The provider gives the router another address; nothing changes that the host could see."""
        router = self.now.router
        if router is None:
            self._nat(chance)
            return
        router.ip("addr", "flush", "dev", "wan")  # masquerading forgets its connections with it
        router.nft("flush ruleset")
        router.address = f"{WAN}.{next(self._numbers)}"
        router.ip("addr", "add", f"{router.address}/16", "dev", "wan")
        router.ip("route", "replace", "default", "via", f"{WAN}.1")
        router.nft(nat.ruleset("easy", router.address))

    def _default(self, chance: random.Random) -> None:
        """Both routers are there, and the default route moves from one to the other; later the first goes."""
        if self.now.router is None:
            self._nat(chance)
            return
        other = self.ways[1] if self.now is self.ways[0] else self.ways[0]
        self.plug(other)  # the old link stays, with its address

    def _rename(self, _chance: random.Random) -> None:
        name = f"net{next(self._numbers)}"
        self.host.ip("link", "set", self.now.name, "down")
        self.host.ip("link", "set", self.now.name, "name", name)
        self.now.name = name
        self.plug(self.now)

    def _ipv6(self, _chance: random.Random) -> None:
        self._move(self.ways[2])

    def _ipv4(self, _chance: random.Random) -> None:
        self._move(self.ways[0])


def on_the_internet_by_ipv6(lab: Lab, host: Host, name: str) -> None:
    """Give a host another interface on the Internet, without addresses, down."""
    number = lab.next
    lab.next += 1
    run("ip", "link", "add", f"w{number}", "type", "veth", "peer", "name", name, "netns", host.name)
    run("ip", "link", "set", f"w{number}", "master", "wan", "up")


def dual_stack_home(lab: Lab, name: str) -> Host:
    """A peer as at home: IPv4 behind a NAT router, IPv6 of its own."""
    host = lab.behind(lab.router(f"{name}-r"), name)
    on_the_internet_by_ipv6(lab, host, "six")
    host.address6 = f"{WAN6}::{0x2000 + lab.next:x}"
    host.ip("link", "set", "six", "up")
    host.ip("addr", "add", f"{host.address6}/64", "dev", "six", "nodad")
    return host


class Echoes:
    """Twenty echo requests a second from a node to an address, till the lab ends."""

    def __init__(self, node: Node, address: str, name: str) -> None:
        self._log = node.host.lab.path / f"{node.name}-echo-{name}.log"
        self.name = name
        node.host.start("ping", "-D", "-n", "-i", str(RATE), address, log=self._log.stem)

    def back(self, since: float) -> float | None:
        """Seconds from `since` till the first of four replies in a row; None: not yet."""
        found = [float(at) for at in re.findall(r"^\[([\d.]+)\] \d+ bytes from", self._log.read_text(errors="replace"), re.M)]
        after = [at for at in found if at > since]
        for first, last in zip(after, after[IN_A_ROW - 1 :], strict=False):
            if last - first < RATE * IN_A_ROW + 0.1:
                return first - since
        return None

    def wait(self, since: float, deadline: float) -> float:
        """The same, waited for; `deadline` where they do not come."""
        end = since + deadline
        while time.time() < end:
            found = self.back(since)
            if found is not None:
                return found
            time.sleep(0.05)
        return deadline


def series(swaps: Swaps, echoes: list[Echoes], count: int, chance: random.Random, deadline: float) -> list[tuple[str, list[float]]]:
    """`count` swaps, each after the traffic of the last is back: (kind, seconds away for each of `echoes`)."""
    found = []
    start = time.time()
    until("echoes are answered", lambda: all(each.back(start) is not None for each in echoes), 30)
    for kind in swaps.deal(count, chance):
        since = swaps.swap(kind, chance)
        times = [each.wait(since, deadline) for each in echoes]
        found.append((kind, times))
        time.sleep(chance.uniform(0.1, 2.5))  # the next one comes at any moment
    return found
