"""The last twenty minutes of a run, when everything is healed.

    end - 20 min     *recovery*: every pair that ever tried must answer within RECOVERY_MS
    end - 15 min     *liveness*: after some quiet every pair must answer again, with some nodes under a flood of forged handshakes
    after that       *a latecomer* joins: everybody must reach it, which takes the delta that told of it
    end - 10 min     *roaming*: every NAT forgets its mappings in the middle of a conversation; answers must come back within GAP_MS
    after that       *directness*: pairs that talk for half a minute, and whose NATs allow it, do so directly
    end - 9 min      *withdrawal*: in the middle of conversations one node is removed (and cut off from the gateway, so that it does not
                     hear of it) and the key of another expires: from 2 s later on nothing comes from them or to them, over any path, and
                     a restart does not bring them back. The others go on
    end - 4 min      *idle*: nobody talks; the whole network makes at most IDLE_EVENTS a node and minute
    end              *agreement*: what deltas made of each node's map is what a full map would be
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from skerry_core.tailcfg.netmap import NetworkMap
from skerry_gateway.control.maps import MapStream
from tests.sim.checks import WITHDRAWN_MS
from tests.sim.faults import MINUTE, SECOND

if TYPE_CHECKING:
    from tests.sim.board import Board
    from tests.sim.scenario import Scenario

GAP_MS = 20 * SECOND
RECOVERY_MS = 60 * SECOND
FLOODED = 2
DIRECT_PAIRS, DIRECT_S = 60, 30
REMOVED, EXPIRED = 3, 5
IDLE_EVENTS = 12


class Ending:
    """Of one scenario."""

    def __init__(self, scenario: "Scenario") -> None:
        self._scenario = scenario
        self.world, self.boards, self.gateway, self.checks = scenario.world, scenario.boards, scenario.gateway, scenario.checks
        self.idle_events = 0.0  # a node and minute
        self.recovered = 0  # ms till all pairs answered after everything was healed

    def run(self, end: int) -> None:
        pairs = sorted(self._scenario.tried)
        healed = self.world.now
        self._must(self._unanswered(pairs, SECOND, RECOVERY_MS), f"{RECOVERY_MS} ms after everything was healed")
        self.recovered = self.world.now - healed
        self.world.run(end - 15 * MINUTE)
        self._liveness(pairs, end)
        self._latecomer()
        self.world.run(end - 10 * MINUTE)
        late = self._unanswered(pairs, SECOND, GAP_MS, self._forget_mappings)
        self._must(late, f"{GAP_MS} ms after the NATs forgot their mappings")
        self._directness(pairs[:DIRECT_PAIRS])
        self.world.run(end - 9 * MINUTE)
        self._withdrawal(pairs)
        self.world.run(end - 4 * MINUTE)
        before = self.world.events
        self.world.run(end)
        self._idle((self.world.events - before) / len(self.boards) / 4)
        self._agreement()

    def _must(self, silent: list[str], when: str) -> None:
        if silent:
            self.checks.fail(f"{len(silent)} of {len(self._scenario.tried)} pairs did not answer {when}: {', '.join(silent[:10])}")

    # -- asking till everybody answered -------------------------------------------------------------------------------------------
    def _unanswered(self, pairs: list[tuple[int, int]], every: int, deadline: int, midway: Callable[[], None] | None = None) -> list[str]:
        """Ask again and again till all have answered something asked after `midway`; the pairs that never did."""
        missing = set(pairs)
        tokens: dict[bytes, tuple[int, int]] = {}
        if midway:
            self._round(sorted(missing), tokens)
            self.world.run(self.world.now + 5 * SECOND)
            midway()
            tokens.clear()
        end = self.world.now + deadline
        while missing and self.world.now < end:
            self._round(sorted(missing), tokens)
            self.world.run(self.world.now + every)
            missing -= {tokens[token] for token in tokens if token in self._scenario.answers}
        return [f"n{a} -> n{b}" for a, b in sorted(missing)]

    def _round(self, pairs: list[tuple[int, int]], tokens: dict[bytes, tuple[int, int]]) -> None:
        for pair in pairs:
            token = self._scenario.say(*pair)
            if token:
                tokens[token] = pair

    def _liveness(self, pairs: list[tuple[int, int]], end: int) -> None:
        for board in self.boards[:FLOODED]:
            self._scenario.faults.flood(board, end - 12 * MINUTE)
        self.world.run(self.world.now + 2 * SECOND)
        self._must(self._unanswered(pairs, 2 * SECOND, 2 * MINUTE), "within 2 minutes after some quiet, under a flood")
        self._scenario.faults.flood_over = True

    def _latecomer(self) -> None:
        """One more node, of which the others hear by a delta only."""
        last = len(self.boards)
        self._scenario.place(last, self.world.now + SECOND)
        self.world.run(self.world.now + 20 * SECOND)
        pairs = [(index, last) for index in range(last)]
        self._must(self._unanswered(pairs, 2 * SECOND, 30 * SECOND), "a minute after a new node joined")

    def _forget_mappings(self) -> None:
        for nat in self._scenario.network.nats.values():
            nat.reboot()

    def _directness(self, pairs: list[tuple[int, int]]) -> None:
        for _ in range(DIRECT_S):
            self._round(pairs, {})
            self.world.run(self.world.now + SECOND)
        wrong = []
        for a, b in pairs:
            one, other = self.boards[a], self.boards[b]
            assert one.engine is not None and other.engine is not None
            peer = one.engine.peers.by_key[other.engine.node_public]
            if _direct_is_possible(one, other) and not one.engine.paths.direct(peer):
                wrong.append(f"n{a} -> n{b}: " + " ".join(one.engine.why(peer.key)))
        if wrong:
            self.checks.fail(f"{len(wrong)} of {len(pairs)} pairs are not direct: {'; '.join(wrong[:3])}")

    # -- withdrawal ---------------------------------------------------------------------------------------------------------------
    def _withdrawal(self, pairs: list[tuple[int, int]]) -> None:
        gone = (REMOVED, EXPIRED)
        both = [(a, b) for one in gone for other in range(len(self.boards)) if other not in gone for a, b in ((one, other), (other, one))]
        talk = [pair for pair in both if pair in self._scenario.tried or pair[::-1] in self._scenario.tried]
        self._must(self._unanswered(talk, SECOND, GAP_MS), "before two nodes were withdrawn")
        keys = {index: self._key(self.boards[index]) for index in gone}
        self.gateway.shut_out(self.boards[REMOVED].host)
        for index, verb in ((REMOVED, "nodes remove"), (EXPIRED, "nodes expire")):
            self.gateway.call(verb, node=f"n{index}")
            self.checks.gone[index] = self.world.now
        self._talk_to_the_gone(talk, keys, WITHDRAWN_MS, 30 * SECOND)
        self.gateway.let_in(self.boards[REMOVED].host)
        for index in gone:
            self.boards[index].crash()
            self.boards[index].start()
        self._talk_to_the_gone(talk, keys, 0, 20 * SECOND)
        for index in gone:
            engine = self.boards[index].engine
            if engine is None or engine.state != "NeedsLogin":
                self.checks.fail(f"n{index} was withdrawn and is {engine.state if engine else 'off'} after a restart")
        self._must(self._unanswered([pair for pair in pairs if not set(pair) & set(gone)], SECOND, GAP_MS), "after others were withdrawn")

    @staticmethod
    def _key(board: "Board") -> bytes:
        assert board.engine is not None
        return board.engine.node_public

    def _talk_to_the_gone(self, pairs: list[tuple[int, int]], keys: dict[int, bytes], grace: int, span: int) -> None:
        end = self.world.now + span
        if grace:
            self._round(pairs, {})
            self.world.run(self.world.now + grace)
        while self.world.now < end:
            self._round(pairs, {})
            for index, key in keys.items():
                self._nobody_has(index, key)
            self.world.run(self.world.now + SECOND)

    def _nobody_has(self, index: int, key: bytes) -> None:
        if self.gateway.relay.clients.active(key):
            self.checks.fail(f"the relay serves n{index}, which was withdrawn")
        for board in self.boards:
            if board.engine and board.index not in (REMOVED, EXPIRED) and key in board.engine.peers.by_key:
                self.checks.fail(f"n{board.index} has n{index} as a peer, which was withdrawn")

    # -- the very end -------------------------------------------------------------------------------------------------------------
    def _idle(self, events: float) -> None:
        self.idle_events = events
        if events > IDLE_EVENTS:
            self.checks.fail(f"an idle network makes {events:.1f} events a node and minute, at most {IDLE_EVENTS} are expected")

    def _agreement(self) -> None:
        members = {node.name: node for node in self.gateway.coordinator.members.nodes.values()}
        for board in self.boards:
            node = members.get(f"n{board.index}")
            if board.index not in (REMOVED, EXPIRED):
                if node is None or board.engine is None or board.engine.state != "Running":
                    self.checks.fail(f"n{board.index} is {board.engine.state if board.engine else 'off'} in the end, not Running")
                    return
                self._agrees(board, node.id)

    def _agrees(self, board: "Board", node_id: int) -> None:
        coordinator = self.gateway.coordinator
        nobody: Any = None
        message = coordinator.maps.message(MapStream(node_id, nobody, 0, False), coordinator.wall(self.world.now))
        full = NetworkMap()
        full.apply(json.loads(json.dumps(message)))
        assert board.engine is not None
        folded = board.engine.netmap
        for number in full.peers.keys() | folded.peers.keys():
            told, true = (each.peers[number].document if number in each.peers else None for each in (folded, full))
            if told != true:
                self.checks.fail(f"n{board.index} has {told} where a full map has {true}")
        if folded.packet_filter() != full.packet_filter() or folded.dns != full.dns:
            self.checks.fail(f"n{board.index}: filter or DNS is not what a full map has")


def _direct_is_possible(one: "Board", other: "Board") -> bool:
    """What the NATs here (filtering by address and port) allow: one LAN, one side in the open, or both easy."""
    a, b = one.host, other.host
    if not (a.udp and b.udp):
        return False
    return a.nat is b.nat or a.nat is None or b.nat is None or not (a.nat.hard or b.nat.hard)
