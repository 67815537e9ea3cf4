"""`make bench`: run the measures and print a table, or JSON; plots go to a folder; enters its own namespaces.

python -m tests.bench [--quick] [--json] [--rounds N] [--only NAME[,NAME...]] [--out FOLDER] [--list]
"""

import argparse
import compileall
import importlib
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench import OURS, THEIRS, Measured
from tests.netlab import enter, inside
from tests.netlab.programs import ROOT

QUICK, ROUNDS = 3, 7
BUSY = 0.5  # load average above which the machine is not idle

# name: (module, function, what it measures, at most this many rounds; 0: it is told how long to idle instead)
MEASURES = {
    "join": ("join_time", "measure", "up to the first reply, restart with state", 9),
    "tcp": ("tcp", "measure", "TCP in three shapes on two links, and its CPU cost", 7),
    "mixed": ("tcp", "mixed", "TCP between skerryd and tailscaled", 5),
    "udp": ("udp", "measure", "UDP without loss", 5),
    "flood": ("flood", "measure", "TCP while the receiver's port is flooded with forged handshakes", 3),
    "relays": ("relays", "measure", "through DERP, ours and theirs", 5),
    "udprelay": ("udp_relay", "measure", "through our UDP relay, where there is no direct path", 5),
    "connections": ("connections", "measure", "memory of a relay connection that is idle", 3),
    "forwarding": ("forwarding", "measure", "the UDP relay alone", 3),
    "latency": ("latency", "measure", "round trips under load", 5),
    "restart": ("restart_gap", "compare", "a TCP flow while the receiver's daemon is restarted", 3),
    "swaps": ("swaps", "measure", "traffic away after a change of the uplink", 3),
    "memory": ("memory", "measure", "resident memory and wake-ups", 0),
}
IDLE_S, IDLE_QUICK_S = 60, 10


def machine() -> str:
    """The host in one line."""
    found = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith(("model name", "Model"))]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    model = found[0] if found else platform.machine()
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}"


def spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})" if values else "-"


def row(measured: Measured) -> str:
    ours, theirs = (spread(measured.values[kind], measured.digits) for kind in (OURS, THEIRS))
    ratio, met = measured.ratio(), measured.met()
    shown = "-" if ratio is None or measured.invalid else f"{ratio:.2f}x"
    verdict = "INVALID" if measured.invalid else {True: "met", False: "MISSED", None: "untold"}[met]
    return f"{measured.name:<48} {shown:>7}  {ours:>20}  {theirs:>20}  {verdict}: {measured.invalid or measured.goal}"


def document(measured: Measured) -> dict[str, Any]:
    of = {kind: {"median": measured.median(kind), "values": values} for kind, values in measured.values.items()}
    verdict = {"ratio": measured.ratio(), "goal": measured.goal, "met": measured.met(), "invalid": measured.invalid}
    return {"name": measured.name, "unit": measured.unit, **verdict, **of}


def say(sentence: str) -> None:
    """Progress, beside the results."""
    print(f"bench: {sentence}", file=sys.stderr, flush=True)


def compiled() -> None:
    """Byte code beside the sources, as pip leaves it: in a checkout, and where the environment forbids it, there may be none."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for folder in ("board", "firmware", "gateway"):
        compileall.compile_dir(ROOT / folder, quiet=2)


def names(text: str) -> list[str]:
    chosen = [name for name in text.split(",") if name]
    unknown = [name for name in chosen if name not in MEASURES]
    if unknown or not chosen:
        raise argparse.ArgumentTypeError(f"{text!r}: expected some of {', '.join(MEASURES)}, with commas between")
    return chosen


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.bench", description="Measure skerryd beside the official client, in one run.")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} rounds, less idling: for a look, not the record")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"at most this many rounds (default: {ROUNDS}, some measures fewer)")
    parser.add_argument("--only", metavar="NAME[,NAME]", type=names, default=list(MEASURES), help=f"some of: {', '.join(MEASURES)}")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=ROOT / "build" / "bench", help="plots and results.json go there")
    parser.add_argument("--json", action="store_true", help="print JSON for programs; progress stays on standard error")
    parser.add_argument("--list", action="store_true", help="the measures, and nothing else")
    arguments = parser.parse_args(argv)
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error(f"--rounds {arguments.rounds}: at least 1 is needed")
    arguments.rounds = arguments.rounds or (QUICK if arguments.quick else ROUNDS)
    return arguments


def run(name: str, arguments: argparse.Namespace) -> list[Measured]:
    module, function, text, most = MEASURES[name]
    say(f"{name}: {text}")
    measure = getattr(importlib.import_module(f"tests.bench.{module}"), function)
    idle = IDLE_QUICK_S if arguments.quick else IDLE_S
    results: list[Measured] = measure(min(arguments.rounds, most) if most else idle, say)
    for each in results:
        say(row(each))
    return results


def main(arguments: argparse.Namespace) -> int:
    compiled()
    load, start = os.getloadavg()[0], time.monotonic()
    note = f"load average {load:.1f} at the start" + (": NOT IDLE, the values say little" if load > BUSY else "")
    say(f"{machine()}; {note}")
    results = [each for name in arguments.only for each in run(name, arguments)]
    whole = {"machine": machine(), "note": note, "rounds": arguments.rounds, "measures": [document(each) for each in results]}
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.json").write_text(json.dumps(whole, indent=2) + "\n")
    plots(results, arguments.out)
    say(f"{time.monotonic() - start:.0f} s; results and plots are in {arguments.out}")
    if arguments.json:
        print(json.dumps(whole, indent=2))
        return 0
    print(f"machine: {machine()}\n{note}; up to {arguments.rounds} rounds in alternation; medians (min-max)\n")
    print(f"{'measure':<48} {'ratio':>7}  {OURS:>20}  {THEIRS:>20}  goal")
    for each in results:
        print(row(each))
    return 0


def plots(results: list[Measured], folder: Path) -> None:
    try:
        from tests.bench.plots import draw

        draw(results, folder)
    except ImportError as error:
        say(f"no plots: {error}. make setup-test installs what draws them")


if __name__ == "__main__":
    chosen = parse(sys.argv[1:])  # a wrong argument or --help needs no namespaces
    if chosen.list:
        print("\n".join(f"{name:<12} {what[2]}" for name, what in MEASURES.items()))
        sys.exit(0)
    if not inside():
        reason = enter.why_not()
        if reason:
            sys.exit(f"make bench: {reason}")
        os.environ[enter.MARK] = "1"
        os.environ["PATH"] += ":/usr/sbin:/sbin"
        command = enter.enter([sys.executable, "-m", "tests.bench", *sys.argv[1:]])
        os.execvp(command[0], command)
    sys.exit(main(chosen))
