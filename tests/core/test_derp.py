"""DERP under hostile streams: any bytes in any cut give frames or one PeerError, and never more memory than the limit."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_core import derp
from skerry_core.errors import PeerError

crypto = pytest.importorskip("skerry_shim.crypto")

PARSERS = [
    derp.parse_server_key, derp.parse_packet, derp.parse_forward_packet, derp.parse_note_preferred, derp.parse_peer_gone,
    derp.parse_peer_present, derp.parse_restarting, derp.pong,
]  # fmt: skip


def chunks(data, cuts):
    ends = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(ends)]


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=60))), st.lists(st.integers(0, 400)))
def test_frames_survive_any_cut(frames, cuts):
    stream = b"".join(derp.frame(kind, payload) for kind, payload in frames)
    deframer = derp.Deframer()
    assert [frame for chunk in chunks(stream, cuts) for frame in deframer.feed(chunk)] == frames


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_any_stream_gives_the_same_in_one_piece_and_in_many(stream, cuts):
    def run(pieces):
        deframer, found = derp.Deframer(limit=64), []
        try:
            for piece in pieces:
                found += deframer.feed(piece)
        except PeerError:
            pass
        return found, deframer.bad

    assert run([stream]) == run(chunks(stream, cuts))


@given(st.binary(max_size=200))
def test_payloads_are_parsed_or_refused(payload):
    for parse in PARSERS:
        try:
            parse(payload)
        except PeerError as error:
            assert str(len(payload)) in str(error) or "magic" in str(error)


@given(st.binary(max_size=300))
def test_infos_are_opened_or_refused(payload):
    for parse in (
        lambda: derp.open_client_info(crypto, b"\x09" * 32, payload),
        lambda: derp.open_server_info(crypto, b"\x09" * 32, crypto.x25519_public(b"\x08" * 32), payload),
    ):
        with pytest.raises(PeerError):
            parse()


LEAVES = st.none() | st.integers() | st.text()


@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10))
def test_client_info_carries_any_json(value):
    client, server = b"\x07" * 32, b"\x08" * 32
    frame = derp.client_info(crypto, client, crypto.x25519_public(client), crypto.x25519_public(server), bytes(24), {"meshKey": value})
    [(kind, payload)] = derp.Deframer().feed(frame)
    assert kind == derp.CLIENT_INFO
    assert derp.open_client_info(crypto, server, payload) == (
        crypto.x25519_public(client),
        {"version": 2, "CanAckPings": True, "meshKey": value},
    )


def test_a_client_info_nested_too_deeply_is_refused():
    client, server = b"\x07" * 32, b"\x08" * 32
    key = crypto.box_key(client, crypto.x25519_public(server))
    payload = crypto.x25519_public(client) + bytes(24) + crypto.box_seal(key, bytes(24), b"[" * 100_000)
    with pytest.raises(PeerError, match="JSON"):
        derp.open_client_info(crypto, server, payload)


def test_a_slow_stream_costs_no_more_than_its_frame():
    deframer = derp.Deframer()
    for byte in derp.frame(derp.RECV_PACKET, bytes(65536 + 32)):
        found = deframer.feed(bytes((byte,)))
    assert len(found) == 1 and len(deframer._buffer) == 0
