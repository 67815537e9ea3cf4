"""The loop's timer for something sans-IO, which says when it wants to be called."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger(__name__)


class Timed(Protocol):
    def handle_timer(self, now: int) -> None: ...
    def next_timer(self) -> int | None: ...


class Timer:
    """`then` is called after each time: it carries out what was decided, and arms the timer anew."""

    def __init__(self, name: str, timed: Timed, now: Callable[[], int], then: Callable[[], None]) -> None:
        self._name, self._timed, self._now, self._then = name, timed, now, then
        self._handle: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        """As it wants it now."""
        due = self._timed.next_timer()
        at = None if due is None else max(due, 0) / 1000
        if self._handle is not None:
            if self._handle.when() == at and not self._handle.cancelled():
                return
            self.cancel()
        if at is not None:
            self._handle = asyncio.get_running_loop().call_at(at, self._fire)

    def cancel(self) -> None:
        """Not again, until it is armed."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        # the loop may call a little early (its clock has a resolution), what is timed must then still see its own time as come
        due = self._timed.next_timer()
        try:
            self._timed.handle_timer(max(self._now(), due or 0))
        except Exception:
            log.exception("%s: a timer failed", self._name)
        self._then()
