"""Bugs planted on purpose. Each is a context manager; the scenario must raise Failure under every one of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from skerry_core.engine import paths
from skerry_core.tailcfg.netmap import NetworkMap
from skerry_core.wireguard import cookie


@contextmanager
def cookie_ignored() -> Iterator[None]:
    """A cookie reply is received and not used: under load nobody gets a session."""
    with mock.patch.object(cookie.CookieJar, "current", lambda *_: None):
        yield


@contextmanager
def timer_off_by_ten() -> Iterator[None]:
    """A path is trusted ten times as long as it may be: a dead one swallows traffic."""
    with mock.patch.object(paths, "TRUST", paths.TRUST * 10):
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


BUGS = {"cookie ignored": cookie_ignored, "a timer off by ten": timer_off_by_ten, "a delta lost": delta_lost}
