"""Seeds that once found a bug; each line says which."""

import pytest

from tests.sim.scenario import Scenario, Size

SEEDS: list[tuple[int, Size, str]] = []


@pytest.mark.parametrize(("seed", "size", "bug"), SEEDS)
def test_seed(seed: int, size: Size, bug: str) -> None:
    Scenario(seed, size).run()
