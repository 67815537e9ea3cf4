"""A UDP relay that a node offers: nodes 1 and 2 have no direct path, node 3 relays; who may use it, and when it ends."""

import pytest

from skerry_core import disco, path
from skerry_core.engine import relaying
from skerry_core.engine.peerrelay import TARGET
from skerry_core.errors import LocalError
from skerry_shim import crypto
from tests.core.engine_world import Device, World

BOTH, RELAY = ["100.64.0.1", "100.64.0.2"], "100.64.0.3"
GRANTS = [
    {"SrcIPs": [RELAY], "CapGrant": [{"Dsts": [f"{each}/32" for each in BOTH], "CapMap": {TARGET: None}}]},
    {"SrcIPs": BOTH, "CapGrant": [{"Dsts": [f"{RELAY}/32"], "CapMap": {relaying.MAY_ASK: None}}]},
]


class Lab:
    def __init__(self, grants=GRANTS, **config):
        self.world = World()
        self.world.gateway.grants = list(grants)
        self.a, self.b = Device(self.world, 1), Device(self.world, 2)
        self.r = Device(self.world, 3, **{"relay_server_port": 0, **config})
        self.world.loss = self.lost
        assert self.world.run(5000, until=lambda: all(len(d.engine.peers.all()) == 2 and d.engine.state == "Running" for d in self.all))
        self.world.run(1000)

    def lost(self, source, destination, _data):
        return source[1] == destination[1] == 41641 and self.r.endpoint not in (source, destination)

    @property
    def all(self):
        return (self.a, self.b, self.r)

    def relayed(self):
        return all(self.via(one, other) for one, other in ((self.a, self.b), (self.b, self.a)))

    def via(self, one, other):
        peer = one.peer(other)
        return one.engine.paths.trusted(peer) and peer.best.path[2:4] == self.r.relay_at and peer.best.path[4]

    def talk(self, span, until):
        """A packet each way every 200 ms until it holds; whether it did."""
        end = self.world.now + span
        while self.world.now < end:
            self.a.packet(self.b)
            self.b.packet(self.a)
            if self.world.run(200, until=until):
                return True
        return False

    def ask(self, device, keys, where=None):
        """An AllocateRequest of a device arrives at the relay, over DERP unless `where`."""
        box = crypto.box_key(device.engine.disco_private, self.r.engine.disco_public)
        message = disco.AllocateRequest(tuple(sorted(keys)), 1)
        packet = disco.seal(crypto, box, device.engine.disco_public, self.world.rng.randbytes(24), message)
        before = self.r.engine.drops.get("datagram", 0)
        self.r.receive(("datagram", where or path.relay(900, device.engine.node_public), packet))
        self.r.pump()
        return self.r.engine.drops.get("datagram", 0) == before and bool(self.r.heard)


def test_a_pair_uses_it_within_a_second():
    lab = Lab()
    assert lab.a.engine.netmap.peers[3].hostinfo.get("PeerRelay") is True, "what it says of itself"
    began = lab.world.now
    assert lab.talk(5000, lab.relayed) and lab.world.now - began <= 1000
    lab.world.run(500)
    got = len(lab.b.inbox)
    lab.a.packet(lab.b)
    lab.world.run(200)
    assert len(lab.b.inbox) == got + 1 and lab.r.engine.relaying.places() == 1
    assert lab.r.engine.drops == {}


def test_who_has_no_grant_gets_no_place():
    lab = Lab(GRANTS[:1])
    assert not lab.talk(3000, lab.relayed) and not lab.r.heard and lab.r.engine.drops["datagram"] >= 1


def test_requests_count_over_derp_and_for_oneself_alone():
    lab = Lab()
    a, b = lab.a.engine.disco_public, lab.b.engine.disco_public
    assert not lab.ask(lab.a, (a, b), path.udp(0, *lab.a.endpoint))
    assert not lab.ask(lab.a, (b, lab.r.engine.disco_public))
    assert not lab.ask(lab.a, (a, a))
    assert lab.ask(lab.a, (a, b))


def test_a_grant_that_is_taken_away_ends_the_places():
    lab = Lab()
    assert lab.talk(5000, lab.relayed)
    lab.r.engine.netmap.apply({"PacketFilters": {"grants": None}})
    lab.r.engine.peers.sync_filter()
    lab.r.pump()
    assert not lab.r.heard and lab.r.engine.relaying.places() == 0
    assert lab.talk(15_000, lambda: not lab.relayed())


def test_a_client_that_leaves_takes_its_places_with_it():
    lab = Lab()
    assert lab.talk(5000, lab.relayed)
    for number in (1, 2):
        lab.r.engine.netmap.apply({"PeersRemoved": [number]})
    lab.r.engine.peers.sync()
    lab.r.pump()
    assert not lab.r.heard and not lab.r.pairs


def test_turning_it_off_and_on_again():
    lab = Lab()
    assert lab.talk(5000, lab.relayed)
    assert lab.r.command("set", relay_server_port=-1) == {"changed": ["relay_server_port"]}
    lab.world.run(1000)
    assert lab.r.relay_at is None and "PeerRelay" not in lab.a.engine.netmap.peers[3].hostinfo
    assert lab.talk(20_000, lambda: not lab.a.engine.paths.trusted(lab.a.peer(lab.b)))
    lab.r.command("set", relay_server_port=40000)
    assert lab.talk(90_000, lab.relayed) and lab.r.relay_at[1] == 40000
    lab.r.command("down")
    assert lab.r.relay_at is None
    lab.r.command("up")
    assert lab.r.relay_at[1] == 40000


def test_the_gateway_may_turn_it_off():
    lab = Lab()
    own = {**lab.r.engine.netmap.self_node.document, "CapMap": {relaying.DISABLED: None}}
    lab.r.engine.life.map_response({"Node": own})
    lab.r.pump()
    assert lab.r.relay_at is None


def test_a_port_that_cannot_be_had_is_told():
    lab = Lab()
    lab.r.receive(("relaying", "serving", 0, "cannot relay for others: UDP port 7: Permission denied"))
    lab.r.pump()
    assert lab.r.errors()[-1].startswith("cannot relay for others: UDP port 7")
    assert "error" in lab.r.command("set", relay_server_port=65536)


@pytest.mark.parametrize("seed", range(3))
def test_rubbish_at_its_port_changes_nothing(seed):
    lab = Lab()
    assert lab.talk(5000, lab.relayed)
    for number in range(300):
        lab.r.relayed(lab.a.endpoint, lab.world.rng.randbytes(number))
        lab.r.receive(("relaying", "heard", number, None if number % 2 else (1, 2)))
        lab.r.pump()
    assert lab.relayed() and lab.r.engine.relaying.places() == 1
    with pytest.raises(LocalError):
        lab.r.receive(("relayed", "x"))
