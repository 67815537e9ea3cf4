"""The crypto interface of skerry_core over libcrypto: X25519, ChaCha20-Poly1305, XChaCha20-Poly1305, NaCl's box, BLAKE2s, HMAC, HKDF
and strict Ed25519 verification.

Sources: RFC 7748, RFC 8439, draft-irtf-cfrg-xchacha, NaCl's crypto_box, RFC 7693, RFC 2104, the Noise specification (4.3), RFC 8032.
Keys are 32 bytes everywhere. Wrong lengths of keys and nonces are a LocalError: codecs check what comes from outside before they get here.
It does not choose nonces, sign, or make keys.
"""

from __future__ import annotations

from skerry_core.errors import LocalError, PeerError

from ._shim import ffi as _ffi
from ._shim import lib as _lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TAG = 16


def _need(what: str, data: bytes, size: int) -> None:
    if len(data) != size:
        raise LocalError(f"{what}: {len(data)} bytes, need {size}")


def _check(result: int, what: str) -> None:
    if result < 0:
        raise LocalError(f"libcrypto failed in {what}; is OpenSSL's default provider loaded?")


def x25519(private: bytes, public: bytes) -> bytes:
    """The shared secret, 32 bytes. PeerError when it is all zero: the public key is a low-order point."""
    _need("X25519 private key", private, 32)
    _need("X25519 public key", public, 32)
    out = _ffi.new("uint8_t[32]")
    result = _lib.shim_x25519(out, bytes(private), bytes(public))
    _check(result, "X25519")
    if not result:
        raise PeerError("X25519 public key is a low-order point: the shared secret would be 32 zero bytes")
    return bytes(_ffi.buffer(out))


def x25519_public(private: bytes) -> bytes:
    """The public key, 32 bytes, of a private key."""
    _need("X25519 private key", private, 32)
    out = _ffi.new("uint8_t[32]")
    _check(_lib.shim_x25519_public(out, bytes(private)), "X25519")
    return bytes(_ffi.buffer(out))


def seal(key: bytes, nonce12: bytes, plaintext: bytes, ad: bytes = b"") -> bytes:
    """ChaCha20-Poly1305: ciphertext and 16 bytes of tag."""
    _need("key", key, 32)
    _need("nonce", nonce12, 12)
    out = _ffi.new("uint8_t[]", len(plaintext) + TAG)
    _check(_lib.shim_seal(out, bytes(key), bytes(nonce12), bytes(plaintext), len(plaintext), bytes(ad), len(ad)), "ChaCha20-Poly1305")
    return bytes(_ffi.buffer(out))


def open(key: bytes, nonce12: bytes, ciphertext: bytes, ad: bytes = b"") -> bytes | None:
    """The plaintext, or None when the tag does not fit."""
    _need("key", key, 32)
    _need("nonce", nonce12, 12)
    return _opened(_lib.shim_open, key, nonce12, ciphertext, ad)


def xseal(key: bytes, nonce24: bytes, plaintext: bytes, ad: bytes = b"") -> bytes:
    """XChaCha20-Poly1305: ciphertext and 16 bytes of tag."""
    _need("key", key, 32)
    _need("nonce", nonce24, 24)
    out = _ffi.new("uint8_t[]", len(plaintext) + TAG)
    _check(_lib.shim_xseal(out, bytes(key), bytes(nonce24), bytes(plaintext), len(plaintext), bytes(ad), len(ad)), "XChaCha20-Poly1305")
    return bytes(_ffi.buffer(out))


def xopen(key: bytes, nonce24: bytes, ciphertext: bytes, ad: bytes = b"") -> bytes | None:
    """The plaintext, or None when the tag does not fit."""
    _need("key", key, 32)
    _need("nonce", nonce24, 24)
    return _opened(_lib.shim_xopen, key, nonce24, ciphertext, ad)


def _opened(function: Any, key: bytes, nonce: bytes, ciphertext: bytes, ad: bytes) -> bytes | None:
    size = len(ciphertext) - TAG
    if size < 0:
        return None
    out = _ffi.new("uint8_t[]", max(size, 1))
    result = function(out, bytes(key), bytes(nonce), bytes(ciphertext), len(ciphertext), bytes(ad), len(ad))
    _check(result, "opening a sealed message")
    return bytes(_ffi.buffer(out, size)) if result else None


def box_key(private: bytes, public: bytes) -> bytes:
    """NaCl's box precomputation (HSalsa20 of the X25519 secret), 32 bytes. PeerError on a low-order point."""
    _need("box private key", private, 32)
    _need("box public key", public, 32)
    out = _ffi.new("uint8_t[32]")
    result = _lib.shim_box_key(out, bytes(private), bytes(public))
    _check(result, "X25519")
    if not result:
        raise PeerError("box public key is a low-order point: the shared secret would be 32 zero bytes")
    return bytes(_ffi.buffer(out))


def box_seal(box_key: bytes, nonce24: bytes, message: bytes) -> bytes:
    """XSalsa20-Poly1305 as NaCl lays it out: 16 bytes of tag, then the ciphertext."""
    _need("box key", box_key, 32)
    _need("nonce", nonce24, 24)
    out = _ffi.new("uint8_t[]", len(message) + TAG)
    _check(_lib.shim_box_seal(out, bytes(box_key), bytes(nonce24), bytes(message), len(message)), "Poly1305")
    return bytes(_ffi.buffer(out))


def box_open(box_key: bytes, nonce24: bytes, sealed: bytes) -> bytes | None:
    """The message, or None when the tag does not fit."""
    _need("box key", box_key, 32)
    _need("nonce", nonce24, 24)
    size = len(sealed) - TAG
    if size < 0:
        return None
    out = _ffi.new("uint8_t[]", max(size, 1))
    result = _lib.shim_box_open(out, bytes(box_key), bytes(nonce24), bytes(sealed), len(sealed))
    _check(result, "Poly1305")
    return bytes(_ffi.buffer(out, size)) if result else None


def blake2s(data: bytes, key: bytes = b"", size: int = 32) -> bytes:
    """BLAKE2s, 1 to 32 bytes, keyed when key (at most 32 bytes) is not empty."""
    if len(key) > 32 or not 1 <= size <= 32:
        raise LocalError(f"BLAKE2s: key of {len(key)} bytes and digest of {size}, need at most 32 and 1 to 32")
    out = _ffi.new("uint8_t[]", size)
    _lib.shim_blake2s(out, size, bytes(key), len(key), bytes(data), len(data))
    return bytes(_ffi.buffer(out))


def sha256(data: bytes) -> bytes:
    """SHA-256, 32 bytes, for pins of certificates: hashlib would fetch every digest it knows, which is half a megabyte."""
    out = _ffi.new("uint8_t[32]")
    if _lib.shim_sha256(out, bytes(data), len(data)) != 1:
        raise LocalError("libcrypto failed in SHA-256; is OpenSSL's default provider loaded?")
    return bytes(_ffi.buffer(out))


def hmac(key: bytes, data: bytes) -> bytes:
    """HMAC-BLAKE2s, 32 bytes."""
    out = _ffi.new("uint8_t[32]")
    _lib.shim_hmac(out, bytes(key), len(key), bytes(data), len(data))
    return bytes(_ffi.buffer(out))


def hkdf(chaining_key: bytes, material: bytes, n: int) -> tuple[bytes, ...]:
    """Noise's HKDF: n (1 to 3) keys of 32 bytes."""
    _need("chaining key", chaining_key, 32)
    if not 1 <= n <= 3:
        raise LocalError(f"HKDF: {n} outputs asked, Noise has 1 to 3")
    out = _ffi.new("uint8_t[96]")
    _lib.shim_hkdf(out, n, bytes(chaining_key), bytes(material), len(material))
    data = bytes(_ffi.buffer(out, 32 * n))
    return tuple(data[32 * i : 32 * i + 32] for i in range(n))


def ed25519_verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """True when the signature is good; S >= L, non-canonical points and wrong lengths are not."""
    if len(public) != 32 or len(signature) != 64:
        return False
    result = _lib.shim_ed25519_verify(bytes(public), bytes(signature), bytes(message), len(message))
    # libcrypto refuses a public key that is no point of the curve as an error, not as a bad signature
    return bool(result == 1)
