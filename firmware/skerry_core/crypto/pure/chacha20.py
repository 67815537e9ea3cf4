"""ChaCha20's block function (RFC 8439, section 2.3) and HChaCha20 (draft-irtf-cfrg-xchacha-03, section 2.2).

State, 16 little-endian words:  "expand 32-byte k" (4)  key (8)  block counter (1)  nonce (3)
HChaCha20 puts 16 bytes of nonce into the last row and gives rows 0 and 3 of the result, without the final addition.
No authentication here (`aead`), no counter above 2^32: a message is far shorter.
"""

from .lanes import BLOCKS, Masks, blocks, masks, row, words

_CONSTANTS = row(b"expand 32-byte k")


def keystream(key: bytes, nonce: bytes, counter: int, size: int) -> bytes:
    """At least `size` bytes (whole blocks) of the stream of a 32-byte key and a 12-byte nonce, from block `counter` on."""
    key_rows = (row(key[:16]), row(key[16:]))
    parts = []
    left = (size + 63) // 64
    while left > 0:
        count = min(left, BLOCKS)
        last = row(counter.to_bytes(4, "little") + nonce)
        parts.append(_some_blocks(key_rows, last, masks(count)))
        counter += count
        left -= count
    return b"".join(parts)


def _some_blocks(key_rows: "tuple[int, int]", last: int, constants: Masks) -> bytes:
    ones = constants.ones
    a = _CONSTANTS * ones
    b = key_rows[0] * ones
    c = key_rows[1] * ones
    d = last * ones + constants.numbers
    w, x, y, z = _rounds(a, b, c, d, constants)
    mask = constants.all
    return blocks((w + a & mask, x + b & mask, y + c & mask, z + d & mask), constants)


def hchacha20(key: bytes, nonce16: bytes) -> bytes:
    """The 32-byte subkey of a 32-byte key and 16 bytes of nonce."""
    a, _, _, d = _rounds(_CONSTANTS, row(key[:16]), row(key[16:]), row(nonce16), masks(1))
    return words(a) + words(d)


def _rounds(a: int, b: int, c: int, d: int, constants: Masks) -> "tuple[int, int, int, int]":
    """Twenty rounds on rows; the diagonal rounds are column rounds between two rotations of the rows."""
    mask = constants.all
    one = constants.lane0
    two = constants.lanes01
    three = constants.lanes012
    for _ in range(10):
        a = a + b & mask
        d = (d ^ a) << 16
        d = (d | d >> 32) & mask
        c = c + d & mask
        b = (b ^ c) << 12
        b = (b | b >> 32) & mask
        a = a + b & mask
        d = (d ^ a) << 8
        d = (d | d >> 32) & mask
        c = c + d & mask
        b = (b ^ c) << 7
        b = (b | b >> 32) & mask
        b = b >> 64 & three | (b & one) << 192
        c = c >> 128 & two | (c & two) << 128
        d = d >> 192 & one | (d & three) << 64
        a = a + b & mask
        d = (d ^ a) << 16
        d = (d | d >> 32) & mask
        c = c + d & mask
        b = (b ^ c) << 12
        b = (b | b >> 32) & mask
        a = a + b & mask
        d = (d ^ a) << 8
        d = (d | d >> 32) & mask
        c = c + d & mask
        b = (b ^ c) << 7
        b = (b | b >> 32) & mask
        b = b >> 192 & one | (b & three) << 64
        c = c >> 128 & two | (c & two) << 128
        d = d >> 64 & three | (d & one) << 192
    return a, b, c, d
