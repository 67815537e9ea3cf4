"""The packet path from one process to the next: its state as bytes, and descriptors that another process had opened; see handover.c.

The bytes hold keys. Exporting takes the sessions out of the transport, so that it can use no counter that the next one will use; it has
to be stopped before. Importing is one transaction, whose bytes are checked as any other's.
"""

from __future__ import annotations

import os

from skerry_core.errors import LocalError

from ._shim import ffi as _ffi
from ._shim import lib as _lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIMIT = 256 << 20  # bytes of state; thousands of peers


def export(handle: Any) -> bytearray:
    """The state; LocalError while the threads run."""
    size = int(_lib.shim_export(handle, _ffi.NULL, 0))
    data = bytearray(max(size, 0))
    if size > 0:
        size = int(_lib.shim_export(handle, _ffi.from_buffer(data), len(data)))
    if not 0 < size <= len(data):
        raise LocalError(f"packet path: its state cannot be exported: {os.strerror(-size) if size < 0 else 'it changed meanwhile'}")
    return data


def restore(handle: Any, data: bytearray) -> None:
    """Take the state in, wholly or not at all (LocalError); `data` is wiped."""
    if len(data) > LIMIT:
        raise LocalError(f"packet path: a state of {len(data)} bytes, at most {LIMIT}")
    error = _ffi.new("char[256]")
    with _ffi.from_buffer(data, require_writable=True) as view:
        done = _lib.shim_apply(handle, _ffi.cast("uint8_t *", view), len(data), error, 256)
    if not done:
        raise LocalError(f"packet path: state of another process: {_ffi.string(error).decode()}")


def descriptors(handle: Any, uplinks: range = range(256)) -> dict[str, int]:
    """name -> descriptor of the device ("tun") and the sockets ("udp4-0": family 4, uplink 0)."""
    found = {"tun": int(_lib.shim_tun_fd(handle))}
    for uplink in uplinks:
        for family in (4, 6):
            found[f"udp{family}-{uplink}"] = int(_lib.shim_socket_fd(handle, uplink, family))
    return {name: fd for name, fd in found.items() if fd >= 0}


def inspect_tun(fd: int) -> tuple[str, int, bool]:
    """(name, MTU, whether it outlives its descriptors) of a TUN descriptor; LocalError when it is none of ours."""
    name, persistent = _ffi.new("char[16]"), _ffi.new("int *")
    mtu = int(_lib.shim_tun_inspect(fd, name, persistent))
    if mtu <= 0:
        raise LocalError(f"descriptor {fd} is no TUN device of ours: {os.strerror(-mtu)}")
    return _ffi.string(name).decode(), mtu, bool(persistent[0])


def inspect_socket(fd: int) -> tuple[int, int]:
    """(family, port) of a bound UDP socket; LocalError when it is none."""
    family = _ffi.new("int *")
    port = int(_lib.shim_socket_inspect(fd, family))
    if port <= 0:
        raise LocalError(f"descriptor {fd} is no bound UDP socket: {os.strerror(-port)}")
    return int(family[0]), port
