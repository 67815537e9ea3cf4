"""Writing pcapng (draft-ietf-opsawg-pcapng): the four blocks a capture needs, of link type RAW (the packet begins with its IP header).

```
every block    type u32 | total length u32 | body, padded to 4 | total length u32          little-endian
section        0a0d0d0a: 1a2b3c4d | 1 u16 | 0 u16 | section length, -1: not known | options
interface      1: link type u16 | 0 u16 | snaplen u32 | options: if_name 2, if_tsresol 9 (nanoseconds)
packet         6: interface u32 | time hi u32 | time lo u32 | captured u32 | whole u32 | bytes, padded | options: epb_flags 2
statistics     5: interface u32 | time hi u32 | time lo u32 | options: isb_ifrecv 4, isb_ifdrop 5, u64 each
option         code u16 | length u16 | value, padded to 4; 0 0 ends them
```
Names of hosts, comments and secrets are not written. `blocks()` cuts a stream into whole blocks.
"""

import struct

from skerry_core.errors import PeerError

SECTION, INTERFACE, STATISTICS, PACKET = 0x0A0D0D0A, 1, 5, 6
RAW = 101
IN, OUT = 1, 2  # epb_flags
LIMIT = 1 << 20  # bytes of a block


def header(name: str, snaplen: int) -> bytes:
    """How a capture of one interface begins."""
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options((4, b"skerry"))
    interface = struct.pack("<HHI", RAW, 0, snaplen) + options((2, name.encode()), (9, b"\x09"))
    return block(SECTION, section) + block(INTERFACE, interface)


def packet(when: int, inward: bool, whole: int, data: bytes) -> bytes:
    """A packet; `when` in nanoseconds since 1970, `whole` its length before it was cut."""
    fields = struct.pack("<IIIII", 0, when >> 32, when & 0xFFFFFFFF, len(data), whole)
    return block(PACKET, fields + pad(data) + options((2, struct.pack("<I", IN if inward else OUT))))


def statistics(when: int, received: int, lost: int) -> bytes:
    """How many packets there were, and how many of them are missing."""
    counts = options((4, struct.pack("<Q", received)), (5, struct.pack("<Q", lost)))
    return block(STATISTICS, struct.pack("<III", 0, when >> 32, when & 0xFFFFFFFF) + counts)


def pad(data: bytes) -> bytes:
    """To 4 bytes."""
    return data + bytes(-len(data) % 4)


def options(*pairs: "tuple[int, bytes]") -> bytes:
    """Options and their end."""
    return b"".join(struct.pack("<HH", code, len(value)) + pad(value) for code, value in pairs) + bytes(4)


def block(kind: int, body: bytes) -> bytes:
    """A block."""
    size = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + size + body + size


def blocks(data: bytes) -> "tuple[list[tuple[int, bytes]], bytes]":
    """The whole blocks at the front as (type, block), and the rest. PeerError for what cannot be a block."""
    found, at = [], 0
    while len(data) - at >= 12:
        kind, size = struct.unpack_from("<II", data, at)
        if size < 12 or size % 4 or size > LIMIT:
            raise PeerError(f"pcapng block {kind:#x}: length {size}, expected a multiple of 4 from 12 to {LIMIT}")
        if len(data) - at < size:
            break
        found.append((kind, data[at : at + size]))
        at += size
    return found, data[at:]


def lost_in(statistic: bytes) -> int:
    """The number of lost packets in a statistics block as `statistics` writes it."""
    return int.from_bytes(statistic[36:44], "little")
