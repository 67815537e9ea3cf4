"""What waits to be written to one client: three bounded queues of whole frames.

Order of service: control (answers, keepalives, notices), disco, data. A reader that is too slow loses the oldest packets of its own
queue and holds up nobody: dropping the head keeps the packets that are still worth having, and a TCP flow inside the tunnel learns of
the congestion sooner. Data is bounded in bytes and not in packets, because one read of a fast sender brings hundreds of frames
before the event loop lets anything be written.
"""

from collections import deque

DATA_BYTES = 512 * 1024
DISCO_FRAMES = 64
CONTROL_FRAMES = 128


class Outbox:
    """`put_*` return how many frames were dropped to make room; `take()` empties all queues in order of service."""

    def __init__(self) -> None:
        self._control: deque[bytes] = deque()
        self._disco: deque[bytes] = deque()
        self._data: deque[bytes] = deque()
        self._data_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._control or self._disco or self._data)

    def waiting(self) -> int:
        """How many frames wait."""
        return len(self._control) + len(self._disco) + len(self._data)

    def put_control(self, frame: bytes) -> int:
        return _put(self._control, frame, CONTROL_FRAMES)

    def put_disco(self, frame: bytes) -> int:
        return _put(self._disco, frame, DISCO_FRAMES)

    def put_data(self, frame: bytes) -> int:
        dropped = 0
        while self._data and self._data_bytes + len(frame) > DATA_BYTES:
            self._data_bytes -= len(self._data.popleft())
            dropped += 1
        self._data.append(frame)
        self._data_bytes += len(frame)
        return dropped

    def drop_packets(self) -> int:
        """Forget every packet of other nodes (control frames stay): for a connection that must carry nothing any more."""
        dropped = len(self._disco) + len(self._data)
        self._disco.clear()
        self._data.clear()
        self._data_bytes = 0
        return dropped

    def take(self) -> bytes:
        out = b"".join((*self._control, *self._disco, *self._data))
        self._control.clear()
        self.drop_packets()
        return out


def _put(queue: deque[bytes], frame: bytes, limit: int) -> int:
    dropped = 0
    while len(queue) >= limit:
        queue.popleft()
        dropped += 1
    queue.append(frame)
    return dropped
