"""`why` of every pair of {public, easy, hard random, hard block of 512, hard sequential}, against the NATs built, in virtual time."""

from itertools import combinations_with_replacement, product
from typing import Any

import pytest

from skerry_core import nat
from tests.sim.network import Nat
from tests.sim.scenario import Scenario, Size

KINDS = ("public", "easy", "hard random", "hard block of 512", "hard sequential")
TEXTS = {
    "public": "public address",
    "easy": "easy NAT",
    "hard random": "hard NAT, random ports",
    "hard block of 512": "hard NAT, ports from a block of 512",
    "hard sequential": "hard NAT, sequential ports",
}
SECOND = 1000


def built(scenario: Scenario, kind: str, number: int) -> Nat | None:
    address, choice = bytes([20, 0, 0, number]), scenario.world.random.choice
    ports = {"hard random": range(1024, 65536), "hard block of 512": range(20480, 20992)}.get(kind)
    return None if kind == "public" else Nat(address, hard=kind != "easy", ports=ports, random=choice)


@pytest.fixture(scope="module")
def lab() -> Scenario:
    """Two nodes of each kind, all joined, all of whom have talked with all."""
    scenario = Scenario(11, Size(nodes=2 * len(KINDS), hours=1))
    for index, board in enumerate(scenario.boards):
        made = built(scenario, KINDS[index // 2], index + 1)
        address = bytes([30, 0, 0, index]) if made is None else bytes([192, 168, index, 2])
        scenario.network.move(board.host, address, made)
    scenario.world.run(11 * 60 * SECOND)
    for _ in range(30):
        for a, b in product(range(len(scenario.boards)), repeat=2):
            if a != b:
                scenario.say(a, b)
        scenario.world.run(scenario.world.now + SECOND)
    return scenario


def explained(lab: Scenario, a: int, b: int) -> dict[str, Any]:
    one, other = lab.boards[a].engine, lab.boards[b].engine
    assert one is not None and other is not None
    return one.explain(other.node_public)


@pytest.mark.parametrize("kinds", list(product(KINDS, repeat=2)), ids=" and ".join)
def test_why_of_a_pair_is_what_was_built(lab: Scenario, kinds: tuple[str, str]) -> None:
    a, b = 2 * KINDS.index(kinds[0]), 2 * KINDS.index(kinds[1]) + 1
    found, name = explained(lab, a, b), f"n{b}"
    assert (found["nat"]["self"]["text"], found["nat"]["peer"]["text"]) == (TEXTS[kinds[0]], TEXTS[kinds[1]])
    hard = [kind.startswith("hard") for kind in kinds]
    direct = "public" in kinds or not any(hard)
    assert (found["direct_possible"], found["path"]["kind"]) == (direct, "direct" if direct else "relay"), found["lines"]
    blamed = [who for who, guilty in zip(("this node", name), hard, strict=True) if guilty]
    assert found["fault"] == ([] if direct else blamed)
    assert bool(found["help"]) is not direct
    assert found["lines"][0].startswith(f"{name} is reached directly" if direct else f"{name} is reached through relay skerry")
    if not direct:
        assert all(words in found["reason"] for words in (TEXTS[kinds[0]], TEXTS[kinds[1]], "The fault is with"))
        assert {each["outcome"] for each in found["tried"]} <= {"silent", "asked"}
        assert len([line for line in found["lines"] if line.startswith("What would help: ")]) == 2
    else:
        assert any(each["outcome"] == "in-use" for each in found["tried"])


def test_the_verdict_does_not_depend_on_who_asks() -> None:
    kinds = [nat.Nat(nat.NONE), nat.Nat(nat.ENDPOINT, nat.PORT), nat.Nat(nat.ENDPOINT, nat.ADDRESS)]
    kinds += [nat.Nat(nat.PORT, nat.PORT, "block", 512), nat.Nat(nat.NONE, nat.PORT), nat.Nat(nat.BLOCKED), nat.Nat()]
    for one, other in combinations_with_replacement(kinds, 2):
        here, there = nat.pair(one, other, ("a", "b")), nat.pair(other, one, ("b", "a"))
        assert here["possible"] == there["possible"]
        assert sorted(here["fault"]) == sorted(there["fault"])
        assert sorted(here["help"]) == sorted(there["help"])
