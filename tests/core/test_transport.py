"""The Python transport beyond the shared contract: limits that need its insides, and a model of random use."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry_core import derp, filter, path
from skerry_core.errors import LocalError
from skerry_core.transport import Transport
from skerry_core.wireguard import messages

crypto = pytest.importorskip("skerry_shim.crypto")

EVERYTHING = filter.compile([{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 65535}}]}])
A_IP, B_IP = bytes((100, 64, 0, 1)), bytes((100, 64, 0, 2))
WHERE = path.udp(0, bytes(4), 1)
HANDSHAKE, LIMIT = 4, 16


def node(own, other, key):
    made = Transport(crypto, bytes, lambda: 0)
    changes = [("addresses", [own]), ("peer", 1, key, [(other, 32)]), ("paths", 1, [WHERE]), ("filter", EVERYTHING)]
    made.apply(changes)
    return made


def packet(source, destination, serial=0):
    return b"\x45\0\0\x1d\0\1\0\0\x40\x11\0\0" + source + destination + b"\x10\0\x20\0\0\x09\0\0" + bytes((serial,))


def test_the_limit_edge_comes_once_and_at_the_end_a_handshake_is_asked_for():
    a = node(A_IP, B_IP, b"b" * 32)
    a.apply([("session", 1, "current", 5, 6, bytes(32), bytes(32))])
    session = a._peers[1].current
    session.counter = messages.REKEY_AFTER_MESSAGES - 2
    for _ in range(4):
        a.packet(packet(A_IP, B_IP))
    assert a.poll() == [("edge", 1, LIMIT)]
    session.counter = messages.REJECT_AFTER_MESSAGES - 1
    a.datagrams()
    a.packet(packet(A_IP, B_IP))
    assert len(a.datagrams()) == 1
    a.packet(packet(A_IP, B_IP))
    assert a.datagrams() == [] and a.poll() == [("edge", 1, HANDSHAKE)]
    a.apply([("session", 1, "current", 7, 8, bytes(32), bytes(32))])
    assert len(a.datagrams()) == 1, "what waited goes out on the new session"


def test_counters_of_one_session_are_never_used_twice():
    a = node(A_IP, B_IP, b"b" * 32)
    a.apply([("session", 1, "current", 5, 6, bytes(32), bytes(32))])
    for _ in range(20):
        a.packet(packet(A_IP, B_IP))
        a.apply([("keepalive", 1), ("paths", 1, [WHERE])])
    counters = [int.from_bytes(data[8:16], "little") for _, data in a.datagrams()]
    assert counters == list(range(41))


def test_secrets_are_not_shown():
    a = node(A_IP, B_IP, b"b" * 32)
    a.apply([("session", 1, "current", 5, 6, b"k" * 32, b"K" * 32)])
    assert "[redacted]" in repr(a._peers[1].current) and "kkk" not in repr(a._peers[1].current)


def test_datagrams_and_packets_are_bounded_and_a_path_with_a_network_id_does_not_come_in():
    a = node(A_IP, B_IP, b"b" * 32)
    for _ in range(4100):
        a.send(WHERE, b"x")
    assert len(a.datagrams()) == 4096 and a.counters()["drop_output"] == 4
    with pytest.raises(LocalError):
        a.datagram(path.udp(0, bytes(4), 1, vni=1), b"")


@settings(max_examples=40)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.sampled_from("ab")),
            st.tuples(st.just("carry"), st.sampled_from("ab"), st.booleans()),
            st.tuples(st.just("rekey"), st.sampled_from("ab")),
            st.tuples(st.just("expire"), st.sampled_from("ab")),
            st.tuples(st.just("relay"), st.booleans()),
            st.tuples(st.just("noise"), st.binary(max_size=60)),
        ),
        max_size=40,
    )
)
def test_random_use_delivers_each_packet_at_most_once_in_order_of_sending(steps):
    """Rekeys from either side, loss, forged bytes, paths that change: no packet appears twice, none is made up, counters stay distinct."""
    sides = {"a": node(A_IP, B_IP, b"b" * 32), "b": node(B_IP, A_IP, b"a" * 32)}
    other = {"a": "b", "b": "a"}
    ips = {"a": A_IP, "b": B_IP}
    sent = {"a": [], "b": []}
    received = {"a": [], "b": []}
    used = set()
    serial = index = 0
    locals_of = {"a": [], "b": []}
    for transport in sides.values():
        transport.apply([("relay", 9, True)])

    def carry(name, lost):
        sender, receiver = sides[name], sides[other[name]]
        frames = [payload[32:] for _, payload in derp.Deframer().feed(sender.relay_out(9, 1 << 30))]
        for data in [data for _, data in sender.datagrams()] + frames:
            assert (name, data[4:16]) not in used, "a counter was used twice"
            used.add((name, data[4:16]))
            if not lost:
                receiver.relay_in(9, derp.recv_packet(bytes(32), data))
        received[other[name]] += receiver.packets()

    for step in steps:
        if step[0] == "send":
            serial += 1
            one = packet(ips[step[1]], ips[other[step[1]]], serial)
            sent[step[1]].append(one)
            sides[step[1]].packet(one)
        elif step[0] == "carry":
            carry(step[1], step[2])
        elif step[0] == "rekey":
            index += 2
            one, two = crypto.blake2s(b"%d" % index), crypto.blake2s(b"%d" % (index + 1))
            sides[other[step[1]]].apply([("session", 1, "next", index, index, two, one)])
            sides[step[1]].apply([("session", 1, "current", index, index, one, two)])
            locals_of["a"].append(index)
            locals_of["b"].append(index)
        elif step[0] == "expire" and locals_of[step[1]]:
            sides[step[1]].apply([("expire", 1, locals_of[step[1]].pop())])
        elif step[0] == "relay":
            for transport in sides.values():
                transport.apply([("paths", 1, [path.relay(9, bytes(32)) if step[1] else WHERE])])
        elif step[0] == "noise":
            for transport in sides.values():
                transport.datagram(WHERE, step[1])
    for name in "ab":
        carry(name, True)  # what is still under way belongs to sessions that are gone
    index += 2
    sides["b"].apply([("session", 1, "next", index, index, b"2" * 32, b"1" * 32)])
    sides["a"].apply([("session", 1, "current", index, index, b"1" * 32, b"2" * 32)])
    for name in "abab":
        carry(name, False)
    for name in "ab":
        got = received[other[name]]
        assert len(got) == len(set(got)) and set(got) <= set(sent[name])
    last = packet(A_IP, B_IP, 255)
    sides["a"].packet(last)
    carry("a", False)
    assert received["b"][-1] == last, "after a rekey the tunnel works"


NAMES = ["identity", "addresses", "local-routes", "remove", "keepalive", "filter", "x"]
VALUES = st.none() | st.integers() | st.binary(max_size=40) | st.tuples(st.integers(), st.binary(max_size=33)) | st.lists(st.integers())


CHANGES = st.one_of(
    st.tuples(st.sampled_from(NAMES), VALUES), st.tuples(st.sampled_from(["peer", "relay"]), VALUES, VALUES, VALUES), VALUES
)


@given(st.lists(CHANGES))
def test_rubbish_transactions_are_local_errors(changes):
    a = Transport(crypto, bytes, lambda: 0)
    a.apply([])
    try:
        a.apply(changes)
    except LocalError:
        assert a._peers == {} and a._sessions == {} and a._relays == {}
