"""One place of a UDP relay: a pair of clients on one network id.

    stage    event                              then
    OPEN     Bind of either                     Challenge to where it came from
    OPEN     Answer of either, proven           that side is bound; with both, BOUND
    OPEN     30 s without a request for it      closed
    BOUND    Answer of either from elsewhere    bound to the new address: a client that moved
    BOUND    5 min in which one was silent      closed

Sides are in the order of the pair's sorted disco keys.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Path = tuple[Any, ...]

BIND, STEADY = 30_000, 300_000
OPEN, BOUND = "open", "bound"


class Side:
    """One client: `generation` of a handshake under way (0: none), `path` once bound, when it was `heard`."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.box: bytes | None = None  # with the relay's key, made with its first message
        self.generation = 0
        self.path: Path | None = None
        self.heard = 0


class Place:
    """`asker` is the disco key it is charged to; `due`: when it is looked at again."""

    def __init__(self, vni: int, lamport: int, keys: "tuple[bytes, bytes]", asker: bytes, now: int) -> None:
        self.vni, self.lamport, self.keys, self.asker = vni, lamport, keys, asker
        self.sides = (Side(keys[0]), Side(keys[1]))
        self.due = now + BIND
        self.asked = False  # how long ago the sides were heard

    @property
    def stage(self) -> str:
        return OPEN if self.sides[0].path is None or self.sides[1].path is None else BOUND

    def side(self, key: "bytes | None") -> "int | None":
        """The number of the client with that disco key."""
        return self.keys.index(key) if key in self.keys else None

    def bind(self, number: int, where: "Path", now: int) -> bool:
        """A side proved its address; True when what is forwarded changes by it."""
        side, before = self.sides[number], self.stage
        moved = side.path != where
        side.path, side.heard, side.generation = where, now, 0
        if before == OPEN and self.stage == BOUND:
            self.due, self.asked = now + STEADY, False
        return self.stage == BOUND and moved

    def silent(self, now: int) -> bool:
        """Whether a bound place is over; else it is looked at again when it could be."""
        since = min(self.sides[0].heard, self.sides[1].heard)
        self.due, self.asked = since + STEADY, False
        return now >= self.due
