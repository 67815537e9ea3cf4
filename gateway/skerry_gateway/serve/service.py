"""Carries one sans-IO server (the relay, the coordinator) on asyncio: its sessions on transports, its timers on one timer.

A `Link` is the protocol on top of a transport (plain or TLS) for one session. While the transport's buffer is above its high-water mark
nothing is taken from the session, so what waits stays in the session's own bounded queues and a slow reader costs no more than those.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from skerry_gateway.serve.timer import Timed, Timer

log = logging.getLogger(__name__)
Remote = tuple[str, int]


class Session(Protocol):
    closed: str | None

    def receive(self, data: bytes, now: int) -> None: ...
    def take(self) -> bytes: ...
    def close(self, now: int) -> None: ...


class Server(Timed, Protocol):
    def open(self, remote: Remote, now: int) -> Any: ...
    def ready(self) -> list[Any]: ...


def monotonic_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)


class Service:
    """One server and its links. `turn()` after anything that may have changed the server from outside (an admin verb)."""

    def __init__(self, name: str, server: Server, now: Callable[[], int] = monotonic_ms) -> None:
        self.name = name
        self.server = server
        self.now = now
        self._links: dict[Any, Link] = {}
        self._timer = Timer(name, server, now, self.turn)
        self._turning = False

    def __len__(self) -> int:
        return len(self._links)

    def open(self, transport: asyncio.Transport, remote: Remote) -> Link:
        link = Link(self, self.server.open(remote, self.now()), transport)
        self._links[link.session] = link
        return link

    def turn(self) -> None:
        """Write what the server has for its sessions, and set the timer anew. Not nested: flushing may end sessions, which calls this."""
        if self._turning:
            return
        self._turning = True
        try:
            while sessions := self.server.ready():
                for session in sessions:
                    if link := self._links.get(session):
                        link.safe_flush()
        finally:
            self._turning = False
        self._timer.arm()

    def gone(self, link: Link) -> None:
        if self._links.pop(link.session, None) is not None:
            link.session.close(self.now())
            self.turn()

    def stop(self) -> None:
        self._timer.cancel()
        for link in list(self._links.values()):
            link.transport.close()


class Link(asyncio.Protocol):
    def __init__(self, service: Service, session: Any, transport: asyncio.Transport) -> None:
        self.service = service
        self.session = session
        self.transport = transport
        self._paused = False

    def data_received(self, data: bytes) -> None:
        self.session.receive(data, self.service.now())
        self.flush()
        self.service.turn()

    def eof_received(self) -> bool | None:
        return False

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.service.gone(self)

    def safe_flush(self) -> None:
        """A fault that one connection brings about ends that one and keeps nothing from the others."""
        try:
            self.flush()
        except Exception:
            log.exception("%s: writing to %s failed", self.service.name, self.session_remote())
            self.transport.abort()

    def flush(self) -> None:
        reason = self.session.closed
        if reason is not None:
            self._finish(reason)
        elif not self._paused:
            self._write()

    def _write(self) -> None:
        """Taking may make room for more, so take until there is nothing or the transport has enough."""
        while not self.transport.is_closing() and (data := self.session.take()):
            self.transport.write(data)
            if self._paused:
                return

    def _finish(self, reason: str) -> None:
        if self.transport.is_closing():
            return
        log.debug("%s: connection from %s closed: %s", self.service.name, self.session_remote(), reason)
        if self._paused:  # what waits in the transport must not keep an ended session alive
            self.transport.abort()
            return
        self._write()
        self.transport.close()

    def session_remote(self) -> str:
        peer = self.transport.get_extra_info("peername") or ("?", 0)
        return f"{peer[0]}:{peer[1]}"
