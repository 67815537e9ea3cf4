"""Path MTU: how large a datagram the direct path to a peer carries, found with padded pings, because ICMP often does not come.

    asked        when a direct path comes into use, each 10 minutes of its use, and when a person pings
    0 s          the tunnel's largest packet, in one piece. An answer: the path carries all, which costs one such packet
    1 s          (or three times the usual latency) once more: it may have been lost
    2 s          and with it all smaller sizes at once
    3 s          the largest that was answered counts; none: the least that a path must carry. Nothing counts if the path
                 itself has not answered meanwhile

What is found goes to the transport as ("mtu", peer, bytes of an inner packet; 0: all of the tunnel's). It lowers the MSS of TCP with
that peer, also for the sake of a peer that sets DF; over IPv6 it answers IPv4 packets with DF that are larger. Over IPv4 routers cut what
we send, and of IPv6 inside the tunnel 1280 bytes is the least.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from skerry_core.engine.engine import Engine
    from skerry_core.engine.peer import Path, Peer

SIZES = {4: (1340, 1300, 1280, 1240, 1200), 6: (1360, 1280)}  # with IP header; the first: a tunnel packet of 1280 bytes
WAIT, AGAIN = 1_000, 600_000
PING = 124  # a ping without padding
UDP = {4: 28, 6: 48}  # headers
MESSAGE = 32  # header and tag of a WireGuard message; what is in it is a multiple of 16


class Search:
    """What is known of the path of one peer. `stage` counts the rounds, 0 when it is over."""

    def __init__(self, path: "Path", now: int) -> None:
        self.path, self.since = path, now
        self.stage, self.found, self.told = 1, 0, 0


class PathMtus:
    """Those of all peers. Timer: "mtu" while one is searched for."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._searches: dict[int, Search] = {}

    def used(self, peer: "Peer", again: bool = False) -> None:
        """The best path answered, and may be a new one; `again`: a person wants to know."""
        search, best = self._searches.get(peer.index), peer.best
        if best is None or best.path[4] or not self._engine.paths.active(peer):
            return
        if search is not None and search.path == best.path and (search.stage or (not again and self._engine.now - search.since < AGAIN)):
            return
        fresh = self._searches[peer.index] = Search(best.path, self._engine.now)
        fresh.told = 0 if search is None else search.told
        self._ask(peer, fresh)

    def _ask(self, peer: "Peer", search: Search) -> None:
        sizes = SIZES[search.path[1]]
        for each in sizes if search.stage == 3 else sizes[:1]:
            self._engine.disco.ping(peer, search.path, each - UDP[search.path[1]] - PING)
        latency = 0 if peer.best is None else peer.best.latency
        self._engine.timers.set(("mtu", peer.index), self._engine.now + max(WAIT, 3 * latency))

    def answered(self, peer: "Peer", path: "Path", padding: int) -> None:
        """A padded ping of ours was answered."""
        search = self._searches.get(peer.index)
        if search is None or not search.stage or search.path != path:
            return
        search.found = max(search.found, padding + PING + UDP[path[1]])
        if search.found == SIZES[path[1]][0]:
            self._end(peer, search)

    def due(self, peer: "Peer") -> None:
        """Timer: the answers should be here."""
        search, best = self._searches.get(peer.index), peer.best
        if search is None:
            return
        if best is None or best.path != search.path or not self._engine.paths.trusted(peer):
            search.since -= AGAIN  # asked anew when it answers
            search.stage = 0
        elif search.stage < 3:
            search.stage += 1
            self._ask(peer, search)
        elif best.ponged is not None and best.ponged > search.since:
            self._end(peer, search)
        else:
            self._engine.timers.set(("mtu", peer.index), self._engine.now + WAIT)

    def _end(self, peer: "Peer", search: Search) -> None:
        self._engine.timers.cancel(("mtu", peer.index))
        search.stage = 0
        sizes = SIZES[search.path[1]]
        size = search.found or sizes[-1]
        mtu = 0 if size == sizes[0] else (size - UDP[search.path[1]] - MESSAGE) // 16 * 16
        if mtu != search.told:
            search.told = mtu
            self._engine.apply(("mtu", peer.index, mtu))

    def remove(self, peer: "Peer") -> None:
        """The peer leaves."""
        self._searches.pop(peer.index, None)
        self._engine.timers.cancel(("mtu", peer.index))
