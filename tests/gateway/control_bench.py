"""A coordinator in memory and clients that reach it through the real handshake, HTTP/2 and map stream. Time is a number tests set."""

import hashlib
import json

import zstandard

from skerry_core.http2.client import ClientConnection
from skerry_core.noise.control import ControlInitiator
from skerry_core.tailcfg.keys import encode_key
from skerry_core.tailcfg.map import MapStream
from skerry_core.tailcfg.netmap import NetworkMap
from skerry_gateway import admin
from skerry_gateway.control import Coordinator
from skerry_gateway.store import Store
from skerry_shim import crypto

WALL = 1_790_000_000_000
VERSION = 142
DERP = {"Regions": {"900": {"RegionID": 900, "RegionCode": "home", "RegionName": "Home", "Nodes": []}}, "omitDefaultRegions": True}


class Random:
    """Deterministic bytes, different at every call."""

    def __init__(self, seed=b"seed"):
        self.seed, self.count = seed, 0

    def __call__(self, n):
        out = b""
        while len(out) < n:
            self.count += 1
            out += hashlib.sha256(self.seed + self.count.to_bytes(8, "big")).digest()
        return out[:n]


class Gateway:
    """A coordinator, its clock and the wires to its clients."""

    def __init__(self, store=None, **options):
        self.now, self.random = 1000, Random()
        self.store = store or Store.memory()
        self.coordinator = Coordinator(self.store, bytes([7] * 32), crypto, self.random, DERP, self.now, WALL, **options)
        self.owner, self.owner_link = self.coordinator.identity.ensure_owner(WALL) or ("owner", "")
        self.withdrawn = []
        self.coordinator.on_withdraw(self.withdrawn.append)
        self.clients = []

    def call(self, verb, **arguments):
        result = admin.call(self.coordinator, verb, arguments, self.now)
        self.deliver()
        return result

    def key(self, **arguments):
        return self.call("keys create", **{"user": "owner", **arguments})["key"]

    def advance(self, ms):
        """Let time pass, timer by timer."""
        end = self.now + ms
        while (at := self.coordinator.next_timer()) is not None and at <= end:
            self.now = max(self.now, at)
            self.coordinator.handle_timer(self.now)
            self.deliver()
        self.now = end
        self.deliver()

    def deliver(self):
        for session in self.coordinator.ready():
            for client in self.clients:
                if client.session is session and client.reading:
                    client.pull()

    def node(self, name="node"):
        """By name, the node as the coordinator has it."""
        return next(node for node in self.coordinator.members.nodes.values() if node.name == name)


class Client:
    """One machine: machine key, node key, a connection, and what it was told."""

    def __init__(self, gateway, seed, hostname=None, connect=True):
        self.gateway = gateway
        self.machine_private = hashlib.sha256(b"machine" + str(seed).encode()).digest()
        self.hostname = hostname or f"host{seed}"
        self.generation = 0
        self.seed = seed
        self.new_key()
        self.disco = crypto.x25519_public(hashlib.sha256(b"disco" + str(seed).encode()).digest())
        self.reading = True
        self.session = None
        if connect:
            self.connect()

    def new_key(self):
        self.generation += 1
        seed = f"node{self.seed}/{self.generation}".encode()
        self.node_key = crypto.x25519_public(hashlib.sha256(seed).digest())

    def connect(self):
        gateway = self.gateway
        private = gateway.random(32)
        initiator = ControlInitiator(crypto, self.machine_private, gateway.coordinator.public_key, VERSION, private)
        self.session = gateway.coordinator.open(("192.0.2.1", 1), gateway.now)
        gateway.clients.append(self)
        self.session.receive(initiator.message, gateway.now)
        first = self.session.take()
        self.transport = initiator.finish(first[:51])
        self.http = ClientConnection()
        self.answers, self.streams, self.maps, self.ended = {}, {}, [], []
        self._feed(first[51:])
        return self

    def pull(self):
        while data := self.session.take():
            self._feed(data)
            self._send()

    def _feed(self, data):
        for plaintext in self.transport.feed(data) if data else []:
            for event in self.http.feed(plaintext):
                self._event(event)

    def _event(self, event):
        kind, *rest = event
        if kind == "headers":
            self.answers[rest[0]] = [rest[1], b"", False]
        elif kind == "data" and rest[0] in self.streams:
            for message in self.streams[rest[0]].feed(rest[1]):
                if rest[0] != max(self.streams):
                    continue  # the rest of a poll that this client has replaced
                self.maps.append(message)
                if not message.get("KeepAlive"):
                    self.network.apply(message)
        elif kind == "data":
            self.answers[rest[0]][1] += rest[1]
        elif kind in ("end", "reset"):
            self.ended.append(rest[0])
            if rest[0] in self.answers:
                self.answers[rest[0]][2] = True

    def _send(self):
        data = self.http.take()
        if data:
            self.session.receive(self.transport.encode(data), self.gateway.now)

    def post(self, path, body):
        """Send a request; its stream id."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._ask("POST", path, {"content-type": "application/json"}, data)

    def get(self, path):
        """Send a request without a body; its stream id."""
        return self._ask("GET", path, {}, b"")

    def _ask(self, method, path, headers, data):
        stream = self.http.request(method, path, headers, data)
        self._send()
        self.pull()
        self.gateway.deliver()
        return stream

    def answer(self, path, body):
        """(status, body) of a request that is answered at once."""
        status, data, ended = self.answers[self.post(path, body)]
        assert ended
        return status, data

    def register(self, auth=None, followup="", node_key=None, **fields):
        """Register; the answer, or the stream id while it waits."""
        info = {"Hostname": self.hostname, "OS": "linux", "BackendLogID": "x", **fields.pop("hostinfo", {})}
        body = {"Version": VERSION, "NodeKey": encode_key("nodekey", node_key or self.node_key), "Hostinfo": info, **fields}
        if auth:
            body["Auth"] = {"AuthKey": auth}
        if followup:
            body["Followup"] = followup
        stream = self.post("/machine/register", body)
        if stream not in self.answers:
            return stream
        return json.loads(self.answers[stream][1])

    def result(self, stream):
        return json.loads(self.answers[stream][1])

    def map_body(self, **fields):
        body = {"Version": VERSION, "NodeKey": encode_key("nodekey", self.node_key), "DiscoKey": encode_key("discokey", self.disco)}
        return {**body, "KeepAlive": True, "Compress": "zstd", **fields}

    def stream(self, **fields):
        """Open the long poll; its stream id."""
        self.maps, self.network = [], NetworkMap()
        body = self.map_body(Stream=True, **fields)
        stream = self.http._next
        unpack = zstandard.ZstdDecompressor().decompress if body["Compress"] else None
        self.streams[stream] = MapStream(unpack)
        assert self.post("/machine/map", body) == stream
        return stream

    def update(self, *endpoints, **fields):
        info = {"Hostname": self.hostname, "OS": "linux", **fields.pop("hostinfo", {})}
        body = self.map_body(Stream=False, OmitPeers=True, Endpoints=list(endpoints), Hostinfo=info, **fields)
        return self.answer("/machine/map", body)

    def close(self):
        self.session.close(self.gateway.now)
        self.gateway.deliver()

    def peers(self):
        return {node.name.split(".")[0]: node for node in self.network.peers.values()}


def join(gateway, seed, hostname=None, **key):
    """A client that registered with a fresh pre-auth key, has its stream open and told where it is."""
    client = Client(gateway, seed, hostname)
    answer = client.register(auth=gateway.key(**key))
    assert not answer.get("Error"), answer
    client.stream()
    status, _ = client.update(f"203.0.113.{seed % 200 + 1}:41641")
    assert status == 200
    return client


def allowed(client, name):
    """A peer's AllowedIPs as the client has them; they are left out where they are its addresses."""
    document = client.peers()[name].document
    return document.get("AllowedIPs", document["Addresses"])
