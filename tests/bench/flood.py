"""What is left of a TCP flow while somebody floods the receiver's UDP port with forged WireGuard initiations.

They carry a good MAC1 for the receiver's key, which anybody may know, and come from made-up sources, so nobody can be shut out by address.
The flood is made on the cores that the nodes run on: it is held against a window in which a bystander, which drops it, gets the same flood.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from skerry_core.wireguard import cookie
from skerry_shim import crypto
from tests.bench import OURS, THEIRS, Measured
from tests.bench.network import KINDS, in_turn, make_pair
from tests.bench.udp import compiled
from tests.netlab.lab import Host, lab_with_logs
from tests.netlab.programs import Gateway, Node

PER_SECOND, WINDOW_S, VARIANTS = 50_000, 3.0, 256
KEPT = 80.0  # %


def forged(public_key: bytes, count: int = VARIANTS) -> bytes:
    """`count` initiations of random bytes with a good MAC1 for that node key, side by side."""
    key = cookie.mac1_key(crypto, public_key)
    return b"".join(cookie.add_macs(crypto, key, b"\1\0\0\0" + os.urandom(112), None) for _ in range(count))


@contextmanager
def flood(attacker: Host, address: str, port: int, public_key: bytes, per_second: int, seconds: float) -> Iterator[list[int]]:
    """Beside the block; afterwards the list holds how many datagrams left."""
    sent: list[int] = []
    argv = attacker.command(str(compiled("forge.c")), address, str(port), str(per_second), str(int(seconds * 1000)))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(forged(public_key))
        process.stdin.close()
        yield sent
        sent.append(int(process.stdout.read().split()[0]))


def where(node: Node) -> tuple[int, bytes]:
    """(UDP port, node key) of a node."""
    port = next(line.split()[3].rsplit(":", 1)[1] for line in node.host.run("ss", "-Hluan4").stdout.splitlines() if "0.0.0.0:" in line)
    return int(port), bytes.fromhex(node.status()["Self"]["PublicKey"].removeprefix("nodekey:"))


def measure(rounds: int, say: Callable[[str], None]) -> list[Measured]:
    kept = Measured(f"TCP kept under {PER_SECOND} forged initiations/s, %", "%", f">= {KEPT:g} %", limit=KEPT, more=True, digits=0)
    with lab_with_logs() as lab:
        gateway = Gateway(lab.public("gateway"), "gw")
        gateway.start()
        attacker, bystander = lab.public("attacker"), lab.public("bystander")
        bystander.block_udp("input")
        pairs = {name: make_pair(lab, (kind, kind), name[:4], gateway.url, gateway.key) for name, kind in KINDS.items()}
        for number in range(rounds):
            for name in in_turn([OURS, THEIRS], number):
                pair = pairs[name]
                port, key = where(pair.other)
                with flood(attacker, bystander.address, port, key, PER_SECOND, WINDOW_S + 1.5):
                    before = pair.flow(WINDOW_S).megabits
                with flood(attacker, pair.other.host.address, port, key, PER_SECOND, WINDOW_S + 1.5) as sent:
                    during = pair.flow(WINDOW_S).megabits
                rate = sent[0] / (WINDOW_S + 1.5)
                if rate < 0.9 * PER_SECOND:
                    kept.invalid = f"{rate:.0f} forged initiations a second left, not {PER_SECOND}: this machine was busy"
                kept.values[name].append(during / before * 100)
                say(f"flood: round {number + 1} of {rounds}: {name} {before:.0f}, under {rate:.0f}/s {during:.0f} Mbit/s")
    return [kept]
