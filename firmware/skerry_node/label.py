"""The board's code on the disk: DIR/portal.json, 0600.

```
{"version": 1, "code": "XXXX-XXXX", "board": {"source", "digest"} | null}
```
An image may bring the file with `board` null, for a code that stands on a printed label; the first start binds it to the board.
A copied card gets another code: who knows one board's code must not have the others'. What cannot be read is made anew and said.
"""

import json
import os

from skerry_board.identity import Identity
from skerry_core.errors import LocalError

from .access import is_code, new_code
from .state import Files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from skerry_board.identity import Board

NAME = "portal.json"


class Label:
    """`code`, and `fresh`: it was made now. LocalError: it cannot be written, so nobody could learn it after a restart."""

    def __init__(self, directory: str, board: "Board", random: "Callable[[int], bytes]", files: "Files | None" = None) -> None:
        self._path = os.path.join(directory, NAME)
        self._board, self._files = board, files or Files()
        found, bound = self._read()
        self.fresh = not found
        self.code = found or new_code(random)
        if self.fresh or not bound:
            self.write(self.code)

    def write(self, code: str) -> None:
        """Keep this one."""
        mine = self._board.identity
        binding = {"source": mine.source, "digest": mine.digest} if mine else None
        data = json.dumps({"version": 1, "code": code, "board": binding}).encode()
        try:
            self._files.write(self._path + ".new", data)
            self._files.rename(self._path + ".new", self._path)
            self._files.sync(os.path.dirname(self._path))
        except OSError as error:
            raise LocalError(f"cannot write the board's code to {self._path}: {error.strerror or error}; the portal stays shut") from None
        self.code = code

    def _read(self) -> "tuple[str, bool]":
        """(code, or "" when there is none for this board; whether it is bound to the board already)"""
        try:
            with open(self._path, "rb") as file:
                document = json.loads(file.read(4096))
            code, board = document["code"], document["board"]
            mine = None if board is None else self._board.matches(Identity(board["source"], board["digest"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return "", False
        if not is_code(code) or mine is False:
            return "", False
        return code, board is not None or self._board.identity is None
