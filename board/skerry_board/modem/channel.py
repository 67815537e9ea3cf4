"""Commands on one AT port, one at a time; messages that nobody asked for (URCs) are kept apart.

A final line ends an answer: OK, ERROR, +CME ERROR, ... Of the lines before it only those with the prefix of the command count, all others
are URCs, however a modem mixes them. After a command without an answer the next one first makes sure that the late answer of that one is
not taken for its own. "RDY" in the middle means that the modem has started anew.
"""

import re
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from skerry_core.errors import LocalError, PeerError

from .lines import PROMPT, Lines

_FINAL = re.compile(
    r"(OK|ERROR|CONNECT.*|NO CARRIER|BUSY|NO ANSWER|NO DIALTONE|COMMAND NOT SUPPORT|NA|MODEM ERROR: ?\d*|\+CM[ES] ERROR:?.*)\Z"
)
_CME = re.compile(r"\+CM[ES] ERROR:? *(.*)\Z")
_RESTARTED = ("RDY", "*ATREADY: 1", "NORMAL POWER DOWN", "POWERED DOWN")
_SYNC_TRIES, _SYNC_S = 10, 0.5
MAX_URCS, MAX_LINES = 100, 500
SIM_BUSY = 14


class NoAnswer(PeerError):
    """The modem said nothing within the command's time."""


class PortGone(PeerError):
    """The port is not there any more: unplugged, or the modem starts anew."""


class Failed(PeerError):
    """The modem refused. `code`: of +CME ERROR, None when it gave none; `text` is what it said."""

    def __init__(self, command: str, text: str) -> None:
        super().__init__(f"the modem refused {command}: {text}")
        self.text = text
        reason = _CME.match(text)
        self.code = int(reason[1]) if reason and reason[1].isdigit() else None


class Port(Protocol):
    """A serial port: pyserial's, with a short read timeout."""

    def read(self, size: int) -> bytes: ...
    def write(self, data: bytes) -> int | None: ...


class Channel:
    """`clock()` gives seconds. `restarted` is True after the modem said that it starts: set it up again, then clear it."""

    def __init__(self, port: Port, clock: Callable[[], float] = time.monotonic) -> None:
        self._port, self._clock = port, clock
        self._lines = Lines()
        self._queue: deque[str] = deque()
        self._unsure = True  # what arrives may still belong to somebody's earlier command
        self.urcs: deque[str] = deque(maxlen=MAX_URCS)
        self.restarted = False

    def command(self, text: str, prefix: str = "", timeout: float = 5.0) -> list[str]:
        """Send a command; the lines of its answer, with `prefix` cut off where one is given (then others are URCs).

        LocalError: a command with a line end in it. Failed: the modem refused. NoAnswer, PortGone: it could not."""
        if not text.isascii() or not text.isprintable():
            raise LocalError(f"{text!r} is no command: a line end in it would begin another")
        if self._unsure:
            self.synchronize()
        return self._ask(text, prefix, timeout)

    def synchronize(self) -> None:
        """Send "AT" until it alone is answered. NoAnswer after ten tries: this port takes no commands."""
        for _ in range(_SYNC_TRIES):
            self._drain()
            try:
                self._ask("AT", "", _SYNC_S)
                self._drain()
            except (NoAnswer, Failed):
                continue
            self._unsure = False
            return
        raise NoAnswer(f"the port does not answer AT in {_SYNC_TRIES * _SYNC_S:.0f} s: it takes no commands, or the modem hangs")

    def listen(self, seconds: float) -> None:
        """Take in what the modem says by itself."""
        end = self._clock() + seconds
        while self._clock() < end:
            line = self._line(end)
            if line is not None:
                self._note(line)

    def _ask(self, text: str, prefix: str, timeout: float) -> list[str]:
        self._write(text.encode() + b"\r")
        found: list[str] = []
        end = self._clock() + timeout
        while True:
            line = self._line(end)
            if line is None:
                self._unsure = True
                raise NoAnswer(f"the modem did not answer {text} within {timeout:g} s")
            if line == text:
                continue  # the echo
            if _FINAL.match(line):
                return self._ended(text, line, found)
            if line == PROMPT:
                self._write(b"\x1b")  # no body is ever sent here
            elif prefix and line.startswith(prefix):
                found.append(line[len(prefix) :].strip())
            elif prefix or line[0] in "+*^" or line in _RESTARTED:
                self._note(line)
            else:
                found.append(line)
            if len(found) > MAX_LINES:
                raise PeerError(f"the modem answered {text} with more than {MAX_LINES} lines")

    def _ended(self, text: str, line: str, found: list[str]) -> list[str]:
        if line == "OK" or line.startswith("CONNECT"):
            return found
        raise Failed(text, line)

    def _note(self, line: str) -> None:
        self.urcs.append(line)
        if line in _RESTARTED:
            self.restarted = self._unsure = True

    def _line(self, end: float) -> str | None:
        """The next line; None when the time is over."""
        while not self._queue:
            if self._clock() >= end:
                return None
            self._queue.extend(self._lines.feed(self._read()))
        return self._queue.popleft()

    def _drain(self) -> None:
        while data := self._read():
            self._queue.extend(self._lines.feed(data))
        for line in self._queue:
            self._note(line)
        self._queue.clear()
        self._lines.clear()

    def _read(self) -> bytes:
        try:
            return self._port.read(4096)
        except OSError as error:  # pyserial's SerialException is one too
            raise PortGone(f"the modem's port is gone: {error}") from None

    def _write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except OSError as error:
            raise PortGone(f"the modem's port is gone: {error}") from None
