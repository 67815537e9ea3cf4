"""Salsa20's core, HSalsa20 and the XSalsa20 stream (Bernstein: "Salsa20 specification", "Extending the Salsa20 nonce").

State, 16 little-endian words; the constants stand on the diagonal:
     0 "expa"   1..4 key            5 "nd 3"   6..7 nonce    8..9 block counter    10 "2-by"   11..14 key    15 "te k"
Rows here hold diagonals, so that a column round is four operations on whole rows:
    a = words 0 5 10 15    b = words 4 9 14 3    c = words 8 13 2 7    d = words 12 1 6 11
HSalsa20 gives the words 0 5 10 15 6 7 8 9, without the final addition. No authentication here (`box`).
"""

from .lanes import BLOCKS, Masks, blocks, masks, row, words

_CONSTANTS = row(b"expand 32-byte k")


def hsalsa20(key: bytes, nonce16: bytes) -> bytes:
    """The 32-byte subkey of a 32-byte key and 16 bytes of nonce."""
    a, b, c, d = _rounds(*_state(key, nonce16), masks(1))
    w6_to_9 = _natural(a, b, c, d, masks(1))
    return words(a) + words(w6_to_9[1])[8:] + words(w6_to_9[2])[:8]


def xkeystream(key: bytes, nonce24: bytes, size: int) -> bytes:
    """At least `size` bytes (whole blocks) of XSalsa20's stream, from block 0 on."""
    subkey = hsalsa20(key, nonce24[:16])
    parts = []
    counter = 0
    left = (size + 63) // 64
    while left > 0:
        count = min(left, BLOCKS)
        start = _state(subkey, nonce24[16:] + counter.to_bytes(8, "little"))
        parts.append(_some_blocks(start, masks(count)))
        counter += count
        left -= count
    return b"".join(parts)


def _state(key: bytes, last: bytes) -> "tuple[int, int, int, int]":
    """The four diagonals of one block; `last` is words 6 to 9."""
    return (
        _CONSTANTS,
        row(key[12:16] + last[12:16] + key[28:32] + key[8:12]),
        row(last[8:12] + key[24:28] + key[4:8] + last[4:8]),
        row(key[20:24] + key[0:4] + last[0:4] + key[16:20]),
    )


def _some_blocks(start: "tuple[int, int, int, int]", constants: Masks) -> bytes:
    ones = constants.ones
    a, b, c, d = [value * ones for value in start]
    c += constants.numbers  # word 8, the counter's lower half; a message is far shorter than 2^32 blocks
    w, x, y, z = _rounds(a, b, c, d, constants)
    mask = constants.all
    return blocks(_natural(w + a & mask, x + b & mask, y + c & mask, z + d & mask, constants), constants)


def _natural(a: int, b: int, c: int, d: int, constants: Masks) -> "tuple[int, int, int, int]":
    """Diagonals -> the rows of words 0..3, 4..7, 8..11, 12..15."""
    zero, one, two, three = constants.lane0, constants.lane1, constants.lane2, constants.lane3
    return (
        a & zero | d & one | c & two | b & three,
        b & zero | a & one | d & two | c & three,
        c & zero | b & one | a & two | d & three,
        d & zero | c & one | b & two | a & three,
    )


def _rounds(a: int, b: int, c: int, d: int, constants: Masks) -> "tuple[int, int, int, int]":
    """Twenty rounds; the row rounds are column rounds with b and d exchanged, between two rotations."""
    mask = constants.all
    one = constants.lane0
    two = constants.lanes01
    three = constants.lanes012
    for _ in range(10):
        t = (a + d & mask) << 7
        b ^= (t | t >> 32) & mask
        t = (b + a & mask) << 9
        c ^= (t | t >> 32) & mask
        t = (c + b & mask) << 13
        d ^= (t | t >> 32) & mask
        t = (d + c & mask) << 18
        a ^= (t | t >> 32) & mask
        b = b >> 192 & one | (b & three) << 64
        c = c >> 128 & two | (c & two) << 128
        d = d >> 64 & three | (d & one) << 192
        t = (a + b & mask) << 7
        d ^= (t | t >> 32) & mask
        t = (d + a & mask) << 9
        c ^= (t | t >> 32) & mask
        t = (c + d & mask) << 13
        b ^= (t | t >> 32) & mask
        t = (b + c & mask) << 18
        a ^= (t | t >> 32) & mask
        b = b >> 64 & three | (b & one) << 192
        c = c >> 128 & two | (c & two) << 128
        d = d >> 192 & one | (d & three) << 64
    return a, b, c, d
