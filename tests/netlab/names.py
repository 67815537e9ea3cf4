"""Who answers names in a lab: dnsmasq as somebody's server, systemd-resolved and NetworkManager as a host's, and our skerry-resolv."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

from tests.netlab.lab import Host, until
from tests.netlab.programs import BIN, ROOT, Program, exercised

BUS = """<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/><allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/></policy>
</busconfig>"""
STUB = "# This is stub-resolv.conf, managed by man:systemd-resolved(8).\nnameserver 127.0.0.53\noptions edns0\n"


def folder() -> Path:
    """Where the packages are unpacked, on first use."""
    done = subprocess.run([str(ROOT / "build" / "names.sh")], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())


def libraries() -> dict[str, str]:
    """So that they find the libraries that came with them."""
    root = folder()
    machine = f"{os.uname().machine}-linux-gnu"
    return {"LD_LIBRARY_PATH": ":".join(str(root / each) for each in (f"usr/lib/{machine}", f"lib/{machine}", f"lib/{machine}/systemd"))}


class Dnsmasq(Program):
    """A name server: `names` to addresses (a name stands for what is below it too)."""

    def __init__(self, host: Host, name: str, names: dict[str, str], *options: str, address: str = "") -> None:
        super().__init__(host, name)
        self.address = address or host.address
        self.names, self.options = names, options

    def argv(self) -> list[str]:
        exercised("dnsmasq")
        where = [f"--listen-address={self.address}", "--bind-dynamic", "--no-daemon", "--conf-file=/dev/null", "--no-hosts"]
        quiet = ["--no-resolv", "--log-queries", "--log-facility=-", "--user=root", "--group=root", "--pid-file=", "--no-poll"]
        known = [f"--address=/{name}/{address}" for name, address in self.names.items()]
        return [str(folder() / "usr/sbin/dnsmasq"), *where, *quiet, *known, "--local=/#/", *self.options]

    def env(self) -> dict[str, str]:
        return libraries()

    def start(self) -> None:
        super().start()
        until("dnsmasq has started", lambda: "started, version" in self.log(), 10, 0.02)

    def asked(self, name: str) -> int:
        """How often it was asked for that name."""
        return sum(f"] {name} from " in line for line in self.log().splitlines())


class Guard(Program):
    """skerry-resolv, with a socket of its own."""

    def argv(self) -> list[str]:
        return [str(BIN / "skerry-resolv"), "--listen", str(self.socket)]

    def start(self) -> None:
        super().start()
        until("skerry-resolv listens", self._listens, 10, 0.02)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0


def start_bus(host: Host, state: Path) -> None:
    """A system bus on which everybody may do everything; one for the lab, of the host that has it."""
    for each in ("/run/dbus", "/run/systemd", "/run/NetworkManager"):
        Path(each).mkdir(exist_ok=True)
    (state / "bus.conf").write_text(BUS)
    host.start("dbus-daemon", f"--config-file={state / 'bus.conf'}", "--nofork", log=f"{host.name}-bus")
    until("the bus listens", lambda: os.path.exists("/run/dbus/system_bus_socket"), 10, 0.02)


class Resolved(Program):
    """systemd-resolved on a bus of its own; the host's resolv.conf names its stub."""

    def start(self) -> None:
        exercised("systemd-resolved")
        etc = self.host.own_etc(STUB)
        for user in ("systemd-resolve", "messagebus"):
            with open(etc / "passwd", "a") as file:
                file.write(f"{user}:x:0:0::/:/usr/sbin/nologin\n")
        with open(etc / "group", "a") as file:
            file.write("systemd-resolve:x:0:\n")
        start_bus(self.host, self.state)
        super().start()
        until("systemd-resolved answers", lambda: self.ctl("status", check=False).returncode == 0, 20)

    def restart_it(self) -> None:
        """As an upgrade does."""
        self.stop()
        Program.start(self)
        until("systemd-resolved answers again", lambda: self.ctl("status", check=False).returncode == 0, 20)

    def argv(self) -> list[str]:
        return [str(folder() / "lib/systemd/systemd-resolved")]

    def env(self) -> dict[str, str]:
        return libraries()

    def ctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """resolvectl"""
        where = [f"{name}={value}" for name, value in libraries().items()]
        return self.host.run("env", *where, str(folder() / "usr/bin/resolvectl"), *arguments, check=check)


class NetworkManager(Program):
    """NetworkManager with the host's link `wan`, which it gives the name server `server`; it writes resolv.conf itself, or tells a
    `resolved` that runs there."""

    PROFILE = "7a3c1a52-0d0c-4c1f-9a52-1b7a5d1f0001"

    def __init__(self, host: Host, name: str, server: str, resolved: Resolved | None = None) -> None:
        super().__init__(host, name)
        self.server, self.resolved = server, resolved

    def start(self) -> None:
        exercised("NetworkManager")
        folder = (self.host.etc if self.resolved and self.host.etc else self.host.own_etc("# nobody yet\n")) / "NetworkManager"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "system-connections").mkdir(parents=True)
        main = "[main]\nplugins=keyfile\nauth-polkit=false\nno-auto-default=*\nhostname-mode=none\n"
        main += f"dns={'systemd-resolved' if self.resolved else 'default'}\n"
        (folder / "NetworkManager.conf").write_text(main)
        profile = folder / "system-connections" / "wan.nmconnection"
        link = f"[connection]\nid=wan\nuuid={self.PROFILE}\ntype=ethernet\ninterface-name=wan\n"
        profile.write_text(f"{link}[ipv4]\nmethod=manual\naddress1={self.host.address}/16,10.99.0.1\ndns={self.server};\n")
        profile.chmod(0o600)
        if not self.resolved:
            start_bus(self.host, self.state)
        super().start()
        until("NetworkManager answers", lambda: self.cli("general", check=False).returncode == 0, 20)
        self.cli("connection", "up", "uuid", self.PROFILE)

    def argv(self) -> list[str]:
        # with /sys read-only it does without udev, as in a container
        private = f'mount -t sysfs -o ro sysfs /sys && mount --bind {self.state} /var/lib/NetworkManager; exec "$@"'
        return ["sh", "-c", f"mount -t tmpfs none /var/lib && mkdir /var/lib/NetworkManager && {private}", "sh",
                str(folder() / "usr/sbin/NetworkManager"), "--debug"]  # fmt: skip

    def env(self) -> dict[str, str]:
        return libraries()

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """nmcli"""
        where = [f"{name}={value}" for name, value in libraries().items()]
        return self.host.run("env", *where, str(folder() / "usr/bin/nmcli"), *arguments, check=check)

    def change(self, server: str) -> None:
        """Another name server, as a new lease brings one."""
        self.cli("connection", "modify", self.PROFILE, "ipv4.dns", server)
        self.cli("device", "reapply", "wan")

    def restart_it(self) -> None:
        """As an upgrade does."""
        self.stop()
        Program.start(self)
        until("NetworkManager answers again", lambda: self.cli("general", check=False).returncode == 0, 20)
        until("its link is back", lambda: "connected" in self.cli("device", check=False).stdout, 20)
