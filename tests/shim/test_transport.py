"""The transport contract, run on the Python transport and on the one in C.

Two transports face each other with a session installed by hand; datagrams are carried between them by the tests, so loss, order and
forgery are theirs to choose. Time is a number the test sets.
"""

import struct
import zlib

import pytest

import skerry_core.transport
from skerry_core import derp, disco, filter, geneve, path, stun
from skerry_core.errors import LocalError
from skerry_core.wireguard import cookie, handshake, messages

crypto = pytest.importorskip("skerry_shim.crypto")

SENT, RECEIVED, HANDSHAKE, CONFIRMED, DATA = 1, 2, 4, 8, 32
ALICE_IP, BOB_IP = bytes((100, 64, 0, 1)), bytes((100, 64, 0, 2))
ALICE_IP6, BOB_IP6 = bytes.fromhex("fd7a115ca1e000000000000000000001"), bytes.fromhex("fd7a115ca1e000000000000000000002")
TO_BOB = path.udp(0, bytes((192, 0, 2, 2)), 41641)
TO_ALICE = path.udp(0, bytes((192, 0, 2, 1)), 41641)
EVERYTHING = filter.compile([{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 65535}}]}])
PEER = 7


class Clock:
    def __init__(self):
        self.now = 1_000_000

    def __call__(self):
        return self.now


class Bytes:
    """Deterministic "randomness"."""

    def __init__(self, seed):
        self.seed, self.count = seed, 0

    def __call__(self, n):
        self.count += 1
        return crypto.blake2s(b"%d/%d" % (self.seed, self.count))[: min(n, 32)].ljust(n, b"\x5a")


def python_transport(random, clock):
    return skerry_core.transport.Transport(crypto, random, clock)


def c_transport(random, clock):
    module = pytest.importorskip("skerry_shim.transport")
    return module.Transport(crypto, random, clock)


@pytest.fixture(params=[python_transport, c_transport], ids=["python", "c"])
def make(request):
    clock, made = Clock(), []

    def build():
        transport = request.param(Bytes(len(made)), clock)
        made.append(transport)
        return transport

    build.clock = clock
    yield build
    for transport in made:
        if hasattr(transport, "close"):
            transport.close()


def keypair(seed):
    private = crypto.blake2s(seed)
    return private, crypto.x25519_public(private)


ALICE_KEY, BOB_KEY = keypair(b"alice"), keypair(b"bob")


def prefixes(*addresses):
    return [(address, len(address) * 8) for address in addresses]


def basics(transport, own_key, own, other_key, other, to_other, rules=EVERYTHING):
    transport.apply([
        ("identity", own_key[1]),
        ("addresses", list(own)),
        ("local-routes", []),
        ("peer", PEER, other_key[1], prefixes(*other)),
        ("paths", PEER, [to_other]),
        ("filter", rules),
    ])
    return transport


def alice(make, **more):
    return basics(make(), ALICE_KEY, (ALICE_IP, ALICE_IP6), BOB_KEY, (BOB_IP, BOB_IP6), TO_BOB, **more)


def bob(make, **more):
    return basics(make(), BOB_KEY, (BOB_IP, BOB_IP6), ALICE_KEY, (ALICE_IP, ALICE_IP6), TO_ALICE, **more)


def keys(serial):
    return crypto.blake2s(b"a to b %d" % serial), crypto.blake2s(b"b to a %d" % serial)


def current(serial=1):
    """Alice's half of session `serial`, which she initiated."""
    send, receive = keys(serial)
    return ("session", PEER, "current", 1000 + serial, 2000 + serial, send, receive)


def following(serial=1):
    """Bob's half."""
    send, receive = keys(serial)
    return ("session", PEER, "next", 2000 + serial, 1000 + serial, receive, send)


def carry(sender, receiver, source):
    """Everything the sender wants sent, to the receiver, as UDP from `source`; gives the datagrams."""
    out = sender.datagrams()
    for _, data in out:
        receiver.datagram(source, data)
    return [data for _, data in out]


def pair(make, **more):
    """Alice and Bob with session 1 confirmed and nothing left to take."""
    a, b = alice(make), bob(make, **more)
    b.apply([following()])
    a.apply([current()])
    carry(a, b, TO_ALICE)
    for transport in (a, b):
        transport.poll()
        transport.packets()
        transport.datagrams()
    return a, b


def ipv4(source, destination, protocol, payload, fragment=0):
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, fragment, 64, protocol, 0)
    return header + source + destination + payload


def ipv6(source, destination, protocol, payload):
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + source + destination + payload


def udp(source=ALICE_IP, destination=BOB_IP, sport=1111, dport=2222, payload=b"hello"):
    build = ipv4 if len(source) == 4 else ipv6
    return build(source, destination, 17, struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload)


def tcp(flags, source=ALICE_IP, destination=BOB_IP, sport=1111, dport=80):
    build = ipv4 if len(source) == 4 else ipv6
    return build(source, destination, 6, struct.pack(">HHIIBBHHH", sport, dport, 1, 1, 0x50, flags, 1024, 0, 0))


def icmp(kind, source=ALICE_IP, destination=BOB_IP, code=0):
    build, protocol = (ipv4, 1) if len(source) == 4 else (ipv6, 58)
    return build(source, destination, protocol, struct.pack(">BBHI", kind, code, 0, 0))


def edges(events):
    return [event[2] for event in events if event[0] == "edge"]


def dropped(transport, reason):
    return transport.counters().get("drop_" + reason, 0)


def sealed(serial, counter, plaintext):
    """A data message of Alice's, made by hand."""
    return messages.data_header(2000 + serial, counter) + crypto.seal(keys(serial)[0], messages.nonce(counter), plaintext)


# -- data


@pytest.mark.parametrize(("source", "destination"), [(ALICE_IP, BOB_IP), (ALICE_IP6, BOB_IP6)])
def test_a_packet_goes_through_sealed_padded_and_counted(make, source, destination):
    a, b = pair(make)
    packet = udp(source, destination, payload=b"abc")
    a.packet(packet)
    [message] = carry(a, b, TO_ALICE)
    assert message[:4] == b"\x04\0\0\0" and len(message) == 32 + (len(packet) + 15) // 16 * 16
    assert b"abc" not in message
    assert b.packets() == [packet] and b.packets() == []
    assert a.peer_stats(PEER)["tx_bytes"] == len(packet) == b.peer_stats(PEER)["rx_bytes"]
    assert a.peer_stats(PEER)["tx_packets"] == 1 == b.peer_stats(PEER)["rx_packets"]
    assert b.poll() == [] and b.counters()["to_python"] == 0


def test_each_packet_goes_to_every_path_and_a_copy_is_dropped(make):
    a, b = pair(make)
    other = path.udp(1, bytes((198, 51, 100, 9)), 5)
    a.apply([("paths", PEER, [TO_BOB, other])])
    a.packet(udp())
    out = a.datagrams()
    assert [where for where, _ in out] == [TO_BOB, other] and out[0][1] == out[1][1]
    for _, data in out:
        b.datagram(TO_ALICE, data)
    assert len(b.packets()) == 1 and dropped(b, "replay") == 1


def test_the_answer_comes_back_on_the_confirmed_session(make):
    a, b = pair(make)
    b.packet(udp(BOB_IP, ALICE_IP))
    carry(b, a, TO_BOB)
    assert a.packets() == [udp(BOB_IP, ALICE_IP)]


def test_nobodys_address_and_unfit_packets_do_not_leave(make):
    a, _ = pair(make)
    a.packet(udp(destination=bytes((100, 64, 9, 9))))
    a.packet(udp(destination=bytes((224, 0, 0, 251))))
    a.packet(udp(destination=bytes((169, 254, 1, 1))))
    a.packet(b"\x45\0")
    assert a.datagrams() == []
    assert [dropped(a, reason) for reason in ("no_route", "multicast", "link_local", "malformed")] == [1, 1, 1, 1]


def test_the_longest_prefix_decides_who_gets_a_packet(make):
    a, _ = pair(make)
    other = 8
    send, receive = crypto.blake2s(b"x"), crypto.blake2s(b"y")
    elsewhere = path.udp(0, bytes((192, 0, 2, 77)), 1)
    a.apply([
        ("peer", PEER, BOB_KEY[1], prefixes(BOB_IP) + [(bytes((10, 0, 0, 0)), 8), (bytes(16), 0)]),
        ("peer", other, keypair(b"carol")[1], [(bytes((10, 1, 0, 0)), 16), (bytes.fromhex("20010db8") + bytes(12), 32)]),
        ("paths", other, [elsewhere]),
        ("session", other, "current", 5, 6, send, receive),
    ])
    a.datagrams()
    for destination in (bytes((10, 1, 2, 3)), bytes((10, 2, 2, 3))):
        a.packet(udp(destination=destination))
    for destination in (bytes.fromhex("20010db8") + bytes(12), bytes.fromhex("20010db9") + bytes(12)):
        a.packet(udp(ALICE_IP6, destination))
    assert [where for where, _ in a.datagrams()] == [elsewhere, TO_BOB, elsewhere, TO_BOB]
    a.apply([("peer", other, keypair(b"carol")[1], [])])
    a.packet(udp(destination=bytes((10, 1, 2, 3))))
    assert [where for where, _ in a.datagrams()] == [TO_BOB]


def test_padding_is_cut_by_the_ip_length(make):
    _, b = pair(make)
    b.datagram(TO_ALICE, sealed(1, 50, udp() + bytes(64)))
    assert b.packets() == [udp()]


@pytest.mark.parametrize("plaintext", [b"\x45" + bytes(15), udp()[:24], b"\xff" * 48, udp(ALICE_IP6, BOB_IP6)[:32], b"\0" * 16])
def test_what_is_inside_must_be_a_whole_ip_packet(make, plaintext):
    _, b = pair(make)
    b.datagram(TO_ALICE, sealed(1, 50, plaintext))
    assert b.packets() == [] and dropped(b, "malformed") == 1


def test_an_inner_source_of_somebody_else_is_dropped(make):
    a, b = pair(make)
    a.packet(udp(source=bytes((100, 64, 0, 99))))
    carry(a, b, TO_ALICE)
    assert b.packets() == [] and dropped(b, "source") == 1 and b.peer_stats(PEER)["rx_packets"] == 0


def test_only_our_addresses_and_routes_are_delivered(make):
    a, b = pair(make)
    inside = bytes((192, 168, 7, 5))
    a.apply([("peer", PEER, BOB_KEY[1], prefixes(BOB_IP, inside))])
    a.packet(udp(destination=inside))
    carry(a, b, TO_ALICE)
    assert b.packets() == [] and dropped(b, "destination") == 1
    b.apply([("local-routes", [(bytes((192, 168, 7, 0)), 24)])])
    a.packet(udp(destination=inside))
    carry(a, b, TO_ALICE)
    assert len(b.packets()) == 1


# -- sessions


def test_no_session_holds_packets_and_asks_once_for_a_handshake(make):
    a = alice(make)
    for serial in range(3):
        a.packet(udp(sport=serial))
    assert a.poll() == [("edge", PEER, HANDSHAKE)] and a.datagrams() == []
    a.apply([("arm", PEER, HANDSHAKE)])
    assert edges(a.poll()) == [HANDSHAKE]
    b = bob(make)
    b.apply([following()])
    a.apply([current()])
    carry(a, b, TO_ALICE)
    assert b.packets() == [udp(sport=serial) for serial in range(3)]
    a.apply([("expire", PEER, 1001)])
    a.packet(udp())
    assert edges(a.poll()) == [HANDSHAKE]


def test_the_queue_is_bounded_and_drops_the_oldest(make):
    a, b = alice(make), bob(make)
    for serial in range(130):
        a.packet(udp(sport=serial))
    assert dropped(a, "queue") == 2
    b.apply([following()])
    a.apply([current()])
    carry(a, b, TO_ALICE)
    assert b.packets() == [udp(sport=serial) for serial in range(2, 130)]


def test_without_paths_packets_wait(make):
    a, b = pair(make)
    a.apply([("paths", PEER, [])])
    a.packet(udp())
    assert a.datagrams() == [] and edges(a.poll()) == []
    a.apply([("paths", PEER, [TO_BOB])])
    carry(a, b, TO_ALICE)
    assert b.packets() == [udp()]


def test_a_new_current_session_with_nothing_to_send_sends_a_keepalive(make):
    a = alice(make)
    a.apply([current()])
    [(where, message)] = a.datagrams()
    assert where == TO_BOB and len(message) == 32 and message[4:8] == (2001).to_bytes(4, "little") and message[8:16] == bytes(8)
    assert a.peer_stats(PEER)["tx_packets"] == 0


def test_nothing_is_sent_on_next_before_it_is_confirmed(make):
    a, b = alice(make), bob(make)
    b.packet(udp(BOB_IP, ALICE_IP))
    b.apply([following()])
    b.apply([("keepalive", PEER)])
    assert b.datagrams() == []
    a.apply([current()])
    carry(a, b, TO_ALICE)
    assert edges(b.poll()) == [HANDSHAKE, CONFIRMED]
    carry(b, a, TO_BOB)
    assert a.packets() == [udp(BOB_IP, ALICE_IP)]


def test_previous_current_and_next_receive_and_the_one_before_does_not(make):
    a, b = pair(make)
    a.packet(udp(sport=1))
    [(_, old)] = a.datagrams()
    b.apply([following(2)])
    a.apply([current(2)])
    b.datagram(TO_ALICE, old)
    assert len(b.packets()) == 1, "session 1 is still current at Bob"
    carry(a, b, TO_ALICE)
    b.datagram(TO_ALICE, sealed(1, 60, udp()))
    assert len(b.packets()) == 1, "session 1 is previous"
    b.apply([following(3)])
    b.datagram(TO_ALICE, sealed(3, 0, b""))
    b.datagram(TO_ALICE, sealed(1, 61, udp()))
    assert b.packets() == [] and dropped(b, "index") == 1
    b.datagram(TO_ALICE, sealed(2, 9, udp()))
    assert len(b.packets()) == 1, "session 2 is previous now"


def test_expire_forgets_one_session_and_an_unknown_index_nothing(make):
    a, b = pair(make)
    b.apply([("expire", PEER, 4242)])
    a.packet(udp())
    carry(a, b, TO_ALICE)
    assert len(b.packets()) == 1
    b.apply([("expire", PEER, 2001)])
    a.packet(udp())
    carry(a, b, TO_ALICE)
    assert b.packets() == [] and dropped(b, "index") == 1
    b.apply([following(1)])
    b.datagram(TO_ALICE, sealed(1, 70, b""))
    assert CONFIRMED in edges(b.poll()), "an index may be used again after it expired"


def test_replay_window(make):
    _, b = pair(make)
    send = [(10_000, True), (10_000, False), (9_999, True), (10_000 - 8128, True), (10_000 - 8129, False)]
    send += [(20_000, True), (20_000 - 8000, True), (9_999, False), (20_000 - 8000, False), (19_999, True)]
    for counter, fresh in send:
        b.datagram(TO_ALICE, sealed(1, counter, udp()))
        assert (len(b.packets()) == 1) is fresh, counter
    assert dropped(b, "replay") == 4


def test_counters_beyond_the_limit_are_refused(make):
    _, b = pair(make)
    b.datagram(TO_ALICE, sealed(1, (1 << 64) - 1, udp()))
    b.datagram(TO_ALICE, sealed(1, (1 << 64) - (1 << 13) - 1, udp()))
    assert b.packets() == [] and dropped(b, "replay") == 2
    b.datagram(TO_ALICE, sealed(1, (1 << 64) - (1 << 13) - 2, udp()))
    assert len(b.packets()) == 1


def test_a_forged_packet_changes_nothing(make):
    _, b = pair(make)
    b.apply([following(2), ("arm", PEER, RECEIVED)])
    for serial in (1, 2):
        forged = bytearray(sealed(serial, 90, udp()))
        forged[-1] ^= 1
        b.datagram(TO_ALICE, bytes(forged))
    assert b.poll() == [] and b.packets() == [] and dropped(b, "auth") == 2
    b.datagram(TO_ALICE, sealed(1, 90, udp()))
    assert len(b.packets()) == 1, "the counter of the forgery is still free"


# -- edges


def test_armed_edges_fire_once(make):
    a, b = pair(make)
    a.apply([("arm", PEER, SENT | RECEIVED)])
    b.apply([("arm", PEER, SENT | RECEIVED)])
    a.apply([("keepalive", PEER)])
    assert edges(a.poll()) == [], "a keepalive is no data sent"
    carry(a, b, TO_ALICE)
    assert edges(b.poll()) == [RECEIVED], "a keepalive counts as received"
    for _ in range(2):
        a.packet(udp())
    carry(a, b, TO_ALICE)
    assert edges(a.poll()) == [SENT] and edges(b.poll()) == []
    a.apply([("arm", PEER, SENT)])
    a.packet(udp())
    assert edges(a.poll()) == [SENT]


def test_purge_drops_what_waits_and_asks_anew(make):
    a = alice(make)
    a.packet(udp())
    assert edges(a.poll()) == [HANDSHAKE]
    a.packet(udp())
    a.apply([("purge", PEER)])
    assert edges(a.poll()) == [] and a.counters()["drop_queue"] == 2
    a.packet(udp())
    assert edges(a.poll()) == [HANDSHAKE]


def test_data_is_told_from_keepalives(make):
    a, b = pair(make)
    b.apply([("arm", PEER, DATA)])
    a.apply([("keepalive", PEER)])
    carry(a, b, TO_ALICE)
    assert edges(b.poll()) == []
    for _ in range(2):
        a.packet(udp())
    carry(a, b, TO_ALICE)
    assert edges(b.poll()) == [DATA]


def test_keepalive_without_session_is_nothing(make):
    a = alice(make)
    a.apply([("keepalive", PEER)])
    assert a.datagrams() == [] and a.poll() == []


# -- transactions


BAD = [
    ("identity", b"short"),
    ("addresses", [b"12345"]),
    ("local-routes", [(bytes(4), 33)]),
    ("peer", PEER, bytes(31), []),
    ("peer", PEER, bytes(32), []),
    ("peer", 9, BOB_KEY[1], []),
    ("peer", -1, bytes(32), []),
    ("peer", 9, bytes(32), [(b"\1\2\3\4\5", 8)]),
    ("remove", 9),
    ("paths", 9, []),
    ("paths", PEER, [(0, 4, bytes(16), 1, 0)]),
    ("paths", PEER, [(0, 4, bytes(4), 70000, 0)]),
    ("paths", PEER, [(1, b"short")]),
    ("session", 9, "current", 1, 2, bytes(32), bytes(32)),
    ("session", PEER, "previous", 1, 2, bytes(32), bytes(32)),
    ("session", PEER, "next", 1001, 2, bytes(32), bytes(32)),
    ("session", PEER, "next", 1 << 32, 2, bytes(32), bytes(32)),
    ("session", PEER, "next", 1, 2, bytes(16), bytes(32)),
    ("expire", 9, 1),
    ("arm", 9, 1),
    ("arm", PEER, 64),
    ("arm", PEER, 16),
    ("keepalive", 9),
    ("purge", 9),
    ("filter", b"garbage"),
    ("filter", EVERYTHING[:-1]),
    ("no-such-change", 1),
    ("remove",),
]


@pytest.mark.parametrize("bad", BAD, ids=[f"{n}-{change[0]}" for n, change in enumerate(BAD)])
def test_a_transaction_with_one_bad_change_changes_nothing(make, bad):
    a, b = pair(make)
    with pytest.raises(LocalError):
        a.apply([
            ("paths", PEER, []),
            ("session", PEER, "current", 77, 78, bytes(32), bytes(32)),
            ("addresses", []),
            ("filter", None),
            ("peer", 50, bytes(range(32)), prefixes(BOB_IP)),
            bad,
        ])  # fmt: skip
    assert a.datagrams() == []
    a.packet(udp())
    carry(a, b, TO_ALICE)
    assert b.packets() == [udp()], "path, session and allowed IP are as before"
    b.packet(udp(BOB_IP, ALICE_IP))
    carry(b, a, TO_BOB)
    assert len(a.packets()) == 1, "address and filter are as before"
    with pytest.raises(LocalError):
        a.peer_stats(50)


def test_later_changes_see_earlier_ones(make):
    a, _ = pair(make)
    key = keypair(b"carol")[1]
    session = ("session", 9, "current", 1, 2, bytes(32), bytes(32))
    a.apply([("peer", 9, key, []), ("paths", 9, [TO_BOB]), session, ("remove", 9), ("peer", 9, key, [])])
    with pytest.raises(LocalError):
        a.apply([("remove", 9), ("paths", 9, [])])
    assert a.peer_stats(9)["tx_bytes"] == 0


def test_a_removed_peer_has_no_sessions_queue_addresses_or_edges(make):
    a, b = pair(make)
    a.packet(udp())
    [(_, message)] = a.datagrams()
    b.packet(udp(BOB_IP, ALICE_IP))
    b.apply([("paths", PEER, []), ("arm", PEER, RECEIVED)])
    b.datagrams()
    b.packet(udp(BOB_IP, ALICE_IP))
    b.apply([("remove", PEER)])
    b.datagram(TO_ALICE, message)
    b.packet(udp(BOB_IP, ALICE_IP))
    assert b.packets() == [] and b.datagrams() == [] and b.poll() == []
    assert dropped(b, "index") == 1 and dropped(b, "no_route") == 1 and dropped(b, "queue") == 1
    with pytest.raises(LocalError):
        b.peer_stats(PEER)
    b.apply([("peer", PEER, ALICE_KEY[1], prefixes(ALICE_IP)), ("paths", PEER, [TO_ALICE]), following()])
    b.datagram(TO_ALICE, message)
    assert len(b.packets()) == 1 and b.datagrams() == [], "what had waited is gone"


def test_replacing_allowed_ips_keeps_sessions_and_statistics(make):
    a, b = pair(make)
    a.packet(udp())
    carry(a, b, TO_ALICE)
    b.packets()
    b.apply([("peer", PEER, ALICE_KEY[1], prefixes(ALICE_IP6))])
    a.packet(udp())
    a.packet(udp(ALICE_IP6, BOB_IP6))
    carry(a, b, TO_ALICE)
    assert b.packets() == [udp(ALICE_IP6, BOB_IP6)] and dropped(b, "source") == 1
    assert b.peer_stats(PEER)["rx_packets"] == 2


# -- control datagrams


def initiation(serial=1):
    stamp = (1 << 62 | serial).to_bytes(8, "big") + bytes(4)
    made = handshake.Initiator(crypto, ALICE_KEY[0], ALICE_KEY[1], BOB_KEY[1], crypto.blake2s(b"e%d" % serial), serial, stamp)
    return made.message


DISCO = disco.MAGIC + bytes(32 + 24 + 16 + 46)


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


# -- relays


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


# -- filter


def rule(source="100.64.0.1", destination="100.64.0.2", first=0, last=65535, protocols=None):
    made = {"SrcIPs": [source], "DstPorts": [{"IP": destination, "Ports": {"First": first, "Last": last}}]}
    return made | ({} if protocols is None else {"IPProto": protocols})


SYN, ACK, SYN_ACK = 2, 16, 18
GRE = ipv4(ALICE_IP, BOB_IP, 47, bytes(20))
FRAGMENT6 = ipv6(ALICE_IP6, BOB_IP6, 44, bytes((17, 0)) + struct.pack(">HI", 20 << 3, 1) + bytes(20))
HOP_BY_HOP = ipv6(ALICE_IP6, BOB_IP6, 0, bytes((17, 0, 1, 4, 0, 0, 0, 0)) + bytes(8))
CASES = [
    # name, rules, packet, reason of the drop ("" = delivered)
    ("udp allowed", [rule()], udp(), ""),
    ("udp none", [], udp(), "filter"),
    ("udp port in", [rule(first=2222, last=2222)], udp(), ""),
    ("udp port out", [rule(first=2223, last=2300)], udp(), "filter"),
    ("udp source", [rule(source="100.64.0.3")], udp(), "filter"),
    ("udp range", [rule(source="100.64.0.0-100.64.0.9")], udp(), ""),
    ("udp net", [rule(source="100.64.0.0/10", destination="100.0.0.0/8")], udp(), ""),
    ("udp by tcp rule", [rule(protocols=[6])], udp(), "filter"),
    ("udp second rule", [rule(protocols=[6]), rule(protocols=[17])], udp(), ""),
    ("udp6 v4 rule", [rule()], udp(ALICE_IP6, BOB_IP6), "filter"),
    ("udp6", [rule("*", "fd7a:115c:a1e0::/48")], udp(ALICE_IP6, BOB_IP6), ""),
    ("syn none", [], tcp(SYN), "filter"),
    ("syn rule", [rule(first=80, last=80)], tcp(SYN), ""),
    ("syn by udp rule", [rule(protocols=[17])], tcp(SYN), "filter"),
    ("syn6 none", [], tcp(SYN, ALICE_IP6, BOB_IP6), "filter"),
    ("ack none", [], tcp(ACK), ""),
    ("syn-ack none", [], tcp(SYN_ACK), ""),
    ("ack6 none", [], tcp(ACK, ALICE_IP6, BOB_IP6), ""),
    ("echo none", [], icmp(8), "filter"),
    ("echo by a tcp port", [rule(first=22, last=22, protocols=[6])], icmp(8), ""),
    ("echo other destination", [rule(destination="100.64.0.9")], icmp(8), "filter"),
    ("echo reply none", [], icmp(0), ""),
    ("echo reply with code", [], icmp(0, code=1), "filter"),
    ("unreachable none", [], icmp(3, code=1), ""),
    ("time exceeded", [], icmp(11), ""),
    ("redirect", [], icmp(5), "filter"),
    ("echo6 none", [], icmp(128, ALICE_IP6, BOB_IP6), "filter"),
    ("echo6 reply", [], icmp(129, ALICE_IP6, BOB_IP6), ""),
    ("too big 6", [], icmp(2, ALICE_IP6, BOB_IP6), ""),
    ("gre by default", [rule()], GRE, "filter"),
    ("gre listed", [rule(protocols=[47])], GRE, ""),
    ("gre ports", [rule(protocols=[47], first=1)], GRE, "filter"),
    ("sctp by default", [rule()], ipv4(ALICE_IP, BOB_IP, 132, bytes(12)), "filter"),
    ("sctp listed", [rule(protocols=[132])], ipv4(ALICE_IP, BOB_IP, 132, bytes(12)), ""),
    ("tsmp", [rule()], ipv4(ALICE_IP, BOB_IP, 99, b"p" + bytes(8)), "tsmp"),
    ("fragment", [], ipv4(ALICE_IP, BOB_IP, 6, bytes(40), fragment=10), ""),
    ("tiny fragment", [rule()], ipv4(ALICE_IP, BOB_IP, 6, bytes(40), fragment=9), "malformed"),
    ("short first fragment", [rule()], ipv4(ALICE_IP, BOB_IP, 6, bytes(16), fragment=0x2000), "malformed"),
    ("fragment6", [], FRAGMENT6, ""),
    ("hop by hop", [rule("*", "*")], HOP_BY_HOP, "malformed"),
    ("multicast", [rule("*", "*")], udp(destination=bytes((224, 0, 0, 1))), "multicast"),
    ("link local", [rule("*", "*")], udp(destination=bytes((169, 254, 3, 4))), "link_local"),
    ("link local 6", [rule("*", "*")], udp(ALICE_IP6, bytes.fromhex("fe80") + bytes(14)), "link_local"),
]


@pytest.mark.parametrize(("rules", "packet", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_inbound_filter(make, rules, packet, reason):
    _, b = pair(make, rules=filter.compile(rules))
    b.datagram(TO_ALICE, sealed(1, 50, packet))
    assert b.packets() == ([] if reason else [packet])
    if reason:
        assert dropped(b, reason) == 1


def test_no_filter_is_nothing_in(make):
    _, b = pair(make, rules=None)
    b.datagram(TO_ALICE, sealed(1, 50, udp()))
    assert b.packets() == [] and dropped(b, "filter") == 1


@pytest.mark.parametrize(("ours", "theirs"), [(BOB_IP, ALICE_IP), (BOB_IP6, ALICE_IP6)])
def test_replies_to_outbound_flows_come_in_while_remembered(make, ours, theirs):
    _, b = pair(make, rules=None)
    counter = iter(range(100, 5000))

    def answered(port, sport=53):
        b.datagram(TO_ALICE, sealed(1, next(counter), udp(theirs, ours, sport, port)))
        return len(b.packets()) == 1

    b.packet(udp(ours, theirs, 4000, 53))
    assert answered(4000) and not answered(4001) and not answered(4000, sport=54)
    for port in range(5000, 5255):
        b.packet(udp(ours, theirs, port, 53))
    assert answered(4000), "255 newer flows do not push it out"
    for port in range(10_000, 10_512):
        b.packet(udp(ours, theirs, port, 53))
    assert not answered(4000), "512 newer flows do"
    b.datagrams()


def test_rules_change_for_the_next_packet(make):
    _, b = pair(make)
    b.apply([("filter", None)])
    b.datagram(TO_ALICE, sealed(1, 50, udp()))
    b.apply([("filter", EVERYTHING)])
    b.datagram(TO_ALICE, sealed(1, 51, udp(sport=9)))
    assert b.packets() == [udp(sport=9)]


# -- hostile input


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
        b.datagram(TO_ALICE, DISCO)
    assert len(b.poll()) == 4096 and dropped(b, "poll") == 104 and b.counters()["to_python"] == 4096
