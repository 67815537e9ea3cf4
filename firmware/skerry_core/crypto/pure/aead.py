"""ChaCha20-Poly1305 (RFC 8439, section 2.8) and XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03, section 2.3).

    one-time key = first 32 bytes of block 0; the text is XORed with the stream from block 1 on
    tag over: ad | zeros to 16 | ciphertext | zeros to 16 | length of ad (8, little-endian) | length of ciphertext (8)
    sealed = ciphertext | tag (16)
XChaCha20: subkey = HChaCha20(key, nonce[:16]), nonce = 4 zero bytes | nonce[16:24].
"""

from .chacha20 import hchacha20, keystream
from .lanes import exclusive_or
from .length import need, same
from .poly1305 import poly1305


def seal(key: bytes, nonce12: bytes, plaintext: bytes, ad: bytes = b"") -> bytes:
    """Ciphertext and 16 bytes of tag; a nonce is used once under a key."""
    key, nonce12 = _need(key, nonce12, 12)
    stream = keystream(key, nonce12, 0, 64 + len(plaintext))
    ciphertext = exclusive_or(plaintext, stream[64:])
    return ciphertext + _tag(stream, ciphertext, ad)


def open(key: bytes, nonce12: bytes, ciphertext: bytes, ad: bytes = b"") -> "bytes | None":
    """The plaintext, or None when it does not authenticate or is shorter than a tag."""
    key, nonce12 = _need(key, nonce12, 12)
    size = len(ciphertext) - 16
    if size < 0:
        return None
    body = bytes(ciphertext[:size])
    # the one-time key alone first: a forgery costs one block and no decryption
    block0 = keystream(key, nonce12, 0, 64)
    if not same(_tag(block0, body, ad), bytes(ciphertext[size:])):
        return None
    return exclusive_or(body, keystream(key, nonce12, 1, size))


def xseal(key: bytes, nonce24: bytes, plaintext: bytes, ad: bytes = b"") -> bytes:
    """As `seal`, with a 24-byte nonce, which may be random."""
    key, nonce24 = _need(key, nonce24, 24)
    return seal(hchacha20(key, nonce24[:16]), b"\0\0\0\0" + nonce24[16:], plaintext, ad)


def xopen(key: bytes, nonce24: bytes, ciphertext: bytes, ad: bytes = b"") -> "bytes | None":
    """As `open`, with a 24-byte nonce."""
    key, nonce24 = _need(key, nonce24, 24)
    return open(hchacha20(key, nonce24[:16]), b"\0\0\0\0" + nonce24[16:], ciphertext, ad)


def _need(key: bytes, nonce: bytes, size: int) -> "tuple[bytes, bytes]":
    return need("AEAD: key", key, 32), need("AEAD: nonce", nonce, size)


def _tag(block0: bytes, ciphertext: bytes, ad: bytes) -> bytes:
    lengths = len(ad).to_bytes(8, "little") + len(ciphertext).to_bytes(8, "little")
    return poly1305(block0[:32], bytes(ad) + b"\0" * (-len(ad) % 16) + ciphertext + b"\0" * (-len(ciphertext) % 16) + lengths)
