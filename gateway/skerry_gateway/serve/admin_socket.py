"""The unix socket `admin.sock` in the state directory, for the gateway's own command line beside a running server.

One JSON object a line: `{"verb": ..., "arguments": {...}}` -> `{"result": ...}` or `{"error": "sentence"}`. The directory is 0700 and the
socket 0600: whoever can open it may already read the database, so there is no further check of rights.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skerry_core.errors import LocalError

log = logging.getLogger(__name__)
LIMIT = 8 * 1024 * 1024  # a policy of the largest size, escaped as JSON
Call = Callable[[str, dict[str, Any]], Any]


def listen(path: Path) -> socket.socket:
    """Call it while holding the state directory's lock: a socket that is there was left behind."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(os.fspath(path))
    except OSError as error:
        raise LocalError(f"cannot make the socket {path}: {error}. Name a shorter or a writable directory with --state DIR") from None
    finally:
        os.umask(before)
    sock.listen(16)
    return sock


async def serve(sock: socket.socket, call: Call) -> asyncio.Server:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(answer(line, call)).encode() + b"\n")
                await writer.drain()
        except (ValueError, ConnectionError) as error:
            log.info("admin socket: %s", error)
        finally:
            writer.close()

    return await asyncio.start_unix_server(client, sock=sock, limit=LIMIT)


def answer(line: bytes, call: Call) -> dict[str, Any]:
    try:
        request = json.loads(line)
        verb, arguments = request["verb"], request.get("arguments", {})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {"error": 'expected one line of JSON: {"verb": NAME, "arguments": {...}}'}
    if not isinstance(verb, str) or not isinstance(arguments, dict):
        return {"error": "verb must be a string and arguments an object"}
    try:
        return {"result": call(verb, arguments)}
    except LocalError as error:
        return {"error": str(error)}
    except Exception:
        log.exception("admin verb %r failed", verb)
        return {"error": f"{verb} failed; the gateway's log says more"}
