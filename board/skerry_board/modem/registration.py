"""+CREG, +CGREG, +CEREG, +C5GREG: is the modem on a network? (TS 27.007 7.2, 10.1.20, 10.1.22, 10.1.47)

    answer   <n>,<stat>[,"tac","ci"[,AcT[,cause_type,cause]]]     URC: the same without <n>

Which of the two a line is cannot be told by its length; here only answers to a question are read.
"""

from dataclasses import dataclass

from .lines import fields, is_quoted

STATES = {
    0: "idle", 1: "home", 2: "searching", 3: "denied", 4: "unknown", 5: "roaming", 6: "SMS only", 7: "SMS only, roaming",
    8: "emergency only", 9: "home", 10: "roaming", 11: "emergency only",
}  # fmt: skip
USABLE = (1, 5, 9, 10)
TECHNOLOGIES: dict[int | None, str] = {
    0: "GSM", 2: "UMTS", 3: "EDGE", 4: "HSPA", 5: "HSPA", 6: "HSPA", 7: "LTE", 8: "LTE-M", 9: "NB-IoT", 10: "LTE", 11: "5G", 12: "5G",
    13: "LTE and 5G",
}  # fmt: skip
COMMANDS = (("AT+CEREG?", "+CEREG:"), ("AT+C5GREG?", "+C5GREG:"), ("AT+CGREG?", "+CGREG:"))  # CREG alone says nothing of data


@dataclass(frozen=True, slots=True)
class Registration:
    """`status` in words; `cause` is the network's reason of a refusal (TS 24.301), None when it gave none."""

    status: str
    usable: bool
    technology: str | None = None
    area: str | None = None
    cell: str | None = None
    cause: int | None = None

    @property
    def roaming(self) -> bool:
        return "roaming" in self.status


def parse(text: str) -> Registration | None:
    """What follows the prefix; None when it is none of the known forms."""
    values = fields(text)
    if len(values) < 2 or is_quoted(text, 1):
        return None
    state = _number(values[1])
    if state is None or state not in STATES:
        return None
    rest = values[2:] + [""] * 5
    if len(values) == 6:  # some put the routing area between
        del rest[1]
    technology = TECHNOLOGIES.get(_number(rest[2]) if rest[2] else None)
    return Registration(STATES[state], state in USABLE, technology, rest[0] or None, rest[1] or None, _number(rest[4]))


def best(found: list[Registration]) -> Registration:
    """Of the answers for several kinds of network the one that carries data, else the first that says most."""
    order = {"denied": 1, "searching": 2}
    usable = [one for one in found if one.usable]
    return (usable or sorted(found, key=lambda one: order.get(one.status, 3)) or [Registration("unknown", False)])[0]


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None
