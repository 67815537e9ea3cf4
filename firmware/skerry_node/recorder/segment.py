"""Lines of a recording in bounded memory: a head (the state at the beginning) and what came since, compressed in pieces."""

import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PIECE = 32 << 10  # bytes of lines that are compressed together
HEAD_LIMIT, LIMIT = 250 << 10, 420 << 10  # compressed bytes of a head, of the rest; there are two segments


class TooLarge(Exception):
    """The head does not fit; the number of bytes is more than this."""


class Segment:
    """`since`: ms when it began. `raw`: bytes of lines since."""

    def __init__(self, since: int, head: "Iterable[str]") -> None:
        self.since = since
        self.head = squeeze(head)
        self.pieces: list[bytes] = []
        self._waiting: list[bytes] = []
        self.raw = self._size = self._loose = 0

    @property
    def full(self) -> bool:
        """No more should be added."""
        return self._size >= LIMIT

    @property
    def size(self) -> int:
        """Bytes of memory that it holds, nearly."""
        return len(self.head) + self._size + self._loose

    def add(self, line: str) -> None:
        """One more."""
        data = line.encode()
        self._waiting.append(data)
        self.raw += len(data)
        self._loose += len(data)
        if self._loose >= PIECE:
            self.press()

    def press(self) -> "list[bytes]":
        """All pieces, with nothing waiting."""
        if self._waiting:
            piece = zlib.compress(b"\n".join(self._waiting), 6)
            self.pieces.append(piece)
            self._size += len(piece)
            self._waiting, self._loose = [], 0
        return self.pieces


def squeeze(rows: "Iterable[str]") -> bytes:
    """Compressed as they come, so that they are never in memory together. TooLarge."""
    press = zlib.compressobj(6)
    parts: list[bytes] = []
    size = 0
    for row in rows:
        size += _taken(parts, press.compress(row.encode() + b"\n"), size)
    _taken(parts, press.flush(), size)
    return b"".join(parts)


def _taken(parts: "list[bytes]", part: bytes, before: int) -> int:
    if before + len(part) > HEAD_LIMIT:
        raise TooLarge(before + len(part))
    if part:
        parts.append(part)
    return len(part)
