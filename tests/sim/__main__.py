"""`python -m tests.sim [--seed N | --seeds N] [--nodes N] [--hours N]`: run the scenario and say what happened."""

import argparse
import sys
import time

from tests.sim.scenario import Failure, Scenario, Size


def one(seed: int, size: Size) -> bool:
    start = time.monotonic()
    scenario = Scenario(seed, size)
    try:
        scenario.run()
        verdict = "held"
    except Failure as failure:
        verdict = f"FAILED: {failure}"
    seconds = time.monotonic() - start
    hits = " ".join(f"{kind}={count}" for kind, count in sorted(scenario.world.hits.items()))
    saves = sum(board.saves for board in scenario.boards)
    lines = [
        f"seed {seed}: {verdict}",
        f"{len(scenario.tried)} pairs, {scenario.tokens} questions, {scenario.world.events} events, {saves} saves, {seconds:.1f} s",
        f"at most {scenario.checks.peak_dials} streams opened in a second, healed in {scenario.ending.recovered} ms",
        f"idle: {scenario.ending.idle_events:.1f} events a node and minute",
        f"hits: {hits}",
        f"trace {scenario.world.hash()[:16]}" + (f", only {', '.join(scenario.kinds)}" if size.swarm else ""),
    ]
    print("\n  ".join(lines), flush=True)
    return verdict == "held"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, from --seed on")
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--faults", type=int, help="how many (default: 65 in a day)")
    parser.add_argument("--swarm", action="store_true", help="half of the kinds of fault only, chosen by the seed")
    arguments = parser.parse_args()
    size = Size(nodes=arguments.nodes, hours=arguments.hours, swarm=arguments.swarm)
    size.faults = arguments.faults or size.faults
    good = [one(seed, size) for seed in range(arguments.seed, arguments.seed + arguments.seeds)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
