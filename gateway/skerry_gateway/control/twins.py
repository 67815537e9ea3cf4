"""Two processes with one machine key: the state was copied to a second board or virtual machine.

Each process has a mark: `SkerryStarted` of its Hostinfo (random, made when the process starts; ours send it), else its disco key, which
official clients make anew in each process. A new mark is a restart. A mark that comes back on a connection opened after another one was
introduced is a proof that both processes live:

    connection   1    2    3
    mark         A    B    A      B is a copy of A, or the other way round: who was here first counts as the original

A late word on an old connection proves nothing; official clients ask anew on the one they have, so with them it takes two returns, each
with a poll. A copy of ours is told (HTTP 409), makes keys of its own and waits for approval; official
clients know no such thing, so for them it is only said. In memory: a restart of the gateway forgets marks, and finds twins again.
"""

import json
from typing import Any

from . import hostinfo

MARKS, COPIES = 8, 64  # remembered of a node
RETURNS = 2
SHOWN_MS = 3600_000  # how long after the last sign of it a twin is shown
_SENTENCE = "this machine key is in use by the device that this one's state was copied from"
ANSWER = json.dumps({"SkerryCopied": True, "Error": _SENTENCE}).encode()


def mark_of(body: dict[str, Any]) -> str:
    """The process that a request comes from; "" when the request does not tell."""
    info = body.get("Hostinfo")
    started = hostinfo.text(info.get("SkerryStarted"), 64) if isinstance(info, dict) else ""
    disco = hostinfo.key(body.get("DiscoKey"), "discokey")
    return f"process {started}" if started else "" if disco == hostinfo.ZERO_KEY else f"disco {disco.hex()}"


class _Seen:
    """What is known of one node."""

    def __init__(self) -> None:
        self.marks: dict[str, int] = {}  # in the order they came -> number of the connection that brought them
        self.copies: dict[str, None] = {}
        self.twin_ms: int | None = None
        self.polled, self.returns = "", 0  # whose poll came last; how often one came back after another's


class Twins:
    """By node id; connections are numbered in the order they were opened."""

    def __init__(self) -> None:
        self._nodes: dict[int, _Seen] = {}

    def heard(self, node_id: int, mark: str, connection: int, wall_ms: int, poll: bool = True) -> list[str]:
        """A node's process asked something, for its map if `poll`; the marks of copies that this proves."""
        if not mark:
            return []
        seen = self._nodes.setdefault(node_id, _Seen())
        if poll:
            seen.returns += mark in seen.marks and mark != seen.polled
            seen.polled = mark
        if mark not in seen.marks:
            seen.marks[mark] = connection
            if len(seen.marks) > MARKS:
                del seen.marks[next(iter(seen.marks))]
            return []
        names = list(seen.marks)
        later = names[names.index(mark) + 1 :]
        found = [other for other in later if seen.marks[other] < connection]
        if not found and poll and seen.returns >= RETURNS and mark.startswith("disco "):
            found = later
        if not found:
            return []
        seen.twin_ms = wall_ms
        for other in found:
            if other.startswith("process "):
                del seen.marks[other]
                seen.copies[other] = None
            else:
                seen.marks[other] = connection  # proven; the next proof needs another alternation
                seen.returns = 0
        while len(seen.copies) > COPIES:
            del seen.copies[next(iter(seen.copies))]
        return found

    def is_copy(self, node_id: int, mark: str) -> bool:
        """Whether this process was proven to be a copy that can be told."""
        seen = self._nodes.get(node_id)
        return seen is not None and mark in seen.copies

    def seen_ms(self, node_id: int, wall_ms: int) -> int | None:
        """When a twin of the node was noticed last, if that is not long ago."""
        seen = self._nodes.get(node_id)
        recent = seen is not None and seen.twin_ms is not None and wall_ms - seen.twin_ms < SHOWN_MS
        return seen.twin_ms if recent and seen is not None else None

    def forget(self, node_id: int) -> None:
        """The node is gone."""
        self._nodes.pop(node_id, None)
