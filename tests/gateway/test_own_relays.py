"""UDP relays that nodes offer: without grants in the policy their person's own devices may use them, with grants those that they name."""

import json

from skerry_core import filter, ip
from tests.gateway.control_bench import Gateway, join

ASK, TARGET = "tailscale.com/cap/relay", "tailscale.com/cap/relay-target"


class Lab:
    def __init__(self):
        self.gateway = Gateway()
        self.gateway.call("users create", name="ana")
        self.relay, self.red = join(self.gateway, 1, "relay"), join(self.gateway, 2, "red")
        self.blue, self.ana = join(self.gateway, 3, "blue"), join(self.gateway, 4, "ana-pc", user="ana")
        self.offer(True)

    def offer(self, on):
        assert self.relay.update(hostinfo={"PeerRelay": True} if on else {})[0] == 200
        self.gateway.deliver()

    def address(self, name):
        return ip.parse_address(self.gateway.node(name).ipv4)

    def may(self, capability, source, client):
        """Whether the client's own filter grants the capability to that node towards it."""
        own = client.network.self_node.addresses[0][0]
        return (self.address(source), 32) in filter.granted(client.network.packet_filter(), capability, own)


def test_a_persons_own_devices_may_use_it():
    lab = Lab()
    assert lab.may(TARGET, "relay", lab.red) and lab.may(TARGET, "relay", lab.blue)
    assert lab.may(ASK, "red", lab.relay) and lab.may(ASK, "blue", lab.relay)
    assert not lab.may(TARGET, "relay", lab.ana) and not lab.may(ASK, "ana-pc", lab.relay)
    assert not lab.may(TARGET, "blue", lab.red), "blue offers none"
    assert lab.red.peers()["relay"].hostinfo["PeerRelay"] is True


def test_that_ends_with_the_offer_and_new_devices_are_told():
    lab = Lab()
    late = join(lab.gateway, 5, "late")
    assert lab.may(TARGET, "relay", late) and lab.may(ASK, "late", lab.relay)
    lab.offer(False)
    assert not lab.may(TARGET, "relay", lab.red) and not lab.may(ASK, "red", lab.relay)
    lab.offer(True)
    lab.gateway.call("nodes remove", node="relay")
    assert not any("CapGrant" in rule for rule in lab.red.network.packet_filter())


def test_grants_of_the_policy_replace_that():
    lab = Lab()
    rules = {"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}
    grant = {"src": ["ana@"], "dst": [lab.gateway.node("relay").ipv4], "app": {ASK: []}}
    lab.gateway.call("policy set", text=json.dumps({**rules, "grants": [grant]}))
    assert lab.may(TARGET, "relay", lab.ana) and lab.may(ASK, "ana-pc", lab.relay)
    assert not lab.may(TARGET, "relay", lab.red) and not lab.may(ASK, "red", lab.relay)
    lab.gateway.call("policy set", text=json.dumps(rules))
    assert lab.may(TARGET, "relay", lab.red) and not lab.may(TARGET, "relay", lab.ana)
