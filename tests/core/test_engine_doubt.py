"""Doubts about the path in use: a peer that moved is followed within a moment, and one that answers is stayed with."""

from tests.core.engine_world import World
from tests.core.test_engine_sessions import block_udp, pair


def talking(world):
    """A pair with a direct path each way."""
    a, b = pair(world)
    assert world.run(5000, until=lambda: a.packet(b) or b.packet(a) or (a.direct(b) and b.direct(a)))
    talk(world, a, b, 3000)
    return a, b


def talk(world, a, b, span):
    """One packet each way every 50 ms."""
    for _ in range(span // 50):
        a.packet(b)
        b.packet(a)
        world.run(50)


def away(world, a, b, limit=10_000):
    """Milliseconds till five packets in a row from b arrive at a."""
    row, start = 0, world.now
    while row < 5 and world.now - start < limit:
        before = len(a.inbox)
        talk(world, a, b, 50)
        row = row + 1 if len(a.inbox) > before else 0
    return world.now - start


def test_who_got_another_address_is_followed_at_once():
    world = World()
    a, b = talking(world)
    for number in (101, 102, 101, 103, 1):  # back to a known one as well
        a.set_uplink((bytes((198, 51, 100, number)), 41641))
        assert away(world, a, b) <= 1000
        talk(world, a, b, 1500)


def test_without_the_relay_a_ping_from_elsewhere_is_enough():
    world = World()
    a, b = talking(world)
    world.relay.down = world.gateway.down = True
    for stream in [*a.streams.values(), *b.streams.values()]:
        stream.end("connection reset")
    a.set_uplink((bytes((198, 51, 100, 101)), 41641))
    assert away(world, a, b) <= 1000


def test_a_router_that_got_another_address_is_noticed_by_silence():
    world = World()
    a, b = talking(world)
    a.endpoint = (bytes((198, 51, 100, 101)), 41641)  # the engine is not told
    assert away(world, a, b) <= 3500


def test_the_way_out_changed_and_the_address_did_not():
    world = World()
    a, _b = talking(world)
    before = len(a.happened)
    own = {"uplink": 0, "addresses": [(4, a.endpoint[0])], "port4": 41641, "port6": 0}
    connected = set(a.streams)
    a.receive(("uplinks", [{**own, "via": ["4 2 c0000201"]}]))
    world.run(500)
    connected_then = set(a.streams)
    a.receive(("uplinks", [{**own, "via": ["4 3 c0000301"]}]))
    world.run(500)
    assert connected_then == connected and not connected & set(a.streams), "a way that came changes nothing; another makes them anew"
    assert not [event for event in a.happened[before:] if event[0] == "error"]


def test_a_path_that_answers_is_stayed_with_and_provoking_doubts_costs_little():
    world = World()
    a, b = talking(world)
    peer, before = b.peer(a), len(world.sent)
    best = peer.best
    for _ in range(1000):
        b.engine.doubts.of(peer)
        world.run(1)
    asked = [each for each in world.sent[before:] if each[1] == b.endpoint]
    assert len(asked) <= 8 and peer.best is best and b.direct(a)


def test_silence_both_ways_goes_to_the_relay_within_seconds():
    world = World()
    a, b = talking(world)
    block_udp(world)
    assert away(world, a, b) <= 3500
    assert away(world, b, a) <= 3500
