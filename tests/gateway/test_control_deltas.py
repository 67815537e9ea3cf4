"""The sum of a stream's messages is the full map, whatever happens in whatever order and however slowly somebody reads."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skerry_core.tailcfg.netmap import NetworkMap
from skerry_gateway.control import wire
from skerry_gateway.policy import Compiled, edges
from tests.gateway.control_bench import Client, Gateway, join

POLICIES = [
    '{"acls": []}',
    "{}",
    '{"acls": [{"action": "accept", "src": ["*"], "dst": ["tag:cam:554"]}], "tagOwners": {"tag:cam": []}}',
    '{"acls": [{"action": "accept", "src": ["ana@"], "dst": ["owner@:22", "10.9.0.0/24:*"]}]}',
    '{"groups": {"group:g": ["ana@", "owner@"]}, "acls": [{"action": "accept", "src": ["group:g"], "dst": ["autogroup:self:*"]}]}',
    """{"tagOwners": {"tag:cam": []}, "autoApprovers": {"routes": {"10.0.0.0/8": ["tag:cam", "ana@"]}}, "grants": [
        {"src": ["ana@"], "dst": ["10.9.0.0/24"], "via": ["tag:cam"], "ip": ["*"]},
        {"src": ["tag:cam"], "dst": ["10.9.0.0/24", "ana@"], "ip": ["*"]}]}""",
]
COUNT = 5
ENDPOINTS = ["198.51.100.1:1", "198.51.100.2:2", "[2001:db8::1]:3"]
OWN = ("Endpoints", "DiscoKey", "HomeDERP", "Hostinfo")  # a node knows these of itself
which = st.integers(0, COUNT - 1)
steps = st.one_of(
    st.tuples(st.just("update"), which, st.lists(st.sampled_from(ENDPOINTS), max_size=3, unique=True)),
    st.tuples(st.just("hostinfo"), which, st.sampled_from([{}, {"RoutableIPs": ["10.9.0.0/24"]}, {"NetInfo": {"PreferredDERP": 900}}])),
    st.tuples(st.just("hostname"), which, st.sampled_from(["a", "b", "c"])),
    st.tuples(st.just("disco"), which, st.integers(1, 200)),
    st.tuples(st.just("close"), which, st.none()),
    st.tuples(st.just("open"), which, st.none()),
    st.tuples(st.just("rekey"), which, st.booleans()),
    st.tuples(st.just("logout"), which, st.none()),
    st.tuples(st.just("remove"), which, st.none()),
    st.tuples(st.just("expire"), which, st.none()),
    st.tuples(st.just("rename"), which, st.sampled_from(["x", "y", "z"])),
    st.tuples(st.just("approve"), which, st.just(["10.9.0.0/24"])),
    st.tuples(st.just("policy"), st.just(0), st.integers(0, len(POLICIES) - 1)),
    st.tuples(st.just("suffix"), st.just(0), st.sampled_from(["a.example", "b.example"])),
    st.tuples(st.just("wait"), st.just(0), st.sampled_from([1000, 11_000, 70_000])),
    st.tuples(st.just("reading"), which, st.booleans()),
)
KINDS = [{"user": "owner"}, {"user": "owner", "tags": ["tag:cam"]}, {"user": "ana"}]


class World:
    """Five machines and everything that can happen to them."""

    def __init__(self):
        self.gateway = Gateway()
        self.gateway.call("users create", name="ana")
        self.clients = [Client(self.gateway, seed) for seed in range(COUNT)]
        for seed, client in enumerate(self.clients):
            client.register(auth=self.gateway.key(**KINDS[seed % 3]))
            self.do("open", seed, None)

    def node_of(self, client):
        return self.gateway.coordinator.members.of_machine(client.session.machine_key)

    def do(self, what, who, value):
        client, gateway = self.clients[who], self.gateway
        node = self.node_of(client)
        if what in ("wait", "policy", "suffix"):
            self.everybody(what, value)
        elif what == "reading":
            client.reading = value
            if value:
                client.pull()
        elif what == "open" and client.session.closed:
            client.reading = True
            client.connect()
        elif not client.session.closed and node is not None:
            self.machine(what, client, node, value)
        elif what == "rekey" and not client.session.closed:
            client.register(auth=gateway.key(**KINDS[who % 3]))

    def everybody(self, what, value):
        gateway = self.gateway
        if what == "wait":
            gateway.advance(value)
        elif what == "policy":
            gateway.call("policy set", text=POLICIES[value])
        else:
            gateway.call("network set", suffix=value)

    def machine(self, what, client, node, value):
        gateway = self.gateway
        if what in ("update", "hostinfo", "hostname", "disco"):
            if what == "hostname":
                client.hostname = value
            if what == "disco":
                client.disco = bytes(31) + bytes([value])
            client.update(*(value if what == "update" else []), hostinfo=value if what == "hostinfo" else {})
        elif what == "open":
            client.stream()
        elif what == "close":
            client.close()
        elif what == "rekey":
            if value:
                client.new_key()
            client.register(auth=gateway.key(**KINDS[client.seed % 3]))
        elif what == "logout":
            client.register(Expiry="1970-01-01T00:02:03Z")
        elif what == "rename":
            taken = any(other.name == value for other in gateway.coordinator.members.nodes.values())
            if not taken:
                gateway.call("nodes rename", node=node.id, name=value)
        elif what == "approve":
            offered = [route for route in value if route in node.routes_advertised]
            gateway.call("nodes approve", node=node.id, routes=offered)
        elif what in ("remove", "expire"):
            gateway.call("nodes " + what, node=node.id)

    def check(self):
        for client in self.clients:
            client.reading = True
            if not client.session.closed:
                client.pull()
        for client in self.clients:
            node = self.node_of(client)
            stream = self.gateway.coordinator.maps.streams.get(node.id) if node else None
            if stream is None or stream.session is not client.session:
                continue
            body = self.gateway.coordinator.maps.one_shot(node.id, client.session, False, self.gateway.coordinator.wall(self.gateway.now))
            fresh = NetworkMap()
            fresh.apply(json.loads(body[4:]))
            assert facts(client.network) == facts(fresh)


def facts(network):
    """What a node makes of what it was told."""
    own = {name: value for name, value in network.self_node.document.items() if name not in OWN}
    peers = {number: node.document for number, node in network.peers.items()}
    users = {node.document["User"]: network.users.get(node.document["User"]) for node in network.peers.values()}
    assert all(users.values())
    return own, peers, network.packet_filter(), network.dns, network.domain, users


@pytest.mark.parametrize("split", [edges.SPLIT, 0])
@settings(max_examples=max(20, settings.default.max_examples // 5), suppress_health_check=list(HealthCheck))
@given(plan=st.lists(steps, max_size=25))
def test_sum_of_deltas_is_the_full_map(split, plan):
    """Also with filters in chunks, which small networks do not have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edges, "SPLIT", split)
        patch.setattr(edges, "CHUNKS", 3)
        world = World()
        for what, who, value in plan:
            world.do(what, who, value)
        world.check()


def test_one_node_more_changes_one_chunk_of_everybodys_filter(monkeypatch):
    monkeypatch.setattr(edges, "SPLIT", 4)
    gateway = Gateway()
    clients = [join(gateway, seed, f"n{seed}") for seed in range(1, 9)]
    before = len(clients[0].maps)
    join(gateway, 9, "n9")
    chunks = [name for message in clients[0].maps[before:] for name in message.get("PacketFilters", {})]
    assert chunks == ["of9"]
    gateway.call("nodes remove", node="n2")
    assert clients[0].maps[-1]["PacketFilters"] == {"of2": None}
    sources = {ip for rule in clients[0].network.packet_filter() for ip in rule["SrcIPs"]}
    assert sources == {ip for node in gateway.coordinator.members.nodes.values() for ip in (node.ipv4, node.ipv6)}


def test_a_large_change_is_made_in_turns(monkeypatch):
    gateway = Gateway()
    clients = [join(gateway, seed, f"n{seed}") for seed in range(1, 7)]
    monkeypatch.setattr("skerry_gateway.control.maps.FLUSH_BYTES", 1)
    counts = [len(client.maps) for client in clients]
    gateway.call("network set", suffix="new.example")
    grown = [len(client.maps) > count for client, count in zip(clients, counts, strict=True)]
    assert grown.count(True) == 1, "one message is more than a turn takes"
    gateway.advance(20)
    assert all(client.network.domain == "new.example" for client in clients)


@pytest.mark.parametrize("text", POLICIES)
def test_seeing_and_peers_are_the_same(text):
    world = World()
    world.gateway.call("policy set", text=text)
    members = world.gateway.coordinator.members
    for one in range(8):
        for other in range(8):
            expected = other in members.compiled.peers(one)
            fresh = Compiled(members.policy, members.nodes.values(), members.users.values(), members.network.suffix)
            assert fresh.sees(one, other) == expected


def test_a_slow_reader_gets_one_message_for_many_changes_and_costs_little():
    world = World()
    slow, busy = world.clients[0], world.clients[3]
    slow.reading = False
    world.gateway.coordinator.maps.streams[world.node_of(slow).id].session._output += bytes(1 << 20)  # its socket is full
    count = len(slow.maps)
    held = slow.session.unread
    for number in range(1, 500):
        busy.update(f"198.51.100.1:{number}")
    assert slow.session.unread == held
    del slow.session._output[: 1 << 20]
    world.check()
    assert len(slow.maps) == count + 1


def test_a_reader_that_takes_nothing_for_minutes_is_let_go():
    world = World()
    slow = world.clients[0]
    slow.reading = False
    world.do("wait", 0, 300_000)
    assert slow.session.closed == "nothing was read for minutes"
    assert world.gateway.coordinator.maps.streams.get(world.node_of(slow).id) is None


def test_a_patch_never_takes_anything_away():
    old = {"ID": 7, "Online": False, "LastSeen": "then", "Endpoints": ["198.51.100.1:1"], "HomeDERP": 900, "Name": "a."}
    assert wire.patch(old, {**old, "Endpoints": ["198.51.100.2:2"]}) == {"NodeID": 7, "Endpoints": ["198.51.100.2:2"]}
    assert wire.patch({**old, "Online": True}, old) == {"NodeID": 7, "Online": False}
    assert wire.patch(old, {**old, "Name": "b."}) is None and wire.patch(old, {**old, "DiscoKey": "discokey:00"}) is None
    for name in ("LastSeen", "Endpoints", "HomeDERP"):
        assert wire.patch(old, {key: value for key, value in old.items() if key != name}) is None


def test_an_approved_subnet_reaches_every_filter_that_names_all():
    gateway = Gateway()
    a, b = join(gateway, 1), join(gateway, 2, user="owner", tags=["tag:cam"])
    gateway.call("users create", name="ana")
    c = join(gateway, 3, user="ana")
    gateway.call("policy set", text='{"acls": [{"action": "accept", "src": ["*"], "dst": ["autogroup:member:*"]}]}')
    b.update(hostinfo={"RoutableIPs": ["10.9.0.0/24"]})
    gateway.call("nodes approve", node="host2", routes=["10.9.0.0/24"])
    assert all("10.9.0.0/24" in client.network.packet_filter()[0]["SrcIPs"] for client in (a, c))
    b.update(hostinfo={})
    assert all("10.9.0.0/24" not in client.network.packet_filter()[0]["SrcIPs"] for client in (a, c))


def test_a_filter_follows_a_route_of_a_node_that_only_speaks():
    gateway = Gateway()
    a, b = join(gateway, 1), join(gateway, 2, tags=["tag:cam"])
    gateway.call("policy set", text='{"acls": [{"action": "accept", "src": ["*"], "dst": ["100.64.0.1:22"]}]}')
    b.update(hostinfo={"RoutableIPs": ["10.9.0.0/24"]})
    gateway.call("nodes approve", node="host2", routes=["10.9.0.0/24"])
    assert "10.9.0.0/24" in a.network.packet_filter()[0]["SrcIPs"]
    gateway.call("nodes remove", node="host2")
    assert "10.9.0.0/24" not in a.network.packet_filter()[0]["SrcIPs"]
