"""A Debian trixie in a lab's host: its own systemd as the first process of new namespaces, on a throw-away layer over the cached tree."""

import json
import os
import subprocess
import time
from pathlib import Path

from tests.netlab.lab import Host, LabError, run, until
from tests.netlab.programs import ROOT, Skerryd

GROUPS = "skerry-trixie-"
FORWARDS = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding")


def build(folder: Path, version: str) -> Path:
    """The packages of this machine's architecture, as that version."""
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    environment = {**os.environ, "VERSION": version, "OUT": str(folder)}
    subprocess.run([str(ROOT / "build/deb.sh"), architecture], env=environment, check=True, stdout=subprocess.DEVNULL)
    return folder


class Machine(Skerryd):
    """`host` with Debian in it; as a node it is the packaged skerryd. `debs` is seen as /run/debs."""

    def __init__(self, host: Host, name: str, debs: Path) -> None:
        super().__init__(host, name)
        tree = subprocess.run([str(ROOT / "build/deb.sh"), "testroot"], capture_output=True, text=True, check=True).stdout.strip()
        self._debs = debs
        self.layer = host.lab.path / f"{name}-trixie"
        parts = {part: self.layer / part for part in ("upper", "work", "root", "groups")}
        self.layer.mkdir()
        run("mount", "-t", "tmpfs", "tmpfs", str(self.layer))
        for part in parts.values():
            part.mkdir()
        self.root = parts["root"]
        over = f"lowerdir={tree},upperdir={parts['upper']},workdir={parts['work']}"
        run("mount", "-t", "overlay", "overlay", "-o", over, str(self.root))
        # a mount of our own: where the system's is depends on the system; the tree of groups is the same
        run("mount", "-t", "cgroup2", "cgroup2", str(parts["groups"]))
        self.group = parts["groups"] / f"{GROUPS}{os.urandom(4).hex()}"
        for stale in parts["groups"].glob(f"{GROUPS}*"):
            if time.time() - stale.stat().st_mtime > 3600:  # of a run that was killed
                remove_groups(stale)

    def boot(self) -> None:
        """Start systemd and wait until it is up."""
        self.group.mkdir()
        new = "unshare --pid --mount --cgroup --ipc --uts --fork --kill-child"
        script = f'echo $$ > "$1/cgroup.procs"; shift; exec nsenter --net="$1" {new} sh "$2" "$3" "$4"'
        arguments = [str(self.group), f"/run/netns/{self.host.name}", str(ROOT / "tests/deb/boot.sh"), str(self.root), str(self._debs)]
        with open(self.host.lab.path / f"{self.name}-boot.log", "wb") as log:
            self.process = subprocess.Popen(["sh", "-c", script, "sh", *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        asked = ("systemctl", "is-system-running")
        until("systemd is up", lambda: self.inside(*asked, check=False).stdout.strip() in ("running", "degraded"), 90)

    def inside(self, *argv: str, check: bool = True, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """Run something in the machine."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise LabError(f"the machine ended with {self.process.returncode}")
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        if not children:
            return subprocess.CompletedProcess(argv, 1, "", "the machine is not up")
        environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"]
        command = ["nsenter", "-t", children[0], "-a", "env", "-i", *environment, *argv]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            raise LabError(f"{' '.join(argv)} -> {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def cli(self, *arguments: str, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return self.inside("skerry", *arguments, check=check, timeout=timeout)

    def traces(self) -> dict[str, object]:
        """What a package could leave in the network, and the resolver's file."""
        rules = [self.inside("ip", family, "rule").stdout for family in ("-4", "-6")]
        shown = [self.inside("ip", family, "route", "show", "table", "all").stdout for family in ("-4", "-6")]
        routes = [sorted(" ".join(line.split()[:2]) for line in text.splitlines() if "fe80" not in line) for text in shown]
        links = sorted(link["ifname"] for link in json.loads(self.inside("ip", "-j", "link").stdout))
        tables, resolv = self.inside("nft", "list", "ruleset").stdout, self.inside("cat", "/etc/resolv.conf", check=False).stdout
        forwards = self.inside("cat", *FORWARDS).stdout
        return {"forwards": forwards, "rules": rules, "routes": routes, "links": links, "tables": tables, "resolv.conf": resolv}

    def close(self) -> None:
        """Nothing of it stays."""
        if self.process is not None:
            self.process.kill()  # its child is the first process, which goes with it and takes all others along
            self.process.wait()
        if self.group.exists():
            until("the machine's groups are empty", lambda: remove_groups(self.group), 30)
        for place in (self.layer / "groups", self.root, self.layer):
            subprocess.run(["umount", "-l", str(place)])
        self.layer.rmdir()


def remove_groups(group: Path) -> bool:
    """Remove control groups from the leaves up; False while processes are in them."""
    try:
        for folder, _, _ in os.walk(group, topdown=False):
            os.rmdir(folder)
    except OSError:
        return False
    return True
