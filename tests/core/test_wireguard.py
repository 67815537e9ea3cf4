"""WireGuard's handshake under hostile messages; the vectors are in tests/vectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_core.errors import PeerError
from skerry_core.wireguard import cookie, handshake, messages, replay, tai64n

crypto = pytest.importorskip("skerry_shim.crypto")


def keypair(seed):
    private = crypto.blake2s(seed)
    return private, crypto.x25519_public(private)


A, B, C = keypair(b"a"), keypair(b"b"), keypair(b"c")


def initiator(index=1, given=None):
    return handshake.Initiator(crypto, *A, B[1], crypto.blake2s(b"ea"), index, tai64n.stamp(1_700_000_000_000), given)


@given(st.binary(max_size=200), st.integers(0, 5))
def test_any_bytes_are_refused(data, kind):
    data = bytes((kind, 0, 0, 0)) + data
    with pytest.raises(PeerError):
        handshake.open_initiation(crypto, *B, data)
    with pytest.raises(PeerError):
        initiator().consume(data)
    with pytest.raises(PeerError):
        cookie.CookieJar(crypto, B[1]).consume(data, 0)
    assert messages.kind(data) in (0, 1, 2, 3, 4)


@given(st.integers(8, 115), st.integers(1, 255))
def test_a_changed_initiation_is_refused(place, change):
    data = initiator().message
    with pytest.raises(PeerError):
        handshake.open_initiation(crypto, *B, data[:place] + bytes((data[place] ^ change,)) + data[place + 1 :])


def test_the_ignored_bit_of_the_ephemeral_is_still_authenticated():
    data = initiator().message
    with pytest.raises(PeerError):
        handshake.open_initiation(crypto, *B, data[:39] + bytes((data[39] ^ 128,)) + data[40:])


def test_an_initiation_for_somebody_else_is_refused():
    with pytest.raises(PeerError):
        handshake.open_initiation(crypto, *C, initiator().message)


def test_low_order_points_are_refused_on_every_way():
    with pytest.raises(PeerError):
        handshake.Initiator(crypto, *A, bytes(32), crypto.blake2s(b"ea"), 1, tai64n.ZERO)
    message = initiator().message
    with pytest.raises(PeerError):
        handshake.open_initiation(crypto, *B, message[:8] + bytes(32) + message[40:])


def test_a_wrong_responder_is_refused_and_the_right_one_still_accepted():
    start = initiator()
    opened = handshake.open_initiation(crypto, *B, start.message)
    good, ours = opened.respond(crypto.blake2s(b"eb"), 2)
    other = handshake.open_initiation(crypto, *B, initiator(index=1).message)
    swapped = handshake.Initiator(crypto, *C, B[1], crypto.blake2s(b"ec"), 1, tai64n.ZERO)
    foreign, _ = handshake.open_initiation(crypto, *B, swapped.message).respond(crypto.blake2s(b"eb"), 2)
    with pytest.raises(PeerError):
        start.consume(foreign)
    keys = start.consume(good)
    assert (keys.send, keys.receive) == (ours.receive, ours.send) and keys.send != keys.receive
    assert other.tai64n == opened.tai64n


def test_the_same_initiation_answered_twice_gives_other_keys():
    opened = handshake.open_initiation(crypto, *B, initiator().message)
    first = opened.respond(crypto.blake2s(b"1"), 2)[1]
    second = opened.respond(crypto.blake2s(b"2"), 3)[1]
    assert first.send != second.send


@given(st.lists(st.integers(-10, 2**41), max_size=20))
def test_stamps_only_grow(walls):
    floor = tai64n.ZERO
    for wall in walls:
        stamp = tai64n.stamp(wall, floor)
        assert stamp > floor and len(stamp) == 12
        floor = stamp


@given(st.lists(st.integers(0, 40_000), max_size=200))
def test_replay_window_against_a_set(counters):
    window, seen, newest = replay.ReplayWindow(8128), set(), -1
    for counter in counters:
        fresh = counter not in seen and newest - counter <= 8128
        assert window.fresh(counter) == fresh
        if fresh:
            window.mark(counter)
            seen.add(counter)
            newest = max(newest, counter)
