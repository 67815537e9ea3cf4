"""From one skerryd to the next: what systemd passes, the state in its memfd, and the notify protocol, with a supervisor that speaks it."""

import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from skerry_core.errors import LocalError
from skerry_node import handover
from skerry_node.notify import barrier, notify
from skerry_node.packetpath import fits
from tests.netlab.supervisor import Supervisor

NODE = bytes(range(32))
ENGINE = {"version": 1, "node": NODE.hex(), "stamp": bytes(12).hex(), "uplinks": [], "peers": {}}
TRANSPORT = b"keys and counters" * 9
NOW = 5_000_000


def made(**changes):
    values = {"node": NODE, "engine": ENGINE, "transport": TRANSPORT, "now": NOW, **changes}
    return handover.write(values["node"], values["engine"], values["transport"], values["now"])


def read(fd, node=NODE, now=NOW + 100):
    try:
        return handover.read(fd, node, now)
    finally:
        os.close(fd)


def test_a_state_comes_through_once():
    fd = made()
    again = os.dup(fd)
    assert read(fd) == (ENGINE, bytearray(TRANSPORT))
    assert os.fstat(again).st_size == 0, "what the store may still have is empty"
    with pytest.raises(LocalError, match="0 bytes"):
        read(again)


def test_the_memfd_is_no_file_and_not_inherited():
    fd = made()
    assert os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:") and not os.get_inheritable(fd)
    os.close(fd)


@pytest.mark.parametrize("changes, reading, reason", [
    ({}, {"node": bytes(32)}, "another node key"),
    ({}, {"now": NOW + handover.OLDEST + 1}, "ms old"),
    ({}, {"now": NOW - 1}, "ms old"),
    ({"engine": {**ENGINE, "version": 2}}, {}, "version 1"),
    ({"engine": []}, {}, "version 1"),
])  # fmt: skip
def test_a_state_that_does_not_fit_is_refused_and_wiped(changes, reading, reason):
    fd = made(**changes)
    again = os.dup(fd)
    with pytest.raises(LocalError, match=reason):
        read(fd, **reading)
    assert os.fstat(again).st_size == 0
    os.close(again)


def test_a_state_of_another_boot_is_refused(monkeypatch):
    fd = made()
    monkeypatch.setattr(handover, "boot_id", lambda: bytes(16))
    with pytest.raises(LocalError, match="another boot"):
        read(fd)


def test_damage_is_noticed_anywhere():
    fd = made()
    whole = os.pread(fd, 1 << 20, 0)
    os.close(fd)
    assert handover.parse(bytearray(whole), NODE, NOW)
    rng = random.Random(1)
    for at in [*range(handover.HEAD.size), *(rng.randrange(len(whole)) for _ in range(200))]:
        bad = bytearray(whole)
        bad[at] ^= 1 << rng.randrange(8)
        with pytest.raises(LocalError):
            handover.parse(bad, NODE, NOW)
    for length in (0, 7, handover.HEAD.size, len(whole) - 1):
        with pytest.raises(LocalError):
            handover.parse(bytearray(whole[:length]), NODE, NOW)


def test_what_cannot_be_wiped_is_not_used(tmp_path):
    path = tmp_path / "state"
    fd = made()
    path.write_bytes(os.pread(fd, 1 << 20, 0))
    os.close(fd)
    with pytest.raises(LocalError, match="wiped"):
        read(os.open(path, os.O_RDONLY))
    sealed = made()
    import fcntl

    with pytest.raises(OSError):
        fcntl.fcntl(sealed, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)  # nobody can keep us from wiping
    os.close(sealed)


@pytest.mark.parametrize("environ", [
    {}, {"LISTEN_PID": "1", "LISTEN_FDS": "2"}, {"LISTEN_PID": "x", "LISTEN_FDS": "2"}, {"LISTEN_PID": "7", "LISTEN_FDS": "-1"},
    {"LISTEN_PID": "7", "LISTEN_FDS": ""}, {"LISTEN_PID": "7", "LISTEN_FDS": "²"},
])  # fmt: skip
def test_descriptors_for_another_process_are_left_alone(environ):
    given = handover.received(environ, 7)
    assert given.names == set() and environ == {}


def test_the_public_node_key_is_of_the_saved_one():
    assert handover.node_key(None) == handover.node_key({"node_key": "zz"}) == handover.node_key({}) == handover.node_key([]) == b""
    assert len(handover.node_key({"node_key": NODE.hex()})) == 32


@pytest.mark.parametrize("name, wanted, same", [
    ("skerry0", "skerry0", True), ("skerry1", "skerry0", False), ("skerry12", "skerry%d", True), ("skerry", "skerry%d", False),
    ("skerryx", "skerry%d", False),
])  # fmt: skip
def test_a_device_of_another_name_is_not_used(name, wanted, same):
    assert fits(name, wanted) == same


def test_nothing_is_said_without_systemd(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1") and not barrier(10) and not handover.available()
    assert not handover.Store().hand_over({"tun": 0})


def test_a_store_that_does_not_answer_has_not_taken_it(monkeypatch, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setattr(handover, "WAIT", 20)
        assert not handover.Store().hand_over({"a": 0})


def test_the_store_has_what_there_is_now(monkeypatch, tmp_path):
    supervisor = Supervisor(tmp_path, "s")
    monkeypatch.setenv("NOTIFY_SOCKET", str(supervisor.path))
    first, second, third = (os.memfd_create(name) for name in ("first", "second", "third"))
    try:
        store = handover.Store()
        assert store.hand_over({"tun": first, "udp4-0": second}) and supervisor.names() == ["tun", "udp4-0"]
        assert store.hand_over({"tun": first, "udp4-0": third}) and supervisor.names() == ["tun", "udp4-0"]
        assert store.hand_over({"tun": first}) and supervisor.names() == ["tun"]
        assert "FDPOLL=0" in supervisor.heard
    finally:
        supervisor.close()
        for fd in (first, second, third):
            os.close(fd)


SERVICE = """
import json, os, signal, sys
from skerry_node import handover
from skerry_node.notify import notify
given = handover.received(os.environ, os.getpid())
known = {name: os.pread(given.take(name)[0], 100, 0).decode() for name in sorted(given.names)}
print(json.dumps(known), flush=True)
store = handover.Store()
fd = os.memfd_create("it")
os.write(fd, str(os.getpid()).encode())
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # one that comes at once is not missed
notify("READY=1")
signal.sigwait({signal.SIGTERM})
for name in known:
    store.remove(name)
sys.exit(0 if store.hand_over({"it": fd}) else 3)
"""


def test_descriptors_come_back_in_the_next_process_and_end_with_the_service(tmp_path: Path) -> None:
    log = tmp_path / "log"
    supervisor = Supervisor(tmp_path, "s")
    try:
        supervisor.start([sys.executable, "-c", SERVICE], {}, log)
        pids = [supervisor.process.pid]
        for _ in range(2):
            supervisor.restart()
            pids.append(supervisor.process.pid)
        assert [json.loads(line) for line in log.read_text().splitlines()] == [{}, {"it": str(pids[0])}, {"it": str(pids[1])}]
        assert supervisor.names() == ["it"]
        supervisor.stop()
        assert supervisor.names() == [] and supervisor.process.returncode == 0
    finally:
        supervisor.stop()
        supervisor.close()


def test_systemd_has_no_complaint_about_the_unit() -> None:
    unit = Path(handover.__file__).parent / "systemd/skerryd.service"
    text = unit.read_text()
    assert "FileDescriptorStoreMax=40" in text and "NotifyAccess=main" in text
    try:
        done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("no systemd-analyze here")
    assert "Unknown" not in done.stderr and "Failed to parse" not in done.stderr, done.stderr
