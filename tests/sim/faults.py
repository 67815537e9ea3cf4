"""What goes wrong in a run: each kind a method that does it once, at a random place, and heals by itself after a while.

A kind is counted in world.hits where it bites (a datagram lost, a board crashed), not where it is planned. In a *swarm* run half of the
kinds, chosen by the seed, stay away: some bugs hide where everything goes wrong at once.
"""

import hashlib
import random
from collections.abc import Callable

from skerry_core.wireguard import cookie
from skerry_shim import crypto
from tests.sim.board import PORT, Board
from tests.sim.network import Nat, Network
from tests.sim.server import SimGateway
from tests.sim.world import World

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
YEAR = 365 * 24 * HOUR
FLOOD_EVERY_MS = 8  # 125 forged initiations a second: above the limit from which cookies are asked for

# what must have happened for a run to have met every kind
HITS = (
    "loss", "duplicate", "reorder", "flip", "partition", "stall", "one-way", "udp-blocked", "lag", "nat-reboot", "move", "crash",
    "suspend", "clock-jump", "gateway-restart", "relay-restart", "flood", "reset", "clone", "policy-edit", "restart",
)  # fmt: skip


class Faults:
    """`once(kind)` does one; `plan` spreads many over a span; `heal` ends all that are still going on."""

    def __init__(self, world: World, network: Network, gateway: SimGateway, boards: list[Board]) -> None:
        self.world, self.network, self.gateway, self.boards = world, network, gateway, boards
        self.flood_over = False
        self.talk: Callable[[Board], None] = lambda _: None  # begin a conversation of that board's
        self._moves = 0
        self._twins: list[Board] = []
        self.kinds: dict[str, Callable[[], None]] = {
            "bad link": self._bad_link, "partition": self._partition, "nat reboot": self._nat_reboot, "crash": self._crash,
            "clock jump": self._clock_jump, "gateway restart": self._gateway_restart, "flood": self._flood_a_while,
            "relay restart": self._relay_restart, "one way": self._one_way, "udp blocked": self._udp_blocked, "move": self._move,
            "suspend": self._suspend, "lag": self._lag, "reset": self._reset, "clone": self._clone, "policy edit": self._policy_edit,
            "restart": self._restart,
        }  # fmt: skip

    def chosen(self, seed: int, swarm: bool) -> list[str]:
        """The kinds of a run."""
        names = list(self.kinds)
        return sorted(random.Random(f"swarm {seed}").sample(names, len(names) // 2)) if swarm else names

    def plan(self, kinds: list[str], count: int, start: int, end: int) -> None:
        for number in range(count):
            self.world.after(self.world.random.randrange(start, end), self.kinds[kinds[number % len(kinds)]])

    def heal(self) -> None:
        self._good_link()
        self.gateway.come_back()
        for twin in self._twins:
            twin.crash()
        for board in self.boards:
            host = board.host
            host.connected, host.mute, host.deaf, host.lag = True, False, False, 0
            host.udp = not board.streams_only
            board.resume()
            if board.engine is None:
                board.start()

    def _board(self) -> Board:
        return self.world.random.choice(self.boards)

    def _later(self, least: int, most: int, action: Callable[[], None]) -> None:
        self.world.after(self.world.random.randrange(least, most), action)

    # the network

    def _bad_link(self) -> None:
        uniform, faults = self.world.random.uniform, self.network.faults
        faults.loss, faults.duplicate, faults.reorder, faults.flip = uniform(0.02, 0.3), 0.05, 0.05, 0.01
        self._later(MINUTE, 10 * MINUTE, self._good_link)

    def _good_link(self) -> None:
        faults = self.network.faults
        faults.loss = faults.duplicate = faults.reorder = faults.flip = 0.0

    def _partition(self) -> None:
        for board in self.world.random.sample(self.boards, max(1, len(self.boards) // 10)):
            board.host.connected = False
            self.world.hits["partition"] += 1
            self._later(5 * SECOND, 10 * MINUTE, lambda host=board.host: setattr(host, "connected", True))  # type: ignore[misc]

    def _one_way(self) -> None:
        """What a host sends, or what is sent to it, is lost; its streams stall. It talks just then: a silent one would prove nothing."""
        board, which = self._board(), self.world.random.choice(("mute", "deaf"))
        host = board.host
        self.talk(board)
        setattr(host, which, True)
        self._later(5 * SECOND, 5 * MINUTE, lambda: setattr(host, which, False))

    def _udp_blocked(self) -> None:
        """A network that lets only streams through."""
        board = self._board()
        board.host.udp = False
        self._later(MINUTE, 20 * MINUTE, lambda: setattr(board.host, "udp", not board.streams_only))

    def _lag(self) -> None:
        """A full buffer: datagrams of one host come seconds late."""
        host = self._board().host
        host.lag = self.world.random.randrange(1 * SECOND, 30 * SECOND)
        self.world.hits["lag"] += 1
        self._later(10 * SECOND, 3 * MINUTE, lambda: setattr(host, "lag", 0))

    def _nat_reboot(self) -> None:
        for nat in list(self.network.nats.values())[:: self.world.random.choice((1, 2, 3))]:
            nat.reboot()
            self.world.hits["nat-reboot"] += 1

    def _move(self) -> None:
        """Another network: another address behind another NAT, or in the open."""
        self._moves += 1
        high, low = self._moves // 256, self._moves % 256
        kind = self.world.random.randrange(4)
        nat = Nat(bytes([21, 0, high, low]), hard=kind == 1) if kind else None
        self._board().move(bytes([172, 16 + high // 256, high % 256, low]) if nat else bytes([31, 0, high, low]), nat)
        self.world.hits["move"] += 1

    # boards

    def _crash(self) -> None:
        board = self._board()
        if board.engine:
            board.crash()
            self.world.hits["crash"] += 1
            self._later(SECOND, 5 * MINUTE, lambda: None if board.engine else board.start())

    def _restart(self) -> None:
        """skerryd is restarted and hands over. Who has a session needs no other: that of now is what the next process talks with."""
        board = self._board()
        if not board.awake or board.engine is None:
            return
        current = {peer.key: peer.current.local for peer in board.engine.peers.all() if peer.current is not None}
        board.restart()
        for peer in board.engine.peers.all():
            if current.get(peer.key) != (None if peer.current is None else peer.current.local):
                board.checks.fail(f"{board.host.name} does not go on with the session it had with {peer.name()}")
        self.world.hits["restart"] += 1

    def _suspend(self) -> None:
        board = self._board()
        if board.awake:
            board.suspend()
            self.world.hits["suspend"] += 1
            self._later(SECOND, self.world.random.choice((10 * SECOND, 3 * MINUTE, 2 * HOUR)), board.resume)

    def _clone(self) -> None:
        """The same card in a second board, for some minutes: two machines with one identity, who know nothing of each other."""
        board = self._board()
        if board.saved is None or not board.awake:
            return
        self._moves += 1
        nat = Nat(bytes([22, 0, self._moves // 256, self._moves % 256]))
        host = self.network.host(f"{board.host.name} clone {self._moves}", bytes([172, 24, self._moves // 256, self._moves % 256]), nat)
        twin = Board(board.index, self.world, self.network, host, board.config, self.gateway.dial, board.answered)
        twin.saved, twin.owned = board.saved, set(board.owned)
        twin.start()
        self._twins.append(twin)
        self.world.hits["clone"] += 1
        self._later(10 * SECOND, 5 * MINUTE, twin.crash)

    def _clock_jump(self) -> None:
        board = self._board()
        board.jump_clock(self.world.random.choice((HOUR, -HOUR, 10 * YEAR, -10 * YEAR, -board.wall() + 5 * SECOND)))
        self.world.hits["clock-jump"] += 1

    # the gateway

    def _gateway_restart(self) -> None:
        self.gateway.restart(self.world.random.randrange(SECOND, 2 * MINUTE), orderly=self.world.random.random() < 0.5)
        self.world.hits["gateway-restart"] += 1

    def _relay_restart(self) -> None:
        self.gateway.restart_relay()
        self.world.hits["relay-restart"] += 1

    def _reset(self) -> None:
        """One stream of a board breaks, at both ends."""
        board = self._board()
        if board.engine and board.streams:
            board.streams[self.world.random.choice(sorted(board.streams))].reset()
            self.world.hits["reset"] += 1

    def _policy_edit(self) -> None:
        """A few edits in quick succession that change nothing for anybody here."""
        for edit in range(self.world.random.randrange(1, 6)):
            self.world.after(100 * edit, self.gateway.edit_policy)

    # an attacker

    def _flood_a_while(self) -> None:
        self.flood(self._board(), self.world.now + 15 * SECOND)

    def flood(self, board: Board, until: int) -> None:
        """Forged initiations with a valid MAC1 from spoofed sources, which make the board demand cookies."""
        public = self.gateway.public_key(board.config["hostname"])
        if public is None:
            return
        key = cookie.mac1_key(crypto, public)
        random_bytes, life = self.world.random.randbytes, board.life

        def forge() -> None:
            if self.world.now >= until or board.life != life or self.flood_over:
                return
            head = b"\x01\0\0\0" + random_bytes(112)
            self.world.hits["flood"] += 1
            host = board.host
            if host.connected and host.up and not host.deaf:
                host.sockets[PORT]((head[4:8], 9), head + hashlib.blake2s(head, key=key, digest_size=16).digest() + bytes(16))
            self.world.after(FLOOD_EVERY_MS, forge)

        if board.awake:
            forge()
