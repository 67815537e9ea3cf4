"""Lines for people on standard error or in a file (--log-file), one each, with secrets taken out. (logging is 2.4 MB.)

Under systemd each line starts with its priority, `<3>` error, `<5>` notice, `<7>` debug (sd-daemon(3)). The same
sentence is not repeated within a minute: a gateway that is away must not fill a card. A file is opened anew at SIGHUP, as logrotate(8)
wants it, and at LIMIT bytes it is renamed to NAME.1, whose predecessor goes. In a file each line begins with the time, in UTC.
The last KEPT lines are kept for the portal.
"""

import contextlib
import os
import sys
import time
from collections import deque

from skerry_core.errors import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

QUIET = 60_000  # ms
REMEMBERED = 64
KEPT, WIDEST = 200, 400  # lines; characters of one
REDACTED = "[redacted]"
LIMIT = 4 << 20  # bytes of a file; two of them are kept


class Log:
    """`say`, `trouble` and `debug`; `secrets` never appear in any of them."""

    def __init__(self, verbose: bool = False, out: "TextIO | None" = None) -> None:
        self.verbose = verbose
        self.secrets: set[str] = set()
        self._out = out or sys.stderr
        self._journal = "JOURNAL_STREAM" in os.environ
        self._said: dict[str, int] = {}
        self._kept: deque[tuple[int, int, str]] = deque(maxlen=KEPT)
        self._path = ""
        self._size = 0
        self.renamed = False  # set by SIGHUP, which may come in the middle of a line: the next line begins a new file

    def to_file(self, path: str) -> None:
        """Write there from now on. LocalError: that cannot be."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LocalError(f"--log-file {path}: {error.strerror}; choose a file that can be written") from None
        old, self._out = self._out, os.fdopen(descriptor, "a")
        self._size = os.fstat(descriptor).st_size
        if self._path:
            with contextlib.suppress(OSError):  # what a full disk did not take
                old.close()
        self._path = path

    def reopen(self) -> None:
        """The file was renamed: begin the next one. Without a file nothing."""
        if self._path:
            try:
                self.to_file(self._path)
            except LocalError as error:
                self.say(str(error))  # into the old one, which goes on

    def _turn_over(self) -> None:
        try:
            os.replace(self._path, self._path + ".1")
        except OSError:
            self._size = 0  # tried again after as much
            return
        self.reopen()

    def say(self, sentence: str) -> None:
        """Something the owner should know."""
        self._write(5, sentence)

    def trouble(self, sentence: str, now: int) -> None:
        """Something is wrong; said again only after a minute."""
        last = self._said.get(sentence)
        if last is not None and now - last < QUIET:
            return
        if len(self._said) >= REMEMBERED:
            self._said.clear()
        self._said[sentence] = now
        self._write(3, sentence)

    def debug(self, sentence: str) -> None:
        """Only with --verbose."""
        if self.verbose:
            self._write(7, sentence)

    def redact(self, text: str) -> str:
        """`text` without secrets and without characters that would fake a line or drive a terminal."""
        for secret in self.secrets:
            text = text.replace(secret, REDACTED)
        return "".join(c if c.isprintable() else "?" for c in text)

    def recent(self) -> "list[dict[str, Any]]":
        """The last lines: wall time in ms, priority, text."""
        return [{"wall": wall, "priority": priority, "text": text} for wall, priority, text in self._kept]

    def _write(self, priority: int, sentence: str) -> None:
        if self.renamed:
            self.renamed = False
            self.reopen()
        sentence = self.redact(sentence)
        self._kept.append((time.time_ns() // 1_000_000, priority, sentence[:WIDEST]))
        start = time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime()) if self._path else f"<{priority}>" if self._journal else "skerryd: "
        line = f"{start}{sentence}\n"
        try:
            self._out.write(line)
            self._out.flush()
        except OSError:
            pass  # nobody listens any more, or the disk is full
        self._size += len(line)
        if self._path and self._size >= LIMIT:
            self._turn_over()
