"""The scenario: nodes behind NATs join one gateway and talk to a few others through a day of faults; what must hold at the end.

    0 .. 10 min      every node is switched on at a random moment and joins with the reusable key
    .. end - 20 min  conversations at random times; faults come and go, each kind counted
    end - 20 min     everything is healed; 5 minutes of quiet
    end - 15 min     *liveness*: every pair that ever tried must answer again, with some nodes under a flood of forged handshakes
    end - 11 min     *a latecomer* joins: everybody who is asked to must reach it, which takes the delta that told of it
    end - 10 min     *roaming*: every NAT forgets its mappings in the middle of a conversation; answers must come back within GAP_MS

Asserted besides: engine and transport always come to rest, every kind of fault was hit, nobody's clock jump cut anybody off.
"""

from collections.abc import Callable
from dataclasses import dataclass

from skerry_core.wireguard import cookie
from skerry_shim import crypto
from tests.sim.board import PORT, Board
from tests.sim.network import Nat, Network
from tests.sim.server import SimGateway
from tests.sim.world import World

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
GAP_MS = 20 * SECOND
YEAR = 365 * 24 * HOUR
FLOOD_EVERY_MS = 8  # 125 forged initiations a second: above the limit from which cookies are asked for
FLOODED = 2

FAULTS = ("loss", "duplicate", "reorder", "flip", "partition", "stall", "nat-reboot", "crash", "clock-jump", "gateway-restart", "flood")


class Failure(AssertionError):
    """The scenario's promise does not hold; the message names the pairs."""


@dataclass
class Size:
    nodes: int = 50
    hours: int = 24
    friends: int = 3
    talks: int = 12  # conversations a node begins in the day
    faults: int = 60  # fault windows in the day


class Scenario:
    """One run. `run()` raises Failure; `world.hash()` and `world.hits` tell what happened."""

    def __init__(self, seed: int, size: Size | None = None) -> None:
        self.size = size or Size()
        self.world = World(seed)
        self.network = Network(self.world)
        self.gateway = SimGateway(self.world, self.network)
        self.boards: list[Board] = []
        self.friends: dict[int, list[int]] = {}
        self.tried: set[tuple[int, int]] = set()
        self.answers: dict[bytes, int] = {}
        self.tokens = 0
        self._flood_over = False
        self.end = self.size.hours * HOUR
        for index in range(self.size.nodes):
            self._place(index, self.world.random.randrange(10 * MINUTE))

    # -- setting up ---------------------------------------------------------------------------------------------------------------
    def _place(self, index: int, start: int) -> None:
        """A node that is switched on at `start` ms: a tenth public, a fifth behind hard NATs, every seventh shares its neighbour's LAN, the rest behind easy NATs."""
        nat: Nat | None = Nat(bytes([20, 0, index // 256, index % 256]), hard=index % 5 == 1)
        if index % 10 == 0:
            nat = None
        elif index % 7 == 6 and self.boards[-1].host.nat:
            nat = self.boards[-1].host.nat
        address = bytes([30, 0, index // 256, index % 256]) if nat is None else bytes([192, 168, index // 256, index % 256])
        host = self.network.host(f"n{index}", address, nat)
        config = {"gateway": self.gateway.url, "hostname": f"n{index}", "os": "linux", "version": "sim"}
        board = Board(self.world, self.network, host, config, self.gateway.dial, self._answered)
        self.boards.append(board)
        random = self.world.random
        others = [i for i in range(self.size.nodes) if i != index]
        self.friends[index] = random.sample(others, min(self.size.friends, len(others)))
        self.world.after(start - self.world.now, lambda: self._switch_on(board))

    def _switch_on(self, board: Board) -> None:
        board.start()
        board.up(self.gateway.key)

    # -- talking ------------------------------------------------------------------------------------------------------------------
    def _answered(self, board: Board, token: bytes) -> None:
        self.answers[token] = self.world.now

    def say(self, a: int, b: int) -> bytes | None:
        """One question from a to b; its token, or None when one of them is off or not yet a member."""
        one, other = self.boards[a], self.boards[b]
        if not one.addresses or not other.addresses:
            return None
        self.tokens += 1
        token = b"%d-%d-%d" % (a, b, self.tokens)
        self.tried.add((a, b))
        one.say(other.addresses[0], b"?" + token)
        return token

    def _converse(self, a: int, b: int, left: int) -> None:
        if left and self.boards[a].engine:
            self.say(a, b)
            self.world.after(SECOND, lambda: self._converse(a, b, left - 1))

    def _plan_talks(self) -> None:
        random = self.world.random
        for a, friends in self.friends.items():
            for _ in range(self.size.talks):
                start = random.randrange(10 * MINUTE, self.end - 25 * MINUTE)
                b, length = random.choice(friends), random.randrange(10, 60)
                self.world.after(start, lambda a=a, b=b, length=length: self._converse(a, b, length))  # type: ignore[misc]

    # -- faults -------------------------------------------------------------------------------------------------------------------
    def _plan_faults(self) -> None:
        random = self.world.random
        kinds = [self._bad_link, self._partition, self._nat_reboot, self._crash, self._clock_jump, self._gateway_restart]
        kinds.append(self._flood_a_while)
        for number in range(self.size.faults):
            at = random.randrange(11 * MINUTE, self.end - 40 * MINUTE)
            self.world.after(at, kinds[number % len(kinds)])

    def _board(self) -> Board:
        return self.world.random.choice(self.boards)

    def _bad_link(self) -> None:
        random, faults = self.world.random, self.network.faults
        faults.loss, faults.duplicate, faults.reorder, faults.flip = random.uniform(0.02, 0.3), 0.05, 0.05, 0.01
        self.world.after(random.randrange(MINUTE, 10 * MINUTE), self._good_link)

    def _good_link(self) -> None:
        faults = self.network.faults
        faults.loss = faults.duplicate = faults.reorder = faults.flip = 0.0

    def _partition(self) -> None:
        random = self.world.random
        for board in random.sample(self.boards, max(1, len(self.boards) // 10)):
            board.host.connected = False
            self.world.hits["partition"] += 1
            self.world.after(random.randrange(5 * SECOND, 10 * MINUTE), lambda host=board.host: setattr(host, "connected", True))  # type: ignore[misc]

    def _nat_reboot(self) -> None:
        for nat in list(self.network.nats.values())[:: self.world.random.choice((1, 2, 3))]:
            nat.reboot()
            self.world.hits["nat-reboot"] += 1

    def _crash(self) -> None:
        board = self._board()
        if board.engine:
            board.crash()
            self.world.hits["crash"] += 1
            self.world.after(self.world.random.randrange(SECOND, 5 * MINUTE), board.start)

    def _clock_jump(self) -> None:
        random = self.world.random
        board = self._board()
        board.jump_clock(random.choice((HOUR, -HOUR, 10 * YEAR, -10 * YEAR, -board.wall() + 5 * SECOND)))
        self.world.hits["clock-jump"] += 1

    def _gateway_restart(self) -> None:
        self.gateway.restart(self.world.random.randrange(SECOND, 2 * MINUTE))
        self.world.hits["gateway-restart"] += 1

    def _flood_a_while(self) -> None:
        self.flood(self._board(), self.world.now + 30 * SECOND)

    def flood(self, board: Board, until: int) -> None:
        """Forged initiations with a valid MAC1 from spoofed sources, which make the board demand cookies."""
        public = self.gateway.public_key(board.config["hostname"])
        if public is None:
            return
        key = cookie.mac1_key(crypto, public)
        random = self.world.random

        def forge() -> None:
            if self.world.now >= until or board.engine is None or self._flood_over:
                return
            head = b"\x01\0\0\0" + random.randbytes(112)
            self.world.hits["flood"] += 1
            receive = board.host.sockets.get(PORT)
            if receive and board.host.reachable:
                receive((random.randbytes(4), 9), head + crypto.blake2s(head, key, 16) + bytes(16))
            self.world.after(FLOOD_EVERY_MS, forge)

        forge()

    def _heal(self) -> None:
        self._good_link()
        for board in self.boards:
            board.host.connected = True
            if board.engine is None:
                board.start()

    # -- what must hold -----------------------------------------------------------------------------------------------------------
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
            missing -= {tokens[token] for token in tokens if token in self.answers}
        return [f"n{a} -> n{b}" for a, b in sorted(missing)]

    def _round(self, pairs: list[tuple[int, int]], tokens: dict[bytes, tuple[int, int]]) -> None:
        for pair in pairs:
            token = self.say(*pair)
            if token:
                tokens[token] = pair

    def _latecomer(self) -> None:
        """One more node, of which the others hear by a delta only."""
        last = len(self.boards)
        self._place(last, self.world.now + SECOND)
        self.world.run(self.world.now + 20 * SECOND)
        pairs = [(index, last) for index in range(last)]
        self._must(self._unanswered(pairs, 2 * SECOND, 30 * SECOND), "a minute after a new node joined")

    def _forget_mappings(self) -> None:
        for nat in self.network.nats.values():
            nat.reboot()

    def run(self) -> None:
        self._plan_talks()
        self._plan_faults()
        self.world.run(self.end - 20 * MINUTE)
        self._heal()
        self.world.run(self.end - 15 * MINUTE)
        pairs = sorted(self.tried)
        for board in self.boards[:FLOODED]:
            self.flood(board, self.end - 12 * MINUTE)
        self.world.run(self.world.now + 2 * SECOND)
        self._must(self._unanswered(pairs, 2 * SECOND, 2 * MINUTE), "2 minutes after everything was healed")
        self._flood_over = True
        self._latecomer()
        self.world.run(self.end - 10 * MINUTE)
        late = self._unanswered(pairs, SECOND, GAP_MS, self._forget_mappings)
        self._must(late, f"{GAP_MS} ms after the NATs forgot their mappings")
        self.world.run(self.end)

    def _must(self, silent: list[str], when: str) -> None:
        if silent:
            raise Failure(f"{len(silent)} of {len(self.tried)} pairs did not answer {when}: {', '.join(silent[:10])}")

    def unhit(self) -> list[str]:
        """Kinds of fault that never happened: such a run proves nothing about them."""
        return [kind for kind in FAULTS if not self.world.hits[kind]]
