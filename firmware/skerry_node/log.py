"""Lines for people on standard error, one each, with secrets taken out. (logging is 2.4 MB.)

Under systemd each line starts with its priority, `<3>` error, `<5>` notice, `<7>` debug (sd-daemon(3)). The same
sentence is not repeated within a minute: a gateway that is away must not fill a card. The last KEPT lines are kept for the portal.
"""

import os
import sys
import time
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

QUIET = 60_000  # ms
REMEMBERED = 64
KEPT, WIDEST = 200, 400  # lines; characters of one
REDACTED = "[redacted]"


class Log:
    """`say`, `trouble` and `debug`; `secrets` never appear in any of them."""

    def __init__(self, verbose: bool = False, out: "TextIO | None" = None) -> None:
        self.verbose = verbose
        self.secrets: set[str] = set()
        self._out = out or sys.stderr
        self._journal = "JOURNAL_STREAM" in os.environ
        self._said: dict[str, int] = {}
        self._kept: deque[tuple[int, int, str]] = deque(maxlen=KEPT)

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
        sentence = self.redact(sentence)
        self._kept.append((time.time_ns() // 1_000_000, priority, sentence[:WIDEST]))
        start = f"<{priority}>" if self._journal else "skerryd: "
        try:
            self._out.write(f"{start}{sentence}\n")
            self._out.flush()
        except OSError:
            pass  # nobody listens any more
