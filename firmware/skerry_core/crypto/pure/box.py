"""NaCl's crypto_box (Bernstein: "Cryptography in NaCl"): X25519, HSalsa20, XSalsa20, Poly1305.

    box key = HSalsa20(X25519(private, public), 16 zero bytes)
    stream = XSalsa20(box key, nonce): its first 32 bytes are the one-time key of Poly1305, the message is XORed with what follows
    sealed = tag (16) over the ciphertext | ciphertext
"""

from .lanes import exclusive_or
from .length import need, same
from .poly1305 import poly1305
from .salsa20 import hsalsa20, xkeystream
from .x25519 import x25519


def box_key(private: bytes, public: bytes) -> bytes:
    """The 32-byte key of a pair of keys, the same from both ends; PeerError when `public` is a point of low order."""
    return hsalsa20(x25519(private, public), b"\0" * 16)


def box_seal(key: bytes, nonce24: bytes, message: bytes) -> bytes:
    """Tag and ciphertext; a nonce is used once under a key, by either end."""
    key, nonce24 = _need(key, nonce24)
    stream = xkeystream(key, nonce24, 32 + len(message))
    ciphertext = exclusive_or(message, stream[32:])
    return poly1305(stream[:32], ciphertext) + ciphertext


def box_open(key: bytes, nonce24: bytes, sealed: bytes) -> "bytes | None":
    """The message, or None when it does not authenticate or is shorter than a tag."""
    key, nonce24 = _need(key, nonce24)
    if len(sealed) < 16:
        return None
    ciphertext = bytes(sealed[16:])
    stream = xkeystream(key, nonce24, 32 + len(ciphertext))
    if not same(poly1305(stream[:32], ciphertext), bytes(sealed[:16])):
        return None
    return exclusive_or(ciphertext, stream[32:])


def _need(key: bytes, nonce24: bytes) -> "tuple[bytes, bytes]":
    return need("box: key", key, 32), need("box: nonce", nonce24, 24)
