"""A replay in words: what came, what was decided. One `Row` a step; `text()` for a terminal, `document()` for programs."""

from skerry_core import disco, stun
from skerry_core import path as paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .replay import Replay, Step

HANDSHAKE = {1: "handshake initiation", 2: "handshake response", 3: "cookie reply", 4: "data"}
EDGES = (
    (1, "data sent"), (2, "packet received"), (4, "session wanted"), (8, "session confirmed"), (16, "session worn"), (32, "data received"),
)  # fmt: skip
PLAIN = {"close": "close a connection", "resolve": "resolve a name", "interface": "set up the interface", "save": "save"}
TOLD = {"state": "state ", "auth-url": "sign in at ", "error": "", "map": "map"}


class Row:
    """`at`: ms since the beginning. `lane`: gateway, relay, network, person, time, or a peer's name."""

    def __init__(self, at: int, lane: str, came: str, decided: "list[str]", events: "list[str]") -> None:
        self.at, self.lane, self.came, self.decided, self.events = at, lane, came, decided, events
        self.times = 1
        self.state = ""
        self.moved: list[tuple[str, str]] = []  # peer, its path now

    def same(self, other: "Row") -> bool:
        """Whether people need not see both."""
        return (self.lane, self.came, self.decided, self.events) == (other.lane, other.came, other.decided, other.events)


def rows(replay: "Replay") -> "Iterator[Row]":
    """All steps, as they are played."""
    begin: int | None = None
    words = Words(replay)
    for step in replay.steps():
        begin = step.at if begin is None else begin
        yield words.row(step, begin)


class Words:
    """Names things by what the engine knows at that moment."""

    def __init__(self, replay: "Replay") -> None:
        self._replay = replay
        self._streams: dict[int, str] = {}

    def row(self, step: "Step", begin: int) -> Row:
        """One step."""
        lane, came = self._came(step.item)
        decided = [text for text in (self._decided(action) for action in step.actions) if text]
        made = Row(step.at - begin, lane, came, decided, [self._event(event) for event in step.events if event[0] != "done"])
        for event in step.events:
            if event[0] == "state":
                made.state = event[1]
            elif event[0] == "path":
                made.moved.append((self._peer(event[1]), _way(event[2])))
        return made

    def _came(self, item: "tuple[Any, ...] | None") -> "tuple[str, str]":
        if item is None:
            return "time", "timer"
        kind = item[0]
        try:
            reader = getattr(self, "_in_" + str(kind).replace("-", "_"), None)
            return reader(*item[1:]) if reader is not None else ("network", str(kind))
        except (TypeError, ValueError, IndexError, KeyError, AttributeError):
            return "network", f"{kind}, malformed"

    def _in_datagram(self, path: "Any", data: bytes) -> "tuple[str, str]":
        where = _where(path)
        if stun.is_stun(data):
            return "network", f"STUN answer from {where}"
        if disco.is_disco(data):
            sender = data[6:38]
            for peer in self._replay.engine.peers.all():
                if peer.disco == sender:
                    return peer.name(), f"disco of {len(data)} bytes from {where}"
            return "network", f"disco of {len(data)} bytes from {where}, of no peer"
        return "network", f"{HANDSHAKE.get(data[0] if data else 0, 'datagram')} from {where}"

    def _in_edge(self, index: int, what: int) -> "tuple[str, str]":
        peer = self._replay.engine.peers.by_index.get(index)
        return "network" if peer is None else peer.name(), ", ".join(text for bit, text in EDGES if what & bit)

    def _in_stream(self, number: int, what: str, data: "Any" = None) -> "tuple[str, str]":
        purpose = self._streams.get(number, "control")
        lane = "relay" if purpose == "relay" else "gateway"
        if what == "data":
            return lane, f"{len(data)} bytes"
        return lane, f"connection {what}" + (f": {data}" if what == "closed" and data else "")

    def _in_frame(self, region: int, kind: int, payload: bytes) -> "tuple[str, str]":
        return "relay", f"frame 0x{kind:02x} of {len(payload)} bytes from relay {region}"

    def _in_clock(self, wall: int) -> "tuple[str, str]":
        return "network", f"the host's clock says {wall // 1000} s"

    def _in_uplinks(self, uplinks: "list[dict[str, Any]]") -> "tuple[str, str]":
        return "network", f"the host has {sum(len(each['addresses']) for each in uplinks)} addresses"

    def _in_command(self, _token: "Any", name: str, _arguments: "Any" = None) -> "tuple[str, str]":
        return "person", f"skerry {name}"

    def _decided(self, action: "tuple[Any, ...]") -> str:
        kind = action[0]
        if kind == "connect":
            self._streams[action[1]] = action[2]["purpose"]
            return f"connect to {action[2]['host']}:{action[2]['port']} ({action[2]['purpose']})"
        if kind == "send":
            data = action[2]
            what = "STUN" if stun.is_stun(data) else "disco" if disco.is_disco(data) else HANDSHAKE.get(data[0] if data else 0, "datagram")
            return f"{what} to {_where(action[1])}"
        if kind == "write":
            return f"write {len(action[2])} bytes to the {'relay' if self._streams.get(action[1]) == 'relay' else 'gateway'}"
        if kind == "apply":
            return ", ".join(_change(change) for change in action[1])
        return PLAIN.get(kind, str(kind))

    def _event(self, event: "tuple[Any, ...]") -> str:
        if event[0] == "path":
            return f"{self._peer(event[1])}: {_way(event[2])} ({event[3]})"
        return TOLD.get(event[0], str(event[0])) + str(event[1] if len(event) > 1 else "")

    def _peer(self, key: bytes) -> str:
        peer = self._replay.engine.peers.by_key.get(key)
        return key.hex()[:8] if peer is None else str(peer.name())


def _change(change: "tuple[Any, ...]") -> str:
    if change[0] == "session":
        return f"session {change[2]} for peer {change[1]}"
    if change[0] == "paths":
        return f"peer {change[1]} by {' and '.join(_where(each) for each in change[2]) or 'no path'}"
    return f"{change[0]} {change[1]}" if len(change) > 1 and type(change[1]) is int else str(change[0])


def _where(path: "Any") -> str:
    return f"relay {path[0]}" if len(path) == 2 else paths.text(path)


def _way(path: "Any") -> str:
    return "no path" if not path else _where(path) if not isinstance(path, str) else path


def merged(found: "Iterable[Row]") -> "Iterator[Row]":
    """Rows that say nothing are left out, those that say the same one after the other are counted."""
    last: Row | None = None
    for row in found:
        if not row.decided and not row.events and row.lane != "person":
            continue
        if last is not None and last.same(row):
            last.times += 1
            continue
        if last is not None:
            yield last
        last = row
    if last is not None:
        yield last


def text(row: Row, width: int) -> "list[str]":
    """Lines for a terminal: time, lane, what came; below it what was decided, what people were told."""
    times = f"  ({row.times} times)" if row.times > 1 else ""
    lines = [f"{clock(row.at)}  {row.lane[:16]:<16}  {row.came}{times}"]
    lines += [f"{'':12}  {'':16}    -> {each}" for each in row.decided] + [f"{'':12}  {'':16}    !! {each}" for each in row.events]
    return [line if len(line) <= width else line[: width - 3] + "..." for line in lines]


def clock(ms: int) -> str:
    """+h:mm:ss.mmm, 12 columns."""
    return f"+{ms // 3_600_000}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}".rjust(12)


def document(row: Row) -> "dict[str, Any]":
    """For programs."""
    return {"at_ms": row.at, "lane": row.lane, "in": row.came, "decided": row.decided, "events": row.events}
