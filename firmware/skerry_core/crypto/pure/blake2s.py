"""BLAKE2s (RFC 7693), HMAC over it (RFC 2104) and Noise's HKDF (Noise, revision 34, section 4.3).

    parameters: digest size (1) key size (1) fanout 1 (1) depth 1 (1) zeros (28), XORed into the initial values
    hash: the key padded to 64 bytes if there is one, then the data, in blocks of 64; the last block is padded with zeros and flagged
    HMAC: blake2s(key ^ 5c.. | blake2s(key ^ 36.. | data)), the key padded to 64 bytes
    HKDF: temporary = HMAC(chaining key, material); output n = HMAC(temporary, output n-1 | n)
One call, one digest: no object to feed. No salt, no personalization, no tree.
"""

from ...errors import LocalError
from .lanes import masks, row, words
from .length import need

_IV = row(bytes.fromhex("67e6096a85ae67bb72f36e3c3af54fa5")), row(bytes.fromhex("7f520e518c68059babd9831f19cde05b"))
_MASK = masks(1).all
# message words in the order a round takes them: first and second of the four columns, first and second of the four diagonals
_SIGMA = (
    (0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15),
    (14, 4, 9, 13, 10, 8, 15, 6, 1, 0, 11, 5, 12, 2, 7, 3),
    (11, 12, 5, 15, 8, 0, 2, 13, 10, 3, 7, 9, 14, 6, 1, 4),
    (7, 3, 13, 11, 9, 1, 12, 14, 2, 5, 4, 15, 6, 10, 0, 8),
    (9, 5, 2, 10, 0, 7, 4, 15, 14, 11, 6, 3, 1, 12, 8, 13),
    (2, 6, 0, 8, 12, 10, 11, 3, 4, 7, 15, 1, 13, 5, 14, 9),
    (12, 1, 14, 4, 5, 15, 13, 10, 0, 6, 9, 8, 7, 3, 2, 11),
    (13, 7, 12, 3, 11, 14, 1, 9, 5, 15, 8, 2, 0, 4, 6, 10),
    (6, 14, 11, 0, 15, 9, 3, 8, 12, 13, 1, 10, 2, 7, 4, 5),
    (10, 8, 7, 1, 2, 4, 6, 5, 15, 9, 3, 13, 11, 14, 12, 0),
)


def blake2s(data: bytes, key: bytes = b"", size: int = 32) -> bytes:
    """The digest of `size` bytes (1 to 32); `key` has 0 to 32 bytes."""
    if not 1 <= size <= 32 or len(key) > 32:
        raise LocalError("blake2s: %d bytes of digest and %d of key, at most 32 each, a digest of at least 1" % (size, len(key)))
    state = (_IV[0] ^ (0x01010000 | len(key) << 8 | size), _IV[1])
    if key:
        data = bytes(key) + b"\0" * (64 - len(key)) + data
    return _finish(state, data, 0)[:size]


def hmac(key: bytes, data: bytes) -> bytes:
    """The 32 bytes of HMAC-BLAKE2s."""
    inner, outer = _pads(key)
    return blake2s(outer + blake2s(inner + data))


def hkdf(chaining_key: bytes, material: bytes, n: int) -> "tuple[bytes, ...]":
    """`n` keys of 32 bytes, n = 1 to 3."""
    need("hkdf: chaining key", chaining_key, 32)
    if not 1 <= n <= 3:
        raise LocalError("hkdf: %d outputs, need 1 to 3" % n)
    inner, outer = _pads(hmac(chaining_key, material))
    # the outputs are HMACs under one key: the blocks of the pads are compressed once
    start = (_IV[0] ^ 0x01010020, _IV[1])
    inner_state = _compress(start, inner, 64, False)
    outer_state = _compress(start, outer, 64, False)
    outputs = []
    last = b""
    for number in range(1, n + 1):
        last = _finish(outer_state, _finish(inner_state, last + bytes((number,)), 64), 64)
        outputs.append(last)
    return tuple(outputs)


def _pads(key: bytes) -> "tuple[bytes, bytes]":
    if len(key) > 64:
        key = blake2s(key)
    padded = int.from_bytes(key, "little")
    inner = padded ^ int.from_bytes(b"\x36" * 64, "little")
    outer = padded ^ int.from_bytes(b"\x5c" * 64, "little")
    return inner.to_bytes(64, "little"), outer.to_bytes(64, "little")


def _finish(state: "tuple[int, int]", data: bytes, before: int) -> bytes:
    """The whole digest: `data` after the `before` bytes the state has taken. `data` is empty only when `before` is 0."""
    size = len(data)
    at = 0
    while size - at > 64:
        state = _compress(state, data[at : at + 64], before + at + 64, False)
        at += 64
    state = _compress(state, data[at:] + b"\0" * (64 - size + at), before + size, True)
    return words(state[0]) + words(state[1])


def _compress(state: "tuple[int, int]", block: bytes, count: int, last: bool) -> "tuple[int, int]":
    """One block of 64 bytes; `count` bytes have been taken with it."""
    mask = _MASK
    m = []
    for at in range(0, 64, 4):
        m.append(int.from_bytes(block[at : at + 4], "little"))
    a, b = state
    c, d = _IV
    d ^= count  # one word of the counter: messages are far shorter than 2^32 bytes
    if last:
        d ^= 0xFFFFFFFF << 128
    for s in _SIGMA:
        a = a + b + (m[s[0]] | m[s[1]] << 64 | m[s[2]] << 128 | m[s[3]] << 192) & mask
        d = (d ^ a) << 16
        d = (d | d >> 32) & mask
        c = c + d & mask
        b = (b ^ c) << 20
        b = (b | b >> 32) & mask
        a = a + b + (m[s[4]] | m[s[5]] << 64 | m[s[6]] << 128 | m[s[7]] << 192) & mask
        d = (d ^ a) << 24
        d = (d | d >> 32) & mask
        c = c + d & mask
        b = (b ^ c) << 25
        b = (b | b >> 32) & mask
        b = b >> 64 | (b & 0xFFFFFFFF) << 192
        c = c >> 128 | (c & 0xFFFFFFFF00000000FFFFFFFF) << 128
        d = d >> 192 | (d & 0xFFFFFFFF00000000FFFFFFFF00000000FFFFFFFF) << 64
        a = a + b + (m[s[8]] | m[s[9]] << 64 | m[s[10]] << 128 | m[s[11]] << 192) & mask
        d = (d ^ a) << 16
        d = (d | d >> 32) & mask
        c = c + d & mask
        b = (b ^ c) << 20
        b = (b | b >> 32) & mask
        a = a + b + (m[s[12]] | m[s[13]] << 64 | m[s[14]] << 128 | m[s[15]] << 192) & mask
        d = (d ^ a) << 24
        d = (d | d >> 32) & mask
        c = c + d & mask
        b = (b ^ c) << 25
        b = (b | b >> 32) & mask
        b = b >> 192 | (b & 0xFFFFFFFF00000000FFFFFFFF00000000FFFFFFFF) << 64
        c = c >> 128 | (c & 0xFFFFFFFF00000000FFFFFFFF) << 128
        d = d >> 64 | (d & 0xFFFFFFFF) << 192
    return state[0] ^ a ^ c, state[1] ^ b ^ d
