"""Subnet routes: hosts behind a router reached through it, ours and the official client in both places; nothing stays behind."""

import json
import time

import pytest

from tests.netlab import Lab
from tests.netlab.lab import Host, run, until
from tests.netlab.programs import BIN, ROOT, Gateway, Node, Skerryd, Tailscaled
from tests.netlab.supervised import Supervised

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
KINDS = [Skerryd, Tailscaled]


class Site:
    """A host with no Internet and no mesh behind `router`: 10.N.0.0/24 and fd00:N::/64, .1 the router, .2 the host."""

    def __init__(self, lab: Lab, router: Host, number: int = 51) -> None:
        self.host = lab._host(f"s{number}-{router.name}")
        self.router, self.number = router, number
        self.subnets = [f"10.{number}.0.0/24", f"fd00:{number}::/64"]
        self.address, self.address6 = f"10.{number}.0.2", f"fd00:{number}::2"
        run("ip", "-n", router.name, "link", "add", f"site{number}", "type", "veth", "peer", "name", "eth0", "netns", self.host.name)
        for host, link, last in ((router, f"site{number}", 1), (self.host, "eth0", 2)):
            host.ip("addr", "add", f"10.{number}.0.{last}/24", "dev", link)
            host.ip("addr", "add", f"fd00:{number}::{last}/64", "dev", link, "nodad")
            host.ip("link", "set", link, "up")

    def default_route(self) -> None:
        self.host.ip("route", "add", "default", "via", f"10.{self.number}.0.1")
        self.host.ip("-6", "route", "add", "default", "via", f"fd00:{self.number}::1")

    def serve(self) -> None:
        """Transfers of any size, over both families; the log tells who asked."""
        for address in ("0.0.0.0", "::"):
            self.host.start(str(BIN / "python"), str(ROOT / "tests/netlab/transfer.py"), "serve", address, "9000", log=self.host.name)


def join(lab: Lab, gateway: Gateway, kind: type[Node], name: str, *options: str) -> Node:
    node = kind(lab.public(name), name)
    node.start()
    node.up(gateway.url, gateway.key(), *options)  # type: ignore[attr-defined]
    return node


def router(lab: Lab, gateway: Gateway, kind: type[Node], *options: str, host: Host | None = None) -> tuple[Node, Site]:
    """A node in front of a site, whose routes are approved."""
    host = host or lab.public("router")
    site = Site(lab, host)
    if kind is Tailscaled:  # ours does that itself
        for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            host.run("sysctl", "-qw", f"{name}=1")
    node = kind(host, "router")
    node.start()
    node.up(gateway.url, gateway.key(), f"--advertise-routes={','.join(site.subnets)}", *options)  # type: ignore[attr-defined]
    until("the gateway heard of the routes", lambda: gateway.cli("routes", "list")["routes"], 20)
    gateway.cli("routes", "approve", "router", *site.subnets)
    return node, site


def pings(host: Host, address: str) -> bool:
    return host.run("ping", "-c1", "-W1", address, check=False).returncode == 0


def source_seen(site: Site, client: Host, address: str) -> str:
    """The address that a host of the site sees a client of the mesh come from."""
    seen = site.host.lab.path / "seen"
    site.host.start("tcpdump", "-l", "-n", "-i", "eth0", "icmp or icmp6", log="seen")
    until("tcpdump listens", lambda: "listening" in (seen.parent / "seen.log").read_text(), 10)

    def found() -> str:
        pings(client, address)
        lines = [line for line in (seen.parent / "seen.log").read_text().splitlines() if "echo request" in line]
        return lines[-1].split(" > ")[0].split()[-1] if lines else ""

    return str(until("an echo request arrives", found, 20))


def forwarding(host: Host) -> list[str]:
    names = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
    return [host.run("sysctl", "-n", name).stdout.strip() for name in names]


def left_behind(host: Host) -> str:
    """Everything of ours in the kernel of a host, "" when there is nothing."""
    rules = host.ip("rule") + host.ip("-6", "rule")
    found = [line for line in rules.splitlines() if "5270" in line or "0x530000" in line]
    for family in ("-4", "-6"):
        found += host.ip(family, "route", "show", "table", "all", "proto", "83").splitlines()
    return "\n".join(found) + host.run("nft", "list", "tables").stdout.strip()


@pytest.mark.parametrize("router_kind,client_kind", [(Skerryd, Skerryd), (Skerryd, Tailscaled), (Tailscaled, Skerryd)])
def test_a_site_is_reached_through_its_router(lab: Lab, gateway: Gateway, router_kind: type[Node], client_kind: type[Node]) -> None:
    node, site = router(lab, gateway, router_kind)
    client = join(lab, gateway, client_kind, "client", "--accept-routes")
    site.serve()
    for address in (site.address, site.address6):
        client.reaches(address)
        client.transfer("get", address, 3_000_000)
        client.transfer("put", address, 3_000_000)
    if router_kind is Skerryd:
        assert source_seen(site, client.host, site.address) == "10.51.0.1"
        node.stop()
        assert forwarding(node.host) == ["0", "0"] and left_behind(node.host) == ""


def test_approval_and_withdrawal_reach_every_peer_within_a_second(lab: Lab, gateway: Gateway) -> None:
    _, site = router(lab, gateway, Skerryd)
    ours = join(lab, gateway, Skerryd, "ours", "--accept-routes")
    theirs = join(lab, gateway, Tailscaled, "theirs", "--accept-routes")
    for client in (ours, theirs):
        client.reaches(site.address)
        client.keep_pinging(site.address)
        until("echoes come", client.last_reply, 20)
    gateway.cli("routes", "withdraw", "router")
    then = time.time()
    until("the echoes have ended", lambda: time.time() > max(then, ours.last_reply(), theirs.last_reply()) + 2, 20)
    assert max(ours.last_reply(), theirs.last_reply()) - then < 1
    gateway.cli("routes", "approve", "router")
    then = time.time()
    until("echoes come again", lambda: min(ours.last_reply(), theirs.last_reply()) > then, 10)


def test_without_translation_the_site_sees_the_peer_and_can_begin_itself(lab: Lab, gateway: Gateway) -> None:
    node, site = router(lab, gateway, Skerryd, "--snat-subnet-routes=false")
    site.default_route()
    client = join(lab, gateway, Skerryd, "client", "--accept-routes")
    for address, own in ((site.address, client.address), (site.address6, client.address6)):
        client.reaches(address)
        assert own
    assert source_seen(site, client.host, site.address) == client.address
    node.cli("set", "--snat-subnet-routes")  # type: ignore[attr-defined]
    until("translated again", lambda: source_seen(site, client.host, site.address) == "10.51.0.1", 20)


def test_our_own_lan_and_the_way_to_the_gateway_stay_ours(lab: Lab, gateway: Gateway) -> None:
    """A peer offers the very networks we are in, the gateway's and the relay's too: nothing of ours goes through it."""
    host = lab.public("router")
    node = Skerryd(host, "router")
    node.start()
    node.up(gateway.url, gateway.key(), "--advertise-routes=10.99.0.0/16,10.99.0.0/28,2001:db8:99::/64,10.0.0.0/8")
    client = join(lab, gateway, Skerryd, "client", "--accept-routes")
    until("the gateway heard of the routes", lambda: len(gateway.cli("routes", "list")["routes"]) == 4, 20)
    gateway.cli("routes", "approve", "router")
    assert isinstance(client, Skerryd)
    until("the routes arrived", lambda: "10.0.0.0/8" in client.host.ip("route", "show", "table", "5270"), 10)
    assert "dev wan" in client.host.ip("route", "get", "10.99.200.1")
    assert "dev skerry0" in client.host.ip("route", "get", "10.99.0.2"), "a longer route is taken, though the gateway lies in it"
    client.reaches(node.address)
    gateway.restart()
    until("the gateway is reached all the same", lambda: client.own_status()["connected"] and node.own_status()["connected"], 30)
    client.reaches(node.address)
    assert client.own_status()["peers"][0]["path"]["kind"] == "direct"


def test_nothing_stays_on_after_a_stop_a_handover_or_a_kill(lab: Lab, gateway: Gateway) -> None:
    node, site = router(lab, gateway, Skerryd)
    host = node.host
    client = join(lab, gateway, Skerryd, "client", "--accept-routes")
    client.reaches(site.address)
    assert forwarding(host) == ["1", "1"]
    node.kill()
    assert forwarding(host) == ["1", "1"], "nobody was there to put it back"
    node.start()
    client.reaches(site.address)
    node.stop()
    assert forwarding(host) == ["0", "0"] and left_behind(host) == ""
    supervised = Supervised(host, "router")
    supervised.start()
    client.reaches(site.address)
    supervised.supervisor.restart()
    client.reaches(site.address)
    supervised.supervisor.stop()
    assert forwarding(host) == ["0", "0"] and "skerry" not in host.run("nft", "list", "tables").stdout


def test_what_the_host_had_on_is_left_on(lab: Lab, gateway: Gateway) -> None:
    host = lab.public("router")
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    host.nft("table inet theirs { chain c { type filter hook forward priority 0; policy accept; }; }\n")
    node = Skerryd(host, "router")
    node.start()
    node.up(gateway.url, gateway.key(), "--advertise-routes=10.51.0.0/24")
    assert forwarding(host) == ["1", "0"] and "table inet skerry" in host.run("nft", "list", "tables").stdout
    node.cli("set", "--advertise-routes=")
    assert host.run("nft", "list", "tables").stdout.split() == ["table", "inet", "theirs"]
    node.stop()
    assert forwarding(host) == ["1", "0"]


def test_the_stock_command_line_sets_and_shows_routes(lab: Lab, gateway: Gateway) -> None:
    node = join(lab, gateway, Skerryd, "ours")
    node.official("set", "--advertise-routes=10.52.0.0/24", "--accept-routes", "--advertise-exit-node", "--snat-subnet-routes=false")
    prefs = json.loads(node.official("debug", "prefs").stdout)
    assert sorted(prefs["AdvertiseRoutes"]) == ["0.0.0.0/0", "10.52.0.0/24", "::/0"] and prefs["RouteAll"] and prefs["NoSNAT"]
    until("the gateway heard", lambda: len(gateway.cli("routes", "list")["routes"]) == 3, 20)


@pytest.mark.parametrize(
    "options,words",
    [
        (["--advertise-routes=10.51.0.1/24"], "10.51.0.1/24"),
        (["--advertise-routes=0.0.0.0/0"], "--advertise-exit-node"),
        (["--accept-routes=perhaps"], "perhaps"),
        (["--exit-node=nobody"], "nobody"),
        ([], "nothing to set"),
    ],
)
def test_what_cannot_be_set_is_said(lab: Lab, gateway: Gateway, options: list[str], words: str) -> None:
    node = join(lab, gateway, Skerryd, "ours")
    assert isinstance(node, Skerryd)
    done = node.cli("set", *options, check=False)
    assert done.returncode and words in done.stderr
