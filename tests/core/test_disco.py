"""disco under hostile payloads and packets: decoded, unknown, or PeerError; nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_core import disco, geneve, stun
from skerry_core.errors import PeerError

crypto = pytest.importorskip("skerry_shim.crypto")

KEYS = st.binary(min_size=32, max_size=32)
TXIDS = st.binary(min_size=12, max_size=12)
ENDPOINTS = st.tuples(
    st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16).filter(lambda a: a[:12] != bytes(10) + b"\xff\xff")),
    st.integers(0, 65535),
)
BINDINGS = (st.integers(0, 2**32 - 1), st.integers(1, 2**32 - 1), KEYS, KEYS)
LIFETIMES = st.integers(0, 2**40)
PLACES = st.builds(
    disco.Allocation, KEYS, st.tuples(KEYS, KEYS), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), LIFETIMES, LIFETIMES,
    st.lists(ENDPOINTS, min_size=1, max_size=4),
)  # fmt: skip
MESSAGES = st.one_of(
    st.builds(disco.Ping, TXIDS, KEYS, st.integers(0, 1400)),
    st.builds(disco.Ping, TXIDS),
    st.builds(lambda txid, endpoint: disco.Pong(txid, *endpoint), TXIDS, ENDPOINTS),
    st.builds(disco.CallMeMaybe, st.lists(ENDPOINTS, max_size=6)),
    st.builds(disco.Bind, *BINDINGS),
    st.builds(disco.Challenge, *BINDINGS),
    st.builds(disco.Answer, *BINDINGS),
    st.builds(disco.CallMeMaybeVia, PLACES),
    st.builds(disco.AllocateRequest, st.tuples(KEYS, KEYS), st.integers(0, 2**32 - 1)),
    st.builds(disco.AllocateResponse, st.integers(0, 2**32 - 1), PLACES),
)


@given(MESSAGES)
def test_every_message_reads_back(message):
    decoded = disco.decode(message.encode())
    assert type(decoded) is type(message) and decoded == message
    assert {name: value for name, value in vars(decoded).items() if name != "allocation"} == {
        name: value for name, value in vars(message).items() if name != "allocation"
    }


@given(st.integers(0, 12), st.binary(max_size=300))
def test_any_payload_is_decoded_unknown_or_refused(kind, body):
    try:
        message = disco.decode(bytes((kind, 0)) + body)
    except PeerError as error:
        assert "need" in str(error)
    else:
        assert (message is None) == (kind not in range(1, 10))


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(lambda b: disco.MAGIC + b)))
def test_any_packet_opens_or_not(packet):
    assert disco.open(crypto, bytes(32), packet) is None
    source = disco.sender(packet)
    assert source is None or source == packet[6:38]


@given(MESSAGES, st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_packet_never_opens(message, place, change):
    key = crypto.blake2s(b"key")
    packet = disco.seal(crypto, key, bytes(32), bytes(24), message)
    place = 38 + place % (len(packet) - 38)
    assert disco.open(crypto, key, packet[:place] + bytes((packet[place] ^ change,)) + packet[place + 1 :]) is None


@given(st.one_of(st.binary(max_size=120), st.binary(max_size=80).map(lambda b: b"\1\1\0\x40" + stun.COOKIE + bytes(12) + b)))
def test_any_datagram_is_stun_or_not(data):
    found = stun.parse_response(data)
    assert found is None or (len(found[0]) == 12 and len(found[1]) in (4, 16) and 1 <= found[2] <= 65535)
    assert stun.parse_request(data) is None


@given(TXIDS, ENDPOINTS.filter(lambda endpoint: endpoint[1] > 0))
def test_stun_responses_read_back(txid, endpoint):
    assert stun.parse_response(stun.response(txid, *endpoint)) == (txid, *endpoint)
    assert stun.parse_request(stun.request(txid)) == txid


@given(st.sampled_from([geneve.DISCO, geneve.WIREGUARD]), st.integers(0, 2**24 - 1), st.booleans(), st.binary(max_size=40))
def test_geneve_reads_back(protocol, vni, control, payload):
    assert geneve.decode(geneve.encode(protocol, vni, control, payload)) == (protocol, vni, control, payload)


@given(st.binary(max_size=40))
def test_any_datagram_is_geneve_or_not(data):
    found = geneve.decode(data)
    assert found is None or geneve.encode(*found) == data
