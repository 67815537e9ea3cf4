"""Strict Ed25519 verification (RFC 8032, section 5.1.7) on the group arithmetic of pure25519 0.0.1.

    public key: y (255 bits, little-endian) sign of x (1)      signature: R, encoded like a key (32)  S (32, little-endian)
    valid when S*B = R + k*A, k = SHA-512(R | A | message)
pure25519 decodes y >= p, x = 0 with a sign, and S >= L; all are refused here, as are A and R of small order, with which one signature
fits many messages. The equation is checked as it stands, without the cofactor, as libcrypto does. On MicroPython the adapted
pure25519 (`skerry_micro.adapt_pure25519`) must be on the path; it is imported at the first call. No signing here.
"""

from .sha512 import sha512

_P = 2**255 - 19
_LOW_255_BITS = 2**255 - 1


def ed25519_verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (64 bytes) is the one of `message` under `public` (32 bytes). Anything malformed is False."""
    from pure25519.basic import L, xform_extended_to_affine

    if len(public) != 32 or len(signature) != 64:
        return False
    public, signature, message = bytes(public), bytes(signature), bytes(message)
    s = int.from_bytes(signature[32:], "little")
    key = _point(public)
    nonce_point = _point(signature[:32])
    if s >= L or key is None or nonce_point is None:
        return False
    k = int.from_bytes(sha512(signature[:32] + public + message), "little") % L
    x, y = xform_extended_to_affine(_combination(s, k, key))
    return bool(y | (x & 1) << 255 == int.from_bytes(signature[:32], "little"))


def _point(encoded: bytes) -> "tuple[int, int, int, int] | None":
    """The point, in pure25519's extended coordinates, of a canonical encoding; None for others and for points of small order."""
    from pure25519.basic import double_element, is_extended_zero, isoncurve, xform_affine_to_extended, xrecover

    value = int.from_bytes(encoded, "little")
    y = value & _LOW_255_BITS
    sign = value >> 255
    if y >= _P:
        return None
    x = xrecover(y)  # the even one of the two; no root of anything when y is on no point
    if not isoncurve((x, y)):
        return None
    # x = 0 with a sign is not canonical either: only points of order 1 and 2 have it, and they are refused below
    point = xform_affine_to_extended((_P - x if sign else x, y))
    if is_extended_zero(double_element(double_element(double_element(point)))):
        return None
    return point  # type: ignore[no-any-return]


def _combination(s: int, k: int, key: "tuple[int, int, int, int]") -> "tuple[int, int, int, int]":
    """s*B - k*A with one chain of doublings for both."""
    from pure25519.basic import Base, Zero, add_elements, double_element

    minus = (_P - key[0], key[1], key[2], _P - key[3])
    table = (None, Base.XYTZ, minus, add_elements(Base.XYTZ, minus))
    total = Zero.XYTZ
    mask = 1 << 252  # s and k are below L < 2^253
    while mask:
        total = double_element(total)
        addend = table[(1 if s & mask else 0) | (2 if k & mask else 0)]
        if addend:
            total = add_elements(total, addend)
        mask >>= 1
    return total  # type: ignore[no-any-return]
