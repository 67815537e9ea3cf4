"""What the NAT in front of us does, by RFC 5780's tests, from the socket that peers are reached with: part of a full STUN round.

    mapping      what several addresses and ports of servers see of us, compared (netcheck's own probes)
    discovery    one request about behaviour to the first server; one that knows nothing of it gives a plain answer, and there it ends
    filtering    "answer from another port", "... from another address and port": each 0, 300 and 600 ms, over at 1000 ms
    ports        of a mapping that varies only: 12 sockets of the adapter's ask once each: action ("sample", count, address, port), answered
                 by ("sampled", [(our port, port seen)])
    hairpin      on command only: a request to the address that was seen, which comes back to us or does not

Measured when the network changed, when UDP works after it did not, and on command: about 700 bytes, and 1.5 kB more of a hard NAT.
IPv4 alone, and on the first uplink that has it.
"""

from skerry_core import nat, path, stun
from skerry_core.nat import Nat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.engine.engine import Engine
    from skerry_core.engine.netcheck import Probe
    from skerry_core.engine.peer import Path

SAMPLES, SAMPLED = 12, 3_000
AGAIN, TRIES = 300, 3
DISCOVER, BOTH, HAIRPIN, MAPPING = "discover", stun.CHANGE_ADDRESS | stun.CHANGE_PORT, "hairpin", "mapping"


class NatCheck:
    """`nat` is the result; `busy` while the round must not end yet."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self.nat = Nat()
        self.hairpin: bool | None = None
        self.wanted, self.person, self.busy, self.sampling = True, False, False, False
        self._where: Path | None = None
        self._asked: dict[bytes, Any] = {}
        self._answered: dict[Any, tuple[bytes, int]] = {}
        self._other: tuple[bytes, int] | None = None
        self._tries = 0

    def network_changed(self) -> None:
        """Another network: nothing of before holds."""
        self.nat, self.hairpin, self.wanted = Nat(), None, True

    def begin(self, probes: "list[Probe]", full: bool) -> None:
        """A round begins; in one that is no full one, nothing is asked."""
        self._asked, self._answered, self._other, self.busy, self._tries = {}, {}, None, False, 0
        first = [probe.where for probe in probes if probe.region and probe.where[1] == 4]
        self._where = first[0] if first and full and (self.wanted or self.person) else None
        if self._where is not None:
            self.busy = True
            self.again()

    def _ask(self, what: "Any") -> None:
        assert self._where is not None
        txid, where, change = self._engine.random(stun.TXID), self._where, what if isinstance(what, int) else 0
        self._asked[txid] = what
        if what == MAPPING and self._other is not None:
            where = path.udp(where[0], self._other[0], where[3])
        elif what == HAIRPIN:
            where = path.udp(where[0], *self._answered[DISCOVER])
        plain = what in (HAIRPIN, MAPPING)
        self._engine.send(where, stun.request(txid) if plain else stun.behaviour_request(txid, change))

    def datagram(self, where: "Path", data: bytes) -> bool:
        """A STUN message; whether it was about this."""
        found = stun.parse_response(data)
        if found is None:
            txid = stun.parse_request(data)
            ours = txid is not None and self._asked.get(txid) == HAIRPIN
            self.hairpin = True if ours else self.hairpin
            return ours
        what = self._asked.get(found[0])
        if what is None or self._where is None or path.is_relay(where):
            return False
        if what in (BOTH, stun.CHANGE_PORT) and where == self._where:
            return True  # a server that did not change what it was asked to
        new = what not in self._answered
        self._answered[what] = (found[1], found[2])
        if what == DISCOVER and new:
            self._other, self._tries = stun.parse_other(data), 0
            self.again()
        elif what == BOTH or (what == stun.CHANGE_PORT and not self._second()):
            self._finish()
        return True

    def _second(self) -> bool:
        """Whether the server has another address."""
        return self._other is not None and any(self._other[0])

    def again(self) -> None:
        """Timer: ask those again that did not answer."""
        found = DISCOVER in self._answered
        if self._where is None or self._tries >= TRIES or (found and self._other is None and not self.person):
            self._finish()
            return
        self._tries += 1
        for what in self._questions(found):
            if what not in self._answered:
                self._ask(what)
        self._engine.timers.set(("stun-nat",), self._engine.now + (AGAIN if self._tries < TRIES else AGAIN + 100))

    def _questions(self, found: bool) -> "list[Any]":
        if not found:
            return [DISCOVER]
        hairpin = [HAIRPIN] if self.person and self.hairpin is not True else []
        if self._other is None:
            return hairpin
        return [stun.CHANGE_PORT] + ([BOTH, MAPPING] if self._second() else []) + hairpin

    def _finish(self) -> None:
        self._engine.timers.cancel(("stun-nat",))
        if self.busy:
            self.busy = False
            self._engine.netcheck.settled()

    def ended(self, probes: "list[Probe]") -> None:
        """The round is over. `sampling` is set when the result still needs the adapter's answer."""
        asked = [probe for probe in probes if probe.where[1] == 4]
        seen = [(probe.where, probe.seen) for probe in asked if probe.seen is not None]
        if seen and self.nat.mapping == nat.BLOCKED and self._where is None:
            self.nat, self.wanted = Nat(), True
            self._engine.netcheck.full()
            return
        if self._where is None:
            return
        self._conclude(seen)
        self._engine.timers.cancel(("stun-nat",))
        self._where, self.wanted, self.busy, self.person = None, False, False, False

    def _conclude(self, seen: "list[tuple[Path, tuple[bytes, int]]]") -> None:
        if not seen:
            self._tell(Nat(nat.BLOCKED))
            return
        assert self._where is not None
        if MAPPING in self._answered and self._other is not None:
            seen = seen + [(path.udp(self._where[0], self._other[0], self._where[3]), self._answered[MAPPING])]
        if self.person and self.hairpin is None and HAIRPIN in self._asked.values():
            self.hairpin = False
        mine = [each for each in seen if each[0][0] == self._where[0]]
        local, own = self._local(self._where[0]), (mine or seen)[0][1]
        mapping = nat.NONE if own in local else _mapping(mine)
        ports = "preserving" if own[1] in [port for _, port in local] else "translated"
        hard = mapping in (nat.ADDRESS, nat.PORT)
        known = self.nat.ports if hard and self.nat.kind == "hard" else ""
        self._tell(Nat(mapping, self._filtering(), known if hard else ports, self.nat.size if known else 0))
        if hard:
            self.sampling = True
            self._engine.timers.set(("stun-sampled",), self._engine.now + SAMPLED)
            self._engine.act(("sample", SAMPLES, self._where[2], self._where[3]))

    def _local(self, uplink: int) -> "list[tuple[bytes, int]]":
        each = [each for each in self._engine.netcheck.uplinks if each["uplink"] == uplink]
        return [(address, each[0]["port4"]) for _, address in each[0]["addresses"] if len(address) == 4] if each else []

    def _filtering(self) -> str:
        if self._other is None:
            return ""
        if BOTH in self._answered:
            return nat.ENDPOINT
        if stun.CHANGE_PORT in self._answered:
            return nat.ADDRESS if self._second() else nat.NOT_BY_PORT
        return nat.PORT

    def sampled(self, samples: "list[tuple[int, int]]") -> None:
        """What the adapter's sockets saw, in the order they asked."""
        if self.sampling:
            ports, size = nat.classify([(ours, seen) for ours, seen in samples])
            if ports:
                self._tell(Nat(self.nat.mapping, self.nat.filtering, ports, size))
            self.unsampled()

    def unsampled(self) -> None:
        """Timer: the adapter gave no answer."""
        self.sampling = False
        self._engine.timers.cancel(("stun-sampled",))
        self._engine.netcheck.reported()

    def _tell(self, found: Nat) -> None:
        if found != self.nat:
            self.nat = found
            self._engine.control.maps.update()


def _mapping(seen: "list[tuple[Path, tuple[bytes, int]]]") -> str:
    """From (server, what it saw) of one uplink."""
    if len(seen) < 2:
        return ""
    for one, mapped in seen:
        for other, also in seen:
            if one[2] == other[2] and mapped != also:
                return nat.PORT
    if any(mapped != seen[0][1] for _, mapped in seen):
        return nat.ADDRESS
    return nat.NOT_BY_PORT if all(where[2] == seen[0][0][2] for where, _ in seen) else nat.ENDPOINT
