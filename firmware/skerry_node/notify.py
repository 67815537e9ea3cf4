"""sd_notify(3): tell systemd that the node is ready, stopping, or what it keeps for us meanwhile. Nothing happens without systemd."""

import os
import select
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def notify(state: str, descriptors: "Sequence[int]" = ()) -> bool:
    """Send e.g. `READY=1` or `STATUS=...` to $NOTIFY_SOCKET, with descriptors beside it; whether it left."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path or path[0] not in "/@":
        return False
    address = "\0" + path[1:] if path[0] == "@" else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))] if descriptors else []
            sock.sendmsg([state.encode()], rights, 0, address)
    except OSError:
        return False  # a service that is not of Type=notify
    return True


def barrier(timeout: int) -> bool:
    """Wait until everything sent before has been read, at most `timeout` ms: who ends sooner is not known any more when it is read."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        if not notify("BARRIER=1", [writing]):
            return False
        os.close(writing)
        writing = -1
        poller = select.poll()
        poller.register(reading, 0)  # POLLHUP: the reader has closed its copy
        return bool(poller.poll(timeout))
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
