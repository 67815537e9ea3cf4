"""Streams against real sockets on loopback: plain, TLS with pin and without, refusals, bounds, relays."""

import errno
import hashlib
import os
import selectors
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from skerry_node import streams as streams_module
from skerry_node.resolver import interleave, literal
from skerry_node.streams import Streams


class Relay:
    """Stands where the transport stands."""

    def __init__(self):
        self.came, self.frames = [], []

    def relay_in(self, region, data):
        self.came.append((region, data))

    def relay_out(self, region, limit=65536):
        return self.frames.pop(0) if self.frames else b""


class Rig:
    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.relay = Relay()
        self.streams = Streams(self.selector, self.relay)
        self.seen = []

    def now(self):
        return time.monotonic_ns() // 1_000_000

    def turn(self, wait=0.01):
        for key, mask in self.selector.select(wait):
            key.data(mask)
        self.streams.handle_timer(self.now())
        self.seen += self.streams.events
        self.streams.events.clear()

    def until(self, condition, seconds=5):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.seen
            self.turn()

    def kinds(self, number=1):
        return [event[2] for event in self.seen if event[1] == number]

    def closed(self):
        return next((event[3] for event in self.seen if event[2] == "closed"), None)

    def connect(self, port, tls=None, number=1, host="127.0.0.1", addresses=()):
        request = {"purpose": "control", "host": host, "port": port, "tls": tls, "addresses": list(addresses)}
        self.streams.connect(number, request, self.now())


@pytest.fixture
def rig():
    rig = Rig()
    yield rig
    rig.streams.shut()
    rig.selector.close()


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port_of(server):
    return server.getsockname()[1]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("no openssl command to make a certificate")
    place = tmp_path_factory.mktemp("tls")
    key, cert = place / "key.pem", place / "cert.pem"
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        str(key),
        "-out",
        str(cert),
    ]
    subprocess.run([*argv, "-days", "2", "-subj", "/CN=gw.test", "-addext", "subjectAltName=DNS:gw.test"], check=True, capture_output=True)
    return str(cert), str(key), hashlib.sha256(ssl.PEM_cert_to_DER_cert(cert.read_text())).hexdigest()


@pytest.fixture
def tls_echo(listener, certificate):
    """A TLS server that answers in capitals; handshakes that fail are its clients' business."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[0], certificate[1])

    def serve():
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(raw, server_side=True) as connection:
                    while data := connection.recv(65536):
                        connection.sendall(data.upper())
            except OSError:
                pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield port_of(listener)
    listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_plain_stream_opens_carries_and_closes(rig, listener):
    rig.connect(port_of(listener))
    far, _ = listener.accept()
    rig.until(lambda: rig.kinds() == ["open"])
    rig.streams.write(1, b"hello")
    assert far.recv(100) == b"hello"
    far.sendall(b"x" * 200_000)
    rig.until(lambda: sum(len(e[3]) for e in rig.seen if e[2] == "data") == 200_000)
    far.close()
    rig.until(lambda: rig.kinds()[-1] == "closed")
    assert rig.closed() == "the other end closed the connection"
    rig.streams.write(1, b"late")
    rig.streams.close(1)


def test_large_writes_are_cut_and_arrive_whole(rig, listener):
    rig.connect(port_of(listener))
    far, _ = listener.accept()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    rig.until(lambda: rig.kinds() == ["open"])
    body = os.urandom(900_000)
    rig.streams.write(1, body)
    got = bytearray()
    far.setblocking(False)

    def drained():
        try:
            while True:
                got.extend(far.recv(65536))
        except BlockingIOError:
            pass
        return len(got) == len(body)

    rig.until(drained)
    assert bytes(got) == body and rig.kinds() == ["open"]
    far.close()


def test_a_reader_that_stops_is_cut_off(rig, listener):
    rig.connect(port_of(listener))
    far, _ = listener.accept()
    rig.until(lambda: rig.kinds() == ["open"])
    for _ in range(200):
        rig.streams.write(1, bytes(65536))
        if rig.streams.events:
            break
    rig.turn()
    assert "does not read" in rig.closed()
    far.close()


def test_refused_connection_says_who_and_why(rig, listener):
    port = port_of(listener)
    listener.close()
    rig.connect(port)
    rig.until(rig.closed)
    assert rig.closed() == "cannot connect (Connection refused)"


def test_second_address_is_tried_when_the_first_refuses(rig, listener):
    rig.connect(port_of(listener), host="gw.invalid", addresses=["127.0.0.2", "127.0.0.1"])
    rig.until(lambda: rig.kinds() == ["open"])


@pytest.mark.parametrize("code", [errno.EAFNOSUPPORT, errno.EMFILE])
def test_a_socket_that_cannot_be_made_is_one_failed_attempt(rig, listener, monkeypatch, code):
    """A kernel without IPv6, or without descriptors left, ends the attempt and not skerryd."""
    real = socket.socket

    def make(family=socket.AF_INET, *more, **named):
        if family == socket.AF_INET6:
            raise OSError(code, os.strerror(code))
        return real(family, *more, **named)

    monkeypatch.setattr(streams_module.socket, "socket", make)
    rig.connect(port_of(listener), addresses=["::1", "127.0.0.1"])
    rig.until(lambda: "open" in rig.kinds())
    rig.connect(port_of(listener), addresses=["::1"], number=2)
    rig.until(rig.closed)
    assert os.strerror(code) in rig.closed()


def test_tls_that_refuses_to_write_closes_its_stream_alone(rig, tls_echo, certificate, monkeypatch):
    rig.connect(tls_echo, tls={"name": "gw.test", "verify": f"sha256-raw:{certificate[2]}"})
    rig.until(lambda: "open" in rig.kinds())

    def refuse(_self, _data):
        raise ssl.SSLError(1, "protocol is shutdown")

    monkeypatch.setattr(streams_module.Tls, "write", refuse)
    rig.streams.write(1, b"hello")
    rig.until(rig.closed)


def test_silent_address_does_not_hold_up_the_next(rig, listener, monkeypatch):
    real = socket.socket.connect_ex
    monkeypatch.setattr(streams_module.socket.socket, "connect_ex", lambda s, a: 115 if a[0] == "127.0.0.9" else real(s, a), raising=False)
    rig.connect(port_of(listener), host="gw.invalid", addresses=["127.0.0.9", "127.0.0.1"])
    started = rig.now()
    rig.until(lambda: rig.kinds() != [], 3)
    assert rig.now() - started < 2000


def test_deadline_closes_what_never_opens(rig, listener, monkeypatch):
    """A listener that accepts but never speaks TLS."""
    monkeypatch.setattr(streams_module, "OPEN_WITHIN", 300)
    rig.connect(port_of(listener), tls={"name": "gw.test", "verify": False})
    rig.until(rig.closed)
    assert "no answer within" in rig.closed() and rig.kinds() == ["closed"]


def test_name_without_address_is_said(rig):
    rig.connect(1, host="no-such-host.invalid")
    rig.until(rig.closed, 20)
    assert "no-such-host.invalid has no address" in rig.closed()


def test_name_is_resolved_off_the_loop(rig, listener):
    rig.connect(port_of(listener), host="localhost")
    rig.until(lambda: rig.kinds() == ["open"])


def test_lookups_are_bounded(rig, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr("skerry_node.resolver.resolve", lambda host, port: gate.wait(10) and [])
    for number in range(9):
        rig.connect(1, host=f"h{number}.invalid", number=number)
    rig.turn()
    assert [e[1] for e in rig.seen] == [8] and "too many DNS look-ups" in rig.closed()
    gate.set()


@pytest.mark.parametrize("verify", [False, "pin"])
def test_tls_carries_data_both_ways(rig, tls_echo, certificate, verify):
    rig.connect(tls_echo, tls={"name": "gw.test", "verify": f"sha256-raw:{certificate[2]}" if verify == "pin" else False})
    rig.until(lambda: rig.kinds() == ["open"])
    rig.streams.write(1, b"a" * 300_000)
    rig.until(lambda: sum(len(e[3]) for e in rig.seen if e[2] == "data") == 300_000)
    assert {bytes(set(e[3])) for e in rig.seen if e[2] == "data"} == {b"A"}
    rig.streams.close(1)


@pytest.mark.parametrize(
    ("verify", "said"),
    [
        (f"sha256-raw:{'00' * 32}", "somebody else answers there"),
        (True, "its certificate is refused"),
        ("sha256-raw:zz", "pin in the map is malformed"),
        ("", "malformed"),
    ],
)
def test_tls_refuses_who_it_should_not_trust(rig, tls_echo, verify, said):
    rig.connect(tls_echo, tls={"name": "gw.test", "verify": verify})
    rig.until(rig.closed)
    assert said in rig.closed() and rig.kinds() == ["closed"]


def test_tls_to_a_server_that_talks_rubbish(rig, listener):
    rig.connect(port_of(listener), tls={"name": "gw.test", "verify": False})
    far, _ = listener.accept()
    far.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    rig.until(rig.closed)
    assert "TLS failed" in rig.closed()
    far.close()


def test_attached_stream_carries_relay_frames(rig, listener):
    rig.connect(port_of(listener))
    far, _ = listener.accept()
    rig.until(lambda: rig.kinds() == ["open"])
    rig.relay.frames = [b"frame-1", b"frame-2"]
    rig.streams.attach(1, 900)
    rig.streams.write(1, b"-own")
    assert far.recv(100) == b"frame-1frame-2-own"
    rig.relay.frames = [b"frame-3"]
    rig.streams.relay_ready(900)
    assert far.recv(100) == b"frame-3"
    far.sendall(b"down")
    rig.until(lambda: rig.relay.came == [(900, b"down")])
    assert rig.kinds() == ["open"]
    rig.streams.close(1)
    rig.streams.relay_ready(900)
    assert far.recv(100) == b""
    far.close()


def test_families_take_turns():
    v6, v4 = socket.AF_INET6, socket.AF_INET
    given = [(v6, "a", 1), (v6, "b", 1), (v4, "c", 1), (v4, "d", 1), (v4, "e", 1)]
    assert [a[1] for a in interleave(given)] == ["a", "c", "b", "d", "e"]
    assert interleave([]) == [] and len(interleave([(v4, str(n), 1) for n in range(20)])) == 8


def test_literals():
    assert literal("::1", 5)[0] == socket.AF_INET6 and literal("127.0.0.1", 5)[0] == socket.AF_INET
    assert literal("gw.example", 5) is None and literal("1.2.3", 5) is None
