"""Bugs planted on purpose. Each is a context manager; the scenario must raise Failure under every one of them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from skerry_core.engine import doubt, paths
from skerry_core.engine.sessions import Sessions
from skerry_core.tailcfg.netmap import NetworkMap
from skerry_core.wireguard import cookie
from skerry_core.wireguard.replay import ReplayWindow
from skerry_gateway.relay import Relay


@contextmanager
def cookie_ignored() -> Iterator[None]:
    """A cookie reply is received and not used: under load nobody gets a session."""
    with mock.patch.object(cookie.CookieJar, "current", lambda *_: None):
        yield


@contextmanager
def timer_off_by_ten() -> Iterator[None]:
    """What tells that a path is dead comes ten times as late: its trust, and the doubts that come before the end of it."""
    with ExitStack() as plants:
        plants.enter_context(mock.patch.object(paths, "TRUST", paths.TRUST * 10))
        for name in ("FIRST", "LAST", "QUIET"):
            plants.enter_context(mock.patch.object(doubt, name, getattr(doubt, name) * 10))
        yield


@contextmanager
def delta_lost() -> Iterator[None]:
    """Every third message of the map stream that is not the first is dropped unseen."""
    original = NetworkMap.apply
    seen: dict[int, int] = {}

    def apply(self: NetworkMap, response: dict[str, Any], *more: Any) -> Any:
        seen[id(self)] = seen.get(id(self), 0) + 1
        if "Node" not in response and "Peers" not in response and seen[id(self)] % 3 == 0:
            return set()
        return original(self, response, *more)

    with mock.patch.object(NetworkMap, "apply", apply):
        yield


@contextmanager
def relay_keeps_the_withdrawn() -> Iterator[None]:
    """The relay is not told that a key lost access, or does not care."""
    with mock.patch.object(Relay, "withdraw", lambda *_: 0):
        yield


@contextmanager
def session_without_end() -> Iterator[None]:
    """A session's timer of 180 s does nothing."""
    with mock.patch.object(Sessions, "expired", lambda *_: None):
        yield


@contextmanager
def replays_taken() -> Iterator[None]:
    """The replay window lets every counter pass."""
    with mock.patch.object(ReplayWindow, "fresh", lambda *_: True):
        yield


BUGS = {
    "cookie ignored": cookie_ignored, "a timer off by ten": timer_off_by_ten, "a delta lost": delta_lost,
    "the relay keeps the withdrawn": relay_keeps_the_withdrawn, "a session without end": session_without_end,
    "replays taken": replays_taken,
}  # fmt: skip
