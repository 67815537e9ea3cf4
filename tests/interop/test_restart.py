"""skerryd restarted under a supervisor with systemd's descriptor store, the official client at the other end: what flows goes on."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.netlab import Lab
from tests.netlab.flow import Flow, gap
from tests.netlab.lab import until
from tests.netlab.programs import BIN, ROOT, Gateway, Tailscaled
from tests.netlab.supervised import Supervised

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]
GAP = 1.0  # s; the goal is 0.3, and this machine may be busy


@pytest.fixture
def ends(lab: Lab, gateway: Gateway) -> Iterator[tuple[Supervised, Tailscaled]]:
    key = gateway.key("owner", "--reusable")
    ours, theirs = Supervised(lab.public("ours"), "ours"), Tailscaled(lab.public("theirs"), "theirs")
    with ours.supervisor:
        for node in (ours, theirs):
            node.start()
            node.up(gateway.url, key)
        theirs.reaches(ours.address)
        until("the path is direct", lambda: ours.own_status()["peers"][0]["path"]["kind"] == "direct", 20)
        yield ours, theirs


def handshake(node: Supervised) -> float:
    """When the last one was, in ms of the monotonic clock."""
    ago = node.own_status()["peers"][0]["last_handshake_ms"]
    return time.monotonic() * 1000 - float(ago)


@pytest.mark.parametrize("sender", ["ours", "theirs"])
def test_a_transfer_goes_on_over_a_restart(lab: Lab, ends: tuple[Supervised, Tailscaled], sender: str) -> None:
    ours, theirs = ends
    one, other = (ours, theirs) if sender == "ours" else (theirs, ours)
    link = ours.host.ip("-j", "link", "show", "dev", ours.tun)
    before = handshake(ours)
    with Flow(one, other, seconds=5) as flow:
        until("bytes arrive", lambda: flow.received() > 1 << 20, 20)
        took = ours.supervisor.restart()
        then = flow.received()
        until("bytes arrive after the restart", lambda: flow.received() > then + (1 << 20), 20)
        series = flow.end()
    assert not flow.error, f"the connection broke: {flow.error}"
    print(f"{sender} sends: longest gap {gap(series) * 1000:.0f} ms, ready again after {took * 1000:.0f} ms")
    assert gap(series) < GAP
    assert json.loads(ours.host.ip("-j", "link", "show", "dev", ours.tun))[0]["ifindex"] == json.loads(link)[0]["ifindex"]
    assert abs(handshake(ours) - before) < 1000, "no new handshake"



def test_replies_that_no_rule_allows_go_on_over_a_restart(ends: tuple[Supervised, Tailscaled], gateway: Gateway) -> None:
    ours, theirs = ends
    address = theirs.address
    policy = gateway.state / "only-theirs.json"
    policy.write_text(json.dumps({"acls": [{"action": "accept", "src": ["*"], "dst": [f"{address}:9000"]}]}))
    gateway.cli("policy", "set", str(policy))
    until("the policy is in force", lambda: not reaches(theirs, ours.address), 20)
    script = [str(BIN / "python"), str(ROOT / "tests/netlab/flow.py")]
    theirs.host.start(*script, "tell", address, "9000", log="tell")
    hears = ours.host.start(*script, "hear", address, "9000", "6", log="hear")
    heard = lambda: numbers(ours)  # noqa: E731
    until("replies come", lambda: len(heard()) > 100, 20)
    ours.supervisor.restart()
    then = len(heard())
    until("replies come after the restart", lambda: len(heard()) > then + 100, 10)
    hears.wait(20)
    found = heard()
    lost = found[-1][1] - found[0][1] + 1 - len(found)
    print(f"longest gap {gap(found) * 1000:.0f} ms, {lost} of {len(found) + lost} replies lost")
    assert gap(found) < GAP and lost < 20


@pytest.mark.parametrize("sender", ["ours", "theirs"])
def test_traffic_is_back_after_a_kill(ends: tuple[Supervised, Tailscaled], sender: str) -> None:
    ours, theirs = ends
    one, other = (ours, theirs) if sender == "ours" else (theirs, ours)
    with Flow(one, other, seconds=6) as flow:
        until("the flow has gone on for a while", lambda: flow.received() > 100 << 20, 20, 0.02)  # the hint is written now and then
        ours.supervisor.crash()
        then = flow.received()
        until("bytes arrive after the kill", lambda: flow.received() > then + (1 << 20), 20)
        series = flow.end()
    print(f"{sender} sends: {gap(series) * 1000:.0f} ms without a byte after a kill")
    # the goal is 2, and mostly it is 0.3: a first handshake that gets lost is repeated after 5 s
    assert not flow.error and gap(series) < 10


def reaches(node: Tailscaled, address: str) -> bool:
    return node.host.run("ping", "-c1", "-W1", address, check=False).returncode == 0


def numbers(node: Supervised) -> list[tuple[float, int]]:
    """What `hear` printed."""
    lines = [line.split() for line in (node.host.lab.path / "hear.log").read_text().split("\n")[:-1]]
    return [(float(words[0]), int(words[1])) for words in lines if len(words) == 2]
