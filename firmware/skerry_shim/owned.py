"""What Python owns in C: it lives until close(), and its threads end before the interpreter does, as libcrypto is torn down then."""

from __future__ import annotations

import atexit
import os

from skerry_core.errors import LocalError

from ._shim import ffi as _ffi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BUFFER = 72 * 1024

_started: set[Owned] = set()


@atexit.register
def _stop_all() -> None:
    for owned in list(_started):
        owned.stop()


class Owned:
    """`name` begins its sentences. LocalError for what cannot be carried out, and for every use after close()."""

    def __init__(self, name: str, handle: Any, free: Any, stop: Callable[[Any], None]) -> None:
        """`handle`: as C made it, NULL when it could not. `free` and `stop` are C's."""
        if handle == _ffi.NULL:
            raise LocalError(f"{name}: no memory or no file descriptors left")
        self._name, self._stop = name, stop
        self._handle = _ffi.gc(handle, free)
        self._buffer = bytearray(_BUFFER)

    def close(self) -> None:
        """Stop the threads, wipe the keys and close every descriptor; the object is of no use afterwards."""
        self.stop()
        if self._handle is not None:
            _ffi.release(self._handle)
            self._handle = None

    def stop(self) -> None:
        """Stop the threads; descriptors and all state stay."""
        if self._handle is not None:
            self._stop(self._handle)
        _started.discard(self)

    def _begun(self, result: int, threads: str) -> None:
        """The answer to starting them: from here on they keep this object alive until stop() or close()."""
        if result < 0:
            raise LocalError(f"{self._name}: cannot start its {threads}: {os.strerror(-result)}")
        _started.add(self)

    def _live(self) -> Any:
        if self._handle is None:
            raise LocalError(f"{self._name}: used after close()")
        return self._handle

    def _take(self, function: Any) -> bytes:
        """Records of one call; a record larger than the buffer gets a larger one for this time."""
        done = int(function(self._live(), _ffi.from_buffer(self._buffer), len(self._buffer)))
        if done >= 0:
            return bytes(self._buffer[:done])
        larger = bytearray(-done)
        done = int(function(self._live(), _ffi.from_buffer(larger), len(larger)))
        return bytes(larger[: max(done, 0)])

    def _counted(self, read: Any, name: Any) -> dict[str, int]:
        """All counters by name; a reason drop_<reason> that never occurred is left out."""
        out = _ffi.new("uint64_t[64]")
        count = read(self._live(), out, 64)
        named = {_ffi.string(name(i)).decode(): int(out[i]) for i in range(count)}
        return {each: value for each, value in named.items() if value or not each.startswith("drop_")}
