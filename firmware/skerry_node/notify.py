"""sd_notify(3): tell systemd that the node is ready, stopping, or what it is doing. Nothing happens without systemd."""

import os
import socket


def notify(state: str) -> None:
    """Send e.g. `READY=1` or `STATUS=...` to $NOTIFY_SOCKET."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path or path[0] not in "/@":
        return
    address = "\0" + path[1:] if path[0] == "@" else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.sendto(state.encode(), address)
    except OSError:
        pass  # a service that is not of Type=notify
