"""What the engine knows of one peer: its keys, its sessions, the ways to it. Plain data; the rules are in sessions.py and paths.py."""

from skerry_core.wireguard.cookie import CookieJar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.tailcfg.node import Node
    from skerry_core.wireguard.handshake import Initiator

    UdpPath = tuple[int, int, bytes, int, int]
    RelayPath = tuple[int, bytes]
    Path = tuple[Any, ...]
    Prefix = tuple[bytes, int]


NO_BURSTS = ((0, 0), (0, 0), (0, 0))


class Session:
    """One pair of keys in the transport; `initiator` when the handshake was ours."""

    def __init__(self, local: int, created: int, initiator: bool) -> None:
        self.local, self.created, self.initiator = local, created, initiator


class Candidate:
    """One UDP path that may lead to a peer, and what became of asking it."""

    __slots__ = (
        "asked_again",
        "heard",
        "latency",
        "misses",
        "path",
        "pinged",
        "ponged",
        "sources",
    )  # fmt: skip

    def __init__(self, path: "UdpPath") -> None:
        self.path = path
        self.sources = 0  # bits of paths.FROM_*
        self.heard: int | None = None  # last ping that came from there
        self.pinged: int | None = None
        self.ponged: int | None = None
        self.asked_again = -1  # when it was asked a second time because it was heard
        self.latency = 0
        self.misses = 0


class Peer:
    """A peer of the map. `index` is its number in the transport."""

    __slots__ = (
        "allowed",
        "answered",
        "armed",
        "best",
        "box",
        "bursts",
        "called_endpoints",
        "calls",
        "candidates",
        "cookies",
        "current",
        "disco",
        "doubted",
        "doubts",
        "elsewhere",
        "extra",
        "gone_region",
        "handshake_since",
        "heard_at",
        "heard_region",
        "home",
        "hurry",
        "index",
        "initiated",
        "initiated_kept",
        "initiated_live",
        "initiator",
        "keepalive_again",
        "key",
        "last_handshake",
        "last_ping",
        "last_received",
        "last_sent",
        "map_endpoints",
        "next",
        "node",
        "paths",
        "pings",
        "previous",
        "probed",
        "restarted",
        "round",
        "stamp",
        "superseded",
        "trusted_until",
    )  # fmt: skip

    def __init__(self, index: int, key: bytes, crypto: "Any") -> None:
        self.index, self.key = index, key
        self.node: Node | None = None
        self.disco = b""
        self.restarted = False  # its disco key changed: it lost its sessions
        self.box: bytes | None = None
        self.allowed: list[Prefix] = []
        self.home = 0
        self.heard_region = 0
        self.gone_region = 0
        # WireGuard
        self.cookies = CookieJar(crypto, key)
        self.initiator: Initiator | None = None
        self.superseded: Initiator | None = None  # the initiation before, whose answer is good as well
        self.handshake_since: int | None = None
        self.initiated: int | None = None  # last initiation sent
        self.hurry = 0  # how many more of this handshake are repeated soon
        self.initiated_live = False  # it left at once, not only into the buffer of a relay that is being connected
        self.initiated_kept = False  # it left or will leave
        self.answered: int | None = None  # last initiation answered
        self.stamp = b""  # greatest TAI64N taken from this peer
        self.current: Session | None = None
        self.next: Session | None = None
        self.previous: Session | None = None
        self.last_handshake: int | None = None
        self.last_sent: int | None = None
        self.last_received: int | None = None
        self.armed = 0
        self.extra = 0  # bits already armed a second time in this second
        self.keepalive_again = False
        # paths
        self.candidates: dict[UdpPath, Candidate] = {}
        self.map_endpoints: list[tuple[bytes, int]] = []
        self.called_endpoints: list[tuple[bytes, int]] = []
        self.best: Candidate | None = None
        self.trusted_until = 0
        self.paths: list[Path] | None = None  # what the transport was told
        self.round = 0  # full probes without a direct answer
        self.doubted: int | None = None  # since when, or when last, the best path was in doubt
        self.doubts = 0
        self.heard_at: Path | None = None  # where its last ping over UDP came from
        self.elsewhere = False  # it was heard another way meanwhile
        self.probed: int | None = None  # last full probe
        self.calls: list[int] | tuple[int, ...] = ()  # when call-me-maybes came
        self.pings = 0  # outstanding
        self.bursts: tuple[tuple[int, int], ...] = NO_BURSTS  # second, disco messages in it; see disco.PER_SECOND
        self.last_ping: tuple[bytes, Path] | None = None

    def sessions(self) -> "list[Session]":
        """Those that exist."""
        return [session for session in (self.current, self.next, self.previous) if session is not None]

    def name(self) -> str:
        """First label of its name, for people."""
        return self.node.host_name if self.node is not None and self.node.host_name else self.key.hex()[:8]
