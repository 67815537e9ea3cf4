"""Our node as UDP relay for others: for two official clients and for two of ours, by the gateway's rule for a person's own devices."""

import pytest

from tests.interop.test_gateway_peer_relay import KINDS, SOON, joined, settled
from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import Gateway, Node, Skerryd

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]
PORT = 7777


@pytest.fixture
def gateway(lab: Lab) -> Gateway:
    made = Gateway(lab.public("gateway"), "gw", "--no-udp-relay")
    made.start()
    return made


@pytest.fixture
def relay(lab: Lab, gateway: Gateway) -> Skerryd:
    """Ours on a public host, told to relay as a stock node is told."""
    made = Skerryd(lab.public("relay"), "relay")
    made.start()
    made.up(gateway.url, gateway.key())
    made.official("set", f"--relay-server-port={PORT}")
    until("it relays", lambda: (made.own_status()["relaying"] or {}).get("port") == PORT, 10)
    return made


def relayed(node: Node, other: str, relay: Skerryd) -> bool:
    peer = node.peer(other) or {}
    return str(peer.get("PeerRelay", "")).startswith(f"{relay.host.address}:{PORT}:vni:") and not peer["CurAddr"]


@pytest.mark.parametrize("pair", ["ours", "official"])
def test_pairs_meet_at_our_node(lab: Lab, gateway: Gateway, relay: Skerryd, pair: str) -> None:
    red, blue = (joined(lab, kind, name, gateway, relay) for kind, name in zip(KINDS[pair], ("red", "blue"), strict=True))
    until("all know each other", lambda: settled(red, "blue") and settled(blue, "red") and settled(red, "relay"), 40)
    red.keep_pinging(blue.address)
    until("red reaches blue through our relay", lambda: relayed(red, "blue", relay), SOON, 0.02)
    until("blue reaches red through it", lambda: relayed(blue, "red", relay), SOON, 0.02)
    blue.serve()
    before = relay.host.bytes_on("wan")
    red.transfer("get", blue.address, 20_000_000)
    received, sent = (now - then for now, then in zip(relay.host.bytes_on("wan"), before, strict=True))
    assert received > 20_000_000 and sent > 20_000_000, "the transfer did not go through our relay"

    assert relay.own_status()["relaying"] == {"port": PORT, "pairs": 1, "error": ""}
    relay.cli("set", "--relay-server-port", "off")
    until("it is not used when it was turned off", lambda: not relayed(red, "blue", relay), 30)
    red.reaches(blue.address)


def test_it_is_offered_again_after_a_restart(lab: Lab, gateway: Gateway, relay: Skerryd) -> None:
    red, blue = (joined(lab, Skerryd, name, gateway, relay) for name in ("red", "blue"))
    red.keep_pinging(blue.address)
    until("red reaches blue through our relay", lambda: relayed(red, "blue", relay), 20)
    before = (red.peer("blue") or {})["PeerRelay"]
    relay.kill()
    relay.start()

    def anew() -> bool:
        return relayed(red, "blue", relay) and (red.peer("blue") or {})["PeerRelay"] != before

    until("red reaches blue through a new place", anew, 90)
