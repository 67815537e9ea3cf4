"""Values as JSON. What JSON has not is an object with one name:

    {"b": hex} bytes   {"B": hex} bytearray   {"s": n} a secret of n bytes   {"S": n} a secret text   {"t": [...]} tuple
    {"e": [...]} set   {"d": {...}} dict of texts   {"p": [[k, v], ...]} any other dict   {"j": ...} JSON as it is
    {"o": n} object n of the graph   {"m": [n, name]} its method   {"k": "module:Class"} a class
    {"x": name} what the adapter gave: crypto, random, decompress

A secret is known by its type: whoever makes one makes a `Secret` or a `SecretText`. In a replay it is a stand-in of its length.
"""

from skerry_core.errors import LocalError, PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

DEPTH = 60
STAND_IN = 0x2A
MOST_SECRET = 4096  # bytes of one


class Secret(bytes):
    """Bytes that are never written."""

    def __repr__(self) -> str:
        return "[redacted]"


class SecretText(str):
    """Text that is never written."""

    def __repr__(self) -> str:
        return "[redacted]"


def secret(length: int) -> Secret:
    """The stand-in."""
    return Secret(bytes((STAND_IN,)) * length)


def encode(value: "Any", reference: "Callable[[Any], Any] | None" = None) -> "Any":
    """Something json.dumps() takes. `reference(value)` writes what is none of the kinds above; LocalError without one."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    simple = _SIMPLE.get(kind)
    if simple is not None:
        return simple(value)
    if kind is list:
        return [encode(each, reference) for each in value]
    if kind is tuple:
        return {"t": [encode(each, reference) for each in value]}
    if kind is dict:
        if all(type(name) is str for name in value):
            return {"d": {name: encode(each, reference) for name, each in value.items()}}
        return {"p": [[encode(name, reference), encode(each, reference)] for name, each in value.items()]}
    if kind is set:
        return {"e": [encode(each, reference) for each in value]}
    if reference is None:
        raise LocalError(f"a {kind.__name__} cannot be recorded")
    return reference(value)


_SIMPLE: "dict[type, Callable[[Any], Any]]" = {
    bytes: lambda value: {"b": value.hex()},
    bytearray: lambda value: {"B": value.hex()},
    Secret: lambda value: {"s": len(value)},
    SecretText: lambda value: {"S": len(value)},
}


def decode(value: "Any", reference: "Callable[[str, Any], Any] | None" = None, depth: int = 0) -> "Any":
    """The value again. PeerError: it is none. `reference(kind, content)` reads o, m, k and x."""
    if isinstance(value, list):
        return [decode(each, reference, depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1 or depth > DEPTH:
        raise PeerError(f"a value of {len(value)} kinds, {depth} deep: need one, at most {DEPTH}")
    ((kind, content),) = value.items()
    reader = _READERS.get(kind)
    try:
        if reader is not None:
            return reader(content, reference, depth + 1)
        if reference is not None:
            return reference(kind, content)
    except (TypeError, ValueError, AttributeError, KeyError):
        pass
    raise PeerError(f"a value of kind {str(kind)[:20]!r} that cannot be read")


def _length(content: "Any") -> int:
    if type(content) is not int or not 0 <= content <= MOST_SECRET:
        raise ValueError
    return content


def _pairs(content: "Any", reference: "Any", depth: int) -> "dict[Any, Any]":
    return {decode(name, reference, depth): decode(each, reference, depth) for name, each in content}


_READERS: "dict[str, Callable[[Any, Any, int], Any]]" = {
    "b": lambda content, _reference, _depth: bytes.fromhex(content),
    "B": lambda content, _reference, _depth: bytearray.fromhex(content),
    "s": lambda content, _reference, _depth: secret(_length(content)),
    "S": lambda content, _reference, _depth: SecretText("*" * _length(content)),
    "t": lambda content, reference, depth: tuple(decode(each, reference, depth) for each in content),
    "e": lambda content, reference, depth: {decode(each, reference, depth) for each in content},
    "d": lambda content, reference, depth: {name: decode(each, reference, depth) for name, each in content.items()},
    "p": _pairs,
    "j": lambda content, _reference, _depth: content,
}
