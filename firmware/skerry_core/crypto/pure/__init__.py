"""Cryptography in plain Python, the same on CPython and MicroPython: for boards without libcrypto, and as a second opinion in tests.

The names and their behaviour are the crypto interface of ARCHITECTURE.md. A key or nonce of the wrong length is a LocalError: whoever
parses the wire has checked it. What fails to authenticate is None (False for a signature), never an exception.

Python's integers are not constant time: whoever can time these functions exactly learns something about the keys. That is accepted
on boards that run one program and nobody else's; elsewhere use `skerry_shim.crypto`.
"""

from .aead import open, seal, xopen, xseal
from .blake2s import blake2s, hkdf, hmac
from .box import box_key, box_open, box_seal
from .ed25519 import ed25519_verify
from .x25519 import x25519, x25519_public

__all__ = (
    "blake2s",
    "box_key",
    "box_open",
    "box_seal",
    "ed25519_verify",
    "hkdf",
    "hmac",
    "open",
    "seal",
    "x25519",
    "x25519_public",
    "xopen",
    "xseal",
)
