"""What must hold at every moment of a run, whatever the faults: each check is a few operations inside something that happens anyway.

    sealed        no key seals one counter twice, over restarts and crashes; no data on a key older than 180 s, sent or opened
    stamps        TAI64N stamps of a node only grow, over crashes and clocks that jump, and stay below the cap
    delivered     what an application gets was sent by the node whose address it bears, to this one, once, on an allowed port; nothing comes
                  from or to a node that was removed or expired more than 2 s ago
    addresses     no two nodes have one address
    dials         a node opens at most DIALS streams a minute, all together STORM a node and second; a node sends at most DATAGRAMS a second
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from skerry_core.wireguard import tai64n
from skerry_shim import crypto
from tests.sim import packets
from tests.sim.world import World

REJECT_AFTER_MS = 180_000
WITHDRAWN_MS = 2_000
DIALS = 30
STORM = 4
DATAGRAMS = 500
LATEST_STAMP = tai64n.encode(2_111_616_000_000 + 366 * 86_400_000)


class Failure(AssertionError):
    """The scenario's promise does not hold; the message says what and where."""


class Checks:
    """Of a whole run. `fail` raises at once, out of the event in which it happened."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.boards: list[Any] = []
        self.asked: dict[bytes, tuple[int, int]] = {}  # token -> who asked whom
        self.gone: dict[int, int] = {}  # node -> since when nothing may come from it or reach it
        self.peak_dials = 0
        self._heard: set[bytes] = set()
        self._counters: dict[bytes, int] = {}
        self._stamps: dict[str, bytes] = {}
        self._owners: dict[bytes, str] = {}
        self._dials: dict[str, deque[int]] = {}
        self._second = (0, 0)

    def fail(self, sentence: str) -> None:
        raise Failure(f"at {self.world.now} ms: {sentence}")

    def sealed(self, key: bytes, counter: int, name: str) -> None:
        if counter <= self._counters.get(key, -1):
            self.fail(f"{name} sealed counter {counter} again after {self._counters[key]} with one key")
        self._counters[key] = counter

    def stamp(self, name: str, value: bytes) -> None:
        if value <= self._stamps.get(name, b""):
            self.fail(f"{name} gave stamp {value.hex()} after {self._stamps[name].hex()}")
        if value > LATEST_STAMP:
            self.fail(f"{name} gave stamp {value.hex()}, which burns its key for years")
        self._stamps[name] = value

    def delivered(self, board: Any, source: bytes, destination: bytes, payload: bytes) -> None:
        """A packet came out of the tunnel at `board`."""
        where = f"n{board.index} got {payload[:40]!r}"
        if payload[:1] not in (b"?", b"!") or payload[1:] not in self.asked:
            self.fail(f"{where}, which nobody may send")
        asker, answerer = self.asked[payload[1:]]
        sender, receiver = (asker, answerer) if payload[:1] == b"?" else (answerer, asker)
        if board.index != receiver or destination not in board.owned:
            self.fail(f"{where}, which is for n{receiver}")
        if source not in self.boards[sender].owned:
            self.fail(f"{where} from {source.hex()}, which is not n{sender}'s address")
        if payload in self._heard:
            self.fail(f"{where} twice")
        self._heard.add(payload)
        for node in (sender, receiver):
            if self.world.now > self.gone.get(node, self.world.now) + WITHDRAWN_MS:
                self.fail(f"{where}, {self.world.now - self.gone[node]} ms after n{node} was withdrawn")

    def addresses(self, name: str, addresses: list[bytes]) -> None:
        for address in addresses:
            if self._owners.setdefault(address, name) != name:
                self.fail(f"{name} and {self._owners[address]} both have {packets.text(address)}")

    def dialled(self, name: str) -> None:
        """A node opens a stream."""
        now = self.world.now
        recent = self._dials.setdefault(name, deque())
        recent.append(now)
        while now - recent[0] > 60_000:
            recent.popleft()
        if len(recent) > DIALS:
            self.fail(f"{name} opened {len(recent)} streams within a minute")
        second = now // 1000
        self._second = (second, self._second[1] + 1 if self._second[0] == second else 1)
        self.peak_dials = max(self.peak_dials, self._second[1])
        if self._second[1] > STORM * len(self.boards):
            self.fail(f"{self._second[1]} streams were opened within a second by {len(self.boards)} nodes")


class Watched:
    """The crypto interface for one board. `data`: for its transport (data packets), else for its engine (handshakes, control)."""

    def __init__(self, checks: Checks, name: str, data: bool) -> None:
        for function in ("x25519", "x25519_public", "open", "xseal", "xopen", "box_key", "box_seal", "box_open", "blake2s", "hmac", "hkdf"):
            setattr(self, function, getattr(crypto, function))
        self.ed25519_verify = crypto.ed25519_verify
        self._checks, self._name = checks, name
        self._born: dict[bytes, int] = {}
        self.seal: Callable[..., bytes] = self._seal_data if data else self._seal_message
        if data:
            self.open: Callable[..., bytes | None] = self._open_data

    def born(self, keys: tuple[bytes, ...]) -> None:
        """A session with these keys is installed."""
        for key in keys:
            self._born[key] = self._checks.world.now

    def _age(self, key: bytes, what: str) -> None:
        age = self._checks.world.now - self._born[key]
        if age > REJECT_AFTER_MS:
            self._checks.fail(f"{self._name} {what} data with a key {age} ms old")

    def _seal_data(self, key: bytes, nonce: bytes, plaintext: bytes, ad: bytes = b"") -> bytes:
        self._checks.sealed(key, int.from_bytes(nonce[4:], "little"), self._name)
        self._age(key, "sealed")
        return crypto.seal(key, nonce, plaintext, ad)

    def _open_data(self, key: bytes, nonce: bytes, ciphertext: bytes, ad: bytes = b"") -> bytes | None:
        plaintext = crypto.open(key, nonce, ciphertext, ad)
        if plaintext is not None:
            self._age(key, "opened")
        return plaintext

    def _seal_message(self, key: bytes, nonce: bytes, plaintext: bytes, ad: bytes = b"") -> bytes:
        self._checks.sealed(key, int.from_bytes(nonce[4:], "big"), self._name)
        if len(plaintext) == tai64n.LENGTH and plaintext[:1] == b"\x40" and not any(nonce):
            self._checks.stamp(self._name, plaintext)
        return crypto.seal(key, nonce, plaintext, ad)
