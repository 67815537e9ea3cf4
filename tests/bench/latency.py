"""Round trips: at 1 % load, while one flow fills the tunnel to the same peer, and to another peer meanwhile."""

from collections.abc import Callable

from tests.bench import OURS, THEIRS, Measured
from tests.bench.network import KINDS, Pair, in_turn, join
from tests.bench.pair import percentile
from tests.netlab.lab import lab_with_logs
from tests.netlab.programs import Gateway

LIGHT = "25M"  # about 1 % of what the tunnel carries


def measure(rounds: int, say: Callable[[str], None]) -> list[Measured]:
    light50 = Measured("echo at 1 % load, p50, ms", "ms", "<= 1x", 1)
    light99 = Measured("echo at 1 % load, p99, ms", "ms", "<= 1x", 1)
    same = Measured("echo while TCP fills the tunnel, p99, ms", "ms", "<= 10 ms", limit=10)
    added = Measured("other peer's echo meanwhile, p99 added, ms", "ms", "<= 5 ms", limit=5)
    with lab_with_logs() as lab:
        gateway = Gateway(lab.public("gateway"), "gw")
        gateway.start()
        third, pairs = {}, {}
        for name, kind in KINDS.items():
            one, other, another = (join(lab, kind, f"{name[:4]}{i}", gateway.url, gateway.key) for i in range(3))
            pairs[name], third[name] = Pair(one, other), another.address
            one.reaches(third[name], 40)
        for number in range(rounds):
            for name in in_turn([OURS, THEIRS], number):
                pair = pairs[name]
                with pair.load(6, "--bitrate", LIGHT):
                    echoes = pair.echoes(pair.address)
                light50.values[name].append(percentile(echoes, 0.5))
                light99.values[name].append(percentile(echoes, 0.99))
                quiet = percentile(pair.echoes(third[name]), 0.99)
                with pair.load(9):
                    same.values[name].append(percentile(pair.echoes(pair.address), 0.99))
                    added.values[name].append(max(0.0, percentile(pair.echoes(third[name]), 0.99) - quiet))
            ours, theirs = same.values[OURS][-1], same.values[THEIRS][-1]
            say(f"latency: round {number + 1} of {rounds}: {ours:.1f} ms in a full tunnel, theirs {theirs:.1f}")
    return [light50, light99, same, added]
