"""Rows of 32-bit words in one big integer: how ChaCha20, Salsa20 and BLAKE2s are computed here.

A cipher state of 16 words is four rows of four words. A row is one integer with a 64-bit lane per word, lane 0 lowest; several
blocks stand beside each other, 256 bits a block, so that one addition adds four words of up to BLOCKS blocks:

    bits   0..31  word 0    32..63  zero    64..95  word 1    ...    256..287  word 0 of the next block    ...

The upper half of a lane takes the carry of an addition or the overflow of a rotation until the row is masked. This makes hundreds of
operations on a few long integers out of thousands on words; on 32-bit MicroPython words from 2^30 would be heap objects each.
"""

BLOCKS = 8  # blocks computed at once: longer integers gain little and cost heap

_LANE = 0xFFFFFFFF
_masks: "dict[int, Masks]" = {}


class Masks:
    """The constants for rows of `count` blocks; every attribute is an integer as long as such a row."""

    def __init__(self, count: int) -> None:
        ones = 0
        numbers = 0
        for block in range(count):
            ones |= 1 << 256 * block
            numbers |= block << 256 * block
        self.ones = ones  # times one block's row = that row in every block
        self.numbers = numbers  # 0, 1, 2, ... in lane 0 of the blocks: counters
        self.lane0 = ones * _LANE
        self.lane1 = self.lane0 << 64
        self.lane2 = self.lane0 << 128
        self.lane3 = self.lane0 << 192
        self.lanes01 = self.lane0 | self.lane1
        self.lanes012 = self.lanes01 | self.lane2
        self.all = self.lanes012 | self.lane3
        self.size = 32 * count  # bytes


def masks(count: int) -> Masks:
    """The masks for `count` blocks, made on first use."""
    if count not in _masks:
        _masks[count] = Masks(count)
    return _masks[count]


def row(words: bytes) -> int:
    """16 bytes (four little-endian words) -> the row of one block."""
    value = int.from_bytes(words, "little")
    return value & _LANE | (value & _LANE << 32) << 32 | (value & _LANE << 64) << 64 | (value & _LANE << 96) << 96


def words(value: int) -> bytes:
    """The row of one block -> its 16 bytes."""
    packed = value & _LANE | value >> 32 & _LANE << 32 | value >> 64 & _LANE << 64 | value >> 96 & _LANE << 96
    return packed.to_bytes(16, "little")


def blocks(rows: "tuple[int, int, int, int]", constants: Masks) -> bytes:
    """Four rows of n blocks -> their 64 * n bytes in order."""
    a, b, c, d = [_packed(value, constants) for value in rows]
    size = constants.size
    upper = (a | b << 128).to_bytes(size, "little")
    lower = (c | d << 128).to_bytes(size, "little")
    if size == 32:
        return upper + lower
    parts = []
    for at in range(0, size, 32):
        parts.append(upper[at : at + 32])
        parts.append(lower[at : at + 32])
    return b"".join(parts)


def _packed(value: int, constants: Masks) -> int:
    """Four lanes -> the low 128 of each block's 256 bits."""
    return (
        value & constants.lane0
        | (value & constants.lane1) >> 32
        | (value & constants.lane2) >> 64
        | (value & constants.lane3) >> 96
    )


def exclusive_or(data: bytes, stream: bytes) -> bytes:
    """`data` XOR the beginning of `stream`, which is at least as long."""
    size = len(data)
    value = int.from_bytes(data, "little") ^ int.from_bytes(stream[:size], "little")
    return value.to_bytes(size, "little")
