"""Recordings of `skerry record` as seeds: each file in recordings/ is played through the engine as it is now.

A file of this very code must bring the same decisions, bit for bit. A file of older code is played as far as its inputs go: the engine
must take every input without a fault of its own, and must end in the state that the recorded one ended in. So a bug from the field stays
found: copy the file there, with a line in SEEDS that says what it was.

`python -m tests.sim.test_recordings FILE` makes the first one anew: a board that joins, talks, loses its network and gets it back.
"""

import sys
from pathlib import Path

import pytest

from skerry_core.engine import Engine
from skerry_node.recorder.recorder import Recorder
from skerry_node.recorder.recording import Recording, code, pack
from skerry_node.recorder.replay import Replay
from tests.sim import board
from tests.sim.scenario import Scenario, Size

FOLDER = Path(__file__).parent / "recordings"
SEEDS: dict[str, tuple[str, str]] = {
    "joins_and_talks.rec": ("Running", "a board joins, talks to others behind NATs, is moved and suspended"),
}


def test_every_recording_has_its_line() -> None:
    assert {path.name for path in FOLDER.glob("*.rec")} == set(SEEDS)


@pytest.mark.parametrize("name", SEEDS)
def test_recording(name: str) -> None:
    recording = Recording((FOLDER / name).read_bytes())
    replay = Replay(recording, exact=recording.header["code"] == code())
    steps = list(replay.steps())
    assert len(steps) > 10
    assert not [kind for kind in replay.engine.drops if kind.startswith("fault-")]
    assert replay.engine.state == SEEDS[name][0]


def test_a_fresh_recording_is_a_seed_that_is_exact(tmp_path: Path) -> None:
    make(tmp_path / "fresh.rec")
    recording = Recording((tmp_path / "fresh.rec").read_bytes())
    assert recording.header["code"] == code()
    steps = list(Replay(recording).steps())
    assert any(event[0] == "path" for step in steps for event in step.events)


def make(path: Path) -> None:
    """A quarter of an hour of a board of the simulator, from its start."""
    made: list[Recorder] = []

    def recorded(*arguments: object) -> Recorder:
        made.append(Recorder(Engine, *arguments))  # type: ignore[arg-type]
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(board, "Engine", recorded)
        patch.setattr("skerry_node.recorder.recorder.QUIET", 1 << 40)
        scenario = Scenario(11, Size(nodes=8, hours=1, talks=3, faults=0))
        scenario.world.run(12 * 60_000)
        first = scenario.boards[0]
        for friend in (1, 2, 3):
            scenario.say(0, friend)
            scenario.world.run(scenario.world.now + 5_000)
        first.suspend()
        scenario.world.run(scenario.world.now + 60_000)
        first.resume()
        first.move(bytes((30, 0, 9, 9)), None)
        scenario.world.run(scenario.world.now + 90_000)
        scenario.say(0, 1)
        scenario.world.run(scenario.world.now + 10_000)
    recorder = next(each for each in made if each.engine is first.engine.engine)  # type: ignore[union-attr]
    path.write_bytes(pack(recorder, "0.1.0", code(), 0, scenario.world.now))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
