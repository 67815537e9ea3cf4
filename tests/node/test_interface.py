"""The interface against the real kernel, in a network namespace of its own; skipped where none can be made."""

import json
import os
import shutil
import subprocess
import sys

import pytest

HAVE = shutil.which("unshare") and subprocess.run(["unshare", "-Urn", "true"], check=False, capture_output=True).returncode == 0
pytestmark = pytest.mark.skipif(not HAVE, reason="no user namespaces here")

SCRIPT = r"""
import json, subprocess, sys, time
from skerry_node import netlink, uplinks
from skerry_node.interface import Interface
def ip(*argv): return subprocess.run(["ip", *argv], check=True, capture_output=True, text=True).stdout
def shown():
    links = json.loads(ip("-j", "addr", "show", "dev", "t0"))
    return {a["local"] + "/" + str(a["prefixlen"]) for l in links for a in l["addr_info"]}
def routes(*f): return {r["dst"] for r in json.loads(ip("-j", *f, "route", "show", "table", "5270", "proto", "83") or "[]")}
def rules(*f): return [r["priority"] for r in json.loads(ip("-j", "-N", *f, "rule", "show")) if 5300 < r["priority"] < 5400]
A4, A6, B4 = (b"\x64\x40\0\1", 32), (bytes.fromhex("fd7a115ca1e000000000000000000001"), 128), (b"\x64\x40\0\2", 32)
R4, R6, ALL4 = (b"\x64\x40\0\0", 10), (bytes.fromhex("fd7a115ca1e000000000000000000000"), 48), (bytes(4), 0)
def link(name): ip("link", "add", name, "type", "veth", "peer", "name", name + "p")
link("t0")
tables = netlink.Tables()
"""


def in_namespace(body):
    code = SCRIPT + body
    done = subprocess.run(
        ["unshare", "-Urn", sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_apply_makes_the_difference_and_clear_leaves_nothing():
    seen = in_namespace(r"""
interface = Interface("t0")
out = []
def step(addresses, desired_routes, up=True):
    interface.apply({"addresses": addresses, "routes": desired_routes, "mtu": 1280, "up": up})
    out.append([sorted(shown()), sorted(routes("-4") | routes("-6")), interface.problems])
step([A4, A6], [R4, R6])
step([A4, A6], [R4, R6])
step([B4], [R4, ALL4])
step([B4], [R4], up=False)
step([B4], [R4], up=True)
state = json.loads(ip("-j", "link", "show", "t0"))[0]
out.append([state["mtu"], "UP" in state["flags"]])
interface.clear()
out.append([sorted(shown()), sorted(routes("-4") | routes("-6"))])
print(json.dumps(out))
""")
    both = [["100.64.0.1/32", "fd7a:115c:a1e0::1/128"], ["100.64.0.0/10", "fd7a:115c:a1e0::/48"], []]
    assert seen[0] == both and seen[1] == both
    assert seen[2] == [["100.64.0.2/32"], ["100.64.0.0/10"], []]  # a default route only by "exit"
    assert seen[3][1] == [] and seen[4] == [["100.64.0.2/32"], ["100.64.0.0/10"], []]
    assert seen[5] == [1280, True]
    assert seen[6] == [[], []]


def test_a_link_that_is_gone_is_said():
    said = in_namespace(r"""
from skerry_core.errors import LocalError
interface, out = Interface("t0"), []
interface.check()
for change in (["link", "set", "t0", "name", "t9"], ["link", "del", "t9"]):
    ip(*change)
    try:
        interface.check()
    except LocalError as error:
        out.append(str(error))
print(json.dumps(out))
""")
    assert len(said) == 2 and all("t0 is gone" in sentence and "restart" in sentence for sentence in said)


def test_what_a_crash_left_is_reconciled_and_other_routes_stay():
    seen = in_namespace(r"""
ip("link", "set", "t0", "up"); ip("addr", "add", "100.64.9.9/32", "dev", "t0")
ip("route", "add", "10.9.0.0/16", "dev", "t0", "proto", "83", "table", "5270")
ip("route", "add", "throw", "10.7.0.0/16", "proto", "83", "table", "5270"); ip("route", "add", "10.8.0.0/16", "dev", "t0")
interface = Interface("t0")
interface.apply({"addresses": [A4], "routes": [R4], "mtu": 1280, "up": True})
print(json.dumps([sorted(shown()), sorted(routes()), "10.8.0.0/16" in ip("route", "show"), interface.problems]))
""")
    assert seen == [["100.64.0.1/32"], ["100.64.0.0/10"], True, []]


def test_the_longest_route_of_host_and_tunnel_wins_and_marked_packets_go_the_hosts_way():
    seen = in_namespace(r"""
def via(address, *more): return json.loads(ip("-j", "route", "get", address, *more))[0].get("dev")
def all_of(): return [via(a) for a in ("192.168.1.9", "192.168.2.9", "10.1.1.1", "10.1.2.1", "8.8.8.8", "100.64.0.9", "100.64.7.7")]
link("lan"); ip("addr", "add", "192.168.1.2/24", "dev", "lan"); ip("addr", "add", "100.64.200.1/10", "dev", "lan")
ip("link", "set", "lan", "up"); ip("link", "set", "lanp", "up")
ip("route", "add", "default", "via", "192.168.1.1"); ip("route", "add", "10.1.0.0/16", "via", "192.168.1.1")
interface, out = Interface("t0"), []
routed = [(bytes((192, 168, 0, 0)), 16), (bytes((192, 168, 1, 0)), 24), (bytes((10, 1, 2, 0)), 24), (bytes((100, 64, 0, 9)), 32)]
wanted = {"addresses": [A4, A6], "routes": routed, "mtu": 1280, "up": True}
for more in ({}, {"exit": True}, {"exit": True, "lan": True}):
    interface.apply({**wanted, **more})
    out.append([all_of(), interface.problems])
out.append([via("8.8.8.8", "mark", "0x530000"), via("100.64.0.9", "mark", "0x530000"), via("8.8.8.8", "mark", "0x1")])
ip("addr", "add", "192.168.2.2/24", "dev", "lan")
interface.refresh()
out.append(via("192.168.2.9"))
out.append([sorted(rules()), sorted(rules("-6")) == sorted(rules())])
interface.clear()
out.append([all_of(), sorted(rules()), sorted(rules("-6")), ip("route", "show", "table", "all", "proto", "83")])
print(json.dumps(out))
""")
    assert seen[0] == [["lan", "t0", "lan", "t0", "lan", "t0", "lan"], []]
    assert seen[1] == [["t0"] * 7, []]
    assert seen[2] == [["lan", "t0", "t0", "t0", "t0", "t0", "lan"], []]
    assert seen[3] == ["lan", "lan", "t0"]
    assert seen[4] == "lan"
    assert seen[5][0] == [5310, 5311, 5312, 5320] and seen[5][1]
    assert seen[6] == [["lan"] * 7, [], [], ""]


def test_a_peer_with_the_address_of_the_hosts_router_does_not_take_it():
    seen = in_namespace(r"""
link("lan"); ip("addr", "add", "100.64.200.1/10", "dev", "lan")
ip("link", "set", "lan", "up"); ip("link", "set", "lanp", "up"); ip("route", "add", "default", "via", "100.64.0.9")
interface = Interface("t0")
both = [(bytes((100, 64, 0, 9)), 32), (bytes((100, 64, 0, 8)), 32)]
interface.apply({"addresses": [A4], "routes": both, "mtu": 1280, "up": True})
print(json.dumps([interface.problems, [json.loads(ip("-j", "route", "get", a))[0]["dev"] for a in ("100.64.0.9", "100.64.0.8")]]))
""")
    assert seen[1] == ["lan", "t0"] and "100.64.0.9 is an address of this host's own network and of a peer" in seen[0][0]


def test_uplinks_leave_out_loopback_down_links_and_tunnels():
    seen = in_namespace(r"""
ip("link", "set", "lo", "up"); link("eth"); ip("addr", "add", "192.0.2.7/24", "dev", "eth")
ip("addr", "add", "2001:db8::7/64", "dev", "eth", "nodad"); ip("addr", "add", "198.51.100.1/24", "dev", "t0")
before = uplinks.look(tables, "t0", (5, 6))
monitor = netlink.Monitor()
import select
ip("link", "set", "eth", "up")
told = bool(select.select([monitor], [], [], 5)[0]); monitor.drain()
quiet = not select.select([monitor], [], [], 0)[0]
after = uplinks.look(tables, "t0", (5, 6))
print(json.dumps([before, after, told, quiet], default=lambda b: b.hex()))
""")
    assert seen[0] == [{"uplink": 0, "addresses": [], "port4": 5, "port6": 6, "via": []}]
    assert seen[1][0]["addresses"] == [[4, "c0000207"], [6, "20010db8000000000000000000000007"]]
    assert seen[2] is True


def test_watch_debounces():
    from skerry_node.uplinks import Watch

    watch = Watch()
    assert watch.next_timer() is None and not watch.due(0)
    watch.reported(1000)
    watch.reported(1010)
    assert watch.next_timer() == 1020 and not watch.due(1019) and watch.due(1020) and not watch.due(1021)
    pauses = []
    for _ in range(8):  # it flaps
        watch.reported(watch._last + 1)
        pauses.append(watch.next_timer() - watch._last)
        assert watch.due(watch.next_timer())
    assert pauses[0] <= 40 and pauses == sorted(pauses) and pauses[-1] == 500
    watch.reported(watch._last + 2000)
    assert watch.next_timer() == watch._last + 2020


def test_netlink_parsing_survives_garbage():
    from skerry_node import netlink

    assert list(netlink.messages(b"\xff" * 40)) == [] and list(netlink.messages(b"\0" * 40)) == []
    assert netlink.attributes(b"\xff" * 7) == {} and netlink.attributes(bytes(8)) == {}
    assert netlink.attributes(netlink.attribute(3, b"eth0\0") + netlink.attribute(4, b"1234")) == {3: b"eth0\0", 4: b"1234"}
