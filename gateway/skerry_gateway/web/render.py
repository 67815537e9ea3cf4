"""The pages' templates (in the package, autoescaped) and how times and states are said in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jinja2
from markupsafe import Markup

_SLACK_MS = 5000  # "in 90 days", not 89, for what was set a moment ago
_UNITS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1000))


def render(name: str, values: dict[str, Any]) -> str:
    return _environment.get_template(name).render(values)


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


def _when(then: int | None, now: int) -> Markup:
    """Relative, with the exact time on hover."""
    return Markup('<span title="{}">{}</span>').format(exact(then), ago(then, now))


_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("skerry_gateway.web"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["when"] = _when
_environment.filters["exact"] = exact
_environment.filters["key_class"] = lambda state: "online" if state == "valid" else "offline"
