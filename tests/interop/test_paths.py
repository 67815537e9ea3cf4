"""Which way packets take: the LAN between two boards behind one router, IPv6 where IPv4 cannot, the relay where no UDP passes."""

import pytest

from tests.netlab import Host, Lab
from tests.netlab.lab import until
from tests.netlab.programs import Gateway, Node, Skerryd, Tailscaled

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

NO_UDP4 = """
table ip no4 {
  chain f { type filter hook output priority -10; policy accept; meta l4proto udp drop; }
}
"""


def join(gateway: Gateway, kind: type[Node], host: Host, name: str) -> Node:
    node = kind(host, name)
    node.start()
    node.up(gateway.url, gateway.key())  # type: ignore[attr-defined]
    return node


def takes(one: Node, other: Node, start: str) -> None:
    """Traffic from one to the other settles on a path that starts like this."""

    def settled() -> bool:
        one.host.run("ping", "-c1", "-W1", other.address, check=False)
        peer = one.peer(other.name)
        return bool(peer and peer["CurAddr"].startswith(start))

    until(f"{one.name} reaches {other.name} by {start}", settled, 30)


@pytest.mark.parametrize("kind", [Skerryd, Tailscaled])
def test_the_lan_between_two_behind_one_router(lab: Lab, gateway: Gateway, kind: type[Node]) -> None:
    router = lab.router("home")
    ours = join(gateway, Skerryd, lab.behind(router, "ours"), "ours")
    other = join(gateway, kind, lab.behind(router, "other"), "other")
    takes(ours, other, other.host.address + ":")
    takes(other, ours, ours.host.address + ":")


@pytest.mark.parametrize("kind", [Skerryd, Tailscaled])
def test_ipv6_where_udp_over_ipv4_does_not_pass(lab: Lab, gateway: Gateway, kind: type[Node]) -> None:
    hosts = [lab.public(name) for name in ("ours", "other")]
    for host in hosts:
        host.nft(NO_UDP4)
    ours, other = join(gateway, Skerryd, hosts[0], "ours"), join(gateway, kind, hosts[1], "other")
    takes(ours, other, f"[{hosts[1].address6}]:")
    takes(other, ours, f"[{hosts[0].address6}]:")


def test_a_restarted_network_comes_back_by_itself(lab: Lab, gateway: Gateway) -> None:
    """The uplink's address changes: traffic goes on without a restart of the node."""
    ours = join(gateway, Skerryd, lab.public("ours"), "ours")
    other = join(gateway, Skerryd, lab.public("other"), "other")
    takes(ours, other, other.host.address + ":")
    ours.host.ip("addr", "flush", "dev", "wan", "scope", "global")
    ours.host.ip("addr", "add", "10.99.0.200/16", "dev", "wan")
    ours.host.ip("route", "replace", "default", "via", "10.99.0.1")
    ours.reaches(other.address, 20)
    takes(other, ours, "10.99.0.200:")
