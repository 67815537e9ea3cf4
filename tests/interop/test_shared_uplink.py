"""A carrier that uses 100.64.0.0/10 itself: address, router, DNS and DHCP of the uplink lie there, and uplink and mesh both work."""

import json

import pytest

from skerry_core.dns import message
from tests.netlab import Lab
from tests.netlab.lab import Host, run, until
from tests.netlab.names import Dnsmasq
from tests.netlab.programs import BIN, ROOT, Gateway, Skerryd, Tailscaled

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


class Carrier:
    """A router with NAT whose inside is 100.64.0.0/10, with DNS and DHCP on it."""

    def __init__(self, lab: Lab, address: str) -> None:
        self.lab, self.address = lab, address
        self.router = lab.router("carrier")
        self.router.ip("addr", "add", f"{address}/10", "dev", "lan")
        ranges = ["--no-ping", "--dhcp-range=100.64.50.10,100.64.50.99,255.192.0.0,1h", "--dhcp-authoritative", "--interface=lan"]
        leases = f"--dhcp-leasefile={lab.path}/leases"
        self.server = Dnsmasq(self.router, "carrier-dns", {"www.example": "203.0.113.80"}, *ranges, leases, address=address)
        self.server.start()

    def customer(self, name: str, address: str) -> Host:
        host = self.lab.behind(self.router, name)
        host.ip("addr", "flush", "dev", "eth0")
        host.ip("addr", "add", f"{address}/10", "dev", "eth0")
        host.ip("route", "add", "default", "via", self.address)
        host.address = address
        return host


def uplink_works(carrier: Carrier, host: Host) -> None:
    """Names, a lease renewed by unicast, and the Internet behind it."""
    question = message.ask(0x1234, message.encode_name("www.example"), message.A)
    exchange = f"s.connect(('{carrier.address}', 53)); s.send(bytes.fromhex('{question.hex()}')); print(s.recv(512).hex())"
    lookup = f"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(3); {exchange}"
    assert host.run(str(BIN / "python"), "-c", lookup).stdout.count(bytes((203, 0, 113, 80)).hex()) == 1
    mac = json.loads(host.ip("-j", "link", "show", "eth0"))[0]["address"]
    renewed = json.loads(host.run(str(BIN / "python"), str(ROOT / "tests/netlab/lease.py"), carrier.address, host.address, mac).stdout)
    assert renewed == {"message": "ack", "from": carrier.address}
    host.run("ping", "-c1", "-W2", "10.99.0.1")


@pytest.mark.parametrize("router", ["100.64.50.1", "100.64.0.2"], ids=["apart", "with-the-address-of-a-peer"])
def test_uplink_and_mesh_both_work(lab: Lab, gateway: Gateway, router: str) -> None:
    carrier = Carrier(lab, router)
    ours = Skerryd(carrier.customer("ours", "100.64.50.10"), "ours")
    near = Skerryd(carrier.customer("near", "100.64.50.11"), "near")
    theirs = Tailscaled(lab.public("theirs"), "theirs")
    for node in (ours, theirs, near):  # 100.64.0.1, .2, .3
        node.start()
        node.up(gateway.url, gateway.key())
    assert theirs.address == "100.64.0.2"
    uplink_works(carrier, ours.host)
    for node, peer in ((ours, near), (near, ours)):
        node.reaches(peer.address, 30)
        node.reaches(peer.address6)
    for node, peer in ((ours, theirs), (theirs, ours)):
        node.reaches(peer.address6)
        if router != theirs.address:
            node.reaches(peer.address)
    if router == theirs.address:  # what is for that address goes to the router
        assert "dev eth0" in ours.host.ip("route", "get", router)
        until("it is said", lambda: any(router in line and "of a peer" in line for line in ours.own_status()["health"]), 10)
    until("neighbours reach each other directly", lambda: direct(ours, near), 30)
    uplink_works(carrier, ours.host)
    for peer in (near, theirs):
        if peer.address != router:
            peer.serve()
            ours.transfer("get", peer.address, 1_000_000)


def direct(node: Skerryd, peer: Skerryd) -> bool:
    node.host.run("ping", "-c1", "-W1", peer.address, check=False)
    rows = {row["name"]: row["path"] for row in node.own_status()["peers"]}
    return bool(rows[peer.name]["address"].startswith("100.64.50."))


def test_an_uplink_that_comes_with_the_range_takes_nothing_away(lab: Lab, gateway: Gateway) -> None:
    """A board that changes to such a network, while it is connected."""
    host = lab.public("ours")
    ours, theirs = Skerryd(host, "ours"), Tailscaled(lab.public("theirs"), "theirs")
    for node in (ours, theirs):
        node.start()
        node.up(gateway.url, gateway.key())
    ours.reaches(theirs.address)
    run("ip", "-n", host.name, "link", "add", "usb0", "type", "veth", "peer", "name", "usb1")
    host.ip("addr", "add", "100.64.0.77/10", "dev", "usb0")
    for link in ("usb0", "usb1"):
        host.ip("link", "set", link, "up")
    until("the uplink is noticed", lambda: "100.64.0.77" in json.dumps(ours.own_status()["self"]["endpoints"]), 10)
    ours.reaches(theirs.address)
    assert "dev usb0" in host.ip("route", "get", "100.64.9.9")
    assert "dev skerry0" in host.ip("route", "get", theirs.address)
