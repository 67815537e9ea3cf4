"""An engine that takes the place of another in the same boot: the transport keeps its sessions, the new engine goes on with them."""

import json

import pytest

from skerry_core.engine import Engine
from skerry_core.engine.sessions import REKEY_AFTER
from skerry_core.errors import LocalError
from skerry_core.handover import Handover
from skerry_core.transport import Transport
from skerry_shim import crypto
from tests.core.engine_world import Device, World
from tests.core.test_engine_sessions import handshakes, pair


def replace(device: Device) -> None:
    """Stop the engine, streams and all, and start the next one on the transport that it leaves."""
    device.pump()
    handed = json.loads(json.dumps(device.engine.handover()))
    transport, world = device.transport, device.world
    device.stop()
    device.transport = transport
    saved = json.loads(json.dumps(device.saved))
    device.engine = Engine(device.config, crypto, world.rng.randbytes, world.now, saved, handed)
    device.receive(("clock", device.wall))
    device.set_uplink(device.endpoint)
    device.pump()


def talking(world: World) -> tuple[Device, Device]:
    a, b = pair(world)
    a.packet(b, b"first")
    assert world.run(3000, until=lambda: b.inbox and a.direct(b) and b.direct(a))
    world.run(2000)
    b.inbox.clear()
    return a, b


def test_traffic_goes_on_without_a_handshake_both_ways():
    world = World()
    a, b = talking(world)
    before, session = len(handshakes(world)), a.peer(b).current.local
    replace(a)
    assert a.engine.state == "Running" and a.peer(b).current.local == session and a.direct(b)
    a.packet(b, b"second")
    b.packet(a, b"third")
    assert world.run(3 * world.delay, until=lambda: b.inbox and a.inbox), "one way through, no more"
    world.run(20_000)
    assert len(handshakes(world)) == before and a.errors() == []


def test_a_rekey_comes_when_it_was_due():
    world = World()
    a, b = talking(world)
    first = a.peer(b).current if a.peer(b).current.initiator else b.peer(a).current
    due = first.created + REKEY_AFTER
    world.run(60_000)
    for device in (a, b):
        replace(device)
    before = len(handshakes(world))
    while world.now < due - 1000:
        a.packet(b), b.packet(a)
        world.run(1000)
    assert len(handshakes(world)) == before, "too early"
    while world.now < due + 3000:
        a.packet(b), b.packet(a)
        world.run(1000)
    assert len(handshakes(world)) == before + 1


def test_a_session_ends_when_it_would_have():
    world = World()
    a, b = talking(world)
    replace(a)
    world.run(200_000)
    assert a.peer(b).sessions() == [] and not a.transport._sessions


def test_a_handshake_under_way_is_begun_anew():
    world = World()
    a, b = pair(world)
    world.loss = lambda source, destination, data: True
    world.relay.stop()
    a.packet(b)
    world.run(1000)
    assert a.peer(b).handshake_since is not None
    world.loss = lambda source, destination, data: False
    world.relay.down = False
    replace(a)
    a.packet(b, b"now")
    assert world.run(10_000, until=lambda: b.inbox)


def test_stamps_go_on_below_the_saved_ceiling():
    world = World()
    a, _ = talking(world)
    last, ceiling = a.engine.clock.last, a.engine.clock.ceiling
    for _ in range(5):
        replace(a)
        assert a.engine.clock.last == last
    assert a.engine.stamp() > last and a.engine.clock.ceiling == ceiling


def test_a_peer_that_left_the_map_leaves_the_transport():
    world = World()
    a, b = talking(world)
    key = b.engine.node_public
    saved = a.engine.save
    without = saved()
    without["netmap"]["Peers"] = []
    a.engine.save = lambda: without
    index = a.peer(b).index
    replace(a)
    assert key not in a.engine.peers.by_key
    with pytest.raises(LocalError):
        a.transport.peer_stats(index)


def test_what_is_of_another_node_key_is_not_used():
    world = World()
    a, b = talking(world)
    handed = a.engine.handover()
    handed["node"] = bytes(32).hex()
    a.engine.handover = lambda: handed
    old = a.peer(b).current.local
    replace(a)
    assert a.peer(b).sessions() == [] and old not in a.transport._sessions
    a.packet(b, b"anew")
    assert world.run(10_000, until=lambda: b.inbox)


@pytest.mark.parametrize("damage", [
    {"version": 2}, {"node": "00"}, {"stamp": None}, {"uplinks": {}}, {"uplinks": [1]}, {"peers": []}, {"peers": {"00": {}}},
])  # fmt: skip
def test_a_document_that_is_none_is_refused_whole(damage):
    world = World()
    a, _ = talking(world)
    with pytest.raises(LocalError):
        Handover({**a.engine.handover(), **damage})


@pytest.mark.parametrize("damage", [
    {"index": -1}, {"index": "1"}, {"stamp": "zz"}, {"current": [1]}, {"current": [1 << 32, 0, True]}, {"best": [0, "00", 1, 1, 1]},
    {"best": [0, "01020304", 70000, 1, 1]}, {"last_sent": -1}, {"timers": {"dead": "x"}}, {"previous": [5, 0, True], "next": [5, 0, True]},
])  # fmt: skip
def test_a_peer_that_is_none_spoils_the_document(damage):
    world = World()
    a, b = talking(world)
    document = a.engine.handover()
    document["peers"][b.engine.node_public.hex()].update(damage)
    with pytest.raises(LocalError):
        Handover(document)


def crash(device: Device, hint: object) -> None:
    """Sessions and engine are lost."""
    device.stop(save=False)
    world = device.world
    device.transport = Transport(crypto, world.rng.randbytes, lambda: world.now)
    device.engine = Engine(device.config, crypto, world.rng.randbytes, world.now, json.loads(json.dumps(device.saved)), hint)
    device.receive(("clock", device.wall))
    device.set_uplink(device.endpoint)
    device.pump()


def test_after_a_crash_who_was_talked_to_is_offered_a_session_at_once():
    world = World()
    a, b = talking(world)
    world.run(1000)
    hint = json.loads(json.dumps(a.engine.hint()))
    assert all(peer[slot] is None for peer in hint["peers"].values() for slot in ("previous", "current", "next"))
    world.run(500)
    stamp = a.engine.stamp()
    a.saved = json.loads(json.dumps(a.engine.save()))
    crash(a, hint)
    assert world.run(3 * world.delay, until=lambda: a.peer(b).current is not None), "nobody had to send anything"
    assert a.engine.clock.last > stamp, "the crashed one gave more stamps after the hint"
    world.run(2 * world.delay)  # its keepalive confirms the session to the other
    b.packet(a, b"again")
    assert world.run(3 * world.delay, until=lambda: a.inbox)


def test_a_hint_about_a_peer_that_left_does_nothing():
    world = World()
    a, b = talking(world)
    hint = json.loads(json.dumps(a.engine.hint()))
    hint["peers"] = {bytes(32).hex(): {**hint["peers"][b.engine.node_public.hex()], "index": 77}}
    a.saved = json.loads(json.dumps(a.engine.save()))
    crash(a, hint)
    world.run(1000)
    assert b.engine.node_public in a.engine.peers.by_key and a.errors() == []


def test_no_secret_is_in_the_document():
    world = World()
    a, _ = talking(world)
    text = json.dumps([a.engine.handover(), a.engine.hint()])
    for secret in (a.engine.node_private, a.engine.disco_private, a.engine.machine_private):
        assert secret.hex() not in text
