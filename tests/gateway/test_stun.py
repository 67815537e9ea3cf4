"""STUN answers: who gets one, what is in it, and how many."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_core import stun
from skerry_gateway.stun import BURST, REFILL_MS, SOURCES, Answerer

TXID = bytes(range(12))
BARE = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + TXID
V4, V6 = bytes([192, 0, 2, 1]), bytes.fromhex("20010db8000000000000000000000001")


def tailscale(txid=TXID):
    """A request as stock clients send it: SOFTWARE, then FINGERPRINT over all before."""
    head = b"\x00\x01\x00\x14\x21\x12\xa4\x42" + txid + b"\x80\x22\x00\x08tailnode"
    return head + b"\x80\x28\x00\x04" + (zlib.crc32(head) ^ 0x5354554E).to_bytes(4, "big")


@pytest.mark.parametrize("request_", [tailscale(), stun.request(TXID)], ids=["stock", "ours"])
@pytest.mark.parametrize(("address", "expected"), [(V4, V4), (V6, V6), (bytes(10) + b"\xff\xff" + V4, V4)], ids=["4", "6", "mapped"])
def test_a_request_is_told_where_it_came_from(request_, address, expected):
    answer = Answerer().answer(request_, address, 41641, 0)
    assert stun.parse_response(answer) == (TXID, expected, 41641)
    assert len(answer) <= 1.1 * len(request_)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        BARE,
        tailscale()[:-1],
        b"\x01\x01" + tailscale()[2:],
        tailscale()[:4] + b"\x21\x12\xa4\x43" + tailscale()[8:],
        tailscale()[:-1] + b"\x00",
        stun.response(TXID, V4, 1),
        tailscale() + bytes(1400),
    ],
    ids=["empty", "bare", "short", "response", "cookie", "fingerprint", "answer", "long"],
)
def test_anything_else_gets_no_answer(data):
    answerer = Answerer()
    assert answerer.answer(data, V4, 1, 0) is None
    assert answerer.counters["ignored"] == 1


def test_one_source_is_limited_and_others_are_not():
    answerer = Answerer()
    answers = [answerer.answer(tailscale(), V4, 1, 0) for _ in range(3 * BURST)]
    assert sum(answer is not None for answer in answers) == BURST
    assert answerer.answer(tailscale(), V6, 1, 0) is not None
    later = [answerer.answer(tailscale(), V4, 1, 10 * REFILL_MS) for _ in range(20)]
    assert sum(answer is not None for answer in later) == 10


def test_the_table_of_sources_is_bounded():
    answerer = Answerer()
    for number in range(SOURCES + 500):
        assert answerer.answer(tailscale(), number.to_bytes(4, "big"), 1, number) is not None
    assert len(answerer._sources) == SOURCES


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(data):
    answer = Answerer().answer(data, V4, 7, 0)
    assert answer is None or stun.parse_response(answer)[2] == 7


BEHAVIOUR = [stun.behaviour_request(TXID, change) for change in (0, stun.CHANGE_PORT, stun.CHANGE_PORT | stun.CHANGE_ADDRESS)]


def test_questions_about_behaviour_are_answered_from_where_they_ask_and_never_longer_than_they_are():
    answerer, sent = Answerer(), []
    answerer.offer((V4, 3479), {stun.CHANGE_PORT: ((bytes(4), 40000), lambda data, to: sent.append((data, to)))})
    known = answerer.answer(BEHAVIOUR[0], b"\x05\x06\x07\x08", 9, 0, (V4, 3478))
    assert stun.parse_other(known) == (V4, 3479)
    assert stun.parse_response(known) == (TXID, b"\x05\x06\x07\x08", 9)
    assert b"\x80\x2b\x00\x08\x00\x01" + (3478).to_bytes(2, "big") + V4 in known, "RESPONSE-ORIGIN is not hidden"
    assert answerer.answer(BEHAVIOUR[1], b"\x05\x06\x07\x08", 9, 0) is None
    ((changed, to),) = sent
    assert (stun.parse_response(changed), to) == ((TXID, b"\x05\x06\x07\x08", 9), (b"\x05\x06\x07\x08", 9))
    assert max(len(known), len(changed)) <= len(BEHAVIOUR[0])
    assert answerer.answer(BEHAVIOUR[2], b"\x05\x06\x07\x08", 9, 0) is None, "there is no other address"
    assert answerer.answer(BEHAVIOUR[0], V6, 9, 0) is None, "IPv4 alone: the answer would be longer"
    assert len(sent) == 1 and answerer.counters["ignored"] == 2


def test_who_offers_nothing_about_behaviour_is_silent_and_stock_answers_stay_as_they_are():
    offering = Answerer()
    offering.offer((bytes(4), 3479), {})
    assert Answerer().answer(BEHAVIOUR[0], V4, 1, 0) is None
    assert offering.answer(tailscale(), V4, 1, 0) == Answerer().answer(tailscale(), V4, 1, 0) == stun.response(TXID, V4, 1)
    assert offering.answer(BEHAVIOUR[0][:-1] + b"\x00", V4, 1, 0) is None, "the fingerprint is wrong"
