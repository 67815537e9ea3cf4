"""The scenario: nodes behind NATs join one gateway and talk to a few others through a day of faults; what must hold at the end.

    0 .. 10 min      every node is switched on at a random moment and joins with the reusable key
    .. end - 20 min  conversations at random times; faults come and go, each kind counted
    end - 20 min     everything is healed, and the end begins: see ending.py

Checked all along: see checks.py. Nobody may get what the policy forbids, which everyone tries to send now and then.
"""

from dataclasses import dataclass

from tests.sim import packets
from tests.sim.board import Board
from tests.sim.checks import Checks, Failure
from tests.sim.ending import Ending
from tests.sim.faults import HITS, MINUTE, SECOND, Faults
from tests.sim.network import Nat, Network
from tests.sim.server import SimGateway
from tests.sim.world import World

__all__ = ["Failure", "Scenario", "Size"]
HOUR = 60 * MINUTE


@dataclass
class Size:
    nodes: int = 50
    hours: int = 24
    friends: int = 3
    talks: int = 8  # conversations a node begins in the day
    faults: int = 65  # in the day
    swarm: bool = False


class Scenario:
    """One run. `run()` raises Failure; `world.hash()` and `world.hits` tell what happened."""

    def __init__(self, seed: int, size: Size | None = None) -> None:
        self.seed, self.size = seed, size or Size()
        self.world = World(seed)
        self.checks = Checks(self.world)
        self.network = Network(self.world, self.checks)
        self.gateway = SimGateway(self.world, self.network)
        self.boards: list[Board] = self.checks.boards
        self.faults = Faults(self.world, self.network, self.gateway, self.boards)
        self.kinds = self.faults.chosen(seed, self.size.swarm)
        self.friends: dict[int, list[int]] = {}
        self.tried: set[tuple[int, int]] = set()
        self.answers: dict[bytes, int] = {}
        self.tokens = 0
        self.ending = Ending(self)
        self.end = self.size.hours * HOUR
        for index in range(self.size.nodes):
            self.place(index, self.world.random.randrange(10 * MINUTE))

    # -- setting up ---------------------------------------------------------------------------------------------------------------
    def place(self, index: int, start: int) -> None:
        """A node that is switched on at `start` ms. A tenth is public, a fifth behind hard NATs, the rest behind easy ones; every
        seventh shares its neighbour's LAN, every twelfth has a network that lets only streams through."""
        nat: Nat | None = Nat(bytes([20, 0, index // 256, index % 256]), hard=index % 5 == 1)
        if index % 10 == 0:
            nat = None
        elif index % 7 == 6 and self.boards[-1].host.nat:
            nat = self.boards[-1].host.nat
        address = bytes([30, 0, index // 256, index % 256]) if nat is None else bytes([192, 168, index // 256, index % 256])
        host = self.network.host(f"n{index}", address, nat)
        config = {"gateway": self.gateway.url, "hostname": f"n{index}", "os": "linux", "version": "sim"}
        board = Board(index, self.world, self.network, host, config, self.gateway.dial, self._answered)
        board.streams_only = index % 12 == 11
        host.udp = not board.streams_only
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
        if not one.addresses or not one.awake or not other.owned:
            return None
        self.tokens += 1
        token = b"%d-%d-%d" % (a, b, self.tokens)
        self.tried.add((a, b))
        self.checks.asked[token] = (a, b)
        one.say(min(other.owned), b"?" + token)
        return token

    def _say_forbidden(self, a: int, b: int) -> None:
        """To a port that the policy keeps closed; from another one, so that it looks like nobody's answer."""
        if self.boards[b].owned:
            self.boards[a].say(min(self.boards[b].owned), b"#%d" % a, (20000 + a, packets.FORBIDDEN))

    def _converse(self, a: int, b: int, left: int) -> None:
        if left and self.boards[a].awake:
            self.say(a, b)
            self.world.after(SECOND, lambda: self._converse(a, b, left - 1))
            if left % 10 == 0:
                self._say_forbidden(a, b)

    def _plan_talks(self) -> None:
        random = self.world.random
        for a, friends in self.friends.items():
            for _ in range(self.size.talks):
                start = random.randrange(10 * MINUTE, self.end - 25 * MINUTE)
                b, length = random.choice(friends), random.randrange(10, 60)
                self.world.after(start, lambda a=a, b=b, length=length: self._converse(a, b, length))  # type: ignore[misc]

    # -- the run ------------------------------------------------------------------------------------------------------------------
    def run(self) -> None:
        self._plan_talks()
        self.faults.plan(self.kinds, self.size.faults, 11 * MINUTE, self.end - 20 * MINUTE)
        self.world.run(self.end - 20 * MINUTE)
        self.faults.heal()
        self.ending.run(self.end)

    def unhit(self) -> list[str]:
        """Kinds of fault that never happened: such a run proves nothing about them."""
        return [kind for kind in HITS if not self.world.hits[kind]]
