"""ufw, firewalld and Docker in a host of the lab: Debian's own programs, in its network, with settings and data of their own."""

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.netlab.lab import Host, run, until
from tests.netlab.programs import ROOT, exercised


def unpacked() -> Path:
    """The folder with the packages' files, fetched on first use."""
    done = subprocess.run([str(ROOT / "build" / "firewalls.sh")], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())


class Beside:
    """Runs programs of the packages in a host. /usr is the system's with the packages' files over it; /etc and /var/lib are its own."""

    def __init__(self, host: Host) -> None:
        self.host, root = host, unpacked()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.folder = host.lab.path / f"beside-{host.name}"
        for name in ("etc", "upper", "work", "lib", "run"):
            (self.folder / name).mkdir(parents=True)
        upper = f"upperdir={self.folder}/upper,workdir={self.folder}/work"
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={root}/etc:/etc,{upper}", str(self.folder / "etc"))
        places = {"etc": "/etc", "lib": "/var/lib", "run": "/run"}
        binds = [f"mount --rbind {shlex.quote(str(self.folder / name))} {place}" for name, place in places.items()]
        self.setup = "; ".join(("set -e", f"mount -t overlay overlay -o lowerdir={root}/usr:/usr /usr", *binds))

    def close(self) -> None:
        """Let go of the folder; the programs are ended by the lab."""
        self.host.lab.stop(*self.processes)
        run("umount", "-l", str(self.folder / "etc"))

    def argv(self, *argv: str) -> list[str]:
        return ["sh", "-c", f'{self.setup}; exec "$@"', "sh", *argv]

    def run(self, *argv: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return self.host.run(*self.argv(*argv), check=check)

    def shell(self, commands: str) -> None:
        """What somebody types who was told these commands."""
        self.run("sh", "-e", "-c", commands)

    def start(self, *argv: str) -> None:
        self.processes.append(self.host.start(*self.argv(*argv), log=f"{self.host.name}-{os.path.basename(argv[0])}"))

    # the three

    def ufw(self) -> None:
        exercised("ufw")
        (self.folder / "lib" / "ufw").mkdir(exist_ok=True)
        self.run("ufw", "allow", "41641/udp")
        self.run("ufw", "--force", "enable")

    def firewalld(self) -> None:
        exercised("firewalld")
        (self.folder / "run" / "dbus").mkdir()
        self.start("dbus-daemon", "--system", "--nofork", "--nopidfile")
        until("the bus is there", (self.folder / "run/dbus/system_bus_socket").exists, 20)
        self.start("firewalld", "--nofork", "--nopid")
        until("firewalld runs", lambda: self.run("firewall-cmd", "--state", check=False).returncode == 0, 60, 0.3)
        self.run("firewall-cmd", "--add-port=41641/udp")

    def docker(self) -> None:
        exercised("docker")
        places = ["--data-root", "/var/lib/docker", "--exec-root", "/run/docker", "-p", "/run/docker.pid", "-H", "unix:///run/docker.sock"]
        self.start("dockerd", *places, "--ip6tables", "--experimental", "--storage-driver", "vfs")
        until("Docker runs", lambda: self.run("docker", "version", check=False).returncode == 0, 60, 0.3)


STARTED: dict[str, Callable[[Beside], None]] = {"ufw": Beside.ufw, "firewalld": Beside.firewalld, "docker": Beside.docker}
