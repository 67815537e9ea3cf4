"""Whether this host forwards packets: turned on while the node offers routes, and put back as it was when it stops.

    net/ipv4/ip_forward, net/ipv6/conf/all/forwarding    1 while a route of that family is offered
    net/ipv6/conf/<link>/accept_ra                       2 where it was 1: a router would else stop taking its own default route

What was there before is written to a file of the state directory first, with the number of this boot, so that a crash does not make our
own values look like the owner's. A value is put back only while it is still ours, and forwarding stays on when a bridge has appeared
since: then Docker, libvirt or the like has found it on and relies on it. The nftables table (firewall.py) comes and goes with it.
"""

import json
import os

from skerry_core.errors import LocalError

from . import firewall
from .handover import boot_id
from .netlink import Tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .netlink import Prefix

SYSCTL = "/proc/sys"
SWITCHES = {4: "net/ipv4/ip_forward", 16: "net/ipv6/conf/all/forwarding"}
LOOK_AGAIN = 30_000  # ms between two looks for obstacles


class Forwarding:
    """`apply(routes, snat)` any number of times, then `clear()`. `problems`: what does not work, one sentence each."""

    def __init__(self, tun: str, folder: str, tables: Tables) -> None:
        """`folder` keeps what to put back."""
        self._tables = tables
        self._tun, self._path = tun, os.path.join(folder, "forwarding.json")
        self.problems: list[str] = []
        self._before: dict[str, str] = {}  # by name below SYSCTL
        self._bridges: list[str] = []
        self._applied: tuple[tuple[Prefix, ...], bool] | None = None
        self._obstacles: tuple[int, list[str]] | None = None
        self._left = False  # something of ours may be in the kernel
        self._recall()

    @property
    def on(self) -> bool:
        """Whether anything is forwarded."""
        return self._applied is not None and bool(self._applied[0])

    def apply(self, routes: "list[Prefix]", snat: bool) -> None:
        """`routes`: what this node offers; none of them: everything as it was. `snat`: hosts in subnets see this node's address."""
        wanted = (tuple(routes), snat)
        if wanted == self._applied and not self.problems:
            return
        self.problems, self._obstacles = [], None
        if routes:
            self._turn_on({len(address) for address, _ in routes})
            self._try(lambda: firewall.put(self._tun, [] if snat else [prefix for prefix in routes if prefix[1]]))
        else:
            self._restore()
        self._applied = wanted

    def clear(self) -> None:
        """As if we had never been here."""
        self._restore()
        self._applied = None

    def refresh(self) -> None:
        """Links may have come: their router advertisements are to be taken, too."""
        if self._applied is not None and self.on:
            self._turn_on({len(address) for address, _ in self._applied[0]})

    def health(self, now: int) -> "list[str]":
        """What is wrong; who blocks the way is looked for at most twice a minute."""
        if not self.on:
            return self.problems
        if self._obstacles is None or now - self._obstacles[0] >= LOOK_AGAIN:
            self._obstacles = (now, firewall.obstacles(self._tun))
        return self.problems + self._obstacles[1]

    def _try(self, step: "Any") -> None:
        try:
            step()
        except LocalError as error:
            self.problems.append(str(error))

    # switches

    def _turn_on(self, sizes: "set[int]") -> None:
        wanted: dict[str, str] = {}
        if 16 in sizes:
            wanted.update({name: "2" for name in router_advertised() if self._before.get(name) or read(name) == "1"})
        wanted.update({SWITCHES[size]: "1" for size in sorted(sizes) if read(SWITCHES[size]) is not None})
        fresh = {name: read(name) or "0" for name in wanted if name not in self._before and read(name) not in (None, wanted[name])}
        if fresh or not self._left:
            self._bridges = self._bridges or self._tables.bridges()
            self._before.update(fresh)
            self._left = True
            self._try(self._remember)
        for name, value in wanted.items():
            self._write(name, value)
        for size in set(SWITCHES) - sizes:  # a family that is no longer offered
            self._put_back(SWITCHES[size])

    def _write(self, name: str, value: str) -> None:
        if read(name) == value:
            return
        try:
            with open(os.path.join(SYSCTL, name), "w") as file:
                file.write(value)
        except OSError as error:
            dotted = name.replace("/", ".")
            self.problems.append(f"cannot set {dotted} ({error.strerror}), so routes are not carried: sysctl -w {dotted}={value}")

    def _put_back(self, name: str) -> None:
        if name in self._before:
            ours = "2" if name.endswith("accept_ra") else "1"
            if read(name) == ours and not set(self._tables.bridges()) - set(self._bridges):
                self._write(name, self._before[name])
            del self._before[name]

    def _restore(self) -> None:
        if not self._left:
            return
        for name in sorted(self._before, reverse=True):  # forwarding before accept_ra
            self._put_back(name)
        self._try(firewall.remove)
        self._bridges, self._left = [], False
        self._try(self._remember)

    # memory

    def _remember(self) -> None:
        document = {"boot": boot_id().hex(), "before": self._before, "bridges": self._bridges}
        try:
            if not self._left:
                os.unlink(self._path)
                return
            with open(self._path + ".new", "w") as file:
                json.dump(document, file)
            os.rename(self._path + ".new", self._path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise LocalError(f"cannot write {self._path}: {error.strerror}; forwarding may stay on after a crash") from None

    def _recall(self) -> None:
        """What a run before us, of this boot, found; a damaged file is of no use."""
        try:
            with open(self._path) as file:
                document = json.load(file)
            if document["boot"] == boot_id().hex():
                names = (*SWITCHES.values(), *router_advertised())
                self._before = {name: str(int(value)) for name, value in document["before"].items() if name in names}
                self._bridges = [str(name) for name in document["bridges"]]
                self._left = True
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return


def read(name: str) -> "str | None":
    """A switch of the kernel; None where there is none."""
    try:
        with open(os.path.join(SYSCTL, name)) as file:
            return file.read().strip()
    except OSError:
        return None


def router_advertised() -> "list[str]":
    """The switches of all links that say whether they take router advertisements."""
    folder = os.path.join(SYSCTL, "net/ipv6/conf")
    try:
        return [f"net/ipv6/conf/{link}/accept_ra" for link in sorted(os.listdir(folder)) if link not in ("all", "default", "lo")]
    except OSError:
        return []
