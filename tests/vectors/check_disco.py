"""disco against payloads that tailscale 1.102.3 encoded; packets both ways."""

import vectorfile

from skerry_core import disco
from skerry_core.errors import LocalError, PeerError

TXID = bytes([n + 1 for n in range(12)])
FOUR, SIX = (bytes((192, 0, 2, 7)), 41641), (vectorfile.unhex("20010db8000000000000000000000005"), 65535)


def _key(n):
    raw = bytearray([n + i for i in range(32)])
    raw[0] &= 248
    raw[31] = raw[31] & 127 | 64
    return bytes(raw)


CHALLENGE = bytes([200 - n for n in range(32)])
BINDING = (0x123456, 7, _key(3), CHALLENGE)
PLACE = disco.Allocation(_key(1), (_key(2), _key(3)), 0x1122334455667788, 0xABCDEF, 30000, 300000, [FOUR, SIX])
MESSAGES = {
    "ping": disco.Ping(TXID, _key(100)),
    "ping_padded": disco.Ping(TXID, _key(100), 100),
    "ping_old": disco.Ping(TXID),
    "pong4": disco.Pong(TXID, FOUR[0], FOUR[1]),
    "pong6": disco.Pong(TXID, SIX[0], SIX[1]),
    "call_me_maybe": disco.CallMeMaybe([FOUR, SIX]),
    "call_me_maybe_empty": disco.CallMeMaybe([]),
    "bind": disco.Bind(*BINDING),
    "challenge": disco.Challenge(*BINDING),
    "answer": disco.Answer(*BINDING),
    "via": disco.CallMeMaybeVia(PLACE),
    "allocate_request": disco.AllocateRequest((_key(2), _key(3)), 9),
    "allocate_response": disco.AllocateResponse(9, PLACE),
}


def check_payloads():
    seen = set()
    for record in vectorfile.records("disco"):
        name = record["message"]
        assert MESSAGES[name].encode() == record["payload"], name
        decoded = disco.decode(record["payload"])
        assert type(decoded) is type(MESSAGES[name]) and decoded == MESSAGES[name], name
        seen.add(name)
    assert seen == set(MESSAGES)


def check_fields():
    pong = disco.decode(MESSAGES["pong4"].encode() + b"later extension")
    assert (pong.txid, pong.address, pong.port) == (TXID, FOUR[0], FOUR[1])
    ping = disco.decode(MESSAGES["ping_padded"].encode())
    assert (ping.node_key, ping.padding) == (_key(100), 100)
    via = disco.decode(MESSAGES["via"].encode()).allocation
    assert (via.vni, via.bind_lifetime, via.steady_lifetime, via.endpoints) == (0xABCDEF, 30000, 300000, [FOUR, SIX])
    assert disco.decode(MESSAGES["call_me_maybe"].encode() + b"x").endpoints == []


def check_short_unknown_and_senseless():
    for name, message in MESSAGES.items():
        payload = message.encode()
        if name[:4] in ("call", "ping"):
            continue
        for length in range(len(payload)):
            if name in ("via", "allocate_response") and length == len(payload) - 18:
                continue  # one endpoint less
            vectorfile.raises(PeerError, disco.decode, payload[:length])
    vectorfile.raises(PeerError, disco.decode, b"\x01\x00" + bytes(11))
    assert disco.decode(b"\x0a\x00" + bytes(80)) is None
    assert disco.decode(b"\x01\x01" + bytes(80)) is None
    vectorfile.raises(PeerError, disco.decode, b"\x04\x00" + bytes(72))
    vectorfile.raises(LocalError, disco.Ping, b"short")


def check_packets(crypto):
    ours, theirs = crypto.blake2s(b"ours"), crypto.blake2s(b"theirs")
    public = crypto.x25519_public(ours)
    key = crypto.box_key(ours, crypto.x25519_public(theirs))
    packet = disco.seal(crypto, key, public, bytes(24), MESSAGES["ping"])
    assert len(packet) == 124 and disco.sender(packet) == public
    assert disco.open(crypto, crypto.box_key(theirs, public), packet) == MESSAGES["ping"]
    assert disco.open(crypto, key, packet[:-1] + bytes((packet[-1] ^ 1,))) is None
    assert disco.open(crypto, key, packet[:60]) is None and disco.sender(b"TS" + packet[1:]) is None
    assert len(disco.seal(crypto, key, public, bytes(24), MESSAGES["pong4"])) == 110
