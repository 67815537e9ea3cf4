"""The one port: first byte, first request, TLS of our own, limits and deadlines, over real sockets on the loopback."""

import asyncio
import base64
import hashlib
import ssl

import pytest

from skerry_gateway.serve import certificate, head
from skerry_gateway.serve.front import Front
from skerry_gateway.serve.limits import Limits
from skerry_gateway.serve.service import Service

INITIATION = base64.b64encode(bytes(range(101)))
CONTROL = b"POST /ts2021 HTTP/1.1\r\nHost: x\r\nUpgrade: tailscale-control-protocol\r\nConnection: upgrade\r\nX-Tailscale-Handshake: "
RELAY = b"GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n"


class EchoSession:
    def __init__(self, server):
        self.server, self.closed, self.out, self.gone = server, None, b"", False

    def receive(self, data, now):
        self.server.received += len(data)
        if b"END" in data:
            self.closed = "asked to"
        self.out += data.upper()

    def take(self):
        out, self.out = self.out, b""
        return out

    def close(self, now):
        self.gone = True


class Echo:
    """A server of the gateway's shape that answers in capitals and says "tick" at its timer."""

    def __init__(self):
        self.sessions, self.received, self.due, self.pending = [], 0, None, []

    def open(self, remote, now):
        assert remote[0] == "127.0.0.1"
        self.sessions.append(EchoSession(self))
        return self.sessions[-1]

    def ready(self):
        pending, self.pending = self.pending, []
        return pending

    def next_timer(self):
        return self.due

    def handle_timer(self, now):
        assert now >= self.due
        self.due = None
        for session in self.sessions:
            session.out += b"TICK"
            self.pending.append(session)


class Http(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(b"HTTP got " + data[:40])
        self.transport.close()


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    path = tmp_path_factory.mktemp("tls") / "relay.pem"
    path.write_bytes(certificate.make(["localhost", "127.0.0.1"]))
    return path


class Port:
    """A front on a free port of the loopback."""

    def __init__(self, pem, **options):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self.control, self.relay = Echo(), Echo()
        options.setdefault("limits", Limits(100, 50))
        self.front = Front(Service("control", self.control), Service("relay", self.relay), bytes(32), Http, context, **options)
        self.client = ssl.create_default_context(cafile=pem)

    async def __aenter__(self):
        self.server = await asyncio.get_running_loop().create_server(self.front, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        self.front.control.stop()
        self.front.relay.stop()

    async def connect(self, tls=False):
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.client if tls else None)

    async def ask(self, data, tls=False):
        """Everything that comes until the other side closes."""
        reader, writer = await self.connect(tls)
        writer.write(data)
        try:
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()


def run(pem, body, **options):
    async def main():
        async with Port(pem, **options) as port:
            await body(port)
        assert port.front.limits.connections >= 0

    asyncio.run(main())


async def until(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("did not happen within 5 s")


@pytest.mark.parametrize("tls", [False, True])
def test_each_request_goes_to_its_server(pem, tls):
    async def body(port):
        assert await port.ask(b"GET /key?v=142 HTTP/1.1\r\n\r\n", tls) == b"HTTP got GET /key?v=142 HTTP/1.1\r\n\r\n"
        assert (await port.ask(b"GET /derp/probe HTTP/1.1\r\n\r\n", tls)).startswith(b"HTTP got GET /derp/probe")
        answer = await port.ask(CONTROL + INITIATION + b"\r\n\r\nEND", tls)
        assert answer.startswith(b"HTTP/1.1 101 ") and b"\r\nUpgrade: tailscale-control-protocol\r\n" in answer
        assert answer.endswith(b"\r\n\r\n" + bytes(range(101)).upper() + b"END")
        answer = await port.ask(RELAY + b"\r\nEND", tls)
        assert answer.startswith(b"HTTP/1.1 101 ") and b"\r\nUpgrade: DERP\r\n" in answer and b"\r\nDerp-Version: 2\r\n" in answer
        assert answer.endswith(b"\r\n\r\nEND")

    run(pem, body)


def test_a_request_cut_into_bytes_arrives(pem):
    async def body(port):
        reader, writer = await port.connect()
        for byte in RELAY + b"\r\nend":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"END")
        assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"\r\n\r\nENDEND")
        writer.close()

    run(pem, body)


def test_fast_start_gets_no_http_answer(pem):
    async def body(port):
        assert await port.ask(RELAY + b"Derp-Fast-Start: 1\r\n\r\nxEND", tls=True) == b"XEND"

    run(pem, body)


def test_a_megabyte_through_tls_both_ways(pem):
    async def body(port):
        reader, writer = await port.connect(tls=True)
        writer.write(RELAY + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        data = bytes(range(97, 123)) * 40_000
        writer.write(data)
        assert await asyncio.wait_for(reader.readexactly(len(data)), 20) == data.upper()
        writer.close()
        await until(lambda: port.relay.sessions[0].gone)

    run(pem, body)


def test_a_reader_that_stops_is_not_written_to_beyond_the_buffers(pem):
    async def body(port):
        _, writer = await port.connect()
        writer.write(RELAY + b"\r\n")
        await until(lambda: port.relay.sessions)
        session = port.relay.sessions[0]
        for _ in range(400):
            session.out += bytes(100_000)
            port.relay.pending.append(session)
            port.front.relay.turn()
            await asyncio.sleep(0)
            if len(session.out) > 1_000_000:
                break
        assert len(session.out) > 1_000_000  # it waits with the session, not in the transport
        session.closed = "withdrawn"
        port.relay.pending.append(session)
        port.front.relay.turn()
        await until(lambda: session.gone)
        writer.close()

    run(pem, body)


def test_timers_of_a_server_run(pem):
    async def body(port):
        reader, writer = await port.connect()
        writer.write(RELAY + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        port.relay.due = port.front.relay.now() + 30
        port.front.relay.turn()
        assert await asyncio.wait_for(reader.readexactly(4), 5) == b"TICK"
        writer.close()

    run(pem, body)


@pytest.mark.parametrize(
    "start",
    [b"", b"G", b"GET / HTTP/1.1\r\nHost:", b"GET /derp HTTP/1.1\r\nUpgrade: DERP\r\n", b"\x16", b"\x16\x03\x01\x02\x00"],
    ids=["silent", "G", "page", "head", "tls", "hello"],
)
def test_who_dawdles_is_closed(pem, start):
    async def body(port):
        reader, writer = await port.connect()
        writer.write(start)
        with pytest.raises(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
            raise ConnectionResetError
        await until(lambda: port.front.limits.connections == 0)
        writer.close()

    run(pem, body, deadline=0.2)


def test_too_many_of_one_source_are_closed_and_the_rest_served(pem):
    async def body(port):
        held = [await port.connect() for _ in range(3)]
        await until(lambda: port.front.limits.connections == 3)
        reader, writer = await port.connect()
        with pytest.raises(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
            raise ConnectionResetError
        held[0][1].write(RELAY + b"\r\n")  # has said what it wants: does not count any more
        await held[0][0].readuntil(b"\r\n\r\n")
        assert (await port.ask(b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP got")
        for _, other in [*held, (None, writer)]:
            other.close()
        await until(lambda: port.front.limits.connections == 0)
        assert port.front.limits.refused == 1 and not port.front.limits._waiting

    run(pem, body, limits=Limits(10, 3))


def test_with_certificate_files_plain_requests_are_sent_to_tls(pem):
    async def body(port):
        answer = await port.ask(b"GET /nodes?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 308 ") and b"\r\nLocation: https://gw.example/nodes?x=1\r\n" in answer
        answer = await port.ask(CONTROL + INITIATION + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ") and b"use https://gw.example" in answer
        assert (await port.ask(b"GET / HTTP/1.1\r\n\r\n", tls=True)).startswith(b"HTTP got")

    run(pem, body, tls_only="https://gw.example")


def test_garbage_in_tls_ends_the_connection(pem):
    async def body(port):
        await port.ask(b"\x16\x03\x01\x00\x05hello")
        assert (await port.ask(b"GET / HTTP/1.1\r\n\r\n", tls=True)).startswith(b"HTTP got")

    run(pem, body)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", head.MORE),
        (b"POST /ts20", head.MORE),
        (b"POST /ts2021 HTTP/1.1\r\nHost: x\r\n", head.MORE),
        (b"POST /ts2021x HTTP/1.1\r\n\r\n", head.HTTP),
        (b"GET /derp/latency-check HTTP/1.1\r\n\r\n", head.HTTP),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", head.MORE),
        (b"GET / HTTP/1.1\r\nX: " + bytes(17000), head.REFUSE),
        (b"get /derp HTTP/1.1\r\n\r\n", head.HTTP),
        (b"GET /derp HTTP/1.0\r\n\r\n", head.REFUSE),
        (b"GET /derp HTTP/1.1\r\nHost: x\r\n\r\n", head.REFUSE),
        (b"GET /derp HTTP/1.1\r\nUpgrade: DERP\r\nUpgrade: DERP\r\n\r\n", head.REFUSE),
        (b"GET /derp HTTP/1.1\r\nUpgrade : DERP\r\n\r\n", head.REFUSE),
        (CONTROL + b"AAAA\r\n\r\n", head.REFUSE),
        (CONTROL + b"!!\r\n\r\n", head.REFUSE),
        (CONTROL + INITIATION + b"\r\n\r\n", head.CONTROL),
        (RELAY + b"\r\n", head.RELAY),
        (b"GET /derp?x HTTP/1.1\r\nUpgrade: derp\r\n\r\n", head.RELAY),
        (RELAY + b"X: " + bytes(17000), head.REFUSE),
        (RELAY + b"X: " + bytes(17000) + b"\r\n\r\n", head.REFUSE),
    ],
)
def test_heads_are_told_apart(data, kind):
    assert head.classify(data).kind == kind


def test_a_certificate_says_its_names_and_never_expires(pem):
    text = pem.read_text()
    assert certificate.names_in(text, "localhost") and certificate.names_in(text, "127.0.0.1")
    assert not certificate.names_in(text, "gw.example") and not certificate.names_in(text, "127.0.0.2")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pem)
    assert certificate.fingerprint(text) == hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERT") :])).hexdigest()


def _shake_hands(client, server):
    """Both ends in memory; raises what either end finds wrong."""
    ends = [client, server]
    for turn in range(20):
        try:
            ends[turn % 2].do_handshake()
            if turn % 2:
                return
        except ssl.SSLWantReadError:
            continue
    raise AssertionError("the handshake does not end")


@pytest.mark.parametrize(("name", "good"), [("localhost", True), ("127.0.0.1", True), ("gw.example", False), ("127.0.0.2", False)])
def test_a_client_that_trusts_the_certificate_checks_its_names(pem, name, good):
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(pem)
    client.load_verify_locations(pem)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(down, up, server_hostname=name), server.wrap_bio(up, down, server_side=True)
    if good:
        _shake_hands(*ends)
        found = ends[0].getpeercert()
        assert found["notBefore"] == "Jan  1 00:00:00 1970 GMT" and found["notAfter"] == "Dec 31 23:59:59 9999 GMT"
    else:
        with pytest.raises(ssl.SSLCertVerificationError):
            _shake_hands(*ends)


def test_each_certificate_has_a_key_of_its_own():
    first, second = (certificate.make(["[::1]".strip("[]"), "büro.example"]).decode() for _ in range(2))
    assert certificate.fingerprint(first) != certificate.fingerprint(second)
    assert first.partition("-----END")[0] != second.partition("-----END")[0]
    assert certificate.names_in(first, "::1") and certificate.names_in(first, "xn--bro-hoa.example")
    with pytest.raises(ValueError):
        certificate.fingerprint("torn")


def test_one_source_never_takes_every_place():
    limits = Limits(10, 100)
    assert [limits.arrive("192.0.2.1") for _ in range(6)] == [True] * 5 + [False]
    assert limits.arrive("192.0.2.2") and limits.connections == 6
    for _ in range(5):
        limits.settle("192.0.2.1")
        limits.leave("192.0.2.1")
    assert limits.arrive("192.0.2.1") and limits.connections == 2
