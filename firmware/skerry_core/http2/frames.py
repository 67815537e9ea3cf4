"""HTTP/2 frames: constants, making, and cutting them out of a stream of bytes. Source: RFC 9113, sections 4 and 6.

    u24 payload length | u8 type | u8 flags | u32 stream (top bit ignored) | payload        all big-endian

It does not know what a payload means; client.py does.
"""

from skerry_core.errors import PeerError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_SIZE = 9
MAX_PAYLOAD = 16384
MAX_WINDOW = (1 << 31) - 1

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS, PADDED, HAS_PRIORITY = 4, 8, 32

# settings
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)

# error codes
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR = range(7)
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(7, 12)


class ConnectionFault(PeerError):
    """The peer broke the connection's rules; `code` is the error code for GOAWAY."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def settings(pairs: list[tuple[int, int]]) -> bytes:
    """A SETTINGS frame of (identifier, value) pairs."""
    return frame(SETTINGS, 0, 0, b"".join([name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in pairs]))


def u32(payload: bytes, at: int = 0) -> int:
    """A 31-bit number, its reserved top bit ignored."""
    return int.from_bytes(payload[at : at + 4], "big") & MAX_WINDOW


def unpad(flags: int, payload: bytes) -> bytes:
    """The payload of a DATA or HEADERS frame without its padding. ConnectionFault: more padding than payload."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(PROTOCOL_ERROR, f"HTTP/2 frame of {len(payload)} bytes has more padding than that")
    return payload[1 : len(payload) - payload[0]]


class FrameReader:
    """Cuts frames out of any cut of bytes; holds at most one incomplete frame."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[tuple[int, int, int, bytes]]:
        """(type, flags, stream, payload) of each complete frame. ConnectionFault: longer than 16384 bytes."""
        buffer, frames, at = self._buffer + data, [], 0
        while len(buffer) - at >= HEADER_SIZE:
            size = int.from_bytes(buffer[at : at + 3], "big")
            if size > MAX_PAYLOAD:
                raise ConnectionFault(FRAME_SIZE_ERROR, f"HTTP/2 frame type {buffer[at + 3]} of {size} bytes, at most {MAX_PAYLOAD}")
            start = at + HEADER_SIZE
            if len(buffer) < start + size:
                break
            frames.append((buffer[at + 3], buffer[at + 4], u32(buffer, at + 5), buffer[start : start + size]))
            at = start + size
        self._buffer = buffer[at:]
        return frames
