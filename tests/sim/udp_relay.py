"""A small UDP peer relay for tests of the client side: what tailscaled 1.102's does on the wire, without its bounds and lifetimes' sweep.

`open()` answers an AllocateRequest, `datagram()` a datagram to its port; `serve()` puts it behind a node's engine, which hands it the
requests that come over DERP. To be replaced by skerry_core's own server.
"""

from collections.abc import Callable
from typing import Any

from skerry_core import disco, geneve
from skerry_core.path import is_relay
from skerry_shim import crypto

Endpoint = tuple[bytes, int]
BIND_MS, STEADY_MS = 30_000, 300_000


class Session:
    """One pair: allocation, addresses bound (None before), when each was heard, generation of a handshake under way (0 = none)."""

    def __init__(self, allocation: disco.Allocation, now: int) -> None:
        self.allocation, self.since = allocation, now
        self.bound: list[Endpoint | None] = [None, None]
        self.heard, self.generations = [now, now], [0, 0]

    def expired(self, now: int) -> bool:
        if None in self.bound:
            return now - self.since > BIND_MS
        return now - min(self.heard) > STEADY_MS


class UdpRelay:
    """`addresses` are told to clients."""

    def __init__(self, random: Callable[[int], bytes], addresses: list[Endpoint]) -> None:
        self.private, self._secret, self.addresses = random(32), random(32), addresses
        self.public = crypto.x25519_public(self.private)
        self._random = random
        self.sessions: dict[int, Session] = {}
        self._vni = self._lamport = 0
        self.requests = self.forwarded = 0

    def open(self, message: disco.AllocateRequest, now: int) -> disco.AllocateResponse:
        """The place of this pair, the same one while it lives."""
        self.requests += 1
        for vni, session in list(self.sessions.items()):
            if session.expired(now):
                del self.sessions[vni]
            elif set(session.allocation.client_keys) == set(message.client_keys):
                return disco.AllocateResponse(message.generation, session.allocation)
        self._vni += 1
        self._lamport += 1
        keys = message.client_keys
        allocation = disco.Allocation(self.public, keys, self._lamport, self._vni, BIND_MS, STEADY_MS, self.addresses)
        self.sessions[self._vni] = Session(allocation, now)
        return disco.AllocateResponse(message.generation, allocation)

    def datagram(self, source: Endpoint, data: bytes, now: int) -> tuple[Endpoint, bytes] | None:
        """What to send, and where."""
        found = geneve.decode(data)
        session = None if found is None else self.sessions.get(found[1])
        if found is None or session is None or session.expired(now):
            return None
        if found[2]:
            return self._control(session, source, found[3], now)
        if None in session.bound or source not in session.bound:
            return None
        side = session.bound.index(source)
        session.heard[side] = now
        self.forwarded += 1
        other = session.bound[1 - side]
        return None if other is None else (other, data)

    def _control(self, session: Session, source: Endpoint, data: bytes, now: int) -> tuple[Endpoint, bytes] | None:
        keys, sender = session.allocation.client_keys, disco.sender(data)
        if sender not in keys:
            return None
        side = keys.index(sender)
        box = crypto.box_key(self.private, sender)
        message = disco.open(crypto, box, data)
        if not isinstance(message, disco.Bind | disco.Answer):
            return None
        if (message.vni, message.remote_key) != (session.allocation.vni, keys[1 - side]):
            return None
        proof = crypto.blake2s(b"%d %d %b %b %d" % (message.vni, message.generation, message.remote_key, *source), self._secret)
        if isinstance(message, disco.Bind):
            session.generations[side] = message.generation
            answer = disco.Challenge(message.vni, message.generation, message.remote_key, proof)
            sealed = disco.seal(crypto, box, self.public, self._random(24), answer)
            return source, geneve.encode(geneve.DISCO, message.vni, True, sealed)
        if message.generation == session.generations[side] and message.challenge == proof:
            session.bound[side], session.heard[side], session.generations[side] = source, now, 0
        return None


def serve(relay: UdpRelay, engine: Any, random: Callable[[int], bytes]) -> None:
    """Take the requests for places out of what this node's engine receives, and answer them over the same DERP path."""
    receive = engine.receive

    def wrapped(item: tuple[Any, ...], now: int) -> None:
        if item[0] == "datagram" and is_relay(item[1]) and (key := disco.sender(item[2])):
            box = crypto.box_key(engine.disco_private, key)
            message = disco.open(crypto, box, item[2])
            if isinstance(message, disco.AllocateRequest):
                engine.send(item[1], disco.seal(crypto, box, engine.disco_public, random(24), relay.open(message, now)))
                return
        receive(item, now)

    engine.receive = wrapped
