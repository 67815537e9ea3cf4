"""The check every function of this package makes of its fixed-length parameters."""

from ...errors import LocalError


def need(what: str, value: bytes, size: int) -> bytes:
    """`value` (any buffer) as bytes; LocalError unless it has `size` of them. `what` names it ("x25519: private key")."""
    if len(value) != size:
        raise LocalError("%s: %d bytes, need %d" % (what, len(value), size))
    return bytes(value)


def same(left: bytes, right: bytes) -> bool:
    """Equality of two byte strings of one length, in a time that does not tell where they differ."""
    return len(left) == len(right) and int.from_bytes(left, "little") ^ int.from_bytes(right, "little") == 0
