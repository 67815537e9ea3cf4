"""The UDP relay's server of skerry_core in a simulated network, with its forwarding in a few lines instead of C.

`datagram()` takes one to its port; `serve()` puts it behind a node's engine, which hands it the requests that come over DERP.
"""

from collections.abc import Callable
from typing import Any

from skerry_core import disco, geneve, path
from skerry_core.path import is_relay
from skerry_core.peerrelay import Server
from skerry_shim import crypto

Endpoint = tuple[bytes, int]


class UdpRelay:
    """`addresses` are told to clients."""

    def __init__(self, random: Callable[[int], bytes], addresses: list[Endpoint]) -> None:
        self.server, self.addresses = Server(crypto, random, 0), addresses
        self.server.receive(("addresses", addresses), 0)
        self.public = self.server.public
        self.pairs: dict[int, tuple[Any, Any]] = {}
        self.heard: dict[int, list[int]] = {}
        self.forwarded = 0

    @property
    def requests(self) -> int:
        return self.server.counters["requests"]

    def request(self, asker: bytes, message: disco.AllocateRequest, now: int) -> disco.AllocateResponse | None:
        """The answer to the holder of that disco key."""
        found = [action[2] for action in self._turn(("request", asker, message), now) if action[0] == "respond"]
        return found[0] if found else None

    def datagram(self, source: Endpoint, data: bytes, now: int) -> tuple[Endpoint, bytes] | None:
        """What to send, and where."""
        where, found = path.udp(0, *source), geneve.decode(data)
        if found is None:
            return None
        if found[2]:
            sent = [action for action in self._turn(("datagram", where, data), now) if action[0] == "send"]
            return ((sent[0][1][2], sent[0][1][3]), sent[0][2]) if sent else None
        self._turn(None, now)
        pair = self.pairs.get(found[1])
        if pair is None or where not in pair:
            return None
        side = pair.index(where)
        self.heard[found[1]][side] = now
        self.forwarded += 1
        other = pair[1 - side]
        return (other[2], other[3]), data

    def _turn(self, item: tuple[Any, ...] | None, now: int) -> list[tuple[Any, ...]]:
        """Let time pass, then the item come; the actions that are not forwarding's own."""
        found: list[tuple[Any, ...]] = []
        while (due := self.server.next_timer()) is not None and due <= now:
            self.server.handle_timer(due)
            found += self._carry_out(due)
        if item is not None:
            self.server.receive(item, now)
        return found + self._carry_out(now)

    def _carry_out(self, now: int) -> list[tuple[Any, ...]]:
        left = []
        for action in self.server.actions():
            kind, vni = action[:2]
            if kind == "open":
                self.heard[vni] = [0, 0]
            elif kind == "bind":
                self.pairs[vni] = action[2:]
            elif kind == "close":
                del self.heard[vni]
                self.pairs.pop(vni, None)
            elif kind == "ask":
                self.server.receive(("heard", vni, tuple(self.heard[vni])), now)
                left += self._carry_out(now)
            else:
                left.append(action)
        return left


def serve(relay: UdpRelay, engine: Any, random: Callable[[int], bytes]) -> None:
    """Take the requests for places out of what this node's engine receives, and answer them over the same DERP path."""
    receive = engine.receive

    def wrapped(item: tuple[Any, ...], now: int) -> None:
        if item[0] == "datagram" and is_relay(item[1]) and (key := disco.sender(item[2])):
            box = crypto.box_key(engine.disco_private, key)
            message = disco.open(crypto, box, item[2])
            if isinstance(message, disco.AllocateRequest):
                response = relay.request(key, message, now)
                if response is not None:
                    engine.send(item[1], disco.seal(crypto, box, engine.disco_public, random(24), response))
                return
        receive(item, now)

    engine.receive = wrapped
