"""Seeds that once found a bug; each line says which."""

import pytest

from tests.sim.scenario import Scenario, Size

SWARM = Size(nodes=12, hours=3, swarm=True)
SMALL = Size(nodes=12, hours=3)
SEEDS: list[tuple[int, Size, str]] = [
    (105, SWARM, "after a sleep inputs were handled before the timers that were long due: data went out on a key of 413 s"),
    (103, SWARM, "after a sleep the keepalive's timer came before the session's: a keepalive went out on a key of 194 s"),
    (4, SMALL, "two boards with one card threw each other out of the gateway every second"),
    (1, Size(nodes=30, hours=1, faults=40), "a copied card ran ahead with its stamps: peers refused the original's handshakes for hours"),
]


@pytest.mark.parametrize(("seed", "size", "bug"), SEEDS)
def test_seed(seed: int, size: Size, bug: str) -> None:
    Scenario(seed, size).run()
