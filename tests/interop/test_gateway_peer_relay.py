"""The gateway's own UDP relay between pairs that have no direct path: two official clients, two of ours, and one of each.

Each node's host, behind a NAT, lets UDP pass to the gateway alone.
"""

import json
import time

import pytest

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import Gateway, Node, Program, Skerryd, Tailscaled

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]
SOON = 6.0  # s from the first ping, on a loaded machine; 0.1 to 0.4 s on a quiet one
KINDS = {"ours": (Skerryd, Skerryd), "official": (Tailscaled, Tailscaled), "mixed": (Skerryd, Tailscaled)}
ONLY = """
table inet only {{
  chain f {{
    type filter hook output priority -10; policy accept;
    oifname eth0 ip daddr != {{ {addresses} }} meta l4proto udp drop
    oifname eth0 meta nfproto ipv6 meta l4proto udp drop
  }}
}}
"""


def joined(lab: Lab, kind: type[Node], name: str, gateway: Gateway, *others: Program) -> Node:
    """A node that reaches the gateway and the others over UDP, and nobody else."""
    host = lab.behind(lab.router(f"r-{name}"), name)
    host.nft(ONLY.format(addresses=", ".join(each.host.address for each in (gateway, *others))))
    node = kind(host, name)
    node.start()
    node.up(gateway.url, gateway.key())  # type: ignore[attr-defined]
    return node


def relayed(node: Node, other: str, gateway: Gateway) -> bool:
    peer = node.peer(other) or {}
    return str(peer.get("PeerRelay", "")).startswith(f"{gateway.host.address}:3478:vni:") and not peer["CurAddr"]


def settled(node: Node, other: str) -> bool:
    """Whether it knows the other to be there, for ten seconds if it is an official client: within those it forgets its paths once."""
    known = bool((node.peer(other) or {}).get("Online"))
    return known and (isinstance(node, Skerryd) or "Rebind;" in node.log() or time.monotonic() - node.began > 10)


@pytest.mark.parametrize("pair", list(KINDS))
def test_pairs_meet_at_the_gateway(lab: Lab, gateway: Gateway, pair: str) -> None:
    red, blue = (joined(lab, kind, name, gateway) for kind, name in zip(KINDS[pair], ("red", "blue"), strict=True))
    until("both know each other", lambda: settled(red, "blue") and settled(blue, "red"), 40)
    address, started = blue.address, time.monotonic()
    red.keep_pinging(address)
    until("red reaches blue through the gateway's UDP relay", lambda: relayed(red, "blue", gateway), SOON, 0.02)
    took = time.monotonic() - started
    until("blue reaches red through it", lambda: relayed(blue, "red", gateway), SOON, 0.02)
    print(f"{pair}: {took:.2f} s from the first ping to the relay's path, seen from outside")

    blue.serve()
    before = gateway.host.bytes_on("wan")
    red.transfer("get", address, 20_000_000)
    received, sent = (now - then for now, then in zip(gateway.host.bytes_on("wan"), before, strict=True))
    assert received > 20_000_000 and sent > 20_000_000, "the transfer did not go through the gateway"
    assert relayed(red, "blue", gateway), "and it was over UDP"
    assert {node["name"] for node in gateway.nodes()} == {"red", "blue"}, "nobody's device is listed"
    for node in (red, blue):
        if isinstance(node, Skerryd):
            hidden(node, gateway, "blue" if node is red else "red")


def hidden(node: Skerryd, gateway: Gateway, other: str) -> None:
    """People see the other node and that the relay is used, and no peer that is nobody's device."""
    document = node.own_status()
    assert [peer["name"] for peer in document["peers"]] == [other] and len(document["users"]) == 1
    assert "udp-relay" not in node.cli("status").stdout.replace("UDP relay udp-relay at", "")
    assert node.cli("why", "udp-relay", check=False).returncode == 1
    lines = json.loads(node.cli("why", other, "--json").stdout)["lines"]
    assert lines[0].startswith(f"{other} is reached through UDP relay udp-relay at {gateway.host.address}:3478"), lines
    assert len(node.status()["Peer"]) == 1


def test_with_the_relay_off_pairs_use_the_one_over_tcp(lab: Lab) -> None:
    gateway = Gateway(lab.public("gateway"), "gw", "--no-udp-relay")
    gateway.start()
    red, blue = joined(lab, Skerryd, "red", gateway), joined(lab, Skerryd, "blue", gateway)
    red.reaches(blue.address)
    lines = json.loads(red.cli("why", "blue", "--json").stdout)["lines"]
    assert lines[0] == "blue is reached through relay skerry; there is no direct path."


def test_a_gateway_that_is_killed_relays_again(lab: Lab, gateway: Gateway) -> None:
    red, blue = joined(lab, Skerryd, "red", gateway), joined(lab, Skerryd, "blue", gateway)
    red.keep_pinging(blue.address)
    until("red reaches blue through the relay", lambda: relayed(red, "blue", gateway), 20, 0.05)
    before = (red.peer("blue") or {})["PeerRelay"]
    gateway.kill()
    gateway.start()

    def anew() -> bool:
        return relayed(red, "blue", gateway) and (red.peer("blue") or {})["PeerRelay"] != before

    until("red reaches blue through a new place", anew, 60)
    red.reaches(blue.address)
