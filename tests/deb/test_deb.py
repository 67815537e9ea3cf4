"""The Debian packages in a booted trixie: installed, a member of a network, restarted and upgraded under a flow, removed without trace."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deb.machine import FORWARDS, Machine, build
from tests.netlab.flow import Flow
from tests.netlab.lab import lab_with_logs, until
from tests.netlab.programs import ROOT, Gateway, Tailscaled

REAL_ROOT = os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
pytestmark = [pytest.mark.interop, pytest.mark.timeout(300), pytest.mark.skipif(not REAL_ROOT, reason="needs root for a chroot")]


VISIT = """
import http.client, sys, urllib.parse
cookie = {}
for method, path, form in ("GET", "/", None), ("POST", "/sign-in", {"code": sys.argv[2], "next": "/"}), ("GET", "/log", None):
    connection = http.client.HTTPConnection(sys.argv[1], 8081, timeout=60)
    body = form and urllib.parse.urlencode(form)
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded", **cookie}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    print(answer.status)
    if made := answer.headers.get("Set-Cookie"):
        cookie = {"Cookie": made.partition(";")[0]}
"""
SITE = "192.168.77.0/24"


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """old/ and new/: two versions of the packages."""
    folder = tmp_path_factory.mktemp("debs")
    for name, version in (("old", "0.0.9"), ("new", "99.0")):
        build(folder / name, version)
    return folder


@pytest.fixture
def machine(debs: Path) -> Iterator[Machine]:
    with lab_with_logs() as lab:
        made = Machine(lab.public("board"), "board", debs)
        try:
            made.boot()
            yield made
        finally:
            made.close()


def install(machine: Machine, which: str) -> None:
    machine.inside("sh", "-c", f"dpkg -i /run/debs/{which}/*.deb")


def test_the_life_of_a_package(machine: Machine) -> None:
    before = machine.traces()
    install(machine, "old")
    install(machine, "old")  # once more changes nothing
    until("skerryd runs", lambda: machine.inside("systemctl", "is-active", "skerryd", check=False).returncode == 0, 20)
    secure(machine)
    portal_answers(machine)
    gateway_runs(machine)
    gateway, peer = network(machine)
    flow_survives(machine, peer, lambda: machine.inside("systemctl", "restart", "skerryd"))
    flow_survives(machine, peer, lambda: install(machine, "new"))
    assert "99.0" in machine.inside("dpkg-query", "-W", "skerry").stdout
    routes_are_carried(machine, gateway)
    until("names are asked of the node", lambda: "100.100.100.100" in str(machine.traces()["resolv.conf"]), 20)
    removed(machine, before)


def test_removal_cleans_up_after_a_crash(machine: Machine) -> None:
    before = machine.traces()
    install(machine, "new")
    gateway, _ = network(machine)
    routes_are_carried(machine, gateway)
    until("names are asked of the node", lambda: "100.100.100.100" in str(machine.traces()["resolv.conf"]), 20)
    extra = "/run/systemd/system/skerryd.service.d"
    machine.inside("sh", "-c", f"mkdir -p {extra}; printf '[Service]\\nRestart=no\\n' > {extra}/no.conf")
    machine.inside("systemctl", "daemon-reload")
    machine.inside("systemctl", "kill", "-s", "KILL", "skerryd")
    until("skerryd is gone", lambda: machine.inside("systemctl", "is-active", "skerryd", check=False).stdout.strip() == "failed", 20)
    assert machine.traces()["tables"] != before["tables"], "a crash leaves something to clean up"
    removed(machine, before)


def network(machine: Machine) -> tuple[Gateway, Tailscaled]:
    """A gateway and an official client, which the machine reaches through the tunnel."""
    lab = machine.host.lab
    gateway = Gateway(lab.public("gateway"), "gw")
    gateway.start()
    peer = Tailscaled(lab.public("peer"), "peer")
    peer.start()
    peer.up(gateway.url, gateway.key())
    machine.up(gateway.url, gateway.key())
    machine.reaches(peer.address)
    return gateway, peer


def flow_survives(machine: Machine, peer: Tailscaled, change: Callable[[], object]) -> None:
    """A TCP connection through the tunnel lives on over a change of the process."""
    with Flow(peer, machine, 8, megabits=50) as flow:
        until("bytes arrive", lambda: flow.received() > 0, 20)
        process = pid(machine)
        change()
        count = flow.received()
        until("bytes arrive after it", lambda: flow.received() > count + 100_000, 20)
        assert pid(machine) != process, "it is another process now"
        flow.end()
        assert not flow.error


def portal_answers(machine: Machine) -> None:
    """The portal is off until the owner wants it; then its socket starts it, under its unit's restrictions."""
    state = ("systemctl", "is-active", "skerry-portal.socket", "skerry-portal.service")
    assert machine.inside(*state, check=False).stdout.split() == ["inactive", "inactive"]
    machine.inside("systemctl", "enable", "--now", "skerry-portal.socket")
    assert machine.inside(*state, check=False).stdout.split() == ["active", "inactive"]
    code = machine.cli("code").stdout.strip()
    assert machine.inside("python3", "-c", VISIT, machine.host.address, code).stdout.splitlines() == ["401", "303", "200"]
    assert machine.inside(*state, check=False).stdout.split() == ["active", "active"]
    assert machine.inside("stat", "-c", "%U", f"/proc/{pid(machine, 'skerry-portal')}").stdout.strip() == "skerry-portal"


def gateway_runs(machine: Machine) -> None:
    """The packaged gateway is off until the owner wants it, and answers under its unit's restrictions."""
    assert machine.inside("systemctl", "is-active", "skerry-gateway", check=False).stdout.strip() == "inactive"
    machine.inside("systemctl", "start", "skerry-gateway")
    assert "KEY" in machine.inside("skerry-gateway", "keys", "list", "--state", "/var/lib/skerry-gateway").stdout.upper()
    machine.inside("systemctl", "stop", "skerry-gateway")


def routes_are_carried(machine: Machine, gateway: Gateway) -> None:
    """Forwarding is switched on by the unprivileged service, and its table is there."""
    machine.cli("set", f"--advertise-routes={SITE}")
    until("the gateway heard of the routes", lambda: gateway.cli("routes", "list")["routes"], 20)
    until("the host forwards", lambda: machine.inside("cat", FORWARDS[0]).stdout.strip() == "1", 20)
    assert "table inet skerry" in str(machine.traces()["tables"])


def removed(machine: Machine, before: dict[str, object]) -> None:
    """Removal leaves no trace in the network, a purge none on the disk."""
    assert machine.traces() != before
    machine.inside("dpkg", "--remove", "skerry", "skerry-gateway", "skerry-common")
    assert machine.traces() == before
    assert machine.inside("ls", "/var/lib/skerry").stdout, "the state stays until it is purged"
    machine.inside("dpkg", "--purge", "skerry", "skerry-gateway", "skerry-common")
    left = machine.inside("find", "/etc", "/usr", "/var/lib", "-xdev", "-iname", "*skerry*").stdout.split()
    assert [path for path in left if "/deb-systemd-helper-" not in path] == []


def secure(machine: Machine) -> None:
    """systemd's own measure of how much a service could do."""
    listed = machine.inside("dpkg", "-L", "skerry", "skerry-gateway").stdout.split()
    services = [os.path.basename(path) for path in listed if path.startswith("/usr/lib/systemd/system/") and path.endswith(".service")]
    assert {"skerryd.service", "skerry-resolv.service", "skerry-portal.service", "skerry-gateway.service"} <= set(services)
    for service in services:
        shown = machine.inside("systemd-analyze", "security", "--offline=yes", "--threshold=25", service, check=False)
        print(shown.stdout.strip().splitlines()[-1])
        assert shown.returncode == 0, f"{service}: {shown.stdout[-300:]}"


def pid(machine: Machine, unit: str = "skerryd") -> str:
    return machine.inside("systemctl", "show", "-P", "MainPID", unit).stdout.strip()


def test_the_other_architecture_is_what_it_says(tmp_path: Path) -> None:
    ours = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip()
    other = "arm64" if ours == "amd64" else "amd64"
    done = subprocess.run([str(ROOT / "build/deb.sh"), other], env={**os.environ, "OUT": str(tmp_path)}, stdout=subprocess.DEVNULL)
    if done.returncode == 77:
        pytest.skip(f"the package source has nothing for {other}, so no package for it was made")
    assert done.returncode == 0
    (package,) = tmp_path.glob("skerry-common_*.deb")
    subprocess.run(["dpkg-deb", "-x", str(package), str(tmp_path / "tree")], check=True)
    header = (tmp_path / "tree/usr/lib/skerry/skerry_shim/_shim.abi3.so").read_bytes()[:20]
    assert header[:4] == b"\x7fELF" and int.from_bytes(header[18:20], "little") == {"arm64": 183, "amd64": 62}[other]
