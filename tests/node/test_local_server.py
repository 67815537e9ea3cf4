"""The local API's socket: who is let in, what is refused, answers that come later, feeds; over a real unix socket."""

import errno
import os
import selectors
import socket
import stat
import time

import pytest

from skerry_core.errors import LocalError
from skerry_node.localapi import server as server_module
from skerry_node.localapi.http import Refusal, RequestParser, unquote
from skerry_node.localapi.server import CONNECTIONS, SHARE, Feed, Later, LocalServer

GET = b"GET /localapi/v0/status HTTP/1.1\r\nHost: local-tailscaled.sock\r\n\r\n"


class Rig:
    def __init__(self, path):
        self.selector, self.clock, self.seen, self.answer = selectors.DefaultSelector(), 0, [], {"ok": True}
        self.server = LocalServer(self.selector, str(path), self.handle, lambda: self.clock)

    def handle(self, request):
        self.seen.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def turn(self):
        for key, mask in self.selector.select(0.01):
            key.data(mask)
        self.server.handle_timer(self.clock)

    def open(self, data=b""):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(5)
        sock.connect(self.server.path)
        sock.setblocking(False)
        sock.sendall(data)
        return sock

    def read(self, sock, until=None):
        got, end = b"", time.monotonic() + 5
        while time.monotonic() < end:
            self.turn()
            try:
                part = sock.recv(65536)
            except BlockingIOError:
                part = None
            except ConnectionResetError:
                return got
            if part == b"":
                return got
            got += part or b""
            if until and until in got:
                return got
        raise AssertionError(got)

    def ask(self, data):
        with self.open(data) as sock:
            return self.read(sock)


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path / "sock")
    yield rig
    rig.server.close()
    rig.selector.close()
    assert not os.path.exists(tmp_path / "sock")


def test_answer_is_json_and_the_caller_is_known(rig):
    answer = rig.ask(GET)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b'\r\n\r\n{"ok": true}') and b"Tailscale-Cap: 142\r\n" in answer
    assert (rig.seen[0].uid, rig.seen[0].pid) == (os.geteuid(), os.getpid())


def test_socket_is_closed_to_others(rig):
    assert stat.S_IMODE(os.stat(rig.server.path).st_mode) & 0o007 == 0


def test_request_in_single_bytes_with_a_body(rig):
    with rig.open() as sock:
        for byte in b"POST /a%20b?x=1%2f2&y=z+z HTTP/1.1\r\nHost: local-tailscaled.sock\r\nContent-Length: 7\r\n\r\n":
            sock.send(bytes([byte]))
            rig.turn()
        sock.send(b'{"a":1}')
        assert b" 200 " in rig.read(sock)
    request = rig.seen[0]
    assert (request.path, request.query, request.document()) == ("/a b", {"x": "1/2", "y": "z z"}, {"a": 1})


def test_body_in_chunks(rig):
    assert b" 200 " in rig.ask(b"PATCH /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{" + b'"a\r\n4\r\n":1}\r\n0\r\n\r\n')
    assert rig.seen[0].document() == {"a": 1}


@pytest.mark.parametrize("line", [b"Origin: http://evil", b"Referer: http://evil/x", b"Sec-Fetch-Site: cross-site"])
def test_browsers_are_refused(rig, line):
    assert b" 403 " in rig.ask(GET[:-2] + line + b"\r\n\r\n") and rig.seen == []


@pytest.mark.parametrize("host", [b"evil.example", b"local-tailscaled.sock.evil.example", b"local-tailscaled.sock, evil"])
def test_other_hosts_are_refused(rig, host):
    assert b" 403 " in rig.ask(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n") and rig.seen == []


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"rubbish\r\n\r\n", b" 400 "),
        (b"GET / HTTP/9\r\n\r\n", b" 400 "),
        (b"POST / HTTP/1.1\r\nContent-Length: 70000\r\n\r\n", b" 413 "),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b" 400 "),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", b" 400 "),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n", b" 400 "),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", b" 400 "),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 20000 + b"\r\n\r\n", b" 400 "),
    ],
)
def test_bad_requests_are_told(rig, request_bytes, status):
    assert status in rig.ask(request_bytes).partition(b"\r\n")[0] and rig.seen == []


def test_body_that_is_no_json():
    request = RequestParser().feed(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n[1]")
    with pytest.raises(Refusal, match="object"):
        request.document()
    request = RequestParser().feed(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n{a}")
    with pytest.raises(Refusal, match="not JSON"):
        request.document()


def test_refusals_and_errors_of_the_handler_become_answers(rig):
    rig.answer = Refusal(404, "no such thing")
    assert b" 404 " in rig.ask(GET)
    rig.answer = LocalError("that cannot be")
    assert b" 409 " in (answer := rig.ask(GET)) and b"that cannot be" in answer


def test_a_fault_in_a_verb_is_told_and_survived(rig, capsys):
    rig.answer = KeyError("planted")
    assert b" 500 " in rig.ask(GET) and "planted" in capsys.readouterr().err
    rig.answer = {}
    assert b" 200 " in rig.ask(GET)


def test_later_answers_when_done(rig):
    rig.answer = later = Later()
    with rig.open(GET) as sock:
        while not rig.seen:
            rig.turn()
        later.done(200, {"late": 1})
        assert b'{"late": 1}' in rig.read(sock)
    later.done(200, {"twice": 1})


def test_later_that_is_done_at_once(rig):
    rig.answer = later = Later()
    later.done(409, {"error": "no"})
    assert b" 409 " in (answer := rig.ask(GET)) and b'"no"' in answer


def test_later_is_given_up(rig):
    rig.answer = Later(within=1000)
    with rig.open(GET) as sock:
        while not rig.seen:
            rig.turn()
        rig.clock = 1000
        assert b" 503 " in rig.read(sock)


def test_feed_carries_lines_until_hung_up(rig):
    rig.answer = feed = Feed(b"first\n")
    sock = rig.open(GET)
    assert rig.read(sock, b"first\n")
    feed.line(b"second\n")
    assert b"second\n" in rig.read(sock, b"second\n")
    sock.close()
    while not feed.closed:
        rig.turn()
    feed.line(b"third\n")


def test_a_feed_nobody_reads_is_cut_off(rig):
    rig.answer = feed = Feed(b"")
    with rig.open(GET):
        while not rig.seen:
            rig.turn()
        for _ in range(100):
            feed.line(b"x" * 65536)
        assert feed.closed


def test_slow_callers_are_hung_up_on(rig):
    with rig.open(b"GET /") as sock:
        rig.turn()
        rig.clock = 10_000
        assert rig.read(sock) == b""


def test_who_comes_after_an_idle_hour_has_all_the_time(rig):
    rig.clock = 3_600_000  # nothing woke the loop in between
    with rig.open() as sock:
        rig.turn()
        assert rig.server.next_timer() == 3_600_000 + server_module.REQUEST_WITHIN
        sock.sendall(GET)
        assert b"200 OK" in rig.read(sock)


def test_connections_are_bounded(rig):
    socks = []
    for _ in range(CONNECTIONS + 3):
        socks.append(rig.open())
        rig.turn()
    assert len(rig.server.connections) == CONNECTIONS
    for sock in socks:
        sock.close()
    for _ in range(10):
        rig.turn()
    assert not rig.server.connections


def test_another_user_cannot_take_every_connection(rig, monkeypatch):
    told = [(1, 4711, 4711)]
    monkeypatch.setattr(server_module, "credentials", lambda _sock: told[0])
    socks = []
    for user in (4711, 4712, 4713):
        told[0] = (1, user, user)
        for _ in range(CONNECTIONS):
            socks.append(rig.open())
            rig.turn()
        assert sum(1 for connection in rig.server.connections if connection.uid == user) <= SHARE
    told[0] = (1, os.geteuid(), 0)
    assert b'"ok": true' in rig.ask(GET), "the owner still gets an answer"
    for sock in socks:
        sock.close()


def test_an_answer_larger_than_the_backlog_of_a_feed_arrives_whole(rig):
    rig.answer = {"peers": ["x" * 100] * 50_000}
    assert rig.ask(GET).endswith(b'"]}')


def test_without_descriptors_it_waits_instead_of_spinning(rig, monkeypatch):
    class Refusing:
        def __init__(self, sock):
            self.sock, self.asked = sock, 0

        def accept(self):
            self.asked += 1
            raise OSError(errno.EMFILE, "Too many open files")

        def __getattr__(self, name):
            return getattr(self.sock, name)

    rig.server._socket = refusing = Refusing(rig.server._socket)
    with rig.open(GET) as sock:
        for _ in range(10):
            rig.turn()
        assert refusing.asked == 1 and rig.server.next_timer() == server_module.PAUSE
        rig.server._socket, rig.clock = refusing.sock, server_module.PAUSE
        assert b"200 OK" in rig.read(sock)


def test_socket_of_a_killed_run_is_replaced_and_a_living_one_is_not(tmp_path):
    path = tmp_path / "sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    rig = Rig(path)
    with pytest.raises(LocalError, match=f"process {os.getpid()}"):
        Rig(path)
    rig.server.close()
    path.write_text("precious")
    with pytest.raises(LocalError, match="is no socket"):
        Rig(path)
    assert path.read_text() == "precious"


def test_long_paths_are_said(tmp_path):
    with pytest.raises(LocalError, match="Linux allows 107"):
        Rig(tmp_path / ("x" * 120))


def test_unquote():
    assert unquote("a%20b%C3%A9") == "a bé" and unquote("%") == "%" and unquote("%zz%4") == "%zz%4" and unquote("%2f") == "/"
