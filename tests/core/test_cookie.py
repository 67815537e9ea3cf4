"""Cookies between our two sides: bound to the source, good for two minutes, believed once."""

import pytest

from skerry_core.errors import PeerError
from skerry_core.wireguard import cookie

crypto = pytest.importorskip("skerry_shim.crypto")

PUBLIC = crypto.x25519_public(crypto.blake2s(b"responder"))
KEY = cookie.mac1_key(crypto, PUBLIC)


def message(text, given=None):
    return cookie.add_macs(crypto, KEY, b"\1\0\0\0abcd" + text.ljust(108), given)


def checker():
    count = [0]

    def random(n):
        count[0] += 1
        return crypto.blake2s(bytes(count))[:n]

    return cookie.CookieChecker(crypto, random, PUBLIC)


def exchange(server, jar, now, source=b"here"):
    refused = message(b"refused")
    jar.sent(refused)
    jar.consume(server.reply(refused, source, now), now)
    return jar.current(now)


def test_a_cookie_proves_its_source_until_the_secret_changes():
    server, jar = checker(), cookie.CookieJar(crypto, PUBLIC)
    given = exchange(server, jar, 1000)
    proven = message(b"again", given)
    assert server.valid_mac2(proven, b"here", 120_999) and not server.valid_mac2(proven, b"there", 120_999)
    assert not server.valid_mac2(proven, b"here", 121_000)
    assert jar.current(120_999) == given and jar.current(121_000) is None


def test_without_a_cookie_mac2_is_zero_and_not_valid():
    assert message(b"x")[-16:] == bytes(16) and not checker().valid_mac2(message(b"x"), b"here", 0)


def test_a_reply_is_believed_once_and_only_for_the_last_message():
    server, jar = checker(), cookie.CookieJar(crypto, PUBLIC)
    reply = server.reply(message(b"1"), b"here", 0)
    jar.sent(message(b"2"))
    with pytest.raises(PeerError, match="authentication"):
        jar.consume(reply, 0)
    reply = server.reply(message(b"2"), b"here", 0)
    jar.consume(reply, 0)
    with pytest.raises(PeerError, match="no handshake"):
        jar.consume(reply, 0)


def test_mac1_is_for_one_receiver():
    assert cookie.check_mac1(crypto, KEY, message(b"x"))
    assert not cookie.check_mac1(crypto, cookie.mac1_key(crypto, bytes(32)), message(b"x"))
    assert not cookie.check_mac1(crypto, KEY, b"")


def test_equal():
    assert cookie.equal(b"", b"") and cookie.equal(b"ab", b"ab") and not cookie.equal(b"ab", b"ac") and not cookie.equal(b"ab", b"abc")
