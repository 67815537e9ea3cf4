"""Captures: pcapng as tcpdump reads it, the verb on a real packet path, the command line's files, and what is refused."""

import shutil
import stat
import subprocess

import pytest

from skerry_core import filter as rules
from skerry_core.errors import PeerError
from skerry_node import pcapng
from skerry_node.cli import main
from skerry_node.localapi import capture as verb
from skerry_node.localapi.http import Refusal
from skerry_node.localapi.server import Feed
from skerry_shim.transport import Transport
from tests.node.test_cli import daemon, run  # noqa: F401  fixtures

EVERYTHING = rules.compile([{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 65535}}]}])
ONE, TWO = bytes((100, 64, 0, 1)), bytes((100, 64, 0, 2))
SECRETS = [bytes([n]) * 32 for n in (1, 2)]


def udp(source, destination, size):
    length = 28 + size
    head = bytes((0x45, 0, length >> 8, length & 255, 0, 0, 0, 0, 64, 17, 0, 0)) + source + destination
    return head + bytes((0, 9, 0, 9, (8 + size) >> 8, (8 + size) & 255, 0, 0)) + b"q" * size


def end(own, other, local, remote, keys, slot):
    transport = Transport()
    transport.apply(
        [
            ("addresses", [own]),
            ("filter", EVERYTHING),
            ("peer", 3, other * 8, [(other, 32)]),
            ("paths", 3, [(0, 4, bytes((192, 0, 2, 9)), 7, 0)]),
            ("session", 3, slot, local, remote, *keys),
        ]
    )
    return transport


class FakeNode:
    """What Capture uses of a node; the packet path is real."""

    def __init__(self):
        self.path = self
        self.name, self.ports = "skerry0", (41641, 41642)
        self.uplinks = [{"uplink": 0, "addresses": [(6, bytes(15) + b"\1"), (4, bytes((192, 0, 2, 1)))], "port4": 1, "port6": 1}]
        self.transport = end(ONE, TWO, 1, 2, SECRETS, "current")
        self.other = end(TWO, ONE, 2, 1, SECRETS[::-1], "next")

    def traffic(self, count, size=40):
        for _ in range(count):
            self.transport.packet(udp(ONE, TWO, size))
            for _path, data in self.transport.datagrams():
                self.other.datagram((0, 4, bytes((192, 0, 2, 1)), 7, 0), data)
            self.other.packet(udp(TWO, ONE, size))
            for _path, data in self.other.datagrams():
                self.transport.datagram((0, 4, bytes((192, 0, 2, 9)), 7, 0), data)


class Caller:
    """The connection of a feed: what it was sent, and whether it reads."""

    def __init__(self):
        self.data, self.waiting, self.ended = b"", 0, False

    def send(self, data):
        self.data += data

    def finish(self, data):
        self.ended = True


@pytest.fixture
def node():
    made = FakeNode()
    yield made
    made.transport.close()
    made.other.close()


@pytest.fixture
def capture(node, monkeypatch):
    made = verb.Capture(node)
    monkeypatch.setattr(verb.clock, "now", lambda: 0)
    return made


def attach(feed):
    feed.connection = Caller()
    feed.connection.data += feed.first
    return feed.connection


def kinds(data):
    found, rest = pcapng.blocks(data)
    assert not rest
    return [kind for kind, _block in found]


def read(tmp_path, data, *options):
    if shutil.which("tcpdump") is None:
        pytest.skip("no tcpdump; install it with: sudo apt-get install tcpdump")
    path = tmp_path / "read.pcapng"
    path.write_bytes(data)
    return subprocess.run(["tcpdump", "-n", "-v", "-r", path, *options], capture_output=True, text=True, check=True).stdout


def test_decrypted_packets_of_both_directions(capture, node, tmp_path):
    node.traffic(2)
    caller = attach(capture.open({"count": "5"}, None))
    node.traffic(1)
    capture.handle_timer(0)
    assert kinds(caller.data) == [pcapng.SECTION, pcapng.INTERFACE, pcapng.PACKET, pcapng.PACKET]
    node.traffic(6)
    capture.handle_timer(verb.EVERY)
    assert kinds(caller.data)[2:] == [pcapng.PACKET] * 5 + [pcapng.STATISTICS] and caller.ended
    shown = read(tmp_path, caller.data)
    assert shown.count("100.64.0.1.9 > 100.64.0.2.9") == 3 and shown.count("100.64.0.2.9 > 100.64.0.1.9") == 2
    flags = [block[-8 - 4 : -8] for kind, block in pcapng.blocks(caller.data)[0] if kind == pcapng.PACKET]
    assert flags == [b"\2\0\0\0", b"\1\0\0\0"] * 2 + [b"\2\0\0\0"]
    assert b"skerry0" in caller.data and not any(secret in caller.data for secret in SECRETS)
    assert capture.next_timer() is None
    node.traffic(1)
    assert node.transport.capture_take() == ([], 0)  # off means off


def test_one_peer_and_short_packets(capture, node, tmp_path):
    caller = attach(capture.open({"snaplen": "30"}, 3))
    node.traffic(1)
    capture.handle_timer(0)
    assert "length 68" in read(tmp_path, caller.data) and b"qqq" not in caller.data
    capture._stop()
    caller = attach(capture.open({}, 4))
    node.traffic(1)
    capture.handle_timer(0)
    assert kinds(caller.data) == [pcapng.SECTION, pcapng.INTERFACE]


def test_time_ends_it_and_a_caller_that_left(capture, node):
    caller = attach(capture.open({"seconds": "2"}, None))
    capture.handle_timer(1999)
    assert not caller.ended and capture.next_timer() == 1999 + verb.EVERY
    capture.handle_timer(2019)
    assert caller.ended and kinds(caller.data)[-1] == pcapng.STATISTICS
    feed = capture.open({}, None)
    attach(feed)
    with pytest.raises(Refusal, match="another capture is running") as refusal:
        capture.open({}, None)
    assert refusal.value.status == 409
    feed.closed = True
    attach(capture.open({}, None))  # the one before has gone, though its timer did not come


def test_a_slow_reader_loses_packets_and_is_told(capture, node):
    caller = attach(capture.open({}, None))
    caller.waiting = verb.WAITING
    node.traffic(75, 60000)
    capture.handle_timer(0)
    assert kinds(caller.data) == [pcapng.SECTION, pcapng.INTERFACE]
    caller.waiting = 0
    capture.handle_timer(verb.EVERY)
    found, _ = pcapng.blocks(caller.data)
    lost = max(pcapng.lost_in(block) for kind, block in found if kind == pcapng.STATISTICS)
    kept = sum(kind == pcapng.PACKET for kind, _block in found)
    assert lost > 0 and kept + lost == 150 and kept * 60000 < 9 << 20


def test_the_outside_gets_headers(tmp_path):
    other4, other6 = (0, 4, bytes((192, 0, 2, 9)), 7, 0), (0, 6, bytes(15) + b"\2", 7, 5)
    data = pcapng.header("udp", 100)
    for path, own, inward in ((other4, (bytes((192, 0, 2, 1)), 41641), True), (other6, (bytes(15) + b"\1", 41642), False)):
        front = verb.outer(path, own, inward, 4)
        data += pcapng.packet(1_700_000_000_123_456_789, inward, 4 + len(front), front + b"abcd")
    shown = read(tmp_path, data, "-tt")
    assert "192.0.2.9.7 > 192.0.2.1.41641" in shown and "::1.41642 > ::2.7" in shown and shown.startswith("1700000000.123456")


SENSELESS = [("side", "both"), ("count", "0"), ("count", "-1"), ("seconds", "x"), ("snaplen", "65536"), ("count", "9" * 20)]


@pytest.mark.parametrize(("name", "value"), SENSELESS)
def test_senseless_questions(capture, name, value):
    with pytest.raises(Refusal) as refusal:
        capture.open({name: value}, None)
    assert refusal.value.status == 400 and f"{name}={value}: expected" in str(refusal.value)
    assert capture.next_timer() is None


@pytest.mark.parametrize("size", [0, 8, 13, 1 << 30])
def test_what_is_no_block(size):
    with pytest.raises(PeerError, match=str(size)):
        pcapng.blocks((6).to_bytes(4, "little") + size.to_bytes(4, "little") + bytes(8))


def feed_of(data):
    """An answer that sends its bytes and ends."""

    class Whole(Feed):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "connection" and value is not None:
                value._ending = True

    return lambda: Whole(data, "application/x-pcapng")


def test_a_file_of_whole_blocks(daemon, run, tmp_path):  # noqa: F811
    whole = pcapng.header("skerry0", 100) + pcapng.packet(1, True, 3, b"abc") + pcapng.statistics(2, 3, 2)
    daemon.answers["skerry/capture"] = feed_of(whole + pcapng.packet(1, True, 3, b"cut")[:-5])
    path = tmp_path / "out.pcapng"
    options = ["--peer", "door", "--count", "7", "--seconds", "9", "--snaplen", "64", "--encrypted"]
    code, out, err = run("capture", "--file", str(path), *options)
    assert (code, out, err) == (0, "", "1 packet, 2 lost because they came faster than they could be written\n")
    assert path.read_bytes() == whole and stat.S_IMODE(path.stat().st_mode) == 0o600
    asked = {"side": "encrypted", "peer": "door", "count": "7", "seconds": "9", "snaplen": "64"}
    assert daemon.asked[-1] == ("POST", "skerry/capture", {}, asked)


def test_what_the_command_refuses(daemon, run, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    code, out, err = run("capture")
    assert code == 1 and not out and "use --file FILE" in err and not daemon.asked
    daemon.answers["skerry/capture"] = Refusal(403, "only root")
    path = tmp_path / "out"
    code, out, err = run("capture", "--file", str(path))
    assert code == 1 and "only root" in err and not path.exists()
    daemon.answers["skerry/capture"] = feed_of(b"")
    code, out, err = run("capture", "--file", str(tmp_path / "no" / "such"))
    assert code == 1 and "No such file" in " ".join(err.split())
    daemon.answers["skerry/capture"] = feed_of(pcapng.header("skerry0", 100))
    code, out, err = run("capture", "--file", "/dev/full")
    assert code == 1 and "No space left" in " ".join(err.split())
    for words in (["--count", "0"], ["--seconds", "x"], ["--decrypted", "--encrypted"]):
        with pytest.raises(SystemExit) as ended:
            main(["capture", *words])
        assert ended.value.code == 2
