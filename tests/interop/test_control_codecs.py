"""The control-plane codecs alone against Tailscale's test control server: handshake, registration, map stream, lite updates, deltas."""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from urllib.parse import urlsplit

import pytest
import zstandard

from skerry_core.http1 import BodyParser, HeadParser, request_head
from skerry_core.http2 import ClientConnection
from skerry_core.noise.control import ControlInitiator, EarlyPayload, split_message
from skerry_core.tailcfg import map as mapping
from skerry_core.tailcfg import register
from skerry_core.tailcfg.keys import decode_key, encode_key
from skerry_core.tailcfg.netmap import NetworkMap
from skerry_shim import crypto
from tests.netlab.programs import exercised, peers

pytestmark = [pytest.mark.interop, pytest.mark.timeout(60)]
VERSION = 142
DEADLINE = 15
DERP_MAP = {"Regions": {"900": {"RegionID": 900, "RegionCode": "t", "Nodes": [{"Name": "900a", "RegionID": 900, "HostName": "d.example"}]}}}


class TestControl:
    """The server as a process, and its events as they come."""

    __test__ = False

    def __init__(self, tmp_path, *flags):
        (tmp_path / "derp.json").write_text(json.dumps(DERP_MAP))
        argv = [str(peers() / "testcontrol"), "--derp-map", str(tmp_path / "derp.json"), "--magic-dns-domain", "tn.example", *flags]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.events = []
        threading.Thread(target=self._read, daemon=True).start()
        self.url = self.wait("listening")["url"]

    def _read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def wait(self, event, **fields):
        limit = time.monotonic() + DEADLINE
        while time.monotonic() < limit:
            for each in list(self.events):
                if each["event"] == event and all(each.get(name) == value for name, value in fields.items()):
                    return each
            time.sleep(0.01)
        raise AssertionError(f"no event {event} {fields} among {self.events}")

    def get(self, path):
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=DEADLINE)
        connection.request("GET", path)
        return connection.getresponse().status

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(DEADLINE) == 0
        self.process.stdout.close()


@pytest.fixture
def control(tmp_path, request):
    server = TestControl(tmp_path, *getattr(request, "param", ()))
    exercised("testcontrol")
    yield server
    server.stop()


class Client:
    """One control connection over a plain socket."""

    def __init__(self, url):
        self.address = (urlsplit(url).hostname, urlsplit(url).port)
        self.machine, self.node, self.disco = os.urandom(32), os.urandom(32), os.urandom(32)
        self.node_public, self.disco_public = crypto.x25519_public(self.node), crypto.x25519_public(self.disco)
        self.socket = None
        self.answers = {}
        self.connect()

    def connect(self):
        server = decode_key("mkey", json.loads(self.get(f"/key?v={VERSION}"))["publicKey"])
        initiator = ControlInitiator(crypto, self.machine, server, VERSION, os.urandom(32))
        self.socket = socket.create_connection(self.address, DEADLINE)
        hello = [("Host", "control"), ("Upgrade", "tailscale-control-protocol"), ("Connection", "upgrade")]
        hello.append(("X-Tailscale-Handshake", base64.b64encode(initiator.message).decode()))
        self.socket.sendall(request_head("POST", "/ts2021", hello))
        status, headers, rest = self.until(HeadParser().feed)
        assert status == 101 and headers["upgrade"] == "tailscale-control-protocol"
        while (found := split_message(rest)) is None:
            data = self.socket.recv(65536)
            assert data, "the server closed the connection"  # what a server does with a handshake it cannot open, after its 101
            rest += data
        self.noise, self.early, self.http = initiator.finish(found[0]), EarlyPayload(), ClientConnection()
        self.feed(found[1])
        self.flush()

    def get(self, path):
        self.socket = socket.create_connection(self.address, DEADLINE)
        self.socket.sendall(request_head("GET", path, {"Host": "control"}))
        status, headers, rest = self.until(HeadParser().feed)
        assert status == 200
        body = BodyParser(headers)
        done = body.feed(rest) or self.until(body.feed)
        self.socket.close()
        return done[0]

    def until(self, parse):
        while True:
            data = self.socket.recv(65536)
            assert data, "the server closed the connection"
            if (found := parse(data)) is not None:
                return found

    def flush(self):
        self.socket.sendall(self.noise.encode(self.http.take()))

    def feed(self, data):
        for plaintext in self.noise.feed(data):
            for event in self.http.feed(self.early.feed(plaintext)):
                self.answers.setdefault(event[1], []).append(event)

    def pump(self, done):
        limit = time.monotonic() + DEADLINE
        while not done():
            assert time.monotonic() < limit
            data = self.socket.recv(7)  # small cuts
            assert data, "the server closed the connection"
            self.feed(data)
            self.flush()

    def post(self, path, document):
        stream = self.http.request("POST", path, register.routing_headers(self.node_public), json.dumps(document).encode())
        self.flush()
        return stream

    def result(self, stream):
        """(status, body) of a request that ends."""
        self.pump(lambda: self.answers.get(stream, [(None,)])[-1][0] in ("end", "reset"))
        events = self.answers.pop(stream)
        assert events[-1][0] == "end", events
        return events[0][2], b"".join(event[2] for event in events if event[0] == "data")

    def register(self, **more):
        hostinfo = {"Hostname": "codec", "OS": "linux", "BackendLogID": "x"}
        status, body = self.result(self.post("/machine/register", register.request(VERSION, self.node_public, hostinfo, **more)))
        assert status == 200
        return register.decode_response(body)

    def lite(self, name, *endpoints):
        hostinfo = {"Hostname": name, "NetInfo": {"PreferredDERP": 900}}
        document = mapping.lite_update(VERSION, self.node_public, self.disco_public, hostinfo, list(endpoints))
        status, _ = self.result(self.post("/machine/map", document))
        assert status == 200

    def stream(self, compress):
        self.netmap = NetworkMap()
        self.map_stream = mapping.MapStream(decompress if compress else None)
        document = mapping.request(VERSION, self.node_public, self.disco_public, {"Hostname": "codec"}, [], compress=compress)
        self.map_id = self.post("/machine/map", document)

    def follow(self, done):
        """Apply what the stream brings until `done` says so."""

        def step():
            for event in self.answers.pop(self.map_id, []):
                assert event[0] == "data" or event[2] == 200, event
                for response in self.map_stream.feed(event[2]) if event[0] == "data" else []:
                    self.netmap.apply(response)
            return done(self.netmap)

        self.pump(step)


def decompress(data, limit):
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=limit)


@pytest.mark.parametrize("compress", ["", "zstd"])
def test_join_stream_and_see_a_peer_come_move_and_answer(control, compress):
    first = Client(control.url)
    answer = first.register()
    assert answer.registered and answer.machine_authorized
    joined = control.wait("join")
    assert joined["node_key"] == encode_key("nodekey", first.node_public)
    assert joined["machine_key"] == encode_key("mkey", crypto.x25519_public(first.machine))
    first.lite("codec", (bytes([192, 0, 2, 1]), 41641, mapping.LOCAL))
    update = control.wait("update", hostname="codec", home_derp=900)
    assert update["endpoints"] == ["192.0.2.1:41641"] and update["disco_key"] == encode_key("discokey", first.disco_public)
    first.stream(compress)
    first.follow(lambda netmap: netmap.self_node is not None)
    own = first.netmap.self_node
    assert own.key == first.node_public and own.machine_authorized and own.name == "codec.tn.example."
    assert len(own.addresses) == 2 and own.addresses[0][1] == 32
    assert first.netmap.derp_map.regions[900].nodes[0].host_name == "d.example" and first.netmap.packet_filter()
    assert own.user in first.netmap.users

    second = Client(control.url)
    assert second.register().registered
    second.lite("other", (bytes([192, 0, 2, 2]), 1, mapping.STUN))
    first.follow(lambda netmap: any(peer.endpoints == [(bytes([192, 0, 2, 2]), 1)] for peer in netmap.peers.values()))
    (peer,) = first.netmap.peers.values()
    assert (peer.key, peer.disco_key, peer.home_derp) == (second.node_public, second.disco_public, 900)
    second.lite("other", (bytes([192, 0, 2, 3]), 2, mapping.STUN))
    first.follow(lambda netmap: netmap.peers[peer.id].endpoints == [(bytes([192, 0, 2, 3]), 2)])

    first.http.cancel(first.map_id)
    first.flush()
    assert first.register().registered  # the connection goes on after the stream was cancelled


@pytest.mark.parametrize("control", [("--require-auth-key", "right")], indirect=True)
def test_auth_keys(control):
    client = Client(control.url)
    assert client.register(auth_key="wrong").error == "invalid authkey" and client.register().error
    assert client.register(auth_key="right").registered


@pytest.mark.parametrize("control", [("--require-auth",)], indirect=True)
def test_sign_in_by_url(control):
    client = Client(control.url)
    answer = client.register()
    assert answer.auth_url.startswith(control.url + "/auth/") and not answer.registered
    hostinfo = {"Hostname": "codec", "BackendLogID": "x"}
    waiting = client.post("/machine/register", register.request(VERSION, client.node_public, hostinfo, followup=answer.auth_url))
    assert control.get("/auth/nonsense") == 404 and control.get(urlsplit(answer.auth_url).path) == 200
    status, body = client.result(waiting)
    assert status == 200 and register.decode_response(body).registered


def test_unknown_node_gets_a_status_and_a_wrong_server_key_no_session(control):
    client = Client(control.url)
    client.stream("")
    status, body = client.result(client.map_id)
    assert status == 400 and b"node not found" in body
    wrong = Client.__new__(Client)
    wrong.__dict__.update(client.__dict__, get=lambda path: b'{"publicKey":"mkey:' + b"11" * 32 + b'"}')
    with pytest.raises(AssertionError, match="the server closed the connection"):
        wrong.connect()
