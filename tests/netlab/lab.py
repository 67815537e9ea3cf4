"""The lab itself: hosts are network namespaces, processes run in them, everything is undone on exit."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.netlab import nat
from tests.netlab.enter import MARK

WAN = "10.99.0"
WAN6 = "2001:db8:99"


class LabError(Exception):
    """The lab could not be built or a process in it did not do what was awaited."""


def inside() -> bool:
    """Whether this process runs in namespaces of its own."""
    return os.environ.get(MARK) == "1"


def run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Host:
    """One namespace: `address` is where it is reached from its own link."""

    def __init__(self, lab: "Lab", name: str) -> None:
        self.lab = lab
        self.name = name
        self.address = ""
        self.address6 = ""
        self.router: Host | None = None
        self.etc: Path | None = None
        run("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def command(self, *argv: str) -> list[str]:
        """`argv` as run inside: own network, and a mount namespace in which resolv.conf, or all of /etc, is private."""
        private = f"{self.etc} /etc" if self.etc else f"{self.lab.resolv_conf(self.name)} /etc/resolv.conf"
        script = f"mount --bind {private}; exec \"$@\""
        return ["nsenter", f"--net=/run/netns/{self.name}", "unshare", "--mount", "sh", "-c", script, "sh", *argv]

    def own_etc(self, resolv: str) -> Path:
        """From now on /etc is a copy, in which files can be replaced; resolv.conf holds `resolv`."""
        self.etc = self.lab.path / f"etc-{self.name}"
        subprocess.run(["cp", "-a", "/etc", str(self.etc)], capture_output=True)  # what an ordinary user may not read is left out
        (self.etc / "resolv.conf").unlink(missing_ok=True)
        (self.etc / "resolv.conf").write_text(resolv)
        (self.etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
        return self.etc

    def ip(self, *arguments: str) -> str:
        return run("ip", "-n", self.name, *arguments)

    def run(self, *argv: str, timeout: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run to the end; LabError with the output when it fails and `check` is set."""
        done = subprocess.run(self.command(*argv), capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            raise LabError(f"{self.name}: {' '.join(argv)} -> {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def start(self, *argv: str, log: str | None = None, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a process that the lab ends; its output goes to the lab's folder."""
        path = self.lab.path / f"{log or self.name + '-' + os.path.basename(argv[0])}.log"
        with open(path, "ab") as out:
            process = subprocess.Popen(
                self.command(*argv), stdout=out, stderr=out, stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})}
            )
        self.lab.processes.append(process)
        return process

    def nft(self, script: str) -> None:
        run("nsenter", f"--net=/run/netns/{self.name}", "nft", "-f", "-", text=script)

    def block_udp(self, hook: str = "output") -> None:
        """Drop every UDP datagram that leaves (a host) or is forwarded (a router: hook "forward")."""
        self.nft(nat.BLOCK_UDP.format(hook=hook))

    def unblock_udp(self) -> None:
        self.nft("delete table inet block")

    def bytes_on(self, interface: str) -> tuple[int, int]:
        """(received, sent) bytes of an interface, as the kernel counts them."""
        link = json.loads(self.ip("-j", "-s", "link", "show", "dev", interface))[0]["stats64"]
        return link["rx"]["bytes"], link["tx"]["bytes"]


class Lab:
    """`with Lab() as lab:` a bridge in this network namespace that stands for the Internet."""

    def __init__(self, folder: Path | None = None) -> None:
        if not inside():
            raise LabError("the lab needs namespaces of its own: run it by `python -m tests.netlab COMMAND`")
        self.path = folder or Path(tempfile.mkdtemp(prefix="skerry-lab-"))
        self.processes: list[subprocess.Popen[bytes]] = []
        self.hosts: list[Host] = []
        self.next = 2

    def __enter__(self) -> "Lab":
        run("ip", "link", "add", "wan", "type", "bridge")
        run("ip", "addr", "add", f"{WAN}.1/16", "dev", "wan")
        run("ip", "link", "set", "wan", "up")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(*self.processes)
        for link in json.loads(run("ip", "-j", "link", "show", "master", "wan")):  # the kernel takes a namespace's own down only later
            subprocess.run(["ip", "link", "del", link["ifname"]], capture_output=True)
        for host in self.hosts:
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True)
        subprocess.run(["ip", "link", "del", "wan"], capture_output=True)
        shutil.rmtree(self.path, ignore_errors=True)

    def stop(self, *processes: subprocess.Popen[bytes]) -> None:
        """End these processes: politely, after two seconds by force."""
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def resolv_conf(self, name: str) -> Path:
        path = self.path / f"resolv-{name}"
        if not path.exists():
            path.write_text("# empty\n")
        return path

    def _host(self, name: str) -> Host:
        host = Host(self, name)
        self.hosts.append(host)
        return host

    def _attach(self, host: Host) -> str:
        """Join a host to the Internet as interface `wan`; returns its address."""
        number = self.next
        self.next += 1
        run("ip", "link", "add", f"w{number}", "type", "veth", "peer", "name", "wan", "netns", host.name)
        run("ip", "link", "set", f"w{number}", "master", "wan", "up")
        address = f"{WAN}.{number}"
        host.ip("addr", "add", f"{address}/16", "dev", "wan")
        host.ip("link", "set", "wan", "up")
        host.ip("route", "add", "default", "via", f"{WAN}.1")
        host.address = address
        return address

    def public(self, name: str) -> Host:
        """A host with public addresses, IPv4 and IPv6."""
        host = self._host(name)
        address = self._attach(host)
        host.address6 = f"{WAN6}::{address.rsplit('.', 1)[1]}"
        host.ip("addr", "add", f"{host.address6}/64", "dev", "wan", "nodad")
        return host

    def router(self, name: str, kind: str = "easy") -> Host:
        """A NAT router; kinds in nat.KINDS."""
        host = self._host(name)
        address = self._attach(host)
        host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        host.nft(nat.ruleset(kind, address))
        run("ip", "-n", name, "link", "add", "lan", "type", "bridge")
        host.ip("addr", "add", f"192.168.{address.split('.')[3]}.1/24", "dev", "lan")
        host.ip("link", "set", "lan", "up")
        return host

    def behind(self, router: Host, name: str) -> Host:
        """A host in the router's LAN, as interface `eth0`."""
        host = self._host(name)
        number = self.next
        self.next += 1
        run("ip", "-n", router.name, "link", "add", f"l{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
        router.ip("link", "set", f"l{number}", "master", "lan", "up")
        lan = f"192.168.{router.address.split('.')[3]}"
        host.address = f"{lan}.{number}"
        host.ip("addr", "add", f"{host.address}/24", "dev", "eth0")
        host.ip("link", "set", "eth0", "up")
        host.ip("route", "add", "default", "via", f"{lan}.1")
        host.router = router
        return host

    def logs(self, tail: int = 4000) -> str:
        """The end of every log, for a failing test's message."""
        return "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')[-tail:]}" for p in sorted(self.path.glob("*.log")))


def until(what: str, condition: Callable[[], object], deadline: float = 30, step: float = 0.1) -> object:
    """Poll `condition` till it is true and return its value; LabError that names `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"not within {deadline} s: {what}")
        time.sleep(step)


@contextmanager
def lab_with_logs() -> Iterator[Lab]:
    """A lab that prints its logs when the body fails."""
    with Lab() as lab:
        try:
            yield lab
        except BaseException:
            print(lab.logs())
            raise
