"""The official command line on our daemon, and its network check against our STUN and relay."""

import json
import re

import pytest

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import BIN, Gateway, Node, Skerryd, Tailscaled, peers

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


def test_exit_nodes_and_settings_on_our_daemon(lab: Lab, gateway: Gateway, red: Skerryd, blue: Skerryd) -> None:
    """Every further command that people type, with an exit node there."""
    blue.cli("set", "--advertise-exit-node")
    gateway.cli("routes", "approve", "blue")
    until("red knows the exit node", lambda: "blue" in red.official("exit-node", "list", check=False).stdout, 20)
    assert re.search(rf"^ *{blue.address} +blue", red.official("exit-node", "list").stdout, re.M)
    red.official("set", "--exit-node=blue", "--exit-node-allow-lan-access=true", "--hostname=red-2", "--accept-routes=true")
    until("everything goes through blue", lambda: (red.status().get("ExitNodeStatus") or {}).get("Online"), 10)
    assert re.search(r"blue .*exit node", red.official("status").stdout)
    assert "selected" in red.official("exit-node", "list").stdout
    prefs = json.loads(red.official("debug", "prefs").stdout)
    assert (prefs["RouteAll"], prefs["ExitNodeAllowLANAccess"], prefs["Hostname"]) == (True, True, "red-2")
    assert red.own_status()["exit_node"]["lan"] is True
    red.official("set", "--exit-node=", "--accept-dns=false")
    assert red.status().get("ExitNodeStatus") is None and red.own_status()["dns"]["accept"] is False
    assert "MagicDNS" in red.official("dns", "status").stdout
    assert blue.address in red.official("dns", "query", f"blue.{red.status()['MagicDNSSuffix']}").stdout
    assert red.official("version", "--daemon").returncode == 0
    wrong = red.official("set", "--exit-node=nobody", check=False)
    assert wrong.returncode != 0


def test_the_operator_needs_no_root(red: Skerryd) -> None:
    """A user of this host: nothing before root named it, then both command lines, then nothing again."""

    def ours(*words: str) -> int:
        return red.host.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *words, check=False).returncode

    skerry = [str(BIN / "skerry"), "--socket", str(red.socket)]
    tailscale = [str(peers() / "tailscale"), "--socket", str(red.socket)]
    red.host.lab.path.chmod(0o755)
    assert ours(*skerry, "status") != 0 and ours(*tailscale, "set", "--hostname=x") != 0
    red.official("set", "--operator=nobody")
    assert ours(*skerry, "status") == 0
    assert ours(*skerry, "set", "--hostname", "mine") == 0
    assert ours(*tailscale, "set", "--hostname=mine-2") == 0
    assert red.status()["Self"]["HostName"] == "mine-2"
    assert ours(*skerry, "set", "--operator", "daemon") != 0 and ours(*skerry, "capture", "--count", "1") != 0
    red.restart()
    assert ours(*skerry, "down") == 0 and ours(*skerry, "up") == 0
    red.kill()
    red.start()  # the socket that is left is the operator's
    assert ours(*skerry, "status") == 0
    red.cli("set", "--operator", "")
    assert ours(*skerry, "status") != 0


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
