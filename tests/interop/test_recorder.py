"""The flight recorder of real daemons: the file replays bit for bit, a person sees what happened, and no key is in it."""

import json
import re
import subprocess
import zlib
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import BIN, Gateway, Skerryd

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


def unpacked(data: bytes) -> bytes:
    """The file, and all that is deflated in it."""
    found, at = [data], 10
    while at < len(data):
        kind, length = data[at : at + 1], int.from_bytes(data[at + 1 : at + 5], "big")
        content = data[at + 5 : at + 5 + length]
        found.append(zlib.decompress(content) if kind in b"SE" else content)
        at += 5 + length
    return b"\n".join(found)


def keys_of(node: Skerryd) -> list[str]:
    engine = json.loads((node.state / "state.json").read_text())["engine"]
    return [engine[name] for name in ("machine_key", "node_key", "disco_key")]


def replay(path: Any, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(BIN / "skerry"), "replay", str(path), *options], capture_output=True, text=True, timeout=60)


def test_a_recording_replays_bit_for_bit_and_holds_no_key(lab: Lab, gateway: Gateway) -> None:
    key = gateway.key("owner", "--reusable")
    left, right = Skerryd(lab.behind(lab.router("ra"), "left"), "left"), Skerryd(lab.behind(lab.router("rb"), "right"), "right")
    for node in (left, right):
        node.start()
        node.up(gateway.url, key)
    left.reaches(right.address)
    until("the path is direct", lambda: left.own_status()["peers"][0]["path"]["kind"] == "direct", 30)
    gateway.restart()
    until("the gateway is found again", lambda: left.own_status()["connected"], 60)
    file, drawing = lab.path / "left.rec", lab.path / "left.svg"
    left.cli("record", "--file", str(file))
    assert file.stat().st_mode & 0o77 == 0 and file.stat().st_size < 1_500_000

    shown = replay(file)
    assert shown.returncode == 0 and "bit for bit" in shown.stdout.replace("\n ", ""), shown.stdout + shown.stderr
    for words in ("skerry up", "state Running", f"connect to {gateway.host.address}:8080 (control)", "right: ", "  right  "):
        assert words in shown.stdout
    assert max(len(line) for line in shown.stdout.split("\n")) <= 100
    document = json.loads(replay(file, "--json").stdout)
    assert document["exact"] and document["steps"][0]["at_ms"] == 0 and len(document["steps"]) > 50
    assert replay(file, "--svg", str(drawing)).returncode == 0
    texts = {each.text for each in ElementTree.parse(drawing).iter("{http://www.w3.org/2000/svg}text")}
    assert {"state", "gateway", "right"} <= texts

    text = unpacked(file.read_bytes()) + shown.stdout.encode() + drawing.read_bytes()
    for secret in [key, *keys_of(left), *keys_of(right)]:
        for form in (secret.encode(), secret.encode().hex().encode()):
            assert form not in text
    assert all(bytes.fromhex(secret) not in text for secret in keys_of(left))
    assert re.search(rb'"state":\[|"start"', text)


def test_who_may_not_change_the_node_gets_no_recording(lab: Lab, gateway: Gateway) -> None:
    node = Skerryd(lab.public("left"), "left")
    node.start()
    node.up(gateway.url, gateway.key())
    node.socket.chmod(0o666)
    lab.path.chmod(0o755)
    request = "POST /localapi/v0/skerry/record HTTP/1.1\\r\\nHost: local-skerryd.sock\\r\\nContent-Length: 0\\r\\n\\r\\n"
    script = (
        "import os, socket, sys; os.setgid(7); os.setuid(7); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
        f"s.sendall(b'{request}'); print(s.recv(65536).decode())"
    )
    done = node.host.run(str(BIN / "python"), "-c", script, str(node.socket), check=False)
    if "Operation not permitted" in done.stderr or "Invalid argument" in done.stderr:
        pytest.skip("this namespace has no second user")
    assert " 403 " in done.stdout and "use sudo" in done.stdout
