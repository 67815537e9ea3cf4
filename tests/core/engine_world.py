"""A tiny world in virtual time for the engine's tests: devices (engine and Python transport), a relay, a STUN server and a gateway.

Datagrams and streams take `delay` ms; `loss` decides which datagrams vanish. Servers speak the real protocols with the real codecs; the
gateway is only as clever as these tests need, the real one has tests of its own.
"""

import base64
import heapq
import json
import random
import struct

import h2.config
import h2.connection
import h2.events

from skerry_core import derp, geneve, http1, path, stun
from skerry_core.engine import Engine
from skerry_core.errors import PeerError
from skerry_core.noise.control import ControlResponder
from skerry_core.tailcfg import keys
from skerry_core.tailcfg import map as maps
from skerry_core.transport import Transport
from skerry_shim import crypto

WALL = 1_790_000_000_000
RELAY = ("relay.test", 443)
GATEWAY = ("gateway.test", 80)
STUN = (bytes((192, 0, 2, 1)), 3478)


def ipv4(source, destination, payload=b"hello"):
    """A UDP packet inside the tunnel."""
    body = struct.pack(">HHHH", 4000, 4001, 8 + len(payload), 0) + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, 17, 0) + source + destination
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF) + head[12:] + body


class World:
    def __init__(self, seed=1, delay=10):
        self.now, self.delay, self.rng = 1000, delay, random.Random(seed)
        self._heap, self._count = [], 0
        self.devices, self.sent = [], []
        self.loss = lambda source, destination, data: False
        self.relay, self.gateway = RelayServer(self), GatewayServer(self)
        self.servers = {RELAY: self.relay, GATEWAY: self.gateway}
        self.dead = set()

    def later(self, delay, function, *arguments):
        self._count += 1
        heapq.heappush(self._heap, (self.now + delay, self._count, function, arguments))

    def run(self, span=0, until=None):
        """Go on for `span` ms, or (at most that long) until `until()` holds; whether it did."""
        end = self.now + span
        while True:
            for device in self.devices:
                device.pump()
            if until is not None and until():
                return True
            due = [self._heap[0][0]] if self._heap else []
            due += [device.engine.next_timer() for device in self.devices if device.engine and device.engine.next_timer() is not None]
            at = min(due, default=end + 1)
            if at > end:
                self.now = end
                return False
            self.now = max(self.now, at)
            while self._heap and self._heap[0][0] <= self.now:
                _, _, function, arguments = heapq.heappop(self._heap)
                function(*arguments)
            for device in self.devices:
                device.tick()

    def datagram(self, source, destination, data):
        """`source` and `destination` are (address, port)."""
        self.sent.append((self.now, source, destination, data))
        if self.loss(source, destination, data):
            return
        self.later(self.delay, self._arrive, source, destination, data)

    def _arrive(self, source, destination, data):
        txid = stun.parse_request(data) if destination == STUN and "stun" not in self.dead else None
        if txid is not None:
            self.datagram(STUN, source, stun.response(txid, *source))
        for device in self.devices:
            if device.endpoint == destination and device.engine is not None:
                device.transport.datagram(path.udp(0, *source), data)
            elif device.relay_at == destination and device.engine is not None:
                device.relayed(source, data)


class Stream:
    """One TCP connection; `far` is the server's session."""

    def __init__(self, world, device, number, server):
        self.world, self.device, self.number, self.server = world, device, number, server
        self.far, self.region, self.open, self.written = None, None, True, b""

    def connect(self):
        if not self.open:
            return
        if self.server is None or self.server.down:
            self.end("connection refused")
            return
        self.far = self.server.accept(self)
        self.device.receive(("stream", self.number, "open", None))

    def write(self, data):
        self.written += data
        self.world.later(self.world.delay, self._far_receives, data)

    def _far_receives(self, data):
        if self.open and self.far is not None:
            self.far.receive(data)

    def send(self, data):
        """From the server."""
        self.world.later(self.world.delay, self._near_receives, data)

    def _near_receives(self, data):
        if not self.open or self.device.engine is None:
            return
        if self.region is not None:
            self.device.transport.relay_in(self.region, data)
        else:
            self.device.receive(("stream", self.number, "data", data))

    def end(self, reason):
        """The server, or the network, ends it."""
        if self.open:
            self.open = False
            self.device.streams.pop(self.number, None)
            self.device.receive(("stream", self.number, "closed", reason))

    def close(self):
        self.open = False
        if self.far is not None:
            self.far.gone()


class Device:
    def __init__(self, world, number, saved=None, start=True, endpoint=None, **config):
        self.world, self.number = world, number
        self.endpoint = (endpoint or bytes((198, 51, 100, number)), 41641)
        self.config = {"gateway": "http://gateway.test", "hostname": f"node{number}", "auth_key": "good", "wanted": True, **config}
        self.saved, self.engine, self.streams, self.inbox, self.happened, self.saves = saved, None, {}, [], [], 0
        self.interface, self.applied, self.wall, self.tokens = None, [], WALL, 0
        self.relay_at, self.pairs, self.heard = None, {}, {}  # of the UDP relay it offers
        world.devices.append(self)
        if start:
            self.start()

    def start(self):
        rng = self.world.rng
        self.transport = Transport(crypto, rng.randbytes, lambda: self.world.now)
        self.engine = Engine(self.config, crypto, rng.randbytes, self.world.now, json.loads(json.dumps(self.saved)))
        self.receive(("clock", self.wall))
        self.set_uplink(self.endpoint)
        self.pump()

    def stop(self, save=True):
        """Power off; what was saved last stays unless `save`."""
        if save:
            self.saved = self.engine.save()
        for stream in list(self.streams.values()):
            stream.close()
        self.engine, self.streams = None, {}

    def set_uplink(self, endpoint):
        self.endpoint = endpoint
        address, port = endpoint
        family = 4 if len(address) == 4 else 6
        ports = {"port4": port if family == 4 else 0, "port6": port if family == 6 else 0}
        self.receive(("uplinks", [{"uplink": 0, "addresses": [(family, address)], **ports}]))

    def receive(self, item):
        self.engine.receive(item, self.world.now)

    def command(self, name, **arguments):
        """Run a command; its result once there is one."""
        self.tokens += 1
        token = f"{name}-{self.tokens}"
        self.receive(("command", token, name, arguments))
        self.world.run(20_000, until=lambda: self.result(token) is not None)
        return self.result(token)

    def result(self, token):
        return next((event[2] for event in self.happened if event[0] == "done" and event[1] == token), None)

    def tick(self):
        if self.engine is not None and self.engine.next_timer() is not None and self.engine.next_timer() <= self.world.now:
            self.engine.handle_timer(self.world.now)

    def pump(self):
        while self.engine is not None:
            events = self.transport.poll()
            for item in events:
                if item[0] == "relay-out":
                    self._relay_out(item[1])
                self.receive(item)
            actions = self.engine.actions()
            for action in actions:
                getattr(self, "_" + action[0])(*action[1:])
            for where, data in self.transport.datagrams():
                self.world.datagram(self.endpoint, (where[2], where[3]), data)
            self.inbox += self.transport.packets()
            self.happened += self.engine.events()
            if not events and not actions:
                return

    def _relay_out(self, region):
        for stream in list(self.streams.values()):
            if stream.region == region:
                stream.write(self.transport.relay_out(region))

    def _apply(self, changes):
        self.applied += changes
        self.transport.apply(changes)

    def _send(self, where, data):
        self.transport.send(where, data)

    def _connect(self, number, spec):
        server = self.world.servers.get((spec["host"], spec["port"]))
        stream = self.streams[number] = Stream(self.world, self, number, server)
        stream.spec = spec
        if server is None or not server.black_hole:
            self.world.later(2 * self.world.delay, stream.connect)

    def _write(self, number, data):
        if number in self.streams:
            self.streams[number].write(data)

    def _close(self, number):
        stream = self.streams.pop(number, None)
        if stream is not None:
            stream.close()

    def _attach(self, number, region, first):
        self.transport.relay_in(region, first)
        self.streams[number].region = region
        self._relay_out(region)

    def _resolve(self, name):
        self.receive(("resolved", name, []))

    def _sample(self, count, address, port):
        """Tests that are about it answer themselves."""

    def _interface(self, wanted):
        self.interface = wanted

    def _save(self):
        self.saves += 1
        self.saved = json.loads(json.dumps(self.engine.save()))

    def _relaying(self, verb, *arguments):
        """What skerryd does in C: the places of a UDP relay, and what passes through them."""
        if verb == "serve":
            self.relay_at = None if arguments[0] is None else (self.endpoint[0], arguments[0] or 7777)
            self.pairs, self.heard = {}, {}
            if self.relay_at is not None:
                self.receive(("relaying", "serving", self.relay_at[1], ""))
        elif verb == "open":
            self.heard[arguments[0]] = [0, 0]
        elif verb == "bind":
            self.pairs[arguments[0]] = arguments[1:]
        elif verb == "close":
            self.pairs.pop(arguments[0], None)
            del self.heard[arguments[0]]
        elif verb == "ask":
            self.receive(("relaying", "heard", arguments[0], tuple(self.heard[arguments[0]])))
        else:
            self.world.datagram(self.relay_at, (arguments[0][2], arguments[0][3]), arguments[1])

    def relayed(self, source, data):
        """A datagram came to the relay's port."""
        where, found = path.udp(0, *source), geneve.decode(data)
        if found is None or found[2]:
            self.receive(("relaying", "datagram", where, data))
        elif where in self.pairs.get(found[1], ()):
            side = self.pairs[found[1]].index(where)
            self.heard[found[1]][side] = self.world.now
            other = self.pairs[found[1]][1 - side]
            self.world.datagram(self.relay_at, (other[2], other[3]), data)

    # what tests ask

    @property
    def address(self):
        return bytes((100, 64, 0, self.number))

    def packet(self, other, payload=b"hello"):
        self.transport.packet(ipv4(self.address, other.address, payload))
        self.pump()

    def peer(self, other):
        return self.engine.peers.by_key[other.engine.node_public]

    def direct(self, other):
        return self.engine.paths.direct(self.peer(other))

    def states(self):
        return [event[1] for event in self.happened if event[0] == "state"]

    def errors(self):
        return [event[1] for event in self.happened if event[0] == "error"]


class RelayServer:
    def __init__(self, world):
        self.world, self.clients, self.down, self.black_hole = world, {}, False, False
        self.private = world.rng.randbytes(32)
        self.carried, self.preferred = 0, {}

    def accept(self, stream):
        return RelaySession(self, stream)

    def stop(self):
        self.down = True
        for session in list(self.clients.values()):
            session.stream.end("connection reset")
        self.clients = {}


class RelaySession:
    def __init__(self, server, stream):
        self.server, self.stream, self.head, self.key = server, stream, http1.RequestHeadParser(), None
        self.frames = derp.Deframer()

    def receive(self, data):
        if self.head is not None:
            found = self.head.feed(data)
            if found is None:
                return
            assert found[:2] == ("GET", "/derp") and found[2]["upgrade"] == "DERP"
            self.head, data = None, found[3]
            answer = http1.response_head(101, "Switching Protocols", {"Upgrade": "DERP", "Connection": "Upgrade"})
            self.stream.send(answer + derp.server_key(crypto.x25519_public(self.server.private)))
        for kind, payload in self.frames.feed(data):
            self.frame(kind, payload)

    def frame(self, kind, payload):
        if self.key is None:
            assert kind == derp.CLIENT_INFO
            self.key, _ = derp.open_client_info(crypto, self.server.private, payload)
            self.server.clients[self.key] = self
            self.stream.send(derp.server_info(crypto, self.server.private, self.key, bytes(24)))
            self.server.world.later(60_000, self.keep_alive)
        elif kind == derp.SEND_PACKET:
            key, packet = derp.parse_packet(payload)
            self.server.carried += 1
            if key in self.server.clients:
                self.server.clients[key].stream.send(derp.recv_packet(self.key, packet))
        elif kind == derp.PING:
            self.stream.send(derp.pong(payload))
        elif kind == derp.NOTE_PREFERRED:
            self.server.preferred[self.key] = derp.parse_note_preferred(payload)

    def keep_alive(self):
        if self.server.clients.get(self.key) is self:
            self.stream.send(derp.frame(derp.KEEP_ALIVE))
            self.server.world.later(60_000, self.keep_alive)

    def gone(self):
        if self.server.clients.get(self.key) is self:
            del self.server.clients[self.key]


class GatewayServer:
    """Nodes by machine key. `answer(request)` may replace the answer to a registration by (status, headers, document)."""

    def __init__(self, world):
        self.world, self.down, self.black_hole = world, False, False
        self.private = world.rng.randbytes(32)
        self.nodes, self.sessions, self.requests, self.updates = {}, [], [], 0
        self.answer = lambda request: None
        self.wall = WALL
        self.map_status = 200
        self.mute = False
        self.grants = []  # filter rules with CapGrant, for everybody

    @property
    def key(self):
        return crypto.x25519_public(self.private)

    def accept(self, stream):
        return GatewaySession(self, stream)

    def stop(self):
        self.down = True
        for session in list(self.sessions):
            session.stream.end("connection reset")
        self.sessions = []

    def node(self, machine):
        if machine not in self.nodes:
            number = len(self.nodes) + 1
            self.nodes[machine] = {"ID": number, "Name": f"node{number}.net.test.", "Addresses": [f"100.64.0.{number}/32"]}
            self.nodes[machine].update({"StableID": f"n{number}", "User": 1, "MachineAuthorized": True, "Cap": 142, "Hostinfo": {}})
        return self.nodes[machine]

    def derp_map(self):
        node = {"Name": "900a", "RegionID": 900, "HostName": RELAY[0], "IPv4": "192.0.2.1", "IPv6": "none"}
        return {"Regions": {"900": {"RegionID": 900, "RegionCode": "test", "Nodes": [node]}}, "omitDefaultRegions": True}

    def full(self, machine):
        own = dict(self.node(machine))
        allow = [{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 65535}}]}]
        peers = [node for key, node in self.nodes.items() if key != machine and "Key" in node]
        return {
            "Node": own, "Peers": peers, "DERPMap": self.derp_map(), "PacketFilters": {"base": allow, "grants": self.grants},
            "Domain": "net.test",
            "UserProfiles": [{"ID": 1, "LoginName": "u@test", "DisplayName": "U"}], "ControlTime": _time(self.world.now, self.wall),
        }  # fmt: skip

    def broadcast(self, machine, response):
        for session in self.sessions:
            if session.machine != machine and session.poll is not None:
                session.respond(response)


def _time(now, wall):
    from skerry_core.tailcfg import times

    return times.format(wall + now)


class GatewaySession:
    def __init__(self, server, stream):
        self.server, self.stream, self.head, self.noise = server, stream, http1.RequestHeadParser(), None
        self.machine, self.poll, self.bodies = None, None, {}

    def gone(self):
        if self in self.server.sessions:
            self.server.sessions.remove(self)

    def receive(self, data):
        if self.head is not None:
            found = self.head.feed(data)
            if found is None:
                return
            self.head, data = None, found[3]
            if found[1].startswith("/key?v="):
                body = json.dumps({"publicKey": keys.encode_key("mkey", self.server.key)}).encode()
                self.stream.send(http1.response_head(200, "OK", {"Content-Length": str(len(body))}) + body)
                return
            try:
                self.upgrade(found[2])
            except PeerError:
                self.server.world.later(0, self.stream.end, "connection reset")
                return
        for plaintext in self.noise.feed(data):
            for event in self.http.receive_data(plaintext):
                self.event(event)
        self.flush()

    def upgrade(self, headers):
        responder = ControlResponder(crypto, self.server.private)
        self.machine, _ = responder.receive(base64.b64decode(headers["x-tailscale-handshake"]))
        response, self.noise = responder.respond(self.server.world.rng.randbytes(32))
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.http.initiate_connection()
        upgrade = {"Upgrade": "tailscale-control-protocol", "Connection": "upgrade"}
        self.stream.send(http1.response_head(101, "Switching Protocols", upgrade) + response)
        self.server.sessions.append(self)

    def flush(self):
        data = self.http.data_to_send()
        if data:
            self.stream.send(self.noise.encode(data))

    def event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.bodies[event.stream_id] = [dict(event.headers)[":path"], b""]
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id][1] += event.data
            self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            where, body = self.bodies.pop(event.stream_id)
            request = json.loads(body)
            self.server.requests.append((where, request))
            {"/machine/register": self.register, "/machine/map": self.map}[where](event.stream_id, request)

    def reply(self, stream, status, document=None, headers=()):
        body = b"" if document is None else json.dumps(document).encode()
        self.http.send_headers(stream, [(":status", str(status)), *headers], end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)

    def register(self, stream, request):
        answer = self.server.answer(request)
        node = self.server.node(self.machine)
        if answer is not None:
            self.reply(stream, answer[0], answer[2], answer[1])
            return
        if request["Expiry"].startswith("1970"):
            self.server.nodes.pop(self.machine)
            self.reply(stream, 200, {"NodeKeyExpired": True})
            return
        if request.get("Auth", {}).get("AuthKey") != "good" and node.get("Key") != request["NodeKey"]:
            self.reply(stream, 200, {"Error": "invalid key"})
            return
        node["Key"] = request["NodeKey"]
        node["Hostinfo"] = {"Hostname": request["Hostinfo"]["Hostname"], "OS": request["Hostinfo"]["OS"]}
        self.reply(stream, 200, {"MachineAuthorized": True, "User": {"ID": 1}, "Login": {"LoginName": "u@test"}})

    def map(self, stream, request):
        node = self.server.node(self.machine)
        if self.server.map_status != 200 or node.get("Key") != request["NodeKey"]:
            self.reply(stream, self.server.map_status if self.server.map_status != 200 else 404, {"error": "node not found"})
            return
        if not request["Stream"]:
            self.server.updates += 1
            offers = {"PeerRelay": True} if request["Hostinfo"].get("PeerRelay") else {}
            known = node.get("Hostinfo", {})
            new = "DiscoKey" not in node or offers.get("PeerRelay") != known.get("PeerRelay")
            node["Hostinfo"] = {**{name: value for name, value in known.items() if name != "PeerRelay"}, **offers}
            node.update({"DiscoKey": request["DiscoKey"], "Endpoints": request.get("Endpoints", [])})
            node["HomeDERP"] = request["Hostinfo"].get("NetInfo", {}).get("PreferredDERP", 0)
            patch = {"NodeID": node["ID"], "Endpoints": node["Endpoints"], "DERPRegion": node["HomeDERP"], "DiscoKey": node["DiscoKey"]}
            self.reply(stream, 200)
            self.server.broadcast(self.machine, {"PeersChanged": [node]} if new else {"PeersChangedPatch": [patch]})
            return
        self.http.send_headers(stream, [(":status", "200")])
        self.poll = stream
        self.respond(self.server.full(self.machine))
        self.server.world.later(50_000, self.keep_alive)

    def keep_alive(self):
        if self in self.server.sessions and self.poll is not None and not self.server.mute:
            self.respond({"KeepAlive": True})
            self.server.world.later(50_000, self.keep_alive)

    def respond(self, response):
        self.http.send_data(self.poll, maps.frame(json.dumps(response).encode()))
        self.flush()
