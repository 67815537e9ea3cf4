"""Doubts: whether the path in use still leads to the peer, asked as soon as something speaks against it.

    raised by    a ping of the peer from another place than its last, and not its best path; a call-me-maybe; data went out and nothing
                 came back for 1.5 s
    0 ms         the best path is asked
    250 ms       (or twice its usual latency) no answer, and the peer was heard another way: that way is taken. Else it is asked again
    650 ms       (or three times) no answer, or heard over the relay: no longer trusted, so the relay is used beside it, all is probed,
                 and our own address is asked for

Without it a peer whose other end moved would go on talking to the old place until its trust of 6.5 s is over. One doubt of a peer at a
time, and none within 1 s of the last: whoever provokes them makes us send two small packets in that time.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from skerry_core.engine.engine import Engine
    from skerry_core.engine.peer import Candidate, Peer

FIRST, LAST, QUIET, AGAIN = 250, 650, 1_500, 1_000


class Doubts:
    """Those of all peers. Timers: "doubt" while one is open, "quiet" from data that left until something comes."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def of(self, peer: "Peer", elsewhere: bool = False) -> bool:
        """Ask the path in use; `elsewhere`: the peer was just heard over its relay. False: too soon after the last."""
        engine, best = self._engine, peer.best
        peer.elsewhere = peer.elsewhere or elsewhere
        if best is None or not engine.paths.direct(peer) or not engine.paths.active(peer):
            return True
        if peer.doubted is not None and engine.now - peer.doubted < AGAIN:
            return False
        peer.doubted, peer.doubts, peer.elsewhere = engine.now, 0, elsewhere
        engine.disco.ping(peer, best.path)
        engine.timers.set(("doubt", peer.index), engine.now + max(FIRST, 2 * best.latency))
        return True

    def quiet(self, peer: "Peer") -> None:
        """Timer: nothing came since data left."""
        self.of(peer)

    def due(self, peer: "Peer") -> None:
        """Timer: the answer should be here."""
        engine, best, since = self._engine, peer.best, peer.doubted
        if best is None or since is None or _answered(best, since) or not engine.paths.trusted(peer):
            return
        other = self._other(peer, since)
        if other is not None:
            engine.paths.take(peer, other, "the path before it stopped answering")
        elif peer.elsewhere or peer.doubts:
            engine.paths.suspect(peer)
        else:
            peer.doubts = 1
            engine.disco.ping(peer, best.path)
            engine.timers.set(("doubt", peer.index), since + max(LAST, 3 * best.latency))

    def sent(self, peer: "Peer") -> None:
        """Data left; "quiet" ends when something comes."""
        if self._engine.timers.at(("quiet", peer.index)) is None and self._engine.paths.direct(peer):
            self._engine.timers.set(("quiet", peer.index), self._engine.now + QUIET)

    def received(self, peer: "Peer") -> None:
        """Something came."""
        self._engine.timers.cancel(("quiet", peer.index))

    def _other(self, peer: "Peer", since: int) -> "Candidate | None":
        found = None
        for candidate in peer.candidates.values():
            if candidate is not peer.best and not candidate.path[4] and _answered(candidate, since):
                found = candidate if found is None or candidate.latency < found.latency else found
        return found


def _answered(candidate: "Candidate", since: int) -> bool:
    return candidate.ponged is not None and candidate.ponged >= since
