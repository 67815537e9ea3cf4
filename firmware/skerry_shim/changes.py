"""Packs the changes of a transaction and the paths in it for C, and unpacks the records that come back.

A change is u8 operation | u32 length | body, little-endian (apply.c has the bodies); a path is 56 bytes, the head of a record 80 (fifo.h).
Shapes and types are checked here, everything that needs the transport's state in C. Both raise LocalError before anything has changed.
"""

from __future__ import annotations

import struct

from skerry_core import path as paths
from skerry_core.errors import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Path = tuple[Any, ...]

_PATH = struct.Struct("<BBHI16s32s")
_RECORD = struct.Struct("<BBHIQ56sII")
_HEAD = struct.Struct("<BI")
_SLOTS = {"current": 0, "next": 1}
_MAX_PATHS = 16


def pack_path(path: Path) -> bytes:
    """56 bytes; LocalError naming the part that is not well-formed."""
    paths.check(path)
    if len(path) == 2:
        return _PATH.pack(0, 0, 0, path[0], b"", path[1])
    uplink, family, address, port, vni = path
    return _PATH.pack(family, uplink, port, vni, address, b"")


def unpack_path(data: bytes) -> Path:
    """The tuple for 56 bytes."""
    family, uplink, port, number, address, key = _PATH.unpack(data)
    if family == 0:
        return (number, key)
    return (uplink, family, address[:4] if family == 4 else address, port, number)


def records(data: bytes) -> Iterator[tuple[int, int, int, int, bytes, bytes]]:
    """(kind, code, region, peer, packed path, data) of each record."""
    at = 0
    while at < len(data):
        kind, code, _, region, peer, path, length, _ = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        yield kind, code, region, peer, path, data[at : at + length]
        at += length


def _bytes(value: object, lengths: tuple[int, ...], name: str) -> bytes:
    if not isinstance(value, bytes) or len(value) not in lengths:
        size = f"{len(value)} bytes" if isinstance(value, bytes) else "not bytes"
        raise LocalError(f"change {name}: {size}, need bytes of length {' or '.join(str(length) for length in lengths)}")
    return value


def _number(value: object, top: int, name: str) -> int:
    if not isinstance(value, int) or not 0 <= value <= top:
        raise LocalError(f"change {name}: {value!r}, need 0..{top}")
    return int(value)


def _prefixes(values: list[tuple[bytes, int]], name: str) -> bytes:
    out = []
    for value in values:
        if not isinstance(value, tuple) or len(value) != 2:
            raise LocalError(f"change {name}: prefix {value!r}, need (address, bits)")
        address = _bytes(value[0], (4, 16), name)
        bits = _number(value[1], len(address) * 8, name)
        out.append(bytes((4 if len(address) == 4 else 6, bits)) + address.ljust(16, b"\0"))
    return b"".join(out)


def _peer_number(value: object, name: str) -> bytes:
    return struct.pack("<Q", _number(value, 0x7FFFFFFF, name))


def _identity(key: bytes) -> bytes:
    return _bytes(key, (32,), "identity")


def _addresses(addresses: list[bytes]) -> bytes:
    return _prefixes([(_bytes(a, (4, 16), "addresses"), len(a) * 8) for a in addresses], "addresses")


def _local_routes(prefixes: list[tuple[bytes, int]]) -> bytes:
    return _prefixes(prefixes, "local-routes")


def _peer(number: int, key: bytes, prefixes: list[tuple[bytes, int]]) -> bytes:
    return _peer_number(number, "peer") + _bytes(key, (32,), "peer") + _prefixes(prefixes, "peer")


def _paths(number: int, values: list[Path]) -> bytes:
    if len(values) > _MAX_PATHS:
        raise LocalError(f"change paths: {len(values)} paths, at most {_MAX_PATHS}")
    return _peer_number(number, "paths") + b"".join(pack_path(path) for path in values)


def _session(number: int, slot: str, local: int, remote: int, send_key: bytes, receive_key: bytes) -> bytes:
    if slot not in _SLOTS:
        raise LocalError(f"change session: slot {slot!r}, need current or next")
    indices = struct.pack("<BII", _SLOTS[slot], _number(local, 0xFFFFFFFF, "session"), _number(remote, 0xFFFFFFFF, "session"))
    return _peer_number(number, "session") + indices + _bytes(send_key, (32,), "session") + _bytes(receive_key, (32,), "session")


def _expire(number: int, local: int) -> bytes:
    return _peer_number(number, "expire") + struct.pack("<I", _number(local, 0xFFFFFFFF, "expire"))


def _arm(number: int, mask: int) -> bytes:
    return _peer_number(number, "arm") + bytes((_number(mask, 63, "arm"),))


def _mtu(number: int, mtu: int) -> bytes:
    return _peer_number(number, "mtu") + struct.pack("<H", _number(mtu, 0xFFFF, "mtu"))


def _filter(rules: bytes | None) -> bytes:
    if rules is not None and not isinstance(rules, bytes):
        raise LocalError("change filter: need bytes of filter.compile(), or None")
    return rules or b""


def _relay(region: int, up: bool) -> bytes:
    return struct.pack("<IB", _number(region, 0x7FFFFFFF, "relay"), bool(up))


_PACKERS: dict[str, tuple[int, int, Callable[..., bytes]]] = {
    "identity": (1, 1, _identity),
    "addresses": (2, 1, _addresses),
    "local-routes": (3, 1, _local_routes),
    "peer": (4, 3, _peer),
    "remove": (5, 1, lambda number: _peer_number(number, "remove")),
    "paths": (6, 2, _paths),
    "session": (7, 6, _session),
    "expire": (8, 2, _expire),
    "arm": (9, 2, _arm),
    "keepalive": (10, 1, lambda number: _peer_number(number, "keepalive")),
    "purge": (13, 1, lambda number: _peer_number(number, "purge")),
    "mtu": (17, 2, _mtu),
    "filter": (11, 1, _filter),
    "relay": (12, 2, _relay),
}


def pack(changes: list[tuple[Any, ...]]) -> bytearray:
    """The transaction as C reads it, in a buffer that C may wipe."""
    out = bytearray()
    for change in changes:
        entry = _PACKERS.get(change[0]) if isinstance(change, tuple) and change else None
        if entry is None:
            raise LocalError(f"change {change[0] if isinstance(change, tuple) and change else change!r}: no such change")
        operation, count, packer = entry
        if len(change) - 1 != count:
            raise LocalError(f"change {change[0]}: {len(change) - 1} values, need {count}")
        body = packer(*change[1:])
        out += _HEAD.pack(operation, len(body)) + body
    return out
