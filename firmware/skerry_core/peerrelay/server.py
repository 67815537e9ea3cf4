"""The relay's places: asked for over DERP, bound over UDP, forgotten by time. Five verbs; time and randomness are passed in.

`receive(item, now)`:
    ("addresses", [(address, port), ...])     where clients reach us; while there are none, requests stay unanswered
    ("request", asker, AllocateRequest)       of the holder of the disco key `asker`, which may use us
    ("datagram", path, data)                  a Geneve packet with the control bit
    ("heard", vni, (ms, ms))                  the answer to "ask": when the two were heard last, 0 = never; None for an unknown place
    ("gone", key)                             a disco key may not use us any more
`actions()`, to be carried out in order:
    ("open", vni, (key, key))    ("bind", vni, path, path)    ("close", vni)    ("ask", vni)
    ("send", path, data)         ("respond", asker, AllocateResponse)
`handle_timer(now)`, `next_timer()`.

One place for one unordered pair: who asks for one that exists gets the same, and one that nobody is bound to yet lives on. The server's key
is made anew with each start, so that clients take new places for new whatever their Lamport ids were. Bounded: places in all and of one
asker, requests of one asker and new places in all. An asker can ask only for itself and one other. Stock relays have no such bounds.
"""

import heapq
import struct

from skerry_core import disco as codec
from skerry_core import geneve
from skerry_core.errors import PeerError
from skerry_core.path import MAX_VNI
from skerry_core.peerrelay.challenge import Challenges
from skerry_core.peerrelay.place import BIND, BOUND, OPEN, STEADY, Place
from skerry_core.rate import Rate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Path = tuple[Any, ...]
    Endpoint = tuple[bytes, int]

PLACES, OF_ASKER, ADDRESSES, ASKERS = 8192, 512, 16, 8192
REQUEST_MS, REQUEST_BURST = 50, 128  # of one asker: whoever comes back may want a place with each of its peers
PLACE_MS, PLACE_BURST = 5, 1000
PATIENCE = 10_000  # for the answer to "ask"


class Server:
    """See the module. `counters`: requests, places, bound, closed, refused, ignored (datagrams that are no handshake of ours)."""

    def __init__(self, crypto: "Any", random: "Callable[[int], bytes]", now: int) -> None:
        self._crypto, self._random = crypto, random
        self._private = random(32)
        self.public: bytes = crypto.x25519_public(self._private)
        self._challenges = Challenges(crypto, random, now)
        self._addresses: list[Endpoint] = []
        self._places: dict[int, Place] = {}
        self._pairs: dict[tuple[bytes, bytes], Place] = {}
        self._of: dict[bytes, set[int]] = {}  # network ids by disco key
        self._askers: dict[bytes, Rate] = {}
        self._new = Rate(PLACE_MS, PLACE_BURST)
        self._last_vni = int(struct.unpack(">I", b"\0" + random(3))[0])  # what clients of an earlier start still send means nothing
        self._lamport = 0
        self._due: list[tuple[int, int]] = []  # a heap of (due, vni), one entry a place; earlier than the place's own due is harmless
        self._actions: list[tuple[Any, ...]] = []
        self.counters = dict.fromkeys(("requests", "places", "bound", "closed", "refused", "ignored"), 0)

    def __len__(self) -> int:
        return len(self._places)

    # the verbs

    def receive(self, item: "tuple[Any, ...]", now: int) -> None:
        """See the module; never raises for what a client sent."""
        getattr(self, _ITEMS[item[0]])(*item[1:], now)

    def actions(self) -> "list[tuple[Any, ...]]":
        """What is to be done, once."""
        actions, self._actions = self._actions, []
        return actions

    def next_timer(self) -> "int | None":
        """When handle_timer() wants to be called; None: never."""
        return self._due[0][0] if self._due else None

    def handle_timer(self, now: int) -> None:
        """Close what is over."""
        while self._due and self._due[0][0] <= now:
            vni = heapq.heappop(self._due)[1]
            place = self._places.get(vni)
            if place is not None and place.due > now:
                self._watch(place)
            elif place is not None:
                self._look_at(place, now)

    # requests

    def _set_addresses(self, addresses: "list[Endpoint]", now: int) -> None:
        self._addresses = addresses[:ADDRESSES]

    def _request(self, asker: bytes, message: "codec.AllocateRequest", now: int) -> None:
        self.counters["requests"] += 1
        first, second = sorted(message.client_keys)
        usable = first != second and asker in (first, second) and self.public not in (first, second)
        if not self._addresses or not usable or not self._rate(asker, now).take(now):
            self.counters["refused"] += 1
            return
        place = self._pairs.get((first, second)) or self._allocate((first, second), asker, now)
        if place is None:
            self.counters["refused"] += 1
            return
        if place.stage == OPEN:
            place.due = now + BIND
        self._actions.append(("respond", asker, codec.AllocateResponse(message.generation, self._offer(place))))

    def _rate(self, asker: bytes, now: int) -> Rate:
        if asker not in self._askers:
            if len(self._askers) >= ASKERS:
                self._askers = {key: rate for key, rate in self._askers.items() if not rate.idle(now)}
            if len(self._askers) >= ASKERS:
                return self._new  # all of these asked a moment ago
            self._askers[asker] = Rate(REQUEST_MS, REQUEST_BURST)
        return self._askers[asker]

    def _allocate(self, keys: "tuple[bytes, bytes]", asker: bytes, now: int) -> "Place | None":
        charged = [vni for vni in self._of.get(asker, ()) if self._places[vni].asker == asker]
        if len(self._places) >= PLACES or len(charged) >= OF_ASKER or not self._new.take(now):
            return None
        self._lamport += 1
        place = Place(self._next_vni(), self._lamport, keys, asker, now)
        self._places[place.vni] = self._pairs[keys] = place
        for key in keys:
            self._of.setdefault(key, set()).add(place.vni)
        self._watch(place)
        self.counters["places"] += 1
        self._actions.append(("open", place.vni, keys))
        return place

    def _next_vni(self) -> int:
        while True:  # there are 2^24 and at most PLACES in use
            self._last_vni = self._last_vni % MAX_VNI + 1
            if self._last_vni not in self._places:
                return self._last_vni

    def _offer(self, place: Place) -> "codec.Allocation":
        return codec.Allocation(self.public, place.keys, place.lamport, place.vni, BIND, STEADY, self._addresses)

    # handshakes

    def _datagram(self, where: "Path", data: bytes, now: int) -> None:
        try:
            self._handshake(where, data, now)
        except PeerError:
            self.counters["ignored"] += 1

    def _handshake(self, where: "Path", data: bytes, now: int) -> None:
        found = geneve.decode(data)
        place = self._places.get(found[1]) if found is not None and found[2] and found[0] == geneve.DISCO else None
        number = place.side(codec.sender(found[3])) if found is not None and place is not None else None
        if found is None or place is None or number is None:
            raise PeerError("no handshake of a client of ours")
        side, other = place.sides[number], place.sides[1 - number]
        if side.box is None:
            side.box = self._crypto.box_key(self._private, side.key)
        message = codec.open(self._crypto, side.box, found[3])
        if not isinstance(message, (codec.Bind, codec.Answer)) or message.vni != place.vni or message.remote_key != other.key:
            raise PeerError("no Bind or Answer for this place")
        if isinstance(message, codec.Bind):
            side.generation = message.generation
            self._challenge(where, side.box, message, now)
        elif message.generation == side.generation and self._challenges.holds(where, message, now):
            self._bound(place, number, where, now)
        else:
            raise PeerError("an Answer to nothing that was asked there")

    def _challenge(self, where: "Path", box: bytes, message: "codec.Bind", now: int) -> None:
        proof = self._challenges.make(where, message, now)
        answer = codec.Challenge(message.vni, message.generation, message.remote_key, proof)
        sealed = codec.seal(self._crypto, box, self.public, self._random(24), answer)
        self._actions.append(("send", where, geneve.encode(geneve.DISCO, message.vni, True, sealed)))

    def _bound(self, place: Place, number: int, where: "Path", now: int) -> None:
        if place.bind(number, where, now):
            self.counters["bound"] += 1
            self._actions.append(("bind", place.vni, place.sides[0].path, place.sides[1].path))

    # the end of places

    def _watch(self, place: Place) -> None:
        heapq.heappush(self._due, (place.due, place.vni))

    def _look_at(self, place: Place, now: int) -> None:
        if place.stage == BOUND and not place.asked:
            place.asked, place.due = True, now + PATIENCE
            self._watch(place)
            self._actions.append(("ask", place.vni))
        else:  # nobody came, or there is no such place where packets pass
            self._close(place)

    def _heard(self, vni: int, heard: "tuple[int, int] | None", now: int) -> None:
        place = self._places.get(vni)
        if place is None or not place.asked:
            return
        for number, at in enumerate(heard or (0, 0)):
            place.sides[number].heard = max(place.sides[number].heard, at)
        if heard is None or place.silent(now):
            self._close(place)

    def _gone(self, key: bytes, now: int) -> None:
        for vni in list(self._of.get(key, ())):
            self._close(self._places[vni])
        self._askers.pop(key, None)

    def _close(self, place: Place) -> None:
        del self._places[place.vni], self._pairs[place.keys]
        for key in place.keys:
            self._of[key].discard(place.vni)
            if not self._of[key]:
                del self._of[key]
        self.counters["closed"] += 1
        self._actions.append(("close", place.vni))


_ITEMS = {
    "addresses": "_set_addresses",
    "request": "_request",
    "datagram": "_datagram",
    "heard": "_heard",
    "gone": "_gone",
}
