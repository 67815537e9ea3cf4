"""Netcheck: what the network around us looks like, from STUN to the relays of the map.

    full     all regions, both families, every uplink, two ports of the first server: at start, when the network changed, on command,
             and when the last is 5 min old while active
    light    the home region only: each 20..26 s while a peer is active (something sent in the last 45 s); idle: nothing is sent
    asked    at 0, 300 and 1000 ms; a round ends when all answered, at the latest after 3 s

Our endpoints are the uplinks' own addresses (type 1) and what STUN servers saw (2); where the mapping varies by destination also the
seen address with our own port (4), for routers that forward it. Home region: lowest of the best latencies of 5 min times its score; it
stays unless the other is 10 ms and 33 % better. The first answer of all decides where to connect first. Without any answer the region
is a random one, the next one when its relay cannot be reached.
"""

from skerry_core import ip, nat, path, stun
from skerry_core.engine.natcheck import NatCheck
from skerry_core.engine.paths import ip_kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.engine.engine import Engine
    from skerry_core.engine.peer import Path
    from skerry_core.engine.regions import Region

LOCAL, SEEN, GUESSED = 1, 2, 4
ROUND, AGAIN = 3_000, (300, 1_000)
LIGHT, LIGHT_JITTER, FULL, REMEMBER, ACTIVE = 20_000, 6_000, 300_000, 300_000, 45_000
BETTER_MS, BETTER_PERCENT = 10, 33
PENDING_LIMIT, ENDPOINT_LIMIT, MISSES = 512, 24, 2


class Probe:
    """One question to one server on one uplink; `sent` is when each txid of it left."""

    def __init__(self, region: int, where: "Path") -> None:
        self.region, self.where = region, where
        self.sent: dict[bytes, int] = {}
        self.answered = False
        self.seen: tuple[bytes, int] | None = None


class Netcheck:
    """Uplinks, STUN rounds, endpoints and the home region of one engine."""

    def __init__(self, engine: "Engine", home: int) -> None:
        self._engine = engine
        self.uplinks: list[dict[str, Any]] = []
        self._probes: list[Probe] = []
        self._pending: dict[bytes, Probe] = {}
        self._full = False
        self._names: dict[str, list[bytes]] = {}
        self._resolving: set[str] = set()
        self._latency: dict[int, list[tuple[int, int]]] = {}  # region -> [(when, ms)]
        self._seen: dict[tuple[int, int], tuple[bytes, int]] = {}  # (uplink, family) -> our address as seen
        self._misses: dict[tuple[int, int], int] = {}
        self.varies: bool | None = None
        self._endpoints: list[tuple[bytes, int, int]] = []
        self._last_full: int | None = None
        self._last: int | None = None
        self._active: int | None = None
        self._tokens: list[Any] = []
        self.nat = NatCheck(engine)
        self.home = home

    # uplinks

    def set_uplinks(self, uplinks: "list[dict[str, Any]]") -> bool:
        """The adapter's uplinks; True when something we had is gone or moved (connections should be made anew)."""
        before, after = _addresses(self.uplinks), _addresses(uplinks)
        lost = bool(before - after)
        self.uplinks = uplinks
        if before != after:
            for key in list(self._seen):
                if lost or key not in self._keys():
                    del self._seen[key]
            self.nat.network_changed()
            self._refresh()
            self.full()
        return lost

    def resume(self, uplinks: "list[dict[str, Any]]") -> None:
        """The uplinks that the process before us knew last."""
        self.uplinks = uplinks
        self._refresh()

    def _keys(self) -> "list[tuple[int, int]]":
        return [(u["uplink"], family) for family, size in ((4, 4), (6, 16)) for u in self.uplinks if _has(u, size)]

    def uplinks_for(self, size: int) -> "list[int]":
        """Uplinks that can send to addresses of `size` bytes (4 or 16)."""
        return [uplink["uplink"] for uplink in self.uplinks if _has(uplink, size)]

    def is_near(self, address: bytes) -> bool:
        """Whether the address shares an uplink's /24 (or /64): then it is most likely on that link, whatever other routes say."""
        size = 3 if len(address) == 4 else 8
        return any(address[:size] == own[:size] for uplink in self.uplinks for _, own in uplink["addresses"] if len(own) == len(address))

    def has_loopback(self) -> bool:
        """Whether an uplink is the loopback interface (a lab on one host)."""
        return any(ip_kind(address) == "loopback" for uplink in self.uplinks for _, address in uplink["addresses"])

    # rounds

    def activity(self) -> None:
        """A peer is active: keep the NAT's mapping known."""
        now = self._engine.now
        self._active = now
        if self._engine.timers.at(("stun",)) is None and self._engine.running:
            if self._last is None or now - self._last >= LIGHT:
                self._begin(self._last_full is None or now - self._last_full >= FULL)
            self._schedule()

    def doubted(self) -> None:
        """A path ended for no reason we know: perhaps the router has another address now."""
        if self._engine.running and not self._round_open() and (self._last is None or self._engine.now - self._last >= ROUND):
            self._begin(False)

    def _schedule(self) -> None:
        jitter = int.from_bytes(self._engine.random(2), "big") % LIGHT_JITTER
        self._engine.timers.set(("stun",), self._engine.now + LIGHT + jitter)

    def again(self) -> None:
        """Timer: the next light round, while active."""
        now = self._engine.now
        if self._active is not None and now - self._active < ACTIVE and self._engine.running:
            self._begin(self._last_full is None or now - self._last_full >= FULL)
            self._schedule()

    def full(self, token: "Any" = None) -> None:
        """A full round now; `token` gets the report."""
        if token is not None:
            self._tokens.append(token)
        if token is not None and self._full and self._round_open() and self.nat.person:
            return  # who asks all the time gets the answers of rounds that are under way, and costs nothing
        self.nat.person = self.nat.person or token is not None
        if self.uplinks and self._engine.running:
            self._begin(True)
        elif token is not None:
            self._report()

    def _begin(self, full: bool) -> None:
        engine = self._engine
        self._probes, self._pending, self._full = [], {}, full or (self._full and self._round_open())
        self._last = engine.now
        if full:
            self._last_full = engine.now
            for name in [name for name, known in self._names.items() if not known and name not in self._resolving]:
                del self._names[name]  # the name server may answer by now
        for region in engine.relays.regions():
            if full or region.number == self.home:
                self._ask_region(region, full)
        if not self._probes:
            self._end()
            return
        self._send_all()
        self.nat.begin(self._probes, self._full)
        engine.timers.set(("stun-again", 0), engine.now + AGAIN[0])
        engine.timers.set(("stun-end",), engine.now + ROUND)

    def _round_open(self) -> bool:
        return self._engine.timers.at(("stun-end",)) is not None

    def _ask_region(self, region: "Region", full: bool) -> None:
        for node in region.stun[:2]:
            addresses = node.addresses or self._names.get(node.host)
            if addresses is None:
                self._names[node.host] = []
                self._resolving.add(node.host)
                self._engine.act(("resolve", node.host))
            for address in addresses or ():
                if (4 if len(address) == 4 else 6) in node.families:
                    self._ask(region.number, address, node.stun_port, full)

    def _ask(self, region: int, address: bytes, port: int, both: bool) -> None:
        for uplink in self.uplinks_for(len(address)):
            # a second port of one server tells a mapping that varies by port; servers that have no second one stay silent
            for each in (port, port + 1) if both and len(address) == 4 and port < 65535 else (port,):
                self._probes.append(Probe(region if each == port else 0, path.udp(uplink, address, each)))

    def _send_all(self) -> None:
        for probe in self._probes:
            if not probe.answered and len(self._pending) < PENDING_LIMIT and (probe.region or not probe.sent):
                txid = self._engine.random(stun.TXID)
                self._pending[txid] = probe
                probe.sent[txid] = self._engine.now
                self._engine.send(probe.where, stun.request(txid))

    def resend(self, count: int) -> None:
        """Timer: ask those again that did not answer."""
        self._send_all()
        if count + 1 < len(AGAIN):
            self._engine.timers.set(("stun-again", count + 1), self._engine.now + AGAIN[count + 1] - AGAIN[count])

    def resolved(self, name: str, addresses: "list[bytes]") -> None:
        """The adapter looked a STUN server up."""
        if name in self._names:
            self._names[name] = addresses[:4]
            self._resolving.discard(name)
            if addresses and self._engine.running:
                self._begin(True)

    # answers

    def datagram(self, where: "Path", data: bytes) -> None:
        """A STUN response; one that answers nothing of ours is left alone."""
        if self.nat.datagram(where, data):
            return
        found = stun.parse_response(data)
        probe = None if found is None else self._pending.get(found[0])
        if found is None or probe is None or probe.answered or path.is_relay(where) or where[1] != probe.where[1]:
            return
        now = self._engine.now
        probe.answered = True
        key = (probe.where[0], probe.where[1])
        self._compare(key, probe, (found[1], found[2]))
        if probe.region:
            history = self._latency.setdefault(probe.region, [])
            history.append((now, now - probe.sent[found[0]]))
            self._latency[probe.region] = [entry for entry in history[-32:] if now - entry[0] < REMEMBER]
            if not self._engine.relays.known(self.home):
                self._choose(probe.region)
        self.settled()
        self._refresh()

    def settled(self) -> None:
        """End the round soon when nothing is left to wait for."""
        at = self._engine.timers.at(("stun-end",))
        if at is not None and not self.nat.busy and all(each.answered or not each.region for each in self._probes):
            self._engine.timers.set(("stun-end",), min(self._engine.now + 100, at))

    def _compare(self, key: "tuple[int, int]", probe: Probe, seen: "tuple[bytes, int]") -> None:
        # the second port of a server only serves the comparison
        probe.seen = seen
        others = [p for p in self._probes if p is not probe and p.answered and (p.where[0], p.where[1]) == key]
        if key[1] == 4 and others:
            self.varies = any(other.seen != seen for other in others)
        if probe.region and (probe.region == self.home or not any(p.region == self.home for p in others)):
            self._seen[key] = seen
            self._misses[key] = 0

    def ended(self) -> None:
        """Timer: the round is over."""
        answered = [(p.where[0], p.where[1]) for p in self._probes if p.answered]
        for key in [key for key in self._seen if key not in answered]:
            self._misses[key] = self._misses.get(key, 0) + 1
            if self._misses[key] >= MISSES:
                del self._seen[key]
        self._end()

    def _end(self) -> None:
        for name in (("stun-end",), ("stun-again", 0), ("stun-again", 1)):
            self._engine.timers.cancel(name)
        self._pending = {}
        if self._full:
            self._full = False
            self._choose(self._best())
        probes, self._probes = self._probes, []
        self._refresh()
        self.nat.ended(probes)
        self.reported()

    # endpoints

    def _refresh(self) -> None:
        found = self._gather()
        if found != self._endpoints:
            self._endpoints = found
            self._engine.endpoints_changed()

    def _gather(self) -> "list[tuple[bytes, int, int]]":
        found: list[tuple[bytes, int, int]] = []
        for uplink in self.uplinks:
            for family, kind in ((4, SEEN), (6, SEEN)):
                seen = self._seen.get((uplink["uplink"], family))
                if seen is not None:
                    _add(found, seen[0], seen[1], kind)
                    if family == 4 and self.varies:
                        _add(found, seen[0], uplink["port4"], GUESSED)
            for _, address in uplink["addresses"]:
                if ip_kind(address) in ("private", "global") or (ip_kind(address) == "loopback" and self.has_loopback()):
                    _add(found, address, uplink["port4"] if len(address) == 4 else uplink["port6"], LOCAL)
        return found[:ENDPOINT_LIMIT]

    def endpoints(self) -> "list[tuple[bytes, int, int]]":
        """(address, port, type) of where we can perhaps be reached."""
        return self._endpoints

    def endpoints_to_call(self) -> "list[tuple[bytes, int]]":
        """The same for a call-me-maybe."""
        return [(address, port) for address, port, _ in self._endpoints]

    # home

    def _latency_of(self, region: int) -> "int | None":
        now = self._engine.now
        values = [ms for when, ms in self._latency.get(region, ()) if now - when < REMEMBER]
        return min(values) if values else None

    def _best(self) -> int:
        best, cost, current = 0, 0.0, None
        for region in self._engine.relays.regions():
            latency = self._latency_of(region.number)
            if latency is None or not region.measured:
                continue
            if region.number == self.home:
                current = latency
            if not best or latency * region.score < cost:
                best, cost = region.number, latency * region.score
        if current is not None and best != self.home:
            ours = self._latency_of(best) or 0
            if current - ours < BETTER_MS or ours * 100 > current * (100 - BETTER_PERCENT):
                return self.home
        return best

    def _choose(self, best: int) -> None:
        relays = self._engine.relays
        if not best:
            if relays.known(self.home):
                return
            numbers = sorted([region.number for region in relays.regions()])
            best = numbers[self._engine.random(1)[0] % len(numbers)] if numbers else 0
        if best and best != self.home:
            self.home = best
            self._engine.home_changed()

    def map_changed(self) -> None:
        """The relays of the map changed."""
        if not self._engine.relays.known(self.home):
            numbers = [region.number for region in self._engine.relays.regions()]
            self.home = 0
            if len(numbers) == 1:
                self._choose(numbers[0])
        self._engine.relays.set_home(self.home)
        self.full()

    def relay_failed(self, region: int, failures: int) -> None:
        """The relay of a region cannot be reached: without measurements another may be home."""
        numbers = sorted([each.number for each in self._engine.relays.regions()])
        if region == self.home and failures % 3 == 0 and len(numbers) > 1 and self._latency_of(region) is None:
            self.home = numbers[(numbers.index(region) + 1) % len(numbers)]
            self._engine.home_changed()

    # reports

    def netinfo(self) -> "dict[str, Any]":
        """NetInfo of the host information."""
        families = [key[1] for key in self._seen]
        info: dict[str, Any] = {"PreferredDERP": self.home, "WorkingUDP": bool(families), "WorkingIPv6": 6 in families}
        info["OSHasIPv6"] = bool(self.uplinks_for(16))
        if self.varies is not None:
            info["MappingVariesByDestIP"] = self.varies
        if self.nat.nat.mapping:
            info["SkerryNAT"] = nat.encode(self.nat.nat)
        return info

    def report(self) -> "dict[str, Any]":
        """For people: addresses as text, latencies in ms or None."""
        rows = []
        for region in self._engine.relays.regions():
            rows.append({"id": region.number, "code": region.code, "latency_ms": self._latency_of(region.number)})
        found: dict[str, Any] = {"udp": bool(self._seen), "ipv4": None, "ipv6": None, "mapping_varies": self.varies}
        for key, seen in self._seen.items():
            found["ipv4" if key[1] == 4 else "ipv6"] = ip.format_endpoint(seen[0], seen[1])
        found["nat"], found["hairpin"] = self.nat.nat.document(), self.nat.hairpin
        found["home_region"] = self.home
        found["home_code"] = self._engine.relays.code(self.home) if self.home else ""
        found["regions"] = rows
        return found

    def reported(self) -> None:
        """Answer who asked, unless the NAT's ports are still being sampled."""
        if not self.nat.sampling:
            self._report()

    def _report(self) -> None:
        tokens, self._tokens = self._tokens, []
        for token in tokens:
            self._engine.done(token, self.report())

    def stop(self) -> None:
        """The node goes down."""
        for name in (("stun",), ("stun-end",), ("stun-again", 0), ("stun-again", 1), ("stun-nat",), ("stun-sampled",)):
            self._engine.timers.cancel(name)
        self._pending, self._probes, self.nat.sampling = {}, [], False
        self._report()


def _has(uplink: "dict[str, Any]", size: int) -> bool:
    if not uplink["port4" if size == 4 else "port6"]:
        return False
    return any(len(address) == size and (size == 4 or ip_kind(address) != "link-local") for _, address in uplink["addresses"])


def _addresses(uplinks: "list[dict[str, Any]]") -> "set[tuple[int, Any, int]]":
    found = set()
    for uplink in uplinks:
        for _, address in uplink["addresses"]:
            found.add((uplink["uplink"], address, uplink["port4"] if len(address) == 4 else uplink["port6"]))
        for way in uplink["via"]:  # the same address may lead elsewhere now
            found.add((uplink["uplink"], way, 0))
    return found


def _add(found: "list[tuple[bytes, int, int]]", address: bytes, port: int, kind: int) -> None:
    if port and not any(entry[0] == address and entry[1] == port for entry in found):
        found.append((address, port, kind))
