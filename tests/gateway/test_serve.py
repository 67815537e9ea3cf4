"""The real server as a process on free ports of the loopback: DERP over pinned TLS, ts2021, STUN, /key, start-up and stop."""

import asyncio
import base64
import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from skerry_core import derp, stun
from skerry_core.errors import LocalError
from skerry_core.noise.control import ControlInitiator
from skerry_core.tailcfg.keys import decode_key
from skerry_gateway.options import Options
from skerry_gateway.serve import address, derpmap, secure, sockets
from skerry_gateway.serve.datagram import StunSocket
from skerry_gateway.serve.service import Service
from skerry_gateway.stun import Answerer
from skerry_shim import crypto

START = """
import sys
from pathlib import Path
from skerry_core.errors import LocalError
from skerry_gateway.options import Options
from skerry_gateway.serve.main import run
state, port, stun, url, cert, key = sys.argv[1:]
try:
    sys.exit(run(Options(Path(state), url or None, ("127.0.0.1", int(port)), ("127.0.0.1", int(stun)),
                         Path(cert) if cert else None, Path(key) if key else None, json=True)))
except LocalError as error:
    sys.exit(f"error: {error}")
"""


class Process:
    """A gateway; its facts are what it printed when it was ready."""

    def __init__(self, state, port=0, url="", stun_port=0, cert="", key="", env=()):
        command = [sys.executable, "-c", START, *map(str, (state, port, stun_port, url, cert, key))]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, env={**os.environ, **dict(env)}, **pipes)
        line = self.process.stdout.readline()
        self.facts = json.loads(line) if line else None

    @property
    def port(self):
        return int(self.facts["url"].rpartition(":")[2])

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors

    def __enter__(self):
        assert self.facts is not None, self.process.communicate()[1]
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    state = tmp_path_factory.mktemp("gateway") / "state"
    with Process(state) as process:
        process.state = state
        yield process


def get(gateway, path, **headers):
    request = urllib.request.Request(f"{gateway.facts['url']}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_the_address_carries_the_key_that_key_tells(gateway):
    status, headers, body = get(gateway, "/key?v=142")
    assert status == 200 and headers["Content-Type"].startswith("application/json")
    answer = json.loads(body)
    assert gateway.facts["address"] == f"{gateway.facts['url']}#{answer['publicKey']}"
    assert answer["legacyPublicKey"] == "mkey:" + "0" * 64
    assert json.loads(get(gateway, "/key")[2]) == answer
    assert get(gateway, "/key?v=142", Host="a.name.nobody.told.it")[0] == 200


def test_probes_answer_as_clients_expect(gateway):
    for path in ("/derp/probe", "/derp/latency-check"):
        status, headers, body = get(gateway, path)
        assert (status, body, headers["Access-Control-Allow-Origin"]) == (200, b"", "*")
    status, headers, body = get(gateway, "/generate_204", **{"X-Tailscale-Challenge": "ts_a.b-1"})
    assert (status, body, headers["X-Tailscale-Response"]) == (204, b"", "response ts_a.b-1")
    head = urllib.request.Request(f"{gateway.facts['url']}/derp/probe", method="HEAD")
    assert urllib.request.urlopen(head, timeout=5).status == 200
    assert "X-Tailscale-Response" not in get(gateway, "/generate_204", **{"X-Tailscale-Challenge": "a b"})[1]


def pinned(gateway):
    """A TLS connection as a stock client makes it: the certificate's hash, its name and its dates."""
    context = ssl.create_default_context(cafile=gateway.state / "relay.pem")
    sock = socket.create_connection(("127.0.0.1", gateway.port), 5)
    tls = context.wrap_socket(sock, server_hostname="127.0.0.1")
    pin = secure.own(gateway.state, address.parse(gateway.facts["url"])).pin
    assert hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest() == pin
    return tls


def test_derp_over_pinned_tls_turns_strangers_away(gateway):
    private = hashlib.sha256(b"stranger").digest()
    with pinned(gateway) as tls:
        tls.sendall(b"GET /derp HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n")
        data = read_until(tls, b"\r\n\r\n")
        head, rest = data.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 101 ")
        deframer, frames = derp.Deframer(), []
        while not frames:
            frames += deframer.feed(rest or tls.recv(4096))
            rest = b""
        server = derp.parse_server_key(frames[0][1])
        assert f"Derp-Public-Key: {server.hex()}".encode() in head
        tls.sendall(derp.client_info(crypto, private, crypto.x25519_public(private), server, bytes(24)))
        assert tls.recv(100) == b""


def test_ts2021_shakes_hands_with_the_key_of_the_address(gateway):
    server = decode_key("mkey", gateway.facts["address"].partition("#")[2])
    initiator = ControlInitiator(crypto, hashlib.sha256(b"machine").digest(), server, 142, hashlib.sha256(b"once").digest())
    handshake = base64.b64encode(initiator.message).decode()
    with socket.create_connection(("127.0.0.1", gateway.port), 5) as sock:
        sock.sendall(
            b"POST /ts2021 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\n"
            + f"X-Tailscale-Handshake: {handshake}\r\n\r\n".encode()
        )
        data = read_until(sock, b"\r\n\r\n")
        head, rest = data.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 101 ") and b"Upgrade: tailscale-control-protocol" in head
        while len(rest) < 51:
            rest += sock.recv(4096)
        transport = initiator.finish(rest[:51])
        while len(rest) < 54:
            rest += sock.recv(4096)
        assert transport.feed(rest[51:])


def read_until(sock, end):
    data = b""
    while end not in data:
        more = sock.recv(4096)
        assert more, f"closed after {data!r}"
        data += more
    return data


def test_stun_on_two_ports(tmp_path):
    port = free_pair()
    with Process(tmp_path, stun_port=port), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.bind(("127.0.0.1", 0))
        for each in (port, port + 1):
            sock.sendto(stun.request(bytes(12)), ("127.0.0.1", each))
            answer, source = sock.recvfrom(100)
            assert source[1] == each
            assert stun.parse_response(answer) == (bytes(12), socket.inet_aton("127.0.0.1"), sock.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_stun_in_each_family(host):
    async def main():
        sock = sockets.listen_udp(host, 0)[0]
        port = sock.getsockname()[1]
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: StunSocket(Answerer()), sock=sock)
        with socket.socket(sock.family, socket.SOCK_DGRAM) as client:
            client.bind((host, 0))
            client.setblocking(False)
            client.sendto(b"not stun", (host, port))
            client.sendto(stun.request(bytes(12)), (host, port))
            answer = await asyncio.wait_for(loop.sock_recv(client, 100), 5)
            assert stun.parse_response(answer) == (bytes(12), socket.inet_pton(sock.family, host), client.getsockname()[1])
        transport.close()

    asyncio.run(main())


def free_pair():
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two:
            one.bind(("127.0.0.1", 0))
            try:
                two.bind(("127.0.0.1", one.getsockname()[1] + 1))
            except OSError:
                continue
            return one.getsockname()[1]


def admin(state, line):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(state / "admin.sock"))
        sock.sendall(line + b"\n")
        return json.loads(read_until(sock, b"\n"))


def test_the_admin_socket_answers_its_owner_and_survives_nonsense(gateway):
    assert (gateway.state / "admin.sock").stat().st_mode & 0o777 == 0o600
    assert gateway.state.stat().st_mode & 0o777 == 0o700
    for line in (b"{", b"[]", b'{"verb": 1}', b'{"verb": "nodes list", "arguments": []}', b"[" * 5000):
        assert list(admin(gateway.state, line)) == ["error"]
    assert "is no verb" in admin(gateway.state, b'{"verb": "no such verb"}')["error"]
    assert admin(gateway.state, b'{"verb": "nodes list", "arguments": {}}') == {"result": {"nodes": [], "pending": []}}


def test_a_second_gateway_on_the_same_state_or_port_says_what_to_do(gateway, tmp_path):
    other = Process(gateway.state)
    assert "another skerry-gateway works on" in other.process.communicate(timeout=20)[1]
    other = Process(tmp_path, port=gateway.port)
    errors = other.process.communicate(timeout=20)[1]
    assert f"TCP port {gateway.port} of 127.0.0.1 is in use" in errors and "--listen" in errors
    assert other.process.returncode == 1 and not (tmp_path / "gateway.db").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly_and_keeps_its_address_and_owner(tmp_path, number):
    with Process(tmp_path) as first:
        facts = first.facts
        with socket.create_connection(("127.0.0.1", first.port), 5):  # an open connection does not hold it up
            started = time.monotonic()
            code, errors = first.stop(number)
        assert (code, errors) == (0, "") and time.monotonic() - started < 5
    assert not (tmp_path / "admin.sock").exists()
    before = (tmp_path / "relay.pem").read_bytes()
    with Process(tmp_path) as second:
        assert second.facts["address"].partition("#")[2] == facts["address"].partition("#")[2]
        assert second.facts["owner_link"].startswith(second.facts["url"] + "/sign-in/")
        assert (tmp_path / "relay.pem").read_bytes() == before
        code, _ = second.stop()
    assert code == 0


def test_systemd_is_told(tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.settimeout(10)
        with Process(tmp_path / "state", env={"NOTIFY_SOCKET": str(path)}) as process:
            said = [sock.recv(100)]
            process.stop()
            while said[-1] != b"STOPPING=1":
                said.append(sock.recv(100))
        assert b"READY=1" in said


def served(port):
    """The certificate a new connection is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 5) as sock, context.wrap_socket(sock) as tls:
        return tls.getpeercert(binary_form=True)


def test_strangers_nonsense_is_answered_and_not_logged(tmp_path):
    with Process(tmp_path) as process:
        for data in (
            b"GET / HTTP/9.9\r\n\r\n",
            b"GARBAGE\x00\r\n\r\n",
            b"POST /users HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n",
        ):
            with socket.create_connection(("127.0.0.1", process.port), 5) as sock:
                sock.settimeout(5)
                sock.sendall(data)
                assert sock.recv(100).startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
        assert process.stop() == (0, "")


def test_with_certificate_files_everything_is_tls(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    secure.own(own, address.parse("https://127.0.0.1"))
    pem = own / "relay.pem"
    port = sockets.listen_tcp("127.0.0.1", 0)[0].getsockname()[1]
    with Process(tmp_path / "state", port=port, url=f"https://127.0.0.1:{port}", cert=pem, key=pem) as process:
        context = ssl.create_default_context(cafile=pem)
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/key", timeout=5, context=context) as answer:
            assert "Strict-Transport-Security" not in answer.headers and answer.status == 200
        with socket.create_connection(("127.0.0.1", port), 5) as sock:
            sock.sendall(b"GET /nodes HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"Location: https://127.0.0.1:%d/nodes" % port in read_until(sock, b"TLS")
        secure.own(own, address.parse("https://gw.example"))  # the files have a new certificate now
        process.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while served(port) != ssl.PEM_cert_to_DER_cert(pem.read_text()[pem.read_text().index("-----BEGIN CERT") :]):
            assert time.monotonic() < deadline
        code, errors = process.stop()
    assert code == 0 and "is pinned in the DERP map" in errors


def test_certificate_files_that_do_not_work_are_named(tmp_path):
    url = address.parse("https://gw.example")
    with pytest.raises(LocalError, match=r"cannot read .*missing\.pem"):
        secure.from_files(tmp_path / "missing.pem", tmp_path / "missing.pem", url)
    (tmp_path / "bad.pem").write_text("nonsense")
    with pytest.raises(LocalError, match=r"--tls-cert .*bad\.pem and --tls-key"):
        secure.from_files(tmp_path / "bad.pem", tmp_path / "bad.pem", url)


def test_the_own_certificate_follows_the_name_and_outlives_damage(tmp_path):
    first = secure.own(tmp_path, address.parse("http://192.0.2.9:8080"))
    assert secure.own(tmp_path, address.parse("http://192.0.2.9:8080")).pin == first.pin
    other = secure.own(tmp_path, address.parse("http://gw.example"))
    assert other.pin != first.pin
    (tmp_path / "relay.pem").write_text("torn")
    assert secure.own(tmp_path, address.parse("http://gw.example")).pin not in {first.pin, other.pin, None}
    assert (tmp_path / "relay.pem").stat().st_mode & 0o777 == 0o600
    assert secure.own(tmp_path, address.parse("https://gw.example"), pinned=False).pin is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://192.0.2.1:8080", (False, "192.0.2.1", 8080)),
        ("https://gw.example", (True, "gw.example", 443)),
        ("http://GW.example./", (False, "gw.example", 80)),
        ("http://[2001:db8::1]:81", (False, "2001:db8::1", 81)),
    ],
)
def test_urls_are_understood(text, expected):
    url = address.parse(text)
    assert (url.secure, url.host, url.port) == expected
    assert address.parse(str(url)) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gw.example",
        "ftp://gw.example",
        "https://",
        "https://gw/path",
        "https://gw:99999",
        "https://a@gw",
        "https://gw:0",
        "http://[::1",
    ],
)
def test_urls_that_cannot_be_say_what_is_expected(text):
    with pytest.raises(LocalError, match="expected http://HOST"):
        address.parse(text)


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("http://8.8.8.8", True),
        ("http://10.0.0.1", False),
        ("http://gw.example", True),
        ("http://pi.local", False),
        ("http://localhost:1", False),
    ],
)
def test_a_public_url_is_told_from_a_private_one(text, public):
    assert address.parse(text).public() is public


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http://8.8.8.8", False),
        ("http://192.0.2.1", False),
        ("http://gw.example", False),
        ("https://gw.example", True),
        ("http://10.1.2.3:8080", True),
        ("http://[fd00::1]", True),
        ("http://[2001:db8::1]", False),
        ("http://localhost:1", True),
    ],
)
def test_where_official_clients_do_not_come_back_is_known(text, found):
    assert address.parse(text).official_clients_return() is found


def test_the_derp_map_names_one_node_as_clients_need_it():
    pin = "ab" * 32
    node = derpmap.derp_map(address.parse("http://192.0.2.1:8080"), 3478, pin)["Regions"]["900"]["Nodes"][0]
    assert node == {
        "Name": "900a", "RegionID": 900, "HostName": "192.0.2.1", "DERPPort": 8080, "STUNPort": 3478,
        "IPv4": "192.0.2.1", "IPv6": "none", "CertName": f"sha256-raw:{pin}",
    }  # fmt: skip
    node = derpmap.derp_map(address.parse("https://gw.example"), 0, None)["Regions"]["900"]["Nodes"][0]
    assert node == {"Name": "900a", "RegionID": 900, "HostName": "gw.example", "DERPPort": 443, "STUNPort": -1}


def test_ports_in_use_and_addresses_not_ours_are_explained():
    with sockets.listen_tcp("127.0.0.1", 0)[0] as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalError, match=f"TCP port {port} of 127.0.0.1 is in use .* --listen"):
            sockets.listen_tcp("127.0.0.1", port)
    with pytest.raises(LocalError, match=r"cannot listen on UDP port 3478 of 192\.0\.2\.77.*--stun-listen"):
        sockets.listen_udp("192.0.2.77", 3478)


def test_all_addresses_means_both_families_on_one_port():
    opened = sockets.listen_tcp("", 0)
    try:
        assert len({sock.getsockname()[1] for sock in opened}) == 1
        assert {sock.family for sock in opened} >= {socket.AF_INET}
    finally:
        for sock in opened:
            sock.close()


def test_half_a_certificate_is_refused(tmp_path):
    from skerry_gateway.serve.main import run

    with pytest.raises(LocalError, match="belong together"):
        run(Options(tmp_path, tls_cert=tmp_path / "cert.pem"))


def test_there_is_no_port_after_the_last():
    with pytest.raises(LocalError, match="no port 65536"):
        sockets.listen_udp("127.0.0.1", 65536)


class Faulty:
    """A server with two sessions, one of which breaks, and a timer that does."""

    def __init__(self):
        self.fired, self.sessions = 0, []

    def open(self, remote, now):
        session = type("Session", (), {"closed": None, "out": b"", "close": lambda *_: None})()
        session.take = lambda: 1 // 0 if session.out is None else session.__dict__.update(out=b"") or b""
        self.sessions.append(session)
        return session

    def ready(self):
        return []

    def handle_timer(self, now):
        self.fired += 1
        raise ZeroDivisionError

    def next_timer(self):
        return 0 if self.fired < 3 else None


def test_a_fault_of_our_own_neither_stops_the_timers_nor_the_other_connections(caplog):
    async def body():
        server = Faulty()
        service = Service("test", server)
        transports = [Recorder(), Recorder()]
        links = [service.open(transport, ("192.0.2.1", 1)) for transport in transports]
        server.sessions[0].out = None
        found = [list(server.sessions), []]
        server.ready = lambda: found.pop(0) if found else []
        service.turn()
        assert transports[0].aborted and not transports[1].aborted and len(links) == 2
        while server.fired < 3:
            await asyncio.sleep(0)
        service.stop()

    asyncio.run(asyncio.wait_for(body(), 5))
    assert caplog.text.count("a timer failed") == 3


class Recorder(asyncio.Transport):
    aborted = False

    def is_closing(self):
        return self.aborted

    def abort(self):
        self.aborted = True

    def close(self):
        self.aborted = True
