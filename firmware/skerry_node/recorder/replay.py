"""A recording played again: the engine is made from the state in the file and fed with what it was fed; the digests of its decisions
must be those in the file. Crypto and randomness are the results in the file, in their order; none is computed.

`exact`: the first difference ends it and is told. Not exact, for a recording of other code: results that are not asked for are passed
over, those that are missing are made up, and what counts is that the engine takes it all without a fault.
"""

from skerry_core.errors import LocalError, PeerError

from . import graph
from .recorder import KEYS_OF_STATE, OPEN, SECRET, digest
from .values import decode, secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .recording import Recording

PLACE = {"machine_key": b"m", "node_key": b"n", "disco_key": b"d"}


class Difference(BaseException):
    """The engine asks for something else than it did: not an Exception, which the engine would take for a fault of a peer."""


class Step:
    """One verb: `at` ms, `item` (None for a timer), and what was decided."""

    def __init__(self, at: int, item: "tuple[Any, ...] | None") -> None:
        self.at, self.item = at, item
        self.actions: list[tuple[Any, ...]] = []
        self.events: list[tuple[Any, ...]] = []


class Hash:
    """The one function that a replay computes: of no secret."""

    @staticmethod
    def blake2s(data: bytes) -> bytes:
        """As skerry_shim.crypto."""
        import hashlib

        return hashlib.blake2s(data).digest()


class Replay:
    """`steps()` plays. `engine` is what it has become. PeerError: the file is of no use, or (`exact`) decisions differ."""

    def __init__(self, recording: "Recording", exact: bool = True) -> None:
        self._rows, self._at, self._exact = recording.entries, 0, exact
        self.differences: list[str] = []
        self.crypto = _Crypto(self._result)
        self._made_up = 0
        self.engine: Any = None
        if not recording.state:
            raise PeerError(f"the recording is empty: {recording.header['problem'] or 'nothing was recorded yet'}")
        self._state = recording.state

    def steps(self) -> "Iterator[Step]":
        """Each verb, when it was carried out."""
        try:
            yield self._start()
            while self._at < len(self._rows):
                yield self._step()
        except Difference as error:
            raise PeerError(f"the replay differs from the recording in row {self._at}: {error}") from None

    def _start(self) -> Step:
        row = self._state[0]
        first = Step(0, None)
        if row[0] == "obj":
            given = {"crypto": self.crypto, "random": self._random, "decompress": _decompress}
            self.engine = graph.restore(self._state, given)
            first.at = self.engine.now
            return first
        self._guarded(lambda: self._make(first, row))
        self._outcome(first)
        return first

    def _make(self, first: Step, row: "Any") -> None:
        from skerry_core.engine import Engine

        _, now, config, saved, handed = decode(row)
        first.at = now
        if saved is not None:
            saved = {**saved, **{name: (PLACE[name] * 32).hex() for name in KEYS_OF_STATE}}
        if config.get("decompress"):
            config["decompress"] = _decompress
        self.engine = Engine(config, self.crypto, self._random, now, saved, handed)

    def _step(self) -> Step:
        row = decode(self._rows[self._at])
        self._at += 1
        kind = row[0]
        if kind == "i" and len(row) == 3 and type(row[1]) is int and isinstance(row[2], tuple):
            step = Step(row[1], row[2])
            self._guarded(lambda: self.engine.receive(row[2], row[1]))
        elif kind == "t" and len(row) == 2 and type(row[1]) is int:
            step = Step(row[1], None)
            self._guarded(lambda: self.engine.handle_timer(row[1]))
        elif not self._exact and kind in ("c", "x", "r"):
            return self._step() if self._at < len(self._rows) else Step(self.engine.now, None)
        elif kind in ("a", "e"):  # the engine decided more than once in one step
            step, self._at = Step(self.engine.now, None), self._at - 1
        else:
            raise Difference(f"a row {str(kind)[:20]!r} where an input or a timer is due")
        self._outcome(step)
        return step

    def _outcome(self, step: Step) -> None:
        while self._at < len(self._rows):
            kind = self._rows[self._at][0]
            if kind in ("c", "x", "r") and not self._exact:
                self._at += 1
                continue
            if kind not in ("a", "e"):
                return
            told = self._rows[self._at][1:]
            self._at += 1
            found = self.engine.actions() if kind == "a" else self.engine.events()
            (step.actions if kind == "a" else step.events).extend(found)
            if [digest(Hash, found)] != told:
                self._differs(f"other {'actions' if kind == 'a' else 'events'} at {step.at} ms")

    def _differs(self, text: str) -> None:
        if self._exact:
            raise Difference(text)
        self.differences.append(text)

    def _guarded(self, run: "Callable[[], None]") -> None:
        try:
            run()
        except LocalError:
            pass  # a command or an input that was refused is refused again
        except Exception as error:  # a made-up state can bring about anything
            raise PeerError(f"the recording cannot be replayed: {type(error).__name__} in row {self._at}") from None

    # what the world answered

    def _random(self, count: int) -> bytes:
        found = self._result("r", count)
        if not isinstance(found, bytes) or len(found) != count:
            raise Difference(f"random bytes: not {count}")
        return found

    def _result(self, kind: str, name: "Any") -> "Any":
        at = self._at
        while at < len(self._rows):
            row = self._rows[at]
            fits = len(row) == 3 and row[1] == name and row[0] in (kind, "x" if kind == "c" else kind)
            if fits:
                self._at = at + 1
                if row[0] == "x":
                    raise PeerError(str(row[2]))
                return decode(row[2])
            if self._exact or row[0] in ("i", "t"):
                break
            at += 1
        if self._exact:
            raise Difference(f"{name} is asked for, the recording has {str(self._rows[at][:2])[:60] if at < len(self._rows) else 'ended'}")
        return self._invented(kind, name)

    def _invented(self, kind: str, name: "Any") -> "Any":
        self._made_up += 1
        if kind == "r":
            return (self._made_up % 0xFFFFFF).to_bytes(3, "big").rjust(name, b"\1")[-name:]
        if name == "hkdf":
            return (secret(32), secret(32), secret(32))
        return {"seal": bytes(64), "xseal": bytes(64), "box_seal": bytes(64), "ed25519_verify": False}.get(
            name, None if "open" in name else secret(32)
        )


class _Crypto:
    """The interface of ARCHITECTURE.md, answered from the file."""

    def __init__(self, result: "Callable[[str, str], Any]") -> None:
        for name in OPEN + SECRET:
            setattr(self, name, self._answer(name, result))

    @staticmethod
    def _answer(name: str, result: "Callable[[str, str], Any]") -> "Any":
        def call(*arguments: "Any", **_named: "Any") -> "Any":
            found = result("c", name)
            if name == "hkdf" and isinstance(found, tuple):
                return found[: arguments[2]]
            return found[: arguments[2]] if name == "blake2s" and len(arguments) > 2 and isinstance(found, bytes) else found

        return call


def _decompress(data: bytes, limit: int) -> bytes:
    from ..zstd import decompress

    return decompress(data, limit)
