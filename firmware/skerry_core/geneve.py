"""Geneve header in front of disco and WireGuard through a UDP relay, 8 bytes (RFC 8926, no options).

    u8 0 (version, options length) | u8 0x80 control or 0 | u16 BE protocol: 0x7A11 disco, 0x7A12 WireGuard | u24 BE network id | u8 0

Disco's Bind, Challenge and Answer have the control bit, everything else has it clear. Other protocols and options are not Geneve to us.
"""

import struct

from skerry_core.errors import LocalError

HEADER = 8
DISCO, WIREGUARD = 0x7A11, 0x7A12
_CONTROL = 0x80


def encode(protocol: int, vni: int, control: bool, payload: bytes) -> bytes:
    """Header and payload; LocalError when `vni` does not fit 24 bits."""
    if not 0 <= vni <= 0xFFFFFF:
        raise LocalError(f"Geneve network id {vni}: need 0..16777215")
    return struct.pack(">BBHI", 0, _CONTROL if control else 0, protocol, vni << 8) + payload


def decode(data: bytes) -> "tuple[int, int, bool, bytes] | None":
    """(protocol, vni, control, payload), or None when `data` is not such a packet."""
    if len(data) < HEADER or data[0] or data[1] & 0x7F or data[7]:
        return None
    protocol, last = struct.unpack_from(">HI", data, 2)
    if protocol not in (DISCO, WIREGUARD):
        return None
    return protocol, last >> 8, data[1] == _CONTROL, data[HEADER:]
