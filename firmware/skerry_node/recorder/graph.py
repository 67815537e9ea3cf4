"""The state of an engine as lines, and an engine made of them.

    ["obj", number, "module:Class", [[attribute, value], ...]]     object 0 is the engine

Each object of a class of skerry_core is a line, whoever refers to it says its number. Containers are written where they are met: none
that is changed in place has two owners. The tables of the engine are not state and are made anew. What the adapter gave (crypto,
randomness, decompression) is a name.

Reading makes no object but of classes of skerry_core, calls none of their constructors, and sets attributes that they have.
"""

import importlib
import json
import types

from skerry_core.errors import LocalError, PeerError

from . import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

STATELESS = ("_inputs", "_timed")
PACKAGE = "skerry_core."
MOST = 500_000  # objects


def lines(engine: "Any", given: "dict[int, str]") -> "Iterator[str]":
    """One line an object. `given`: id() of what the adapter gave -> its name. LocalError: something cannot be written."""
    numbers: dict[int, int] = {id(engine): 0}
    queue = [engine]
    own = {engine.machine_private, engine.node_private, engine.disco_private}

    def number(value: "Any") -> int:
        if id(value) not in numbers:
            numbers[id(value)] = len(numbers)
            queue.append(value)
        return numbers[id(value)]

    def reference(value: "Any") -> "Any":
        if id(value) in given:
            return {"x": given[id(value)]}
        if isinstance(value, types.MethodType):
            return {"m": [number(value.__self__), value.__func__.__name__]}
        if type(value).__module__.startswith(PACKAGE):
            return {"o": number(value)}
        if isinstance(value, type) and value.__module__.startswith(PACKAGE):
            return {"k": f"{value.__module__}:{value.__qualname__}"}
        raise LocalError(f"{value!r} cannot be recorded")

    at = 0
    while at < len(queue):
        value, queue[at] = queue[at], None  # numbers hold no reference; the engine does, and nothing runs meanwhile
        fields = [[name, _field(name, each, own, reference)] for name, each in _attributes(value) if name not in STATELESS]
        yield json.dumps(["obj", at, f"{type(value).__module__}:{type(value).__qualname__}", fields], separators=(",", ":"))
        at += 1


def _field(name: str, value: "Any", own: "set[bytes]", reference: "Any") -> "Any":
    if type(value) is bytes and value in own:
        return {"s": len(value)}
    if name == "document" and type(value) is dict:
        return {"j": value}  # as it came from the gateway
    return values.encode(value, reference)


def _attributes(value: "Any") -> "Iterator[tuple[str, Any]]":
    for name in _slots(type(value)):
        if hasattr(value, name):
            yield name, getattr(value, name)
    yield from getattr(value, "__dict__", {}).items()


def _slots(kind: type) -> "list[str]":
    found: list[str] = []
    for each in kind.__mro__:
        slots = each.__dict__.get("__slots__", ())
        found += [slots] if isinstance(slots, str) else slots
    return found


def restore(rows: "Iterable[Any]", given: "dict[str, Any]") -> "Any":
    """The engine. PeerError: the lines are none of an engine of this version."""
    made: list[tuple[Any, Any]] = []
    for row in rows:
        if not (isinstance(row, list) and len(row) == 4 and row[0] == "obj" and row[1] == len(made) < MOST and isinstance(row[3], list)):
            raise PeerError("the state in the recording is damaged: objects are not in order")
        kind = _class(row[2])
        made.append((kind.__new__(kind), row[3]))
    reader = _reader(made, given)
    for value, fields in made:
        for field in fields:
            _set(value, field, reader)
    engine = made[0][0] if made else None
    try:
        assert engine is not None and type(engine).__name__ == "Engine"
        engine._inputs, engine._timed = engine._input_table(), engine._timer_table()
    except Exception:  # whatever a made-up state brings about
        raise PeerError("the state in the recording is no engine's of this version") from None
    return engine


def _set(value: "Any", field: "Any", reader: "Any") -> None:
    try:
        name, content = field
        if name.startswith("__") or not isinstance(name, str):
            raise TypeError
        content = values.decode(content, reader)
        object.__setattr__(value, name, content)
    except (TypeError, ValueError, AttributeError):
        raise PeerError(f"the state in the recording is damaged: an attribute of {type(value).__name__}") from None


def _class(text: "Any") -> "Any":
    module, _, name = text.partition(":") if isinstance(text, str) else ("", "", "")
    if module.startswith(PACKAGE) and all(part.isidentifier() for part in module.split(".")):
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError:
            found = None
        if isinstance(found, type) and found.__module__ == module and not issubclass(found, BaseException):
            return found
    raise PeerError(f"the state in the recording has a class that this version has not: {str(text)[:100]!r}")


def _reader(made: "list[tuple[Any, Any]]", given: "dict[str, Any]") -> "Callable[[str, Any], Any]":
    def target(number: "Any") -> "Any":
        if type(number) is not int or not 0 <= number < len(made):
            raise ValueError
        return made[number][0]

    def read(kind: str, content: "Any") -> "Any":
        if kind == "o":
            return target(content)
        if kind == "m":
            function = next((each.__dict__[content[1]] for each in type(target(content[0])).__mro__ if content[1] in each.__dict__), None)
            if not isinstance(function, types.FunctionType) or content[1].startswith("__"):
                raise ValueError
            return types.MethodType(function, target(content[0]))
        if kind == "k":
            return _class(content)
        if kind == "x":
            return given[content]
        raise ValueError

    return read
