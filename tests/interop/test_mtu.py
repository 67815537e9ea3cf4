"""Underlays from 1500 to 1200 bytes without ICMP: a megabyte each way at every step, to a node and to a host behind it."""

import pytest

from tests.interop.test_routes import Site
from tests.netlab import Lab
from tests.netlab.lab import Host, run, until
from tests.netlab.programs import Gateway, Node, Skerryd, Tailscaled

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
STEPS = (1500, 1420, 1360, 1300, 1280, 1200)
STOCK_LEAST = 1360  # the official client sets DF and waits for ICMP: 1340 bytes of its own do not get through less
SILENT = "table inet silent { chain c { type filter hook %s priority -20; icmp type destination-unreachable drop; }; }\n"


def shrink(router: Host, mtu: int) -> None:
    """The link of a router to the Internet, at both ends."""
    run("ip", "link", "set", f"w{router.address.rsplit('.', 1)[1]}", "mtu", str(mtu))
    router.ip("link", "set", "wan", "mtu", str(mtu))


@pytest.mark.parametrize("client_kind", [Skerryd, Tailscaled])
def test_a_megabyte_at_every_step(lab: Lab, gateway: Gateway, client_kind: type[Node]) -> None:
    routers = [lab.router(name) for name in ("r-office", "r-client")]
    for router in routers:
        router.nft(SILENT % "output")
    office, client = Skerryd(lab.behind(routers[0], "office"), "office"), client_kind(lab.behind(routers[1], "client"), "client")
    site = Site(lab, office.host)
    for node, option in ((office, f"--advertise-routes={','.join(site.subnets)}"), (client, "--accept-routes")):
        node.start()
        node.up(gateway.url, gateway.key(), option)  # type: ignore[attr-defined]
    until("the gateway heard of the routes", lambda: gateway.cli("routes", "list")["routes"], 20)
    gateway.cli("routes", "approve", "office")
    client.reaches(office.address)
    until("the path is direct", lambda: (client.peer("office") or {}).get("CurAddr"), 30)
    office.serve()
    site.serve()
    for mtu in STEPS if client_kind is Skerryd else [step for step in STEPS if step >= STOCK_LEAST]:
        for router in routers:
            shrink(router, mtu)
        for address in (office.address, site.address, site.address6):
            for verb in ("get", "put"):
                client.transfer(verb, address, 1_000_000, timeout=30)
    assert (client.peer("office") or {})["CurAddr"], "not by the relay"
