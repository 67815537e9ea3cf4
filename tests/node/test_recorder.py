"""Recordings that are damaged, truncated, of another version or made up to harm; what the recorder may cost; the command line."""

import hashlib
import json
import random
import zlib

import pytest

from skerry_core.engine import Engine
from skerry_core.errors import PeerError
from skerry_node.cli import main
from skerry_node.recorder import graph, recording
from skerry_node.recorder.recorder import Recorder
from skerry_node.recorder.recording import Recording, pack
from skerry_node.recorder.replay import Replay
from skerry_node.recorder.segment import Segment
from skerry_node.recorder.values import Secret, SecretText, decode, encode
from skerry_shim import crypto
from tests.sim import board as boards
from tests.sim.scenario import Scenario, Size

CODE = recording.code()


@pytest.fixture(scope="module")
def files():
    """Two real ones: of a board's whole life, and of its last part."""
    made, found = [], []

    def make(config, used, source, now, saved=None, handed=None):
        made.append(Recorder(Engine, config, used, source, now, saved, handed))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boards, "Engine", make)
        patch.setattr("skerry_node.recorder.recorder.QUIET", 1 << 40)
        scenario = Scenario(2, Size(nodes=8, hours=1, talks=2, faults=0))
        scenario.run()
        for recorder in made[:1]:
            found.append(pack(recorder, "0.1.0", CODE, 1_790_000_000_000, recorder.engine.now))
            recorder._newer.since, recorder._newer.raw = -(10**7), 1 << 41
            recorder.handle_timer(recorder.engine.now + 1)
            recorder._older = None
            recorder.actions()
            found.append(pack(recorder, "0.1.0", CODE, 1_790_000_000_000, recorder.engine.now))
    return found


def play(data):
    replay = Replay(Recording(data))
    return list(replay.steps())


def sealed(parts):
    """Blocks with a right digest at the end."""
    body = b"".join([recording.MAGIC, recording.FORMAT.to_bytes(2, "big"), *(recording._block(*each) for each in parts)])
    return body + recording._block(b"Z", hashlib.blake2s(body).digest())


def parts_of(data):
    return list(recording._blocks(data))


def rows_of(data):
    found = Recording(data)
    return found.header, found.state, found.entries


def built(header, state, entries):
    lines = [b"\n".join(json.dumps(row).encode() for row in rows) for rows in (state, entries)]
    return sealed([(b"H", json.dumps(header).encode()), (b"S", zlib.compress(lines[0])), (b"E", zlib.compress(lines[1]))])


def test_both_kinds_of_recording_play(files):
    assert {Recording(data).state[0][0] for data in files} == {"start", "obj"}
    for data in files:
        assert play(data)


def test_every_truncation_and_every_damaged_byte_is_said(files):
    data = files[1]
    for length in [*range(40), *range(40, len(data), 997)]:
        with pytest.raises(PeerError, match="recording"):
            Recording(data[:length])
    source = random.Random(1)
    for _ in range(100):
        at = source.randrange(len(data))
        with pytest.raises(PeerError, match="recording"):
            Recording(data[:at] + bytes([data[at] ^ (1 << source.randrange(8))]) + data[at + 1 :])


def test_what_was_made_up_ends_in_a_sentence(files):
    """The digest is right, the content is not: the only errors are PeerErrors, and nothing outside the engine is touched."""
    source = random.Random(7)
    outcomes = set()
    for data in files:
        header, state, entries = rows_of(data)
        for _ in range(40):
            rows = [json.loads(json.dumps(state)), json.loads(json.dumps(entries[:150]))]
            harm(source, rows[source.randrange(2)])
            try:
                play(built(header, *rows))
                outcomes.add("played")
            except PeerError:
                outcomes.add("refused")
    assert "refused" in outcomes


WRONG = [
    None, -1, 1 << 70, "x", [], {}, {"o": 0}, {"o": 10**9}, {"m": [0, "save"]}, {"m": [0, "__class__"]}, {"x": "random"}, {"s": 1 << 40},
    {"k": "skerry_core.engine.engine:Engine"}, {"k": "os:system"}, {"t": [{"t": []}]}, {"b": "zz"},
]  # fmt: skip


def harm(source, rows):
    """Replace a random value by something wrong."""
    place = rows
    for _ in range(source.randrange(2, 9)):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = source.choice(keys) if keys else None
        if key is None or not isinstance(place[key], (list, dict)) or not place[key]:
            break
        parent, place = place, place[key]
        last = (parent, key)
    last[0][last[1]] = source.choice(WRONG)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (["obj", 0, "os:system", []], "class"),
        (["obj", 0, "skerry_core.errors:PeerError", []], "class"),
        (["obj", 0, "skerry_core.no_such:Thing", []], "class"),
        (["obj", 0, "skerry_core.engine.engine:Engine", [["__class__", 1]]], "damaged"),
        (["obj", 0, "skerry_core.engine.engine:Engine", []], "no engine"),
        (["obj", 1, "skerry_core.engine.engine:Engine", []], "order"),
        (["start", 1], "replayed"),
        (["start", 1, {"t": []}, None, None], "replayed"),
    ],
)
def test_a_state_that_is_none(files, row, words):
    header, _, _ = rows_of(files[0])
    with pytest.raises(PeerError, match=words):
        play(built(header, [row], []))


def test_what_unpacks_to_too_much_is_refused(files):
    header, _, _ = rows_of(files[0])
    bomb = zlib.compress(b"[" * (recording.LINES_LIMIT + 10))
    with pytest.raises(PeerError, match="128 MB"):
        Recording(sealed([(b"H", json.dumps(header).encode()), (b"S", bomb)]))
    with pytest.raises(PeerError, match="JSON"):
        Recording(sealed([(b"H", json.dumps(header).encode()), (b"S", zlib.compress(b"[" * 100_000))]))


def test_a_decision_that_differs_is_named(files):
    header, state, entries = rows_of(files[0])
    at = next(number for number, row in enumerate(entries) if row[0] == "a")
    entries[at][1] = "00" * 8
    with pytest.raises(PeerError, match=f"differs from the recording in row {at + 1}: other actions"):
        play(built(header, state, entries))


def test_another_version_is_said_and_can_be_played_anyway(files, tmp_path, capsys):
    file = tmp_path / "old.rec"
    for data in files:
        header, state, entries = rows_of(data)
        entries = [row for row in entries if row[0] != "r" or row[1] != 24]  # what other code would not ask for, and would miss
        file.write_bytes(built({**header, "code": "0123456789abcdef", "skerry": "9.9"}, state, entries))
        assert main(["replay", str(file)]) == 1
        said = " ".join(capsys.readouterr().err.split())
        assert "Skerry 9.9 (code 0123456789abcdef)" in said and "--anyway" in said
        assert main(["replay", str(file), "--anyway", "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert not shown["exact"] and shown["steps"]
        assert shown["differences"] or state[0][0] == "obj"  # that one has hardly begun
    front = bytearray(files[0])
    front[9] = 7
    with pytest.raises(PeerError, match="format 7, this version reads 1"):
        Recording(bytes(front))


def test_the_command_line_says_what_is_wrong(files, tmp_path, capsys):
    for content, words in ((b"", "no recording"), (b"#!/bin/sh", "no recording"), (files[0][:-1], "truncated")):
        (tmp_path / "f").write_bytes(content)
        assert main(["replay", str(tmp_path / "f")]) == 1
        assert words in " ".join(capsys.readouterr().err.split())
    assert main(["replay", str(tmp_path / "none")]) == 1
    assert "No such file" in " ".join(capsys.readouterr().err.split())
    (tmp_path / "f").write_bytes(files[0])
    assert main(["replay", str(tmp_path / "f"), "--svg", str(tmp_path / "no" / "x.svg")]) == 1
    assert "--svg" in " ".join(capsys.readouterr().err.split())


def test_values_come_back_and_secrets_do_not():
    value = {"a": [1, None, True, "x"], "b": (b"\0\1", bytearray(b"z")), "c": {(1, b"2"): {3}}}
    assert decode(json.loads(json.dumps(encode(value)))) == value
    shown = json.dumps(encode([Secret(b"abc"), SecretText("key")]))
    assert shown == '[{"s": 3}, {"S": 3}]' and decode(json.loads(shown)) == [b"***", "***"]
    assert repr(Secret(b"abc")) == "[redacted]" == repr(SecretText("key"))


def test_a_fault_of_the_recorder_costs_the_engine_nothing(monkeypatch):
    recorder = Recorder(Engine, {"gateway": "http://192.0.2.1:8080"}, crypto, random.Random(3).randbytes, 0)
    monkeypatch.setattr(Segment, "add", lambda self, line: 1 / 0)
    recorder.receive(("command", 1, "up", {}), 5)
    assert "ZeroDivisionError" in recorder.problem and recorder.size == 0
    assert any(action[0] == "connect" for action in recorder.actions())
    data = pack(recorder, "0.1.0", CODE, 0, 5)
    with pytest.raises(PeerError, match="ended by a fault"):
        play(data)


def test_a_state_that_does_not_fit_is_said(monkeypatch):
    monkeypatch.setattr("skerry_node.recorder.segment.HEAD_LIMIT", 20)
    recorder = Recorder(Engine, {"gateway": "http://192.0.2.1:8080"}, crypto, random.Random(3).randbytes, 0)
    recorder.receive(("command", 1, "up", {}), 5)
    recorder.actions()
    with pytest.raises(PeerError, match="does not fit"):
        play(pack(recorder, "0.1.0", CODE, 0, 5))
    assert list(graph.lines(recorder.engine, recorder._given))
