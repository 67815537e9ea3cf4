"""A TCP flow of at most 1 Gbit/s while the daemon is restarted: its rate over time, for skerryd with a descriptor store and for tailscaled
under the same supervisor.

python -m tests.netlab python -m tests.bench.restart_gap [--seconds N] [--megabits N] [--json FILE] [--plot FILE] [--only skerryd]

JSON: {"skerryd" | "tailscaled": {"series": [[seconds from the restart, bytes so far], ...], "gap_ms", "ready_ms", "error"}}. The far
end is a tailscaled in both runs; the restarted node receives. `gap_ms` is the longest time without a byte after the restart began, null
when the flow never came back; `error` says so when the connection broke.
"""

import argparse
import functools
import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import Measured
from tests.netlab import Lab
from tests.netlab.flow import Flow, gap
from tests.netlab.lab import LabError, until
from tests.netlab.programs import Gateway, Tailscaled
from tests.netlab.supervised import Supervised, SupervisedTailscaled

BEFORE = 2.0  # s of flow before the restart
KINDS = ("skerryd", "tailscaled")
RATE_STEP = 0.05  # s


def record(kind: str, seconds: float, megabits: float) -> dict[str, Any]:
    """One run in a lab of its own."""
    with Lab() as lab:
        gateway = Gateway(lab.public("gateway"), "gw")
        gateway.start()
        key = gateway.key("owner", "--reusable")
        node = {"skerryd": Supervised, "tailscaled": SupervisedTailscaled}[kind](lab.public("restarted"), "restarted")
        far = Tailscaled(lab.public("far"), "far")
        with node.supervisor:
            for each in (node, far):
                each.start()
                each.up(gateway.url, key)
            far.reaches(node.address)
            until("the path is direct", lambda: direct(far), 20)
            return run(node, far, seconds, megabits)


def direct(node: Tailscaled) -> bool:
    peer = node.peer("restarted")
    return bool(peer and peer.get("CurAddr"))


def run(node: Any, far: Tailscaled, seconds: float, megabits: float) -> dict[str, Any]:
    """The flow in an established pair, with the restart in it."""
    with Flow(far, node, seconds, megabits) as flow:
        until("bytes arrive", lambda: flow.received() > 0, 20)
        time.sleep(BEFORE)  # a stretch of undisturbed flow belongs to the record
        begun = time.monotonic()
        ready = node.supervisor.restart()
        series = flow.end()
    after = [point for point in series if point[0] >= begun]
    before = [point for point in series if point[0] < begun]
    longest = round(gap([before[-1], *after]) * 1000, 1) if before and after else None
    shown = [[round(at - begun, 4), count] for at, count in series]
    return {"series": shown, "gap_ms": longest, "ready_ms": round(ready * 1000, 1), "error": flow.error}


def measure(seconds: float, say: Callable[[str], None], megabits: float = 1000, kinds: tuple[str, ...] = KINDS) -> dict[str, Any]:
    """Each kind once, for the benchmark."""
    found = {}
    for kind in kinds:
        found[kind] = record(kind, seconds, megabits)
        one = found[kind]
        say(f"{kind} restarted under a flow: {one['gap_ms']} ms without a byte, ready after {one['ready_ms']} ms {one['error']}".strip())
    return found


def compare(rounds: int, say: Callable[[str], None]) -> list[Measured]:
    """As one measure of `make bench`; a flow that never came back counts as the whole time, the picture is of the last round."""
    seconds = 10.0
    gaps = Measured("restart under 1 Gbit/s of TCP, ms without a byte", "ms", "<= 300 ms, no reset", limit=300, digits=0)
    for number in range(rounds):
        found = measure(seconds, _prefixed(say, f"restart: round {number + 1} of {rounds}: "))
        for kind, one in found.items():
            gaps.values[kind].append(seconds * 1000 if one["gap_ms"] is None or one["error"] else one["gap_ms"])
        gaps.picture = functools.partial(plot, found)
    return [gaps]


def _prefixed(say: Callable[[str], None], prefix: str) -> Callable[[str], None]:
    return lambda text: say(prefix + text)


def rates(series: list[list[float]], step: float = RATE_STEP) -> tuple[list[float], list[float]]:
    """(times, Mbit/s) of a series, averaged over `step` seconds; zero where nothing came."""
    if not series:
        return [], []
    first = series[0][0]
    bins = [0.0] * (int((series[-1][0] - first) / step) + 1)
    for (_, before), (at, count) in itertools.pairwise(series):
        bins[int((at - first) / step)] += count - before
    return [first + number * step for number in range(len(bins))], [count * 8 / step / 1e6 for count in bins]


def plot(document: dict[str, Any], target: Path) -> None:
    """Both rates over time, as the file's ending says (.svg, .png)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 3.5))
    for kind, one in document.items():
        without = "it never came back" if one["gap_ms"] is None else f"{one['gap_ms']:.0f} ms without a byte"
        axes.plot(*rates(one["series"]), label=f"{kind}: {without}")
    axes.axvline(0, color="grey", linestyle=":")
    axes.set(xlabel="seconds from the restart", ylabel="Mbit/s", title="A TCP flow while the receiver's daemon is restarted")
    axes.legend()
    figure.tight_layout()
    figure.savefig(target)


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.bench.restart_gap", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--megabits", type=float, default=1000, help="the flow's rate at most")
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the series there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the rates (needs matplotlib)")
    arguments = parser.parse_args()
    try:
        found = measure(arguments.seconds, print, arguments.megabits, (arguments.only,) if arguments.only else KINDS)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json:
        arguments.json.write_text(json.dumps(found))
    if arguments.plot:
        plot(found, arguments.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
