"""The state directory: the database, the gateway's secrets, the lock and the admin socket. Directory 0700, files 0600.

gateway.db        SQLite (and its -wal, -shm)
<name>.key        a secret: JSON {"version": 1, "private": 64 hex digits}
lock              held by the process that may write: a running server, or a command working without one
recent.json       where nodes could be reached last: JSON {"version": 1, "nodes": {...}}; may be missing or damaged
admin.sock        the running server's admin socket (made by serve)
"""

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skerry_core.errors import LocalError

_VERSION = 1


class StateDir:
    """One gateway's state directory. Errors are LocalError with the path and what to do."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.socket = self.path / "admin.sock"

    @property
    def database(self) -> str:
        return f"sqlite:///{self.path / 'gateway.db'}"

    def prepare(self) -> "StateDir":
        """Create the directory if it is missing; nobody else may read it."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
                read_only = os.statvfs(self.path).f_flag & os.ST_RDONLY
                raise OSError(errno.EROFS if read_only else errno.EACCES, "Read-only file system" if read_only else "Permission denied")
            if self.path.stat().st_mode & 0o077:
                self._close_to_others()
        except OSError as error:
            raise LocalError(
                f"cannot use the state directory {self.path}: {error.strerror}. Name a writable one with --state DIR, or run as its owner"
            ) from None
        return self

    @property
    def used(self) -> bool:
        """Whether a gateway has been here, or is just starting."""
        return any((self.path / name).exists() for name in ("gateway.db", "lock"))

    def _close_to_others(self) -> None:
        """Only a directory of ours: --state /tmp or --state ~ must not take it away from everybody else."""
        if not self.used and any(self.path.iterdir()):
            advice = "name a directory for the gateway alone with --state DIR"
            raise LocalError(f"{self.path} holds other things and others can read it: {advice}")
        self.path.chmod(0o700)

    @contextmanager
    def lock(self, wait_s: float = 3.0) -> Iterator[None]:
        """Hold the right to write. LocalError when another process keeps it longer than `wait_s`: commands need it for a moment only."""
        descriptor = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            deadline = time.monotonic() + wait_s
            while not _locked(descriptor):
                if time.monotonic() >= deadline:
                    raise LocalError(f"another skerry-gateway works on {self.path}: stop it, or name another state with --state DIR")
                time.sleep(0.02)
            yield
        finally:
            os.close(descriptor)

    def remember(self, nodes: dict[str, Any]) -> None:
        """Keep what Coordinator.remember() gave."""
        write_private(self.path / "recent.json", json.dumps({"version": _VERSION, "nodes": nodes}).encode())

    def recall(self) -> Any:
        """What was kept; {} when there is nothing that can be used: it is a convenience, not the network's state."""
        try:
            data = json.loads((self.path / "recent.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return data.get("nodes", {}) if isinstance(data, dict) and data.get("version") == _VERSION else {}

    def secret(self, name: str, size: int = 32) -> bytes:
        """The secret of that name; made on first use, from the operating system's randomness. Call it while holding the lock."""
        path = self.path / f"{name}.key"
        try:
            text = path.read_text()
        except FileNotFoundError:
            value = os.urandom(size)
            write_private(path, json.dumps({"version": _VERSION, "private": value.hex()}).encode() + b"\n")
            return value
        except (OSError, UnicodeDecodeError) as error:
            raise LocalError(f"cannot read {path}: {error}") from None
        return _parse_secret(path, text, size)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _parse_secret(path: Path, text: str, size: int) -> bytes:
    # a damaged key is never replaced silently: nodes have pinned it
    advice = "Restore it from a backup; without it every node must be told the new key"
    try:
        data = json.loads(text)
        found = data["version"]
        value = bytes.fromhex(data["private"]) if found == _VERSION else b""
    except (ValueError, KeyError, TypeError):
        raise LocalError(f"{path} is damaged. {advice}") from None
    if found != _VERSION:
        raise LocalError(f"{path} has version {found}, this skerry-gateway knows {_VERSION}: install the newer version again")
    if len(value) != size:
        raise LocalError(f"{path} holds {len(value)} bytes, need {size}. {advice}")
    return value


def write_private(path: Path, data: bytes) -> None:
    """Replace a file as one step, readable by its owner only: write, fsync, rename, fsync the directory."""
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
