"""One relay as the Python transport sees it: a stream in, cut into frames, and frames waiting to go out. No protocol decisions."""

from skerry_core import derp
from skerry_core.errors import PeerError

OUTPUT_BYTES = 1 << 20
OUTPUT_FRAMES = 1024


class Relay:
    """A region's stream; `up` when frames to it are kept."""

    def __init__(self) -> None:
        self.up = False
        self.told = False
        self.bad_told = False
        self._deframer = derp.Deframer()
        self._frames: list[bytes] = []
        self._bytes = 0

    def feed(self, data: bytes) -> "tuple[list[tuple[int, bytes]], str]":
        """Frames now complete, and the sentence that says what is wrong with the stream (once, else "")."""
        if self.bad_told:
            return [], ""
        try:
            frames = self._deframer.feed(data)
        except PeerError:
            frames = []
        self.bad_told = bool(self._deframer.bad)
        return frames, self._deframer.bad

    def put(self, frame: bytes) -> int:
        """Queue a frame; gives how many old ones were dropped for it."""
        self._frames.append(frame)
        self._bytes += len(frame)
        dropped = 0
        while self._bytes > OUTPUT_BYTES or len(self._frames) > OUTPUT_FRAMES:
            self._bytes -= len(self._frames.pop(0))
            dropped += 1
        return dropped

    def take(self, limit: int) -> bytes:
        """Whole frames of `limit` bytes at most (a first frame longer than that goes alone)."""
        count, size = 0, 0
        while count < len(self._frames) and (count == 0 or size + len(self._frames[count]) <= limit):
            size += len(self._frames[count])
            count += 1
        taken, self._frames = self._frames[:count], self._frames[count:]
        self._bytes -= size
        return b"".join(taken)

    def waiting(self) -> bool:
        """True when take() would give something."""
        return bool(self._frames)
