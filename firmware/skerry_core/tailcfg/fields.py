"""Checked reading of JSON documents that came from outside: each function reads one field, with its bounds.

An absent field and null give the default (or None). A wrong type or a value out of bounds is a PeerError that names the field and what
was expected. Control characters in text (a line feed excepted) become U+FFFD, so that a name can be printed on a terminal.
"""

import json

from skerry_core.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAX_INTEGER = (1 << 63) - 1
TEXT_LIMIT = 1024
LIST_LIMIT = 16384


def decode(data: bytes, what: str) -> "dict[str, Any]":
    """A JSON object. PeerError: not UTF-8, not JSON, nested too deep, or not an object; `what` names it in the message."""
    try:
        value = json.loads(data.decode())
    except (ValueError, RuntimeError):  # too deep is a RuntimeError
        value = None
    # MicroPython's parser forgives a missing last brace
    if not isinstance(value, dict) or data.rstrip()[-1:] != b"}":
        raise PeerError(f"{what} of {len(data)} bytes is not a JSON object")
    return value


def decode_apart(data: bytes, what: str, name: str) -> "dict[str, Any]":
    """As decode(), but the objects of the array `name`, where the document itself has one of objects alone, stay JSON, as bytes.

    A map of a thousand peers takes several times its size as objects; this way they need not all be there at a time.
    """
    pieces, rest = _cut_out(data, name.encode())
    document = decode(rest, what)
    if pieces and document.get(name, 0) is not None:  # it is there twice
        return decode(data, what)
    if pieces:
        document[name] = pieces
    return document


def _cut_out(data: bytes, name: bytes) -> "tuple[list[bytes], bytes]":
    """The objects of the array, and the document with null in its place; ([], data) where there is nothing of that kind."""
    depth = at = begin = last = 0
    array = -1  # where it begins
    named = False
    pieces: list[bytes] = []
    while True:
        quote = data.find(b'"', at)
        for i in range(at, quote if quote >= 0 else len(data)):  # what stands between two strings: mostly one character
            char = data[i]
            if char in b"[{":
                depth += 1
                if depth == 2 and named and char == 0x5B and data[at:i].strip() == b":":
                    array, last = i, i + 1
                elif depth == 3 and array >= 0:
                    if data[last:i].strip() != (b"," if pieces else b"") or char == 0x5B:
                        return [], data
                    begin = i
            elif char in b"]}":
                depth -= 1
                if depth == 2 and array >= 0:
                    last = i + 1
                    pieces.append(data[begin:last])
                elif depth == 1 and array >= 0:
                    return ([], data) if data[last:i].strip() or not pieces else (pieces, data[:array] + b"null" + data[i + 1 :])
        end = _string_end(data, quote)
        if quote < 0 or end < 0:
            return [], data
        named = depth == 1 and data[quote + 1 : end] == name
        at = end + 1


def _string_end(data: bytes, quote: int) -> int:
    """Where the string that begins there ends; -1: nowhere."""
    end = data.find(b'"', quote + 1)
    while end > 0 and data[end - 1] == 0x5C:
        first = end - 1
        while data[first - 1] == 0x5C:
            first -= 1
        if (end - first) % 2 == 0:  # the backslashes stand for themselves
            break
        end = data.find(b'"', end + 1)
    return end


def wrong(name: str, value: object, need: str) -> PeerError:
    """The error for a field; the value itself is not shown, it may be long or secret."""
    return PeerError(f"field {name} is a {type(value).__name__} that does not fit, need {need}")


def integer(document: "dict[str, Any]", name: str, default: int = 0, low: int = 0, high: int = MAX_INTEGER) -> int:
    """An integer of low..high."""
    value = document.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise wrong(name, value, f"an integer of {low}..{high}")
    return value


def text(document: "dict[str, Any]", name: str, limit: int = TEXT_LIMIT) -> str:
    """A string of at most `limit` characters; "" when absent."""
    value = document.get(name)
    return "" if value is None else checked_text(name, value, limit)


def checked_text(name: str, value: object, limit: int = TEXT_LIMIT) -> str:
    """`value` as text."""
    if not isinstance(value, str) or len(value) > limit:
        raise wrong(name, value, f"a text of at most {limit} characters")
    if all(32 <= ord(char) < 127 for char in value):
        return value
    return "".join([char if _printable(ord(char)) else "\ufffd" for char in value])


def _printable(code: int) -> bool:
    return code == 10 or 32 <= code < 127 or (code >= 160 and not 0xD800 <= code < 0xE000)


def flag(document: "dict[str, Any]", name: str) -> bool:
    """A boolean; False when absent."""
    return bool(optional_flag(document, name))


def optional_flag(document: "dict[str, Any]", name: str) -> "bool | None":
    """A boolean, or None when absent."""
    value = document.get(name)
    if value is not None and not isinstance(value, bool):
        raise wrong(name, value, "true or false")
    return value


def array(document: "dict[str, Any]", name: str, limit: int = LIST_LIMIT) -> "list[Any] | None":
    """A list of at most `limit` entries, or None when absent."""
    value = document.get(name)
    if value is not None and (not isinstance(value, list) or len(value) > limit):
        raise wrong(name, value, f"a list of at most {limit} entries")
    return value


def mapping(document: "dict[str, Any]", name: str, limit: int = LIST_LIMIT) -> "dict[str, Any] | None":
    """An object of at most `limit` entries, or None when absent."""
    value = document.get(name)
    if value is not None and (not isinstance(value, dict) or len(value) > limit):
        raise wrong(name, value, f"an object of at most {limit} entries")
    return value


def texts(document: "dict[str, Any]", name: str, limit: int = LIST_LIMIT) -> "list[str]":
    """A list of strings; [] when absent."""
    return [checked_text(name, value) for value in array(document, name, limit) or []]


def objects(document: "dict[str, Any]", name: str, limit: int = LIST_LIMIT) -> "list[dict[str, Any]]":
    """A list of objects; null entries are left out; [] when absent."""
    values = [value for value in array(document, name, limit) or [] if value is not None]
    for value in values:
        if not isinstance(value, dict):
            raise wrong(name, value, "an object")
    return values


def numbered(document: "dict[str, Any]", name: str, limit: int = LIST_LIMIT) -> "dict[int, Any]":
    """An object whose names are integers, by integer; {} when absent."""
    found = {}
    for key, value in (mapping(document, name, limit) or {}).items():
        digits = key[1:] if key[:1] == "-" else key
        if not 0 < len(digits) <= 18 or not all(digit in "0123456789" for digit in digits):
            raise wrong(name, key, "an object named by integers")
        found[int(key)] = value
    return found


def parsed(name: str, parse: "Callable[[Any], Any]", value: object) -> "Any":
    """parse(value), a PeerError getting the field's name in front."""
    try:
        return parse(value)
    except PeerError as error:
        raise PeerError(f"field {name}: {error}")
