"""Who may use the portal: codes, delays that lock out nobody but the guesser, sessions, and the code on the disk."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_board.identity import Board, Identity
from skerry_core.errors import LocalError
from skerry_node.access import ALPHABET, FORGET, FREE, IDLE, LONGEST, SESSIONS, SOURCES, WHOLE, Access, Refused, is_code, network, new_code
from skerry_node.label import NAME, Label
from skerry_node.state import Files

BOARD = Board([Identity("device-tree", "a" * 64)], [])
OTHER = Board([Identity("device-tree", "b" * 64)], [])


def counting():
    """Randomness that tells calls apart and repeats."""
    number = [0]

    def random(size):
        number[0] += 1
        return bytes((number[0] * 7 + place) % 256 for place in range(size))

    return random


@pytest.fixture
def access():
    return Access("ABCD-EFGH", counting())


def refusal(access, code, source, now):
    with pytest.raises(Refused) as caught:
        access.sign_in(code, source, now)
    return caught.value


def test_the_code_is_taken_as_people_type_it(access):
    for text in ("ABCD-EFGH", "abcd efgh", " abcd-efgh\n", "A-B-C-D-E-F-G-H"):
        assert access.knows(access.sign_in(text, "192.0.2.1", 0 + 1), 1)
    for text in ("", "ABCD-EFGX", "ABCD-EFG", "ABCD-EFGHH", "\0", "ÄBCD-EFGH", "A" * 10_000):
        assert refusal(access, text, f"192.0.2.{len(text) % 200}", 1).wait == 0


def test_wrong_codes_cost_their_source_growing_delays_and_nobody_else(access):
    now = 1_000
    for _ in range(FREE):
        assert refusal(access, "wrong", "192.0.2.1", now).wait == 0
    waits = []
    for _ in range(9):
        wait = refusal(access, "wrong", "192.0.2.1", now).wait
        waits.append(wait)
        assert refusal(access, "ABCD-EFGH", "192.0.2.1", now).wait == wait  # the right one neither, and asking does not prolong it
        now += wait
        assert refusal(access, "wrong", "192.0.2.1", now).wait == 0
    assert waits == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, LONGEST, LONGEST, LONGEST]
    assert access.sign_in("ABCD-EFGH", "192.0.2.2", now)
    assert access.sign_in("ABCD-EFGH", "192.0.2.1", now + LONGEST)


def test_the_console_ends_all_delays_and_an_hour_forgets_them(access):
    for _ in range(20):
        try:
            access.sign_in("wrong", "192.0.2.1", 1)
        except Refused:
            pass
    assert refusal(access, "ABCD-EFGH", "192.0.2.1", 2).wait
    access.forgive()
    assert access.sign_in("ABCD-EFGH", "192.0.2.1", 2)
    for _ in range(FREE):
        refusal(access, "wrong", "192.0.2.9", 1)
    assert refusal(access, "wrong", "192.0.2.9", FORGET + 2).wait == 0


def test_what_is_kept_of_strangers_is_bounded(access):
    for number in range(SOURCES + 50):
        refusal(access, "wrong", f"10.0.{number // 250}.{number % 250}", 1)
    assert len(access._failed) == SOURCES


def test_sessions_end_by_time_by_number_and_by_a_new_code(access):
    first = access.sign_in("ABCD-EFGH", "192.0.2.1", 1)
    assert access.knows(first, IDLE) and access.knows(first, 2 * IDLE) and not access.knows(first, 3 * IDLE + 1)
    day = access.sign_in("ABCD-EFGH", "192.0.2.1", 1)
    for now in range(IDLE, WHOLE, IDLE):
        assert access.knows(day, now)
    assert not access.knows(day, WHOLE + 2)
    tokens = [access.sign_in("ABCD-EFGH", "192.0.2.1", 5) for _ in range(SESSIONS + 3)]
    assert [access.knows(token, 6) for token in tokens] == [False] * 3 + [True] * SESSIONS
    access.sign_out(tokens[-1])
    assert not access.knows(tokens[-1], 7)
    access.renew("JKMN-PQRS")
    assert not any(access.knows(token, 7) for token in tokens)
    assert access.sign_in("jkmnpqrs", "192.0.2.1", 8)


def test_tokens_are_not_kept(access):
    token = access.sign_in("ABCD-EFGH", "192.0.2.1", 1)
    assert len(token) == 43 and token not in repr(vars(access)) and not access.knows("", 1) and not access.knows(token[:-1], 1)


def test_a_household_is_one_source():
    assert network("2001:db8::1") == network("2001:db8::ffff:0:1") != network("2001:db8:0:1::1")
    assert network("::ffff:192.0.2.1") == "192.0.2.1" and network("fe80::1%wlan0") == network("fe80::2")
    assert network("nonsense:") == "nonsense:"


@given(st.text(), st.text(), st.integers(0, 1 << 40))
def test_any_text_is_refused_or_let_in(code, source, now):
    access = Access("ABCD-EFGH", os.urandom)
    try:
        access.sign_in(code, source, now)
    except Refused as refused:
        assert refused.wait >= 0
    assert not access.knows(code, now)


def test_codes_use_every_letter_and_no_other():
    codes = [new_code(os.urandom) for _ in range(300)]
    assert all(is_code(code) and len(code) == 9 for code in codes) and len(set(codes)) == 300
    assert set("".join(codes)) == set(ALPHABET) | {"-"}


def test_a_code_lasts_and_belongs_to_its_board(tmp_path):
    first = Label(str(tmp_path), BOARD, os.urandom)
    assert first.fresh and is_code(first.code) and (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    again = Label(str(tmp_path), BOARD, os.urandom)
    assert not again.fresh and again.code == first.code
    copied = Label(str(tmp_path), OTHER, os.urandom)
    assert copied.fresh and copied.code != first.code


def test_an_image_may_bring_the_code_of_the_printed_label(tmp_path):
    (tmp_path / NAME).write_text(json.dumps({"version": 1, "code": "WXYZ-2345", "board": None}))
    brought = Label(str(tmp_path), BOARD, os.urandom)
    assert (brought.code, brought.fresh) == ("WXYZ-2345", False)
    assert Label(str(tmp_path), OTHER, os.urandom).code != "WXYZ-2345"  # bound to the first board by then


@pytest.mark.parametrize("content", ["", "{", "[]", '{"code": 1, "board": null}', '{"code": "short", "board": null}', "[" * 3000])
def test_a_damaged_code_is_made_anew(tmp_path, content):
    (tmp_path / NAME).write_text(content)
    made = Label(str(tmp_path), BOARD, os.urandom)
    assert made.fresh and json.loads((tmp_path / NAME).read_text())["code"] == made.code


def test_a_code_that_cannot_be_kept_keeps_the_portal_shut(tmp_path):
    class Full(Files):
        def write(self, path, data):
            raise OSError(28, "No space left on device")

    with pytest.raises(LocalError, match="No space left on device; the portal stays shut"):
        Label(str(tmp_path), BOARD, os.urandom, Full())
