"""skerryd's hands for the UDP relay that it offers: sockets, forwarding in C, and what comes of a port that is taken."""

import os
import selectors
import socket
import time

import pytest

from skerry_core import geneve, path
from skerry_core.errors import LocalError
from skerry_node.netlink import MARK
from skerry_node.relaying import Relay, _sockets

KEYS = (bytes([1]) * 32, bytes([2]) * 32)
LOCALHOST = socket.inet_aton("127.0.0.1")


class Lab:
    def __init__(self):
        self.selector, self.heard = selectors.DefaultSelector(), []
        self.relay = Relay(self.selector, self.heard.append)

    def serve(self, port=0):
        self.relay.do("serve", port)
        return self.heard.pop()

    def wait(self):
        """Until the relay has said something."""
        deadline = time.monotonic() + 10
        while not self.heard:
            assert time.monotonic() < deadline
            for key, mask in self.selector.select(1):
                key.data(mask)
        return self.heard.pop(0)


@pytest.fixture
def lab():
    made = Lab()
    yield made
    made.relay.close()
    assert not made.selector.get_map()


def client():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(10)
    return sock, path.udp(0, LOCALHOST, sock.getsockname()[1])


def test_it_forwards_and_tells(lab):
    _, what, port, error = lab.serve()
    assert what == "serving" and port and not error
    (one, here), (other, there) = client(), client()
    with one, other:
        lab.relay.do("open", 9, KEYS)
        handshake = geneve.encode(geneve.DISCO, 9, True, b"TS\xf0\x9f\x92\xac" + KEYS[0] + bytes(24 + 16 + 2 + 72))
        one.sendto(handshake, ("127.0.0.1", port))
        assert lab.wait() == ("relaying", "datagram", here, handshake)
        lab.relay.do("send", here, b"challenge")
        assert one.recv(100) == b"challenge"
        lab.relay.do("bind", 9, here, there)
        data = geneve.encode(geneve.WIREGUARD, 9, False, b"data")
        one.sendto(data, ("127.0.0.1", port))
        assert other.recv(100) == data
        lab.relay.do("ask", 9)
        kind, what, vni, heard = lab.wait()
        assert (kind, what, vni) == ("relaying", "heard", 9) and heard[0] > 0 and heard[1] == 0
        assert lab.relay.counters()["packets"] == 1
        lab.relay.do("close", 9)
        lab.relay.do("ask", 9)
        assert lab.wait() == ("relaying", "heard", 9, None)
        with pytest.raises(LocalError):
            lab.relay.do("bind", 9, here, there)


def test_a_port_that_is_taken_is_told_and_another_is_taken_instead(lab):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        port = taken.getsockname()[1]
        assert lab.serve(port)[1:3] == ("serving", 0)
        assert lab.relay.counters() == {}
    assert lab.serve(port) == ("relaying", "serving", port, "")
    assert lab.serve(port) == ("relaying", "serving", port, ""), "the same again"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mark packets; in `python -m tests.netlab` you are")
def test_what_it_sends_never_enters_the_tunnel():
    made = _sockets(0)
    try:
        assert [sock.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) for sock in made] == [MARK] * len(made)
    finally:
        for sock in made:
            sock.close()


def test_when_it_ended_nothing_of_it_is_left(lab):
    port = lab.serve()[2]
    lab.relay.do("open", 9, KEYS)
    lab.relay.do("serve", None)
    assert not lab.heard and not lab.selector.get_map()
    lab.relay.do("close", 9)
    lab.relay.do("ask", 9)
    assert not lab.heard
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("0.0.0.0", port))
