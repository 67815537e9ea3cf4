"""A relay that is killed again and again, soon after it came back, while nothing else joins two nodes: how long until they talk.

Found with the official relay under kill -9: each connection that did not last a minute counted as one more failure, so that after a few
kills a node stayed away for half a minute from a relay that was long there again.
"""

import random

import pytest

from tests.core.engine_world import Device, World

KILLS = 20


class Lab:
    def __init__(self, seed):
        self.world, self.random = World(seed), random.Random(seed)
        self.a, self.b = Device(self.world, 1), Device(self.world, 2)
        self.world.loss = lambda source, destination, data: source[1] == destination[1] == 41641
        assert self.world.run(20_000, until=self.joined)

    def joined(self):
        return all(device.engine.state == "Running" and device.engine.peers.all() for device in (self.a, self.b))

    def talk(self, limit):
        """How long until a packet came through each way, with one a second sent; None: not within the limit."""
        before, began = (len(self.a.inbox), len(self.b.inbox)), self.world.now
        while self.world.now - began < limit:
            self.a.packet(self.b)
            self.b.packet(self.a)
            if self.world.run(1000, until=lambda: len(self.a.inbox) > before[0] and len(self.b.inbox) > before[1]):
                return self.world.now - began
        return None

    def kill(self):
        """End every connection to the relay, and start it again a moment later."""
        self.world.relay.stop()
        for device in (self.a, self.b):
            for stream in [stream for stream in device.streams.values() if stream.spec["purpose"] == "relay"]:
                stream.end("connection reset")
        self.world.run(self.random.randrange(200, 1500))
        self.world.relay.down = False


@pytest.mark.parametrize("seed", range(1, 5))
def test_it_is_used_again_within_seconds_each_time(seed):
    lab = Lab(seed)
    assert lab.talk(20_000) is not None
    for kill in range(KILLS):
        lab.world.run(lab.random.randrange(1000, 3000))
        lab.kill()
        took = lab.talk(60_000)
        assert took is not None and took <= 12_000, (kill, took)


def test_one_that_serves_nobody_is_asked_ever_more_rarely():
    lab = Lab(1)
    relay, attempts = lab.world.relay, []
    accept = relay.accept

    def refuse(stream):
        if stream.device is lab.a:
            attempts.append(lab.world.now)
            lab.world.later(300, stream.end, "connection reset")
        return accept(stream)

    lab.kill()
    relay.accept = refuse
    lab.world.run(300_000)
    assert 10 <= len(attempts) <= 30, len(attempts)
