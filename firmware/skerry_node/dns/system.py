"""This host's own DNS settings: who manages them, and how they are told of this node's resolver.

    who answers now, by /etc/resolv.conf                       what is done
    systemd-resolved (127.0.0.53), whoever wrote the file      resolvectl: servers and domains of our link; gone with it, whatever ends us
    NetworkManager, resolvconf, dhclient ... writing a file    skerry-resolv holds the file while we are there (guard.py) and takes
    a file written by hand, or none                            over what they write meanwhile

Nothing here waits: resolvectl runs beside the loop, the connection to skerry-resolv is on it. What does not work is in `problem`.
"""

import errno
import json
import os
import selectors
import signal
import socket

from . import resolvconf
from .lookup import Before

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

UPLINK = "/run/systemd/resolve/resolv.conf"  # the servers of all links, ours among them
AGAIN = 30_000  # ms until something that failed is tried again
SLOW = 10_000
LINE = 1 << 18
REMEDY = "enable it with: systemctl enable --now skerry-resolv.socket, or let names alone with: skerry set --accept-dns=false"


class Wish:
    """What the host should have: `servers` (our addresses), `search`, `routing` domains, `default`: everything comes to us."""

    def __init__(self, servers: "list[str]", search: "list[str]", routing: "list[str]", default: bool) -> None:
        self.servers, self.search, self.routing, self.default = servers, search, routing, default

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Wish) and vars(self) == vars(other)

    __hash__ = object.__hash__


class System:
    """`apply(wish)` and `apply(None)` any number of times. `mode`: "systemd-resolved", "resolv.conf" or "" (nothing done); `manager`: who
    wrote the file; `problem`: a sentence or ""; `in_force`: whether the host asks us. `changed()` is called when any of it is another."""

    def __init__(self, selector: selectors.BaseSelector, link: str, clock: "Callable[[], int]", changed: "Callable[[], None]") -> None:
        self._selector, self._link, self._clock, self._changed = selector, link, clock, changed
        self.mode = self.problem = ""
        self.in_force = False
        self._wish: Wish | None = None
        self._retry: int | None = None
        self._commands: list[list[str]] = []
        self._running: tuple[int, int, int] | None = None  # pid, pidfd, memfd of what it says
        self._kill_at: int | None = None
        self._lease: socket.socket | None = None
        self._heard = b""
        self._before_text: str | None = None
        self._looked = -AGAIN
        self.socket = os.environ.get("SKERRY_RESOLV") or resolvconf.GUARD
        text = resolvconf.read()
        self.manager = resolvconf.writer(text)

    # what the host had

    def before(self) -> Before:
        """The servers of the host's own network, without us."""
        if self._before_text is not None:
            text = self._before_text
        elif self.resolved:
            text = resolvconf.read(UPLINK)
        else:
            text = resolvconf.read()
            if resolvconf.writer(text) == "skerry":  # of a run before, not yet put back
                text = resolvconf.read(resolvconf.PATH + resolvconf.BEFORE)
        found = resolvconf.ResolvConf(text)
        return Before(found.servers, found.zones, found.search)

    @property
    def resolved(self) -> bool:
        """Whether systemd-resolved answers this host's programs."""
        return resolvconf.ResolvConf(resolvconf.read()).stub and os.path.exists(UPLINK)

    # what it should have

    def apply(self, wish: "Wish | None") -> None:
        """Make it so, or let go of it."""
        self._retry = None
        self._wish = wish
        if wish is None:
            self._let_go()
            return
        mode = "systemd-resolved" if self._lease is None and self.resolved else "resolv.conf"
        if mode != self.mode:
            self._let_go()
            self._wish, self.mode = wish, mode
            self.manager = resolvconf.writer(resolvconf.read())
        if mode == "resolv.conf":
            self._ask_guard()
        else:
            self._tell_resolved(wish)

    def check(self) -> None:
        """The network changed: somebody else may manage names now."""
        if self._wish is not None and self._lease is None:
            mode = "systemd-resolved" if self.resolved else "resolv.conf"
            if mode != self.mode or self.problem:
                self.apply(self._wish)

    def close(self, keep: bool) -> None:
        """The end of this process. `keep`: the link stays, for the next one."""
        told = self.mode == "systemd-resolved" and self._running is None and self.in_force
        self._wish = None
        self._stop_command()
        self._close_lease()
        if told and not keep:
            _run_to_the_end(["resolvectl", "revert", self._link])

    def _let_go(self) -> None:
        if self.mode == "systemd-resolved":
            self._commands = [["resolvectl", "revert", self._link]]
            self._next_command()
        self._close_lease()
        self.mode = ""
        self._report("", False)

    def _report(self, problem: str, in_force: bool) -> None:
        if (problem, in_force) != (self.problem, self.in_force):
            self.problem, self.in_force = problem, in_force
            self._changed()
        self._retry = self._clock() + AGAIN if problem else None

    # systemd-resolved

    def _tell_resolved(self, wish: Wish) -> None:
        domains = [*wish.search, *(f"~{domain}" for domain in wish.routing if domain not in wish.search), *(["~."] if wish.default else [])]
        words = {
            "dns": wish.servers,
            "domain": domains or [""],
            "default-route": ["yes" if wish.default else "no"],
            "dnssec": ["no"],
            "dnsovertls": ["no"],
            "llmnr": ["no"],
            "mdns": ["no"],
        }
        self._commands = [["resolvectl", verb, self._link, *values] for verb, values in words.items()]
        self._next_command()

    def _next_command(self) -> None:
        if self._running is not None or not self._commands:
            return
        said = os.memfd_create("resolvectl", os.MFD_CLOEXEC)
        try:
            pid = spawn(self._commands.pop(0), said)
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            os.close(said)
            self._commands = []
            self._report(f"names: cannot run resolvectl ({error.strerror or error}): it belongs to systemd-resolved", False)
            return
        self._running, self._kill_at = (pid, pidfd, said), self._clock() + SLOW
        self._selector.register(pidfd, selectors.EVENT_READ, lambda _mask: self._ended())

    def _ended(self) -> None:
        assert self._running is not None
        pid, _, said = self._running
        _, status = os.waitpid(pid, 0)
        text = os.pread(said, 300, 0).decode("utf-8", "replace").strip()
        self._forget_command()
        if self._wish is None or self.mode != "systemd-resolved":
            self._next_command()
        elif status:
            self._commands = []
            self._report(f"names: systemd-resolved was not told of this network: {text or 'resolvectl failed'}", False)
        elif self._commands:
            self._next_command()
        else:
            self._report("", True)

    def _forget_command(self) -> None:
        assert self._running is not None
        _, pidfd, said = self._running
        self._selector.unregister(pidfd)
        os.close(pidfd)
        os.close(said)
        self._running, self._kill_at = None, None

    def _stop_command(self) -> None:
        self._commands = []
        if self._running is not None:
            os.kill(self._running[0], signal.SIGKILL)
            os.waitpid(self._running[0], 0)
            self._forget_command()

    # skerry-resolv

    def _ask_guard(self) -> None:
        if self._lease is None:
            lease = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
            try:
                lease.connect(self.socket)
            except OSError as error:
                lease.close()
                missing = error.errno in (errno.ENOENT, errno.ECONNREFUSED)
                reason = "skerry-resolv is not there" if missing else f"{self.socket}: {error.strerror or error}"
                self._report(f"names: this host's resolv.conf is left alone, since {reason}; {REMEDY}", False)
                return
            self._lease, self._heard = lease, b""
            self._selector.register(lease, selectors.EVENT_READ, lambda _mask: self._guard_said())
        assert self._wish is not None
        wish = {"servers": self._wish.servers, "search": self._wish.search[: resolvconf.SEARCH]}
        try:
            self._lease.sendall(json.dumps(wish).encode() + b"\n")
        except OSError:
            self._lost()

    def _guard_said(self) -> None:
        assert self._lease is not None
        try:
            data = self._lease.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._heard += data
        if not data or len(self._heard) > LINE:
            self._lost()
            return
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, answer: "dict[str, Any]") -> None:
        if "error" in answer:
            self._before_text = None
            self._report(f"names: {answer['error']}; programs on this host do not find this network's names", False)
            return
        self._before_text = str(answer["before"])
        self.manager = resolvconf.writer(self._before_text)
        in_force, self.in_force = self.in_force, True
        self._report("", True)
        if in_force:
            self._changed()  # other servers before

    def _lost(self) -> None:
        self._close_lease()
        self._report("names: skerry-resolv has ended; it is asked again", False)
        self._retry = self._clock() + 1000

    def _close_lease(self) -> None:
        self._before_text = None
        if self._lease is not None:
            self._selector.unregister(self._lease)
            self._lease.close()
            self._lease = None

    # time

    def next_timer(self) -> "int | None":
        """When handle_timer has something to do."""
        return min((at for at in (self._retry, self._kill_at) if at is not None), default=None)

    def handle_timer(self, now: int) -> None:
        """Try again; end a resolvectl that hangs."""
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            if self._running is not None:
                os.kill(self._running[0], signal.SIGKILL)
        if self._retry is not None and now >= self._retry and self._running is None:
            self.apply(self._wish)


def spawn(command: "list[str]", said: int) -> int:
    """Start a program whose words go to a descriptor."""
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, nowhere, 0), (os.POSIX_SPAWN_DUP2, said, 1), (os.POSIX_SPAWN_DUP2, said, 2)]
        usual = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        return os.posix_spawnp(command[0], command, os.environ, file_actions=actions, setsigdef=usual)
    finally:
        os.close(nowhere)


def _run_to_the_end(command: "list[str]") -> None:
    said = os.memfd_create("resolvectl", os.MFD_CLOEXEC)
    try:
        os.waitpid(spawn(command, said), 0)
    except OSError:
        pass
    finally:
        os.close(said)
