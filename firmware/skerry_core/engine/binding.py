"""Places on UDP relays: binding to one, so that the relay forwards between us and the peer.

    stage      event                              then
    -          a place is offered                 BINDING: Bind to each of its addresses
    BINDING    nothing for 200 ms, and so on      Bind again, four times in all: a peer's offer must not make us flood others
    BINDING    Challenge, from the first address  ANSWERED: Answer, and a disco ping to the peer through the relay
    ANSWERED   nothing for 200 ms, and so on      Answer and ping again
    ANSWERED   a ping of the peer through it      ping again: ours may have come before the peer was bound; 10 in all
    ANSWERED   a pong through it                  BOUND: from now on it is a path like others (paths.py)
    any        bind lifetime, at most 30 s        FAILED unless BOUND

One place a peer and relay (by the relay's disco key): of two offers the one with the greater Lamport id counts, unless binding is over.
The relay binds the address that answers; so a place that is the trusted path is not bound again. Bind, Challenge and Answer are sealed
between our disco key and the relay's, which is none of the map, and have Geneve's control bit. Pings and data through the relay are the
peer's as on any path. Everything from outside is bounded: places, addresses asked, messages tried with a relay's key, pings.
"""

from skerry_core import disco as codec
from skerry_core import geneve
from skerry_core import path as paths
from skerry_core.engine.peer import Candidate
from skerry_core.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from skerry_core.engine.engine import Engine
    from skerry_core.engine.peer import Path, Peer

BINDING, ANSWERED, BOUND, FAILED = "binding", "answered", "bound", "failed"
WAITS = (200, 300, 500, 500, 500, 1_000, 1_000, 2_000, 4_000)
LIFETIME = 30_000
ADDRESSES, BINDS, PLACES, PINGS, TRIES = 8, 4, 8, 10, 32
STEADY = 3_600_000  # a longer steady lifetime is not believed


class Place:
    """One allocation for one peer. `path` once it is known which of its addresses answered."""

    def __init__(self, peer: "Peer", offer: "codec.Allocation", relay: bytes, box: bytes, now: int) -> None:
        self.peer, self.offer, self.relay, self.box, self.since = peer, offer, relay, box, now
        self.stage = BINDING
        self.generation = 0
        self.path: Path | None = None
        self.challenge = b""
        self.steps = self.pings = self.tries = 0  # steps: in this stage

    def open(self) -> bool:
        """Whether binding is under way."""
        return self.stage in (BINDING, ANSWERED)


class Bindings:
    """All places, by number of the peer and disco key of the relay."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._places: dict[int, dict[bytes, Place]] = {}
        self._open: dict[tuple[int, bytes], Place] = {}  # those being bound
        self._generation = 0
        self._steps: dict[str, Callable[[Place], None]] = {BINDING: self._bind, ANSWERED: self._answer}

    def of(self, peer: "Peer") -> "list[Place]":
        """The places for a peer, the oldest first."""
        return list(self._places.get(peer.index, {}).values())

    # a place

    def offer(self, peer: "Peer", offer: "codec.Allocation", relay: bytes) -> bool:
        """Bind to a place. False: it is known, or an older one. PeerError: it cannot be used."""
        engine, places = self._engine, self._places.setdefault(peer.index, {})
        if not 0 < offer.vni <= paths.MAX_VNI or offer.server_key == engine.disco_public:
            raise PeerError(f"place {offer.vni} on a UDP relay: need 1..{paths.MAX_VNI}, and a relay that is not ourselves")
        old = places.get(offer.server_key)
        if old is not None and old.open() and old.offer.lamport >= offer.lamport:
            old.relay = old.relay or relay
            return False
        if old is not None and old.stage == BOUND and old.path == self._trusted(peer) and old.offer.vni == offer.vni:
            return True  # bound and in use; another address that answered would make the relay drop what comes from this one
        box = engine.crypto.box_key(engine.disco_private, offer.server_key)
        self._make_room(peer, offer.server_key)
        place = Place(peer, offer, relay or (b"" if old is None else old.relay), box, engine.now)
        places[offer.server_key] = self._open[peer.index, offer.server_key] = place
        self._generation = self._generation % 0xFFFFFFFF + 1
        place.generation = self._generation
        self._step(place)
        return True

    def _trusted(self, peer: "Peer") -> "Path | None":
        return peer.best.path if peer.best is not None and peer.best.path[4] and self._engine.paths.trusted(peer) else None

    def _make_room(self, peer: "Peer", key: bytes) -> None:
        places = self._places[peer.index]
        places.pop(key, None)
        if len(places) >= PLACES:
            idle = [each for each, place in places.items() if not place.open()]
            if not idle:
                raise PeerError(f"{peer.name()} calls to more than {PLACES} UDP relays at once")
            del places[min(idle, key=lambda each: places[each].stage == BOUND)]  # of those that failed the oldest

    def _step(self, place: Place) -> None:
        engine = self._engine
        self._steps[place.stage](place)
        end = place.since + min(place.offer.bind_lifetime, LIFETIME)
        due = engine.now + WAITS[min(place.steps, len(WAITS) - 1)]
        place.steps += 1
        engine.timers.set(("place", place.peer.index, place.offer.server_key), due if due < end else end)

    def again(self, index: int, key: bytes) -> None:
        """Timer: nothing came of the last step."""
        place = self._open.get((index, key))
        if place is None:
            return
        if self._engine.now - place.since < min(place.offer.bind_lifetime, LIFETIME):
            self._step(place)
            return
        self._close(place, FAILED)
        self._engine.paths.sync(place.peer)

    def _close(self, place: Place, stage: str) -> None:
        name = (place.peer.index, place.offer.server_key)
        place.stage = stage
        del self._open[name]
        self._engine.timers.cancel(("place", name[0], name[1]))

    # the three messages

    def _bind(self, place: Place) -> None:
        place.tries = 0
        if place.steps >= BINDS:
            return
        usable = [at for at in place.offer.endpoints if self._engine.paths.usable(*at)]
        for address, port in usable[:ADDRESSES]:
            for uplink in self._engine.netcheck.uplinks_for(len(address)):
                self._send(place, paths.udp(uplink, address, port), codec.Bind)

    def _send(self, place: Place, where: "Path", kind: "type[codec.Bind | codec.Answer]") -> None:
        engine, offer = self._engine, place.offer
        challenge = place.challenge or bytes(codec.CHALLENGE)
        message = kind(offer.vni, place.generation, place.peer.disco, challenge)
        packet = codec.seal(engine.crypto, place.box, engine.disco_public, engine.random(24), message)
        engine.send(paths.direct(where), geneve.encode(geneve.DISCO, offer.vni, True, packet))

    def datagram(self, where: "Path", key: bytes, data: bytes) -> None:
        """A disco packet through a relay, from a key of no peer: the relay's own. PeerError: of none that we bind to."""
        for place in self._waiting(key, where):
            place.tries += 1
            message = codec.open(self._engine.crypto, place.box, data) if place.tries <= TRIES else None
            if isinstance(message, codec.Challenge):
                self.challenged(key, where, message)
                return
        raise PeerError("disco message from a key that is neither in the map nor a UDP relay's that we bind to")

    def _waiting(self, key: bytes, where: "Path") -> "list[Place]":
        found = [place for name, place in self._open.items() if name[1] == key and place.stage == BINDING]
        return [place for place in found if place.offer.vni == where[4]]

    def challenged(self, key: bytes, where: "Path", message: "codec.Challenge") -> None:
        """A relay asks whether we are where the Bind came from; the first of its addresses that does is used."""
        for place in self._waiting(key, where):
            same = (place.offer.vni, place.generation, place.peer.disco) == (message.vni, message.generation, message.remote_key)
            if same and self._engine.paths.usable(where[2], where[3]):
                place.path, place.challenge, place.stage, place.steps = where, message.challenge, ANSWERED, 0
                place.peer.candidates.setdefault(where, Candidate(where))
                self._engine.paths.sync(place.peer)
                self._step(place)

    def _answer(self, place: Place) -> None:
        assert place.path is not None
        self._send(place, place.path, codec.Answer)
        self._ping(place)

    def _ping(self, place: Place) -> None:
        assert place.path is not None
        if place.pings < PINGS:
            place.pings += 1
            self._engine.disco.ping(place.peer, place.path)

    # the peer, through the relay

    def pinged(self, peer: "Peer", where: "Path") -> None:
        """The peer's ping came through: it is bound."""
        place = self._at(peer, where)
        if place is not None and place.stage == ANSWERED:
            self._ping(place)

    def ponged(self, peer: "Peer", where: "Path") -> None:
        """Our ping came back: the place works."""
        place = self._at(peer, where)
        if place is not None and place.open():
            self._close(place, BOUND)

    def _at(self, peer: "Peer", where: "Path") -> "Place | None":
        for place in self.of(peer):
            if place.path == where:
                return place
        return None

    # questions

    def holds(self, peer: "Peer", candidate: Candidate) -> bool:
        """Whether the relay has likely kept the place that this path goes through."""
        place = self._at(peer, candidate.path)
        if place is None or place.stage == FAILED:
            return False
        heard = place.since if candidate.ponged is None else candidate.ponged
        return self._engine.now - heard < min(place.offer.steady_lifetime, STEADY)

    def relay_of(self, peer: "Peer", where: "Path") -> bytes:
        """Node key of the relay that gave the place; b"" when the peer told of it."""
        place = self._at(peer, where)
        return b"" if place is None else place.relay

    def remove(self, peer: "Peer") -> None:
        """The peer leaves, or has another disco key: its places are no longer its."""
        for place in self._places.pop(peer.index, {}).values():
            if place.open():
                self._close(place, FAILED)
