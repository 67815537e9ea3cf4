"""A stock tailscaled as UDP relay between nodes that no direct path joins: two of ours, and one of ours with an official client."""

import json
import time

import pytest

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import Derper, Node, Skerryd, Tailscaled, TestControl

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]
PORT = 7777
SOON = 5.0  # s, on a loaded machine


@pytest.fixture
def control(lab: Lab) -> TestControl:
    derper = Derper(lab.public("derp"), "derp")
    derper.start()
    made = TestControl(lab.public("control"), "control", derper.derp_map(), "--peer-relay")
    made.start()
    return made


@pytest.fixture
def relay(lab: Lab, control: TestControl) -> Tailscaled:
    """The official client on a public host, relaying."""
    made = Tailscaled(lab.public("relay"), "relay")
    made.start()
    made.up(control.url)
    made.official("set", f"--relay-server-port={PORT}")
    return made


def behind_hard_nat(lab: Lab, control: TestControl, kind: type[Node], name: str) -> Node:
    node = kind(lab.behind(lab.router(f"r-{name}", "hard"), name), name)
    node.start()
    node.up(control.url)  # type: ignore[attr-defined]
    return node


def relayed(node: Node, other: str, relay: Tailscaled) -> bool:
    peer = node.peer(other) or {}
    return str(peer.get("PeerRelay", "")).startswith(f"{relay.host.address}:{PORT}:vni:") and not peer["CurAddr"]


@pytest.mark.parametrize("kind", [Skerryd, Tailscaled])
def test_two_behind_hard_nats_meet_at_a_stock_relay(lab: Lab, control: TestControl, relay: Tailscaled, kind: type[Node]) -> None:
    red = behind_hard_nat(lab, control, Skerryd, "red")
    blue = behind_hard_nat(lab, control, kind, "blue")
    assert isinstance(red, Skerryd)
    until("red knows both", lambda: len(red.own_status()["peers"]) == 2 and all(each["online"] for each in red.own_status()["peers"]), 20)
    if kind is Tailscaled:  # seconds after it came up the official client forgets its paths once, as its own interface is new to it
        until("blue has done so", lambda: "Rebind;" in blue.log(), 20)
    address, started = blue.address, time.monotonic()
    red.keep_pinging(address)
    until("red reaches blue through the relay", lambda: relayed(red, "blue", relay), SOON, 0.05)
    print(f"{kind.__name__}: {time.monotonic() - started:.2f} s from the first ping to the relay's path, seen from outside")
    until("blue reaches red through the relay", lambda: relayed(blue, "red", relay), 45)

    lines = json.loads(red.cli("why", "blue", "--json").stdout)["lines"]
    assert lines[0].startswith(f"blue is reached through UDP relay relay at {relay.host.address}:{PORT}"), lines
    answer = json.loads(red.cli("ping", "blue", "--count", "1", "--json").stdout)[0]
    assert not answer["direct"] and answer["via"] == f"UDP relay relay at {relay.host.address}:{PORT}"
    assert "via peer-relay(" in red.official("ping", "--c=1", address, check=False).stdout

    blue.serve()
    before = relay.host.bytes_on("wan")
    for verb in ("get", "put"):
        red.transfer(verb, address, 20_000_000)
    received, sent = (now - then for now, then in zip(relay.host.bytes_on("wan"), before, strict=True))
    assert received > 40_000_000 and sent > 40_000_000, "the transfers did not go through the relay"


def test_a_stock_relay_that_stops_gives_way_to_derp_and_is_used_again(lab: Lab, control: TestControl, relay: Tailscaled) -> None:
    red = behind_hard_nat(lab, control, Skerryd, "red")
    blue = behind_hard_nat(lab, control, Skerryd, "blue")
    red.keep_pinging(blue.address)
    until("red reaches blue through the relay", lambda: relayed(red, "blue", relay), 30)
    relay.kill()
    until("red reaches blue without it", lambda: not (red.peer("blue") or {})["PeerRelay"], 20)
    red.reaches(blue.address, 10)
    relay.start()
    until("red reaches blue through the relay again", lambda: relayed(red, "blue", relay), 90)
