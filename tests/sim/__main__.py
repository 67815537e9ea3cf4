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
    print(f"seed {seed}: {verdict}\n  {len(scenario.tried)} pairs, {scenario.tokens} questions, {scenario.world.events} events, "
          f"{seconds:.1f} s, trace {scenario.world.hash()[:16]}\n  hits: {hits}", flush=True)
    return verdict == "held"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, from --seed on")
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--hours", type=int, default=24)
    arguments = parser.parse_args()
    size = Size(nodes=arguments.nodes, hours=arguments.hours)
    good = [one(seed, size) for seed in range(arguments.seed, arguments.seed + arguments.seeds)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
