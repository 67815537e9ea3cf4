"""Pairs behind hard NATs and a UDP relay among the nodes, in the simulated network: how soon it is used, and what faults do to that."""

from typing import Any

import pytest

from skerry_core.engine.peerrelay import TARGET
from tests.sim.board import Board
from tests.sim.network import Endpoint
from tests.sim.scenario import Scenario, Size
from tests.sim.udp_relay import UdpRelay, serve

SECOND = 1000
RELAY, HARD = 0, (1, 16, 21, 26)  # by Scenario.place(): a public node, and some behind hard NATs of their own
PORT = 7777
GRANTS = [{"SrcIPs": ["*"], "CapGrant": [{"Dsts": ["0.0.0.0/0"], "CapMap": {TARGET: None}}]}]


class Lab:
    """A scenario's nodes, all joined; node RELAY relays, and every node's filter grants that."""

    def __init__(self, seed: int) -> None:
        self.scenario = Scenario(seed, Size(nodes=27, hours=1))
        self.world, self.boards = self.scenario.world, self.scenario.boards
        relay = self.boards[RELAY]
        self.relay = UdpRelay(self.world.source("udp-relay"), [(relay.host.address, PORT)])
        self.world.run(11 * 60 * SECOND)
        for index in HARD:
            self._grant(self.boards[index])
        self.up()

    def _grant(self, board: Board) -> None:
        engine = board.engine
        assert engine is not None
        engine.netmap.apply({"PacketFilters": {"relays": GRANTS}, "KeepAlive": False})
        engine.peers.sync_filter()
        for peer in engine.peers.all():  # only what says that it relays is asked
            assert peer.node is not None
            peer.node.hostinfo["PeerRelay"] = peer.node.name.startswith("n0.")

    def up(self) -> None:
        board = self.boards[RELAY]
        board.host.sockets[PORT] = self._datagram
        serve(self.relay, board.engine, self.world.source("udp-relay-node"))

    def _datagram(self, source: Endpoint, data: bytes) -> None:
        answer = self.relay.datagram(source, data, self.world.now)
        if answer is not None:
            self.scenario.network.send(self.boards[RELAY].host, PORT, *answer)

    def way(self, a: int, b: int) -> Any:
        """The trusted path of a to b, or None."""
        one, other = self.boards[a].engine, self.boards[b].engine
        assert one is not None and other is not None
        peer = one.peers.by_key[other.node_public]
        return peer.best.path if peer.best is not None and one.paths.trusted(peer) else None

    def relayed(self, a: int, b: int) -> bool:
        return bool((self.way(a, b) or (0,) * 5)[4] and (self.way(b, a) or (0,) * 5)[4])

    def talk(self, a: int, b: int, span: int, done: Any = None) -> int:
        """A question each 100 ms until `done()`; the time it took, or -1."""
        started = self.world.now
        while self.world.now - started < span:
            self.scenario.say(a, b)
            for _ in range(10):
                self.world.run(self.world.now + 10)
                if done is not None and done():
                    return self.world.now - started
        return -1

    def answered(self, a: int, b: int) -> bool:
        """Whether one of five questions is answered."""
        tokens = [self.scenario.say(a, b) for _ in range(5)]
        self.world.run(self.world.now + SECOND)
        return any(token in self.scenario.answers for token in tokens)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_pairs_behind_hard_nats_use_it_within_a_second(seed: int) -> None:
    lab = Lab(seed)
    for a, b in ((HARD[0], HARD[1]), (HARD[2], HARD[0]), (HARD[1], HARD[3])):
        took = lab.talk(a, b, 5 * SECOND, lambda a=a, b=b: lab.relayed(a, b))  # type: ignore[misc]
        assert 0 <= took <= SECOND, (a, b, took)
        assert lab.answered(a, b)
    assert lab.relay.requests <= 6, "once a node and pair"


def test_a_relay_that_dies_costs_seconds_and_one_that_comes_back_is_used_again() -> None:
    lab = Lab(4)
    a, b = HARD[:2]
    assert lab.talk(a, b, 5 * SECOND, lambda: lab.relayed(a, b)) >= 0
    relay = lab.boards[RELAY]
    relay.crash()
    assert 0 <= lab.talk(a, b, 30 * SECOND, lambda: lab.way(a, b) is None and lab.way(b, a) is None) <= 7 * SECOND
    assert lab.answered(a, b), "over DERP"
    lab.talk(a, b, 40 * SECOND)
    relay.start()
    lab.relay = UdpRelay(lab.world.source("again"), lab.relay.addresses)
    lab.up()
    assert lab.talk(a, b, 90 * SECOND, lambda: lab.relayed(a, b)) >= 0


def test_it_holds_under_loss_and_when_nats_forget() -> None:
    lab = Lab(5)
    a, b = HARD[:2]
    lab.scenario.network.faults.loss = 0.1
    lab.scenario.network.faults.duplicate = 0.1
    lab.scenario.network.faults.reorder = 0.05
    assert lab.talk(a, b, 20 * SECOND, lambda: lab.relayed(a, b)) >= 0
    lab.talk(a, b, 60 * SECOND)
    lab.scenario.network.faults.loss = lab.scenario.network.faults.duplicate = lab.scenario.network.faults.reorder = 0.0
    for nat in lab.scenario.network.nats.values():
        nat.reboot()
    lab.talk(a, b, 20 * SECOND)
    assert lab.answered(a, b)
    assert lab.talk(a, b, 70 * SECOND, lambda: lab.relayed(a, b)) >= 0
