"""Serial ports of modems: which there are, and which of them takes commands.

A USB modem shows several ports (diagnosis, GPS, commands, data); their names change with each start, so they are told apart by the number
of the USB interface (sysfs: bInterfaceNumber). A modem that is not in the table, or without USB, is found by asking each port.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import serial

from skerry_core.errors import LocalError, PeerError

from .channel import Channel, Port
from .dialects import command_interface

READ_S = 0.05
BAUD = 115200


@dataclass(frozen=True, slots=True)
class Found:
    """A modem's command port. `device` names the modem (its USB path), the same after a restart of it."""

    path: str
    device: str
    vendor: int | None = None
    product: int | None = None


def open_port(path: str, baud: int = BAUD) -> serial.Serial:
    """LocalError when it cannot be opened, or another program that locks ports has it."""
    try:
        port = serial.Serial(path, baud, timeout=READ_S, write_timeout=5, exclusive=True)
    except (OSError, ValueError) as error:
        raise LocalError(f"cannot open the modem's port {path}: {error}; is ModemManager using it?") from None
    for line in ("rts", "dtr"):  # a pseudo-terminal has neither
        with contextlib.suppress(OSError):
            setattr(port, line, True)
    return port


def search(root: str = "/", opener: Callable[[str], Port] = open_port) -> list[Found]:
    """The command port of each modem on USB: by the table, else by asking. `root` is where /sys and /dev are."""
    found: dict[str, Found] = {}
    unknown: dict[str, list[Found]] = {}
    for candidate, interface in _candidates(Path(root)):
        number = command_interface(candidate.vendor or 0, candidate.product or 0)
        if number is None:
            unknown.setdefault(candidate.device, []).append(candidate)
        elif number == interface:
            found[candidate.device] = candidate
    for device, ports in unknown.items():
        answering = next((port for port in ports if _answers(port.path, opener)), None)
        if answering is not None:
            found[device] = answering
    return [found[device] for device in sorted(found)]


def _candidates(root: Path) -> Iterator[tuple[Found, int]]:
    """Each tty on USB with its interface number, in the order of the interfaces."""
    rows = []
    for tty in sorted((root / "sys/class/tty").glob("tty[UA][SC]*")):
        interface = (tty / "device").resolve()
        while interface != root and not (interface / "bInterfaceNumber").exists():
            interface = interface.parent
            if interface == interface.parent:
                break
        if (interface / "bInterfaceNumber").exists():
            usb = interface.parent
            facts = [_hex(path) for path in (usb / "idVendor", usb / "idProduct", interface / "bInterfaceNumber")]
            rows.append((Found(str(root / "dev" / tty.name), usb.name, facts[0], facts[1]), facts[2]))
    yield from sorted(rows, key=lambda row: (row[0].device, row[1]))


def _hex(path: Path) -> int:
    try:
        return int(path.read_text().strip(), 16)
    except (OSError, ValueError):
        return -1


def _answers(path: str, opener: Callable[[str], Port]) -> bool:
    try:
        port = opener(path)
    except (LocalError, OSError):
        return False
    try:
        Channel(port).synchronize()
        return True
    except PeerError:
        return False
    finally:
        close = getattr(port, "close", os.getpid)
        close()
