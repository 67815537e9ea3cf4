"""Admission of handshake messages: MAC1 always, a cookie (MAC2) above 100 a second and in the second after.

It opens nothing and knows no peers.
"""

from skerry_core.wireguard import cookie

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PER_SECOND = 100


class Guard:
    """For one identity: its MAC1 key, its cookies, and the rate of all peers together."""

    def __init__(self, crypto: "Any", random: "Callable[[int], bytes]", public: bytes) -> None:
        self._crypto = crypto
        self._key = cookie.mac1_key(crypto, public)
        self._cookies = cookie.CookieChecker(crypto, random, public)
        self._since = 0
        self._count = 0
        self._was_loaded = False

    def admit(self, path: "tuple[Any, ...]", data: bytes, now: int) -> "tuple[str, bytes]":
        """("", b"") to hand `data` (an initiation or response) up; else the reason of the drop and the reply to send, if any."""
        if not cookie.check_mac1(self._crypto, self._key, data):
            return "mac1", b""
        if not self._under_load(now):
            return "", b""
        source = _source(path)
        if self._cookies.valid_mac2(data, source, now):
            return "", b""
        return "cookie", self._cookies.reply(data, source, now)

    def _under_load(self, now: int) -> bool:
        """Beyond the rate, or the second before was: in a lasting flood the first hundred of each second must not get through."""
        if not 0 <= now - self._since < 1000:
            self._was_loaded = now - self._since < 2000 and self._count > PER_SECOND
            self._since, self._count = now, 0
        self._count += 1
        return self._was_loaded or self._count > PER_SECOND


def _source(path: "tuple[Any, ...]") -> bytes:
    """What a cookie is bound to: address and port, or the region and key of a relay path."""
    if len(path) == 2:
        region, key = path
        return b"relay%d/" % region + bytes(key)
    _, _, address, port, vni = path
    return bytes(address) + b"%d/%d" % (port, vni)
