"""What a hostile gateway, peer or stranger may not do to an engine: take traffic over, lock peers out, drive a terminal, cost data."""

import pytest

from skerry_core import disco, path, stun
from skerry_core.engine.disco import KNOWN, PER_SECOND
from skerry_core.engine.peers import is_mesh
from skerry_core.ip import parse_prefix
from tests.core.engine_world import STUN, Device, World
from tests.core.test_engine_sessions import pair


def member(world, number, **fields):
    """Change what the gateway says of a node, and tell everybody."""
    node = next(node for node in world.gateway.nodes.values() if node["ID"] == number)
    node.update(fields)
    for session in world.gateway.sessions:
        if session.poll is not None:
            session.respond(world.gateway.full(session.machine))
    world.run(500)
    return node


def allowed(device):
    """Prefixes that lead into the tunnel, as the operating system is told."""
    return [f"{'.'.join(str(byte) for byte in address)}/{bits}" for address, bits in device.interface["routes"]]


def test_a_gateway_takes_no_traffic_of_other_networks():
    world = World()
    a, b = pair(world)
    foreign = ["192.168.1.1/32", "8.8.8.8/32", "0.0.0.0/1", "100.64.0.0/10"]
    member(world, 2, Addresses=["100.64.0.2/32", *foreign], AllowedIPs=["100.64.0.2/32", *foreign])
    assert allowed(a) == ["100.64.0.2/32"]
    member(world, 1, Addresses=["100.64.0.1/32", "10.0.0.0/8", "192.168.1.7/32"])
    assert a.interface["addresses"] == [(bytes((100, 64, 0, 1)), 32)]
    a.packet(b)
    assert world.run(2000, until=lambda: b.inbox), "what is a mesh's still works"
    assert a.command("set", accept_routes=True)["changed"] == ["accept_routes"]
    assert "8.8.8.8/32" in allowed(a), "the owner said so"


@pytest.mark.parametrize(
    "text,mesh",
    [
        ("100.64.0.1/32", True),
        ("100.127.255.255/32", True),
        ("100.128.0.1/32", False),
        ("100.64.0.0/31", False),
        ("10.0.0.1/32", False),
        ("fd7a:115c:a1e0::1/128", True),
        ("fd7a:115c:a1e0::/48", False),
        ("2001:db8::1/128", False),
        ("fe80::1/128", False),
    ],
)
def test_addresses_of_meshes(text, mesh):
    assert is_mesh(parse_prefix(text)) is mesh


def test_a_way_that_leads_into_the_tunnel_is_no_way():
    world = World()
    a, b = Device(world, 1, accept_routes=True), Device(world, 2)
    assert world.run(5000, until=lambda: a.engine.state == b.engine.state == "Running" and len(a.engine.peers.all()) == 1)
    a.packet(b)
    assert world.run(3000, until=lambda: a.direct(b))
    a.set_uplink((bytes((203, 0, 113, 9)), 41641))
    assert world.run(20_000, until=lambda: a.packet(b) or a.direct(b))
    member(world, 2, AllowedIPs=["100.64.0.2/32", "198.51.100.0/24"])
    assert "198.51.100.0/24" in allowed(a)
    for _ in range(10):
        a.packet(b)
        world.run(1000)
    assert not a.direct(b) and a.peer(b).candidates == {}, "its address lies in the subnet that is reached through it"
    a.set_uplink((bytes((198, 51, 100, 77)), 41641))
    assert world.run(60_000, until=lambda: a.packet(b) or a.direct(b)), "on the same link it is a way all the same"


def test_forged_disco_messages_do_not_keep_a_peer_out():
    world = World()
    a, b = pair(world)
    key = b.engine.disco_public
    for count in range(600):  # a hundred at the beginning of each second
        forged = disco.MAGIC + key + bytes(24 + 16 + 46)
        world.later(count // 100 * 1000 - world.now % 1000 + 1000, a.transport.datagram, path.udp(0, bytes((192, 0, 2, 66)), 9), forged)
    world.run(1000 - world.now % 1000 + 5)
    a.packet(b)
    assert world.run(500, until=lambda: a.direct(b))
    world.run(5000)
    assert a.engine.drops["datagram"] >= 200


def test_messages_of_a_peer_are_bounded_all_the_same():
    world = World()
    a, b = pair(world)
    a.packet(b)
    assert world.run(2000, until=lambda: a.direct(b))
    world.run(2000)
    sent = len(world.sent)
    box, here = a.engine.crypto.box_key(b.engine.disco_private, a.engine.disco_public), path.udp(0, *b.endpoint)
    for count in range(PER_SECOND[KNOWN] * 2):
        ping = disco.Ping(count.to_bytes(12, "big"), b.engine.node_public)
        a.transport.datagram(here, disco.seal(a.engine.crypto, box, b.engine.disco_public, count.to_bytes(24, "big"), ping))
    a.pump()
    assert len(world.sent) - sent <= PER_SECOND[0]


@pytest.mark.parametrize("first", [1, 3])
def test_a_node_that_claims_anothers_disco_key_does_not_cut_it_off(first):
    world = World()
    a, b = pair(world)
    thief = {"Name": "thief.net.test.", "Addresses": ["100.64.0.9/32"], "StableID": "n9", "User": 1, "Cap": 142, "Hostinfo": {}}
    thief.update({"Key": "nodekey:" + "09" * 32, "DiscoKey": "discokey:" + b.engine.disco_public.hex(), "HomeDERP": 900})
    world.gateway.nodes[b"thief"] = {**thief, "ID": first if first == 3 else 9, "Endpoints": ["192.0.2.77:1"]}
    if first == 1:  # it comes first in the map of whoever starts anew
        next(node for node in world.gateway.nodes.values() if node["Name"].startswith("node2"))["ID"] = 12
    a.stop()
    a.start()
    assert world.run(5000, until=lambda: a.engine.state == "Running" and len(a.engine.peers.all()) == 2)
    a.packet(b)
    assert world.run(5000, until=lambda: a.direct(b) and b.inbox)
    assert not a.engine.peers.by_address[bytes((100, 64, 0, 9))].best
    del world.gateway.nodes[b"thief"]
    a.stop()
    a.start()
    assert world.run(5000, until=lambda: a.packet(b) or a.direct(b))


def test_names_of_stun_servers_are_asked_for_again():
    world = World()
    derp_map = world.gateway.derp_map()
    derp_map["Regions"]["900"]["Nodes"][0].update({"IPv4": "", "IPv6": ""})
    world.gateway.derp_map = lambda: derp_map
    asked, answer = [], []

    class Named(Device):
        def _resolve(self, name):
            asked.append(name)
            self.receive(("resolved", name, list(answer)))

    a = Named(world, 1)
    world.run(3000)
    assert asked == ["relay.test"] and not a.engine.netcheck.report()["udp"]
    answer.append(STUN[0])
    assert a.command("netcheck") and len(asked) == 2
    world.run(3000)
    assert a.engine.netcheck.report()["udp"]
    a.command("netcheck")
    assert len(asked) == 2, "what is known is not asked for"


def test_asking_for_netchecks_all_the_time_costs_one_round():
    world = World()
    a = Device(world, 1)
    assert world.run(5000, until=lambda: a.engine.state == "Running")
    world.run(10_000)
    world.dead.add("stun")
    before = len(world.sent)
    for token in range(100):
        a.receive(("command", f"n{token}", "netcheck", {}))
        a.pump()
    asked = [data for _, _, destination, data in world.sent[before:] if stun.parse_request(data)]
    assert len(asked) <= 2
    assert world.run(4000, until=lambda: all(a.result(f"n{token}") for token in range(100)))


def test_a_gateway_that_calls_a_key_expired_and_takes_it_is_not_asked_all_the_time():
    world = World()
    a, _ = pair(world)
    machine = next(key for key, node in world.gateway.nodes.items() if node["ID"] == 1)
    world.gateway.node(machine)["KeyExpiry"] = "2001-01-01T00:00:00Z"
    world.gateway.requests.clear()
    world.gateway.broadcast(None, {"Node": world.gateway.node(machine)})
    world.run(60_000)
    registered = [request for where, request in world.gateway.requests if where == "/machine/register"]
    assert 2 <= len(registered) <= 12
    assert any("expired" in event[1] for event in a.happened if event[0] == "error")


def test_a_relay_that_greets_and_hangs_up_is_not_dialled_all_the_time():
    world = World()
    a, _ = pair(world)
    opened, accept = [], world.relay.accept

    def greet(stream):
        opened.append(world.now)
        world.later(5 * world.delay, stream.end, "connection reset")
        return accept(stream)

    world.relay.accept = greet
    for stream in list(a.streams.values()):
        if stream.server is world.relay:
            stream.end("connection reset")
    world.run(120_000)
    assert 4 <= len(opened) <= 16
    world.relay.accept = accept
    assert world.run(40_000, until=lambda: a.engine.relays.live(900)), "and it is not given up"


def test_a_refusal_of_the_gateway_does_not_drive_the_terminal():
    world = World()
    world.gateway.answer = lambda _request: (200, (), {"Error": "\x1b[2Jno\r\n\x07 such key"})
    a = Device(world, 1)
    world.run(2000)
    told = [event[1] for event in a.happened if event[0] == "error"]
    assert told and all(text.isprintable() for text in told) and "such key" in told[0]
