"""Poly1305 (RFC 8439, section 2.5): a one-time authenticator.

key: r (16, clamped here) s (16)    tag = ((m1*r^n + ... + mn*r) mod 2^130 - 5) + s mod 2^128, each m a block with a 1 put on top
"""

_P = 2**130 - 5
_CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF


def poly1305(key: bytes, message: bytes) -> bytes:
    """The 16-byte tag; `key` is 32 bytes and used for one message only."""
    p = _P
    r = int.from_bytes(key[:16], "little") & _CLAMP
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at : at + 16] + b"\x01", "little")) * r % p
    total += int.from_bytes(key[16:32], "little")
    return (total & 2**128 - 1).to_bytes(16, "little")
