"""Paths: where a packet to a peer goes, or came from.

    (uplink, family, address, port, vni)   UDP: uplink is an int, family 4 or 6, address 4 or 16 raw bytes, vni 0 = direct,
                                           else the Geneve network id of a UDP relay at address:port
    (region, key)                          a DERP relay: region is an int, key the peer's node key (32 raw bytes)

Plain tuples, so that they compare, hash and cross into C. This module makes them, tells them apart and prints them; it ranks nothing.
"""

from skerry_core import ip
from skerry_core.errors import LocalError

MAX_VNI = 0xFFFFFF


def udp(uplink: int, address: bytes, port: int, vni: int = 0) -> "tuple[int, int, bytes, int, int]":
    """A UDP path; LocalError when a part is out of range."""
    path = (uplink, 4 if len(address) == 4 else 6, bytes(address), port, vni)
    check(path)
    return path


def relay(region: int, key: bytes) -> "tuple[int, bytes]":
    """A path through a DERP relay to the holder of `key` (32 bytes); LocalError when a part is out of range."""
    path = (region, bytes(key))
    check(path)
    return path


def is_relay(path: "tuple[object, ...]") -> bool:
    """True for a DERP path, False for a UDP path."""
    return len(path) == 2


def check(path: object) -> None:
    """LocalError, naming the part, unless `path` is a well-formed path."""
    if not isinstance(path, tuple) or len(path) not in (2, 5):
        raise LocalError(f"path {path!r}: need (uplink, family, address, port, vni) or (region, key)")
    if len(path) == 2:
        if not isinstance(path[0], int) or not isinstance(path[1], bytes) or len(path[1]) != 32 or path[0] < 1:
            raise LocalError("relay path: need a region of 1 or more and a key of 32 bytes")
        return
    uplink, family, address, port, vni = path
    if not isinstance(uplink, int) or not 0 <= uplink <= 255:
        raise LocalError(f"path: uplink {uplink!r}, need 0..255")
    if not isinstance(address, bytes) or (family, len(address)) not in ((4, 4), (6, 16)):
        raise LocalError(f"path: family {family!r} with address {address!r}, need 4 with 4 bytes or 6 with 16")
    if not isinstance(port, int) or not 1 <= port <= 65535:
        raise LocalError(f"path: port {port!r}, need 1..65535")
    if not isinstance(vni, int) or not 0 <= vni <= MAX_VNI:
        raise LocalError(f"path: network id {vni!r}, need 0..{MAX_VNI}")


def direct(path: "tuple[int, int, bytes, int, int]") -> "tuple[int, int, bytes, int, int]":
    """The UDP path without its network id: the address the bytes really go to."""
    return (path[0], path[1], path[2], path[3], 0)


def text(path: "tuple[object, ...]") -> str:
    """For people: `192.0.2.1:41641`, `[2001:db8::1]:41641 vni 7`, `relay 900`."""
    if is_relay(path):
        return f"relay {path[0]}"
    _, _, address, port, vni = path
    assert isinstance(address, bytes) and isinstance(port, int)
    shown = ip.format_endpoint(address, port)
    return shown if vni == 0 else f"{shown} vni {vni}"
