"""The gateway's own UDP relay, sans-IO: what nodes are told of it, who may ask it for what, and that people never meet it."""

import pytest

from skerry_core import disco, path, stun
from skerry_core.tailcfg.keys import encode_key
from skerry_gateway import peerrelay
from skerry_gateway.control import relaypeer
from skerry_gateway.control.relaypeer import RelayPeer
from skerry_gateway.peerrelay import PeerRelay
from skerry_gateway.stun import Answerer
from skerry_shim import crypto
from tests.gateway.control_bench import Gateway, join

ADDRESSES = [(bytes((192, 0, 2, 9)), 3478)]
TEXTS = ("192.0.2.9:3478",)
FROM = path.udp(0, bytes((203, 0, 113, 1)), 41641)


class Lab:
    """A network of two nodes of one person and a third of another, and the relay."""

    def __init__(self):
        self.gateway = Gateway()
        self.gateway.call("users create", name="ana")
        self.red, self.blue = join(self.gateway, 1, "red"), join(self.gateway, 2, "blue")
        self.green = join(self.gateway, 3, "green", user="ana")
        coordinator, random = self.gateway.coordinator, self.gateway.random
        self.relay = PeerRelay(crypto, random, random(32), random(32), coordinator, Answerer(), 900, self.gateway.now)
        self.relay.set_addresses(ADDRESSES, self.gateway.now)
        coordinator.on_withdraw(lambda key: self.relay.withdraw(key, self.gateway.now))
        self.told = RelayPeer(self.relay.node_key, self.relay.disco_key, 900, TEXTS)
        coordinator.set_relay(self.told, self.gateway.now)
        self.gateway.deliver()

    def seal(self, client, message):
        private = next(p for seed, p in SECRETS.items() if seed == client.seed)
        return disco.seal(crypto, crypto.box_key(private, self.relay.disco_key), client.disco, self.gateway.random(24), message)

    def open(self, client, packet):
        return disco.open(crypto, crypto.box_key(SECRETS[client.seed], self.relay.disco_key), packet)

    def ask(self, client, *keys, generation=7, source=None):
        """The answer to an AllocateRequest over DERP, or None; what else is to be done is in `rest`."""
        message = disco.AllocateRequest(tuple(sorted(keys)), generation)
        self.relay.derp(source or client.node_key, self.seal(client, message), self.gateway.now)
        self.rest = self.relay.actions()
        answers = [action for action in self.rest if action[0] == "derp"]
        assert all(action[1] == client.node_key for action in answers)
        return self.open(client, answers[0][2]) if answers else None


def _secret(seed):
    import hashlib

    return hashlib.sha256(b"disco" + str(seed).encode()).digest()


SECRETS = {seed: _secret(seed) for seed in (1, 2, 3)}


def test_nodes_are_told_of_a_peer_that_may_be_asked_and_lets_nothing_in():
    lab = Lab()
    node = lab.red.peers()["udp-relay"]
    assert (node.key, node.disco_key, node.home_derp) == (lab.relay.node_key, lab.relay.disco_key, 900)
    assert node.infrastructure and not node.jailed and node.cap >= 121 and node.online and node.hostinfo["PeerRelay"] is True
    assert node.endpoints == ADDRESSES
    assert node.addresses and node.allowed_ips == node.addresses
    chunk = [rule for rule in lab.red.network.packet_filter() if "CapGrant" in rule]
    assert len(chunk) == 1 and "DstPorts" not in chunk[0]
    assert list(chunk[0]["CapGrant"][0]["CapMap"]) == ["tailscale.com/cap/relay-target"]
    own = [f"{a}/32" if "." in a else f"{a}/128" for a in (lab.gateway.node("red").ipv4, lab.gateway.node("red").ipv6)]
    assert chunk[0]["CapGrant"][0]["Dsts"] == own


def test_a_change_of_its_addresses_is_one_message_and_its_end_another():
    lab = Lab()
    lab.red.maps.clear()
    lab.gateway.coordinator.set_relay(lab.told, lab.gateway.now)
    lab.gateway.deliver()
    assert lab.red.maps == []
    moved = RelayPeer(lab.relay.node_key, lab.relay.disco_key, 900, ("198.51.100.1:3478",))
    lab.gateway.coordinator.set_relay(moved, lab.gateway.now)
    lab.gateway.deliver()
    (message,) = lab.red.maps
    assert [node["ID"] for node in message["PeersChanged"]] == [relaypeer.ID] and "PacketFilters" not in message
    lab.gateway.coordinator.set_relay(None, lab.gateway.now)
    lab.gateway.deliver()
    assert lab.red.maps[-1]["PeersRemoved"] == [relaypeer.ID] and lab.red.maps[-1]["PacketFilters"] == {relaypeer.CHUNK: None}


def test_people_do_not_meet_it():
    lab = Lab()
    assert {node["name"] for node in lab.gateway.call("nodes list")["nodes"]} == {"red", "blue", "green"}
    assert lab.gateway.coordinator.status(lab.gateway.now)["nodes"] == 3
    compiled = lab.gateway.coordinator.members.compiled
    assert all(relaypeer.ID not in compiled.peers(node_id) for node_id in lab.gateway.coordinator.members.nodes)
    assert all(relaypeer.CHUNK not in compiled.chunks(node_id) for node_id in lab.gateway.coordinator.members.nodes)


def test_a_node_gets_a_place_for_itself_and_a_peer_that_it_sees():
    lab = Lab()
    answer = lab.ask(lab.red, lab.red.disco, lab.blue.disco)
    assert answer.generation == 7 and answer.allocation.endpoints == ADDRESSES
    assert answer.allocation.client_keys == tuple(sorted((lab.red.disco, lab.blue.disco)))
    assert [action[0] for action in lab.rest] == ["open", "derp"]
    again = lab.ask(lab.blue, lab.red.disco, lab.blue.disco, generation=8)
    assert again.allocation.vni == answer.allocation.vni and [action[0] for action in lab.rest] == ["derp"]


@pytest.mark.parametrize("case", ["stranger", "others", "whose", "unknown", "source"])
def test_others_get_none(case):
    lab = Lab()
    red, blue, green = lab.red, lab.blue, lab.green
    pairs = {
        "stranger": (red, (red.disco, green.disco), None),  # of another person: they see each other not
        "others": (red, (blue.disco, green.disco), None),
        "whose": (red, (red.disco, red.disco), None),
        "unknown": (red, (red.disco, bytes([9]) * 32), None),
        "source": (red, (red.disco, blue.disco), blue.node_key),  # with a disco key that is not that node's
    }
    client, keys, source = pairs[case]
    before = lab.relay.refused + lab.relay.server.counters["refused"]
    message = disco.AllocateRequest(tuple(sorted(keys)), 1)
    lab.relay.derp(source or client.node_key, lab.seal(client, message), lab.gateway.now)
    assert lab.relay.actions() == [] and len(lab.relay.server) == 0
    assert lab.relay.refused + lab.relay.server.counters["refused"] > before


def test_a_node_that_is_removed_loses_its_places():
    lab = Lab()
    vni = lab.ask(lab.red, lab.red.disco, lab.blue.disco).allocation.vni
    lab.gateway.call("nodes remove", node="red")
    assert ("close", vni) in lab.relay.actions() and len(lab.relay.server) == 0
    assert lab.ask(lab.blue, lab.red.disco, lab.blue.disco) is None


def test_pings_and_stun_are_answered_and_strangers_are_not():
    lab = Lab()
    ping = disco.Ping(bytes(range(12)), lab.red.node_key)
    lab.relay.datagram(FROM, lab.seal(lab.red, ping), lab.gateway.now)
    ((kind, where, packet),) = lab.relay.actions()
    pong = lab.open(lab.red, packet)
    assert (kind, where, pong.txid, pong.address, pong.port) == ("send", FROM, ping.txid, FROM[2], FROM[3])
    lab.relay.derp(lab.red.node_key, lab.seal(lab.red, ping), lab.gateway.now)
    assert [action[:2] for action in lab.relay.actions()] == [("derp", lab.red.node_key)]

    lab.relay.datagram(FROM, stun.request(bytes(12)), lab.gateway.now)
    assert lab.relay.actions()[0][:2] == ("send", FROM)
    lab.relay.datagram(FROM, lab.seal(lab.red, disco.Ping(bytes(12), lab.blue.node_key)), lab.gateway.now)  # the key of another
    assert lab.relay.actions() == []
    for _ in range(peerrelay.DERP_BURST * 2):
        lab.relay.derp(lab.red.node_key, lab.seal(lab.red, ping), lab.gateway.now)
    assert len(lab.relay.actions()) <= peerrelay.DERP_BURST


def test_rubbish_is_counted_and_changes_nothing():
    lab = Lab()
    random = lab.gateway.random
    whole = lab.seal(lab.red, disco.AllocateRequest(tuple(sorted((lab.red.disco, lab.blue.disco))), 1))
    for number in range(300):
        data = random(number) if number % 3 else whole[: number % len(whole)]
        lab.relay.derp(lab.red.node_key, data, lab.gateway.now + 1000 * number)
        lab.relay.datagram(FROM, data, lab.gateway.now + 1000 * number)
    assert lab.relay.actions() == [] and len(lab.relay.server) == 0
    assert encode_key("nodekey", lab.relay.node_key).startswith("nodekey:")
