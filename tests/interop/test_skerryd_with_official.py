"""Our node and the official client in one network, in both directions: direct, through NATs, relayed, upgraded, under load."""

import pytest

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import Gateway, Node, Skerryd, Tailscaled, loses_access

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]

GIGABYTE = 1_000_000_000


def place(lab: Lab, kind: type[Node], name: str, nat: str | None) -> Node:
    """A node on a public host (nat None) or behind a router of its own."""
    host = lab.public(name) if nat is None else lab.behind(lab.router(f"r-{name}", nat), name)
    node = kind(host, name)
    node.start()
    return node


def network(lab: Lab, gateway: Gateway, nat: str | None) -> tuple[Skerryd, Tailscaled]:
    """One of ours and one of theirs, joined by key."""
    ours = place(lab, Skerryd, "ours", nat)
    theirs = place(lab, Tailscaled, "theirs", nat)
    for node in (ours, theirs):
        node.up(gateway.url, gateway.key())  # type: ignore[attr-defined]
    return ours, theirs  # type: ignore[return-value]


def goes_direct(a: Node, b: Node, deadline: float = 30) -> None:
    def direct() -> bool:
        a.host.run("ping", "-c1", "-W1", b.address, check=False)
        peer = a.peer(b.name)
        return bool(peer and peer["CurAddr"])

    until(f"{a.name} has a direct path to {b.name}", direct, deadline)


@pytest.mark.parametrize("nat", [None, "easy"], ids=["public", "two-nats"])
def test_direct_both_ways(lab: Lab, gateway: Gateway, nat: str | None) -> None:
    ours, theirs = network(lab, gateway, nat)
    ours.reaches(theirs.address)
    theirs.reaches(ours.address)
    ours.reaches(theirs.address6)
    theirs.reaches(ours.address6)
    goes_direct(ours, theirs)
    goes_direct(theirs, ours)
    pong = theirs.official("ping", "--c=1", ours.address)
    assert "pong from ours" in pong.stdout


def test_a_gigabyte_each_way_directly_and_little_of_it_in_python(lab: Lab, gateway: Gateway) -> None:
    ours, theirs = network(lab, gateway, "easy")
    ours.reaches(theirs.address)
    goes_direct(ours, theirs)
    goes_direct(theirs, ours)
    ours.serve()
    theirs.serve()
    relayed = gateway.host.bytes_on("wan")
    for verb in ("get", "put"):
        before = python_packets(ours)
        ours.transfer(verb, theirs.address, GIGABYTE)
        assert python_packets(ours) - before < 100
    assert gateway.host.bytes_on("wan")[0] - relayed[0] < 2_000_000


def python_packets(node: Skerryd) -> int:
    """Packets that our node handed to Python since it started."""
    return int(node.own_status()["counters"]["to_python"])


def test_relayed_then_upgraded(lab: Lab, gateway: Gateway) -> None:
    ours, theirs = network(lab, gateway, "easy")
    routers = [ours.host.router, theirs.host.router]
    ours.stop()
    theirs.stop()
    for router in routers:
        assert router is not None
        router.block_udp("forward")
    ours.start()
    theirs.start()
    until("both run again", lambda: ours.running() and theirs.running(), 30)
    ours.reaches(theirs.address, 40)
    theirs.reaches(ours.address, 40)
    assert not (ours.peer("theirs") or {})["CurAddr"]
    assert (ours.peer("theirs") or {})["Relay"]
    ours.serve()
    theirs.serve()
    before = gateway.host.bytes_on("wan")
    ours.transfer("get", theirs.address, 100_000_000)
    ours.transfer("put", theirs.address, 100_000_000)
    assert gateway.host.bytes_on("wan")[0] - before[0] > 200_000_000
    for router in routers:
        router.unblock_udp()  # type: ignore[union-attr]
    goes_direct(ours, theirs, 60)
    goes_direct(theirs, ours, 60)


@pytest.mark.parametrize("goes", [Skerryd, Tailscaled])
def test_a_removed_node_loses_access_within_a_second(lab: Lab, gateway: Gateway, goes: type[Node]) -> None:
    ours, theirs = network(lab, gateway, "easy")
    stays, gone = (theirs, ours) if goes is Skerryd else (ours, theirs)
    goes_direct(stays, gone)
    loses_access(gateway, stays, gone, gone.name)
    assert stays.peer(gone.name) is None
