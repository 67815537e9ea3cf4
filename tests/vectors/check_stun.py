"""STUN and Geneve against bytes of tailscale 1.102.3, and RFC 5769's sample responses."""

import vectorfile

from skerry_core import geneve, stun
from skerry_core.errors import LocalError

RFC4 = """0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643
000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"""
RFC6 = """010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9
00080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"""


def check_vectors():
    for record in vectorfile.records("stun"):
        port = int.from_bytes(record["port"], "big")
        assert stun.request(record["txid"]) == record["request"]
        assert stun.parse_request(record["request"]) == record["txid"]
        assert stun.response(record["txid"], record["address"], port) == record["response"]
        assert stun.parse_response(record["response"]) == (record["txid"], record["address"], port)
        assert stun.is_stun(record["request"]) and stun.is_stun(record["response"])
        assert stun.parse_request(record["response"]) is None and stun.parse_response(record["request"]) is None


def check_responses_of_others():
    txid = vectorfile.unhex("b7e7a701bc34d686fa87dfae")
    assert stun.parse_response(vectorfile.unhex(RFC4)) == (txid, bytes((192, 0, 2, 1)), 32853)
    six = vectorfile.unhex("20010db8123456780011223344556677")
    assert stun.parse_response(vectorfile.unhex(RFC6)) == (txid, six, 32853)
    head = b"\x01\x01\x00\x0c" + stun.COOKIE + txid
    assert stun.parse_response(head + b"\x00\x01\x00\x08\x00\x01\x12\x34\x0a\x00\x00\x01") == (txid, bytes((10, 0, 0, 1)), 0x1234)


def check_hostile_responses():
    record = next(iter(vectorfile.records("stun")))
    good = record["response"]
    for length in range(len(good)):
        assert stun.parse_response(good[:length]) is None
    request = record["request"]
    for place in range(len(request)):
        if not 8 <= place < 20:
            assert stun.parse_request(request[:place] + bytes((request[place] ^ 1,)) + request[place + 1 :]) is None
    assert stun.parse_request(request + b"\0") is None
    head = b"\x01\x01\x00\x0c" + stun.COOKIE + bytes(12)
    assert stun.parse_response(head + b"\x00\x20\xff\xff" + bytes(8)) is None
    assert stun.parse_response(head + b"\x00\x20\x00\x08\x00\x03" + bytes(6)) is None
    vectorfile.raises(LocalError, stun.request, b"short")


def check_geneve():
    bind, data = vectorfile.unhex("00807a1100000100"), vectorfile.unhex("00007a12abcdef00")
    assert geneve.encode(geneve.DISCO, 1, True, b"x") == bind + b"x" and geneve.decode(bind + b"x") == (geneve.DISCO, 1, True, b"x")
    assert geneve.encode(geneve.WIREGUARD, 0xABCDEF, False, b"") == data and geneve.decode(data) == (geneve.WIREGUARD, 0xABCDEF, False, b"")
    for place, value in ((0, 1), (0, 0x40), (1, 0x40), (1, 1), (2, 0), (3, 0x13), (7, 1)):
        broken = bytearray(data)
        broken[place] = value
        assert geneve.decode(bytes(broken)) is None
    assert geneve.decode(data[:7]) is None
    vectorfile.raises(LocalError, geneve.encode, geneve.DISCO, 1 << 24, False, b"")
