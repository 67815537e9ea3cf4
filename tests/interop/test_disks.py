"""Real daemons on disks that take no writes: the node goes on and says so; the gateway answers what it can and refuses the rest clearly."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import BIN, Gateway, Skerryd

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


@contextlib.contextmanager
def disk(path: Path, size: str) -> Iterator[Path]:
    """A disk of that size on `path`, whatever was in there is on it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def remount(path: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True)


def fill(path: Path) -> None:
    with open(path / "ballast", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_node_on_a_full_and_on_a_read_only_disk(lab: Lab, gateway: Gateway) -> None:
    peer = Skerryd(lab.public("peer"), "peer")
    peer.start()
    peer.up(gateway.url, gateway.key())
    node = Skerryd(lab.public("node"), "node")
    with disk(node.state, "512k"):
        node.start()
        node.up(gateway.url, gateway.key())
        until("the peer is on the card", lambda: b"peer.skerry" in (node.state / "state.json").read_bytes(), 30)
        key = node.own_status()["self"]["key"]

        fill(node.state)
        node.kill()
        node.start()
        node.reaches(peer.address)
        node.cli("down")
        assert any("No space left on device" in sentence for sentence in node.own_status()["health"])
        node.cli("up")
        assert "No space left on device" in node.log() and "No space left" in node.cli("status").stdout
        (node.state / "ballast").unlink()

        node.kill()
        before = (node.state / "state.json").read_bytes()
        remount(node.state, "ro")
        node.start()
        node.reaches(peer.address)
        shown = node.own_status()
        assert shown["self"]["key"] == key
        assert any("Read-only file system" in sentence for sentence in shown["health"])
        assert (node.state / "state.json").read_bytes() == before
        remount(node.state, "rw")
        node.restart()
        node.reaches(peer.address)
        assert not any("file system" in sentence for sentence in node.own_status()["health"])
        node.stop()


def test_a_gateway_on_a_full_on_a_read_only_and_on_a_damaged_disk(lab: Lab) -> None:
    gateway = Gateway(lab.public("gateway"), "gw")
    node = Skerryd(lab.public("node"), "node")
    with disk(gateway.state, "2m"):
        gateway.start()
        node.start()
        node.up(gateway.url, gateway.key())
        fill(gateway.state)
        refused = subprocess.run(
            [str(BIN / "skerry-gateway"), "users", "create", "ana", "--state", str(gateway.state)], capture_output=True, text=True
        )
        assert refused.returncode and "full" in refused.stderr and "Traceback" not in refused.stderr, refused.stderr
        assert [each["name"] for each in gateway.nodes()] == ["node"] and node.own_status()["connected"]
        (gateway.state / "ballast").unlink()
        gateway.cli("users", "create", "ana")
        gateway.stop()

        remount(gateway.state, "ro")
        done = gateway.host.run(*gateway.argv(), check=False, timeout=30)
        assert done.returncode and "Read-only" in done.stderr and "Traceback" not in done.stderr, done.stderr
        remount(gateway.state, "rw")

        database = next(path for path in gateway.state.iterdir() if path.suffix in (".db", ".sqlite", ".sqlite3"))
        whole = database.read_bytes()
        for damage in (whole[:100] + bytes(len(whole) - 100), b"no database at all" * 100):
            database.write_bytes(damage)
            done = gateway.host.run(*gateway.argv(), check=False, timeout=30)
            assert done.returncode and "Restore it from a backup" in done.stderr and "Traceback" not in done.stderr, done.stderr
            assert database.read_bytes() == damage
        database.write_bytes(whole)
        gateway.start()
        until("the node is back", lambda: node.own_status()["connected"], 60)
        gateway.stop()
