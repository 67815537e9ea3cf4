"""skerry capture: packets as pcapng on standard output or in a file, in whole blocks, so that Ctrl-C leaves a file that can be read."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import stat
import sys

from skerry_core.errors import LocalError, PeerError
from skerry_node import pcapng

from .client import Client, Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO


def capture(client: Client, arguments: argparse.Namespace) -> int:
    """Write until there are enough packets, the time is over, skerryd stops or Ctrl-C."""
    query = {"side": "encrypted" if arguments.encrypted else "decrypted"}
    for name in ("peer", "count", "seconds", "snaplen"):
        if getattr(arguments, name):
            query[name] = str(getattr(arguments, name))
    if not arguments.file and sys.stdout.isatty():
        raise LocalError("capture: this would write binary data to the terminal; use --file FILE, or: skerry capture | tshark -r -")
    stream = client.stream("POST", "skerry/capture", query)  # refused before a file is made
    out = create(arguments.file) if arguments.file else sys.stdout.buffer
    packets = lost = 0
    try:
        rest = b""
        for data in stream:
            found, rest = pcapng.blocks(rest + data)
            write(out, b"".join(whole for _kind, whole in found))
            packets += sum(kind == pcapng.PACKET for kind, _whole in found)
            lost = max([lost, *(pcapng.lost_in(whole) for kind, whole in found if kind == pcapng.STATISTICS)])
    except KeyboardInterrupt:
        pass  # the way to end it
    except PeerError as error:
        raise Failed(f"the capture ended early: {error}") from None
    except BrokenPipeError:
        raise  # who read standard output has gone
    except OSError as error:
        raise Failed(f"the capture ended early: cannot write {arguments.file or 'standard output'}: {error.strerror}") from None
    finally:
        if arguments.file:
            with contextlib.suppress(OSError):  # said above: it keeps what a full disk did not take
                out.close()
    missing = f", {lost} lost because they came faster than they could be written" if lost else ""
    print(f"{packets} packet{'' if packets == 1 else 's'}{missing}", file=sys.stderr)
    return 0


def write(out: BinaryIO, data: bytes) -> None:
    """Whole blocks; Ctrl-C waits until they are written."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        out.write(data)
        out.flush()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def create(path: str) -> BinaryIO:
    """The file, for its owner alone: it shows traffic."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        if stat.S_ISREG(os.fstat(file).st_mode):
            os.fchmod(file, 0o600)
    except OSError as error:
        raise LocalError(f"--file {path}: {error.strerror}; choose a file that can be written") from None
    return os.fdopen(file, "wb")
