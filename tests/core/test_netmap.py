"""The network map: each delta kind, atomic application, bounds, and fold(deltas) == full map."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_core.errors import LocalError, PeerError
from skerry_core.tailcfg import times
from skerry_core.tailcfg.keys import encode_key
from skerry_core.tailcfg.netmap import NetworkMap

SECOND = "2026-01-01T00:00:0{}Z"


def key(number, kind="nodekey"):
    return encode_key(kind, number.to_bytes(32, "big"))


def node(number, **more):
    return {
        "ID": number,
        "StableID": f"n{number}",
        "Name": f"n{number}.tn.example.",
        "User": 1,
        "Key": key(number),
        "Machine": key(number, "mkey"),
        "DiscoKey": key(number + 1000, "discokey"),
        "Addresses": [f"100.64.0.{number}/32", f"fd7a:115c:a1e0::{number:x}/128"],
        "HomeDERP": 900,
        "Hostinfo": {"Hostname": f"n{number}", "OS": "linux"},
        "Cap": 142,
        **more,
    }


def started(*peers, **more):
    netmap = NetworkMap()
    netmap.apply({"Node": node(1, MachineAuthorized=True), "Peers": [node(number) for number in peers], **more})
    return netmap


def test_first_response_needs_node_and_keepalives_may_come_before():
    netmap = NetworkMap()
    assert netmap.apply({"KeepAlive": True, "ControlTime": SECOND.format(5)}) == {"keep-alive", "control-time"}
    for bad in ({}, {"Peers": [node(2)]}, {"Node": node(0)}, {"Node": node(1, Key=None)}):
        with pytest.raises(PeerError, match="Node"):
            netmap.apply(bad)
    assert netmap.apply({"Node": node(1)}) == {"self"}


def test_node_is_parsed():
    netmap = started(
        Node=node(
            1,
            AllowedIPs=["100.64.0.1/32", "10.1.2.3/8"],
            KeyExpiry="2030-01-01T00:00:00Z",
            LastSeen=times.ZERO,
            Endpoints=["192.0.2.1:1", "192.0.2.1:0", "nonsense", 5, "[fe80::1%eth0]:5", "[2001:db8::1]:2"],
            DERP="127.3.3.40:7",
            HomeDERP=None,
            Capabilities=["old"],
            CapMap={"new": [1]},
            Tags=["tag:a"],
            Online=True,
            Unknown={"x": 1},
        )
    )
    own = netmap.self_node
    assert (own.id, own.stable_id, own.name, own.host_name, own.user, own.cap) == (1, "n1", "n1.tn.example.", "n1", 1, 142)
    assert own.key == (1).to_bytes(32, "big") and own.disco_key == (1001).to_bytes(32, "big")
    assert own.addresses[0] == (bytes([100, 64, 0, 1]), 32) and own.addresses[1][1] == 128
    assert own.allowed_ips == [(bytes([100, 64, 0, 1]), 32), (bytes([10, 0, 0, 0]), 8)]
    assert own.endpoints == [(bytes([192, 0, 2, 1]), 1), (b"\x20\x01\x0d\xb8" + bytes(11) + b"\1", 2)]
    assert own.home_derp == 7 and own.cap_map == {"new": [1], "old": None} and own.tags == ["tag:a"] and own.online is True
    assert own.key_expiry == 1893456000000 and own.last_seen is None and "Unknown" not in own.document
    assert repr(own) == "<Node 1 n1.tn.example.>"


def test_absent_allowed_ips_are_the_addresses_and_unsigned_peers_get_no_routes():
    netmap = NetworkMap()
    full = [node(2), node(3, AllowedIPs=[]), node(4, AllowedIPs=["0.0.0.0/0"], UnsignedPeerAPIOnly=True)]
    netmap.apply({"Node": node(1), "Peers": full})
    assert netmap.peers[2].allowed_ips == netmap.peers[2].addresses and netmap.peers[3].allowed_ips == []
    assert netmap.peers[4].allowed_ips == netmap.peers[4].addresses


def test_peers_replace_all_and_silence_every_other_delta():
    netmap = started(2, 3)
    changed = netmap.apply({"Peers": [node(3), node(4)], "PeersRemoved": [4], "OnlineChange": {"3": True}, "PeersChanged": [node(5)]})
    assert changed == {"peers"} and sorted(netmap.peers) == [3, 4] and netmap.peers[3].online is None and netmap.touched == {2, 4}


def test_empty_peers_never_empty_the_list():
    netmap = started(2)
    assert netmap.apply({"Peers": []}) == set() and sorted(netmap.peers) == [2]
    assert netmap.apply({"PeersRemoved": [2, 77]}) == {"peers"} and not netmap.peers


def test_order_of_deltas_in_one_response():
    netmap = started(2, 3)
    netmap.apply(
        {
            "PeersRemoved": [2],
            "PeersChanged": [node(2, Online=True)],  # removed first, then there again
            "OnlineChange": {"2": False, "99": True},
            "PeerSeenChange": {"3": True},
            "PeersChangedPatch": [{"NodeID": 2, "Online": True}],
        },
        wall_ms=1000,
    )
    assert netmap.peers[2].online is True and netmap.peers[3].last_seen == 1000 and 99 not in netmap.peers
    netmap.apply({"PeerSeenChange": {"3": False}})
    assert netmap.peers[3].last_seen is None


def test_seen_now_falls_back_to_the_control_time():
    netmap = started(2, ControlTime=SECOND.format(3))
    netmap.apply({"PeerSeenChange": {"2": True}})
    assert netmap.peers[2].last_seen == times.parse(SECOND.format(3)) == netmap.control_time


def test_patch_of_every_field():
    netmap = started(2)
    patch = {
        "NodeID": 2,
        "DERPRegion": 901,
        "Cap": 143,
        "CapMap": {"c": None},
        "Endpoints": ["192.0.2.9:9"],
        "Key": key(22),
        "DiscoKey": key(23, "discokey"),
        "Online": True,
        "LastSeen": SECOND.format(1),
        "KeyExpiry": SECOND.format(2),
    }
    assert netmap.apply({"PeersChangedPatch": [patch, None]}) == {"peers"}
    peer = netmap.peers[2]
    assert (peer.home_derp, peer.cap, peer.cap_map, peer.endpoints) == (901, 143, {"c": None}, [(bytes([192, 0, 2, 9]), 9)])
    assert (peer.key[-1], peer.disco_key[-1], peer.online) == (22, 23, True)
    assert (peer.last_seen, peer.key_expiry) == (times.parse(SECOND.format(1)), times.parse(SECOND.format(2)))
    assert netmap.apply({"PeersChangedPatch": [{"NodeID": 2, "DERPRegion": 0, "Cap": 0, "Key": None}]}) == set()
    assert netmap.apply({"PeersChangedPatch": [{"NodeID": 2, "Endpoints": []}]}) == {"peers"} and netmap.peers[2].endpoints == []


@pytest.mark.parametrize(
    ("online", "seen", "taken"), [(False, 4, False), (False, 5, False), (False, 6, True), (True, 4, True), (None, 4, True)]
)
def test_out_of_date_disco_keys(online, seen, taken):
    netmap = NetworkMap()
    netmap.apply({"Node": node(1), "Peers": [node(2, LastSeen=SECOND.format(5))]})
    patch = {"NodeID": 2, "DiscoKey": key(7, "discokey"), "Online": online, "LastSeen": SECOND.format(seen)}
    netmap.apply({"PeersChangedPatch": [patch]})
    assert (netmap.peers[2].disco_key[-1] == 7) is taken


def test_peers_without_id_or_key_are_left_out():
    netmap = started(2)
    netmap.apply({"PeersChanged": [node(0), node(5, Key=None), node(6, Key=encode_key("nodekey", bytes(32)))]})
    assert sorted(netmap.peers) == [2]
    netmap.apply({"PeersChangedPatch": [{"NodeID": 2, "Key": encode_key("nodekey", bytes(32))}]})
    assert netmap.peers[2].key[-1] == 2


def test_hostile_peer_cannot_spoil_the_map():
    hostinfo = {"Hostname": "x" * 5000, "OS": "\x1b[2J", "NetInfo": {"a": 1}, "Services": [1] * 5000}
    netmap = started(2)
    netmap.apply({"PeersChanged": [node(3, Endpoints=["?"] * 100 + [f"192.0.2.1:{n}" for n in range(1, 100)], Hostinfo=hostinfo)]})
    assert len(netmap.peers[3].endpoints) == 64 and netmap.peers[3].hostinfo == {"OS": "\ufffd[2J"}


def rules(netmap):
    return [rule["n"] for rule in netmap.packet_filter()]


def test_packet_filters():
    netmap = started(2)
    assert rules(netmap) == []
    assert netmap.apply({"PacketFilter": [{"n": 1}, {"n": 2}]}) == {"filter"} and rules(netmap) == [1, 2]
    assert netmap.apply({"PacketFilter": None, "PacketFilters": None}) == set() and rules(netmap) == [1, 2]
    netmap.apply({"PacketFilters": {"z": [{"n": 9}], "a": [{"n": 0}]}})
    assert rules(netmap) == [0, 1, 2, 9]  # in order of names: a, base, z
    netmap.apply({"PacketFilters": {"base": None}})
    assert rules(netmap) == [0, 9]
    netmap.apply({"PacketFilter": [{"n": 5}], "PacketFilters": {"base": [{"n": 6}]}})
    assert rules(netmap) == [0, 6, 9]
    netmap.apply({"PacketFilters": {"new": [{"n": 7}], "*": None}})
    assert rules(netmap) == [7]
    assert netmap.apply({"PacketFilter": []}) == {"filter"} and rules(netmap) == [7]
    assert netmap.apply({"PacketFilters": {"*": None}}) == {"filter"} and rules(netmap) == []


def region(number, **more):
    return {"RegionID": number, "RegionCode": f"r{number}", "Nodes": [{"Name": f"{number}a", "HostName": "d.example", **more}]}


def test_derp_map_deltas():
    first = {
        "Regions": {"900": region(900, IPv4="192.0.2.1", IPv6="none", DERPPort=444, STUNPort=-1, InsecureForTests=True), "901": None},
        "HomeParams": {"RegionScore": {"900": 0.5}},
        "omitDefaultRegions": True,
    }
    netmap = started(DERPMap=first)
    relay = netmap.derp_map.regions[900].nodes[0]
    assert (relay.host_name, relay.ipv4, relay.ipv6, relay.derp_port, relay.stun_port, relay.insecure) == (
        "d.example",
        "192.0.2.1",
        "none",
        444,
        -1,
        True,
    )
    assert sorted(netmap.derp_map.regions) == [900] and netmap.derp_map.scores == {900: 0.5}
    assert netmap.apply({"DERPMap": {"Regions": None, "HomeParams": {"RegionScore": {"900": 2}}}}) == {"derp"}
    assert (
        sorted(netmap.derp_map.regions) == [900] and netmap.derp_map.scores == {900: 2} and netmap.derp_map.document["omitDefaultRegions"]
    )
    assert netmap.apply({"DERPMap": {"Regions": {"1": region(1)}, "HomeParams": {}}}) == {"derp"}
    assert sorted(netmap.derp_map.regions) == [1] and netmap.derp_map.scores == {900: 2}
    assert (netmap.derp_map.regions[1].nodes[0].derp_port, netmap.derp_map.regions[1].nodes[0].stun_port) == (443, 3478)
    assert netmap.apply({"DERPMap": {}}) == set() and netmap.apply({"DERPMap": {"Regions": {}}}) == {"derp"} and not netmap.derp_map.regions


def test_users_dns_domain_health_and_messages():
    netmap = started(
        UserProfiles=[{"ID": 1, "LoginName": "a@x"}], Domain="one", Health=["bad"], DNSConfig={"Proxied": True, "Routes": {"x.": None}}
    )
    assert (
        netmap.users[1]["LoginName"] == "a@x"
        and netmap.dns["Proxied"]
        and netmap.dns["Routes"] == {"x.": []}
        and netmap.dns["Domains"] == []
    )
    assert netmap.apply({"UserProfiles": [{"ID": 2, "LoginName": "b@x"}], "Domain": "", "Health": None}) == {"users"}
    assert sorted(netmap.users) == [1, 2] and netmap.domain == "one" and netmap.health == ["bad"]
    assert netmap.apply({"Health": [], "Domain": "two"}) == {"health", "domain"} and netmap.health == []
    netmap.apply({"DisplayMessages": {"a": {"Title": "A", "Severity": "high"}, "b": {"Title": "B"}}})
    netmap.apply({"DisplayMessages": {"a": None, "c": {"Title": "C", "PrimaryAction": {"URL": "u"}}}})
    assert sorted(netmap.messages) == ["b", "c"] and netmap.messages["c"]["PrimaryAction"] == {"URL": "u", "Label": ""}
    netmap.apply({"DisplayMessages": {"d": {"Title": "D"}, "*": None}})
    assert sorted(netmap.messages) == ["d"]
    assert netmap.apply({"CollectServices": True}) == {"collect-services"} and netmap.collect_services


def test_pings_and_events():
    netmap = started(2)
    ping = {"URL": "http://gw/ping/1", "Types": "disco", "IP": "100.64.0.2"}
    assert netmap.apply({"KeepAlive": True, "PingRequest": ping}) == {"keep-alive", "ping"} and netmap.ping == ping
    assert netmap.apply({"PingRequest": ping}) == set() and netmap.ping is None
    assert netmap.apply({"PingRequest": dict(ping, URL="http://gw/ping/2")}) == {"ping"}
    assert netmap.apply({"PopBrowserURL": "http://x", "Debug": {"SleepSeconds": 1}}) == {"pop-browser", "debug"}
    assert netmap.events == {"PopBrowserURL": "http://x", "Debug": {"SleepSeconds": 1}}


def test_keepalive_changes_no_state():
    netmap = started(2)
    assert netmap.apply({"KeepAlive": True, "PeersRemoved": [2], "Domain": "x"}) == {"keep-alive"} and sorted(netmap.peers) == [2]


def test_restart_starts_empty_but_keeps_the_old_map_until_then():
    netmap = started(2, 3, Domain="one", PacketFilter=[{"n": 1}])
    netmap.restart()
    netmap.apply({"KeepAlive": True})
    with pytest.raises(PeerError):
        netmap.apply({"PeersChanged": [node(4)]})
    assert sorted(netmap.peers) == [2, 3] and rules(netmap) == [1]
    assert netmap.apply({"Node": node(1, MachineAuthorized=True), "Peers": [node(3), node(4)]}) == {"peers", "domain", "filter"}
    assert netmap.touched == {2, 4} and netmap.domain == "" and rules(netmap) == []


@pytest.mark.parametrize(
    "bad",
    [
        {"Peers": [node(3, Key="")]},
        {"Peers": [node(3, DiscoKey="discokey:00")]},
        {"PeersChanged": [node(3, Addresses=["100.64.0.3"])]},
        {"PeersChanged": [node(3, Addresses=["100.64.0.3/33"])]},
        {"PeersChanged": [node(3, ID=1 << 53)]},
        {"PeersChanged": [node(3, ID="3")]},
        {"PeersChanged": [node(3, KeyExpiry="soon")]},
        {"PeersChanged": [node(3, Online=1)]},
        {"PeersChanged": [7]},
        {"PeersChanged": {}},
        {"PeersRemoved": ["2"]},
        {"OnlineChange": {"x": True}},
        {"OnlineChange": {"2": 1}},
        {"PeersChangedPatch": [{"NodeID": 2, "Key": "nodekey:"}]},
        {"PeersChangedPatch": [{"NodeID": 2, "Endpoints": 5}]},
        {"Node": {"ID": 1}},
        {"DERPMap": {"Regions": {"x": {}}}},
        {"DERPMap": {"Regions": {"0": {}}}},
        {"DERPMap": {"Regions": {"1": region(1, IPv4="2001:db8::1")}}},
        {"DERPMap": {"Regions": {"1": region(1, DERPPort=70000)}}},
        {"DERPMap": {"HomeParams": {"RegionScore": {"1": "x"}}}},
        {"PacketFilter": [1]},
        {"PacketFilters": {"base": {}}},
        {"UserProfiles": [{"ID": "1"}]},
        {"DNSConfig": []},
        {"DisplayMessages": {"a": 1}},
        {"ControlTime": "now"},
        {"PingRequest": {"URL": 1}},
        {"Domain": "x" * 300},
        {"Health": [1]},
    ],
)
def test_malformed_response_changes_nothing(bad):
    netmap = started(2, DERPMap={"Regions": {"900": region(900)}})
    before = copy.deepcopy(netmap.save())
    with pytest.raises(PeerError):
        netmap.apply({"Domain": "changed", "OnlineChange": {"2": True}, **bad})
    assert netmap.save() == before


def test_bound_on_peers_counts_what_deltas_add():
    netmap = NetworkMap(peers_limit=3)
    netmap.apply({"Node": node(1), "Peers": [node(2), node(3)]})
    netmap.apply({"PeersChanged": [node(4)]})
    with pytest.raises(PeerError, match="at most 3"):
        netmap.apply({"PeersChanged": [node(5)]})
    with pytest.raises(PeerError):
        netmap.apply({"Peers": [node(number) for number in range(2, 6)]})
    assert sorted(netmap.peers) == [2, 3, 4]


def test_saved_map_is_json_and_loads_and_damage_is_told():
    more = {
        "UserProfiles": [{"ID": 1, "LoginName": "a"}],
        "PacketFilters": {"x": [{"n": 1}]},
        "Domain": "d",
        "DERPMap": {"Regions": {"900": region(900)}},
    }
    netmap = started(2, 3, DNSConfig={"Proxied": True}, ControlTime=SECOND.format(1), DisplayMessages={"a": {"Title": "t"}}, **more)
    saved = json.loads(json.dumps(netmap.save()))
    other = NetworkMap()
    other.load(saved)
    assert other.save() == netmap.save() and other.peers == netmap.peers and rules(other) == [1]
    with pytest.raises(PeerError):
        other.apply({"PeersRemoved": [2]})  # a new stream begins with Node
    for damaged in ({}, {**saved, "version": 9}, {**saved, "Peers": 5}, {**saved, "Node": {"ID": 0}}):
        with pytest.raises(LocalError):
            other.load(damaged)
    assert sorted(other.peers) == [2, 3]
    empty = NetworkMap()
    empty.load(NetworkMap().save())
    assert empty.self_node is None


# ---- fold(deltas) == full map: a plain model of the peers, each step told as some delta, compared with the map sent whole

FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "Online": st.booleans(),
        "LastSeen": st.integers(0, 9).map(SECOND.format),
        "HomeDERP": st.integers(1, 5),
        "Endpoints": st.lists(st.integers(1, 9).map("192.0.2.1:{}".format), max_size=3),
        "Cap": st.integers(100, 142),
        "KeyExpiry": st.integers(0, 9).map(SECOND.format),
        "Key": st.integers(100, 120).map(key),
        "CapMap": st.dictionaries(st.sampled_from("ab"), st.none(), max_size=2),
    },
)
STEP = st.tuples(st.sampled_from(["change", "remove", "patch", "online", "full", "restart"]), st.integers(2, 6), FIELDS)


def told(model, verb, number, values):
    """Change the model; the response that says so."""
    if verb == "change":
        model[number] = node(number, **values)
        return {"PeersChanged": [copy.deepcopy(model[number])]}
    if verb == "remove":
        model.pop(number, None)
        return {"PeersRemoved": [number]}
    if verb == "online":
        if number in model:
            model[number]["Online"] = values.get("Online", False)
        return {"OnlineChange": {str(number): values.get("Online", False)}}
    if verb == "patch":
        if number in model:
            model[number].update(values)
        names = {"HomeDERP": "DERPRegion"}
        return {"PeersChangedPatch": [dict({names.get(name, name): value for name, value in values.items()}, NodeID=number)]}
    model[number] = node(number, **values)
    return {"Node": node(1), "Peers": copy.deepcopy(list(model.values()))}


@given(st.lists(STEP, max_size=15), st.booleans())
def test_folded_deltas_are_the_full_map(steps, through_save):
    netmap, model = started(2, 3), {2: node(2), 3: node(3)}
    for verb, number, values in steps:
        if verb == "restart":
            netmap.restart()
        before = netmap.peers
        netmap.apply(json.loads(json.dumps(told(model, verb, number, values))))
        assert netmap.touched == {each for each in {*before, *netmap.peers} if before.get(each) != netmap.peers.get(each)}
        if through_save:
            saved = json.loads(json.dumps(netmap.save()))
            netmap = NetworkMap()
            netmap.load(saved)
            netmap._fresh = False  # the same stream goes on
    full = NetworkMap()
    full.apply({"Node": node(1), "Peers": list(model.values())})
    assert netmap.peers == full.peers


VALUE = (
    st.none() | st.booleans() | st.integers(-(1 << 65), 1 << 65) | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
)
NAMES = sorted(
    {
        *node(1),
        "Endpoints",
        "AllowedIPs",
        "KeyExpiry",
        "Online",
        "CapMap",
        "Tags",
        "Capabilities",
        "DERP",
        "LastSeen",
        "NodeID",
        "DERPRegion",
    }
)
RANDOM_NODE = st.one_of(VALUE, st.dictionaries(st.sampled_from(NAMES), VALUE, max_size=3).map(lambda more: node(2, **more)))
LISTS, MAPS = (
    ["Peers", "PeersChanged", "PeersChangedPatch", "PeersRemoved", "Health", "UserProfiles", "PacketFilter"],
    [
        "OnlineChange",
        "PeerSeenChange",
        "DERPMap",
        "DNSConfig",
        "PacketFilters",
        "DisplayMessages",
        "PingRequest",
        "Debug",
    ],
)
INNER = st.one_of(
    VALUE, st.dictionaries(st.sampled_from(["Regions", "2", "900", "*", "base", "Nodes", "Routes", "Resolvers", "URL"]), VALUE, max_size=3)
)


RANDOM_LISTS = st.dictionaries(st.sampled_from(LISTS), st.one_of(VALUE, st.lists(RANDOM_NODE, max_size=3)), max_size=3)
OUTER = st.one_of(VALUE, st.dictionaries(st.sampled_from(["2", "*", "Regions", "900"]), INNER))
RANDOM_MAPS = st.dictionaries(st.sampled_from([*MAPS, "Domain", "ControlTime", "KeepAlive"]), OUTER, max_size=3)


@given(RANDOM_LISTS, RANDOM_MAPS)
def test_random_responses_apply_wholly_or_not_at_all(lists, maps):
    netmap = started(2)
    before = copy.deepcopy(netmap.save())
    try:
        netmap.apply({**lists, **maps})
    except PeerError:
        assert netmap.save() == before
    else:
        NetworkMap().load(netmap.save())


def test_peers_may_come_as_json_and_equal_ones_are_kept():
    netmap = started(2, 3)
    before = netmap.peers
    netmap.restart()
    as_json = [json.dumps(node(number)).encode() for number in (2, 3)]
    netmap.apply({"Node": node(1, MachineAuthorized=True), "Peers": [as_json[0], None, as_json[1]]})
    assert all(netmap.peers[number] is before[number] for number in (2, 3)) and netmap.touched == set()
    for bad in ([b"[]"], [b"{"], [5], ["{}"]):
        with pytest.raises(PeerError):
            netmap.apply({"Peers": bad})
    assert sorted(netmap.peers) == [2, 3]


def test_a_saved_map_of_the_version_before_is_taken():
    netmap = started(2, 3)
    saved = netmap.save()
    other = NetworkMap()
    other.load({**saved, "version": 1, "Peers": [json.loads(each) for each in saved["Peers"]]})
    assert other.peers == netmap.peers
