"""X25519 (RFC 7748, section 5): the Montgomery ladder on Python's integers.

Scalars and u-coordinates are 32 bytes little-endian; the scalar is clamped here, bit 255 of the u-coordinate is ignored, u >= p is
taken modulo p. Not constant time (see the package).
"""

from ...errors import PeerError
from .length import need

_P = 2**255 - 19
_A24 = 121665
_LOW_255_BITS = 2**255 - 1


def x25519(private: bytes, public: bytes) -> bytes:
    """The 32-byte shared secret; PeerError when it is all zero (`public` is a point of low order)."""
    need("x25519: private key", private, 32)
    need("x25519: public key", public, 32)
    shared = _ladder(_scalar(private), int.from_bytes(public, "little") & _LOW_255_BITS)
    if not shared:
        raise PeerError("x25519: public key %s... is a point of low order" % "".join(["%02x" % byte for byte in public[:4]]))
    return shared.to_bytes(32, "little")


def x25519_public(private: bytes) -> bytes:
    """The 32-byte public key of a 32-byte private key."""
    need("x25519: private key", private, 32)
    return _ladder(_scalar(private), 9).to_bytes(32, "little")


def _scalar(private: bytes) -> int:
    return int.from_bytes(private, "little") & (2**254 - 8) | 2**254


def _ladder(scalar: int, u: int) -> int:
    p = _P
    x2, z2, x3, z3 = 1, 0, u, 1
    swapped = 0
    mask = 1 << 254
    while mask:
        bit = 1 if scalar & mask else 0
        mask >>= 1
        if bit != swapped:
            x2, z2, x3, z3 = x3, z3, x2, z2
        swapped = bit
        a = x2 + z2
        b = x2 - z2
        aa = a * a % p
        bb = b * b % p
        e = aa - bb
        da = (x3 - z3) * a % p
        cb = (x3 + z3) * b % p
        x3 = da + cb
        x3 = x3 * x3 % p
        z3 = da - cb
        z3 = z3 * z3 % p * u % p
        x2 = aa * bb % p
        z2 = e * (aa + _A24 * e) % p
    # the scalar's bit 0 is always 0 after clamping: nothing is left swapped
    return x2 * pow(z2, p - 2, p) % p
