"""tailcfg requests, answers and the framing of the map stream: bounds and hostile input. Vectors: tests/vectors/check_tailcfg.py."""

import json
import struct

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry_core.errors import LocalError, PeerError
from skerry_core.tailcfg import fields, register, times
from skerry_core.tailcfg import map as mapping
from skerry_core.tailcfg.keys import KINDS, decode_key, encode_key

KEY = bytes(range(32))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


def decompress(data, limit):
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=limit)


@given(st.sampled_from(KINDS), st.binary(min_size=32, max_size=32))
def test_keys_round_trip(kind, raw):
    assert decode_key(kind, encode_key(kind, raw)) == raw


def test_a_bad_private_key_is_not_in_the_message():
    with pytest.raises(PeerError) as error:
        decode_key("privkey", "privkey:" + "ab" * 31)
    assert "abab" not in str(error.value)


@given(st.integers(-62135596800000 + 1, 253402300799999))
def test_times_round_trip(millis):
    assert times.parse(times.format(millis)) == millis


@given(st.datetimes(timezones=st.timezones()))
def test_times_agree_with_datetime(moment):
    offset = moment.utcoffset()
    if offset.total_seconds() % 60 == 0:
        text = moment.isoformat()
        millis = times.parse(text)
        if text != times.ZERO:
            assert abs(millis - moment.timestamp() * 1000) <= 1


@given(st.text(max_size=45))
def test_random_text_is_no_time_or_a_number(text):
    try:
        assert times.parse(text) is None or isinstance(times.parse(text), int)
    except PeerError:
        pass


def test_register_request_fields():
    document = register.request(142, KEY, {"Hostname": "h"}, "tskey", bytes(31) + b"\1", "http://f", register.LOGOUT, True, "t")
    assert document == {
        "Version": 142,
        "NodeKey": encode_key("nodekey", KEY),
        "OldNodeKey": "nodekey:" + "0" * 62 + "01",
        "NLKey": "nlpub:" + "0" * 64,
        "Expiry": "1970-01-01T00:02:03Z",
        "Followup": "http://f",
        "Hostinfo": {"Hostname": "h"},
        "Auth": {"AuthKey": "tskey"},
        "Ephemeral": True,
        "Tailnet": "t",
    }
    plain = register.request(142, KEY, {})
    assert not {"Auth", "Ephemeral", "Tailnet"} & set(plain) and plain["Expiry"] == times.ZERO
    assert register.routing_headers(KEY) == [("Ts-Lb", encode_key("nodekey", KEY))]
    assert [value[-2:] for _, value in register.routing_headers(KEY, b"\2" * 32)] == ["02", "1f"]


def test_register_answers():
    assert register.parse_response({"MachineAuthorized": True}).registered
    assert register.parse_response({"User": None, "Login": None, "Error": None}).registered
    for field, value in (("Error", "no"), ("AuthURL", "http://a"), ("NodeKeyExpired", True), ("NodeKeySignature", "AA==")):
        assert not register.parse_response({field: value}).registered


@pytest.mark.parametrize(
    "document",
    [{"Error": 1}, {"AuthURL": "x" * 5000}, {"NodeKeyExpired": "yes"}, {"User": []}, {"User": {"ID": 1.5}}, {"User": {"ID": True}}],
)
def test_register_answers_of_wrong_types(document):
    with pytest.raises(PeerError):
        register.parse_response(document)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff{}", b'{"a":' * 100000, b"{}" + b" " * (1 << 20), b'{"a":NaN'])
def test_register_bodies_that_are_no_answer(body):
    with pytest.raises(PeerError):
        register.decode_response(body)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(["Error", "AuthURL", "User", "Login", "NodeKeyExpired", "MachineAuthorized"]), JSON))
def test_random_register_answers(document):
    try:
        register.parse_response(document)
    except PeerError:
        pass


def test_map_requests():
    endpoints = [(bytes([192, 0, 2, 1]), 41641, mapping.LOCAL), (b"\x20\x01\x0d\xb8" + bytes(11) + b"\1", 5, mapping.STUN)]
    document = mapping.request(142, KEY, KEY, {"Hostname": "h"}, endpoints, compress="zstd")
    assert document["Stream"] is True and document["OmitPeers"] is False and document["KeepAlive"] is True
    assert document["Endpoints"] == ["192.0.2.1:41641", "[2001:db8::1]:5"] and document["EndpointTypes"] == [1, 2]
    assert document["Compress"] == "zstd" and document["DiscoKey"] == encode_key("discokey", KEY)
    lite = mapping.lite_update(142, KEY, KEY, {}, [])
    assert lite["Stream"] is False and lite["OmitPeers"] is True and not {"Compress", "Endpoints"} & set(lite)
    with pytest.raises(LocalError):
        mapping.request(142, KEY, KEY, {}, [], compress="gzip")


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=50), max_size=4), max_size=8), st.integers(1, 60), st.booleans())
def test_map_stream_in_any_cut(documents, cut, compressed):
    compress = zstandard.ZstdCompressor().compress if compressed else bytes
    data = b"".join(mapping.frame(compress(json.dumps(document).encode())) for document in documents)
    stream, got = mapping.MapStream(decompress if compressed else None), []
    for start in range(0, len(data), cut):
        got += stream.feed(data[start : start + cut])
    assert got == documents


def test_the_same_keepalive_is_not_decompressed_again():
    calls = []

    def counting(data, limit):
        calls.append(data)
        return decompress(data, limit)

    stream = mapping.MapStream(counting)
    frame = mapping.frame(zstandard.compress(b'{"KeepAlive":true}'))
    assert stream.feed(frame * 5) == [{"KeepAlive": True}] * 5 and len(calls) == 1


@pytest.mark.parametrize(
    "message",
    [
        b"not zstd",
        zstandard.compress(b"not json"),
        zstandard.compress(b"{}")[:-1],
        zstandard.compress(b'"text"'),
        zstandard.compress(b"{" + b" " * 100000 + b"}"),  # a bomb
        b'{"KeepAlive":true}',
    ],
)
def test_bad_compressed_messages(message):
    with pytest.raises(PeerError):
        mapping.MapStream(decompress, limit=10000).feed(mapping.frame(message))


def test_length_over_the_limit_is_refused_before_anything_is_kept():
    with pytest.raises(PeerError, match="at most 10000"):
        mapping.MapStream(limit=10000).feed(struct.pack("<I", 10001))
    stream = mapping.MapStream(limit=10000)
    stream.feed(b"\x10")
    with pytest.raises(PeerError):
        stream.feed(b"\x27\x00\x01")


def test_control_characters_do_not_reach_a_terminal():
    assert fields.text({"a": "x\x1b[31m\x9b\ud800é\n"}, "a") == "x\ufffd[31m\ufffd\ufffdé\n"


# ---- an array that is left as JSON


def joined(document):
    """What decode_apart() gave, with its pieces read."""
    return {name: [fields.decode(each, "piece") for each in value] if _apart(value) else value for name, value in document.items()}


def _apart(value):
    return isinstance(value, list) and bool(value) and all(isinstance(each, bytes) for each in value)


OBJECTS = st.lists(st.dictionaries(st.text(max_size=6) | st.sampled_from(["Peers", '"Peers":[', "\\"]), JSON, max_size=4), max_size=4)
DOCUMENTS = st.dictionaries(st.sampled_from(["A", "Z", "Peer", 'x"Peers":[{}]', "b\\"]), JSON | st.fixed_dictionaries({"Peers": OBJECTS}))


@given(DOCUMENTS, OBJECTS | JSON, DOCUMENTS, st.sampled_from([None, 1]), st.booleans(), st.sampled_from([(",", ":"), (" ,\n", " : ")]))
def test_cut_out_or_not_it_is_the_same_document(before, peers, after, indent, ascii, separators):
    document = {**before, "Peers": peers, **{f"{name}2": value for name, value in after.items()}}
    data = json.dumps(document, indent=indent, ensure_ascii=ascii, separators=separators).encode(errors="surrogatepass")
    try:
        whole = fields.decode(data, "map")
    except PeerError:  # a lone surrogate
        whole = None
    try:
        cut = fields.decode_apart(data, "map", "Peers")
    except PeerError:
        cut = None
    if whole is None:
        return  # it may be a piece that cannot be read, which is told when it is read
    assert repr(joined(cut)) == repr(whole)
    assert _apart(cut["Peers"]) == (isinstance(peers, list) and bool(peers) and all(isinstance(each, dict) for each in peers))


@pytest.mark.parametrize(
    "text",
    [
     '{"Peers":[{},]}', '{"Peers":[{} {}]}', '{"Peers":[{},,{}]}', '{"Peers":[{}]]}', '{"Peers":[{}}', '{"Peers":[', '{"Peers',
     '{"Peers":[{"a":"\\"}]}',
     '{"Peers":[{}],"Peers":[{"a":1}', '{"Peers" [{}]}', '{"A":{},"Peers",[{}]}', '{"Peers":{}[{}]}', '[{"Peers":[{}]}]',
    ],
)  # fmt: skip
def test_what_is_no_document_stays_none(text):
    with pytest.raises(PeerError):
        joined(fields.decode_apart(text.encode(), "map", "Peers"))


def test_of_two_arrays_the_last_counts_as_ever():
    for text in ('{"Peers":[{"a":1}],"Peers":[{"b":1}]}', '{"Peers":[{"a":1}],"Peers":5}'):
        assert joined(fields.decode_apart(text.encode(), "map", "Peers")) == json.loads(text)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_document_or_an_error(data):
    try:
        fields.decode_apart(b'{"Peers":[{' + data, "map", "Peers")
    except PeerError:
        pass
