"""How a command reaches the gateway: over the running server's admin socket, or else by opening the state directory itself.

    socket      one line {"verb": ..., "arguments": {...}} there, one line {"result": ...} or {"error": "sentence"} back
    directly    under the directory's lock, so that no server and no other command writes meanwhile

A server that is just starting holds the lock and has no socket yet: the command waits for it a moment.
"""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from skerry_core.errors import LocalError
from skerry_gateway.store import StateDir, Store

_WAIT_S = 5.0
_ANSWER_S = 60.0
_MAX_ANSWER = 256 << 20
# what may come before the first serve; other verbs would only hide a wrong --state
_FIRST = ("users create", "users link", "keys create", "policy set", "policy check", "policy get", "network set", "dns set")


def request(state: Path, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Do a verb on the gateway of that state directory. LocalError (AdminError) with what is wrong."""
    directory = StateDir(state)
    deadline = time.monotonic() + _WAIT_S
    while True:
        connection = _connect(directory.socket)
        if connection is not None:
            with connection:
                return _over(connection, verb, arguments)
        try:
            return _directly(directory, verb, arguments)
        except _Busy as error:
            if time.monotonic() > deadline:
                raise LocalError(str(error)) from None
            time.sleep(0.05)


class _Busy(Exception):
    """Somebody else holds the lock."""


def _connect(path: Path) -> socket.socket | None:
    """None: no server listens there."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(os.fspath(path))
        connection.settimeout(_ANSWER_S)
        return connection
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        advice = "Run this as the gateway's user, or name --state DIR"
        raise LocalError(f"cannot reach the gateway at {path}: {error.strerror or error}. {advice}") from None


def _over(connection: socket.socket, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
    line = json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n"
    try:
        connection.sendall(line)
        answer = _read_line(connection)
    except OSError as error:
        raise LocalError(f"the gateway did not answer: {error}. Look at its log; the change may or may not have been made") from None
    try:
        found = json.loads(answer)
    except ValueError:
        raise LocalError("the gateway ended the connection without an answer: look at its log") from None
    if "error" in found:
        raise LocalError(str(found["error"]))
    result: dict[str, Any] = found["result"]
    return result


def _read_line(connection: socket.socket) -> bytes:
    parts: list[bytes] = []
    size = 0
    while not (parts and parts[-1].endswith(b"\n")):
        part = connection.recv(1 << 16)
        size += len(part)
        if not part or size > _MAX_ANSWER:
            break
        parts.append(part)
    return b"".join(parts)


def _directly(directory: StateDir, verb: str, arguments: dict[str, Any]) -> dict[str, Any]:
    # the server's parts are loaded only when they are needed
    from skerry_gateway import admin
    from skerry_gateway.control import Coordinator
    from skerry_shim import crypto

    if verb not in _FIRST and not directory.used:
        start = f"skerry-gateway serve --state {directory.path}"
        raise LocalError(f"there is no gateway in {directory.path}: name its directory with --state DIR, or start one with: {start}")
    directory.prepare()
    lock = directory.lock(wait_s=0)
    try:
        lock.__enter__()
    except LocalError as error:
        raise _Busy(str(error)) from None
    try:
        store = Store.open(directory.database)
        now, wall_ms = time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000
        coordinator = Coordinator(store, directory.secret("control"), crypto, os.urandom, {}, now, wall_ms)
        coordinator.set_url(coordinator.members.network.url or coordinator.url)
        return admin.call(coordinator, verb, arguments, now)
    finally:
        lock.__exit__(None, None, None)
