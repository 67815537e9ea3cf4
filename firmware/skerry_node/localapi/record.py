"""`skerry/record`: the flight recorder's file as it is now. Root's alone: it holds no key, but who talked to whom, when and where."""

import os

from .. import clock
from ..membership import VERSION
from .http import head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STARTED = clock.wall()


def answer(recorder: "Any") -> bytes:
    """The whole response."""
    from ..recorder import recording  # hashlib with it: only when somebody asks

    data = recording.pack(recorder, VERSION, running_code(), clock.wall(), clock.now())
    return head(200, "application/x-skerry-recording") + data


def running_code() -> str:
    """Digest of the code that runs; other files than those that were loaded say nothing about it."""
    from ..recorder import recording

    changed = max(os.stat(path).st_ctime_ns for _, path in recording.sources()) // 1_000_000
    return "replaced since skerryd started" if changed > STARTED else recording.code()
