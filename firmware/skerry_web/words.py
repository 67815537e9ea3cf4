"""Times and amounts as people read them, and the jinja2 environment of a site that shows them so."""

from __future__ import annotations

from datetime import UTC, datetime

import jinja2
from markupsafe import Markup

from skerry_web import qr

_SLACK_MS = 5000  # "in 90 days", not 89, for what was set a moment ago
_UNITS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1000))
_BYTES = ("kB", "MB", "GB", "TB", "PB")


def ago(then: int | None, now: int) -> str:
    """ "3 minutes ago", "in 2 days"; "never" for None."""
    if then is None:
        return "never"
    distance = now - then if then <= now else then - now + _SLACK_MS
    for unit, size in _UNITS:
        count = distance // size
        if count:
            text = f"{count} {unit}{'s' if count > 1 else ''}"
            return f"{text} ago" if then <= now else f"in {text}"
    return "now"


def exact(then: int | None) -> str:
    """The time in UTC; "" where it cannot be shown."""
    if then is None:
        return ""
    try:
        return datetime.fromtimestamp(then / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return ""


def amount(number: int) -> str:
    """Bytes in at most three digits: `999 B`, `1.2 kB`, `34 MB`."""
    if number < 1000:
        return f"{number} B"
    value, unit = number / 1000, 0
    while value >= 999.5 and unit < len(_BYTES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_BYTES[unit]}" if value < 9.95 else f"{value:.0f} {_BYTES[unit]}"


def _when(then: int | None, now: int) -> Markup:
    """Relative, with the exact time on hover."""
    return Markup('<span title="{}">{}</span>').format(exact(then), ago(then, now))


def environment(package: str) -> jinja2.Environment:
    """Templates of a package, autoescaped; a name that is not given is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(when=_when, exact=exact, amount=amount, qr=qr.svg)
    return made
