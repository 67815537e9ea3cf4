"""The highest rate of 1200-byte datagrams through the tunnel of which less than 0.05 % are lost; the same sender and receiver for both.

The rate doubles until too much is lost, then the gap is halved STEPS times. A window that lost is tried once more: one disturbance of the
machine must not decide.
"""

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.bench import OURS, THEIRS, Measured
from tests.bench.network import direct_pairs, in_turn
from tests.bench.pair import Pair

BYTES, PORT = 1200, 7001
LOSS = 0.0005
WINDOW_MS = 1000
START, STEPS, TOP = 50.0, 4, 12_800.0  # Mbit/s


def compiled(name: str) -> Path:
    """A program of this folder, built once for each content."""
    source = Path(__file__).with_name(name)
    base = Path(os.environ.get("SKERRY_CACHE") or Path.home() / ".cache" / "skerry")
    target = base / f"{source.stem}-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    if not target.exists():
        base.mkdir(parents=True, exist_ok=True)
        staged = target.with_name(f".{target.name}.{os.getpid()}")
        subprocess.run(["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", str(source), "-o", str(staged)], check=True)
        staged.rename(target)
    return target


def blaster() -> Path:
    """tests/bench/blast.c."""
    return compiled("blast.c")


def search(lossless: Callable[[float], bool], start: float = START, steps: int = STEPS, top: float = TOP) -> float:
    """The highest rate found at which `lossless`; 0 when not even the first is."""
    good, bad = 0.0, start
    while lossless(bad):
        good, bad = bad, bad * 2
        if bad > top:
            return good
    for _ in range(steps if good else 2 * steps):
        middle = (good + bad) / 2
        good, bad = (middle, bad) if lossless(middle) else (good, middle)
    return good


def window(pair: Pair, program: Path, megabits: float) -> tuple[int, int, float]:
    """(sent, received, Mbit/s sent) of one window."""
    argv = pair.other.host.command(str(program), "receive", pair.address, str(PORT))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        receiver.stdout.readline()
        rate = megabits * 1e6 / 8 / BYTES
        sent = pair.one.host.run(str(program), "send", pair.address, str(PORT), str(BYTES), f"{rate:.1f}", str(WINDOW_MS)).stdout.split()
        received = receiver.stdout.readline().split()
    return int(sent[0]), int(received[0]), int(sent[0]) * BYTES * 8 / float(sent[1]) / 1e3


def passes(pair: Pair, program: Path, megabits: float) -> bool:
    """Whether a window at this rate, or the one after it, loses less than LOSS, and the sender keeps the rate."""
    for _ in range(2):
        sent, received, reached = window(pair, program, megabits)
        if sent - received <= sent * LOSS and reached > 0.95 * megabits:
            return True
    return False


def measure(rounds: int, say: Callable[[str], None]) -> list[Measured]:
    measured = Measured(f"UDP {BYTES} B, under {LOSS:.2%} lost, Mbit/s", "Mbit/s", ">= 5x", 5, more=True, digits=0)
    program = blaster()
    with direct_pairs() as (_lab, pairs):
        for number in range(rounds):
            for name in in_turn([OURS, THEIRS], number):
                measured.values[name].append(search(lambda rate, pair=pairs[name]: passes(pair, program, rate)))  # type: ignore[misc]
            say(f"UDP: round {number + 1} of {rounds}: {measured.values[OURS][-1]:.0f} Mbit/s, theirs {measured.values[THEIRS][-1]:.0f}")
    return [measured]
