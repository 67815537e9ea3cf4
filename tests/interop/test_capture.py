"""skerry capture between two nodes, read by tcpdump; and the status that goes with the traffic."""

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.interop.test_skerryd import Board, address, pair  # noqa: F401  the fixture
from tests.netlab.lab import until
from tests.netlab.programs import BIN

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


def start(node: Board, name: str, *options: str) -> tuple[subprocess.Popen[bytes], Path]:
    path = node.host.lab.path / name
    argv = [str(BIN / "skerry"), "--socket", str(node.socket), "capture", "--file", str(path), *options]
    process = node.host.start(*argv, log=f"{name}.log")
    until("the capture began", lambda: path.exists() and path.stat().st_size > 0, 20, 0.05)
    return process, path


def read(path: Path) -> str:
    if shutil.which("tcpdump") is None:
        pytest.skip("no tcpdump; install it with: sudo apt-get install tcpdump")
    return subprocess.run(["tcpdump", "-n", "-r", str(path)], capture_output=True, text=True, check=True).stdout


def test_a_ping_on_both_sides_of_the_tunnel(pair: list[Board]) -> None:  # noqa: F811
    left, right = pair
    near, far = address(left), address(right)
    left.reaches(far)
    until("the path is direct", lambda: left.own_status()["peers"][0]["path"]["kind"] == "direct", 20)
    process, path = start(left, "inside.pcapng", "--peer", "right", "--count", "4")
    left.host.run("ping", "-c3", "-i0.2", far)
    assert process.wait(20) == 0
    shown = read(path)
    assert shown.count(f"{near} > {far}: ICMP echo request") == 2 and shown.count(f"{far} > {near}: ICMP echo reply") == 2, shown
    outside, path = start(left, "outside.pcapng", "--encrypted", "--peer", "right")
    again = [str(BIN / "skerry"), "--socket", str(left.socket), "capture", "--seconds", "1", "--file", "/dev/null"]
    second = left.host.run(*again, check=False)
    assert second.returncode == 1 and "another capture is running" in second.stderr
    left.host.run("ping", "-c3", "-i0.2", far)
    until("packets are in the file", lambda: path.stat().st_size > 1000, 20, 0.05)
    outside.send_signal(signal.SIGINT)
    assert outside.wait(20) == 0
    shown = read(path)
    sent = [line for line in shown.splitlines() if f"{left.host.address}." in line.split(">")[0] and f"> {right.host.address}." in line]
    assert len(sent) >= 3 and "echo request" not in shown, shown
    status = json.loads(left.cli("status", "--json").stdout)
    assert status["rates"]["over_ms"] >= 200 and status["peers"][0]["rates"] is not None
    assert status["peers"][0]["rx_packets"] >= 6 and status["features"]["vnet_hdr"] in (True, False)
    assert "in use: " in left.cli("status", "--verbose").stdout
