"""skerry record: the flight recorder's file. skerry replay: the decisions in it made again, as a timeline, a drawing or JSON."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time

from skerry_core.errors import LocalError, PeerError

from .capture import create
from .client import Client, Failed
from .output import WIDTH, clean, wrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_node.recorder.recording import Recording


def record(client: Client, arguments: argparse.Namespace) -> int:
    """Write the recording of skerryd to standard output or a file."""
    if not arguments.file and sys.stdout.isatty():
        raise LocalError("record: this would write binary data to the terminal; use: skerry record > FILE, or --file FILE")
    data = b"".join(client.stream("POST", "skerry/record", {}))
    try:
        if arguments.file:
            with create(arguments.file) as file:
                file.write(data)
        else:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Failed(f"cannot write {arguments.file or 'standard output'}: {error.strerror}") from None
    print(f"{len(data)} bytes; it holds no key, but addresses and names: skerry replay FILE shows it", file=sys.stderr)
    return 0


def replay(_client: Client, arguments: argparse.Namespace) -> int:
    """Play a file."""
    from skerry_node.recorder import recording, timeline
    from skerry_node.recorder.replay import Replay

    try:
        found = recording.Recording(read(arguments.file))
        other = found.header["code"] != recording.code()
        if other and not arguments.anyway:
            raise PeerError(_other(found))
        played = Replay(found, exact=not other)
        rows = list(timeline.rows(played))
    except PeerError as error:
        raise Failed(f"{arguments.file}: {error}") from None
    span = rows[-1].at if rows else 0
    verdict = "the same decisions, bit for bit" if not other else f"by other code: {len(played.differences)} of its decisions differ"
    title = f"{len(rows)} steps in {timeline.clock(span).strip()[1:]}, recorded {_when(found)} by Skerry {found.header['skerry']}"
    if arguments.svg:
        _draw(arguments.svg, rows, title)
    if arguments.json:
        return _json(found, rows, played.differences, not other)
    width = min(shutil.get_terminal_size().columns, WIDTH)
    if not arguments.svg:
        for row in timeline.merged(rows):
            print("\n".join(clean(line) for line in timeline.text(row, width)))
    print(wrap(clean(f"{title}: {verdict}")))
    return 0


def read(path: str) -> bytes:
    """The file, or standard input for "-"."""
    from skerry_node.recorder.recording import FILE_LIMIT

    try:
        if path == "-":
            return sys.stdin.buffer.read(FILE_LIMIT + 1)
        with open(path, "rb") as file:
            return file.read(FILE_LIMIT + 1)
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}; name a file that skerry record wrote") from None


def _other(found: Recording) -> str:
    from skerry_node.membership import VERSION
    from skerry_node.recorder.recording import code

    return (
        f"it was recorded by Skerry {found.header['skerry']} (code {found.header['code']}), this is {VERSION} (code {code()}), which may "
        "decide otherwise. Replay it with that version, or see how far this one comes with --anyway"
    )


def _when(found: Recording) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(found.header["made"] / 1000))
    except (OverflowError, OSError, ValueError):
        return "at an unknown time"


def _draw(path: str, rows: list[Any], title: str) -> None:
    from skerry_node.recorder.svg import draw

    try:
        with open(os.path.abspath(path), "w") as file:
            file.write(draw(rows, title))
    except OSError as error:
        raise LocalError(f"--svg {path}: {error.strerror}; choose a file that can be written") from None


def _json(found: Recording, rows: list[Any], differences: list[str], exact: bool) -> int:
    import json

    from skerry_node.recorder import timeline

    steps = [timeline.document(row) for row in rows]
    print(json.dumps({"header": found.header, "exact": exact, "differences": differences, "steps": steps}, indent=1))
    return 0
