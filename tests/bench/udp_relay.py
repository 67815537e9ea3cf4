"""Where no direct path is: skerryd through our gateway's UDP relay, tailscaled through derper, and tailscaled through our UDP relay."""

from collections.abc import Callable

from tests.bench import OURS, THEIRS, Measured
from tests.bench.network import in_turn, udp_relayed_pairs

WINDOW_S = 3


def measure(rounds: int, say: Callable[[str], None]) -> list[Measured]:
    ours = Measured("our UDP relay; theirs through derper, Mbit/s", "Mbit/s", ">= 10x", 10, more=True, digits=0)
    official = Measured("two tailscaled, our UDP relay for derper, Mbit/s", "Mbit/s", ">= 1x", 1, more=True, digits=0)
    with udp_relayed_pairs() as pairs:
        for number in range(rounds):
            for name in in_turn(list(pairs), number):
                megabits = pairs[name].flow(WINDOW_S).megabits
                for measured, kind in ((ours, OURS), (official, "official")):
                    if name == THEIRS:
                        measured.values[THEIRS].append(megabits)
                    elif name == kind:
                        measured.values[OURS].append(megabits)
            last = f"{ours.values[OURS][-1]:.0f} Mbit/s, official {official.values[OURS][-1]:.0f}, derper {ours.values[THEIRS][-1]:.0f}"
            say(f"UDP relay: round {number + 1} of {rounds}: {last}")
    return [ours, official]
