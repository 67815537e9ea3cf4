"""Exit nodes: everything of a host through a peer, ours and the official client in both places; what leaves at the uplink is captured."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.interop.test_routes import Site, forwarding, join, left_behind, pings
from tests.netlab import Lab
from tests.netlab.lab import Host, run, until
from tests.netlab.names import Dnsmasq
from tests.netlab.programs import Gateway, Node, Skerryd, Tailscaled
from tests.netlab.supervised import Supervised

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]
TARGET, TARGET6 = "198.51.100.2", "2001:db8:77::2"


@pytest.fixture
def internet(lab: Lab) -> Iterator[Site]:
    """A host with public addresses beyond the lab's own links, reached by everybody's default route."""
    for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        run("sysctl", "-qw", f"{name}=1")
    run("ip", "addr", "add", "2001:db8:99::1/64", "dev", "wan", "nodad")
    far = lab._host("internet")
    run("ip", "link", "add", "far", "type", "veth", "peer", "name", "eth0", "netns", far.name)
    for address in ("198.51.100.1/24", "2001:db8:77::1/64"):
        run("ip", "addr", "add", address, "dev", "far", *(["nodad"] if ":" in address else []))
    run("ip", "link", "set", "far", "up")
    for address in (f"{TARGET}/24", f"{TARGET6}/64"):
        far.ip("addr", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
    far.ip("link", "set", "eth0", "up")
    far.ip("route", "add", "default", "via", "198.51.100.1")
    far.ip("-6", "route", "add", "default", "via", "2001:db8:77::1")
    site = Site.__new__(Site)
    site.host, site.address, site.address6 = far, TARGET, TARGET6
    yield site
    run("ip", "link", "del", "far")


def online(lab: Lab, gateway: Gateway, kind: type[Node], name: str, *options: str) -> Node:
    """A member whose host has a default route of both families."""
    host = lab.public(name)
    host.ip("-6", "route", "add", "default", "via", "2001:db8:99::1")
    node = kind(host, name)
    node.start()
    node.up(gateway.url, gateway.key(), *options)  # type: ignore[attr-defined]
    return node


def exit_node(lab: Lab, gateway: Gateway, kind: type[Node], name: str) -> Node:
    node = online(lab, gateway, kind, name, "--advertise-exit-node")
    if kind is Tailscaled:  # ours does that itself
        for switch in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            node.host.run("sysctl", "-qw", f"{switch}=1")
    offers = lambda: [row for row in gateway.cli("routes", "list")["routes"] if row["node"] == name]  # noqa: E731
    until("the gateway heard of it", offers, 20)
    gateway.cli("routes", "approve", name, "exit-node")
    return node


def use(node: Node, value: str, *options: str) -> None:
    """Choose an exit node once the map has it."""
    command = node.cli if isinstance(node, Skerryd) else node.official
    until(f"{node.name} chooses {value!r}", lambda: command("set", f"--exit-node={value}", *options, check=False).returncode == 0, 20)


@contextmanager
def capture(host: Host, name: str) -> Iterator[list[str]]:
    """What passes the uplink of a host from or to the far host, a line for each packet; filled when the block ends."""
    lines: list[str] = []
    log = host.lab.path / f"{name}.log"
    process = host.start("tcpdump", "--immediate-mode", "-l", "-n", "-i", "wan", f"host {TARGET} or host {TARGET6}", log=name)
    until("tcpdump listens", lambda: log.exists() and "listening" in log.read_text(), 10)
    try:
        yield lines
    finally:
        host.lab.stop(process)
        lines += [line for line in log.read_text().splitlines() if " IP" in line]


def knock(host: Host, name: str) -> None:
    """Echo requests, 20 a second to each of the two addresses, from now on."""
    for number, address in enumerate((TARGET, TARGET6)):
        host.start("ping", "-n", "-i", "0.05", address, log=f"{name}-{number}")


def source(internet: Site, address: str) -> str:
    """Whom the far host answers, by its log of transfers."""
    seen = internet.host.run("timeout", "5", "tcpdump", "-n", "-c1", "-i", "eth0", f"dst host {address} and (icmp or icmp6)", check=False)
    return seen.stdout.split(" > ")[0].split()[-1] if seen.stdout else ""


@pytest.mark.parametrize("exit_kind,client_kind", [(Skerryd, Skerryd), (Skerryd, Tailscaled), (Tailscaled, Skerryd)])
def test_everything_goes_through_it(lab: Lab, gateway: Gateway, internet: Site, exit_kind: type[Node], client_kind: type[Node]) -> None:
    way_out = exit_node(lab, gateway, exit_kind, "out")
    client = online(lab, gateway, client_kind, "client")
    internet.serve()
    use(client, way_out.address)
    for address in (TARGET, TARGET6):
        client.reaches(address)
    with capture(client.host, "uplink") as leaked:
        for address in (TARGET, TARGET6):
            client.transfer("get", address, 3_000_000)
            client.transfer("put", address, 3_000_000)
        knock(client.host, "knock")
        assert source(internet, TARGET) == way_out.host.address
        assert source(internet, TARGET6) == way_out.host.address6
    assert leaked == []
    client.reaches(way_out.address)


def test_nothing_leaks_while_exit_nodes_change_fail_and_come_back(lab: Lab, gateway: Gateway, internet: Site) -> None:
    first, second = (exit_node(lab, gateway, Skerryd, name) for name in ("first", "second"))
    host = lab.public("client")
    host.ip("-6", "route", "add", "default", "via", "2001:db8:99::1")
    client = Supervised(host, "client")
    client.start()
    client.up(gateway.url, gateway.key())
    use(client, "first")
    client.reaches(TARGET)
    knock(host, "knock")
    with capture(host, "uplink") as leaked:
        for name in ("second", "first", "second"):
            use(client, name)
            client.reaches(TARGET)
            client.reaches(TARGET6)
        client.supervisor.restart()
        client.reaches(TARGET)
        client.supervisor.crash()
        client.reaches(TARGET)
        second.stop()
        until("it is said", lambda: any("second is offline" in line for line in client.own_status()["health"]), 40)
        assert not pings(host, TARGET) and not pings(host, TARGET6)
        gateway.restart()
        until("the gateway is reached without an exit node", lambda: client.own_status()["connected"], 30)
        use(client, "first")
        client.reaches(TARGET)
        gateway.cli("routes", "withdraw", "first")
        until("the way is closed", lambda: not pings(host, TARGET), 10)
    assert leaked == []
    log = lab.path / "uplink-open.log"
    with capture(host, "uplink-open"):
        client.cli("set", "--exit-node=")
        until("the host's own way again, and seen there", lambda: TARGET in log.read_text() and TARGET6 in log.read_text(), 10)
    assert pings(host, TARGET) and pings(host, TARGET6) and first.name == "first"


def test_the_own_lan_only_when_it_is_allowed_and_never_the_exit_nodes(lab: Lab, gateway: Gateway, internet: Site) -> None:
    way_out = exit_node(lab, gateway, Skerryd, "out")
    client = online(lab, gateway, Skerryd, "client")
    near, far = Site(lab, client.host, 61), Site(lab, way_out.host, 62)
    use(client, "out")
    client.reaches(TARGET)
    assert not pings(client.host, near.address) and not pings(client.host, near.address6)
    use(client, "out", "--exit-node-allow-lan-access")
    for address in (near.address, near.address6, TARGET, TARGET6):
        client.reaches(address)
    assert not pings(client.host, far.address) and not pings(client.host, far.address6)
    client.host.ip("addr", "add", "10.63.0.1/24", "dev", "site61")  # a link that comes later is one, too
    near.host.ip("addr", "add", "10.63.0.2/24", "dev", "eth0")
    client.reaches("10.63.0.2")


def test_it_is_listed_chosen_by_the_stock_command_and_leaves_nothing(lab: Lab, gateway: Gateway, internet: Site) -> None:
    way_out = exit_node(lab, gateway, Skerryd, "out")
    client = online(lab, gateway, Skerryd, "client")
    assert isinstance(client, Skerryd)
    until("the list has it", lambda: "out" in client.cli("exit-node", "list").stdout, 20)
    assert way_out.address in client.official("exit-node", "list").stdout
    client.official("set", "--exit-node=out", "--exit-node-allow-lan-access")
    client.reaches(TARGET)
    listed = json.loads(client.cli("exit-node", "list", "--json").stdout)
    assert [(row["name"], row["selected"]) for row in listed] == [("out", True)]
    status = client.status()
    assert status["ExitNodeStatus"]["Online"] and [p["ExitNode"] for p in status["Peer"].values()] == [True]
    client.official("set", "--exit-node=")
    assert client.status().get("ExitNodeStatus") is None and pings(client.host, TARGET)
    for node in (client, way_out):
        node.stop()
        assert left_behind(node.host) == "" and forwarding(node.host) == ["0", "0"]


def test_one_that_is_not_approved_is_none(lab: Lab, gateway: Gateway, internet: Site) -> None:
    online(lab, gateway, Skerryd, "out", "--advertise-exit-node")
    client = join(lab, gateway, Skerryd, "client")
    assert isinstance(client, Skerryd)
    done = client.cli("set", "--exit-node=out", check=False)
    assert done.returncode and "the gateway has not approved it" in " ".join(done.stderr.split())
    assert "No peer offers" in client.cli("exit-node", "list").stdout
    assert pings(client.host, TARGET)


def test_names_are_asked_of_a_stock_exit_node(lab: Lab, gateway: Gateway, internet: Site) -> None:
    """The servers of the client's own network see nothing of it, and nothing of it leaves at its uplink."""
    near = Dnsmasq(lab.public("near"), "near", {"www.example": "192.0.2.1"})
    far = Dnsmasq(internet.host, "far", {"www.example": "203.0.113.80"}, address=TARGET)
    for server in (near, far):
        server.start()
    lab.resolv_conf("out").write_text(f"nameserver {TARGET}\n")
    lab.resolv_conf("client").write_text(f"nameserver {near.address}\n")
    way_out = exit_node(lab, gateway, Tailscaled, "out")
    client = online(lab, gateway, Skerryd, "client")
    assert isinstance(client, Skerryd)
    until("its own servers answer", lambda: "192.0.2.1" in client.cli("dns", "query", "www.example", check=False).stdout, 60)
    use(client, way_out.address)
    with capture(client.host, "uplink") as leaked:
        until("the exit node's answer", lambda: "203.0.113.80" in client.cli("dns", "query", "www.example", check=False).stdout, 60)
        before = near.asked("other.example")
        client.cli("dns", "query", "other.example", check=False)
        assert near.asked("other.example") == before
    assert leaked == []


def test_names_go_through_the_exit_node_to_the_servers_of_the_network(lab: Lab, gateway: Gateway, internet: Site) -> None:
    far = Dnsmasq(internet.host, "far", {"www.example": "203.0.113.80"}, address=TARGET)
    far.start()
    gateway.cli("dns", "set", "--nameserver", TARGET)
    way_out = exit_node(lab, gateway, Skerryd, "out")
    client = online(lab, gateway, Skerryd, "client")
    assert isinstance(client, Skerryd)
    use(client, "out")
    client.reaches(TARGET)
    with capture(client.host, "uplink") as leaked:
        until("an answer", lambda: "203.0.113.80" in client.cli("dns", "query", "www.example", check=False).stdout, 60)
    assert leaked == [] and any(f"from {way_out.host.address}" in line for line in far.log().splitlines() if "www.example" in line)
