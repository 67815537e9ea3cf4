"""Exit nodes and offered routes in the engine: what the transport may deliver and what the host is told, whoever comes and goes."""

import pytest

from skerry_core import ip
from skerry_core.dns.names import Names
from skerry_core.ip import parse_prefix
from skerry_core.routing import DEFAULTS
from tests.core.engine_world import Device, World, ipv4
from tests.core.test_engine_hostile import member
from tests.core.test_engine_sessions import pair

EXIT = ["0.0.0.0/0", "::/0"]
OUTSIDE = bytes((8, 8, 8, 8))


def allowed(device, other):
    return device.peer(other).allowed


def exits(world, other, routes=(), **fields):
    member(world, other.number, AllowedIPs=[f"100.64.0.{other.number}/32", *routes], **fields)


def test_a_named_exit_node_gets_everything_and_only_it():
    world = World()
    a, b = pair(world)
    c = Device(world, 3)
    assert world.run(5000, until=lambda: len(a.engine.peers.all()) == 2)
    for each in (b, c):
        exits(world, each, EXIT)
    assert not set(DEFAULTS) & {*allowed(a, b), *allowed(a, c)} and a.interface["exit"] is False
    for number, chosen, other in ((2, b, c), (3, c, b)):
        assert a.command("set", exit_node=f"100.64.0.{number}")["changed"] == ["exit_node"]
        assert set(DEFAULTS) <= set(allowed(a, chosen)) and not set(DEFAULTS) & set(allowed(a, other))
        assert a.interface["exit"] is True and a.interface["lan"] is False
    assert a.command("set", exit_node="")["changed"] == ["exit_node"]
    assert a.interface["exit"] is False and not set(DEFAULTS) & set(allowed(a, c))


def test_switching_is_one_transaction():
    world = World()
    a, b = pair(world)
    c = Device(world, 3)
    assert world.run(5000, until=lambda: len(a.engine.peers.all()) == 2)
    for each in (b, c):
        exits(world, each, EXIT)
    a.command("set", exit_node="node2")
    a.engine.receive(("command", None, "set", {"exit_node": "node3"}), world.now)
    transactions = [action[1] for action in a.engine.actions() if action[0] == "apply"]
    moves = [changes for changes in transactions if any(change[0] == "peer" for change in changes)]
    assert len(moves) == 1 and {change[1] for change in moves[0] if change[0] == "peer"} == {a.peer(b).index, a.peer(c).index}


@pytest.mark.parametrize("gone", ["withdrawn", "removed", "offline"])
def test_without_its_exit_node_the_host_keeps_everything_in_the_tunnel_and_says_so(gone):
    world = World()
    a, b = pair(world)
    exits(world, b, EXIT)
    a.command("set", exit_node="node2")
    assert not [line for line in a.engine.status()["health"] if "exit node" in line]
    if gone == "withdrawn":
        exits(world, b)
    elif gone == "removed":
        member(world, 2, Expired=True)
    else:
        exits(world, b, EXIT, Online=False)
    assert a.interface["exit"] is True
    said = [line for line in a.engine.status()["health"] if "exit node" in line]
    assert len(said) == 1 and "Nothing leaves this host" in said[0] and "--exit-node=" in said[0]


def test_the_exit_node_is_kept_over_a_restart_before_the_gateway_answers():
    world = World()
    a, b = pair(world)
    exits(world, b, EXIT)
    a.command("set", exit_node="node2")
    world.run(20_000)
    a.engine = None
    world.gateway.down = True
    again = Device(world, 1, saved=a.saved, exit_node="node2")
    again.pump()
    assert again.interface["exit"] is True and set(DEFAULTS) <= set(again.engine.peers.by_id[2].allowed)


@pytest.mark.parametrize("name,words", [("nobody", "no peer has that"), ("node2", "is no exit node"), ("100.64.0.9", "no peer has that")])
def test_what_cannot_be_an_exit_node_is_refused(name, words):
    world = World()
    a, _ = pair(world)
    assert words in a.command("set", exit_node=name)["error"]
    assert a.interface["exit"] is False and "exit_node" not in a.engine.config


def test_down_gives_the_host_its_own_way_back():
    world = World()
    a, b = pair(world)
    exits(world, b, EXIT)
    a.command("set", exit_node="node2", routes=["10.1.0.0/16"])
    assert a.interface["forward"] == [parse_prefix("10.1.0.0/16")]
    a.command("down")
    assert a.interface["exit"] is False and a.interface["forward"] == []
    a.command("up")
    assert a.interface["exit"] is True


def test_packets_go_out_through_an_exit_node_and_back():
    world = World()
    a, b = pair(world)
    b.command("set", routes=EXIT)
    exits(world, b, EXIT)
    a.command("set", exit_node="node2")
    a.transport.packet(ipv4(a.address, OUTSIDE))
    assert world.run(3000, until=lambda: b.inbox) and b.inbox[0][16:20] == OUTSIDE
    b.transport.packet(ipv4(OUTSIDE, a.address))
    assert world.run(3000, until=lambda: a.inbox) and a.inbox[0][12:16] == OUTSIDE


@pytest.mark.parametrize("target", [(192, 168, 1, 1), (10, 0, 0, 1), (127, 0, 0, 1), (198, 18, 7, 1), (169, 254, 169, 254)])
def test_an_exit_node_keeps_its_own_networks(target):
    world = World()
    a, b = pair(world)
    b.command("set", routes=EXIT)
    b.receive(("lans", [(bytes((198, 18, 7, 4)), 24)]))
    exits(world, b, EXIT)
    a.command("set", exit_node="node2")
    a.transport.packet(ipv4(a.address, OUTSIDE))
    assert world.run(3000, until=lambda: b.inbox)
    a.transport.packet(ipv4(a.address, bytes(target)))
    world.run(2000)
    assert len(b.inbox) == 1


def test_only_what_is_offered_and_approved_is_let_in():
    world = World()
    a, b = pair(world)
    a.command("set", accept_routes=True)
    behind = bytes((10, 1, 2, 3))
    exits(world, b, ["10.1.0.0/16"])
    a.transport.packet(ipv4(a.address, behind))
    world.run(2000)
    assert not b.inbox, "it does not offer that"
    b.command("set", routes=["10.1.0.0/16"])
    a.transport.packet(ipv4(a.address, behind))
    assert world.run(2000, until=lambda: b.inbox) and ip.format_address(b.inbox[0][16:20]) == "10.1.2.3"


def test_with_sockets_that_bypass_the_tunnel_a_peer_inside_an_accepted_route_stays_direct():
    world = World()
    a, b = Device(world, 1, accept_routes=True, bypass=True), Device(world, 2)
    assert world.run(5000, until=lambda: a.engine.state == b.engine.state == "Running" and len(a.engine.peers.all()) == 1)
    a.set_uplink((bytes((203, 0, 113, 9)), 41641))
    member(world, 2, AllowedIPs=["100.64.0.2/32", "198.51.100.0/24"])
    assert world.run(30_000, until=lambda: a.packet(b) or a.direct(b))


API = [{"Proto": "peerapi4", "Port": 43210}, {"Proto": "peerapi6", "Port": 43211}]


@pytest.mark.parametrize(
    "fields,expected",
    [
        ({"Cap": 142, "Hostinfo": {"Services": API}}, (bytes((100, 64, 0, 2)), 43210, "http")),
        ({"Cap": 25, "Hostinfo": {"Services": API}}, None),
        ({"Cap": 142, "Hostinfo": {"Services": [{"Proto": "tcp", "Port": 80}]}}, None),
        ({"Cap": 142, "Hostinfo": {"Services": [{"Proto": "peerapi4", "Port": 70000}]}}, None),
        ({"Cap": 142, "Hostinfo": {"Services": [{"Proto": "peerapi4", "Port": "x"}]}}, None),
        ({"Cap": 142}, None),
    ],
)
def test_names_are_asked_of_the_exit_node_that_answers_them(fields, expected):
    world = World()
    a, b = pair(world)
    exits(world, b, EXIT, **fields)
    assert a.engine.exits.name_server() is None
    a.command("set", exit_node="node2")
    assert a.engine.exits.name_server() == expected
    before = [(bytes((192, 168, 1, 1)), 53)]
    known = [expected] if expected else []
    assert Names(a.engine.netmap, before, known).default == known  # never the LAN's
