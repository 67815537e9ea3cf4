"""The transport contract: data, sessions and edges, on the Python transport and on the one in C."""

import pytest

from skerry_core import path
from tests.shim.facing import (
    ALICE_IP,
    ALICE_IP6,
    BOB_IP,
    BOB_IP6,
    BOB_KEY,
    CONFIRMED,
    DATA,
    HANDSHAKE,
    PEER,
    RECEIVED,
    SENT,
    TO_ALICE,
    TO_BOB,
    alice,
    bob,
    carry,
    crypto,
    current,
    dropped,
    edges,
    following,
    keypair,
    keys,
    pair,
    prefixes,
    sealed,
    udp,
)


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
    a.apply(
        [
            ("peer", PEER, BOB_KEY[1], prefixes(BOB_IP) + [(bytes((10, 0, 0, 0)), 8), (bytes(16), 0)]),
            ("peer", other, keypair(b"carol")[1], [(bytes((10, 1, 0, 0)), 16), (bytes.fromhex("20010db8") + bytes(12), 32)]),
            ("paths", other, [elsewhere]),
            ("session", other, "current", 5, 6, send, receive),
        ]
    )
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


def test_a_late_packet_on_an_older_next_does_not_replace_a_newer_current(make):
    _a, b = pair(make)
    b.apply([following(2)])
    b.apply([("session", PEER, "current", 2009, 1009, *keys(9))])
    b.datagrams()
    b.poll()
    b.datagram(TO_ALICE, sealed(2, 0, udp()))
    assert len(b.packets()) == 1, "what was sent on it still opens"
    assert CONFIRMED not in edges(b.poll())
    b.packet(udp(BOB_IP, ALICE_IP))
    [(_, message)] = b.datagrams()
    assert message[4:8] == (1009).to_bytes(4, "little"), "the session agreed last is used"
    b.datagram(TO_ALICE, sealed(1, 60, udp()))
    assert b.packets() == [] and dropped(b, "index") == 1, "the old current session made room"


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
