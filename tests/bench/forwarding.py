"""The UDP relay alone: the highest rate of datagrams between two clients on hosts of their own of which less than 0.05 % are lost.

Singles leave the sender with a call for many; GSO senders hand the kernel runs to cut, and their receiver has them gathered. There is
nothing of Tailscale's to set beside it: its relay is part of tailscaled, and takes no clients that are none.

    python -m tests.bench.forwarding relay ADDRESS PORT CLIENT CLIENT     the relay's process; clients are ADDRESS:PORT
"""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from skerry_core import path
from skerry_shim.peerrelay import Forwarder
from tests.bench import OURS, Measured
from tests.bench.udp import LOSS, blaster, search
from tests.netlab import Lab
from tests.netlab.lab import Host, lab_with_logs, until
from tests.netlab.programs import BIN

BYTES, SEGMENTS, VNI = 1312, 40, 5
PORT, SENDER, RECEIVER = 3478, 7001, 7002
WINDOW_MS = 1000
KINDS = {"singles": (1, 1200), "GSO senders": (SEGMENTS, 5000)}  # segments a send, Mbit/s wanted


def relay(address: str, port: int, clients: list[str]) -> None:
    """Forward between the two until standard input ends."""
    forwarder = Forwarder()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, port))
        number = forwarder.adopt(sock.fileno())
    forwarder.open(VNI, (bytes([1]) * 32, bytes([2]) * 32))
    hosts = [client.rpartition(":") for client in clients]
    forwarder.bind(VNI, *(path.udp(number, socket.inet_aton(host), int(own)) for host, _, own in hosts))
    forwarder.start()
    print("ready", flush=True)
    sys.stdin.read()
    forwarder.close()


@contextmanager
def hosts() -> Iterator[tuple[Host, Host, Host]]:
    """Sender, relay and receiver, while the relay runs."""
    with lab_with_logs() as lab:
        made = one, middle, other = _three(lab)
        clients = [f"{one.address}:{SENDER}", f"{other.address}:{RECEIVER}"]
        argv = [str(BIN / "python"), "-m", "tests.bench.forwarding", "relay", middle.address, str(PORT), *clients]
        with subprocess.Popen(middle.command(*argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            until("the relay forwards", process.stdout.readline, 20)
            yield made


def _three(lab: Lab) -> tuple[Host, Host, Host]:
    return lab.public("sender"), lab.public("relay"), lab.public("receiver")


def window(lab: tuple[Host, Host, Host], program: Path, segments: int, megabits: float) -> tuple[int, int]:
    """(sent, received) of one window."""
    one, middle, other = lab
    options = ["-g", str(VNI), "-s", str(segments)]
    argv = other.command(str(program), *options, "receive", other.address, str(RECEIVER))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        receiver.stdout.readline()
        rate = f"{megabits * 1e6 / 8 / BYTES:.1f}"
        target = ["send", middle.address, str(PORT), str(BYTES), rate, str(WINDOW_MS)]
        sent = one.run(str(program), *options, "-p", str(SENDER), *target).stdout.split()
        received = receiver.stdout.readline().split()
    reached = int(sent[0]) * BYTES * 8 / float(sent[1]) / 1e3
    return (int(sent[0]), int(received[0])) if reached > 0.9 * megabits else (1, 0)  # a sender that falls short shows nothing


def loss_free(lab: tuple[Host, Host, Host], program: Path, segments: int) -> float:
    """The highest such rate, in Mbit/s."""

    def lossless(megabits: float) -> bool:
        for _ in range(2):
            sent, received = window(lab, program, segments, megabits)
            if received >= sent * (1 - LOSS):
                return True
        return False

    return search(lossless, start=400.0, top=25_600.0)


def measure(rounds: int, say: Callable[[str], None]) -> list[Measured]:
    program, found = blaster(), []
    with hosts() as lab:
        for name, (segments, goal) in KINDS.items():
            measured = Measured(f"UDP relay alone, {name}, Mbit/s", "Mbit/s", f">= {goal}", limit=goal, more=True, digits=0)
            for _ in range(rounds):
                measured.values[OURS].append(loss_free(lab, program, segments))
                say(f"UDP relay: {name}: {measured.values[OURS][-1]:.0f} Mbit/s")
            found.append(measured)
    return found


if __name__ == "__main__":
    relay(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
