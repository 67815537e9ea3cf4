"""The packet path from one transport to the next: sessions, counters, replay windows, flows; hostile bytes; others' descriptors."""

import os
import random
import socket

import pytest

import skerry_shim.transport
from skerry_core import filter
from skerry_core.errors import LocalError
from skerry_core.wireguard import messages
from skerry_shim import handover
from tests.shim.facing import (
    ALICE_IP,
    ALICE_KEY,
    BOB_IP,
    BOB_KEY,
    PEER,
    TO_ALICE,
    TO_BOB,
    Bytes,
    Clock,
    c_transport,
    carry,
    current,
    dropped,
    edges,
    following,
    pair,
    sealed,
    tcp,
    udp,
)

NOTHING = filter.compile([])
HEAD = 5


def make():
    return c_transport(Bytes(1), Clock())


def moved(transport):
    """The transport of the process after, with what engines tell again at a start."""
    after = make()
    after.import_state(transport.export_state())
    return after


def changes(data):
    """(operation, start of its body, length) of each change."""
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + 1 : at + HEAD], "little")
        yield data[at], at + HEAD, length
        at += HEAD + length


def test_packets_go_on_both_ways():
    a, b = pair(make)
    a, b = moved(a), moved(b)
    a.packet(udp())
    carry(a, b, TO_ALICE)
    assert b.packets() == [udp()]
    b.packet(udp(BOB_IP, ALICE_IP))
    carry(b, a, TO_BOB)
    assert a.packets() == [udp(BOB_IP, ALICE_IP)]


def test_no_counter_is_used_twice():
    a, b = pair(make)
    seen = []
    for _ in range(4):
        for _ in range(5):
            a.packet(udp())
        seen += [data[4:16] for data in carry(a, b, TO_ALICE)]
        before, a = a, moved(a)
        before.packet(udp())
        before.apply([("keepalive", PEER)])
        assert before.datagrams() == [], "what was exported seals no more"
    assert len(set(seen)) == 20
    assert [int.from_bytes(each[4:], "little") for each in seen] == list(range(seen[0][4], seen[0][4] + 20))


def test_a_replay_is_a_replay_to_the_next_process():
    a, b = pair(make)
    a.packet(udp())
    datagrams = carry(a, b, TO_ALICE)
    late = sealed(1, 40, udp())
    b.datagram(TO_ALICE, sealed(1, 9000, udp()))
    b = moved(b)
    b.packets()
    for data in (*datagrams, sealed(1, 9000, udp()), late):
        b.datagram(TO_ALICE, data)
    assert b.packets() == [] and dropped(b, "replay") == 3
    b.datagram(TO_ALICE, sealed(1, 9001, udp()))
    b.datagram(TO_ALICE, sealed(1, 8999, udp()))
    assert len(b.packets()) == 2


def test_every_slot_comes_along():
    a, b = pair(make)
    b.apply([following(2)])
    a.apply([current(2)])
    carry(a, b, TO_ALICE)
    b.apply([following(3)])
    b = moved(b)
    for serial in (1, 2):
        b.datagram(TO_ALICE, sealed(serial, 50, udp()))
    assert len(b.packets()) == 2, "previous and current"
    b.poll()
    b.datagram(TO_ALICE, sealed(3, 0, udp()))
    assert 8 in edges(b.poll()), "next is confirmed by what opens"


def test_replies_of_known_flows_pass_and_others_do_not():
    a, b = pair(make)
    a.apply([("filter", NOTHING)])
    a.packet(udp(sport=5000, dport=53))
    a = moved(a)
    for sport, port in ((53, 5000), (53, 5001), (54, 5000)):
        b.packet(udp(BOB_IP, ALICE_IP, sport=sport, dport=port))
    b.packet(tcp(2, BOB_IP, ALICE_IP))
    carry(b, a, TO_BOB)
    assert a.packets() == [udp(BOB_IP, ALICE_IP, sport=53, dport=5000)] and dropped(a, "filter") == 3


def test_the_newest_flows_are_kept_when_there_are_many():
    a, b = pair(make)
    a.apply([("filter", NOTHING)])
    for port in range(700):
        a.packet(udp(sport=1000 + port))
    a.datagrams()
    a = moved(a)
    for port in (0, *range(700 - 256, 700)):
        b.packet(udp(BOB_IP, ALICE_IP, sport=2222, dport=1000 + port))
    carry(b, a, TO_BOB)
    assert len(a.packets()) == 256 and dropped(a, "filter") == 1


def test_statistics_and_edges_come_along():
    a, _ = pair(make)
    a.apply([("arm", PEER, 1)])
    stats = a.peer_stats(PEER)
    a = moved(a)
    assert a.peer_stats(PEER) == stats and a.poll() == []
    a.packet(udp())
    a.packet(udp())
    assert edges(a.poll()) == [1]
    a.apply([("expire", PEER, 1001)])
    a.packet(udp())
    assert edges(a.poll()) == [4], "without a session the next packet asks for one"


def test_the_engine_may_say_everything_again():
    a, b = pair(make)
    a = moved(a)
    peer = ("peer", PEER, BOB_KEY[1], [(BOB_IP, 32)])
    a.apply([("identity", ALICE_KEY[1]), ("addresses", [ALICE_IP]), peer, ("paths", PEER, [TO_BOB]), ("arm", PEER, 35)])
    a.packet(udp())
    carry(a, b, TO_ALICE)
    assert b.packets() == [udp()]


def test_a_running_transport_is_not_exported():
    a, _ = pair(make)
    a.start()
    try:
        with pytest.raises(LocalError, match="busy"):
            a.export_state()
    finally:
        a.stop()
    assert a.export_state()


def test_the_bytes_are_wiped_and_serve_once():
    a, _ = pair(make)
    state = a.export_state()
    copy = bytearray(state)
    after = make()
    after.import_state(state)
    assert not any(state)
    with pytest.raises(LocalError, match="index"):
        after.import_state(copy)


def hostile(state):
    """Each with what is wrong with it."""
    found = {operation: (at, length) for operation, at, length in changes(state)}
    resume, noted, flows = found[14][0], found[15][0], found[16][0]
    yield "cut short", state[:-1]
    yield "slot", patched(state, resume + 8, 3)
    yield "any", patched(state, resume + 89, 2)
    yield "no peer", patched(state, resume, 99)
    yield "edges", patched(state, noted + 8, 64)
    yield "flow family", patched(state, flows + 1, 5)
    yield "flow protocol", patched(state, flows + 2, 6)
    yield "flow unused", patched(state, flows, 0)
    yield "length", patched(state, resume - 4, 97)
    body = state[resume - HEAD : resume + found[14][1]]
    yield "twice", state + body


def patched(state, at, value):
    out = bytearray(state)
    out[at] = value
    return out


def test_hostile_bytes_change_nothing():
    a, _ = pair(make)
    a.packet(udp())
    state = a.export_state()
    cases = list(hostile(state))
    assert len(cases) == 10
    for name, bad in cases:
        after = make()
        with pytest.raises(LocalError):
            after.import_state(bad)
        with pytest.raises(LocalError):
            after.peer_stats(PEER)
        assert after.counters() == {"to_python": 0}, name
    make().import_state(state)


def test_a_slot_given_twice_holds_the_last():
    a, b = pair(make)
    state = a.export_state()
    at, length = next((at, length) for operation, at, length in changes(state) if operation == 14)
    again = bytearray(state[at - HEAD : at + length])
    again[HEAD + 9] ^= 0xFF  # another local index
    after = make()
    after.import_state(state + again)
    after.packet(udp())
    assert len(carry(after, b, TO_ALICE)) == 1
    after.close()


@pytest.mark.parametrize("seed", range(4))
def test_no_bytes_crash_it(seed):
    rng = random.Random(seed)
    a, _ = pair(make)
    a.packet(udp())
    state = a.export_state()
    for _ in range(400):
        bad = bytearray(state)
        for _ in range(rng.randrange(1, 6)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        if rng.random() < 0.3:
            del bad[rng.randrange(len(bad)) :]
        after = make()
        try:
            after.import_state(bad)
        except LocalError:
            pass
        after.packet(udp())
        after.datagram(TO_ALICE, messages.data_header(1001, 5) + bytes(32))
        after.close()


def test_a_socket_of_another_process_is_used():
    a, _ = pair(make)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        other.bind(("127.0.0.1", 0))
        far.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        assert handover.inspect_socket(other.fileno()) == (4, port)
        fd = os.dup(other.fileno())
        assert a.adopt_socket(0, fd) == port and a.descriptors() == {"udp4-0": fd}
        assert not os.get_inheritable(fd) and not os.get_blocking(fd)
        a.send((0, 4, bytes((127, 0, 0, 1)), far.getsockname()[1], 0), b"hello")
        far.settimeout(5)
        assert far.recvfrom(100) == (b"hello", ("127.0.0.1", port))
    a.close()


def test_what_is_no_socket_or_device_of_ours_is_refused(tmp_path):
    transport = skerry_shim.transport.Transport()
    with open(tmp_path / "file", "w") as file, socket.socket() as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unbound:
        for fd in (file.fileno(), stream.fileno(), unbound.fileno()):
            for adopt in (lambda fd=fd: transport.adopt_socket(0, fd), lambda fd=fd: transport.adopt_tun(fd)):
                with pytest.raises(LocalError, match=f"descriptor {fd} is no"):
                    adopt()
            os.fstat(fd)  # still the caller's
    assert transport.descriptors() == {}
