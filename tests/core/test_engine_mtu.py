"""Path MTU by padded pings: what is asked, what is concluded, and what the transport is told."""

import pytest

from skerry_core.engine import mtu
from tests.core.engine_world import World
from tests.core.test_engine_doubt import talk, talking


def carries(world, size):
    """From now on nothing longer than `size`, with headers, passes between the devices."""
    world.loss = lambda source, destination, data: source[1] == destination[1] == 41641 and len(data) + 28 > size


def probes(world):
    """Sizes of the padded pings sent so far, with headers."""
    return [len(data) + 28 for _, source, destination, data in world.sent if source[1] == destination[1] == 41641 and len(data) > 1000]


def told(device):
    return [change[2] for change in device.applied if change[0] == "mtu"]


def asks(world, a, b):
    a.command("ping", ip="100.64.0.2", kind="disco")
    talk(world, a, b, 5000)


def test_a_path_that_carries_all_costs_one_probe_each_way_in_ten_minutes():
    world = World()
    a, b = talking(world)
    assert probes(world) == [1340, 1340]
    talk(world, a, b, 300_000)
    assert probes(world) == [1340, 1340] and told(a) == told(b) == []
    talk(world, a, b, 310_000)
    assert probes(world) == [1340] * 4


@pytest.mark.parametrize(("size", "inner"), [(1339, 1232), (1299, 1216), (1279, 1168), (1200, 1136), (1199, 1136), (800, 1136)])
def test_the_largest_that_passes_is_told_and_then_taken_back(size, inner):
    world = World()
    a, b = talking(world)
    carries(world, size)
    asks(world, a, b)
    assert told(a) == [inner] and told(b) == [] and a.direct(b), "it was a who was asked"
    assert len(probes(world)) <= 2 + 2 + len(mtu.SIZES[4])
    world.loss = lambda *_: False
    asks(world, a, b)
    assert told(a) == [inner, 0]


def test_a_lost_probe_says_nothing():
    world = World()
    a, b = talking(world)
    lost = []
    world.loss = lambda source, destination, data: len(data) > 1000 and not lost and (lost.append(1) or True)
    asks(world, a, b)
    assert lost and told(a) == []


def test_a_path_that_stops_answering_says_nothing():
    world = World()
    a, _ = talking(world)
    carries(world, 0)
    a.command("ping", ip="100.64.0.2", kind="disco")
    world.run(30_000)
    assert told(a) == []


def test_a_peer_that_leaves_leaves_nothing():
    world = World()
    a, b = talking(world)
    carries(world, 1300)
    a.engine.paths.probe_now(a.peer(b))
    peer = a.peer(b)
    a.engine.paths.remove(peer)
    assert a.engine.timers.at(("mtu", peer.index)) is None and a.engine.mtus._searches == {}
