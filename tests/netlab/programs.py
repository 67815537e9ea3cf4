"""The programs that run in a lab's hosts: our gateway, our node, and the official client and relay."""

import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.netlab.lab import Host, LabError, until

BIN = Path(os.environ.get("SKERRY_BIN") or Path(sys.executable).parent)  # where skerry, skerryd and skerry-gateway are
ROOT = Path(__file__).parent.parent.parent


def peers() -> Path:
    """The folder of the interop peers, built on first use."""
    done = subprocess.run([str(ROOT / "build" / "peers.sh")], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())


def exercised(*names: str) -> None:
    """Note that a test really talked to these partners; the stage fails when one was never noted."""
    if path := os.environ.get("SKERRY_PARTNERS"):
        with open(path, "a") as out:
            out.write(" ".join(names) + "\n")


class Program:
    """A process in a host, with a state folder that outlives it."""

    process: subprocess.Popen[bytes] | None = None
    began = 0.0  # when it was last started, s of the monotonic clock

    def __init__(self, host: Host, name: str) -> None:
        self.host = host
        self.name = name
        self.state = host.lab.path / name
        self.state.mkdir(mode=0o700, exist_ok=True)
        self.socket = host.lab.path / f"{name}.sock"

    def argv(self) -> list[str]:
        raise NotImplementedError(type(self).__name__)

    def env(self) -> dict[str, str]:
        return {}

    def start(self) -> None:
        self.began = time.monotonic()
        self.process = self.host.start(*self.argv(), log=self.name, env=self.env())

    def stop(self) -> None:
        if self.process:
            self.host.lab.stop(self.process)

    def kill(self) -> None:
        """kill -9, as a power cut would."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    def log(self) -> str:
        return (self.host.lab.path / f"{self.name}.log").read_text(errors="replace")


class Gateway(Program):
    """`skerry-gateway serve` on a public host; `options` besides."""

    port = 8080

    def __init__(self, host: Host, name: str, *options: str) -> None:
        super().__init__(host, name)
        self.options = options

    @property
    def url(self) -> str:
        return f"http://{self.host.address}:{self.port}"

    def argv(self) -> list[str]:
        listen = f"{self.host.address}:{self.port}"
        stun = f"{self.host.address}:3478"
        serve = [str(BIN / "skerry-gateway"), "serve", "--state", str(self.state), "--url", self.url]
        return [*serve, "--listen", listen, "--stun-listen", stun, *self.options]

    def start(self) -> None:
        super().start()
        until("the gateway answers", self._answers, 20, 0.05)

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise LabError(f"the gateway ended with {self.process.returncode}:\n{self.log()[-3000:]}")
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.state / "admin.sock")):
                return False
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def cli(self, *arguments: str, check: bool = True) -> Any:
        """`skerry-gateway ARGUMENTS --json`; its object, or None when it fails and `check` is off."""
        argv = [str(BIN / "skerry-gateway"), *arguments, "--state", str(self.state), "--json"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
        if done.returncode:
            if check:
                raise LabError(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")
            return None
        return json.loads(done.stdout)

    def key(self, user: str = "owner", *options: str) -> str:
        return str(self.cli("keys", "create", "--user", user, *options)["key"])

    def remove(self, name: str) -> float:
        """Remove the node of that name; when the command had ended, in seconds of the wall clock."""
        self.cli("nodes", "remove", str({node["name"]: node["id"] for node in self.nodes()}[name]))
        return time.time()

    def nodes(self) -> list[dict[str, Any]]:
        answer = self.cli("nodes", "list")
        return answer["nodes"] if isinstance(answer, dict) else answer


class Node(Program):
    """What our node and the official client share: the official command line works on both."""

    def start(self) -> None:
        super().start()
        until(f"{self.name}'s daemon answers on its socket", self._answers, 20, 0.02)

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise LabError(f"{self.name}'s daemon ended with {self.process.returncode}:\n{self.log()[-3000:]}")
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def official(self, *arguments: str, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """`tailscale --socket ... ARGUMENTS` of the official client."""
        exercised("tailscale")
        return self.host.run(str(peers() / "tailscale"), "--socket", str(self.socket), *arguments, check=check, timeout=timeout)

    def status(self) -> dict[str, Any]:
        return json.loads(self.official("status", "--json").stdout)

    def running(self) -> bool:
        done = self.official("status", "--json", check=False)
        return done.returncode == 0 and json.loads(done.stdout)["BackendState"] == "Running"

    def peer(self, name: str) -> dict[str, Any] | None:
        """The status of the peer with that host name, or None."""
        peers_ = self.status().get("Peer") or {}
        return next((p for p in peers_.values() if p["DNSName"].split(".")[0] == name), None)

    @property
    def address(self) -> str:
        """This node's IPv4 address in the network."""
        return next(a for a in self.status()["TailscaleIPs"] if ":" not in a)

    @property
    def address6(self) -> str:
        return next(a for a in self.status()["TailscaleIPs"] if ":" in a)

    def reaches(self, address: str, deadline: float = 20) -> None:
        """An ICMP echo through the tunnel is answered within the deadline."""
        command = ["ping", "-6" if ":" in address else "-4", "-c1", "-W1", address]
        until(f"{self.name} pings {address}", lambda: self.host.run(*command, check=False).returncode == 0, deadline)

    def keep_pinging(self, address: str) -> None:
        """20 echo requests a second, till the lab ends; `last_reply` reads the answers."""
        self.host.start("ping", "-D", "-n", "-i", "0.05", address, log=f"{self.name}-ping")

    def last_reply(self) -> float:
        """When keep_pinging() last had an answer, in seconds of the wall clock; 0 before the first."""
        text = (self.host.lab.path / f"{self.name}-ping.log").read_text(errors="replace")
        stamps = re.findall(r"^\[([\d.]+)\] \d+ bytes from", text, re.M)
        return float(stamps[-1]) if stamps else 0.0

    def serve(self) -> None:
        """Serve transfers on every address, port 9000."""
        script = str(ROOT / "tests/netlab/transfer.py")
        self.host.start(str(BIN / "python"), script, "serve", "0.0.0.0", "9000", log=f"{self.name}-transfer")

    def transfer(self, verb: str, address: str, total: int, timeout: float = 240) -> dict[str, Any]:
        """`get` or `put` of `total` bytes at another node's transfer server."""
        script = str(ROOT / "tests/netlab/transfer.py")
        argv = [str(BIN / "python"), script, verb, address, "9000", str(total)]
        result = json.loads(self.host.run(*argv, timeout=timeout).stdout)
        if not result["same"]:
            raise LabError(f"{self.name}: {verb} of {total} bytes: the checksums differ")
        return dict(result)


def loses_access(gateway: Gateway, member: Node, removed: Node, name: str) -> None:
    """Remove the second: no echo comes through, either way, from a second after the command; measured for two more seconds."""
    member.keep_pinging(removed.address)
    removed.keep_pinging(member.address)
    until("echoes go both ways", lambda: member.last_reply() and removed.last_reply(), 20)
    then = gateway.remove(name)
    until("the echoes have ended", lambda: time.time() > max(member.last_reply(), removed.last_reply(), then) + 2, 20)
    for node in (member, removed):
        late = node.last_reply() - then
        if late > 1:
            raise LabError(f"{node.name} had an answer {late:.2f} s after the removal")


class Tailscaled(Node):
    """The official client."""

    def argv(self) -> list[str]:
        exercised("tailscaled")
        daemon = [str(peers() / "tailscaled"), "--statedir", str(self.state), "--socket", str(self.socket)]
        return [*daemon, "--tun", "tailscale0", "--port", "41641", "--no-logs-no-support"]

    def up(self, url: str, key: str | None = None, *options: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        login = [f"--auth-key={key}"] if key else []
        arguments = ["up", f"--login-server={url}", f"--hostname={self.name}", "--accept-dns=false", *login, *options]
        return self.official(*arguments, f"--timeout={int(timeout)}s", timeout=timeout + 5)


class Skerryd(Node):
    """Our node; the board's identity is its name."""

    tun = "skerry0"

    def argv(self) -> list[str]:
        return [str(BIN / "skerryd"), "--state", str(self.state), "--socket", str(self.socket), "--tun", self.tun]

    def env(self) -> dict[str, str]:
        return {"SKERRY_BOARD_ID": f"lab-{self.name}"}

    def cli(self, *arguments: str, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return self.host.run(str(BIN / "skerry"), "--socket", str(self.socket), *arguments, check=check, timeout=timeout)

    @property
    def address(self) -> str:
        """Our IPv4 address, asked of our own command line: the official one may not be built."""
        return next(a for a in self.own_status()["self"]["addresses"] if ":" not in a)

    @property
    def address6(self) -> str:
        return next(a for a in self.own_status()["self"]["addresses"] if ":" in a)

    def own_status(self) -> dict[str, Any]:
        return json.loads(self.cli("status", "--json").stdout)

    def up(self, url: str, key: str | None = None, *options: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        login = ["--key", key] if key else []
        return self.cli("up", "--gateway", url, "--hostname", self.name, *login, *options, timeout=timeout)


class Derper(Program):
    """The official relay, with a certificate of its own, which it makes itself; STUN beside it."""

    region = 900

    def argv(self) -> list[str]:
        exercised("derper")
        where = ["-a", f"{self.host.address}:443", "-http-port", "-1", "-stun-port", "3478"]
        certificates = ["-certmode", "manual", "-certdir", str(self.state), "-hostname", self.host.address]
        return [str(peers() / "derper"), "-c", str(self.state / "derper.key"), *where, *certificates]

    def start(self) -> None:
        super().start()
        until("the relay has its certificate", lambda: "sha256-raw:" in self.log(), 20)

    def derp_map(self, pin: str | None = None) -> dict[str, Any]:
        """A map with this relay alone; its certificate is pinned (another `pin` is for those who must refuse it)."""
        certificate = (self.state / f"{self.host.address}.crt").read_text()
        found = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()
        node = {"Name": "900a", "RegionID": self.region, "HostName": self.host.address, "IPv4": self.host.address, "IPv6": "none"}
        node["CertName"] = f"sha256-raw:{pin or found}"
        region = {"RegionID": self.region, "RegionCode": "lab", "RegionName": "Lab", "Nodes": [node]}
        return {"Regions": {str(self.region): region}, "omitDefaultRegions": True}


class TestControl(Program):
    """Tailscale's test control server; `options` are its command line's."""

    __test__ = False
    port = 8080

    def __init__(self, host: Host, name: str, derp_map: dict[str, Any], *options: str) -> None:
        super().__init__(host, name)
        self.options = options
        (self.state / "derp.json").write_text(json.dumps(derp_map))

    @property
    def url(self) -> str:
        return f"http://{self.host.address}:{self.port}"

    def argv(self) -> list[str]:
        exercised("testcontrol")
        where = ["--listen", f"{self.host.address}:{self.port}", "--derp-map", str(self.state / "derp.json")]
        return [str(peers() / "testcontrol"), *where, "--magic-dns-domain", "tn.example", *self.options]

    def start(self) -> None:
        super().start()
        until("the test control server listens", lambda: self.events("listening"), 20)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What it reported of that kind, in order."""
        lines = self.log().split("\n")[:-1]
        return [event for event in map(json.loads, (line for line in lines if line.startswith("{"))) if event["event"] == kind]

    def node(self, hostname: str) -> dict[str, Any]:
        """The last it reported of the node with that host name."""
        known = [event for kind in ("join", "update") for event in self.events(kind) if event["hostname"] == hostname]
        return known[-1]

    def inject(self, node_key: str, response: dict[str, Any]) -> None:
        """Put a map response on a node's stream; from then on it gets only those."""
        request = urllib.request.Request(f"{self.url}/lab/map?node={node_key}", json.dumps(response).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()
