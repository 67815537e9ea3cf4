"""Libraries that take long to load (TLS 30 ms, zstd 15 ms; on a small board ten times as much), in a thread beside the loop.

The first answer of the network is on its way meanwhile, and packets of known peers need neither. While it loads, the interpreter
changes threads every millisecond, so that the loop waits for it no longer than that. What cannot be loaded is said by who needs it.
"""

import _thread
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SWITCH = 0.001  # s


class Loading:
    """`begin()` any number of times; `fileno()` becomes readable when `done` is True."""

    def __init__(self, load: "Callable[[], object]", then: "Callable[[], object]") -> None:
        """`done` is said after `load`; `then` is run last, for what is needed later."""
        self.done = False
        self._load, self._then = load, then
        self._begun = False
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """For the selector."""
        return self._event

    def begin(self) -> None:
        """Start, unless that was done."""
        if self._begun:
            return
        self._begun = True
        try:
            _thread.start_new_thread(self._work, ())
        except RuntimeError:  # the system gives no thread: each is loaded where it is needed first
            self._tell()

    def close(self) -> None:
        """Stop reporting."""
        event, self._event = self._event, -1
        os.close(event)

    def _work(self) -> None:
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)
        for step in (self._load, self._tell, self._then):
            try:
                step()
            except (ImportError, OSError, ValueError):
                pass
        sys.setswitchinterval(before)

    def _tell(self) -> None:
        self.done = True
        try:
            os.eventfd_write(self._event, 1)
        except OSError:
            pass  # closed meanwhile
