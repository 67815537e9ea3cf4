"""TCP through the tunnel: one flow, the same the other way, four flows; on plain veth, and on a link that offloads as little as a NIC.

Plain veth hands a super-packet over whole, which flatters everybody; the NIC-like link has tx-udp-segmentation and checksums off.
CPU seconds for each GB are those of the daemons alone, the mean of both ends.
"""

import subprocess
from collections.abc import Callable

from tests.bench import OURS, THEIRS, Measured
from tests.bench.network import direct_pairs, in_turn
from tests.bench.pair import Pair
from tests.netlab import Lab

WINDOW_S = 2.5
SHAPES = {"one flow": (), "one flow, reverse": ("--reverse",), "four flows": ("--parallel", "4")}
USUAL_MEDIAN = 1300  # Mbit/s of tailscaled on veth; a run far below it was disturbed, and a ratio to it says nothing
DISTURBED = 0.6


def measure(rounds: int, say: Callable[[str], None]) -> list[Measured]:
    results: list[Measured] = []
    with direct_pairs() as (lab, pairs):
        results += on_this_link("veth", pairs, rounds, say, 2)
        theirs = results[0].median(THEIRS) or 0
        if theirs < DISTURBED * USUAL_MEDIAN:
            for each in results:
                each.invalid = f"tailscaled reached {theirs:.0f} Mbit/s, usually {USUAL_MEDIAN} and more: this machine was busy"
        like_a_nic(lab)
        results += on_this_link("NIC-like", pairs, rounds, say, 1.5)
    return results


def on_this_link(link: str, pairs: dict[str, Pair], rounds: int, say: Callable[[str], None], times: float) -> list[Measured]:
    """Throughput in each shape and, on veth, the cost."""
    rates = {shape: Measured(f"TCP {shape}, {link}, Mbit/s", "Mbit/s", f">= {times:g}x", times, more=True, digits=0) for shape in SHAPES}
    costs = {shape: Measured(f"TCP {shape}, {link}, CPU s/GB", "s/GB", "<= 0.5x", 0.5) for shape in SHAPES}
    for number in range(rounds):
        for shape, options in SHAPES.items():
            for name in in_turn([OURS, THEIRS], number):
                flow = pairs[name].flow(WINDOW_S, *options)
                rates[shape].values[name].append(flow.megabits)
                costs[shape].values[name].append(flow.cost)
        last = ", ".join(f"{name} {values[-1]:.0f}" for name, values in rates["one flow"].values.items())
        say(f"{link}: round {number + 1} of {rounds}: one flow, {last} Mbit/s")
    return [*rates.values(), *(costs.values() if times == 2 else ())]


def like_a_nic(lab: Lab) -> None:
    """Every host's link computes no checksums and cuts no UDP."""
    for host in lab.hosts:
        argv = ["ethtool", "-K", "wan", "tx-udp-segmentation", "off", "tx", "off", "gro", "on"]
        done: subprocess.CompletedProcess[str] = host.run(*argv, check=False)
        if done.returncode:
            raise RuntimeError(f"{host.name}: {' '.join(argv)}: {done.stderr.strip()}")


def mixed(rounds: int, say: Callable[[str], None]) -> list[Measured]:
    """skerryd with the official client at the other end, beside two official clients."""
    out = Measured("skerryd to tailscaled, TCP, Mbit/s", "Mbit/s", ">= 1x", 1, more=True, digits=0)
    back = Measured("tailscaled to skerryd, TCP, Mbit/s", "Mbit/s", ">= 1x", 1, more=True, digits=0)
    with direct_pairs(mixed=True) as (_lab, pairs):
        for number in range(rounds):
            for name in in_turn(["mixed", THEIRS], number):
                for measured, options in ((out, ()), (back, ("--reverse",))):
                    measured.values[OURS if name == "mixed" else name].append(pairs[name].flow(WINDOW_S, *options).megabits)
            say(f"mixed: round {number + 1} of {rounds}")
    return [out, back]
