"""What only the shim's transport has: device, sockets, threads and the descriptor that says there is something to poll."""

import errno
import json
import os
import select
import socket
import subprocess
import sys
import time

import pytest

from skerry_core import disco, stun
from skerry_core.errors import LocalError
from skerry_shim import transport as shim
from skerry_shim import tun
from tests.netlab.enter import why_not

LOOPBACK = {4: bytes((127, 0, 0, 1)), 6: bytes(15) + b"\x01"}


@pytest.fixture
def end():
    transport = shim.Transport()
    yield transport
    transport.close()


def readable(transport, seconds):
    return bool(select.select([transport.fileno()], [], [], seconds)[0])


def polled(transport, count, seconds=5):
    events, deadline = [], time.monotonic() + seconds
    while len(events) < count and time.monotonic() < deadline:
        readable(transport, deadline - time.monotonic())
        events += transport.poll()
    return events


@pytest.mark.parametrize("family", [4, 6])
def test_datagrams_go_both_ways(end, family):
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    port = end.bind(3, family, 0)
    end.start()
    with socket.socket(kind, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1" if family == 4 else "::1", 0))
        other.settimeout(5)
        request = stun.request(b"t" * 12)
        other.sendto(request, (other.getsockname()[0], port))
        path = (3, family, LOOPBACK[family], other.getsockname()[1], 0)
        assert polled(end, 1) == [("datagram", path, request)]
        assert not readable(end, 0) and end.counters() == {"to_python": 1}
        end.send(path, b"answer")
        assert other.recvfrom(100)[0] == b"answer"
        end.send((*path[:4], 7), disco.MAGIC + bytes(80))
        assert other.recvfrom(100)[0][:8] == bytes.fromhex("00007a1100000700")
        end.send((4, *path[1:]), b"no such uplink")
        assert end.counters()["drop_send"] == 1


def test_a_bound_port_is_named_in_the_error(end):
    port = end.bind(0, 4, 0)
    with pytest.raises(LocalError, match=rf"UDP port {port} .*uplink 1.*{os.strerror(errno.EADDRINUSE)}.*choose another"):
        end.bind(1, 4, port)
    assert end.bind(0, 4, port) == port  # its own port again
    assert end.bind(0, 6, port) == port
    for wrong in ((256, 4, 0), (0, 5, 0), (0, 4, 65536), (0, 4, -1)):
        with pytest.raises(LocalError, match="bind"):
            end.bind(*wrong)


def test_a_refused_bind_leaves_the_old_socket(end):
    port = end.bind(0, 4, 0)
    end.start()
    request = stun.request(b"t" * 12)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(LocalError, match="choose another"):
            end.bind(0, 4, other.getsockname()[1])
        other.sendto(request, ("127.0.0.1", port))
        assert len(polled(end, 1)) == 1
        moved = end.bind(0, 4, 0)
        assert moved != port
        other.sendto(request, ("127.0.0.1", moved))
        assert len(polled(end, 1)) == 1


def test_stop_and_start_again(end):
    port = end.bind(0, 4, 0)
    request = stun.request(b"t" * 12)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for _ in range(3):
            end.start()
            end.start()
            other.sendto(request, ("127.0.0.1", port))
            assert len(polled(end, 1)) == 1
            end.stop()
            end.stop()
        other.sendto(request, ("127.0.0.1", port))
        assert not readable(end, 0.05) and end.poll() == []


def test_close_says_so(end):
    end.start()
    end.close()
    end.close()
    end.stop()
    with pytest.raises(LocalError, match="after close"):
        end.poll()


def test_descriptors_are_given_back():
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        transport = shim.Transport()
        transport.bind(0, 4, 0)
        transport.start()
        transport.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_process_that_forgets_to_stop_ends_cleanly():
    script = "from skerry_shim.transport import Transport; t = Transport(); t.bind(0, 4, 0); t.start()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")


def test_out_of_descriptors_is_a_local_error():
    script = (
        "import resource, os\nfrom skerry_shim.transport import Transport\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir('/proc/self/fd')) + 1, 4096))\nTransport()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20)
    assert "LocalError: packet path: no memory or no file descriptors left" in done.stderr


def test_keys_do_not_show(end):
    assert "01" not in repr(end)
    secret = b"\x5e" * 32
    with pytest.raises(LocalError) as caught:
        end.apply([("session", 1, "current", 1, 2, secret, secret)])
    assert "5e5e" not in str(caught.value) and "^^" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "sixteen-bytes-00", "a b", "a/b"])
def test_bad_device_names(name):
    with pytest.raises(LocalError, match="TUN device name"):
        tun.open_tun(name, 1280)


@pytest.mark.parametrize("mtu", [0, 575, 65536])
def test_bad_mtu(mtu):
    with pytest.raises(LocalError, match=f"MTU {mtu}, need 576..65535"):
        tun.open_tun("skerry0", mtu)


DEVICES = """
import ctypes, json, os, subprocess
from skerry_core.errors import LocalError
from skerry_shim import tun
def attempt(name):
    try:
        return tun.open_tun(name, 1400)[0]
    except LocalError as error:
        return str(error)
first, fd = tun.open_tun("sk%d", 1280)
tun.set_offload(fd, tun.CHECKSUM | tun.TSO4 | tun.TSO6)
out = {"first": first, "busy": attempt("sk0"), "second": attempt("sk%d"), "not-tun": attempt("lo")}
out["mtu"] = open("/sys/class/net/sk0/mtu").read() if os.path.exists("/sys/class/net/sk0/mtu") else subprocess.run(
    ["ip", "-j", "link", "show", "sk0"], capture_output=True, text=True).stdout
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev/net"], check=True)
out["missing"] = attempt("sk9")
subprocess.run(["umount", "/dev/net"], check=True)
ctypes.CDLL(None).setresuid(65534, 65534, 65534)
out["unprivileged"] = attempt("sk8")
print(json.dumps(out))
"""


def test_devices():
    reason = why_not()
    if reason:
        pytest.skip(reason)
    done = subprocess.run([sys.executable, "-m", "tests.netlab", sys.executable, "-c", DEVICES], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    assert (out["first"], out["second"]) == ("sk0", "sk1")
    assert "1280" in out["mtu"]
    assert "another process uses a device of this name" in out["busy"]
    assert "is not TUN" in out["not-tun"]
    assert "no /dev/net/tun" in out["missing"]
    assert "no permission" in out["unprivileged"]
