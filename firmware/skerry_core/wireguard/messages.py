"""WireGuard messages: constants and layouts. Integers are little-endian; bytes 1..3 of every message are zero.

    1 initiation, 148 B   u8 1, 3 zero | sender u32 | ephemeral 32 | static 32+16 | TAI64N 12+16 | mac1 16 | mac2 16
    2 response,    92 B   u8 2, 3 zero | sender u32 | receiver u32 | ephemeral 32 | empty 0+16 | mac1 16 | mac2 16
    3 cookie reply, 64 B  u8 3, 3 zero | receiver u32 | nonce 24 | cookie 16+16
    4 data,     >= 32 B   u8 4, 3 zero | receiver u32 | counter u64 | packet padded with zeros to a multiple of 16, + 16

`a+16` is a sealed field with its tag. mac1 covers everything before it, mac2 everything before itself (mac1 included).
It only cuts fields and puts them together: nothing here is authenticated.
"""

import struct

from skerry_core.errors import PeerError

INITIATION, RESPONSE, COOKIE_REPLY, DATA = 1, 2, 3, 4
INITIATION_LENGTH, RESPONSE_LENGTH, COOKIE_REPLY_LENGTH, DATA_MINIMUM = 148, 92, 64, 32
LENGTHS = {INITIATION: INITIATION_LENGTH, RESPONSE: RESPONSE_LENGTH, COOKIE_REPLY: COOKIE_REPLY_LENGTH}
MACS_LENGTH = 32
DATA_HEADER = 16
TAG = 16
REKEY_AFTER_MESSAGES = 1 << 60
REJECT_AFTER_MESSAGES = (1 << 64) - (1 << 13) - 1


def kind(data: "bytes | memoryview") -> int:
    """The type of a message whose length fits that type, else 0."""
    if len(data) < DATA_MINIMUM or data[1] or data[2] or data[3]:
        return 0
    first = data[0]
    if first == DATA:
        return DATA
    return first if LENGTHS.get(first) == len(data) else 0


def require(data: bytes, expected: int, name: str) -> None:
    """PeerError unless `data` is a message of type `expected` with its right length."""
    if kind(data) != expected:
        raise PeerError(f"{name}: {len(data)} bytes of type {data[0] if data else 'none'}, need {LENGTHS[expected]} of type {expected}")


def sender_index(data: bytes) -> int:
    """Sender index of an initiation or response."""
    return int(struct.unpack_from("<I", data, 4)[0])


def receiver_index(data: bytes) -> int:
    """Receiver index of a response (2), cookie reply (3) or data message (4)."""
    return int(struct.unpack_from("<I", data, 8 if data[0] == RESPONSE else 4)[0])


def data_header(receiver: int, counter: int) -> bytes:
    """First 16 bytes of a data message."""
    return struct.pack("<IIQ", DATA, receiver, counter)


def nonce(counter: int) -> bytes:
    """Nonce of the AEAD: 4 zero bytes and the counter, little-endian."""
    return struct.pack("<IQ", 0, counter)
