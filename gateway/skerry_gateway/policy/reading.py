"""Reading a parsed policy piece by piece, each refusal with its place, line and column."""

import json
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from .hujson import Place, PolicyError, Positions
from .targets import Names, Target, parse_target, parse_targets

_T = TypeVar("_T")
MAX_ENTRIES = 10_000


class Reader:
    """`names` are those that the policy has defined so far; whoever reads the definitions replaces them."""

    def __init__(self, positions: Positions) -> None:
        self.positions = positions
        self.names = Names()

    def entries(self, data: dict[str, Any], section: str) -> list[tuple[str, Any]]:
        """The names and values of a section that is an object."""
        value = data.get(section, {})
        if not isinstance(value, dict) or len(value) > MAX_ENTRIES:
            self.fail((section,), f"expected an object of at most {MAX_ENTRIES} names, found {shown(value)}")
        return list(value.items())

    def objects(self, data: dict[str, Any], section: str) -> list[tuple[Place, dict[str, Any]]]:
        """The places and objects of a section that is a list."""
        return [((section, i), item) for i, item in enumerate(self.list_of((section,), data.get(section, []), dict))]

    def only(self, place: Place, data: dict[str, Any], names: tuple[str, ...]) -> None:
        """Refuse any other name than these."""
        for name in data:
            if name not in names:
                self.fail((*place, name), f'"{name}" is not supported here: expected {", ".join(names)}')

    def texts(self, place: Place, data: dict[str, Any], name: str, needed: bool = True) -> list[tuple[Place, str]]:
        """The places and texts of a list of strings."""
        if name not in data and needed:
            self.fail(place, f'"{name}" is missing')
        return [((*place, name, i), text) for i, text in enumerate(self.list_of((*place, name), data.get(name, []), str))]

    def list_of(self, place: Place, value: Any, kind: type[_T]) -> list[_T]:
        if not isinstance(value, list) or len(value) > MAX_ENTRIES:
            self.fail(place, f"expected a list of at most {MAX_ENTRIES} entries, found {shown(value)}")
        for i, item in enumerate(value):
            if not isinstance(item, kind):
                self.fail((*place, i), f"expected {'a string' if kind is str else 'an object'}, found {shown(item)}")
        return list(value)

    def target(self, place: Place, text: str, kinds: tuple[str, ...] = (), words: str = "") -> Target:
        """One target, of one of these kinds (any without); `words` say what is expected."""
        found = self.at(place, parse_target, text, self.names)
        if kinds and found.kind not in kinds:
            self.fail(place, f'"{text}" cannot stand here: expected {words}')
        return found

    def targets(self, place: Place, text: str) -> tuple[Target, ...]:
        return self.at(place, parse_targets, text, self.names)

    def at(self, place: Place, function: Callable[..., _T], *arguments: Any) -> _T:
        try:
            return function(*arguments)
        except PolicyError as error:
            self.fail(place, error.message)

    def fail(self, place: Place, message: str, stage: str = "policy") -> NoReturn:
        line, column = self.position(place)
        raise PolicyError(f"{name_of(place)}: {message}" if place else message, line, column, stage)

    def position(self, place: Place) -> tuple[int, int]:
        """Where a place, or the nearest around it that is in the text, begins."""
        while place and place not in self.positions:
            place = place[:-1]
        return self.positions.get(place, (1, 1))


def name_of(place: Place) -> str:
    """("acls", 0, "src") as acls[0].src."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def shown(value: Any) -> str:
    """A value of the policy in a refusal, cut short."""
    words = json.dumps(value, ensure_ascii=False)
    return words if len(words) <= 60 else words[:57] + "..."
