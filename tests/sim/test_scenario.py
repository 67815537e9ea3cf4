"""A day of 50 nodes under faults; determinism; and bugs planted on purpose that must be found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim import planted
from tests.sim.scenario import Failure, Scenario, Size

SMALL = Size(nodes=12, hours=2, talks=4, faults=32)


@pytest.mark.timeout(550)
def test_a_day_of_fifty_nodes() -> None:
    scenario = Scenario(1)
    scenario.run()
    assert not scenario.unhit()
    assert len(scenario.tried) > 100


def test_the_same_seed_gives_the_same_trace_whatever_the_hash_seed() -> None:
    script = (
        "from tests.sim.scenario import Scenario, Size\n"
        "s = Scenario(5, Size(nodes=8, hours=1, talks=3, faults=16)); s.run(); print(s.world.hash(), s.world.events)"
    )
    traces = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        root = Path(__file__).parent.parent.parent
        done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=root, capture_output=True, text=True, check=True)
        traces.add(done.stdout)
    assert len(traces) == 1


def test_the_small_scenario_holds() -> None:
    Scenario(3, SMALL).run()


@pytest.mark.parametrize("bug", planted.BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    with planted.BUGS[bug](), pytest.raises(Failure):
        Scenario(3, SMALL).run()
