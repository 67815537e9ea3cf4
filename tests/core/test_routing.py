"""The routes of a tunnel beside a host's own: against a slow model that looks every address up in both tables."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from skerry_core import ip, routing
from skerry_core.ip import parse_prefix as prefix


def prefixes(*texts):
    return [prefix(text) for text in texts]


def lookup(plan, host, address):
    """What the kernel does: the tunnel's table, then the host's. "tunnel", a prefix of the host, or None."""
    table = [(route, "tunnel") for route in plan.routes] + [(route, "throw") for route in plan.throws]
    found = longest(table, address)
    return found if found == "tunnel" else longest([(route, route) for route, _ in host], address)


def longest(table, address):
    hits = [(route[1], value) for route, value in table if ip.contains(route, address)]
    return max(hits, key=lambda hit: hit[0])[1] if hits else None


small = st.tuples(st.integers(0, 255), st.integers(1, 8)).map(lambda v: (ip.masked(bytes((v[0], 0, 0, 0)), v[1]), v[1]))


@given(st.lists(small, unique=True), st.lists(st.tuples(small, st.booleans())), st.integers(0, 255))
def test_the_longest_prefix_of_both_tables_wins_and_the_host_on_a_draw(wanted, host, first):
    address = bytes((first, 0, 0, 0))
    plan = routing.plan(wanted, False, False, host)
    theirs = longest([(route, route) for route in wanted], address)
    ours = longest([(route, route) for route, _ in host], address)
    expected = "tunnel" if theirs and (ours is None or theirs[1] > ours[1]) else ours
    assert lookup(plan, host, address) == expected
    assert set(plan.kept) == set(wanted) & {route for route, _ in host}


def test_an_exit_node_takes_everything_or_all_but_the_links():
    host = [(prefix("192.168.1.0/24"), True), (prefix("10.0.0.0/8"), False)]
    mesh = prefixes("100.64.0.2/32")
    everything = routing.plan(mesh, True, False, host)
    for text in ("192.168.1.7", "10.1.1.1", "8.8.8.8", "100.64.0.2", "2001:db8::1"):
        assert lookup(everything, host, ip.parse_address(text)) == "tunnel"
    lan = routing.plan(mesh, True, True, host)
    assert lookup(lan, host, ip.parse_address("192.168.1.7")) == prefix("192.168.1.0/24")
    assert lookup(lan, host, ip.parse_address("10.1.1.1")) == "tunnel", "behind a router it is not the LAN"


def test_a_peer_inside_the_uplinks_own_shared_range_is_reached_through_the_tunnel():
    host = [(prefix("100.64.0.0/10"), True), (prefix("100.64.0.1/32"), True)]
    plan = routing.plan(prefixes("100.64.0.1/32", "100.64.0.2/32"), False, False, host)
    assert lookup(plan, host, ip.parse_address("100.64.0.2")) == "tunnel"
    assert lookup(plan, host, ip.parse_address("100.64.0.9")) == prefix("100.64.0.0/10")
    assert plan.kept == prefixes("100.64.0.1/32")


@given(st.lists(small))
def test_a_prefix_without_holes(holes):
    found = routing.without((bytes(4), 0), holes)
    for first in range(256):
        address = bytes((first, 1, 2, 3))
        inside = [hole for hole in holes if ip.contains(hole, address)]
        assert len([route for route in found if ip.contains(route, address)]) == (0 if inside else 1)


def test_what_an_exit_node_carries_is_public_and_not_its_lan():
    lans = prefixes("198.51.100.0/24", "2001:db8:5::/64")
    for default in routing.DEFAULTS:
        carried = [ipaddress.ip_network(ip.format_prefix(route)) for route in routing.public(default, lans)]
        for text, yes in (
            ("8.8.8.8", True), ("198.51.100.7", False), ("198.51.101.1", True), ("10.0.0.1", False), ("172.31.0.1", False),
            ("172.32.0.1", True), ("192.168.0.1", False), ("100.64.0.1", False), ("169.254.169.254", False), ("224.0.0.1", False),
            ("127.0.0.1", False), ("255.255.255.255", False), ("2606:4700::1", True), ("2001:db8:5::9", False), ("fe80::1", False),
            ("fd7a:115c:a1e0::1", False), ("ff02::1", False), ("::1", False),
        ):  # fmt: skip
            address = ipaddress.ip_address(text)
            if (address.version == 4) is (len(default[0]) == 4):
                assert any(address in network for network in carried) is yes, text
