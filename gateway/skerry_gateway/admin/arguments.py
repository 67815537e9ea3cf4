"""Arguments of verbs: checked for name and type before anything is done, since they come from sockets and forms as well.

A duration is a number and a unit: 45s, 30m, 12h, 90d, 2w, 1y.
"""

import re
from typing import Any

from skerry_gateway.control import AdminError

_UNITS = {"s": 1000, "m": 60_000, "h": 3600_000, "d": 86400_000, "w": 7 * 86400_000, "y": 365 * 86400_000}
MAX_DURATION_MS = 100 * _UNITS["y"]
_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "text": (str, "a text"),
    "flag": (bool, "true or false"),
    "number": (int, "a number"),
    "node": ((str, int), "a node's name or id"),
    "texts": (list, "a list of texts"),
}
MAX_TEXT = 1 << 20


def check(verb: str, arguments: Any, spec: dict[str, str]) -> dict[str, Any]:
    """The arguments with None for those absent. `spec` maps names to kinds; a kind that ends in "?" may be absent."""
    if not isinstance(arguments, dict):
        raise AdminError(f"{verb}: the arguments are not an object")
    unknown = [str(name)[:40] for name in arguments if name not in spec]
    if unknown:
        raise AdminError(f'{verb}: "{unknown[0]}" is no argument; there are {", ".join(spec) or "none"}')
    return {name: _checked(verb, name, arguments.get(name), kind) for name, kind in spec.items()}


def _checked(verb: str, name: str, value: Any, kind: str) -> Any:
    if value is None:
        if kind.endswith("?"):
            return None
        raise AdminError(f'{verb}: "{name}" is missing')
    types, words = _KINDS[kind.rstrip("?")]
    fits = isinstance(value, types) and (isinstance(value, bool) is (types is bool))
    if types is list:
        fits = fits and all(isinstance(item, str) for item in value)
    if not fits or (isinstance(value, str) and len(value) > MAX_TEXT):
        raise AdminError(f'{verb}: "{name}" is {words}')
    return value


def duration(text: str, least_ms: int = 1000) -> int:
    """Milliseconds of a duration."""
    match = re.fullmatch(r"([0-9]{1,9})([smhdwy])", text.strip())
    if match is None:
        raise AdminError(f'"{text}" is no duration: write a number and a unit, such as 45s, 30m, 12h, 90d, 2w or 1y')
    found = int(match[1]) * _UNITS[match[2]]
    if not least_ms <= found <= MAX_DURATION_MS:
        raise AdminError(f'"{text}" is out of range: from {least_ms // 1000}s to 100y')
    return found
