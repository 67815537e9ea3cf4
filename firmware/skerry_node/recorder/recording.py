"""The file of a recording. Integers are big-endian.

    magic "skerryfr" | u16 format | blocks: u8 kind | u32 length | content
    kind H header, JSON   S the state at the beginning, E what came since: lines, deflated   Z BLAKE2s (32 bytes) of all before; the end

Header: {"skerry": version, "code": digest of the core's source, "made": wall ms, "now": engine's ms, "from": engine's ms at the beginning,
"problem"}. A replay is exact only with the same code; that is what the digest is for. The file comes from who knows where.
"""

import hashlib
import json
import os
import struct
import zlib

from skerry_core.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .recorder import Recorder

MAGIC, FORMAT = b"skerryfr", 1
BLOCK = struct.Struct(">cI")
FILE_LIMIT, LINES_LIMIT = 16 << 20, 128 << 20


def code() -> str:
    """Digest of the source of skerry_core: which code makes these decisions."""
    found = hashlib.blake2s(digest_size=8)
    for name, path in sources():
        with open(path, "rb") as file:
            found.update(name.encode() + b"\0" + file.read())
    return found.hexdigest()


def sources() -> "Iterator[tuple[str, str]]":
    """(name, path) of the files that decide, in an order that is always the same."""
    import skerry_core

    root = os.path.dirname(os.path.abspath(skerry_core.__file__))
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                yield os.path.relpath(path, root), path


def pack(recorder: "Recorder", version: str, code_digest: str, wall: int, now: int) -> bytes:
    """The whole file."""
    segments = recorder.segments()
    head = {"skerry": version, "code": code_digest, "made": wall, "now": now, "problem": recorder.problem}
    head["from"] = segments[0].since if segments else now
    parts = [MAGIC, FORMAT.to_bytes(2, "big"), _block(b"H", json.dumps(head).encode())]
    for segment in segments:
        parts += [_block(b"S", segment.head)] if segment is segments[0] else []
        parts += [_block(b"E", piece) for piece in segment.press()]
    body = b"".join(parts)
    return body + _block(b"Z", hashlib.blake2s(body).digest())


def _block(kind: bytes, content: bytes) -> bytes:
    return BLOCK.pack(kind, len(content)) + content


class Recording:
    """What is in a file: `header`, `state` (rows), `entries` (rows). PeerError: it is no whole recording."""

    def __init__(self, data: bytes) -> None:
        self.header: dict[str, Any] = {}
        self.state: list[Any] = []
        self.entries: list[Any] = []
        self._room = LINES_LIMIT
        for kind, content in _blocks(data):
            if kind == b"H":
                self.header = _header(content)
            elif kind in (b"S", b"E"):
                (self.state if kind == b"S" else self.entries).extend(self._rows(content))
            else:
                raise PeerError(f"the recording has a block of kind {kind!r}, which this version does not know")

    def _rows(self, content: bytes) -> "list[Any]":
        opened = zlib.decompressobj()
        try:
            text = opened.decompress(content, self._room + 1)
        except zlib.error as error:
            raise PeerError(f"the recording is damaged: {error}") from None
        if len(text) > self._room or not opened.eof or opened.unused_data:
            raise PeerError(f"the recording is damaged, or unpacks to more than {LINES_LIMIT >> 20} MB")
        self._room -= len(text)
        try:
            rows = [json.loads(line) for line in text.split(b"\n") if line]
        except (ValueError, RecursionError):
            raise PeerError("the recording is damaged: a line is no JSON") from None
        if not all(isinstance(row, list) and row and isinstance(row[0], str) for row in rows):
            raise PeerError("the recording is damaged: a line is no row")
        return rows


def _blocks(data: bytes) -> "Iterator[tuple[bytes, bytes]]":
    front = len(MAGIC) + 2
    if len(data) > FILE_LIMIT:
        raise PeerError(f"a file of {len(data)} bytes, a recording has at most {FILE_LIMIT}")
    if data[: len(MAGIC)] != MAGIC or len(data) < front:
        raise PeerError(f"this is no recording: it begins with {data[:8]!r}, need {MAGIC!r}")
    if int.from_bytes(data[len(MAGIC) : front], "big") != FORMAT:
        raise PeerError(f"the recording has format {int.from_bytes(data[len(MAGIC) : front], 'big')}, this version reads {FORMAT}")
    end = len(data) - BLOCK.size - hashlib.blake2s().digest_size
    if end < front or data[end:] != _block(b"Z", hashlib.blake2s(data[:end]).digest()):
        raise PeerError("the recording is truncated or damaged: its digest at the end does not match")
    at = front
    while at < end:
        if end - at < BLOCK.size:
            raise PeerError("the recording is damaged: a block has no head")
        kind, length = BLOCK.unpack_from(data, at)
        at += BLOCK.size
        if length > end - at:
            raise PeerError(f"the recording is damaged: a block of {length} bytes, {end - at} are there")
        yield kind, data[at : at + length]
        at += length


def _header(content: bytes) -> "dict[str, Any]":
    try:
        head = json.loads(content)
        good = isinstance(head, dict) and all(isinstance(head[name], str) for name in ("skerry", "code", "problem"))
        good = good and all(type(head[name]) is int for name in ("made", "now", "from"))
    except (ValueError, KeyError, RecursionError):
        good = False
    if not good:
        raise PeerError("the recording is damaged: its header lacks version, code or times")
    return dict(head)
