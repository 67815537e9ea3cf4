"""Two habits of a long-running service: telling systemd that it is ready, and noticing that its loop is held up."""

from __future__ import annotations

import asyncio
import logging
import os
import socket

log = logging.getLogger(__name__)
TICK = 1.0
LATE = 0.5


def notify(text: str) -> None:
    """sd_notify(3): a datagram to the socket named by NOTIFY_SOCKET; nothing without one."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(text.encode(), "\0" + path[1:] if path.startswith("@") else path)
        except OSError as error:
            log.warning("systemd was not told %r: %s", text, error)


async def watch_lag() -> None:
    """Log each time the loop comes back late from a second's sleep: somebody's request holds up everybody."""
    loop = asyncio.get_running_loop()
    while True:
        before = loop.time()
        await asyncio.sleep(TICK)
        late = loop.time() - before - TICK
        if late > LATE:
            log.warning("the event loop was held up for %.1f s", late)
        notify("WATCHDOG=1")
