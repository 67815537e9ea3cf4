"""What the Python transport tells: events in order, bounded, and counters. It decides nothing."""

from skerry_core.transport.peers import Peer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_EVENTS = 4096


class Report:
    """Events until they are taken; counters for ever."""

    def __init__(self) -> None:
        self._events: list[tuple[Any, ...]] = []
        self._counters: dict[str, int] = {"to_python": 0}

    def add(self, event: "tuple[Any, ...]") -> None:
        """An event that only our own latches make: there are few, and none may be lost."""
        self._events.append(event)

    def offer(self, event: "tuple[Any, ...]") -> bool:
        """An event that the network makes: False, and counted, when too many wait."""
        if len(self._events) >= MAX_EVENTS:
            self.drop("poll")
            return False
        self._events.append(event)
        return True

    def hand_up(self, path: "tuple[Any, ...]", data: bytes) -> None:
        """A control datagram for the engine."""
        if self.offer(("datagram", path, data)):
            self._counters["to_python"] += 1

    def edge(self, peer: Peer, what: int) -> None:
        """Report an armed edge, and disarm it."""
        if peer.armed & what:
            peer.armed &= ~what
            self._events.append(("edge", peer.number, what))

    def forget_edges(self, number: int) -> None:
        """Take back the edges of a removed peer."""
        self._events = [event for event in self._events if event[0] != "edge" or event[1] != number]

    def drop(self, reason: str, count: int = 1) -> None:
        """Count dropped packets; "" is no reason."""
        if reason and count:
            name = "drop_" + reason
            self._counters[name] = self._counters.get(name, 0) + count

    def take(self) -> "list[tuple[Any, ...]]":
        """Events since the last call, in order."""
        events, self._events = self._events, []
        return events

    def counters(self) -> "dict[str, int]":
        """A copy."""
        return dict(self._counters)
