"""How long a person waits: from `up` to the first reply of a known peer, and from exec with saved state to the first reply.

Both daemons in the same lab, behind NATs of the same kind, towards the same official peer, in alternation.
"""

import subprocess
from collections.abc import Callable

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import BIN, ROOT, Gateway, Node, Skerryd, Tailscaled

ROUNDS = 5
DEADLINE = 30


class Measured:
    """The seconds of one measure for both daemons."""

    def __init__(self, name: str, goal: str) -> None:
        self.name = name
        self.goal = goal
        self.seconds: dict[str, list[float]] = {"skerryd": [], "tailscaled": []}


def reply_after(node: Node, address: str, action: Callable[[], object]) -> float:
    """Seconds from the action's start to the first reply."""
    script = str(ROOT / "tests/bench/first_reply.py")
    argv = node.host.command(str(BIN / "python"), script, address, str(DEADLINE))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        asking.stdout.readline()
        action()
        answer = asking.stdout.readline().strip()
    if answer == "none":
        raise RuntimeError(f"{node.name}: no reply from {address} within {DEADLINE} s")
    return float(answer)


def measure() -> list[Measured]:
    joining = Measured("up to the first reply of a known peer, s", "<= 1x tailscaled, aim 0.5 s")
    restarting = Measured("restart with state, exec to the first reply, s", "<= 1x tailscaled, aim 0.3 s")
    with Lab() as lab:
        gateway = Gateway(lab.public("gateway"), "gw")
        gateway.start()
        known = Tailscaled(lab.behind(lab.router("rk"), "known"), "known")
        known.start()
        known.up(gateway.url, gateway.key())
        address = known.address
        for number in range(ROUNDS):
            for kind in (Skerryd, Tailscaled):
                name = f"{kind.__name__.lower()}{number}"
                node = kind(lab.behind(lab.router(f"r{name}"), name), name)
                node.start()
                until("the local API answers", node.socket.exists, 15)
                key = gateway.key()
                joining.seconds[kind.__name__.lower()].append(reply_after(node, address, lambda: node.up(gateway.url, key)))  # noqa: B023
                node.stop()
                restarting.seconds[kind.__name__.lower()].append(reply_after(node, address, node.start))
                node.stop()
    return [joining, restarting]
