"""HuJSON (JSON with // and /* */ comments and trailing commas) into Python values whose places are known.

Source: the JSON grammar of RFC 8259, plus comments and one comma before a closing bracket. A name that stands twice in one
object is an error: two rules under one name would hide each other. Nesting and size are bounded.

`parse` gives dicts, lists, str, int, float, bool, None, and the line and column where each of them began. Does not write HuJSON: the
policy's text is stored as its author wrote it.
"""

import json
import re
from bisect import bisect_right
from typing import Any

MAX_CHARS = 1 << 20
MAX_DEPTH = 32
_SPACE = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?(?![0-9.])")
_WORD = re.compile(r"[A-Za-z]+")
_CONSTANTS = {"true": True, "false": False, "null": None}
Place = tuple[str | int, ...]
Positions = dict[Place, tuple[int, int]]


class PolicyError(Exception):
    """A policy that cannot be used: one sentence, the stage ("syntax" | "policy" | "tests") and, where known, line and column (from 1)."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None, stage: str = "policy") -> None:
        super().__init__(message)
        self.message, self.line, self.column, self.stage = message, line, column, stage

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line else ""
        where += f", column {self.column}" if self.line and self.column else ""
        return f"{where}: {self.message}" if where else self.message


class Parser:
    """One pass over one text. `positions` maps a place such as ("acls", 0, "src") to the line and column where its value begins."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.starts = [0] + [match.end() for match in re.finditer("\n", text)]
        self.positions: Positions = {}

    def document(self) -> Any:
        value = self.value(())
        self.space()
        if self.at < len(self.text):
            raise self.error(f"unexpected {self.shown()} after the end of the policy")
        return value

    def value(self, place: Place) -> Any:
        if len(place) > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH}")
        self.space()
        self.positions[place] = self.position(self.at)
        start = self.text[self.at : self.at + 1]
        if start == "{":
            return self.object(place)
        if start == "[":
            return self.array(place)
        if start == '"':
            return self.string()
        return self.scalar()

    def object(self, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.at += 1
        while not self.closed("}"):
            if self.text[self.at : self.at + 1] != '"':
                raise self.error(f'expected a name in double quotes or "}}", found {self.shown()}')
            start = self.at
            name = self.string()
            if name in found:
                raise self.error(f'the name "{name}" stands twice in this object', start)
            self.space()
            self.expect(":", f'after the name "{name}"')
            found[name] = self.value((*place, name))
            self.comma("}")
        return found

    def array(self, place: Place) -> list[Any]:
        found: list[Any] = []
        self.at += 1
        while not self.closed("]"):
            found.append(self.value((*place, len(found))))
            self.comma("]")
        return found

    def closed(self, bracket: str) -> bool:
        self.space()
        if self.text[self.at : self.at + 1] == bracket:
            self.at += 1
            return True
        return False

    def comma(self, bracket: str) -> None:
        self.space()
        if self.text[self.at : self.at + 1] != bracket:
            self.expect(",", f'or "{bracket}"')

    def expect(self, mark: str, context: str) -> None:
        if self.text[self.at : self.at + 1] != mark:
            raise self.error(f'expected "{mark}" {context}, found {self.shown()}')
        self.at += 1

    def string(self) -> str:
        match = _STRING.match(self.text, self.at)
        if match is None:
            raise self.error("this string does not end on its line, or has an invalid escape in it")
        self.at = match.end()
        try:
            value = json.loads(match.group())
            value.encode()  # a lone surrogate is no text
        except ValueError:
            raise self.error("this string is not valid Unicode", match.start()) from None
        return str(value)

    def scalar(self) -> Any:
        match = _NUMBER.match(self.text, self.at)
        if match:
            self.at = match.end()
            return float(match.group()) if match.group(1) or match.group(2) else int(match.group())
        word = _WORD.match(self.text, self.at)
        if word is None or word.group() not in _CONSTANTS:
            raise self.error(f"expected a value, found {self.shown()}")
        self.at = word.end()
        return _CONSTANTS[word.group()]

    def space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        if match:
            self.at = match.end()
        if self.text.startswith("/*", self.at):
            raise self.error("this comment does not end")

    def shown(self) -> str:
        return f'"{self.text[self.at]}"' if self.at < len(self.text) else "the end of the text"

    def position(self, at: int) -> tuple[int, int]:
        line = bisect_right(self.starts, at)
        return line, at - self.starts[line - 1] + 1

    def error(self, message: str, at: int | None = None) -> PolicyError:
        line, column = self.position(self.at if at is None else at)
        return PolicyError(message, line, column, "syntax")


def parse(text: str) -> tuple[Any, Positions]:
    """The value of a HuJSON text and the position of each place in it. PolicyError with line and column."""
    if len(text) > MAX_CHARS:
        raise PolicyError(f"the policy has {len(text)} characters, at most {MAX_CHARS} are allowed", stage="syntax")
    parser = Parser(text)
    return parser.document(), parser.positions
