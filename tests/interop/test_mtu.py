"""Underlays from 1500 to 1200 bytes (IPv6: 1280) without ICMP: a megabyte each way at every step, to a node and to a host behind it."""

from functools import partial

import pytest

from tests.interop.test_routes import Site
from tests.netlab import Lab
from tests.netlab.lab import WAN6, Host, run, until
from tests.netlab.programs import BIN, Gateway, Node, Skerryd, Tailscaled

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
STEPS = (1500, 1420, 1360, 1300, 1280, 1200)
TOO_BIG = "icmp type destination-unreachable drop; icmpv6 type packet-too-big drop;"
SILENT = f"table inet silent {{ chain c {{ type filter hook %s priority -20; {TOO_BIG} }}; }}\n"

NO_IPV4 = "table ip old { chain c { type filter hook forward priority -20; meta l4proto udp drop; }; }\n"


def shrink(router: Host, mtu: int) -> None:
    """The link of a router to the Internet, at both ends."""
    run("ip", "link", "set", f"w{router.address.rsplit('.', 1)[1]}", "mtu", str(mtu))
    router.ip("link", "set", "wan", "mtu", str(mtu))


def with_ipv6(routers: list[Host], hosts: list[Host]) -> None:
    """Behind each router a network of IPv6 that the others reach, and no UDP over IPv4."""
    for number, (router, host) in enumerate(zip(routers, hosts, strict=True)):
        router.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        router.ip("addr", "add", f"{WAN6}::{number + 1:x}00/64", "dev", "wan", "nodad")
        router.ip("addr", "add", f"2001:db8:{number + 1}::1/64", "dev", "lan", "nodad")
        router.ip("-6", "route", "add", f"2001:db8:{2 - number}::/64", "via", f"{WAN6}::{2 - number:x}00")
        host.ip("addr", "add", f"2001:db8:{number + 1}::2/64", "dev", "eth0", "nodad")
        host.ip("-6", "route", "add", "default", "via", f"2001:db8:{number + 1}::1")
        router.nft(NO_IPV4)


OFFERED = "import socket, sys; s = socket.create_connection((sys.argv[1], 9000), 5); print(s.getsockopt(6, 2)); s.sendall(b'get 0\\n')"


def fits(client: Node, address: str, mtu: int, family: int) -> bool:
    """Whether TCP is kept below the path's MTU by now, as far as the tunnel's allows (12: timestamps)."""
    offered = client.host.run(str(BIN / "python"), "-c", OFFERED, address, timeout=20, check=False).stdout
    return bool(offered) and int(offered) + 12 + 40 + 32 + (28 if family == 4 else 48) <= min(mtu, 1340 if family == 4 else 1360)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("client_kind", [Skerryd, Tailscaled])
def test_a_megabyte_at_every_step(lab: Lab, gateway: Gateway, client_kind: type[Node], family: int) -> None:
    routers = [lab.router(name) for name in ("r-office", "r-client")]
    for router in routers:
        router.nft(SILENT % "output")
    office, client = Skerryd(lab.behind(routers[0], "office"), "office"), client_kind(lab.behind(routers[1], "client"), "client")
    if family == 6:
        with_ipv6(routers, [office.host, client.host])
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
    for mtu in STEPS[: -1 if family == 6 else None]:
        for router in routers:
            shrink(router, mtu)
        for node, other in ((office, client), (client, office)):  # whoever pings has the path's MTU found anew
            node.official("ping", "-c", "1", other.address)
        for address in (office.address, site.address):
            until(f"TCP fits {mtu} bytes", partial(fits, client, address, mtu, family), 20)
        for address in (office.address, site.address, site.address6):
            for verb in ("get", "put"):
                client.transfer(verb, address, 1_000_000, timeout=30)
    where = (client.peer("office") or {})["CurAddr"]
    assert where.startswith("[") == (family == 6), f"{where!r}: not by the relay, and over IPv{family}"
