"""tailcfg on both interpreters: keys, times, map stream, and a network map through a full response and deltas."""

import json

from vectorfile import raises

from skerry_core.errors import LocalError, PeerError
from skerry_core.tailcfg import map as mapping
from skerry_core.tailcfg import register, times
from skerry_core.tailcfg.keys import decode_key, encode_key
from skerry_core.tailcfg.netmap import NetworkMap

KEY = bytes(range(32))


def node(number, **more):
    document = {"ID": number, "Name": "n%d.tn.example." % number, "User": 1, "Key": encode_key("nodekey", bytes([number]) * 32)}
    document.update(more)
    return document


def check_keys():
    text = encode_key("mkey", KEY)
    assert text == "mkey:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" and decode_key("mkey", text) == KEY
    for bad in ("", "mkey:", text + "0", text[:-1], text[:-1] + "g", "nodekey" + text[4:], None, 5):
        raises(PeerError, decode_key, "mkey", bad)
    raises(LocalError, encode_key, "mkey", b"short")


def check_times():
    for text, millis in (
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-23T15:02:00.5Z", 1795446120500),
        ("2000-02-29T23:59:59.999999999Z", 951868799999),
        ("2024-02-29T01:00:00+01:00", 1709164800000),
        ("1969-12-31T23:59:59Z", -1000),
        ("9999-12-31T23:59:59Z", 253402300799000),
    ):
        assert times.parse(text) == millis, text
        assert times.parse(times.format(millis)) == millis, text
    assert times.parse(times.ZERO) is None and times.format(None) == times.ZERO and times.format(123000) == "1970-01-01T00:02:03Z"
    for bad in (
        "2025-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00.Z",
        "x" * 20,
    ):
        raises(PeerError, times.parse, bad)


def check_register():
    assert register.request(142, KEY, {"Hostname": "h"}, auth_key="k")["Auth"] == {"AuthKey": "k"}
    answer = register.decode_response(
        b'{"User":{"ID":7,"DisplayName":"U"},"Login":{"LoginName":"u@x"},"AuthURL":"http://x/a","Unknown":[1]}'
    )
    assert (answer.user_id, answer.display_name, answer.login_name, answer.auth_url, answer.registered) == (
        7,
        "U",
        "u@x",
        "http://x/a",
        False,
    )
    raises(PeerError, register.decode_response, b'{"AuthURL":5}')


def check_map_stream():
    stream = mapping.MapStream(limit=100)
    data = mapping.frame(b'{"KeepAlive":true}') + mapping.frame(json.dumps({"Domain": "x"}).encode())
    got = []
    for start in range(0, len(data), 5):
        got.extend(stream.feed(data[start : start + 5]))
    assert got == [{"KeepAlive": True}, {"Domain": "x"}]
    raises(PeerError, mapping.MapStream(limit=100).feed, b"\x65\x00\x00\x00")
    raises(PeerError, mapping.MapStream().feed, mapping.frame(b"[1]"))
    raises(PeerError, mapping.MapStream().feed, mapping.frame(b"{"))


def check_network_map():
    netmap = NetworkMap()
    raises(PeerError, netmap.apply, {"Peers": [node(2)]})
    changed = netmap.apply(
        {"Node": node(1, Addresses=["100.64.0.1/32"], MachineAuthorized=True), "Peers": [node(2), node(3)], "Domain": "tn"}
    )
    assert changed == {"self", "peers", "domain"} and netmap.touched == {2, 3}
    assert netmap.self_node.allowed_ips == [(bytes([100, 64, 0, 1]), 32)] and netmap.self_node.machine_authorized
    patch = {"NodeID": 3, "Endpoints": ["192.0.2.1:41641", "bad", "[2001:db8::1]:1"], "DERPRegion": 900, "Online": True}
    assert netmap.apply({"PeersRemoved": [2], "PeersChangedPatch": [patch, {"NodeID": 9, "Cap": 1}]}) == {"peers"}
    assert sorted(netmap.peers) == [3] and netmap.peers[3].home_derp == 900 and netmap.peers[3].online is True
    assert netmap.peers[3].endpoints == [(b"\xc0\x00\x02\x01", 41641), (b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01", 1)]
    assert netmap.apply({"PeersChanged": [netmap.peers[3].document]}) == set()
    netmap.apply({"PacketFilter": [{"a": 1}], "PacketFilters": {"x": [{"b": 1}], "aa": [{"c": 1}], "*": None}})
    assert netmap.packet_filter() == [{"c": 1}, {"b": 1}]
    saved = json.loads(json.dumps(netmap.save()))
    other = NetworkMap()
    other.load(saved)
    assert other.save() == netmap.save() and other.peers == netmap.peers
    raises(LocalError, other.load, {"version": 3})
