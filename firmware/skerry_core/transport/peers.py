"""Peers and sessions of the Python transport: keys, counters, replay windows, queues, armed edges. State alone: no packet is made here."""

from skerry_core.wireguard.replay import ReplayWindow

SENT, RECEIVED, HANDSHAKE, CONFIRMED, LIMIT, DATA = 1, 2, 4, 8, 16, 32
ARMABLE = SENT | RECEIVED | HANDSHAKE | DATA
QUEUE = 128
REPLAY = 8128


class Session:
    """One session of WireGuard: our index, theirs, a key each way."""

    def __init__(self, local: int, remote: int, send_key: bytes, receive_key: bytes) -> None:
        self.local = local
        self.remote = remote
        self.send_key = send_key
        self.receive_key = receive_key
        self.counter = 0
        self.window = ReplayWindow(REPLAY)
        self.limit_told = False

    def __repr__(self) -> str:
        return f"Session(local={self.local}, remote={self.remote}, [redacted])"


class Peer:
    """One peer: sessions by slot, paths, allowed IPs, the packets that wait, and statistics."""

    def __init__(self, number: int, public_key: bytes) -> None:
        self.number = number
        self.public_key = public_key
        self.prefixes: list[tuple[bytes, int]] = []
        self.paths: list[tuple[object, ...]] = []
        self.previous: Session | None = None
        self.current: Session | None = None
        self.next: Session | None = None
        self.queue: list[bytes] = []
        self.armed = HANDSHAKE
        self.mtu = 0
        self.tx_bytes = self.rx_bytes = self.tx_packets = self.rx_packets = 0

    def sessions(self) -> "list[Session]":
        """Those there are."""
        return [session for session in (self.previous, self.current, self.next) if session is not None]

    def install(self, session: Session) -> "list[Session]":
        """Make `session` current (new, or the one that was next); gives the sessions that are forgotten by that.

        A next that was never confirmed becomes previous: what the peer sends on it still opens, but it must not replace a newer session.
        """
        last = self.current if self.next in (None, session) else self.next
        forgotten = [each for each in (self.previous, self.current) if each is not None and each is not last]
        self.previous, self.current, self.next = last, session, None
        return forgotten

    def offer(self, session: Session) -> "list[Session]":
        """Make `session` next; gives the one it replaces."""
        forgotten = [] if self.next is None else [self.next]
        self.next = session
        return forgotten

    def expire(self, local: int) -> None:
        """Forget the session with this index."""
        if self.previous is not None and self.previous.local == local:
            self.previous = None
        if self.current is not None and self.current.local == local:
            self.current = None
        if self.next is not None and self.next.local == local:
            self.next = None

    def hold(self, packet: bytes) -> int:
        """Queue a packet; gives how many old ones were dropped for it."""
        self.queue.append(packet)
        if len(self.queue) <= QUEUE:
            return 0
        self.queue.pop(0)
        return 1

    def stats(self) -> "dict[str, int]":
        """As Transport.peer_stats."""
        return {
            "tx_bytes": self.tx_bytes,
            "rx_bytes": self.rx_bytes,
            "tx_packets": self.tx_packets,
            "rx_packets": self.rx_packets,
        }
