"""The boot state: what each event makes of it, and that a power cut at any byte of a write leaves the old state or the new."""

import os
import random

import pytest

from skerry_board import bootstate
from skerry_board.bootstate import OFFSETS, SIZE, TRIES, BootState, Card, decode, encode
from skerry_core.errors import LocalError


@pytest.fixture
def card(tmp_path):
    path = tmp_path / "card"
    path.write_bytes(bytes(OFFSETS[1] + SIZE))
    return Card(str(path))


def boots(state):
    """The slots that a board boots which hangs each time, until it is no longer on trial."""
    found = []
    while state.trial:
        state = state.booted()
        found.append(state.active)
    return found, state


def test_a_new_system_is_tried_three_times_and_then_given_up():
    slots, after = boots(BootState().installed())
    assert slots == ["b"] * TRIES + ["a"] and after == BootState()


def test_a_good_one_stays_and_a_bad_one_goes_at_once():
    trial = BootState().installed().booted()
    assert (trial.healthy().active, trial.healthy().good, trial.healthy().trial) == ("b", "b", False)
    assert (trial.unhealthy().active, trial.unhealthy().good) == ("a", "a")
    assert trial.healthy().installed().active == "a"
    with pytest.raises(LocalError, match="slot b is on trial"):
        trial.installed()


def test_a_boot_without_a_trial_changes_and_writes_nothing(card):
    stored = card.store(BootState("b", "b"))
    before = os.stat(card._path).st_mtime_ns
    assert stored.booted() == stored.healthy() == stored.unhealthy() == stored
    assert card.store(stored.healthy()) == stored and os.stat(card._path).st_mtime_ns == before


def test_one_damaged_copy_is_enough_and_is_mended_with_the_next_store(card):
    stored = card.store(BootState().installed())
    for offset in OFFSETS:
        with open(card._path, "r+b") as raw:
            raw.seek(offset + 10)
            raw.write(b"\xff")
        assert Card(card._path).load() == stored
        assert card.store(stored).generation == stored.generation + 1
        stored = card.load()
    with open(card._path, "wb") as raw:
        raw.write(bytes(OFFSETS[1] + SIZE))
    with pytest.raises(LocalError, match="neither copy"):
        card.load()
    with pytest.raises(LocalError, match="cannot read"):
        Card(card._path + "-gone").load()


class PowerCut(Exception):
    pass


def test_a_power_cut_anywhere_leaves_the_old_state_or_the_new(card, monkeypatch):
    """Every write is cut after some of its bytes, with the rest old or garbage; then the board starts."""
    rng, real = random.Random(1), os.pwrite
    for cut in range(0, 2 * SIZE + 1, 509):
        old = card.store(BootState())
        new = old.installed()
        left = cut

        def torn(descriptor, data, offset):
            nonlocal left
            part = min(left, len(data))
            left -= part
            real(descriptor, data[:part], offset)
            if part < len(data):
                real(descriptor, rng.randbytes(min(SIZE - part, 512)), offset + part)
                raise PowerCut
            return part

        monkeypatch.setattr(bootstate.os, "pwrite", torn)
        try:
            card.store(new)
        except PowerCut:
            pass
        monkeypatch.setattr(bootstate.os, "pwrite", real)
        found = card.load()
        assert (found.active, found.tries) in ((old.active, old.tries), (new.active, new.tries))
        assert (found.active == "b") == (cut >= SIZE), cut
        card.store(found)
        card.store(BootState())


def test_hostile_copies_are_none():
    rng = random.Random(2)
    good = encode(BootState(generation=7))
    assert decode(good) == BootState(generation=7) and len(good) == SIZE
    for _ in range(300):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 5)):
            data[rng.randrange(SIZE)] ^= 1 << rng.randrange(8)
        assert decode(bytes(data)) is None
    for wrong in (BootState("c", "a"), BootState("a", "b"), BootState(tries=9, trial=True), BootState(generation=-1), BootState(tries=1)):
        assert decode(encode(wrong)) is None
    assert decode(b"") is None and decode(bytes(SIZE)) is None


def test_a_card_that_fails_says_so(card, monkeypatch):
    card.store(BootState())
    monkeypatch.setattr(bootstate.os, "pwrite", lambda descriptor, data, offset: len(data))  # a worn card keeps what it had
    with pytest.raises(LocalError, match="reads back wrong"):
        card.store(BootState().installed())
