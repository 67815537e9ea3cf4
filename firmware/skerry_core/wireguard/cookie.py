"""WireGuard's MACs and cookies: proof of knowing our public key (mac1), proof of owning a source address under load (mac2).

    mac1   = BLAKE2s-128(key = BLAKE2s("mac1----" | receiver's public key), message up to mac1)
    mac2   = BLAKE2s-128(key = cookie, message up to mac2), zero without a cookie
    cookie = BLAKE2s-128(key = our secret of the last 2 minutes, source of the message)
    reply  = 03 000000 | receiver u32 | nonce 24 | XChaCha20-Poly1305(key = BLAKE2s("cookie--" | our public key), cookie, ad = mac1)

`source` is any bytes that stand for where a message came from; only our own checker reads it again. Whether we are under load is
decided by the transport. Times are int milliseconds.
"""

from skerry_core.errors import PeerError
from skerry_core.wireguard import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MAC_LENGTH = 16
SECRET_LIFETIME = 120_000
COOKIE_LIFETIME = 120_000
NO_MAC = bytes(MAC_LENGTH)


def equal(left: bytes, right: bytes) -> bool:
    """Compare in time that depends on the length alone."""
    difference = len(left) ^ len(right)
    for a, b in zip(left, right):  # noqa: B905 - MicroPython's zip has no strict=; the lengths are compared above
        difference |= a ^ b
    return difference == 0


def mac1_key(crypto: "Any", public: bytes) -> bytes:
    """Key of mac1 in messages to the holder of `public`."""
    key: bytes = crypto.blake2s(b"mac1----" + public)
    return key


def cookie_key(crypto: "Any", public: bytes) -> bytes:
    """Key that seals the cookie replies of the holder of `public`."""
    key: bytes = crypto.blake2s(b"cookie--" + public)
    return key


def add_macs(crypto: "Any", key: bytes, body: bytes, cookie: "bytes | None") -> bytes:
    """The handshake message `body` with mac1 under `key` (see mac1_key) and, when there is a cookie, mac2."""
    mac1: bytes = crypto.blake2s(body, key, MAC_LENGTH)
    mac2: bytes = NO_MAC if cookie is None else crypto.blake2s(body + mac1, cookie, MAC_LENGTH)
    return body + mac1 + mac2


def check_mac1(crypto: "Any", key: bytes, data: bytes) -> bool:
    """True when the initiation or response `data` carries the mac1 that belongs to it."""
    return equal(crypto.blake2s(data[:-32], key, MAC_LENGTH), data[-32:-16])


class CookieChecker:
    """The side that is under load: hands out cookies and checks mac2."""

    def __init__(self, crypto: "Any", random: "Callable[[int], bytes]", public: bytes) -> None:
        self._crypto = crypto
        self._random = random
        self._key = cookie_key(crypto, public)
        self._secret = b""
        self._since = 0

    def _cookie(self, source: bytes, now: int) -> bytes:
        if not self._secret or now - self._since >= SECRET_LIFETIME:
            self._secret = self._random(32)
            self._since = now
        cookie: bytes = self._crypto.blake2s(source, self._secret, MAC_LENGTH)
        return cookie

    def valid_mac2(self, data: bytes, source: bytes, now: int) -> bool:
        """True when `data` carries the mac2 of a cookie we gave to `source` and that is still good."""
        return equal(self._crypto.blake2s(data[:-16], self._cookie(source, now), MAC_LENGTH), data[-16:])

    def reply(self, data: bytes, source: bytes, now: int) -> bytes:
        """The 64-byte cookie reply to the initiation or response `data` from `source`."""
        nonce = self._random(24)
        sealed: bytes = self._crypto.xseal(self._key, nonce, self._cookie(source, now), data[-32:-16])
        return bytes((messages.COOKIE_REPLY, 0, 0, 0)) + data[4:8] + nonce + sealed


class CookieJar:
    """The side that was asked to prove its address: keeps the last cookie of one peer."""

    def __init__(self, crypto: "Any", peer_public: bytes) -> None:
        self._crypto = crypto
        self._key = cookie_key(crypto, peer_public)
        self._mac1 = b""
        self._cookie: bytes | None = None
        self._received = 0

    def sent(self, message: bytes) -> None:
        """Note a handshake message sent: only a reply to the last one is believed, and only once."""
        self._mac1 = message[-32:-16]

    def consume(self, reply: bytes, now: int) -> None:
        """Take a cookie reply; PeerError (and nothing changed) when it does not answer the last message."""
        messages.require(reply, messages.COOKIE_REPLY, "cookie reply")
        if not self._mac1:
            raise PeerError("cookie reply: no handshake message of ours waits for one")
        cookie = self._crypto.xopen(self._key, reply[8:32], reply[32:], self._mac1)
        if cookie is None:
            raise PeerError("cookie reply: authentication failed")
        self._cookie, self._received, self._mac1 = cookie, now, b""

    def current(self, now: int) -> "bytes | None":
        """The cookie for mac2 of the next message, or None."""
        if self._cookie is not None and now - self._received >= COOKIE_LIFETIME:
            self._cookie = None
        return self._cookie
