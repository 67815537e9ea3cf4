"""Where makers differ, one row for each family. A new family is a new row and a test of its answers.

`pin_tries` gives the attempts left from the lines of its command; the standard way for all is a status word of the SIM itself.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from .lines import fields
from .signal import Signal, cpsi, qeng

Lines = list[str]


@dataclass(frozen=True, slots=True)
class Dialect:
    name: str
    models: re.Pattern[str]  # what AT+CGMM answers
    usb: tuple[tuple[int, int, int], ...]  # vendor, product, number of the USB interface that takes commands
    iccid: tuple[str, str]  # command, prefix
    pin_tries: tuple[str, str, Callable[[Lines], int | None]] | None
    signal: tuple[str, str, Callable[[Lines], Signal]] | None
    reset: str
    after_reset_s: float  # how long until the port is back, at most


def _quectel_tries(lines: Lines) -> int | None:
    for line in lines:
        values = fields(line)
        if values[0] == "SC" and len(values) > 1 and values[1].isdigit():
            return int(values[1])
    return None


def _simcom_tries(lines: Lines) -> int | None:
    first = fields(lines[0])[0] if lines else ""
    return int(first) if first.isdigit() else None


def _sim_status(lines: Lines) -> int | None:
    """The status word 63Cx of VERIFY without a PIN (ETSI TS 102 221 11.1.9): x attempts are left."""
    match = re.search(r"63C([0-9A-F])", lines[0].upper()) if lines else None
    return int(match[1], 16) if match else None


STANDARD_TRIES = ('AT+CSIM=10,"0020000100"', "+CSIM:", _sim_status)
SIMCOM = Dialect(
    "SIM7600", re.compile(r"(SIMCOM_)?SIM7[56]00|SIM8[0-9]{3}"),
    ((0x1E0E, 0x9001, 2), (0x1E0E, 0x9003, 2), (0x1E0E, 0x9011, 2), (0x1E0E, 0x9018, 2)),
    ("AT+CICCID", "+ICCID:"), ("AT+SPIC", "+SPIC:", _simcom_tries),
    ("AT+CPSI?", "+CPSI:", lambda lines: cpsi(lines[0]) if lines else Signal()), "AT+CRESET", 60.0,
)  # fmt: skip
QUECTEL = Dialect(
    "EC25", re.compile(r"E[CGM](0[56]|12|2[015]|91|95)|BG9[56]|RM5[0-9]{2}"),
    ((0x2C7C, 0x0125, 2), (0x2C7C, 0x0121, 2), (0x2C7C, 0x0191, 2), (0x2C7C, 0x0195, 2), (0x2C7C, 0x0800, 2), (0x2C7C, 0x0801, 2)),
    ("AT+QCCID", "+QCCID:"), ("AT+QPINC?", "+QPINC:", _quectel_tries), ('AT+QENG="servingcell"', "+QENG:", qeng), "AT+CFUN=1,1", 60.0,
)  # fmt: skip
GENERIC = Dialect("generic", re.compile(""), (), ("AT+CCID", "+CCID:"), None, None, "AT+CFUN=1,1", 90.0)
DIALECTS = (SIMCOM, QUECTEL, GENERIC)


def of_model(model: str) -> Dialect:
    return next(dialect for dialect in DIALECTS if dialect.models.match(model.strip().upper()))


def command_interface(vendor: int, product: int) -> int | None:
    """The USB interface of a known modem that takes commands; None for one that must be probed."""
    known = (row for dialect in DIALECTS for row in dialect.usb)
    return next((number for of, which, number in known if (of, which) == (vendor, product)), None)
