"""kill -9 of a node or of the gateway (coordinator and relay are one process) at seeded moments: everything recovers without a human.

Each round does something (joins, transfers directly or through the relay, rekeys, changes path), kills at a random moment of it, starts the
program again as a supervisor would, and waits till both directions answer.
"""

import random
import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from tests.netlab import Lab
from tests.netlab.lab import LabError, until
from tests.netlab.programs import Gateway, Program, Skerryd, Tailscaled

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

ROUNDS = 20


class Network:
    """Two of our nodes behind NATs, one official client, and what can be going on among them."""

    def __init__(self, lab: Lab, gateway: Gateway) -> None:
        self.gateway = gateway
        self.a = Skerryd(lab.behind(lab.router("ra"), "a"), "a")
        self.b = Skerryd(lab.behind(lab.router("rb"), "b"), "b")
        self.official = Tailscaled(lab.behind(lab.router("rc"), "c"), "c")
        for node in (self.a, self.b, self.official):
            node.start()
            node.up(gateway.url, gateway.key())
        self.b.serve()
        self.addresses = {node.name: node.address for node in (self.a, self.b, self.official)}
        self.blocked = False

    def settled(self) -> None:
        """Every pair answers, in both directions."""
        for one, other in ((self.a, "b"), (self.b, "a"), (self.official, "a"), (self.a, "c")):
            one.reaches(self.addresses[other], 45)

    def transfer(self) -> None:
        try:
            self.a.transfer("get", self.addresses["b"], 200_000_000, timeout=8)
        except (LabError, subprocess.TimeoutExpired):
            pass  # the kill cuts it

    def change_path(self) -> None:
        """Block or unblock UDP at a's router: traffic moves to the relay, or back."""
        router = self.a.host.router
        assert router is not None
        if self.blocked:
            router.unblock_udp()
        else:
            router.block_udp("forward")
        self.blocked = not self.blocked
        self.a.host.run("ping", "-c3", "-i0.3", "-W1", self.addresses["b"], check=False)

    def rejoin(self) -> None:
        """Leave for good and join with a new key, or with the rest of a join that was cut."""
        self.a.cli("down", check=False, timeout=10)
        self.a.cli("up", "--gateway", self.gateway.url, check=False, timeout=10)

    def handshake(self) -> None:
        """New sessions on both sides: the node restarts and talks at once."""
        self.b.restart()
        self.a.host.run("ping", "-c2", "-i0.2", "-W1", self.addresses["b"], check=False)


def kill_during(activity: Callable[[], None], victim: Program, delay: float) -> None:
    """Start the activity, kill the victim `delay` seconds later, start it again."""
    busy = threading.Thread(target=activity, daemon=True)
    busy.start()
    time.sleep(delay)  # the moment is the point: seeded, not waited for
    victim.kill()
    victim.start()
    busy.join(60)


@pytest.mark.parametrize("victim", ["node", "gateway"])
def test_everything_recovers_from_kill_9(lab: Lab, gateway: Gateway, victim: str) -> None:
    chance = random.Random(f"kill-{victim}")
    network = Network(lab, gateway)
    network.settled()
    activities = [network.transfer, network.change_path, network.rejoin, network.handshake, lambda: None]
    done: dict[int, int] = {}
    for _ in range(ROUNDS):
        number = chance.randrange(len(activities))
        done[number] = done.get(number, 0) + 1
        program: Program = network.a if victim == "node" else gateway
        kill_during(activities[number], program, chance.uniform(0, 1.5))
        until("the node wants to be up", lambda: network.a.running() or network.rejoin() or network.a.running(), 40)
        network.settled()
    assert len(done) == len(activities), f"only these activities came up: {done}"


def test_kill_during_the_very_first_join(lab: Lab, gateway: Gateway) -> None:
    chance = random.Random("join")
    other = Skerryd(lab.public("other"), "other")
    other.start()
    other.up(gateway.url, gateway.key())
    for number in range(5):
        host = lab.public(f"n{number}")
        node = Skerryd(host, f"n{number}")
        node.start()
        until("the local API answers", node.socket.exists, 10)
        key = gateway.key()
        kill_during(lambda: node.cli("up", "--gateway", gateway.url, "--key", key, check=False), node, chance.uniform(0, 0.4))  # noqa: B023
        until("the local API answers again", lambda: node.cli("status", check=False).returncode == 0, 10)  # noqa: B023
        if not node.running():
            node.up(gateway.url, key)  # the same single-use key: whoever burnt it is this node
        node.reaches(other.address, 20)
