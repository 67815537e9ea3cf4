"""How well the modem hears the network, in dBm and dB, from the several ways modems say it. What is out of range is None, never a number.

    +CSQ      rssi = 2n - 113 dBm, 99 unknown (TS 27.007 8.5)
    +CESQ     rsrq = n/2 - 20 dB, rsrp = n - 141 dBm, 255 unknown (8.69)
    +CPSI     SIMCom: ...,rsrq,rsrp,rssi,snr in tenths when negative
    +QENG     Quectel: "servingcell", LTE and NR5G-SA in one line, EN-DC in three
"""

from dataclasses import dataclass, replace

from .lines import fields

_RANGES = {"rssi": (-120, -25), "rsrp": (-140, -44), "rsrq": (-20, -3), "sinr": (-23, 40)}


@dataclass(frozen=True, slots=True)
class Signal:
    technology: str | None = None
    rssi: float | None = None  # dBm
    rsrp: float | None = None  # dBm
    rsrq: float | None = None  # dB
    sinr: float | None = None  # dB
    band: str | None = None

    def merged(self, other: "Signal") -> "Signal":
        """What is not known here, from the other."""
        names = ("technology", "rssi", "rsrp", "rsrq", "sinr", "band")
        return replace(self, **{name: getattr(other, name) for name in names if getattr(self, name) is None})

    @property
    def bars(self) -> int | None:
        """0 to 4, by RSRP where it is known, else by RSSI."""
        steps, value = ((-115, -105, -95, -85), self.rsrp) if self.rsrp is not None else ((-105, -95, -85, -75), self.rssi)
        return None if value is None else sum(value >= step for step in steps)


def csq(text: str) -> Signal:
    value = _number(fields(text)[0])
    return Signal(rssi=_ranged("rssi", None if value is None or value == 99 else 2 * value - 113))


def cesq(text: str) -> Signal:
    values = [*map(_number, fields(text)), None, None, None, None, None, None]
    rsrq = None if values[4] in (None, 255) else (values[4] or 0) / 2 - 20
    rsrp = None if values[5] in (None, 255) else (values[5] or 0) - 141
    return Signal(rsrq=_ranged("rsrq", rsrq), rsrp=_ranged("rsrp", rsrp))


def cpsi(text: str) -> Signal:
    """SIMCom's line. The four last values are in tenths on SIM7600 and indices of +CESQ on others; the sign tells."""
    values = fields(text)
    if len(values) < 14 or values[0] != "LTE":
        return Signal(technology=None if values[0] == "NO SERVICE" else values[0][:20])
    rsrq, rsrp, rssi, snr = (_number(value) for value in values[10:14])
    if rsrp is not None and rsrp >= 0:
        return cesq(f"99,99,255,255,{values[10]},{values[11]}").merged(Signal("LTE", band=values[6][:20]))
    heard = {"rssi": _tenth(rssi), "rsrp": _tenth(rsrp), "rsrq": _tenth(rsrq), "sinr": snr}
    return Signal("LTE", band=values[6][:20], **{name: _ranged(name, value) for name, value in heard.items()})


def qeng(lines: list[str]) -> Signal:
    """Quectel's lines; of LTE with 5G beside it (EN-DC) the LTE part, named as both."""
    found = Signal()
    for line in lines:
        values = fields(line)
        if values[:1] == ["servingcell"]:
            values = values[2:]
        if not values:
            continue
        if values[0] == "LTE" and len(values) > 14:
            found = Signal("LTE", *_at(values, 13, 11, 12, 14), f"B{values[7]}").merged(found)
        elif values[0] == "NR5G-SA" and len(values) > 12:
            found = Signal("5G", *_at(values, None, 10, 11, 12), f"n{values[8]}").merged(found)
        elif values[0] == "NR5G-NSA":
            found = replace(found, technology="LTE and 5G")
    return found


def _at(values: list[str], *places: int | None) -> tuple[float | None, float | None, float | None, float | None]:
    """rssi, rsrp, rsrq, sinr from these places."""
    numbers = [None if at is None else _number(values[at]) for at in places]
    rssi, rsrp, rsrq, sinr = (_ranged(name, number) for name, number in zip(("rssi", "rsrp", "rsrq", "sinr"), numbers, strict=True))
    return rssi, rsrp, rsrq, sinr


def _tenth(value: float | None) -> float | None:
    return None if value is None else value / 10


def _ranged(name: str, value: float | None) -> float | None:
    low, high = _RANGES[name]
    return value if value is not None and low <= value <= high else None


def _number(text: str) -> int | None:
    digits = text.strip().removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 7 else None
