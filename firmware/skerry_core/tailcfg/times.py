"""RFC 3339 times as int milliseconds since 1970 and back; `0001-01-01T00:00:00Z`, Go's zero time, is None ("never", "unknown").

YYYY-MM-DDThh:mm:ss[.fraction](Z | +hh:mm | -hh:mm)       years 0001..9999; fractions below a millisecond are cut off
"""

from skerry_core.errors import PeerError

ZERO = "0001-01-01T00:00:00Z"
_DAYS_TO_1970 = 719162
_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _month_days(year: int, month: int) -> int:
    return 29 if month == 2 and _leap(year) else _LENGTHS[month - 1]


def _year_start(year: int) -> int:
    before = year - 1
    return before * 365 + before // 4 - before // 100 + before // 400 - _DAYS_TO_1970


def _number(text: str, start: int, end: int, low: int, high: int) -> int:
    digits = text[start:end]
    if len(digits) != end - start or not all(digit in "0123456789" for digit in digits) or not low <= int(digits) <= high:
        raise PeerError(_bad(text))
    return int(digits)


def _bad(text: str) -> str:
    return f"time of {len(text)} characters is not RFC 3339 such as 2026-01-31T12:00:00Z"


def parse(text: object) -> "int | None":
    """Milliseconds since 1970 (negative before), None for the zero time. PeerError: not a time."""
    if not isinstance(text, str) or not 20 <= len(text) <= 40:
        raise PeerError("a time is not a text of 20..40 characters")
    if text == ZERO:
        return None
    if text[4] + text[7] + text[13] + text[16] != "--::" or text[10] not in "Tt":
        raise PeerError(_bad(text))
    year, month = _number(text, 0, 4, 1, 9999), _number(text, 5, 7, 1, 12)
    day = _number(text, 8, 10, 1, _month_days(year, month))
    seconds = _number(text, 11, 13, 0, 23) * 3600 + _number(text, 14, 16, 0, 59) * 60 + _number(text, 17, 19, 0, 60)
    days = _year_start(year) + sum([_month_days(year, each) for each in range(1, month)]) + day - 1
    millis, at = _fraction(text)
    return (days * 86400 + seconds - _offset(text, at)) * 1000 + millis


def _fraction(text: str) -> tuple[int, int]:
    if text[19] != ".":
        return 0, 19
    at = 20
    while at < len(text) and text[at] in "0123456789":
        at += 1
    if at == 20:
        raise PeerError(_bad(text))
    return int((text[20:at] + "00")[:3]), at


def _offset(text: str, at: int) -> int:
    zone = text[at:]
    if zone in ("Z", "z"):
        return 0
    if len(zone) != 6 or zone[0] not in "+-" or zone[3] != ":":
        raise PeerError(_bad(text))
    seconds = _number(text, at + 1, at + 3, 0, 23) * 3600 + _number(text, at + 4, at + 6, 0, 59) * 60
    return -seconds if zone[0] == "-" else seconds


def format(millis: "int | None") -> str:
    """The time in UTC, with milliseconds when there are any; the zero time for None."""
    if millis is None:
        return ZERO
    seconds, rest = millis // 1000, millis % 1000
    days, clock = seconds // 86400, seconds % 86400
    year = 1970 + days // 366 if days >= 0 else 1970 + days // 365 - 1
    while _year_start(year + 1) <= days:
        year += 1
    day, month = days - _year_start(year), 1
    while day >= _month_days(year, month):
        day -= _month_days(year, month)
        month += 1
    tail = f".{rest:03d}Z" if rest else "Z"
    return f"{year:04d}-{month:02d}-{day + 1:02d}T{clock // 3600:02d}:{clock // 60 % 60:02d}:{clock % 60:02d}{tail}"
