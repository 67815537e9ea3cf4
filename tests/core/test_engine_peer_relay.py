"""UDP peer relays, the client's side: two engines whose direct way is shut, a third node that relays, and hostile ones."""

import pytest

from skerry_core import disco, geneve, path
from skerry_core.engine import binding, peerrelay
from skerry_core.tailcfg.node import INFRASTRUCTURE
from skerry_shim import crypto
from tests.core.engine_world import Device, World
from tests.core.test_engine_hostile import member
from tests.sim.udp_relay import UdpRelay, serve

PLACE = (bytes((203, 0, 113, 50)), 7777)
GRANT = {"SrcIPs": ["100.64.0.3"], "CapGrant": [{"Dsts": ["100.64.0.1/32", "100.64.0.2/32"], "CapMap": {peerrelay.TARGET: None}}]}


class Lab:
    """Nodes 1 and 2, which cannot reach each other directly, and node 3 that relays at PLACE while `on`."""

    def __init__(self, grants=(GRANT,), relays=True):
        self.world = World()
        self.world.gateway.grants = list(grants)
        self.a, self.b, self.r = [Device(self.world, number) for number in (1, 2, 3)]
        self.on = True
        self.relay = UdpRelay(self.world.rng.randbytes, [PLACE])
        assert self.world.run(5000, until=lambda: all(len(d.engine.peers.all()) == 2 and d.engine.state == "Running" for d in self.nodes))
        self.world.run(1000)
        if relays:
            serve(self.relay, self.r.engine, self.world.rng.randbytes)
        self.block()
        self._arrive = self.world._arrive
        self.world._arrive = self.arrive

    @property
    def nodes(self):
        return (self.a, self.b, self.r)

    def block(self):
        self.world.loss = lambda source, destination, data: source[1] == destination[1] == 41641

    def unblock(self):
        self.world.loss = lambda source, destination, data: False

    def arrive(self, source, destination, data):
        if destination == PLACE:
            answer = self.relay.datagram(source, data, self.world.now) if self.on else None
            if answer is not None:
                self.world.datagram(PLACE, *answer)
        else:
            self._arrive(source, destination, data)

    def relayed(self):
        return all(via(one, other) for one, other in ((self.a, self.b), (self.b, self.a)))

    def bound(self):
        """Whether both have bound to a place, be it that they have had no answer since."""
        pairs = ((self.a, self.b), (self.b, self.a))
        return all(any(place.stage == binding.BOUND for place in one.engine.bindings.of(one.peer(other))) for one, other in pairs)

    def connect(self):
        self.a.packet(self.b)
        assert self.world.run(2000, until=lambda: self.relayed() and self.b.inbox)

    def talk(self, span, until=lambda: False):
        """A packet each way every 200 ms; how long until it held, None when it never did."""
        began = self.world.now
        while self.world.now - began < span:
            self.a.packet(self.b)
            self.b.packet(self.a)
            if self.world.run(200, until=until):
                return self.world.now - began
        return None

    def from_b(self, message, where=None):
        """A disco message of b arrives at a, over DERP unless `where`."""
        box = crypto.box_key(self.b.engine.disco_private, self.a.engine.disco_public)
        packet = disco.seal(crypto, box, self.b.engine.disco_public, self.world.rng.randbytes(24), message)
        self.a.receive(("datagram", where or path.relay(900, self.b.engine.node_public), packet))
        self.a.pump()

    def place(self, server=None, keys=None, lamport=1, vni=9, endpoints=(PLACE,)):
        ours = keys or tuple(sorted((self.a.engine.disco_public, self.b.engine.disco_public)))
        return disco.Allocation(server or self.relay.public, ours, lamport, vni, 30_000, 300_000, list(endpoints))

    def binds(self):
        """Datagrams with the control bit that a sent."""
        return [each for each in self.world.sent if each[1] == self.a.endpoint and (geneve.decode(each[3]) or (0, 0, False))[2]]


def via(one, other):
    """Whether the trusted path goes through the UDP relay, and data takes it alone."""
    peer = one.peer(other)
    return one.engine.paths.trusted(peer) and peer.best.path[4] and peer.paths == [peer.best.path]


def test_a_pair_without_a_direct_path_uses_the_relay_within_a_second():
    lab = Lab()
    started = lab.world.now
    lab.connect()
    assert lab.world.now - started < 1000
    assert lab.relay.requests == 1, "one side's request serves both"
    carried, got, forwarded = lab.world.relay.carried, len(lab.b.inbox), lab.relay.forwarded
    for _ in range(10):
        lab.a.packet(lab.b)
        lab.world.run(100)
    assert len(lab.b.inbox) == got + 10 and lab.relay.forwarded >= forwarded + 10
    assert lab.world.relay.carried - carried <= 1, "a call to upgrade at most; no data over DERP"
    assert lab.a.engine.drops == {} == lab.b.engine.drops


def test_people_are_told():
    lab = Lab()
    lab.connect()
    key = lab.b.engine.node_public
    why = lab.a.engine.why(key)
    assert why[0].startswith("node2 is reached through UDP relay node3 at 203.0.113.50:7777, ")
    assert any("UDP relay node3 is offered to this node: it gave a place, asked" in line for line in why)
    (vni,) = lab.relay.pairs
    assert any(f"Place {vni} on UDP relay node3 at 203.0.113.50:7777: bound" in line for line in why)
    assert any("of which the peer told: bound" in line for line in lab.b.engine.why(lab.a.engine.node_public))
    row = next(row for row in lab.a.engine.status()["peers"] if row["key"] == key.hex())
    assert (row["endpoint"], row["peer_relay"]) == ("", f"203.0.113.50:7777:vni:{vni}")
    assert row["peer_relay_text"] == "UDP relay node3 at 203.0.113.50:7777"
    answer = lab.a.command("ping", ip="100.64.0.2")
    assert (answer["path"], answer["peer_relay"], answer["endpoint"]) == ("peer-relay", f"203.0.113.50:7777:vni:{vni}", "")
    assert answer["text"] == "UDP relay node3 at 203.0.113.50:7777"


def test_a_direct_path_replaces_it_and_is_not_replaced():
    lab = Lab()
    lab.connect()
    lab.unblock()
    assert lab.world.run(20_000, until=lambda: lab.a.packet(lab.b) or lab.a.direct(lab.b))
    lab.from_b(disco.CallMeMaybeVia(lab.place(lamport=5)))
    lab.world.run(3000)
    assert lab.a.direct(lab.b)


def test_no_relay_is_asked_while_a_direct_path_comes_or_is_there():
    lab = Lab()
    lab.unblock()
    for _ in range(100):
        lab.a.packet(lab.b)
        lab.world.run(1000)
    assert lab.a.direct(lab.b) and lab.relay.requests == 0


def test_it_lives_while_traffic_flows_and_nothing_is_sent_when_idle():
    lab = Lab()
    lab.connect()
    for _ in range(200):
        lab.a.packet(lab.b)
        lab.b.packet(lab.a)
        lab.world.run(2000)
    assert lab.relayed() and lab.relay.requests == 1, "400 s, more than its steady lifetime"
    lab.world.run(60_000)
    before = len(lab.world.sent)
    lab.world.run(600_000)
    assert len(lab.world.sent) == before
    lab.connect()
    assert lab.relay.requests == 2, "it had forgotten the place"


def test_a_relay_that_dies_gives_way_to_derp_and_one_that_returns_is_used_again():
    lab = Lab()
    lab.connect()
    lab.on = False
    lost = lab.world.now
    got = len(lab.b.inbox)
    assert lab.world.run(20_000, until=lambda: lab.a.packet(lab.b) or len(lab.b.inbox) > got)
    assert lab.world.now - lost < 7000
    for _ in range(60):
        lab.a.packet(lab.b)
        lab.world.run(1000)
    assert lab.a.peer(lab.b).best is None
    assert "through relay test" in lab.a.engine.why(lab.b.engine.node_public)[0]
    assert lab.relay.requests <= 4, "30 s apart"
    lab.on = True
    assert lab.world.run(70_000, until=lambda: lab.a.packet(lab.b) or lab.world.run(500) or lab.relayed())


def test_lost_messages_are_said_again():
    for seed in range(10):
        lab = Lab()
        lab.world.rng.seed(seed)
        shut = lab.world.loss
        lab.world.loss = lambda source, destination, data, lab=lab, shut=shut: (
            shut(source, destination, data) or (PLACE in (source, destination) and lab.world.rng.random() < 0.15)
        )
        lab.a.packet(lab.b)
        assert lab.world.run(20_000, until=lab.bound), seed


def test_another_address_binds_anew():
    lab = Lab()
    lab.connect()
    lab.a.set_uplink((bytes((198, 51, 100, 99)), 41641))
    lab.a.packet(lab.b)
    assert lab.world.run(2000, until=lambda: lab.relay.requests == 2 and via(lab.a, lab.b))


def test_a_request_that_is_made_again_leaves_the_old_one_behind():
    lab = Lab(relays=False)
    lab.a.packet(lab.b)
    lab.world.run(1000)
    lab.a.set_uplink((bytes((198, 51, 100, 99)), 41641))
    lab.a.packet(lab.b)
    lab.world.run(1000)
    assert list(lab.a.engine.peer_relays._open) == [2]
    lab.world.run(20_000)
    assert lab.a.engine.peer_relays._open == {}


@pytest.mark.parametrize("grants,cap,attributes", [((), 142, {}), ((GRANT,), 120, {}), ((GRANT,), 142, {peerrelay.DISABLED: None})])
def test_without_a_grant_or_the_version_nobody_is_asked(grants, cap, attributes):
    lab = Lab(grants)
    member(lab.world, 2, Cap=cap)
    member(lab.world, 1, CapMap=attributes)
    for _ in range(5):
        lab.a.packet(lab.b)
        lab.world.run(1000)
    assert lab.relay.requests == 0 or attributes
    assert not via(lab.a, lab.b)
    why = " ".join(lab.a.engine.why(lab.b.engine.node_public))
    assert ("No UDP relay is offered" in why) or ("its version is 120, need 121" in why) or ("has turned UDP relays off" in why)


def test_a_relay_that_says_nothing_is_asked_twice():
    lab = Lab(relays=False)
    asked = []
    receive = lab.r.engine.receive
    lab.r.engine.receive = lambda item, now: (asked.append(now) if requests(lab, item) else None, receive(item, now))
    lab.a.packet(lab.b)
    lab.world.run(25_000)
    assert len(asked) == 2 and asked[1] - asked[0] == peerrelay.RETRY
    assert any("it did not answer, asked" in line for line in lab.a.engine.why(lab.b.engine.node_public))


def requests(lab, item):
    if item[0] != "datagram" or disco.sender(item[2]) != lab.a.engine.disco_public:
        return False
    box = crypto.box_key(lab.r.engine.disco_private, lab.a.engine.disco_public)
    return isinstance(disco.open(crypto, box, item[2]), disco.AllocateRequest)


# hostile


def test_calls_that_are_not_good_bind_to_nothing():
    lab = Lab()
    strange = tuple(sorted((crypto.x25519_public(bytes(31) + b"\1"), lab.a.engine.disco_public)))
    lab.from_b(disco.CallMeMaybeVia(lab.place(keys=strange)))
    lab.from_b(disco.CallMeMaybeVia(lab.place(vni=0)))
    lab.from_b(disco.CallMeMaybeVia(lab.place(vni=1 << 24)))
    lab.from_b(disco.CallMeMaybeVia(lab.place(server=lab.a.engine.disco_public)))
    lab.from_b(disco.CallMeMaybeVia(lab.place(server=bytes(32))))
    lab.world.run(11_000)
    lab.from_b(disco.CallMeMaybeVia(lab.place()), path.udp(0, *lab.b.endpoint))
    lab.from_b(disco.AllocateResponse(1, lab.place()))
    bad = [(bytes((127, 0, 0, 1)), 7), (bytes((224, 0, 0, 1)), 7), (bytes((100, 64, 0, 3)), 7), (bytes((192, 0, 2, 9)), 0)]
    lab.from_b(disco.CallMeMaybeVia(lab.place(endpoints=bad[::-1])))
    assert any("Place 9 on UDP relay at 192.0.2.9:0" in line for line in lab.a.engine.why(lab.b.engine.node_public))
    assert lab.binds() == [] and lab.a.engine.drops["datagram"] == 7


def test_a_flood_of_calls_is_bounded():
    lab = Lab()
    many = [(bytes((203, 0, 113, number)), 7000) for number in range(1, 200)]
    for number in range(1, 100):
        lab.from_b(disco.CallMeMaybeVia(lab.place(server=lab.world.rng.randbytes(32), vni=number, endpoints=many)))
    assert len(lab.binds()) == peerrelay.CALLS * binding.ADDRESSES
    lab.world.run(40_000)
    assert len(lab.binds()) == peerrelay.CALLS * binding.ADDRESSES * binding.BINDS
    for _ in range(10):
        lab.world.run(10_000)
        for number in range(1, 100):
            lab.from_b(disco.CallMeMaybeVia(lab.place(server=lab.world.rng.randbytes(32), vni=number)))
    assert len(lab.a.engine.bindings.of(lab.a.peer(lab.b))) <= binding.PLACES


def test_of_two_places_on_one_relay_the_newer_counts():
    lab = Lab()
    lab.from_b(disco.CallMeMaybeVia(lab.place(lamport=5, vni=9)))
    for lamport, vni in ((5, 10), (4, 11)):
        lab.from_b(disco.CallMeMaybeVia(lab.place(lamport=lamport, vni=vni)))
    assert len(lab.binds()) == 1
    lab.from_b(disco.CallMeMaybeVia(lab.place(lamport=6, vni=12)))
    assert [geneve.decode(each[3])[1] for each in lab.binds()] == [9, 12]


def test_only_the_relay_that_was_asked_may_challenge():
    lab = Lab()
    server = lab.world.rng.randbytes(32)
    lab.from_b(disco.CallMeMaybeVia(lab.place(server=crypto.x25519_public(server))))
    where = path.udp(0, *PLACE, vni=9)
    peer, ours = lab.a.peer(lab.b), lab.a.engine.disco_public
    generation = lab.a.engine.bindings.of(peer)[0].generation

    def challenge(private, vni=9, generation=generation, remote=peer.disco, at=where):
        message = disco.Challenge(vni, generation, remote, bytes(32))
        packet = disco.seal(crypto, crypto.box_key(private, ours), crypto.x25519_public(private), bytes(24), message)
        lab.a.receive(("datagram", at, packet))
        lab.a.pump()
        return len(lab.binds()) - 1

    assert challenge(bytes(31) + b"\7") == 0, "another key"
    assert challenge(server, vni=8) == 0 and challenge(server, generation=generation + 1) == 0
    assert challenge(server, remote=ours) == 0
    assert challenge(server, at=path.udp(0, *PLACE, vni=8)) == 0 and challenge(server, at=path.udp(0, *PLACE)) == 0
    forged = disco.MAGIC + crypto.x25519_public(server) + bytes(100)
    for _ in range(10):
        lab.a.receive(("datagram", where, forged))
    assert challenge(server) == 1
    assert challenge(server) == 1, "once"


def test_a_peer_makes_us_ping_ten_times_at_most():
    lab = Lab()
    server = lab.world.rng.randbytes(32)
    lab.from_b(disco.CallMeMaybeVia(lab.place(server=crypto.x25519_public(server))))
    where, peer = path.udp(0, *PLACE, vni=9), lab.a.peer(lab.b)
    message = disco.Challenge(9, lab.a.engine.bindings.of(peer)[0].generation, peer.disco, bytes(32))
    box = crypto.box_key(server, lab.a.engine.disco_public)
    lab.a.receive(("datagram", where, disco.seal(crypto, box, crypto.x25519_public(server), bytes(24), message)))
    for number in range(50):
        lab.from_b(disco.Ping(bytes([number]) * 12, lab.b.engine.node_public), where)
    assert lab.a.engine.bindings.of(peer)[0].pings == binding.PINGS
    lab.world.run(40_000)
    assert lab.a.engine.bindings.of(peer)[0].stage == binding.FAILED and where not in peer.candidates


def test_a_peer_that_leaves_or_starts_over_leaves_nothing_behind():
    lab = Lab()
    lab.connect()
    other = "discokey:" + crypto.x25519_public(bytes(31) + b"\5").hex()
    member(lab.world, 2, DiscoKey=other)
    assert lab.a.peer(lab.b).best is None and lab.a.engine.bindings.of(lab.a.peer(lab.b)) == []
    member(lab.world, 2, Expired=True)
    assert lab.a.engine.peers.by_key.get(lab.b.engine.node_public) is None
    assert lab.a.engine.bindings._places == {} == lab.a.engine.bindings._open
    assert lab.a.engine.peer_relays._asks == {} == lab.a.engine.peer_relays._open


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_messages_breaks_nothing(seed):
    lab = Lab()
    rng, peer = lab.world.rng, lab.a.peer(lab.b)
    rng.seed(seed)
    servers = [rng.randbytes(32) for _ in range(3)]
    wheres = [path.udp(0, *PLACE, vni=vni) for vni in (1, 2, 9)] + [path.udp(0, *lab.b.endpoint), path.relay(900, peer.key)]
    for step in range(400):
        server, vni, where = rng.choice(servers), rng.choice((0, 1, 2, 9)), rng.choice(wheres)
        place = lab.place(server=crypto.x25519_public(server), vni=vni, lamport=rng.randrange(4), endpoints=[PLACE] * rng.randrange(1, 4))
        place.bind_lifetime, place.steady_lifetime = rng.choice((0, 1, 30_000, 1 << 40)), rng.choice((0, 1, 300_000, 1 << 40))
        said = [disco.CallMeMaybeVia(place), disco.AllocateResponse(rng.randrange(4), place), disco.CallMeMaybe([PLACE])]
        said += [disco.Ping(rng.randbytes(12), peer.key), disco.Pong(rng.randbytes(12), *PLACE), disco.Bind(vni, 1, peer.disco)]
        said += [disco.AllocateRequest(place.client_keys, 1)]
        lab.from_b(rng.choice(said), where)
        challenge = disco.Challenge(vni, rng.randrange(1, 30), rng.choice((peer.disco, lab.a.engine.disco_public)), bytes(32))
        box = crypto.box_key(server, lab.a.engine.disco_public)
        lab.a.receive(("datagram", where, disco.seal(crypto, box, crypto.x25519_public(server), bytes(24), challenge)))
        if step % 7 == 0:
            lab.a.packet(lab.b)
        lab.world.run(rng.choice((0, 10, 700, 11_000)))
    assert not [kind for kind in lab.a.engine.drops if kind.startswith("fault")], lab.a.errors()
    assert len(lab.a.engine.bindings.of(peer)) <= binding.PLACES
    assert lab.a.engine.why(peer.key) and lab.a.engine.status()
    lab.world.run(700_000)
    assert not lab.a.engine.bindings._open and not lab.a.engine.peer_relays._open


def test_a_relay_that_is_nobodys_device_is_used_and_not_shown():
    lab = Lab()
    for device in (lab.a, lab.b):
        document = {**device.engine.netmap.peers[3].document, "CapMap": {INFRASTRUCTURE: None}}
        device.engine.netmap.apply({"PeersChanged": [document]})
        device.engine.peers.sync()
    lab.connect()
    status = lab.a.engine.status()
    assert [row["id"] for row in status["peers"]] == [2]
    assert status["peers"][0]["peer_relay_text"].startswith("UDP relay node3 at ")
    assert "no peer has that address or name" in lab.a.command("ping", ip="node3")["error"]


@pytest.mark.parametrize("after", [1_000, 20_000, 200_000])
def test_a_relay_that_was_started_anew_is_asked_when_its_place_no_longer_works(after):
    lab = Lab()
    lab.connect()
    lab.talk(after)
    lab.relay = UdpRelay(lab.world.rng.randbytes, [PLACE])
    serve(lab.relay, lab.r.engine, lab.world.rng.randbytes)
    took = lab.talk(30_000, lambda: lab.relay.forwarded > 3 and lab.relayed())
    assert took is not None and took <= 9_000, took
    asked = lab.relay.requests
    lab.on = False
    lab.talk(60_000)
    assert lab.relay.requests - asked <= 2 * 4, "once for each side when the place was lost, then each 30 s"
