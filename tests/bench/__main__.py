"""`make bench`: run every measure and print a table, or JSON; enters its own namespaces.

python -m tests.bench [--quick] [--json] [--rounds N] [--only join,memory]
"""

import argparse
import compileall
import json
import os
import platform
import statistics
import sys
from typing import Any

from tests.bench import Measured
from tests.netlab import enter, inside
from tests.netlab.programs import ROOT

QUICK, ROUNDS = 3, 9
SETTLE_S = 60


def machine() -> str:
    """The host in one line."""
    found = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith(("model name", "Model"))]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    model = found[0] if found else platform.machine()
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}"


def spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def row(measured: Measured) -> str:
    ours, theirs = (spread(measured.values[kind], measured.digits) for kind in ("skerryd", "tailscaled"))
    verdict = "met" if measured.met() else "MISSED"
    return f"{measured.name:<48} {measured.ratio():>5.2f}x  {ours:>18}  {theirs:>18}  {verdict}: {measured.goal}"


def document(measured: Measured) -> dict[str, Any]:
    of = {kind: {"median": statistics.median(v), "min": min(v), "max": max(v), "values": v} for kind, v in measured.values.items()}
    return {"name": measured.name, "unit": measured.unit, "ratio": measured.ratio(), "goal": measured.goal, "met": measured.met(), **of}


def say(sentence: str) -> None:
    """Progress, beside the results."""
    print(f"bench: {sentence}", file=sys.stderr, flush=True)


def compiled() -> None:
    """Byte code beside the sources, as pip leaves it: in a checkout, and where the environment forbids it, there may be none."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for folder in ("board", "firmware", "gateway"):
        compileall.compile_dir(ROOT / folder, quiet=2)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.bench", description="Measure skerryd beside the official client, in one run.")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK} rounds instead of {ROUNDS}, less waiting: for a look, not the record"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="this many rounds")
    parser.add_argument("--only", metavar="NAME", choices=["join", "memory"], help="one of: join, memory")
    parser.add_argument("--json", action="store_true", help="print JSON for programs; progress stays on standard error")
    arguments = parser.parse_args(argv)
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error(f"--rounds {arguments.rounds}: at least 1 is needed")
    arguments.rounds = arguments.rounds or (QUICK if arguments.quick else ROUNDS)
    return arguments


def main(arguments: argparse.Namespace) -> int:
    from tests.bench import join_time, memory

    compiled()
    say(f"{machine()}; load {os.getloadavg()[0]:.1f}")
    results: list[Measured] = []
    if arguments.only != "memory":
        results += join_time.measure(arguments.rounds, say)
    if arguments.only != "join":
        results += memory.measure(10 if arguments.quick else SETTLE_S, say)
    if arguments.json:
        print(json.dumps({"machine": machine(), "rounds": arguments.rounds, "measures": [document(each) for each in results]}, indent=2))
        return 0
    print(f"machine: {machine()}\nrounds: {arguments.rounds}, in alternation; medians (min-max)\n")
    print(f"{'measure':<48} {'ratio':>6}  {'skerryd':>18}  {'tailscaled':>18}  goal")
    for each in results:
        print(row(each))
    return 0


if __name__ == "__main__":
    chosen = parse(sys.argv[1:])  # a wrong argument or --help needs no namespaces
    if not inside():
        reason = enter.why_not()
        if reason:
            sys.exit(f"make bench: {reason}")
        os.environ[enter.MARK] = "1"
        os.environ["PATH"] += ":/usr/sbin:/sbin"
        command = enter.enter([sys.executable, "-m", "tests.bench", *sys.argv[1:]])
        os.execvp(command[0], command)
    sys.exit(main(chosen))
