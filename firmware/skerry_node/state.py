"""The state directory: what must survive a power cut, bound to the board.

```
DIR/                          0700, one skerryd at a time (flock on DIR/lock)
  state.json                  0600  {"version": 1, "board": {"source", "digest"} | null, "prefs": {...}, "engine": {...} | null}
  state.json.bak              the copy before it, always one that could be read
  state.json.new              a write under way; never read
  state.json.damaged[-N]      what could not be read, kept for a person
  state.json.board-XXXXXXXX   the state of another board (the card was moved); used again on that board
```
A write is: write .new, fsync, rename state.json to .bak (only if it is known to be good), rename .new to state.json,
fsync the directory. Whatever the moment of a cut, the loader finds the old state or the new one. A disk that takes no writes does not
keep a member from starting: it runs from what is there, says so, and sets aside what it must before the first write that succeeds.

`engine` is `Engine.save()`: opaque here, secret, never printed. This module does not know what is in it.
"""

import contextlib
import errno
import fcntl
import json
import os

from skerry_board.identity import Board, Identity
from skerry_core.errors import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VERSION = 1
NAME = "state.json"
FROZEN = (errno.EROFS, errno.ENOSPC, errno.EDQUOT)  # a member goes on from what is there
LIMIT = 64 << 20  # bytes; a map of 10,000 nodes is a quarter of this


class Newer(Exception):
    """The file was written by a later skerryd."""


class Files:
    """The few calls a write is made of, in one place so that a test can fail or cut each of them."""

    def write(self, path: str, data: bytes) -> None:
        """Create or replace `path`, mode 0600, and wait until it is on the disk."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, old: str, new: str) -> None:
        """Atomically replace `new` by `old`."""
        os.rename(old, new)

    def sync(self, directory: str) -> None:
        """Wait until the names in `directory` are on the disk."""
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class StateDirectory:
    """`open()`, then `load()`, then `save()` as often as needed, then `close()`.

    `notes`: sentences for the owner about what was found. `renewed`: the board is another one, so keys must be new.
    """

    def __init__(self, path: str, board: Board, files: "Files | None" = None, check: "Callable[[Any], object] | None" = None) -> None:
        """`check` looks into what the engine saved and raises LocalError if it is of no use: then the file counts as damaged."""
        self.path = os.path.abspath(path)
        self.board = board
        self.notes: list[str] = []
        self.renewed = False
        self._files = files or Files()
        self._check = check
        self._good = False  # state.json may become the last good copy
        self._lock: int | None = None
        self._aside: list[tuple[str, str]] = []  # what must be renamed before anything is written
        self._frozen: OSError | None = None  # why nothing can be written, if that was seen at the start
        self._written: tuple[int, int] | None = None  # what this process wrote last: size and hash

    def open(self) -> None:
        """Create the directory if need be, and take it. LocalError says what to do when that cannot be."""
        try:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            self._tighten(self.path, 0o700)
            self._lock = self._open_lock()
            if self._lock is not None:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise LocalError(
                f"the state directory {self.path} is in use by another skerryd: stop it, or choose another with --state DIR"
            ) from None
        except OSError as error:
            self.close()
            raise self._unwritable(error) from None

    def _open_lock(self) -> "int | None":
        path = self._file("lock")
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in FROZEN or not os.path.exists(self._file(NAME)):
                raise
            self._frozen = error
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None  # a full disk, and the first start on it: two skerryds at once would both only read

    def close(self) -> None:
        """Let go of the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def load(self) -> "tuple[dict[str, Any], dict[str, Any] | None]":
        """Give (prefs, engine): `engine` is None on a first start, or when the keys belong to another board."""
        document = self._newest_good()
        if self._frozen is not None and document is None:
            raise self._unwritable(self._frozen)
        if self._frozen is not None:
            lost = "This node runs from what is there; what it learns is lost at its next start"
            self.notes.append(f"{self._unwritable(self._frozen)}. {lost}")
        if document is not None and not self._is_ours(document):
            document = self._change_board(document)
        if document is None:
            return {}, None
        return document["prefs"], document["engine"]

    def save(self, prefs: "dict[str, Any]", engine: "dict[str, Any] | None", both: bool = False) -> None:
        """Write both so that they survive a power cut. LocalError if they could not be written; the old state is intact then.

        What this process wrote last is not written again, but with `both`, where the last good copy must not keep what it holds.
        """
        document = {"version": VERSION, "board": self._binding(), "prefs": prefs, "engine": engine}
        data = json.dumps(document, separators=(",", ":")).encode()
        mark = (len(data), hash(data))
        if not both and mark == self._written and os.path.exists(self._file(NAME)):
            return  # it is there already: flash wears, and the disk is what a command waits for longest
        self._written = None
        self._set_aside_now()
        try:
            self._files.write(self._file(NAME + ".new"), data)
            if self._good and os.path.exists(self._file(NAME)):
                self._files.rename(self._file(NAME), self._file(NAME + ".bak"))
            self._files.rename(self._file(NAME + ".new"), self._file(NAME))
            self._good = True
            self._files.sync(self.path)
            self._written = mark
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(self._file(NAME + ".new"))  # half a file takes room that is wanted
            raise self._unwritable(error) from None

    def _file(self, name: str) -> str:
        return os.path.join(self.path, name)

    def _binding(self) -> "dict[str, str] | None":
        mine = self.board.identity
        return {"source": mine.source, "digest": mine.digest} if mine else None

    def _unwritable(self, error: OSError) -> LocalError:
        return LocalError(
            f"cannot write state in {self.path}: {error.strerror or error}. Free space or fix the permissions of that directory, "
            "or choose another with --state DIR; what was there before is unchanged"
        )

    def _tighten(self, path: str, mode: int) -> None:
        found = os.stat(path).st_mode & 0o777
        if found & ~mode:
            try:
                os.chmod(path, mode)
            except OSError as error:
                self.notes.append(f"{path} is open to others (mode {found:o}) and cannot be changed: {error.strerror}")
                return
            self.notes.append(f"{path} was open to others (mode {found:o}); it is {mode:o} now. Keys in it may have been read")

    def _newest_good(self) -> "dict[str, Any] | None":
        """state.json or else its last good copy; what cannot be read is set aside, never overwritten."""
        trouble: list[str] = []
        newer = ""
        for name in (NAME, NAME + ".bak"):
            path = self._file(name)
            try:
                document = self._read(path)
            except FileNotFoundError:
                continue
            except Newer as error:
                newer = f"{path} {error}"
                trouble.append(newer)
                continue
            except ValueError as error:
                trouble.append(f"{path} {error}")
                self._set_aside(path, NAME + ".damaged")
                continue
            except OSError as error:
                raise LocalError(
                    f"cannot read {path}: {error.strerror}. Run skerryd as the owner of that file, or choose another --state DIR"
                ) from None
            self._tighten(path, 0o600)
            return self._settle(document, name, trouble)
        if newer:
            raise LocalError(f"{newer}: install that version again, or start anew with another --state DIR; nothing was overwritten")
        if trouble:
            self.notes.append(f"{'; '.join(trouble)}. Kept as {NAME}.damaged; this node starts anew with new keys and has to join again")
        return None

    def _read(self, path: str) -> "dict[str, Any]":
        document = read(path)
        if self._check is not None and document["engine"] is not None:
            try:
                self._check(document["engine"])
            except LocalError as error:
                raise ValueError(f"is damaged ({error})") from None
        return document

    def _settle(self, document: "dict[str, Any]", name: str, trouble: "list[str]") -> "dict[str, Any]":
        """Remember whether state.json itself is good, and say so if it is not."""
        self._good = name == NAME
        if not self._good and trouble:
            if os.path.exists(self._file(NAME)):  # written by a later version
                self._set_aside(self._file(NAME), NAME + ".newer")
            self.notes.append(f"{'; '.join(trouble)}. It is kept beside the last good copy, which is used")
        return document

    def _set_aside(self, path: str, name: str) -> None:
        """Rename what must not be overwritten; where the disk takes no writes now, before the first write."""
        self._aside.append((path, name))
        try:
            self._set_aside_now()
        except LocalError as error:
            self.notes.append(str(error))

    def _set_aside_now(self) -> None:
        while self._aside:
            path, name = self._aside[0]
            free, count = name, 1
            while os.path.exists(self._file(free)):
                free = f"{name}-{count}"
                count += 1
            try:
                if os.path.exists(path):
                    self._files.rename(path, self._file(free))
            except OSError as error:
                raise self._unwritable(error) from None
            self._aside.pop(0)

    def _is_ours(self, document: "dict[str, Any]") -> bool:
        stored = document["board"]
        if stored is None:
            return True
        verdict = self.board.matches(Identity(stored["source"], stored["digest"]))
        if verdict is None:
            self.notes.append(
                f"cannot check that this is the board the state belongs to: the {stored['source']} serial may only be read by root"
            )
        return verdict is not False

    def _change_board(self, document: "dict[str, Any]") -> "dict[str, Any] | None":
        """Keep the other board's state, take up this board's if it was here before, else only the preferences."""
        path = self._file(NAME if self._good else NAME + ".bak")
        self._set_aside(path, f"{NAME}.board-{document['board']['digest'][:8]}")
        self._good = False
        mine = self.board.identity
        if mine is not None:
            try:
                earlier = self._read(self._file(f"{NAME}.board-{mine.digest[:8]}"))
            except (OSError, ValueError, Newer):
                earlier = None
            if earlier is not None and self._is_ours(earlier):
                self.notes.append("the state directory was used on another board in between; this board's own keys are used again")
                return earlier
        self.renewed = True
        self.notes.append(
            "the state belongs to another board (the card was moved or copied): this node makes new keys and has to be admitted again"
        )
        prefs = {name: value for name, value in document["prefs"].items() if name != "networks"}  # with keys of other networks
        return {**document, "prefs": prefs, "engine": None}


def read(path: str) -> "dict[str, Any]":
    """One state file: {"board", "prefs", "engine"}. ValueError: damaged, with how; Newer: a later version; OSError."""
    with open(path, "rb") as file:
        data = file.read(LIMIT + 1)
    if not data.strip(b"\0 \t\r\n"):
        raise ValueError(f"is empty ({len(data)} bytes, a power cut leaves this)")
    if len(data) > LIMIT:
        raise ValueError(f"is larger than {LIMIT} bytes")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is damaged ({type(error).__name__} in {len(data)} bytes)") from None  # the text itself may hold keys
    if not isinstance(document, dict) or not isinstance(document.get("version"), int):
        raise ValueError('is damaged (no "version")')
    if document["version"] > VERSION:
        raise Newer(f"was written by a newer skerryd (version {document['version']}, this one reads up to {VERSION})")
    board, prefs, engine = document.get("board"), document.get("prefs"), document.get("engine")
    if not isinstance(prefs, dict) or not isinstance(engine, dict | None) or not _is_binding(board):
        raise ValueError("is damaged (fields of the wrong type)")
    return {"board": board, "prefs": prefs, "engine": engine}


def _is_binding(board: "Any") -> bool:
    if board is None:
        return True
    return (
        isinstance(board, dict)
        and isinstance(board.get("source"), str)
        and isinstance(board.get("digest"), str)
        and len(board["digest"]) == 64
    )
