"""How long a person waits: from `up` to the first reply of a known peer, and from exec with saved state to the first reply.

Both daemons in the same lab, behind NATs of the same kind, towards the same official peer, in alternation.
"""

import subprocess
import time
from collections.abc import Callable

from tests.bench import Measured
from tests.netlab import Lab
from tests.netlab.lab import lab_with_logs
from tests.netlab.programs import BIN, ROOT, Gateway, Node, Skerryd, Tailscaled

DEADLINE = 30
SETTLE_S = 5


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


def measure(rounds: int, say: Callable[[str], None]) -> list[Measured]:
    """Both measures, in seconds; who begins changes from round to round."""
    joining = Measured("up to the first reply of a known peer, s", "s", "<= 1x tailscaled, aim 0.5 s", times=1)
    restarting = Measured("restart with state, exec to the first reply, s", "s", "<= 1x tailscaled, aim 0.3 s", times=1)
    with lab_with_logs() as lab:
        gateway = Gateway(lab.public("gateway"), "gw")
        gateway.start()
        known = Tailscaled(lab.behind(lab.router("rk"), "known"), "known")
        known.start()
        known.up(gateway.url, gateway.key())
        address = known.address
        say(f"the peer settles for {SETTLE_S} s: it rebinds its sockets when its own interface has come up")
        time.sleep(SETTLE_S)
        for number in range(rounds):
            kinds: list[type[Node]] = [Skerryd, Tailscaled]
            for kind in kinds if number % 2 == 0 else kinds[::-1]:
                label = kind.__name__.lower()
                joined, restarted = one(lab, kind, f"{label}{number}", gateway, address)
                joining.values[label].append(joined)
                restarting.values[label].append(restarted)
                say(f"round {number + 1} of {rounds}: {label} joined in {joined:.2f} s, restarted in {restarted:.2f} s")
    return [joining, restarting]


def one(lab: Lab, kind: type[Node], name: str, gateway: Gateway, address: str) -> tuple[float, float]:
    """Join as a new node, stop, start again with the state: seconds of both."""
    node = kind(lab.behind(lab.router(f"r{name}"), name), name)
    node.start()
    key = gateway.key()
    joined = reply_after(node, address, lambda: node.up(gateway.url, key))
    node.stop()
    restarted = reply_after(node, address, node.start)
    node.stop()
    return joined, restarted
