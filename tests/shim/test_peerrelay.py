"""The UDP relay's forwarder as Python sees it; what it forwards and refuses is tested in C (c/peerrelay.c)."""

import select
import socket
import time

import pytest

from skerry_core import path, stun
from skerry_core.errors import LocalError
from skerry_shim.peerrelay import Forwarder

KEYS = (bytes([1]) * 32, bytes([2]) * 32)
LOCALHOST = socket.inet_aton("127.0.0.1")
UDP_SEGMENT = 103
HEAD = bytes((0, 0, 0x7A, 0x12, 0, 0, 9, 0))


def bound():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(5)
    return sock


@pytest.fixture
def relay():
    forwarder = Forwarder()
    with bound() as sock:
        assert forwarder.adopt(sock.fileno()) == 0
        forwarder.port = sock.getsockname()[1]
    forwarder.start()
    yield forwarder
    forwarder.close()


def where(sock):
    return path.udp(0, LOCALHOST, sock.getsockname()[1])


def test_a_pair_is_joined_and_parted(relay):
    with bound() as one, bound() as other:
        relay.open(9, KEYS)
        relay.bind(9, where(one), where(other))
        one.sendto(HEAD + b"there", ("127.0.0.1", relay.port))
        assert other.recv(100) == HEAD + b"there"
        other.sendto(HEAD + b"and back", ("127.0.0.1", relay.port))
        assert one.recv(100) == HEAD + b"and back"
        first, second = relay.stats(9)
        assert (first["packets"], first["bytes"], second["packets"], second["bytes"]) == (1, 13, 1, 16)
        assert 0 <= time.monotonic() * 1000 - first["heard"] < 5000
        relay.forget(9)
        relay.forget(9)
        assert relay.stats(9) is None
        one.sendto(HEAD + b"late", ("127.0.0.1", relay.port))
        deadline = time.monotonic() + 5
        while not relay.counters().get("drop_unknown"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert relay.counters() == {"to_python": 0, "packets": 2, "bytes": 29, "drop_unknown": 1}


def test_python_answers_the_rest(relay):
    with bound() as client:
        client.sendto(stun.request(bytes(12)), ("127.0.0.1", relay.port))
        assert select.select([relay], [], [], 5)[0]
        assert relay.poll() == [(where(client), stun.request(bytes(12)))]
        assert relay.poll() == [] and not select.select([relay], [], [], 0)[0]
        relay.send(where(client), b"answer")
        assert client.recv(100) == b"answer"


def test_what_cannot_be_is_said(relay):
    here = path.udp(0, LOCALHOST, 5)
    relay.open(1, KEYS)
    for vni in (0, 1, 1 << 24, -1):
        with pytest.raises(LocalError, match=f"network id {vni} "):
            relay.open(vni, KEYS)
    with pytest.raises(LocalError, match="of 31 and 32 bytes"):
        relay.open(2, (KEYS[0][1:], KEYS[1]))
    with pytest.raises(LocalError, match="network id 3 is not open"):
        relay.bind(3, here, here)
    with pytest.raises(LocalError, match="has no socket"):
        relay.bind(1, here, path.udp(1, LOCALHOST, 5))
    with socket.socket() as tcp, pytest.raises(LocalError, match="bound UDP socket"):
        relay.adopt(tcp.fileno())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as loose, pytest.raises(LocalError, match="bound UDP socket"):
        relay.adopt(loose.fileno())
    relay.close()
    with pytest.raises(LocalError, match="after close"):
        relay.counters()
    relay.close()


def resident():
    with open("/proc/self/smaps_rollup") as smaps:
        return next(int(line.split()[1]) for line in smaps if line.startswith("Rss:"))


def test_memory_of_a_load_is_given_back(relay):
    with bound() as one, bound() as other:
        relay.open(9, KEYS)
        relay.bind(9, where(one), where(other))
        message = (HEAD + bytes(1192)) * 50
        one.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1200)
        before = resident()
        relay.stop()  # so that they are there at once
        for _ in range(32):
            one.sendto(message, ("127.0.0.1", relay.port))
        relay.start()
        deadline, most = time.monotonic() + 20, before
        while most < before + 1000:
            assert time.monotonic() < deadline, f"{most - before} kB"
            most = max(most, resident())
        while resident() > before + 400:
            assert time.monotonic() < deadline, f"{resident() - before} kB are kept of {most - before}"
            time.sleep(0.1)
