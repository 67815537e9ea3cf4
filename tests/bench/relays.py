"""Where no UDP passes: skerryd through our relay, tailscaled through derper, and tailscaled through our relay in derper's place."""

from collections.abc import Callable

from tests.bench import OURS, THEIRS, Measured
from tests.bench.network import in_turn, relayed_pairs
from tests.bench.pair import percentile

WINDOW_S = 3


def measure(rounds: int, say: Callable[[str], None]) -> list[Measured]:
    ours = Measured("through our DERP; theirs through derper, Mbit/s", "Mbit/s", ">= 3x", 3, more=True, digits=0)
    replaced = Measured("two tailscaled, our DERP for derper, Mbit/s", "Mbit/s", ">= 1x", 1, more=True, digits=0)
    echo = Measured("echo through a full DERP, p99, ms", "ms", "no goal", digits=1)
    with relayed_pairs() as pairs:
        for number in range(rounds):
            for name in in_turn(list(pairs), number):
                megabits = pairs[name].flow(WINDOW_S).megabits
                if name == THEIRS:
                    ours.values[THEIRS].append(megabits)
                    replaced.values[THEIRS].append(megabits)
                else:
                    (ours if name == OURS else replaced).values[OURS].append(megabits)
            say(f"relays: round {number + 1} of {rounds}: {ours.values[OURS][-1]:.0f} Mbit/s, derper {ours.values[THEIRS][-1]:.0f}")
        for name in (OURS, THEIRS):
            with pairs[name].load(8):
                echo.values[name].append(percentile(pairs[name].echoes(pairs[name].address, 250, 0.02), 0.99))
    return [ours, replaced, echo]
