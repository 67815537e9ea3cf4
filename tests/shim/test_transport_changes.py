"""The transport contract: transactions, wholly or not at all, on the Python transport and on the one in C."""

import pytest

from skerry_core.errors import LocalError
from tests.shim.facing import (
    ALICE_IP,
    ALICE_IP6,
    ALICE_KEY,
    BOB_IP,
    BOB_IP6,
    BOB_KEY,
    EVERYTHING,
    PEER,
    RECEIVED,
    TO_ALICE,
    TO_BOB,
    alice,
    carry,
    dropped,
    following,
    keypair,
    pair,
    prefixes,
    udp,
)

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
    ("mtu", 9, 1200),
    ("mtu", PEER, 65536),
    ("mtu", PEER, "1200"),
    ("mtu", PEER),
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


def test_keys_that_begin_alike_are_two_peers(make):
    """Whoever registers chooses the bytes of a node key: half a victim's key must not keep the victim, or the whole map, out."""
    a, twin = alice(make), BOB_KEY[1][:31] + bytes((BOB_KEY[1][31] ^ 1,))
    a.apply([("peer", 9, twin, [(bytes((100, 64, 0, 9)), 32)]), ("paths", 9, [TO_BOB])])
    assert a.peer_stats(9) and a.peer_stats(PEER)
    with pytest.raises(LocalError, match="key"):
        a.apply([("peer", 10, twin, [])])
    a.apply([("remove", PEER), ("peer", 11, BOB_KEY[1], [])])
    assert a.peer_stats(9) and a.peer_stats(11)


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
