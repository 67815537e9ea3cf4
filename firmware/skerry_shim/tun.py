"""Opens a TUN device and says clearly why it cannot. Addresses, routes and setting it up are the node's."""

import errno
import os

from skerry_core.errors import LocalError

from ._shim import ffi as _ffi
from ._shim import lib as _lib

CHECKSUM, TSO4, TSO6, TSO_ECN, USO4, USO6 = 0x01, 0x02, 0x04, 0x08, 0x20, 0x40
_NAME_LIMIT = 15

_REASONS = {
    errno.ENOENT: "there is no /dev/net/tun; load the module (modprobe tun) or give the container the device",
    errno.ENODEV: "the kernel has no TUN support; load the module (modprobe tun)",
    errno.ENXIO: "the kernel has no TUN support; load the module (modprobe tun)",
    errno.EACCES: "no permission for /dev/net/tun; run as root or give the process CAP_NET_ADMIN",
    errno.EPERM: "no permission to create a network device; run as root or give the process CAP_NET_ADMIN",
    errno.EBUSY: "another process uses a device of this name; stop it or choose another name",
    errno.EINVAL: "a device of this name exists and is not TUN, or the name or MTU is not allowed; choose another",
}


def open_tun(name: str, mtu: int, header: bool = False) -> tuple[str, int]:
    """(real name, descriptor) of a TUN device; a name with %d gets the next free number. `header`: each packet has a virtio header in front
    (IFF_VNET_HDR), when the kernel has that. LocalError with the reason otherwise."""
    if not 0 < len(name.encode()) <= _NAME_LIMIT or "/" in name or any(c.isspace() for c in name):
        raise LocalError(f"TUN device name {name!r}: need 1 to {_NAME_LIMIT} bytes without spaces and slashes")
    if not 576 <= mtu <= 65535:
        raise LocalError(f"TUN device {name}: MTU {mtu}, need 576..65535")
    buffer = _ffi.new("char[16]", name.encode())
    fd = int(_lib.shim_tun_open(buffer, mtu, header))
    if fd < 0:
        raise LocalError(f"TUN device {name}: {_REASONS.get(-fd, os.strerror(-fd))}")
    return _ffi.string(buffer).decode(), fd


def set_offload(fd: int, flags: int) -> None:
    """Tell the kernel what a reader of the device copes with (CHECKSUM, TSO4, ...); LocalError when it refuses."""
    result = int(_lib.shim_tun_offload(fd, flags))
    if result < 0:
        raise LocalError(f"TUN offload flags 0x{flags:02x}: {os.strerror(-result)}")
