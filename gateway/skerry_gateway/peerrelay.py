"""The gateway's UDP relay, sans-IO: the peer that clients see (control.relaypeer), with its keys, around skerry_core's server.

    over DERP   AllocateRequest of a node for itself and a peer that it sees -> AllocateResponse; disco Ping -> Pong
    over UDP    STUN -> the gateway's answerer; Geneve with the control bit -> the server; disco Ping of a node -> Pong

Every message counts only from a node that takes part, and with the disco key which that node told us. Not answered: WireGuard, which is no
business of a relay's peer, CallMeMaybe, as it pings nobody, and a Ping from a stranger. `actions()`: those of the server (but "ask" and
"respond", which end here or become packets), for the sockets and what forwards in them, and ("derp", node key, packet).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from skerry_core import disco, stun
from skerry_core.errors import PeerError
from skerry_core.peerrelay import Server
from skerry_core.rate import Rate
from skerry_gateway.stun import Answerer

Path = tuple[Any, ...]
DERP_ADDRESS = b"\x7f\x03\x03\x28"  # 127.3.3.40 with the region as port stands for a relay
BOXES, NODES = 4096, 16384
DERP_MS, DERP_BURST = 50, 128  # messages of one node
STRANGE_MS, STRANGE_BURST = 10, 100  # pings over UDP that cost a key agreement


class Directory(Protocol):
    """Who is who; the coordinator."""

    def disco_of(self, node_key: bytes) -> bytes | None: ...
    def peer_with(self, node_key: bytes, disco_key: bytes) -> bytes | None: ...


class PeerRelay:
    """`node_key` and `disco_key` are public; the private ones stay. Counters of what was refused are in `server.counters` and `refused`."""

    def __init__(
        self,
        crypto: Any,
        random: Callable[[int], bytes],
        node_private: bytes,
        disco_private: bytes,
        directory: Directory,
        answerer: Answerer,
        region: int,
        now: int,
    ) -> None:
        self._crypto, self._random, self._directory, self._answerer = crypto, random, directory, answerer
        self._private, self._region = disco_private, region
        self.node_key: bytes = crypto.x25519_public(node_private)
        self.disco_key: bytes = crypto.x25519_public(disco_private)
        self.server = Server(crypto, random, now)
        self.refused = 0
        self._actions: list[tuple[Any, ...]] = []
        self._boxes: dict[bytes, bytes] = {}  # by disco key, of nodes alone
        self._rates: dict[bytes, Rate] = {}  # by node key
        self._strange = Rate(STRANGE_MS, STRANGE_BURST)
        self._keys: dict[bytes, dict[bytes, None]] = {}  # disco keys that a node has had places with
        self._askers: dict[bytes, bytes] = {}  # node keys by disco key, while a request is answered

    # what comes

    def derp(self, source: bytes, packet: bytes, now: int) -> None:
        """A packet of the node with that key, over DERP."""
        key = disco.sender(packet)
        if key is None or key != self._directory.disco_of(source) or not self._rate(source).take(now):
            self.refused += 1
            return
        message = self._open(key, packet)
        if isinstance(message, disco.Ping) and message.node_key in (b"", source):
            self._reply(("derp", source), key, disco.Pong(message.txid, DERP_ADDRESS, self._region))
        elif isinstance(message, disco.AllocateRequest):
            self._request(source, key, message, now)
        else:
            self.refused += 1

    def datagram(self, where: Path, data: bytes, now: int) -> None:
        """What came over UDP and is no data of a pair."""
        if stun.is_stun(data):
            answer = self._answerer.answer(data, where[2], where[3], now)
            if answer is not None:
                self._actions.append(("send", where, answer))
        elif disco.is_disco(data):
            self._ping(where, data, now)
        else:
            self._serve(("datagram", where, data), now)

    def heard(self, vni: int, heard: tuple[int, int] | None, now: int) -> None:
        """The answer to the action "ask"."""
        self._serve(("heard", vni, heard), now)

    def set_addresses(self, addresses: list[tuple[bytes, int]], now: int) -> None:
        """Where clients reach us."""
        self._serve(("addresses", addresses), now)

    def withdraw(self, node_key: bytes, now: int) -> None:
        """A node may not use us any more."""
        for key in self._keys.pop(node_key, {}):
            self._forget(key, now)
        self._rates.pop(node_key, None)

    # the verbs that remain

    def next_timer(self) -> int | None:
        return self.server.next_timer()

    def handle_timer(self, now: int) -> None:
        self.server.handle_timer(now)
        self._collect()

    def actions(self) -> list[tuple[Any, ...]]:
        actions, self._actions = self._actions, []
        return actions

    # inside

    def _request(self, source: bytes, key: bytes, message: disco.AllocateRequest, now: int) -> None:
        others = [each for each in message.client_keys if each != key]
        other = self._directory.peer_with(source, others[0]) if len(others) == 1 else None
        if other is None:
            self.refused += 1
            return
        for node_key, disco_key in ((source, key), (other, others[0])):
            self._note(node_key, disco_key, now)
        self._askers[key] = source
        self._serve(("request", key, message), now)
        del self._askers[key]

    def _note(self, node_key: bytes, disco_key: bytes, now: int) -> None:
        """Whose places these are. Of a node that changes its disco key often the oldest are given up."""
        keys = self._keys.setdefault(node_key, {})
        keys[disco_key] = None
        while len(keys) > 4:
            old = next(iter(keys))
            del keys[old]
            self._forget(old, now)

    def _forget(self, key: bytes, now: int) -> None:
        self._boxes.pop(key, None)
        self._serve(("gone", key), now)

    def _serve(self, item: tuple[Any, ...], now: int) -> None:
        self.server.receive(item, now)
        self._collect()

    def _collect(self) -> None:
        for action in self.server.actions():
            if action[0] == "respond":
                self._reply(("derp", self._askers[action[1]]), action[1], action[2])
            else:
                self._actions.append(action)

    def _ping(self, where: Path, data: bytes, now: int) -> None:
        """Answered when it opens and names a node that has this disco key."""
        key = disco.sender(data)
        known = key in self._boxes
        if key is None or (not known and not self._strange.take(now)):
            self.refused += 1
            return
        message = self._open(key, data)
        if isinstance(message, disco.Ping) and message.node_key and self._directory.disco_of(message.node_key) == key:
            self._reply(("send", where), key, disco.Pong(message.txid, where[2], where[3]))
            return
        self.refused += 1
        if not known:
            self._boxes.pop(key, None)

    def _open(self, key: bytes, packet: bytes) -> disco.Message | None:
        try:
            return disco.open(self._crypto, self._box(key), packet)
        except PeerError:
            return None

    def _box(self, key: bytes) -> bytes:
        box = self._boxes.get(key)
        if box is None:
            while len(self._boxes) >= BOXES:
                del self._boxes[next(iter(self._boxes))]
            box = self._boxes[key] = self._crypto.box_key(self._private, key)
        return box

    def _rate(self, node_key: bytes) -> Rate:
        if node_key not in self._rates:
            while len(self._rates) >= NODES:
                del self._rates[next(iter(self._rates))]
            self._rates[node_key] = Rate(DERP_MS, DERP_BURST)
        return self._rates[node_key]

    def _reply(self, to: tuple[Any, ...], key: bytes, message: disco.Message) -> None:
        sealed = disco.seal(self._crypto, self._box(key), self.disco_key, self._random(24), message)
        self._actions.append((*to, sealed))
