"""skerryd in a network of Tailscale's own test control server and relay, beside the official client."""

import threading
import urllib.request

import pytest

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import Derper, Node, Skerryd, Tailscaled, TestControl

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]


@pytest.fixture
def derper(lab: Lab) -> Derper:
    made = Derper(lab.public("relay"), "relay")
    made.start()
    return made


def server(lab: Lab, derper: Derper, *options: str, pin: str | None = None) -> TestControl:
    made = TestControl(lab.public("control"), "control", derper.derp_map(pin), *options)
    made.start()
    return made


def nodes(lab: Lab, control: TestControl, key: str | None = None) -> tuple[Skerryd, Skerryd, Tailscaled]:
    """Two of ours and one of theirs, each behind a NAT of its own, members of the network."""
    kinds: list[tuple[type[Node], str]] = [(Skerryd, "red"), (Skerryd, "blue"), (Tailscaled, "green")]
    made = [kind(lab.behind(lab.router(f"r-{name}"), name), name) for kind, name in kinds]
    for node in made:
        node.start()
    for node in made:
        node.up(control.url, key)  # type: ignore[attr-defined]
    return made[0], made[1], made[2]  # type: ignore[return-value]


def goes_direct(a: Node, b: Node, address: str, deadline: float = 30) -> None:
    def direct() -> bool:
        a.host.run("ping", "-c1", "-W1", address, check=False)
        return bool((a.peer(b.name) or {}).get("CurAddr"))

    until(f"{a.name} has a direct path to {b.name}", direct, deadline)


def test_two_of_ours_and_an_official_client_reach_each_other(lab: Lab, derper: Derper) -> None:
    control = server(lab, derper, "--require-auth-key", "right")
    red, blue, green = nodes(lab, control, "right")
    assert sorted(event["hostname"] for event in control.events("join")) == ["blue", "green", "red"]
    addresses = {node.name: node.address for node in (red, blue, green)}
    for one, other in ((red, blue), (blue, red), (red, green), (green, blue)):
        one.reaches(addresses[other.name])
        one.reaches(other.address6)
    for one, other in ((red, blue), (blue, green), (green, red)):
        goes_direct(one, other, addresses[other.name])
    update = control.node("red")
    assert update["home_derp"] == Derper.region, "our home region, measured by the official STUN server"
    assert any(red.host.router and endpoint.startswith(red.host.router.address + ":") for endpoint in update["endpoints"])


def test_relayed_by_derper_when_udp_is_blocked_then_direct(lab: Lab, derper: Derper) -> None:
    control = server(lab, derper)
    routers = [lab.router("r-red"), lab.router("r-green")]
    for router in routers:
        router.block_udp("forward")
    red, green = Skerryd(lab.behind(routers[0], "red"), "red"), Tailscaled(lab.behind(routers[1], "green"), "green")
    for node in (red, green):
        node.start()
        node.up(control.url)  # type: ignore[attr-defined]
    red.reaches(green.address, 40)
    green.reaches(red.address, 40)
    for one, other in ((red, "green"), (green, "red")):
        peer = one.peer(other) or {}
        assert (peer["CurAddr"], peer["Relay"]) == ("", "lab")
    red.serve()
    green.serve()
    before = derper.host.bytes_on("wan")
    red.transfer("get", green.address, 10_000_000)
    red.transfer("put", green.address, 10_000_000)
    assert derper.host.bytes_on("wan")[0] - before[0] > 20_000_000, "the transfers did not go through derper"
    for router in routers:
        router.unblock_udp()
    goes_direct(red, green, green.address, 60)


def test_a_relay_with_another_certificate_is_not_used(lab: Lab, derper: Derper) -> None:
    control = server(lab, derper, pin="00" * 32)
    red = Skerryd(lab.public("red"), "red")
    red.start()
    done = red.cli("up", "--gateway", control.url, "--timeout", "5", check=False)
    assert done.returncode == 1
    assert "the map pins 0000" in " ".join(done.stdout.split()), done.stdout
    assert derper.host.address in done.stdout, "which relay it was"
    assert red.own_status()["state"] == "Starting"


def test_join_by_sign_in_link_logout_and_join_again(lab: Lab, derper: Derper) -> None:
    control = server(lab, derper, "--require-auth")
    red = Skerryd(lab.public("red"), "red")
    red.start()
    for turn in (1, 2):
        up = threading.Thread(target=lambda: red.up(control.url))
        up.start()
        url = str(until("the node shows the link", lambda: red.own_status()["auth_url"], 20))
        assert url.startswith(control.url + "/auth/")
        urllib.request.urlopen(url, timeout=10).close()
        up.join(30)
        assert red.running()
        assert len({event["node_key"] for event in control.events("join")}) == turn, "each membership has a key of its own"
        red.cli("logout")
        assert red.own_status()["state"] == "NeedsLogin"
        assert not red.own_status()["peers"]


def test_deltas_of_the_map(lab: Lab, derper: Derper) -> None:
    """What a foreign server may send after the first map: a peer patched, renamed, gone, and back."""
    control = server(lab, derper)
    red, blue = Skerryd(lab.public("red"), "red"), Skerryd(lab.public("blue"), "blue")
    for node in (red, blue):
        node.start()
        node.up(control.url)
    address = blue.address
    red.reaches(address)
    key, peer = red.own_status()["self"]["key"], red.own_status()["peers"][0]
    last = control.node("blue")

    control.inject(key, {"OnlineChange": {str(peer["id"]): False}})
    until("blue is shown offline", lambda: not red.own_status()["peers"][0]["online"], 5)
    control.inject(key, {"PeersChangedPatch": [{"NodeID": peer["id"], "Online": True}]})
    until("blue is shown online", lambda: red.own_status()["peers"][0]["online"], 5)

    control.inject(key, {"PeersRemoved": [peer["id"]]})
    until("blue is gone", lambda: not red.own_status()["peers"], 5)
    assert red.host.run("ping", "-c1", "-W1", address, check=False).returncode != 0

    names = {"ID": "id", "Key": "node_key", "Machine": "machine_key", "DiscoKey": "disco_key", "Addresses": "addresses"}
    node = {theirs: last[ours] for theirs, ours in names.items()}
    node |= {"StableID": peer["stable_id"], "Name": "azure.tn.example.", "AllowedIPs": last["addresses"], "Endpoints": last["endpoints"]}
    node |= {"HomeDERP": last["home_derp"], "User": peer["user"], "Online": True, "MachineAuthorized": True, "Cap": 142}
    control.inject(key, {"PeersChanged": [node]})
    until("blue is back under another name", lambda: [p["name"] for p in red.own_status()["peers"]] == ["azure"], 5)
    red.reaches(address)

    control.inject(key, {"PacketFilters": {"base": []}})
    until("nothing is let in any more", lambda: blue.host.run("ping", "-c1", "-W1", red.address, check=False).returncode, 5)
    red.reaches(address)
