"""kill -9 of a node, of the gateway (coordinator, relay and STUN are one process) or of a relay of its own, at seeded moments: everything
recovers by itself.

Each of the 20 rounds does something (joins, transfers directly or through the relay, makes new sessions, changes path, nothing), kills
the victim at a random moment of it, starts the program again as a supervisor would, and waits till every pair answers in both
directions. The kinds of round are dealt out evenly and in a seeded order. "Join" is what a provisioning script does: the same
command, with the same key, till it succeeds.
"""

import random
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.netlab import Lab
from tests.netlab.lab import LabError, until
from tests.netlab.programs import Derper, Gateway, Program, Skerryd, Tailscaled, TestControl

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

ROUNDS = 20
SETTLED = 45  # seconds till everybody reaches everybody again; the official client tries its control server each 30 s at the latest
PIECE = 30_000_000


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
        self.key = ""
        self.direct: list[bool] = []  # of each transfer that began directly: whether it came through
        self.blocked = False

    def settled(self) -> None:
        """Every pair answers, in both directions; all talk at once."""
        address = {"a": self.a.address, "b": self.b.address, "c": self.official.address}
        pairs = ((self.a, "b"), (self.b, "a"), (self.official, "a"), (self.a, "c"))
        with ThreadPoolExecutor(len(pairs)) as threads:
            for pair in [threads.submit(one.reaches, address[other], SETTLED) for one, other in pairs]:
                pair.result()

    def is_direct(self) -> bool:
        """Whether a's packets to b take a direct path that is open; one that was just blocked is still named for a while."""
        peers = {peer["name"]: peer for peer in self.a.own_status()["peers"]}
        return bool(peers["b"]["path"]["kind"] == "direct" and not self.blocked)

    def transfer(self) -> None:
        """Directly, or through the relay, as UDP is blocked or not."""
        direct = False
        try:
            direct = self.is_direct()
            self.a.transfer("get", self.b.address, PIECE, timeout=20)
        except (LabError, subprocess.TimeoutExpired):
            self.direct += [False] * direct
        else:
            self.direct += [True] * direct

    def change_path(self) -> None:
        """Block or unblock UDP at a's router: traffic moves to the relay, or back."""
        router = self.a.host.router
        assert router is not None
        if self.blocked:
            router.unblock_udp()
        else:
            router.block_udp("forward")
        self.blocked = not self.blocked
        self.a.host.run("ping", "-c5", "-i0.3", "-W1", self.b.address, check=False)

    def join(self) -> None:
        """Leave for good and become a member again."""
        self.key = self.gateway.cli("keys", "create", "--user", "owner", check=False) or ""
        self.key = self.key and str(self.key["key"])
        if self.key:
            self.a.cli("logout", check=False, timeout=10)
            self.a.cli("up", "--gateway", self.gateway.url, "--key", self.key, "--timeout", "5", check=False, timeout=20)

    def joined(self) -> None:
        """The same command again, if it was cut."""
        until("the member is one", self._joined, SETTLED)

    def _joined(self) -> bool:
        if self.a.own_status()["state"] == "Running":
            return True
        self.a.cli("up", "--gateway", self.gateway.url, "--key", self.key, "--timeout", "5", check=False, timeout=20)
        return False

    def handshake(self) -> None:
        """New sessions: the other node restarts, and both talk at once."""
        self.b.restart()
        self.a.host.run("ping", "-c3", "-i0.2", "-W1", self.b.address, check=False)

    def nothing(self) -> None:
        """An idle network."""


def kill_during(activity: Callable[[], None], victim: Program, delay: float) -> None:
    """Start the activity, kill the victim `delay` seconds later, start it again."""
    busy = threading.Thread(target=activity, daemon=True)
    busy.start()
    time.sleep(delay)  # the moment is the point: seeded, not waited for
    victim.kill()
    victim.start()
    busy.join(60)
    assert not busy.is_alive()


@pytest.mark.parametrize("victim", ["node", "gateway"])
def test_everything_recovers_from_kill_9(lab: Lab, gateway: Gateway, victim: str) -> None:
    chance = random.Random(f"kill-{victim}")
    network = Network(lab, gateway)
    network.settled()
    until("a reaches b directly", lambda: network.a.reaches(network.b.address) or network.is_direct(), 30)
    kinds = [network.transfer, network.change_path, network.join, network.handshake, network.transfer, network.nothing]
    rounds = [kinds[number % len(kinds)] for number in range(ROUNDS)]
    chance.shuffle(rounds)
    program: Program = network.a if victim == "node" else gateway
    times = []
    for number, activity in enumerate(rounds):
        delay = chance.uniform(0, 1.5)
        kill_during(activity, program, delay)
        start = time.monotonic()
        network.joined()
        network.settled()
        times.append(time.monotonic() - start)
        print(f"round {number}: {activity.__name__}, killed after {delay:.2f} s, settled within {times[-1]:.1f} s of the restart")
    assert sorted(times)[ROUNDS // 2] < 10, "half of the rounds are over within seconds"
    assert victim == "node" or (network.direct and all(network.direct)), "a direct transfer does not need the gateway"
    assert [node["name"] for node in gateway.nodes()].count("a") == 1


def test_relay_alone_recovers_from_kill_9(lab: Lab) -> None:
    """Ours and theirs behind NATs that let no UDP through, in a network of the official control server and relay."""
    chance = random.Random("kill-relay")
    relay = Derper(lab.public("relay"), "relay")
    relay.start()
    control = TestControl(lab.public("control"), "control", relay.derp_map())
    control.start()
    routers = [lab.router("ra"), lab.router("rb")]
    for router in routers:
        router.block_udp("forward")
    ours, theirs = Skerryd(lab.behind(routers[0], "ours"), "ours"), Tailscaled(lab.behind(routers[1], "theirs"), "theirs")
    for node in (ours, theirs):
        node.start()
        node.up(control.url)  # type: ignore[attr-defined]
    address = {"ours": ours.address, "theirs": theirs.address}
    ours.reaches(address["theirs"], SETTLED)
    theirs.serve()

    def transfer() -> None:
        try:
            ours.transfer("get", address["theirs"], PIECE, timeout=20)
        except (LabError, subprocess.TimeoutExpired):
            pass  # TCP may give up while the relay is away

    for number in range(ROUNDS):
        kill_during(transfer if number % 2 else lambda: None, relay, chance.uniform(0, 1.5))
        with ThreadPoolExecutor(2) as threads:
            both = [threads.submit(ours.reaches, address["theirs"], SETTLED), threads.submit(theirs.reaches, address["ours"], SETTLED)]
            for each in both:
                each.result()
    assert not (ours.peer("theirs") or {})["CurAddr"], "all of it went through the relay"


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
