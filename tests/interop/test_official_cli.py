"""The official command line on our daemon, and its network check against our STUN and relay."""

import json
import re

import pytest

from tests.netlab import Lab
from tests.netlab.programs import Gateway, Node, Skerryd, Tailscaled

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


@pytest.fixture
def red(lab: Lab, gateway: Gateway) -> Skerryd:
    """Our node behind a NAT."""
    made = Skerryd(lab.behind(lab.router("r-red"), "red"), "red")
    made.start()
    made.up(gateway.url, gateway.key())
    return made


@pytest.fixture
def blue(lab: Lab, gateway: Gateway) -> Skerryd:
    """Our node on a public host."""
    made = Skerryd(lab.public("blue"), "blue")
    made.start()
    made.up(gateway.url, gateway.key())
    return made


def test_status_ping_ip_and_whois_on_our_daemon(red: Skerryd, blue: Skerryd) -> None:
    theirs, ours = blue.address, red.address
    red.reaches(theirs)
    status = red.official("status").stdout
    assert re.search(rf"^{ours} +red +owner", status, re.M), status
    assert re.search(rf"^{theirs} +blue +owner\S* +linux +active; direct {blue.host.address}:", status, re.M), status
    document = red.status()
    assert (document["BackendState"], document["Self"]["HostName"]) == ("Running", "red")
    pong = red.official("ping", "--c=3", "blue").stdout
    assert re.search(rf"pong from blue \({theirs}\) via {blue.host.address}:\d+ in \d+ms", pong), pong
    assert red.official("ip", "-4").stdout.split() == [ours]
    assert red.official("ip", "-6", "blue").stdout.split() == [blue.address6]
    who = json.loads(red.official("whois", "--json", theirs).stdout)
    assert who["Node"]["ComputedName"] == "blue"
    assert who["UserProfile"]["LoginName"] == document["User"][str(who["Node"]["User"])]["LoginName"]
    unknown = red.official("whois", "100.64.255.1", check=False)
    assert unknown.returncode != 0


def netcheck(node: Node) -> dict[str, object]:
    return json.loads(node.official("netcheck", "--format=json", timeout=60).stdout)


@pytest.mark.parametrize("kind", [Skerryd, Tailscaled])
def test_netcheck_against_our_stun_and_relay(lab: Lab, gateway: Gateway, kind: type[Node]) -> None:
    """The check runs in the command and takes the relays from the daemon."""
    router = lab.router("r-node")
    node = kind(lab.behind(router, "node"), "node")
    node.start()
    node.up(gateway.url, gateway.key())  # type: ignore[attr-defined]
    report = netcheck(node)
    (region,) = report["RegionLatency"]
    assert report["UDP"] is True
    assert report["IPv4"] is True
    assert str(report["GlobalV4"]).startswith(router.address + ":")
    assert report["PreferredDERP"] == int(region)
    assert 0 < report["RegionLatency"][region] < 1e9

    router.block_udp("forward")
    report = netcheck(node)
    assert report["UDP"] is False
    assert 0 < report["RegionLatency"][region] < 3e9, "measured by HTTPS at the relay, whose certificate is pinned"


def test_our_netcheck_agrees(red: Skerryd) -> None:
    report = json.loads(red.cli("netcheck", "--json").stdout)
    assert report["udp"] is True
    assert report["ipv4"].startswith(red.host.router.address + ":")  # type: ignore[union-attr]
    assert report["regions"][0]["latency_ms"] is not None
    assert report["mapping_varies"] is False, "the gateway's two STUN ports see one mapping"
