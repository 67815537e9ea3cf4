"""The Debian packages in a booted trixie: installed, a member of a network, restarted and upgraded under a flow, removed without trace."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deb.machine import Machine, build
from tests.netlab.flow import Flow
from tests.netlab.lab import lab_with_logs, until
from tests.netlab.programs import ROOT, Gateway, Tailscaled

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300), pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a chroot")]


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
    lab = machine.host.lab
    gateway = Gateway(lab.public("gateway"), "gw")
    gateway.start()
    peer = Tailscaled(lab.public("peer"), "peer")
    peer.start()
    peer.up(gateway.url, gateway.key())
    machine.up(gateway.url, gateway.key())
    machine.reaches(peer.address)
    for change in (lambda: machine.inside("systemctl", "restart", "skerryd"), lambda: install(machine, "new")):
        with Flow(peer, machine, 8, megabits=50) as flow:
            until("bytes arrive", lambda: flow.received() > 0, 20)
            process = pid(machine)
            change()
            count = flow.received()
            until("bytes arrive after it", lambda: flow.received() > count + 100_000, 20)  # noqa: B023
            assert pid(machine) != process, "it is another process now"
            flow.end()
            assert not flow.error
    assert "99.0" in machine.inside("dpkg-query", "-W", "skerry").stdout
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
    assert len(services) >= 3
    for service in services:
        shown = machine.inside("systemd-analyze", "security", "--offline=yes", "--threshold=25", service, check=False)
        assert shown.returncode == 0, f"{service}: {shown.stdout[-300:]}"


def pid(machine: Machine) -> str:
    return machine.inside("systemctl", "show", "-P", "MainPID", "skerryd").stdout


def test_the_other_architecture_is_what_it_says(tmp_path: Path) -> None:
    ours = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip()
    other = "arm64" if ours == "amd64" else "amd64"
    subprocess.run([str(ROOT / "build/deb.sh"), other], env={**os.environ, "OUT": str(tmp_path)}, check=True, stdout=subprocess.DEVNULL)
    (package,) = tmp_path.glob("skerry-common_*.deb")
    subprocess.run(["dpkg-deb", "-x", str(package), str(tmp_path / "tree")], check=True)
    header = (tmp_path / "tree/usr/lib/skerry/skerry_shim/_shim.abi3.so").read_bytes()[:20]
    assert header[:4] == b"\x7fELF" and int.from_bytes(header[18:20], "little") == {"arm64": 183, "amd64": 62}[other]
