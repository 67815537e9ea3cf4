"""The recorder in skerryd: it stands before the engine, looks like it, and notes what goes in, what comes out and what the world answered.

    ["i", now, input]   ["t", now] a timer   ["c", name, result] of crypto   ["x", name, text] crypto raised a PeerError with it
    ["r", n, bytes] random   ["a", digest] actions   ["e", digest] events   (8 bytes of BLAKE2s over their JSON)

There are two segments. The newer one is given up for a third when it is older than ten minutes and not nearly empty, or full; so ten
minutes are kept at least, on a quiet node days, and less only when more happened than fits: 1.4 MB in all. A segment begins with the
engine's state, the first of a process with what the engine was made of. A fault in here ends the recording, never the engine.
"""

import json

from skerry_core.errors import PeerError

from . import graph
from .segment import Segment, TooLarge
from .values import Secret, SecretText, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

AGE = 600_000  # ms a segment grows at least
QUIET = 64 << 10  # bytes of lines that need no new segment, however old
OPEN = ("x25519_public", "seal", "open", "xseal", "box_seal", "box_open", "blake2s", "ed25519_verify")  # results that are no secrets
SECRET = ("x25519", "box_key", "hkdf", "hmac", "xopen")
KEY = 32  # random bytes from this number on are a key
KEYS_OF_STATE = ("machine_key", "node_key", "disco_key")
DIGEST = 8


class Crypto:
    """Crypto whose results are noted; those that are secret come out as `Secret`."""

    def __init__(self, real: "Any", note: "Callable[[list[Any]], None]") -> None:
        self._real, self._note = real, note
        for name in OPEN + SECRET:
            setattr(self, name, self._wrapped(name, getattr(real, name)))

    def _wrapped(self, name: str, function: "Any") -> "Any":
        mark = marked if name in SECRET else _as_it_is

        def call(*arguments: "Any", **named: "Any") -> "Any":
            try:
                result = mark(function(*arguments, **named))
            except PeerError as error:
                self._note(["x", name, str(error)])
                raise
            self._note(["c", name, result])
            return result

        return call


def marked(result: "Any") -> "Any":
    """A result as a secret."""
    if result is None:
        return None
    return tuple([Secret(each) for each in result]) if isinstance(result, tuple) else Secret(result)


def _as_it_is(result: "Any") -> "Any":
    return result


class Recorder:
    """An engine that is recorded. What is not a verb goes to the engine itself."""

    def __init__(
        self, make: "Callable[..., Any]", config: "dict[str, Any]", crypto: "Any", random: "Callable[[int], bytes]", now: int,
        saved: "Any" = None, handed: "Any" = None,
    ) -> None:  # fmt: skip
        """`make`: the class Engine; the rest is its arguments."""
        self.problem = ""
        self._real, self._source = crypto, random
        self._live = True  # in a verb: what is only read brings no results that a replay would ask for
        self._older: Segment | None = None
        self._newer: Segment | None = None
        self._again = now
        self._texts: list[str] = []
        self._crypto = Crypto(crypto, self._note)
        self._random_of: Any = self._random  # one object: a bound method is another one each time
        config = {name: self._hidden(name, value) for name, value in config.items()}
        self._given = {id(self._crypto): "crypto", id(self._random_of): "random", id(config.get("decompress")): "decompress"}
        self._given.pop(id(None), None)
        self._guarded(lambda: self._begin_with(now, config, saved, handed))
        self.engine = make(config, self._crypto, self._random_of, now, saved, handed)
        self._live = False

    def __getattr__(self, name: str) -> "Any":
        if name == "engine":
            raise AttributeError(name)
        return getattr(self.engine, name)

    # the verbs

    def receive(self, item: "tuple[Any, ...]", now: int) -> None:
        """See Engine."""
        if item[:1] == ("command",) and len(item) > 3 and isinstance(item[3], dict):
            item = (*item[:3], {name: self._hidden(name, value) for name, value in item[3].items()}, *item[4:])
        self._verb(now, ["i", now, item], lambda: self.engine.receive(item, now))

    def handle_timer(self, now: int) -> None:
        """See Engine."""
        self._verb(now, ["t", now], lambda: self.engine.handle_timer(now))

    def actions(self) -> "list[tuple[Any, ...]]":
        """See Engine."""
        found: list[tuple[Any, ...]] = self.engine.actions()
        if found:
            self._told("a", found)
        return found

    def events(self) -> "list[tuple[Any, ...]]":
        """See Engine."""
        found: list[tuple[Any, ...]] = self.engine.events()
        if found:
            self._told("e", found)
        return found

    # reading

    @property
    def size(self) -> int:
        """Bytes of memory that the recording takes."""
        return sum(each.size for each in (self._older, self._newer) if each is not None)

    def segments(self) -> "list[Segment]":
        """The older one first; their lines follow each other."""
        return [each for each in (self._older, self._newer) if each is not None]

    # noting

    def _verb(self, now: int, row: "list[Any]", run: "Callable[[], None]") -> None:
        self._guarded(lambda: self._turn_over(now))
        self._live = True
        self._note(row)
        try:
            run()
        finally:
            self._live = False

    def _told(self, kind: str, found: "list[Any]") -> None:
        self._live = True
        self._guarded(lambda: self._note([kind, digest(self._real, found)]))
        self._live = False

    def _note(self, row: "list[Any]") -> None:
        if self._live and self._newer is not None:
            self._guarded(lambda: self._write(row))

    def _write(self, row: "list[Any]") -> None:
        assert self._newer is not None
        self._newer.add(self._line(row))

    def _line(self, row: "list[Any]") -> str:
        return self._clean(json.dumps(encode(row), separators=(",", ":")))

    def _clean(self, line: str) -> str:
        """A pre-auth key may stand in the middle of a request that waits; its length stays."""
        for text in self._texts:
            for form in (text, text.encode().hex()):
                if form in line:
                    line = line.replace(form, "2a" * (len(form) // 2) if form is not text else "*" * len(form))
        return line

    def _guarded(self, run: "Callable[[], None]") -> None:
        try:
            run()
        except Exception as error:  # it must not cost the node anything
            self._older = self._newer = None
            self._again = 1 << 62
            self.problem = f"the recorder ended by a fault of its own: {type(error).__name__}: {self._clean(str(error))[:200]}"

    def _random(self, count: int) -> bytes:
        data = self._source(count)
        if count >= KEY:
            data = Secret(data)
        self._note(["r", count, data])
        return data

    def _hidden(self, name: str, value: "Any") -> "Any":
        if name not in ("key", "auth_key") or not isinstance(value, str) or not value:
            return value
        if value not in self._texts:
            self._texts = [*self._texts[-7:], str(value)]
        return SecretText(value)

    # segments

    def _begin_with(self, now: int, config: "dict[str, Any]", saved: "Any", handed: "Any") -> None:
        plain = {name: True if name == "decompress" else value for name, value in config.items()}
        kept = None if saved is None else {**saved, **{name: SecretText(saved.get(name) or "") for name in KEYS_OF_STATE}}
        try:
            self._newer = Segment(now, [self._line(["start", now, plain, kept, handed])])
        except TooLarge:
            self._again = now  # with the state instead, which is smaller than its text

    def _turn_over(self, now: int) -> None:
        segment = self._newer
        if segment is None:
            if now < self._again:
                return
        elif not segment.full and (now - segment.since < AGE or segment.raw < QUIET):
            return
        try:
            fresh = Segment(now, (self._clean(row) for row in graph.lines(self.engine, self._given)))
        except TooLarge as error:
            self._older, self._newer, self._again = None, None, now + AGE
            self.problem = f"the engine's state does not fit the recorder's memory (more than {error} bytes)"
            return
        if segment is not None:
            segment.press()
        self._older, self._newer, self.problem = segment, fresh, ""


def digest(crypto: "Any", found: "list[Any]") -> str:
    """What stands for actions or events in a recording."""
    text = json.dumps(encode(found), separators=(",", ":"))
    shown: str = crypto.blake2s(text.encode())[:DIGEST].hex()
    return shown
