"""Keys as text: a prefix that names the kind, a colon, and 64 lower-case hexadecimal digits for 32 raw bytes.

mkey machine, nodekey node (WireGuard), discokey disco, chalpub challenge, nlpub network lock, privkey private machine or node key.
The zero key (32 zero bytes) stands for "none" where a key is required; an empty string is an error.
"""

import binascii

from skerry_core.errors import LocalError, PeerError

KINDS = ("mkey", "nodekey", "discokey", "chalpub", "nlpub", "privkey")
ZERO = bytes(32)


def encode_key(kind: str, raw: bytes) -> str:
    """`kind:` + 64 digits. LocalError: unknown kind, or not 32 bytes."""
    if kind not in KINDS or len(raw) != 32:
        raise LocalError(f"key of kind {kind} with {len(raw)} bytes, need 32 bytes and one of {', '.join(KINDS)}")
    return kind + ":" + binascii.hexlify(raw).decode()


def decode_key(kind: str, text: object) -> bytes:
    """The 32 raw bytes. PeerError: not a string, another prefix, or not 64 digits; the digits are never in the message."""
    if kind not in KINDS:
        raise LocalError(f"key of kind {kind}, need one of {', '.join(KINDS)}")
    if not isinstance(text, str) or not text.startswith(kind + ":"):
        raise PeerError(f"not a key of kind {kind}: a text that starts with '{kind}:' is needed")
    digits = text[len(kind) + 1 :].lower()
    if len(digits) != 64 or not all(digit in "0123456789abcdef" for digit in digits):
        raise PeerError(f"{kind} with {len(digits)} characters after the colon, need 64 hexadecimal digits")
    return binascii.unhexlify(digits)
