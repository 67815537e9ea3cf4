"""How long traffic is away after every change of the uplink: a skerryd with a skerryd peer, a tailscaled with a tailscaled peer."""

import random
from collections.abc import Callable

from tests.bench import OURS, THEIRS, Measured
from tests.netlab import Lab
from tests.netlab.programs import Gateway, Node, Skerryd, Tailscaled
from tests.netlab.swaps import Echoes, Swaps, dual_stack_home, series

DEADLINE = 30.0


def measure(rounds: int, say: Callable[[str], None]) -> list[Measured]:
    """`rounds` of eight swaps each, one of every kind, in the same order for both."""
    measured = Measured("uplink swaps, s without traffic", "s", "<= 1 s", limit=1)
    kinds: dict[str, type[Node]] = {OURS: Skerryd, THEIRS: Tailscaled}
    for name, kind in kinds.items():
        for which, seconds in record(kind, 8 * rounds):
            measured.values[name].append(seconds)
            say(f"{name}: {which}: {seconds:.2f} s")
    return [measured]


def record(kind: type[Node], count: int) -> list[tuple[str, float]]:
    """(kind of swap, seconds) in a lab of its own."""
    with Lab() as lab:
        gateway = Gateway(lab.public("gateway"), "gw")
        gateway.start()
        swaps = Swaps(lab, "n")
        node, peer = kind(swaps.host, "n"), kind(dual_stack_home(lab, "p"), "p")
        for each in (node, peer):
            each.start()
            each.up(gateway.url, gateway.key())  # type: ignore[attr-defined]
        found = series(swaps, [Echoes(node, peer.address, "p")], count, random.Random("swaps"), DEADLINE)
        return [(which, times[0]) for which, times in found]
