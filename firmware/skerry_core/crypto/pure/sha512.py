"""SHA-512 (FIPS 180-4) for interpreters whose hashlib lacks it; Ed25519 needs it.

The constants are not a table: they are the first 64 bits of the fractional parts of the square roots of the first 8 primes and of the
cube roots of the first 80, computed once.
"""

_MASK = 2**64 - 1
_K: "list[int]" = []
_START: "list[int]" = []


def sha512(message: bytes) -> bytes:
    """The 64-byte digest."""
    if not _K:
        _make_constants()
    size = len(message)
    message = bytes(message) + b"\x80" + b"\0" * ((111 - size) % 128) + (8 * size).to_bytes(16, "big")
    state = _START
    for at in range(0, len(message), 128):
        state = _compress(state, message[at : at + 128])
    return b"".join([word.to_bytes(8, "big") for word in state])


def _compress(state: "list[int]", block: bytes) -> "list[int]":
    w = [int.from_bytes(block[at : at + 8], "big") for at in range(0, 128, 8)]
    for i in range(16, 80):
        x, y = w[i - 15], w[i - 2]
        s0 = _rotate(x, 1) ^ _rotate(x, 8) ^ x >> 7
        s1 = _rotate(y, 19) ^ _rotate(y, 61) ^ y >> 6
        w.append(w[i - 16] + s0 + w[i - 7] + s1 & _MASK)
    a, b, c, d, e, f, g, h = state
    for i in range(80):
        t = h + (_rotate(e, 14) ^ _rotate(e, 18) ^ _rotate(e, 41)) + (e & f ^ (e ^ _MASK) & g) + _K[i] + w[i]
        u = (_rotate(a, 28) ^ _rotate(a, 34) ^ _rotate(a, 39)) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = t + u & _MASK, a, b, c, d + t & _MASK, e, f, g
    mixed = (a, b, c, d, e, f, g, h)
    return [state[i] + mixed[i] & _MASK for i in range(8)]


def _rotate(x: int, n: int) -> int:
    return (x >> n | x << 64 - n) & _MASK


def _make_constants() -> None:
    candidate = 2
    while len(_K) < 80:
        if all(candidate % divisor for divisor in range(2, candidate)):
            if len(_START) < 8:
                _START.append(_root(candidate << 128, 2) & _MASK)
            _K.append(_root(candidate << 192, 3) & _MASK)
        candidate += 1


def _root(value: int, degree: int) -> int:
    """The whole part of the `degree`-th root, bit by bit."""
    root = 0
    bit = 1 << 70  # the roots of primes below 410 times 2^64 are shorter
    while bit:
        if (root | bit) ** degree <= value:
            root |= bit
        bit >>= 1
    return root
