"""Who answers names in a lab: dnsmasq as somebody's server, systemd-resolved and NetworkManager as a host's, and our skerry-resolv."""

import os
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
        for each in ("/run/dbus", "/run/systemd"):
            Path(each).mkdir(exist_ok=True)
        (self.state / "bus.conf").write_text(BUS)
        self.host.start("dbus-daemon", f"--config-file={self.state / 'bus.conf'}", "--nofork", log=f"{self.name}-bus")
        until("the bus listens", lambda: os.path.exists("/run/dbus/system_bus_socket"), 10, 0.02)
        super().start()
        until("systemd-resolved answers", lambda: self.ctl("status", check=False).returncode == 0, 20)

    def argv(self) -> list[str]:
        return [str(folder() / "lib/systemd/systemd-resolved")]

    def env(self) -> dict[str, str]:
        return libraries()

    def ctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """resolvectl"""
        where = [f"{name}={value}" for name, value in libraries().items()]
        return self.host.run("env", *where, str(folder() / "usr/bin/resolvectl"), *arguments, check=check)
