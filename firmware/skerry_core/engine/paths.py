"""Paths to a peer: which candidates exist, which one is used, what the transport is told.

    active       something was sent in the last 45 s; only then are there heartbeats and probes
    heartbeat    each 3 s to the best path; a pong trusts it for 6.5 s more
    full probe   every candidate that was not asked in the last 5 s, and a call-me-maybe over the relay: when there is no trusted path
                 (5 s apart at first, then rarer), else each 60 s while the best takes more than 5 ms
    transport    trusted: [best]; no longer trusted: [best, relay]; none: [relay]; no relay either: where the peer was heard last
    ranking      a pong wins over an untrusted path, else by points: % less latency, loopback 50, link-local 30, private 20, IPv6 +10

Only a pong to our own ping moves a path, and to the address that was asked. A candidate comes from the map, from a call-me-maybe, or was
heard; the latter is kept for 45 s of silence. Paths through UDP relays (vni > 0, made in binding.py) are ranked below direct ones: while
such a one is used the probes go on as if there were none. They are kept, and asked when nothing else answers, as long as the relay likely
keeps their place.
"""

from skerry_core import ip, path
from skerry_core.engine.peer import Candidate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.engine.engine import Engine
    from skerry_core.engine.peer import Path, Peer

FROM_MAP, FROM_CALL, FROM_PING, FROM_UDP_RELAY = 1, 2, 4, 8
ACTIVE, HEARTBEAT, TRUST, SAME_CANDIDATE = 45_000, 3_000, 6_500, 5_000
FULL_AGAIN, GOOD_ENOUGH, DROP_AFTER = 60_000, 5, 15_000
ROUNDS = (5_000, 5_000, 5_000, 5_000, 5_000, 5_000, 10_000, 10_000, 15_000, 30_000, 60_000)
MAP_LIMIT, CALL_LIMIT, HEARD_LIMIT = 24, 16, 8
CALLS, CALLS_WINDOW = 6, 10_000
TIMERS = ("heartbeat", "trust", "doubt", "quiet")


class Paths:
    """The paths of all peers."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    # candidates

    def set_map(self, peer: "Peer", endpoints: "list[tuple[bytes, int]]") -> None:
        """The endpoints the map gives for the peer."""
        if endpoints[:MAP_LIMIT] != peer.map_endpoints:
            peer.map_endpoints = endpoints[:MAP_LIMIT]
            peer.round = 0
            self.sync(peer)
            self._probe_if_wanted(peer)

    def called(self, peer: "Peer", endpoints: "list[tuple[bytes, int]]") -> None:
        """A call-me-maybe came over the relay: ask all of them, and those we know, at once."""
        now = self._engine.now
        calls = [at for at in peer.calls if now - at < CALLS_WINDOW]
        peer.calls = calls
        if len(calls) >= CALLS:
            return
        calls.append(now)
        peer.called_endpoints = endpoints[:CALL_LIMIT]
        self.sync(peer)
        for candidate in [each for each in peer.candidates.values() if not each.path[4]]:
            if candidate.sources & FROM_CALL or candidate.pinged is None or now - candidate.pinged >= SAME_CANDIDATE:
                self._engine.disco.ping(peer, candidate.path)
        self._engine.doubts.of(peer, True)

    def heard(self, peer: "Peer", where: "Path") -> None:
        """An authenticated message of the peer came from there."""
        if path.is_relay(where):
            peer.gone_region = 0 if peer.gone_region == where[0] else peer.gone_region
            if peer.heard_region != where[0]:
                peer.heard_region = where[0]
                self.update(peer)
            return
        if where[4] or not self.usable(where[2], where[3]):
            return
        candidate = peer.candidates.get(where)
        if candidate is None:
            self._make_room(peer)
            candidate = peer.candidates[where] = Candidate(where)
        candidate.sources |= FROM_PING
        candidate.heard = self._engine.now
        if not peer.paths:
            self.update(peer)
        moved = where != peer.heard_at and candidate is not peer.best
        if moved and self.active(peer) and self.direct(peer):
            self._engine.disco.ping(peer, where)
            moved = not self._engine.doubts.of(peer)  # refused: its next ping is another chance
        elif self.active(peer) and not self.direct(peer) and self._worth_asking(candidate):
            self._engine.disco.ping(peer, where)
        peer.heard_at = peer.heard_at if moved else where

    def _worth_asking(self, candidate: Candidate) -> bool:
        """Not asked lately; or once more: our first ping was likely dropped by the peer's NAT, which its own ping has opened since."""
        asked = candidate.pinged
        if asked is None or self._engine.now - asked >= SAME_CANDIDATE:
            return True
        if candidate.asked_again >= asked or (candidate.ponged is not None and candidate.ponged >= asked):
            return False
        candidate.asked_again = self._engine.now
        return True

    def _make_room(self, peer: "Peer") -> None:
        heard = [c for c in peer.candidates.values() if c.sources == FROM_PING and c is not peer.best]
        if len(heard) >= HEARD_LIMIT:
            oldest = heard[0]
            for candidate in heard:
                if (candidate.heard or 0) < (oldest.heard or 0):
                    oldest = candidate
            del peer.candidates[oldest.path]

    def sync(self, peer: "Peer") -> None:
        """Make the candidates from the endpoints and our uplinks; what was learnt about those that stay is kept."""
        wanted: dict[Any, int] = {}
        for source, endpoints in ((FROM_MAP, peer.map_endpoints), (FROM_CALL, peer.called_endpoints)):
            for address, port in endpoints:
                if self.usable(address, port):
                    for uplink in self._engine.netcheck.uplinks_for(len(address)):
                        where = path.udp(uplink, address, port)
                        wanted[where] = wanted.get(where, 0) | source
        for where, candidate in list(peer.candidates.items()):
            recent = candidate.heard is not None and self._engine.now - candidate.heard < ACTIVE
            candidate.sources = wanted.pop(where, 0) | (FROM_PING if recent else 0)
            if where[4] and self._engine.bindings.holds(peer, candidate):
                candidate.sources = FROM_UDP_RELAY
            if not candidate.sources and candidate is not peer.best:
                del peer.candidates[where]
        for where, sources in wanted.items():
            candidate = peer.candidates[where] = Candidate(where)
            candidate.sources = sources

    def usable(self, address: bytes, port: int) -> bool:
        """Whether a datagram may be sent there."""
        kind = ip_kind(address)
        if not port or kind in ("none", "multicast") or (kind == "link-local" and len(address) == 16):
            return False
        if kind == "loopback":
            return self._engine.netcheck.has_loopback()
        return not self._inside(address)

    def _inside(self, address: bytes) -> bool:
        # a candidate that the routes lead into the tunnel would carry the tunnel in itself; not where it is on our own link
        if address in self._engine.own_addresses:
            return True
        if self._engine.config.get("bypass"):
            return False
        if address in self._engine.peers.by_address:
            return True
        routed = any(ip.contains(prefix, address) for prefix in self._engine.peers.subnets)
        return routed and not self._engine.netcheck.is_near(address)

    def subnets_changed(self) -> None:
        """Other subnets lead into the tunnel: ways inside them are no ways."""
        for peer in self._engine.peers.all():
            for where in [where for where in peer.candidates if self._inside(where[2])]:
                if peer.candidates.pop(where) is peer.best:
                    self._lose(peer)

    # activity

    def active(self, peer: "Peer") -> bool:
        """Whether something was sent to the peer lately."""
        return peer.last_sent is not None and self._engine.now - peer.last_sent < ACTIVE

    def trusted(self, peer: "Peer") -> bool:
        """Whether the best path answered lately."""
        return peer.best is not None and self._engine.now < peer.trusted_until

    def direct(self, peer: "Peer") -> bool:
        """Whether the best path answered lately and leads through no relay of any kind."""
        return self.trusted(peer) and peer.best is not None and not peer.best.path[4]

    def activity(self, peer: "Peer") -> None:
        """Something was, or waits to be, sent to the peer."""
        peer.last_sent = self._engine.now
        self._engine.netcheck.activity()
        if self._engine.timers.at(("heartbeat", peer.index)) is None:
            self.heartbeat(peer)

    def heartbeat(self, peer: "Peer") -> None:
        """Timer: every 3 s while active."""
        now, best = self._engine.now, peer.best
        if not self.active(peer):
            peer.round = 0
            return
        self._engine.timers.set(("heartbeat", peer.index), now + HEARTBEAT)
        if best is not None and now - peer.trusted_until >= DROP_AFTER and best.misses > 2 and self.relay(peer) is not None:
            self._lose(peer)
        elif best is not None:
            self._engine.disco.ping(peer, best.path)
        if self._probe_due(peer):
            self._probe(peer)

    def _probe_due(self, peer: "Peer") -> bool:
        since = FULL_AGAIN if peer.probed is None else self._engine.now - peer.probed
        if self.direct(peer):
            assert peer.best is not None
            return peer.best.latency > GOOD_ENOUGH and since >= FULL_AGAIN
        return since >= ROUNDS[min(peer.round, len(ROUNDS)) - 1] if peer.round else True

    def _probe(self, peer: "Peer") -> None:
        now = self._engine.now
        peer.probed = now
        peer.round += 1
        self.sync(peer)
        spare = self.trusted(peer)  # then the paths through UDP relays are not asked
        for candidate in [each for each in peer.candidates.values() if not (each.path[4] and spare)]:
            if candidate.pinged is None or now - candidate.pinged >= SAME_CANDIDATE:
                self._engine.disco.ping(peer, candidate.path)
        self._engine.disco.call(peer)
        self._engine.peer_relays.wanted(peer)

    def _probe_if_wanted(self, peer: "Peer") -> None:
        if self.active(peer) and not self.direct(peer):
            self._probe(peer)

    def probe_now(self, peer: "Peer") -> None:
        """A person asked: all candidates, whatever the timers say."""
        for candidate in peer.candidates.values():
            candidate.pinged = None
        peer.round = 0
        self.activity(peer)

    def endpoints_changed(self) -> None:
        """Our own endpoints changed: call those again that we have no direct path to."""
        for peer in self._engine.peers.all():
            if self.active(peer) and not self.direct(peer):
                self._engine.disco.call(peer)

    def relay_live(self, peer: "Peer") -> None:
        """Its relay can be used again: a call made meanwhile may be lost."""
        if peer.best is not None and self.active(peer) and not self.direct(peer):
            self._engine.disco.call(peer)

    def network_changed(self) -> None:
        """Our uplinks changed: no answer of before counts."""
        self._engine.peer_relays.network_changed()
        for peer in self._engine.peers.all():
            peer.trusted_until = min(peer.trusted_until, self._engine.now)
            uplinks = {} if peer.best is None else self._engine.netcheck.uplinks_for(len(peer.best.path[2]))
            if peer.best is not None and peer.best.path[0] not in uplinks:
                self._lose(peer)
            for where in list(peer.candidates):
                if where[0] not in self._engine.netcheck.uplinks_for(len(where[2])):
                    del peer.candidates[where]
                else:
                    peer.candidates[where].pinged = None
            peer.round = 0
            self.sync(peer)
            self.update(peer)
            self._probe_if_wanted(peer)

    # answers

    def pong(self, peer: "Peer", where: "Path", latency: int) -> None:
        """Our ping to `where` was answered."""
        now = self._engine.now
        candidate = peer.candidates.get(where)
        if candidate is None:
            return
        candidate.ponged, candidate.latency, candidate.misses = now, latency, 0
        if where[4]:
            self._engine.bindings.ponged(peer, where)
        if candidate is not peer.best and not self._moves(peer, candidate):
            return
        moved = candidate is not peer.best
        peer.best, peer.trusted_until = candidate, now + TRUST
        peer.round = peer.round if where[4] else 0
        self._engine.timers.set(("trust", peer.index), peer.trusted_until)
        self.update(peer)
        if moved:
            self._engine.event(("path", peer.key, where, f"it answered in {latency} ms"))
            self._engine.sessions.way_open(peer, True)

    def _moves(self, peer: "Peer", candidate: Candidate) -> bool:
        best = peer.best
        if best is None or not self.trusted(peer) or better(candidate, best):
            return True
        return bool(candidate.path[4] and best.path[4]) and not self._engine.bindings.holds(peer, best)  # bound anew elsewhere

    def take(self, peer: "Peer", candidate: Candidate, why: str) -> None:
        """It has answered, and what was used has not."""
        peer.best, peer.trusted_until = candidate, self._engine.now + TRUST
        self._engine.timers.set(("trust", peer.index), peer.trusted_until)
        self.update(peer)
        self._engine.event(("path", peer.key, candidate.path, why))
        self._engine.sessions.way_open(peer, True)

    def suspect(self, peer: "Peer") -> None:
        """The best path does not answer: the relay beside it, and everything is asked anew, our own address too."""
        peer.trusted_until = min(peer.trusted_until, self._engine.now)
        peer.round = 0
        self.update(peer)
        self._engine.netcheck.doubted()
        self._engine.check_relays(peer)
        self._probe_if_wanted(peer)

    def missed(self, peer: "Peer", where: "Path") -> None:
        """Our ping to `where` was not answered in 5 s."""
        candidate = peer.candidates.get(where)
        if candidate is not None:
            candidate.misses = min(candidate.misses + 1, 1000)

    def distrust(self, peer: "Peer") -> None:
        """Timer: the last pong of the best path is 6.5 s old."""
        if peer.best is not None and peer.best.path[4]:  # perhaps the relay was started anew and knows nothing of us
            self._engine.peer_relays.lost(peer)
            peer.round = 0
        self.update(peer)
        if self.active(peer):
            self.heartbeat(peer)

    def unbound(self, peer: "Peer") -> None:
        """Its places on UDP relays are gone."""
        for where in [where for where in peer.candidates if where[4]]:
            if peer.candidates.pop(where) is peer.best:
                self._lose(peer)

    def _lose(self, peer: "Peer") -> None:
        lost = "the path through a UDP relay" if peer.best is not None and peer.best.path[4] else "the direct path"
        peer.best = None
        self._engine.timers.cancel(("trust", peer.index))
        self.update(peer)
        relay = self.relay(peer)
        if relay is not None:
            self._engine.event(("path", peer.key, relay, f"{lost} stopped answering"))

    # what is used

    def relay(self, peer: "Peer") -> "Path | None":
        """The relay path to the peer: its home, else where it was heard."""
        for region in (peer.home, peer.heard_region):
            if region and self._engine.relays.known(region):
                return path.relay(region, peer.key)
        return None

    def for_control(self, peer: "Peer") -> "tuple[list[Path], bool, bool]":
        """Where a handshake goes, whether it leaves at once on one of those ways, and whether at least a relay keeps it."""
        relay = self.relay(peer)
        ways: list[Path] = [] if peer.best is None else [peer.best.path]
        live = kept = peer.best is not None
        if relay is not None and not self.trusted(peer):
            ways.append(relay)
            live = self._engine.relays.open(relay[0]) or live
            kept = kept or self._engine.relays.keeps(relay[0])
        return ways, live, kept

    def update(self, peer: "Peer") -> None:
        """Tell the transport, if it does not know yet."""
        relay, wanted = self.relay(peer), []
        if peer.best is not None:
            wanted.append(peer.best.path)
        if relay is not None and not self.trusted(peer):
            wanted.append(relay)
        if not wanted:
            wanted = self._last_heard(peer)
        if wanted != peer.paths:
            peer.paths = wanted
            self._engine.apply(("paths", peer.index, wanted))

    def _last_heard(self, peer: "Peer") -> "list[Path]":
        # without any other way an authenticated message's source is better than silence: what waits there would raise no edge
        newest = None
        for candidate in peer.candidates.values():
            if candidate.heard is not None and (newest is None or candidate.heard > (newest.heard or 0)):
                newest = candidate
        return [] if newest is None else [newest.path]

    def remove(self, peer: "Peer") -> None:
        """The peer leaves."""
        for name in TIMERS:
            self._engine.timers.cancel((name, peer.index))


def better(new: Candidate, old: Candidate) -> bool:
    """Whether `new` is worth leaving `old`, both answering, for."""
    if bool(new.path[4]) != bool(old.path[4]):
        return not new.path[4]
    ours, theirs = _bonus(new), _bonus(old)
    if new.latency < old.latency:
        ours += 100 - new.latency * 100 // old.latency
    elif old.latency < new.latency:
        theirs += 100 - old.latency * 100 // new.latency
    return ours > theirs and (ours > 1 or theirs > 0)


def _bonus(candidate: Candidate) -> int:
    address = candidate.path[2]
    return {"loopback": 50, "link-local": 30, "private": 20}.get(ip_kind(address), 0) + (10 if len(address) == 16 else 0)


def ip_kind(address: bytes) -> str:
    """none, loopback, link-local, private, multicast or global."""
    first = address[0]
    if len(address) == 4:
        if first in _KINDS4:
            return _KINDS4[first]
        if first >= 224:
            return "multicast"
        second = address[1]
        if (first == 172 and second >> 4 == 1) or (first == 192 and second == 168):
            return "private"
        return "link-local" if first == 169 and second == 254 else "global"
    if first == 0 and address[:10] == bytes(10):
        if address[10:] == b"\0\0\0\0\0\1":
            return "loopback"
        return "none" if address[10:12] == b"\xff\xff" or address[10:] == bytes(6) else "global"
    if first & 0xFE == 0xFC:
        return "private"
    if first == 0xFE and address[1] >> 6 == 2:
        return "link-local"
    return "multicast" if first == 0xFF else "global"


_KINDS4 = {0: "none", 127: "loopback", 10: "private"}
