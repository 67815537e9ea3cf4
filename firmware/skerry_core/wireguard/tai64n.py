"""TAI64N stamps of WireGuard initiations: u64 BE seconds (2^62 + 10 + Unix seconds) | u32 BE nanoseconds, 12 bytes.

A responder refuses a stamp that is not greater than the last one it took from that key, so ours only ever grow: over restarts (the
engine saves the floor) and over a clock that is wrong or goes back. Source: https://cr.yp.to/libtai/tai64.html and the WireGuard paper.
"""

from skerry_core.errors import LocalError

LENGTH = 12
ZERO = bytes(LENGTH)
_EPOCH = (1 << 62) + 10
_SECOND = 1_000_000_000


def stamp(wall_ms: int, floor: bytes = ZERO) -> bytes:
    """The stamp of the wall clock (Unix milliseconds), or the least stamp above `floor` where that is later."""
    if len(floor) != LENGTH:
        raise LocalError(f"TAI64N floor: {len(floor)} bytes, need {LENGTH}")
    now = encode(max(wall_ms, 0))
    return now if now > floor else _next(floor)


def encode(wall_ms: int) -> bytes:
    """Unix milliseconds as a stamp."""
    seconds, milliseconds = divmod(wall_ms, 1000)
    return (_EPOCH + seconds).to_bytes(8, "big") + (milliseconds * 1_000_000).to_bytes(4, "big")


def _next(floor: bytes) -> bytes:
    seconds = int.from_bytes(floor[:8], "big")
    nanoseconds = int.from_bytes(floor[8:], "big") + 1
    if nanoseconds >= _SECOND:
        seconds, nanoseconds = seconds + 1, 0
    if seconds >= 1 << 63:
        raise LocalError("TAI64N floor: beyond the last stamp; the saved state is damaged")
    return seconds.to_bytes(8, "big") + nanoseconds.to_bytes(4, "big")
