"""The transport contract: control datagrams, cookies, relays and hostile input, on the Python transport and on the one in C."""

import struct
import zlib

import pytest

from skerry_core import derp, disco, geneve, path, stun
from skerry_core.wireguard import cookie, handshake, messages
from tests.shim.facing import (
    ALICE_KEY,
    BOB_KEY,
    DISCO,
    PEER,
    TO_ALICE,
    TO_BOB,
    alice,
    bob,
    crypto,
    dropped,
    initiation,
    pair,
    sealed,
    udp,
)


@pytest.mark.parametrize("data", [DISCO, stun.request(bytes(12)), stun.response(bytes(12), bytes(4), 5), b"\x03\0\0\0" + bytes(60)])
def test_control_datagrams_are_handed_up_with_their_path(make, data):
    b = bob(make)
    b.datagram(TO_ALICE, data)
    assert b.poll() == [("datagram", TO_ALICE, data)] and b.counters()["to_python"] == 1


UNKNOWN = [
    b"",
    b"\x04",
    b"\x01\0\0\0" + bytes(147),
    b"\x02\0\0\0" + bytes(60),
    b"\x04\0\0\0" + bytes(20),
    b"\x05" + bytes(99),
    b"\x01\x01\0\0" + bytes(144),
    b"\x04\0\1\0" + bytes(60),
    disco.MAGIC + bytes(20),
]


@pytest.mark.parametrize("data", UNKNOWN)
def test_other_datagrams_are_dropped(make, data):
    b = bob(make)
    b.datagram(TO_ALICE, data)
    assert b.poll() == [] and dropped(b, "unknown") == 1


def test_handshake_messages_need_a_right_mac1(make):
    b = bob(make)
    good = initiation()
    b.datagram(TO_ALICE, good)
    b.datagram(TO_ALICE, good[:20] + bytes((good[20] ^ 1,)) + good[21:])
    response = b"\x02\0\0\0" + bytes(56)
    b.datagram(TO_ALICE, cookie.add_macs(crypto, cookie.mac1_key(crypto, BOB_KEY[1]), response, None))
    b.datagram(TO_ALICE, response + bytes(32))
    assert [event[2][0] for event in b.poll()] == [1, 2] and dropped(b, "mac1") == 2


def test_without_identity_no_handshake_passes(make):
    b = make()
    b.datagram(TO_ALICE, initiation())
    assert b.poll() == [] and dropped(b, "mac1") == 1


@pytest.mark.parametrize("source", [TO_ALICE, path.relay(900, ALICE_KEY[1])])
def test_above_the_rate_a_cookie_is_asked_for(make, source):
    b = bob(make)
    b.apply([("relay", 900, True)])

    def receive(data, where=source):
        if path.is_relay(where):
            b.relay_in(where[0], derp.recv_packet(where[1], data))
        else:
            b.datagram(where, data)

    def replies():
        frames = derp.Deframer().feed(b.relay_out(900))
        return b.datagrams() + [(path.relay(900, payload[:32]), payload[32:]) for _, payload in frames]

    for serial in range(100):
        receive(initiation(serial))
    assert len([event for event in b.poll() if event[0] == "datagram"]) == 100 and replies() == []
    jar = cookie.CookieJar(crypto, BOB_KEY[1])
    message = initiation(200)
    jar.sent(message)
    receive(message)
    [(where, reply)] = replies()
    assert where == source and len(reply) == 64 and reply[4:8] == message[4:8] and dropped(b, "cookie") == 1
    jar.consume(reply, 0)
    stamp = (1 << 62 | 201).to_bytes(8, "big") + bytes(4)
    proven = handshake.Initiator(crypto, *ALICE_KEY, BOB_KEY[1], bytes(32), 5, stamp, jar.current(0)).message
    b.poll()
    receive(proven)
    assert [event[2] for event in b.poll() if event[0] == "datagram"] == [proven]
    elsewhere = path.udp(0, bytes((203, 0, 113, 5)), 9)
    receive(proven, elsewhere)
    assert [event for event in b.poll() if event[0] == "datagram"] == [], "the cookie is bound to the source"
    make.clock.now += 1000
    receive(initiation(300))
    assert [event for event in b.poll() if event[0] == "datagram"] == [], "the second after the flood still asks"
    make.clock.now += 1000
    receive(initiation(301))
    assert len([event for event in b.poll() if event[0] == "datagram"]) == 1, "the one after that is calm"
    make.clock.now += 120_000
    for serial in range(101):
        receive(initiation(serial))
    b.poll()
    receive(proven)
    assert [event for event in b.poll() if event[0] == "datagram"] == [], "a cookie is good for two minutes"


def test_send_over_udp_and_geneve(make):
    a = alice(make)
    via = path.udp(0, bytes((192, 0, 2, 50)), 7777, vni=0x123456)
    a.send(TO_BOB, b"anything")
    a.send(via, DISCO)
    a.send(via, initiation())
    direct = path.direct(via)
    assert a.datagrams() == [
        (TO_BOB, b"anything"),
        (direct, geneve.encode(geneve.DISCO, 0x123456, False, DISCO)),
        (direct, geneve.encode(geneve.WIREGUARD, 0x123456, False, initiation())),
    ]


def test_data_through_a_udp_relay(make):
    a, b = pair(make)
    via = path.udp(0, bytes((192, 0, 2, 50)), 7777, vni=9)
    a.apply([("paths", PEER, [via])])
    a.packet(udp())
    [(where, data)] = a.datagrams()
    assert where == path.direct(via) and geneve.decode(data)[:3] == (geneve.WIREGUARD, 9, False)
    b.datagram(where, data)
    assert b.packets() == [udp()]
    b.datagram(where, geneve.encode(geneve.DISCO, 9, True, DISCO))
    b.datagram(where, geneve.encode(geneve.WIREGUARD, 9, False, initiation()))
    assert b.poll() == [("datagram", via, DISCO), ("datagram", via, initiation())]
    b.datagram(where, geneve.encode(geneve.DISCO, 9, False, initiation()))
    b.datagram(where, geneve.encode(geneve.WIREGUARD, 9, False, DISCO))
    b.datagram(where, geneve.encode(geneve.DISCO, 0, False, DISCO))
    b.datagram(where, geneve.encode(geneve.DISCO, 9, False, geneve.encode(geneve.DISCO, 9, False, DISCO)))
    assert b.poll() == [] and dropped(b, "unknown") == 4


def test_data_through_a_relay_in_any_cut(make):
    a, b = pair(make)
    relayed = path.relay(900, BOB_KEY[1])
    a.apply([("relay", 900, True), ("paths", PEER, [relayed])])
    for serial in range(5):
        a.packet(udp(sport=serial))
    assert [event for event in a.poll() if event[0] == "relay-out"] == [("relay-out", 900)] and a.datagrams() == []
    stream = b""
    for kind, payload in derp.Deframer().feed(a.relay_out(900)):
        assert kind == derp.SEND_PACKET and payload[:32] == BOB_KEY[1]
        stream += derp.recv_packet(ALICE_KEY[1], payload[32:])
    assert a.relay_out(900) == b""
    for start in range(0, len(stream), 37):
        b.relay_in(900, stream[start : start + 37])
    assert b.packets() == [udp(sport=serial) for serial in range(5)]


def test_relay_frames_and_control_packets_are_handed_up_in_order(make):
    b = bob(make)
    greeting = derp.server_key(bytes(32))
    stream = greeting + derp.recv_packet(ALICE_KEY[1], DISCO) + derp.frame(derp.KEEP_ALIVE) + derp.recv_packet(ALICE_KEY[1], initiation())
    b.relay_in(4, stream[:9])
    b.apply([("relay", 4, True)])
    b.relay_in(4, stream[9:])
    where = path.relay(4, ALICE_KEY[1])
    assert b.poll() == [
        ("frame", 4, derp.SERVER_KEY, greeting[5:]),
        ("datagram", where, DISCO),
        ("frame", 4, derp.KEEP_ALIVE, b""),
        ("datagram", where, initiation()),
    ]
    b.relay_in(4, derp.recv_packet(ALICE_KEY[1], stun.request(bytes(12))) + derp.frame(derp.RECV_PACKET, bytes(31)))
    assert b.poll() == [] and dropped(b, "unknown") == 1 and dropped(b, "malformed") == 1


def test_a_relay_that_sends_rubbish_is_reported_once(make):
    b = bob(make)
    b.apply([("relay", 4, True)])
    b.relay_in(4, derp.frame(derp.KEEP_ALIVE) + b"HTTP/1.1 400 Bad Request\r\n")
    events = b.poll()
    assert events[0] == ("frame", 4, derp.KEEP_ALIVE, b"") and events[1][:2] == ("bad-relay", 4) and len(events) == 2
    b.relay_in(4, derp.frame(derp.KEEP_ALIVE))
    b.send(path.relay(4, BOB_KEY[1]), DISCO)
    assert b.poll() == [] and dropped(b, "relay") == 1
    b.apply([("relay", 4, False)])
    b.relay_in(4, derp.frame(derp.KEEP_ALIVE))
    assert b.poll() == [("frame", 4, derp.KEEP_ALIVE, b"")]


def test_frames_to_a_relay_that_is_down_are_dropped(make):
    a = alice(make)
    where = path.relay(4, BOB_KEY[1])
    a.send(where, DISCO)
    assert dropped(a, "relay") == 1
    a.apply([("relay", 4, True)])
    a.send(where, DISCO)
    a.apply([("relay", 4, False), ("relay", 4, True)])
    assert a.relay_out(4) == b"", "a new connection begins empty"


def test_relay_out_gives_whole_frames_within_the_limit_and_drops_the_oldest(make):
    a = alice(make)
    a.apply([("relay", 4, True)])
    where = path.relay(4, BOB_KEY[1])
    for serial in range(1030):
        a.send(where, DISCO + struct.pack(">I", serial))
    assert dropped(a, "relay") == 6
    assert a.poll() == [("relay-out", 4)]
    size = len(derp.send_packet(BOB_KEY[1], DISCO + bytes(4)))
    part = a.relay_out(4, size * 3 + 1)
    assert len(part) == size * 3 and part[size - 4 : size] == struct.pack(">I", 6)
    assert a.poll() == [("relay-out", 4)], "more waits"
    assert len(a.relay_out(4, 1)) == size, "one frame goes even when it is longer than the limit"
    assert len(a.relay_out(4, 1 << 24)) == size * 1020
    a.poll()
    assert a.relay_out(4) == b"" and a.poll() == [] and a.relay_out(99) == b""


def test_random_bytes_never_raise_and_never_deliver(make):
    _, b = pair(make)
    seed = zlib.crc32(b"seed")
    for serial in range(400):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        blob = b"".join(crypto.blake2s(b"%d-%d" % (seed, n)) for n in range(5))[: seed % 160]
        b.datagram(TO_ALICE, bytes((serial % 6, 0, 0, 0)) + blob)
        b.datagram(TO_ALICE, messages.data_header(2001, serial) + blob)
        b.datagram(TO_ALICE, b"\0\0\x7a" + bytes((0x11 + serial % 2, 0, 0, 1, 0)) + blob)
        b.relay_in(1, derp.frame(derp.RECV_PACKET, blob))
        b.packet(b"\x45\0" + blob)
    assert b.packets() == []
    b.datagram(TO_ALICE, sealed(1, 50, udp()))
    assert b.packets() == [udp()]


def test_poll_is_bounded(make):
    b = bob(make)
    for _ in range(4200):
        make.clock.now += 2  # no faster than one source may
        b.datagram(TO_ALICE, DISCO)
    assert len(b.poll()) == 4096 and dropped(b, "poll") == 104 and b.counters()["to_python"] == 4096
