"""The engine and its gateway: joining, keys and links, back-off, what is told, restarts, and a gateway that is away or talks rubbish."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry_core.engine import Engine
from skerry_core.errors import LocalError
from skerry_core.tailcfg.keys import encode_key
from skerry_shim import crypto
from tests.core.engine_world import STUN, Device, World, _time, ipv4
from tests.core.test_engine_parts import regions
from tests.core.test_engine_sessions import block_udp, pair


def running(world, device, span=5000):
    return world.run(span, until=lambda: device.engine.state == "Running")


def registrations(world):
    return [request for where, request in world.gateway.requests if where.endswith("register")]


def test_key_is_fetched_once_and_pinned():
    world = World()
    a = Device(world, 1)
    assert running(world, a)
    assert a.saved["gateway_key"] == world.gateway.key.hex()
    world.gateway.private = world.rng.randbytes(32)
    a.stop()
    a.start()
    world.run(3000)
    assert any("another key" in error for error in a.errors())
    assert a.engine.state != "NeedsLogin", "another key at that address is no reason to forget anything"


def test_pinned_key_is_never_asked_for():
    world = World()
    a = Device(world, 1, gateway="http://gateway.test#" + encode_key("mkey", world.gateway.key))
    connects = []
    original = a._connect
    a._connect = lambda number, spec: (connects.append(spec), original(number, spec))
    assert running(world, a)
    assert len([spec for spec in connects if spec["purpose"] == "control"]) <= 1


def test_reconnection_needs_no_registration_and_keeps_peers():
    world = World()
    a, _b = pair(world)
    world.gateway.stop()
    world.run(2000)
    assert len(a.engine.peers.all()) == 1 and a.engine.status()["health"]
    world.gateway.down = False
    asked = len(registrations(world))
    assert world.run(60_000, until=lambda: a.engine.control.since is not None)
    assert len(registrations(world)) == asked
    assert a.engine.status()["health"] == []


def test_back_off_is_bounded_and_jittered():
    world = World()
    a = Device(world, 1)
    assert running(world, a)
    world.gateway.stop()
    tries = []
    original = a._connect
    a._connect = lambda number, spec: (tries.append(world.now) if spec["purpose"] == "control" else None, original(number, spec))
    world.run(600_000)
    gaps = [later - sooner for sooner, later in itertools.pairwise(tries)]
    assert 20 <= len(tries) <= 50
    assert max(gaps) <= 30_100 and len(set(gaps[6:])) > 3
    assert len(a.errors()) <= 2, "the same failure is told once"


def test_streams_that_end_at_once_are_no_success():
    world = World()
    a = Device(world, 1)
    assert running(world, a)
    tries = []
    for _ in range(10):
        world.gateway.stop()
        world.gateway.down = False
        tries.append(world.now)
        assert world.run(60_000, until=lambda: a.engine.control.since is not None)
    gaps = [later - sooner for sooner, later in itertools.pairwise(tries)]
    assert gaps[0] < 2000 and min(gaps[6:]) > 10_000, "like two boards with one card, who throw each other out"
    world.run(61_000)
    world.gateway.stop()
    world.gateway.down = False
    assert world.run(2000, until=lambda: a.engine.control.since is not None), "after a minute of polling the first attempt is soon"


def test_sign_in_by_link():
    world = World()
    waiting, done = [], []

    def answer(request):
        if done:
            return None
        if request["Followup"]:
            waiting.append(request)
            return None if done else (200, [], {"AuthURL": request["Followup"]})
        return (200, [], {"AuthURL": "http://gateway.test/register/abc"})

    world.gateway.answer = answer
    a = Device(world, 1)
    assert world.run(5000, until=lambda: a.engine.control.registration.auth_url)
    assert ("auth-url", "http://gateway.test/register/abc") in a.happened and a.engine.state == "NeedsLogin"
    assert a.saved["gateway_key"] == world.gateway.key.hex(), "who signs in may take long: the key learnt is kept by now"
    world.run(20_000)
    assert 2 <= len(waiting) <= 12, "a link that brings nothing new is no busy loop"
    assert len([event for event in a.happened if event[0] == "auth-url"]) == 1
    done.append(True)
    assert running(world, a, 15_000)
    assert a.engine.status()["auth_url"] == ""


def test_wrong_key_is_told_and_a_right_one_helps():
    world = World()
    a = Device(world, 1, auth_key="bad")
    world.run(3000)
    assert any("invalid key" in error for error in a.errors())
    assert "bad" not in repr(a.happened) and "bad" not in json.dumps(a.engine.save())
    result = a.command("up", key="good")
    assert "error" not in result
    assert running(world, a, 5000)


def test_expired_node_key_is_renewed_once():
    world = World()
    a = Device(world, 1)
    first = a.engine.node_public
    seen = []

    def answer(request):
        seen.append(request)
        return (200, [], {"NodeKeyExpired": True}) if len(seen) == 1 else None

    world.gateway.answer = answer
    assert running(world, a)
    assert a.engine.node_public != first
    assert seen[1]["OldNodeKey"] == encode_key("nodekey", first)
    assert a.saved["node_key"] == a.engine.node_private.hex()


def test_retry_after_is_honoured():
    world = World()
    a = Device(world, 1)
    times = []

    def answer(request):
        times.append(world.now)
        return (429, [("retry-after", "17")], None) if len(times) == 1 else None

    world.gateway.answer = answer
    assert running(world, a, 40_000)
    assert 17_000 <= times[1] - times[0] <= 17_500


def test_logout_forgets_and_tells():
    world = World()
    a = Device(world, 1)
    assert running(world, a)
    key = a.engine.node_public
    result = a.command("logout")
    assert result == {"state": "NeedsLogin"}
    assert registrations(world)[-1]["Expiry"].startswith("1970")
    assert a.engine.node_public != key and a.engine.netmap.self_node is None
    assert a.interface["up"] is False and not a.streams
    assert a.saved["logged_in"] is False and a.saved["netmap"] is None
    a.command("up", key="good")
    assert running(world, a)


def test_a_gateway_that_tells_of_the_farewell_before_it_answers():
    world = World()
    a = Device(world, 1)
    assert running(world, a)
    own = {"KeyExpiry": _time(world.now - 1_000, world.gateway.wall)}

    def answer(request):
        if request.get("Expiry", "").startswith("1970"):
            world.gateway.sessions[0].respond({"Node": {**world.gateway.node(world.gateway.sessions[0].machine), **own}})

    world.gateway.answer = answer
    before = len(registrations(world))
    assert a.command("logout") == {"state": "NeedsLogin"}
    world.run(5_000)
    assert len(registrations(world)) == before + 1  # the farewell alone; nothing renews what was given up
    assert a.engine.state == "NeedsLogin" and not a.streams and not a.engine.status()["auth_url"]
    a.command("up", key="good")
    assert running(world, a)


def test_giving_up_on_a_gateway_forgets_a_key_that_nobody_had():
    world = World()
    a = Device(world, 1)
    a.command("up", key="good", gateway=f"http://gateway.test#mkey:{'ab' * 32}")
    world.run(5_000)
    assert a.engine.state == "NeedsLogin" and "it may have another key" in " ".join(a.errors())
    a.command("logout")
    a.command("up", key="good", gateway="http://gateway.test")
    assert running(world, a)


def test_down_and_up_again():
    world = World()
    a, b = pair(world)
    a.packet(b)
    world.run(2000)
    assert a.command("down") == {"state": "Stopped"}
    assert not a.streams and a.interface["up"] is False and a.saved["wanted"] is False
    quiet = len(world.sent)
    a.stop()
    a.config["wanted"] = False
    a.start()
    world.run(60_000)
    assert a.engine.state == "Stopped" and not [entry for entry in world.sent[quiet:] if entry[1] == a.endpoint]
    a.command("up")
    assert running(world, a)
    a.packet(b, b"up again")
    assert world.run(3000, until=lambda: any(packet.endswith(b"up again") for packet in b.inbox))


def test_restart_with_state_is_the_same_node_and_fast():
    world = World()
    a, b = pair(world)
    a.packet(b)
    world.run(2000)
    a.stop(save=False)
    key, disco, asked = bytes.fromhex(a.saved["node_key"]), a.saved["disco_key"], len(registrations(world))
    world.run(10_000)
    a.start()
    started = world.now
    assert a.engine.node_private == key and a.engine.save()["disco_key"] == disco
    a.packet(b, b"after restart")
    assert world.run(1000, until=lambda: any(packet.endswith(b"after restart") for packet in b.inbox))
    assert world.now - started <= 300
    world.run(3000)
    assert len(registrations(world)) == asked + 1


def test_started_while_the_gateway_is_away_it_reaches_known_peers():
    world = World()
    a, b = pair(world)
    a.packet(b)
    world.run(2000)
    a.stop()
    world.gateway.stop()
    world.run(1000)
    a.start()
    a.packet(b, b"without the gateway")
    assert world.run(2000, until=lambda: any(packet.endswith(b"without the gateway") for packet in b.inbox))
    world.run(2000)
    status = a.engine.status()
    assert status["state"] == "Running" and status["from_saved_map"] and not status["gateway"]["connected"]
    assert any("saved map" in sentence for sentence in status["health"])
    assert any("saved map" in error for error in a.errors())


def test_gateway_and_relay_away_direct_still_works():
    world = World()
    a, b = pair(world)
    a.packet(b)
    world.run(2000)
    a.stop()
    world.gateway.stop()
    world.relay.stop()
    a.start()
    a.packet(b, b"on our own")
    assert world.run(8000, until=lambda: any(packet.endswith(b"on our own") for packet in b.inbox))


def test_relay_comes_back():
    world = World()
    a, b = pair(world)
    block_udp(world)
    a.packet(b)
    world.run(1000)
    world.relay.stop()
    world.run(20_000)
    assert any("relay test" in sentence for sentence in a.engine.status()["health"])
    world.relay.down = False
    assert world.run(40_000, until=lambda: a.engine.relays.live(900) and b.engine.relays.live(900))
    a.packet(b, b"relayed again")
    assert world.run(8000, until=lambda: any(packet.endswith(b"relayed again") for packet in b.inbox))


def test_silent_relay_and_silent_gateway_are_replaced():
    world = World()
    a = Device(world, 1)
    assert running(world, a)
    streams = {number for number, stream in a.streams.items()}
    for stream in list(a.streams.values()):
        stream.far = None  # a half-open connection: nothing arrives, nothing comes back
        stream.device = type("Nobody", (), {"engine": None})()
    world.run(160_000)
    assert streams.isdisjoint(a.streams) and a.engine.control.since is not None and a.engine.relays.live(900)


def test_new_address_makes_everything_anew():
    world = World()
    a, b = pair(world)
    a.packet(b)
    assert world.run(2000, until=lambda: a.direct(b))
    a.set_uplink((bytes((203, 0, 113, 9)), 41641))
    moved = world.now
    got = len(b.inbox)
    assert world.run(5000, until=lambda: a.packet(b) or len(b.inbox) > got)
    assert world.run(5000, until=lambda: a.packet(b) or a.direct(b))
    assert world.now - moved < 5000
    world.run(2000)
    node = world.gateway.node(crypto.x25519_public(a.engine.machine_private))
    assert "203.0.113.9:41641" in node["Endpoints"]


def test_endpoints_and_home_are_told_and_nothing_twice():
    world = World()
    a = Device(world, 1)
    assert running(world, a)
    world.run(2000)
    node = world.gateway.node(crypto.x25519_public(a.engine.machine_private))
    assert node["Endpoints"] == ["198.51.100.1:41641"] and node["HomeDERP"] == 900
    assert world.relay.preferred[a.engine.node_public]
    updates = world.gateway.updates
    world.run(300_000)
    assert world.gateway.updates == updates


def test_removed_peer_is_gone_at_once():
    world = World()
    a, b = pair(world)
    a.packet(b)
    world.run(2000)
    machine = crypto.x25519_public(b.engine.machine_private)
    world.gateway.broadcast(machine, {"PeersRemoved": [world.gateway.node(machine)["ID"]]})
    assert world.run(1000, until=lambda: not a.engine.peers.all())
    assert [name for name in a.engine.timers._at if name[0] in ("handshake", "dead", "keepalive", "rearm", "session", "heartbeat")] == []
    b.packet(a, b"from outside")
    world.run(8000)
    assert not any(packet.endswith(b"from outside") for packet in a.inbox)


def test_expiry_is_judged_by_the_gateways_time():
    world = World()
    a, b = pair(world)
    a.receive(("clock", 4_000_000_000_000))  # the local clock is wrong by decades
    world.run(1000)
    assert a.engine.peers.all() and a.engine.state == "Running"
    machine = crypto.x25519_public(b.engine.machine_private)
    node = world.gateway.node(machine)
    world.gateway.broadcast(machine, {"PeersChanged": [dict(node, KeyExpiry=_time(world.now + 60_000, world.gateway.wall))]})
    world.run(1000)
    assert a.engine.peers.all()
    world.run(61_000)
    assert not a.engine.peers.all()


@pytest.mark.parametrize("wall", [0, 1_790_000_000_000, 4_000_000_000_000])
def test_stamps_never_fall(wall):
    world = World()
    a, _b = pair(world)
    stamps = []
    for clock in (wall, 1_790_000_000_000, 0):
        a.receive(("clock", clock))
        a.engine.clock._known = False
        stamps.append(a.engine.stamp())
        a.pump()
        a.stop(save=False)  # power cut: what was saved last counts
        a.wall = clock
        a.start()
        stamps.append(a.engine.stamp())
        world.run(100)
    assert stamps == sorted(stamps) and len(set(stamps)) == len(stamps)
    saves = a.saves
    for _ in range(100):
        a.engine.stamp()
    a.pump()
    assert a.saves - saves <= 1


def test_a_key_that_worked_is_forgotten():
    world = World()
    a = Device(world, 1)
    assert running(world, a)
    assert "auth_key" not in a.engine.config and a.engine.control.registration.auth_key == ""


def test_saved_state_survives_json_and_holds_no_auth_key():
    world = World()
    a, _ = pair(world)
    document = a.engine.save()
    assert document["version"] == 1 and "good" not in json.dumps(document)
    assert a.engine.machine_private.hex() not in repr(a.engine) + json.dumps(a.engine.status())


BROKEN = [
    ([], "restore"),
    ({}, "restore"),
    ({"version": 2}, "update"),
    ({"version": "1"}, "restore"),
    ({"version": 1, "machine_key": "00"}, "restore"),
    ({"version": 1, "machine_key": "zz" * 32, "node_key": "00" * 32}, "restore"),
]


@pytest.mark.parametrize("saved,advice", BROKEN)
def test_damaged_state_is_refused_with_advice(saved, advice):
    with pytest.raises(LocalError, match=advice):
        Engine({}, crypto, bytes, 0, saved)


def test_each_damaged_field_is_named():
    world = World()
    good = Device(world, 1).engine.save()
    for name in ("machine_key", "node_key", "disco_key", "tai_floor", "wanted", "home", "stamps", "netmap", "gateway"):
        broken = dict(good)
        broken[name] = object
        with pytest.raises(LocalError, match=name):
            Engine({}, crypto, bytes, 0, broken)
    with pytest.raises(LocalError, match="ahead"):
        Engine({}, crypto, bytes, 0, dict(good, tai_floor="ff" * 12))


WRONG_GATEWAYS = ["gateway.test", "ftp://x", "http://", "https://a:99999", "https://a#mkey:12", "http://a b", "http://u@h"]


@pytest.mark.parametrize("address", WRONG_GATEWAYS)
def test_wrong_gateway_addresses_say_what_to_write(address):
    with pytest.raises(LocalError, match=r"gateway address .*(https?://|mkey)"):
        Engine({"gateway": address}, crypto, bytes, 0)


def test_commands_with_errors():
    world = World()
    a, _b = pair(world)
    assert "no command" in a.command("fly")["error"]
    assert "no setting" in a.command("set", colour="red")["error"]
    assert "192.168.1.0/24" in a.command("set", routes=["192.168.1.x"])["error"]
    assert "no peer" in a.command("ping", ip="100.64.9.9")["error"]
    with pytest.raises(LocalError):
        a.receive(("nonsense",))


def test_ping_and_netcheck():
    world = World()
    a, b = pair(world)
    first = a.command("ping", ip="100.64.0.2")
    assert first["latency_ms"] in range(20, 200)
    world.run(1000)
    direct = a.command("ping", ip="node2")
    assert direct["path"] == "direct" and direct["latency_ms"] == 20 and direct["endpoint"] == "198.51.100.2:41641"
    report = a.command("netcheck")
    assert report["udp"] and report["ipv4"] == "198.51.100.1:41641" and report["mapping_varies"] is None
    assert report["regions"] == [{"id": 900, "code": "test", "latency_ms": 20}]
    b.stop()
    world.run(60_000)
    lost = a.command("ping", ip="100.64.0.2")
    assert "did not answer" in lost["error"] and lost["why"]


def test_set_tells_the_gateway():
    world = World()
    a = Device(world, 1)
    assert running(world, a)
    assert a.command("set", hostname="camera", routes=["192.168.7.0/24"]) == {"changed": ["hostname", "routes"]}
    world.run(1000)
    told = world.gateway.requests[-1][1]["Hostinfo"]
    assert told["Hostname"] == "camera" and told["RoutableIPs"] == ["192.168.7.0/24"]


UPGRADED = b"HTTP/1.1 101 X\r\nUpgrade: tailscale-control-protocol\r\n\r\n"
RUBBISH = [b"", b"\x00" * 3, b"HTTP/1.1 404 Not Found\r\n\r\n", UPGRADED + b"\x02" * 60]


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_a_gateway_that_talks_rubbish_is_tried_again(rubbish):
    world = World()
    a = Device(world, 1)
    assert running(world, a)
    a.stop()
    real = world.gateway.accept

    class Rubbish:
        def __init__(self, stream):
            self.stream = stream

        def receive(self, data):
            self.stream.send(rubbish)
            world.later(50, self.stream.end, "closed")

        def gone(self):
            pass

    world.gateway.accept = Rubbish
    a.start()
    world.run(5000)
    assert a.errors() and a.engine.peers is not None
    world.gateway.accept = real
    assert world.run(40_000, until=lambda: a.engine.control.since is not None)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_hostile_inputs_never_raise(data):
    world = World()
    a, b = pair(world)
    where = (0, 4, b.endpoint[0], b.endpoint[1], 0)
    relayed = (900, b.engine.node_public)
    head = data.draw(st.sampled_from([b"", b"TS\xf0\x9f\x92\xac" + b.engine.disco_public, b"\x01\x00\x00\x00", b"\x02\x00\x00\x00"]))
    body = data.draw(st.binary(max_size=160))
    a.receive(("datagram", data.draw(st.sampled_from([where, relayed])), head + body))
    a.receive(("frame", data.draw(st.sampled_from([900, 901])), data.draw(st.integers(0, 24)), body))
    for number, stream in list(a.streams.items()):
        if stream.region is None:
            a.receive(("stream", number, "data", body))
    a.receive(("stream", 99, "data", body))
    a.receive(("edge", data.draw(st.integers(0, 3)), data.draw(st.integers(0, 63))))
    a.receive(("resolved", "x", []))
    a.pump()
    world.run(100)
    assert not [name for name in a.engine.drops if name.startswith("fault")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["Node", "Peers", "PeersChanged", "PeersRemoved", "PeersChangedPatch", "DERPMap", "PacketFilter", "PacketFilters", "DNSConfig",
          "UserProfiles", "ControlTime", "KeepAlive", "OnlineChange", "Health", "PingRequest", "Domain"]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(response=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_hostile_maps_end_the_stream_and_nothing_else(response):
    world = World()
    a, b = pair(world)
    world.gateway.broadcast(crypto.x25519_public(b.engine.machine_private), response)
    world.run(200)
    assert not [name for name in a.engine.drops if name.startswith("fault")]
    assert world.run(40_000, until=lambda: a.engine.control.since is not None)


def test_own_expiry_asks_for_a_new_key():
    world = World()
    a = Device(world, 1)
    assert running(world, a)
    machine = crypto.x25519_public(a.engine.machine_private)
    node, key = world.gateway.node(machine), a.engine.node_public
    node["KeyExpiry"] = _time(world.now + 5_000, world.gateway.wall)
    node["expired"] = True

    def answer(request):
        if node.get("expired") and request["NodeKey"] == encode_key("nodekey", key):
            del node["KeyExpiry"], node["expired"]
            node["Key"] = request["NodeKey"] + "-old"
            return (200, [], {"NodeKeyExpired": True})
        return (200, [], {"AuthURL": "http://gateway.test/register/x"})

    world.gateway.answer = answer
    world.gateway.sessions[0].respond({"Node": {name: value for name, value in node.items() if name != "expired"}})
    world.run(4_000)
    assert a.engine.state == "Running"
    world.run(3_000)
    assert a.engine.state == "NeedsLogin" and a.engine.status()["auth_url"] and a.engine.node_public != key
    assert any("expired" in error for error in a.errors())


def test_logout_without_a_gateway_is_done_all_the_same():
    world = World()
    a = Device(world, 1)
    assert running(world, a)
    a.receive(("command", "bye", "logout", {}))
    world.gateway.stop()
    world.run(5_000)
    assert a.result("bye")["warning"] and a.saved["logged_in"] is False
    world.run(60_000)
    assert a.engine.state == "NeedsLogin" and not a.streams


def test_a_peer_with_a_new_disco_key_is_asked_at_once():
    world = World()
    a, b = pair(world)
    a.packet(b)
    world.run(2000)
    old = a.peer(b).current
    b.stop()
    b.saved["disco_key"] = "77" * 32  # as a stock client does at each start
    b.start()
    assert world.run(5000, until=lambda: a.peer(b).current is not old and a.peer(b).current is not None)
    a.packet(b, b"new session")
    assert world.run(1000, until=lambda: any(packet.endswith(b"new session") for packet in b.inbox))
    assert world.run(6000, until=lambda: a.direct(b))


def test_two_regions_each_side_at_its_own():
    world = World()
    regions(world, {901: "192.0.2.11"})
    near = {1: "192.0.2.1", 2: "192.0.2.11"}
    arrive = world._arrive

    def _arrive(source, destination, data):
        text = ".".join(str(byte) for byte in destination[0])
        if destination[1] == 3478 and near.get(source[0][3]) != text:
            world.later(60, arrive, source, STUN, data)
        elif destination[1] == 3478:
            arrive(source, STUN, data)
        else:
            arrive(source, destination, data)

    world._arrive = _arrive
    a, b = pair(world)
    world.run(3000)
    assert (a.engine.netcheck.home, b.engine.netcheck.home) == (900, 901)
    assert not a.engine.relays.live(901), "not connected before it is needed"
    block_udp(world)
    a.packet(b, b"across")
    assert world.run(3000, until=lambda: b.inbox)
    b.packet(a, b"back")
    assert world.run(3000, until=lambda: a.inbox)
    assert a.engine.relays.live(901) and b.engine.relays.live(900)
    world.run(200_000)
    assert not a.engine.relays.live(901) and a.engine.relays.live(900), "closed after a minute without a write"


def test_half_open_relay_is_noticed_by_what_gets_no_answer():
    world = World()
    a, b = pair(world)
    block_udp(world)
    a.packet(b)
    assert world.run(3000, until=lambda: b.inbox)
    link = a.engine.relays.link(900)
    stream = a.streams[link.stream]
    stream.far, stream.device = None, type("Nobody", (), {"engine": None})()
    broken, got = world.now, len(b.inbox)
    assert world.run(40_000, until=lambda: a.packet(b) or len(b.inbox) > got)
    assert world.now - broken <= 25_000


def test_an_answering_relay_is_not_given_up_for_a_silent_peer():
    world = World()
    a, b = pair(world)
    b.stop()
    link = a.engine.relays.link(900)
    since = link.since
    for _ in range(60):
        a.transport.packet(ipv4(a.address, bytes((100, 64, 0, 2))))
        world.run(1000)
    assert link.since == since and link.stage == "up"


def test_a_fault_of_ours_ends_the_stream_and_not_the_node():
    world = World()
    a, b = pair(world)
    apply, broken = a.engine.netmap.apply, [True]
    a.engine.netmap.apply = lambda *arguments: {}["bug"] if broken else apply(*arguments)
    world.gateway.broadcast(crypto.x25519_public(b.engine.machine_private), {"Health": []})
    world.run(500)
    assert a.engine.drops["fault-stream"] == 1 and a.engine.control.since is None
    assert any("internal fault" in error for error in a.errors())
    broken.clear()
    assert world.run(10_000, until=lambda: a.engine.control.since is not None)
    a.packet(b)
    assert world.run(1000, until=lambda: b.inbox)


def test_another_gateway_in_the_configuration_starts_over():
    world = World()
    a, _ = pair(world)
    saved = a.engine.save()
    same = Engine({"gateway": "http://gateway.test"}, crypto, world.rng.randbytes, 0, saved)
    assert same.logged_in and same.netmap.self_node is not None and same.control.key == world.gateway.key
    other = Engine({"gateway": "http://other.test"}, crypto, world.rng.randbytes, 0, saved)
    assert not other.logged_in and other.netmap.self_node is None and other.control.key is None
    assert other.node_private != same.node_private and other.machine_private == same.machine_private
    assert other.clock.ceiling == same.clock.ceiling


def test_a_network_that_comes_ends_the_waiting_of_gateway_and_relay():
    world = World()
    a, _b = pair(world)
    world.gateway.stop()
    home = a.engine.relays.link(a.engine.relays.home)
    assert world.run(60_000, until=lambda: a.engine.control.phase == "wait" and a.engine.timers.at(("control-retry",)) > world.now + 5000)
    a.engine.relays._fail(home, "planted")
    a.engine.timers.set(("relay-retry", home.region.number), world.now + 30_000)
    world.gateway.down = False
    address, port = a.endpoint
    own = {"uplink": 0, "addresses": [(4, address)], "port4": port, "port6": 0}
    a.receive(("uplinks", [own, {"uplink": 1, "addresses": [(4, bytes((198, 51, 100, 77)))], "port4": 41642, "port6": 0}]))
    assert world.run(2000, until=lambda: a.engine.control.since is not None and a.engine.relays.live(home.region.number))


def test_the_first_handshake_waits_for_no_disk():
    world = World()
    a, b = Device(world, 1), Device(world, 2)
    assert world.run(5000, until=lambda: a.engine.running and b.engine.state == a.engine.state == "Running" and a.engine.peers.all())
    world.run(3000)  # the first map is saved meanwhile
    saves = a.saves
    a.packet(b)
    assert world.run(5000, until=lambda: b.inbox)
    assert a.saves == saves


def test_saves_that_nothing_left_after_are_one():
    world = World()
    a = Device(world, 1)
    a.engine.actions()
    for action in (("save",), ("save",), ("write", 99, b""), ("save",), ("close", 99), ("save",), ("send", None, b"")):
        a.engine.act(action)
    assert a.engine.actions() == [("save",), ("write", 99, b""), ("close", 99), ("save",), ("send", None, b"")]
