"""WireGuard against captured handshakes of wireguard-go: every message is rebuilt byte for byte, and opened."""

import vectorfile

from skerry_core.errors import LocalError, PeerError
from skerry_core.wireguard import cookie, handshake, messages, replay, tai64n


def _open(crypto, record):
    private = record["responder_private"]
    return handshake.open_initiation(crypto, private, crypto.x25519_public(private), record["initiation"])


def _initiator(crypto, record, stamp, index, given):
    private = record["initiator_private"]
    peer = crypto.x25519_public(record["responder_private"])
    return handshake.Initiator(crypto, private, crypto.x25519_public(private), peer, record["initiator_ephemeral"], index, stamp, given)


def check_handshake(crypto):
    for record in vectorfile.records("wireguard"):
        opened = _open(crypto, record)
        assert opened.peer_public == crypto.x25519_public(record["initiator_private"]), record["line"]
        initiator = _initiator(crypto, record, opened.tai64n, opened.sender_index, record.get("cookie"))
        assert initiator.message == record["initiation"], record["line"]
        response, keys = opened.respond(record["responder_ephemeral"], messages.sender_index(record["response"]))
        assert response == record["response"], record["line"]
        theirs = initiator.consume(response)
        assert (keys.send, keys.receive) == (theirs.receive, theirs.send)
        assert (keys.remote_index, theirs.remote_index) == (messages.sender_index(record["initiation"]), messages.sender_index(response))
        for message, key in ((record["to_responder"], keys.receive), (record["to_initiator"], theirs.receive)):
            counter = int.from_bytes(message[8:16], "little")
            assert messages.kind(message) == messages.DATA and counter == 298
            assert crypto.open(key, messages.nonce(counter), message[16:]) == record["plaintext"], record["line"]
            assert messages.data_header(messages.receiver_index(message), counter) == message[:16]


def check_macs_and_cookies(crypto):
    for record in vectorfile.records("wireguard"):
        public = crypto.x25519_public(record["responder_private"])
        assert cookie.check_mac1(crypto, cookie.mac1_key(crypto, public), record["initiation"])
        if "cookie" not in record:
            assert record["initiation"][-16:] == bytes(16)
            continue
        jar = cookie.CookieJar(crypto, public)
        assert jar.current(0) is None
        vectorfile.raises(PeerError, jar.consume, record["cookie_reply"], 5)
        jar.sent(record["refused"])
        forged = record["cookie_reply"][:-1] + bytes((record["cookie_reply"][-1] ^ 1,))
        vectorfile.raises(PeerError, jar.consume, forged, 5)
        jar.consume(record["cookie_reply"], 5)
        assert jar.current(5) == record["cookie"] == jar.current(120004)
        vectorfile.raises(PeerError, jar.consume, record["cookie_reply"], 5)
        assert jar.current(120005) is None


def check_forgeries_change_nothing(crypto):
    record = next(iter(vectorfile.records("wireguard")))
    opened = _open(crypto, record)
    initiator = _initiator(crypto, record, opened.tai64n, opened.sender_index, None)
    response = record["response"]
    for place in (12, 50, 59):
        forged = response[:place] + bytes((response[place] ^ 4,)) + response[place + 1 :]
        vectorfile.raises(PeerError, initiator.consume, forged)
    vectorfile.raises(PeerError, initiator.consume, response[:12] + bytes(32) + response[44:])
    vectorfile.raises(PeerError, initiator.consume, response[:-1])
    vectorfile.raises(PeerError, initiator.consume, response[:8] + b"\0\0\0\0" + response[12:])
    initiator.consume(response)
    for place in (8, 60, 100):
        forged = record["initiation"]
        forged = forged[:place] + bytes((forged[place] ^ 4,)) + forged[place + 1 :]
        vectorfile.raises(PeerError, _open, crypto, {"responder_private": record["responder_private"], "initiation": forged})


def check_secrets_are_not_shown(crypto):
    record = next(iter(vectorfile.records("wireguard")))
    opened = _open(crypto, record)
    _, keys = opened.respond(record["responder_ephemeral"], 1)
    assert "[redacted]" in repr(keys)
    assert "[redacted]" in repr(_initiator(crypto, record, opened.tai64n, 1, None))


def check_stamps():
    assert tai64n.encode(0) == vectorfile.unhex("400000000000000a 00000000")
    assert tai64n.encode(1700000000123) == vectorfile.unhex("400000006553f10a 0754d4c0")
    floor = tai64n.ZERO
    for wall in (5000, 5000, 4000, -1, 5001, 0):
        now = tai64n.stamp(wall, floor)
        assert len(now) == 12 and now > floor
        floor = now
    second = tai64n.encode(0)[:8] + (999999999).to_bytes(4, "big")
    assert tai64n.stamp(0, second) == tai64n.encode(1000)
    vectorfile.raises(LocalError, tai64n.stamp, 0, b"short")
    vectorfile.raises(LocalError, tai64n.stamp, 0, b"\xff" * 12)


def check_replay_window():
    window = replay.ReplayWindow(8128)
    seen = set()
    newest = -1
    state = 1
    for step in range(3000):
        state = (state * 1103515245 + 12345) & 0x3FFFFFFF
        counter = max(0, newest + (state >> 8) % 2600 - 2000 - (state & 1) * 6200)
        if step % 701 == 700:
            counter = newest + 9000
        expected = counter not in seen and newest - counter <= 8128
        assert window.fresh(counter) == expected, (step, counter, newest)
        if expected:
            window.mark(counter)
            seen.add(counter)
            newest = max(newest, counter)
