"""The coordinator through real handshakes, HTTP/2 and map streams: registration, maps, deltas, removal, identity."""

import json

import pytest

from skerry_core.tailcfg.keys import encode_key
from skerry_gateway.admin import AdminError
from skerry_gateway.control import Coordinator
from skerry_gateway.control.coordinator import GRACE_MS, KEEPALIVE_MS, KEEPALIVE_SPREAD_MS
from skerry_gateway.control.enrolment import EPHEMERAL_MS
from skerry_gateway.control.registration import SIGN_IN_MS
from skerry_shim import crypto
from tests.gateway.control_bench import DERP, VERSION, WALL, Client, Gateway, Random, allowed, join


@pytest.fixture
def gateway():
    return Gateway()


def token_of(answer):
    return answer["AuthURL"].rpartition("/")[2]


# joining


def test_first_message_has_all_a_client_needs(gateway):
    client = join(gateway, 1, "Camera-1")
    first = client.maps[0]
    own = first["Node"]
    assert own["Name"] == "camera-1.skerry.internal." and own["MachineAuthorized"] is True
    assert own["Addresses"] == ["100.64.0.1/32", "fd7a:115c:a1e0::6440:1/128"] == own["AllowedIPs"]
    assert own["Machine"] == encode_key("mkey", crypto.x25519_public(client.machine_private))
    assert first["DERPMap"] == DERP and first["Debug"] == {"DisableLogTail": True}
    assert first["DNSConfig"] == {"Proxied": True, "Domains": ["skerry.internal"]}
    assert first["UserProfiles"] == [{"ID": own["User"], "LoginName": "owner@skerry.internal", "DisplayName": "Owner"}]
    assert "Peers" not in first and first["PacketFilters"]["base"]
    assert first["ControlTime"].startswith("2026-")


def test_peers_appear_with_disco_key_and_endpoints_and_profiles_come_first(gateway):
    a, b = join(gateway, 1), join(gateway, 2)
    peer = a.peers()["host2"]
    assert peer.disco_key == b.disco and peer.key == b.node_key
    assert [(bytes(address), port) for address, port in peer.endpoints] == [(bytes([203, 0, 113, 3]), 41641)]
    gateway.call("users create", name="ana")
    c = join(gateway, 3, user="ana", tags=None)
    assert "host1" not in c.peers() and "host3" not in a.peers()  # each their own


def test_sign_in_page_is_polled_until_a_person_decides(gateway):
    client = Client(gateway, 1)
    answer = client.register()
    token = token_of(answer)
    assert answer["AuthURL"] == f"http://localhost:8080/register/{token}"
    assert client.register() == answer  # a retry gets the same page
    waiting = gateway.coordinator.pending(token, gateway.now)
    assert waiting["hostname"] == "host1" and len(waiting["code"]) == 9
    stream = client.register(followup=answer["AuthURL"])
    assert isinstance(stream, int)
    gateway.coordinator.authorize(token, 1, gateway.now)
    gateway.deliver()
    done = client.result(stream)
    assert done["MachineAuthorized"] and not done["AuthURL"] and done["Login"]["LoginName"] == "owner@skerry.internal"
    client.stream()
    assert client.network.self_node.name == "host1.skerry.internal."
    with pytest.raises(AdminError, match="no longer open"):
        gateway.coordinator.authorize(token, 1, gateway.now)


def test_sign_in_page_ends_and_gives_a_fresh_one(gateway):
    client = Client(gateway, 1)
    first = client.register()
    stream = client.register(followup=first["AuthURL"])
    gateway.advance(SIGN_IN_MS + 1000)
    fresh = client.result(stream)
    assert fresh["AuthURL"] != first["AuthURL"] and gateway.coordinator.pending(token_of(first), gateway.now) is None
    assert gateway.coordinator.pending(token_of(fresh), gateway.now)


def test_declined_sign_in_is_an_error(gateway):
    client = Client(gateway, 1)
    answer = client.register()
    stream = client.register(followup=answer["AuthURL"])
    gateway.coordinator.decline(token_of(answer), gateway.now)
    gateway.deliver()
    assert client.result(stream)["Error"] == "the sign-in was declined"


def test_another_machine_cannot_take_a_sign_in_over(gateway):
    client, thief = Client(gateway, 1), Client(gateway, 2)
    answer = client.register()
    stolen = thief.register(followup=answer["AuthURL"])
    assert stolen["AuthURL"] != answer["AuthURL"]
    gateway.coordinator.authorize(token_of(answer), 1, gateway.now)
    assert thief.register(followup=answer["AuthURL"])["AuthURL"]


def test_restart_with_the_current_key_is_welcome_even_with_a_used_key(gateway):
    key = gateway.key()
    client = Client(gateway, 1)
    assert not client.register(auth=key).get("Error")
    node_id = gateway.node("host1").id
    assert not client.register(auth=key).get("Error")  # trap 24
    client.close()
    client.connect()
    answer = client.register()
    assert answer["MachineAuthorized"] and not answer["AuthURL"] and gateway.node("host1").id == node_id
    client.new_key()
    assert "has been used" in client.register(auth=key)["Error"]


def test_a_new_key_keeps_id_name_and_addresses_and_withdraws_the_old(gateway):
    a, b = join(gateway, 1), join(gateway, 2)
    before, old_key = gateway.node("host2"), b.node_key
    b.new_key()
    assert not b.register(auth=gateway.key(), OldNodeKey=encode_key("nodekey", old_key)).get("Error")
    after = gateway.node("host2")
    assert (after.id, after.ipv4, after.ipv6) == (before.id, before.ipv4, before.ipv6) and after.node_key == b.node_key
    assert gateway.withdrawn == [old_key]
    assert not gateway.coordinator.relay_allowed(old_key) and gateway.coordinator.relay_allowed(b.node_key)
    assert a.peers()["host2"].key == b.node_key


def test_rotation_without_a_person_asks_for_one(gateway):
    client = join(gateway, 1)
    old = client.node_key
    client.new_key()
    assert client.register(OldNodeKey=encode_key("nodekey", old))["AuthURL"]
    assert gateway.node("host1").node_key == old


def test_logout_ends_the_key_and_a_key_in_the_request_does_not_undo_it(gateway):
    a, b = join(gateway, 1), join(gateway, 2)
    key = gateway.key(reusable=True)
    answer = b.register(auth=key, Expiry="1970-01-01T00:02:03Z")
    assert answer["NodeKeyExpired"] and gateway.withdrawn == [b.node_key]
    assert a.peers() == {}
    assert gateway.node("host2").expires_ms == gateway.coordinator.wall(gateway.now)  # not 1970: trap 15
    assert b.register()["NodeKeyExpired"]
    assert not b.register(auth=key).get("Error") and "host2" in a.peers()


def test_expiry_still_to_come_is_refused(gateway):
    client = join(gateway, 1)
    assert "only a time in the past" in client.register(Expiry="2199-01-01T00:00:00Z")["Error"]
    assert "not a time" in client.register(Expiry="soon")["Error"]
    assert not client.register(Expiry="0001-01-01T00:00:00Z").get("Error")


def test_key_expiry_ends_access_on_time(gateway):
    gateway.call("network set", key_expiry="1h")
    a, b = join(gateway, 1), join(gateway, 2)
    gateway.advance(1800_000)
    gateway.call("network set", key_expiry="180d")
    a.new_key()
    assert not a.register(auth=gateway.key()).get("Error")
    a.stream()
    assert "host2" in a.peers()
    gateway.advance(1800_000 + 50)
    assert a.peers() == {} and b.node_key in gateway.withdrawn and not gateway.coordinator.relay_allowed(b.node_key)
    assert b.register()["NodeKeyExpired"]
    assert b.network.packet_filter() == [] and b.peers() == {}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ("unknown", "not known here"),
        ("revoked", "was revoked"),
        ("expired", "expired at 2026-"),
        ("used", "has been used"),
    ],
)
def test_bad_keys_are_refused_with_a_reason_and_not_repeated_back(gateway, make, words):
    key = {"revoked": revoked, "expired": expired, "used": used, "unknown": lambda _: "skey-unknown"}[make](gateway)
    answer = Client(gateway, 9).register(auth=key)
    assert words in answer["Error"] and key not in answer["Error"]
    assert all(node.hostname != "host9" for node in gateway.coordinator.members.nodes.values())


def revoked(gateway):
    made = gateway.call("keys create", user="owner")
    gateway.call("keys revoke", id=made["id"])
    return made["key"]


def expired(gateway):
    key = gateway.key(expires="1m", reusable=True)
    gateway.advance(60_000)
    return key


def used(gateway):
    key = gateway.key()
    Client(gateway, 8).register(auth=key)
    return key


def test_tagged_nodes_belong_to_their_tags_and_do_not_expire(gateway):
    client = join(gateway, 1, tags=["tag:cam"])
    node = gateway.node("host1")
    assert node.user_id is None and node.tags == ("tag:cam",) and node.expires_ms is None
    assert client.maps[0]["Node"]["Tags"] == ["tag:cam"] and "KeyExpiry" not in client.maps[0]["Node"]
    assert client.maps[0]["UserProfiles"][0]["LoginName"] == "tagged-devices"


def test_requested_tags_need_the_right_to_give_them(gateway):
    gateway.call("users create", name="ana")
    wish = {"RequestTags": ["tag:cam"]}
    assert "not permitted" in Client(gateway, 1).register(auth=gateway.key(user="ana"), hostinfo=wish)["Error"]
    assert not Client(gateway, 2).register(auth=gateway.key(), hostinfo=wish).get("Error")
    assert gateway.node("host2").tags == ("tag:cam",)
    assert "does not carry" in Client(gateway, 3).register(auth=gateway.key(tags=["tag:x"]), hostinfo=wish)["Error"]


def test_approval_holds_people_and_not_keys(gateway):
    gateway.call("network set", approval=True)
    gateway.call("users create", name="ana")
    a = join(gateway, 1, user="ana")
    b = Client(gateway, 2)
    ana = gateway.coordinator.members.of_machine(crypto.x25519_public(a.machine_private)).user_id
    gateway.coordinator.authorize(token_of(b.register()), ana, gateway.now)
    b.stream()
    assert b.maps[0]["Node"]["MachineAuthorized"] is False and b.peers() == {} == a.peers()
    assert not gateway.coordinator.relay_allowed(b.node_key)
    gateway.call("nodes approve", node="host2")
    assert b.network.self_node.document["MachineAuthorized"] is True
    assert "host1" in b.peers() and "host2" in a.peers() and gateway.coordinator.relay_allowed(b.node_key)


def test_ephemeral_nodes_go_when_they_stay_away_or_log_out(gateway):
    a, b, c = join(gateway, 1), join(gateway, 2, ephemeral=True), join(gateway, 3, ephemeral=True)
    c.register(Expiry="1970-01-01T00:02:03Z")
    assert set(a.peers()) == {"host2"}
    b.close()
    gateway.advance(EPHEMERAL_MS - 60_000)
    assert "host2" in a.peers()
    gateway.advance(120_000)
    assert a.peers() == {} and len(gateway.coordinator.members.nodes) == 1


# names and addresses


def test_names_are_labels_and_collisions_are_solved(gateway):
    wanted = ["Kamera im Garten", "kamera-im-garten", "KAMERA im.garten", "\u2603\u2603", "localhost", "-a-", "x" * 80, "$(reboot)"]
    for seed, name in enumerate(wanted):
        Client(gateway, seed, name).register(auth=gateway.key())
    names = [gateway.coordinator.members.nodes[i + 1].name for i in range(len(wanted))]
    assert names == ["kamera-im-garten", "kamera-im-garten-1", "kamera-im", "node", "node-1", "a", "x" * 63, "reboot"]


def test_a_new_hostname_renames_unless_an_administrator_chose(gateway):
    a, b = join(gateway, 1), join(gateway, 2)
    b.hostname = "garage"
    b.update()
    assert "garage" in a.peers()
    gateway.call("nodes rename", node="garage", name="gate")
    assert "gate" in a.peers() and b.network.self_node.name == "gate.skerry.internal."
    b.hostname = "other"
    b.update()
    assert "gate" in a.peers()


# maps


def test_online_has_a_grace_and_flapping_is_not_told(gateway):
    a, b = join(gateway, 1), join(gateway, 2)
    count = len(a.maps)
    b.close()
    gateway.advance(GRACE_MS - 1000)
    b.connect().stream()
    gateway.advance(2 * GRACE_MS)
    assert a.peers()["host2"].document["Online"] is True and len(a.maps) == count
    b.close()
    gateway.advance(GRACE_MS + 10)
    assert a.peers()["host2"].document["Online"] is False
    assert a.maps[-1]["PeersChangedPatch"][0].keys() == {"NodeID", "Online", "LastSeen"}


def test_late_cleanup_of_an_old_stream_does_not_count(gateway):
    a, b = join(gateway, 1), join(gateway, 2)
    old = b.session
    b.connect()
    b.stream()
    old.close(gateway.now)
    gateway.advance(3 * GRACE_MS)
    assert a.peers()["host2"].document["Online"] is True


def test_a_second_stream_replaces_the_first(gateway):
    a = join(gateway, 1)
    first = max(a.streams)
    a.stream()
    assert first in a.ended and len(gateway.coordinator.maps.streams) == 1
    join(gateway, 2)
    assert "host2" in a.peers()


def test_streaming_body_does_not_overwrite_fresher_updates(gateway):
    a, b = join(gateway, 1), join(gateway, 2)
    disco = b.disco
    b.disco = bytes(31) + b"\x05"
    b.stream(Endpoints=["198.51.100.9:9"])
    assert a.peers()["host2"].disco_key == disco
    gateway.coordinator.live[gateway.node("host2").id].disco_key = bytes(32)  # as after a restart of the gateway
    b.stream()
    assert a.peers()["host2"].disco_key == b.disco


def test_endpoint_changes_are_patches_and_only_for_those_who_see_it(gateway):
    gateway.call("users create", name="ana")
    a, b, c = join(gateway, 1), join(gateway, 2), join(gateway, 3, user="ana")
    counts = len(a.maps), len(b.maps), len(c.maps)
    b.update("198.51.100.7:1234", "[2001:db8::7]:1234", hostinfo={"NetInfo": {"PreferredDERP": 900}})
    assert a.maps[-1]["PeersChangedPatch"] == [{"NodeID": 2, "Endpoints": ["198.51.100.7:1234", "[2001:db8::7]:1234"], "DERPRegion": 900}]
    assert (len(a.maps), len(b.maps), len(c.maps)) == (counts[0] + 1, counts[1], counts[2])


def test_keepalives_come_within_a_minute_and_are_the_same_bytes(gateway):
    a = join(gateway, 1)
    count = len(a.maps)
    for _ in range(5):
        gateway.advance(KEEPALIVE_MS + KEEPALIVE_SPREAD_MS)
        assert a.maps[-1] == {"KeepAlive": True}
    assert 5 <= len(a.maps) - count <= 6


def test_plain_frames_for_compress_none(gateway):
    a = join(gateway, 1)
    a.stream(Compress="")
    assert a.network.self_node.name == "host1.skerry.internal."
    join(gateway, 2)
    assert "host2" in a.peers()


def test_one_shot_map(gateway):
    a, _ = join(gateway, 1), join(gateway, 2)
    status, body = a.answer("/machine/map", a.map_body(Stream=False, OmitPeers=False, Compress=""))
    assert status == 200 and int.from_bytes(body[:4], "little") == len(body) - 4
    assert [peer["ID"] for peer in json.loads(body[4:])["Peers"]] == [2]


def test_a_subnet_route_needs_approval_and_has_one_carrier(gateway):
    info = {"RoutableIPs": ["10.9.0.0/24", "10.9.0.1/8", "nonsense"]}
    a, b, c = join(gateway, 1), join(gateway, 2), join(gateway, 3)
    b.update(hostinfo=info)
    c.update(hostinfo=info)
    assert allowed(a, "host2") == a.peers()["host2"].document["Addresses"]
    gateway.call("nodes approve", node="host2", routes=["10.9.0.0/24"])
    gateway.call("nodes approve", node="host3", routes=["10.9.0.0/24"])
    with pytest.raises(AdminError, match="host3 does not advertise"):
        gateway.call("nodes approve", node="host3", routes=["10.0.0.0/8"])
    assert "10.9.0.0/24" in allowed(a, "host2") and "10.9.0.0/24" not in allowed(a, "host3")
    b.close()
    gateway.advance(GRACE_MS + 10)
    assert "10.9.0.0/24" not in allowed(a, "host2") and "10.9.0.0/24" in allowed(a, "host3")


# removal


def test_removal_cuts_access_at_once(gateway):
    a, b = join(gateway, 1), join(gateway, 2)
    stream = max(b.streams)
    gateway.call("nodes remove", node="host2")  # no time passes
    assert a.peers() == {} and a.maps[-1]["PeersRemoved"] == [2]
    assert all("100.64.0.2" not in rule["SrcIPs"] for rule in a.network.packet_filter())
    assert gateway.withdrawn == [b.node_key] and not gateway.coordinator.relay_allowed(b.node_key)
    assert b.maps[-1]["Node"]["KeyExpiry"].startswith("1970-") and b.maps[-1]["PeersRemoved"] == [1]
    assert b.network.packet_filter() == [] and stream in b.ended
    assert b.answer("/machine/map", b.map_body(Stream=True)) == (404, b"node not found")
    assert b.register()["AuthURL"]


def test_addresses_and_ids_are_not_reissued(gateway):
    b = join(gateway, 2)
    gateway.call("nodes remove", node="host2")
    assert not b.register(auth=gateway.key()).get("Error")
    node = gateway.node("host2")
    assert node.id == 2 and node.ipv4 == "100.64.0.2"


# the machine is the Noise key


def test_a_foreign_node_key_is_like_an_unknown_one(gateway):
    a, b = join(gateway, 1), join(gateway, 2)
    stranger = Client(gateway, 7)
    unknown = encode_key("nodekey", bytes([9] * 32))
    before = gateway.coordinator.live[1].endpoints
    for client in (stranger, b):
        for fields in ({"Stream": True}, {"OmitPeers": True, "Endpoints": ["198.51.100.66:6"]}, {"Stream": False}):
            foreign = client.answer("/machine/map", client.map_body(NodeKey=encode_key("nodekey", a.node_key), **fields))
            assert foreign == client.answer("/machine/map", client.map_body(NodeKey=unknown, **fields)) == (404, b"node not found")
    assert gateway.coordinator.live[1].endpoints == before
    assert stranger.register(node_key=a.node_key)["AuthURL"]
    assert stranger.register(node_key=a.node_key, Expiry="1970-01-01T00:02:03Z")["NodeKeyExpired"]
    assert not gateway.node("host1").expired(gateway.coordinator.wall(gateway.now)) and gateway.withdrawn == []
    assert "belongs to another machine" in stranger.register(auth=gateway.key(), node_key=a.node_key)["Error"]


# state


def test_a_restarted_coordinator_knows_the_network(gateway):
    a, b = join(gateway, 1), join(gateway, 2)
    gateway.coordinator.stop(gateway.now)
    gateway.coordinator = Coordinator(gateway.store, bytes([7] * 32), crypto, Random(b"other"), DERP, gateway.now, WALL + 5000)
    for client in (a, b):
        client.connect()
        assert not client.register().get("AuthURL")
        client.stream()
    assert a.peers()["host2"].disco_key == b.disco and a.network.self_node.document["ID"] == 1
    assert gateway.node("host1").last_seen_ms == WALL


def test_what_was_remembered_bridges_a_restart_and_gives_way_to_the_node():
    gateway = Gateway()
    a, b = join(gateway, 1), join(gateway, 2)
    kept = json.loads(json.dumps(gateway.coordinator.remember()))
    for data, wanted in ((kept, b.disco), ({"2": {"disco": 5, "endpoints": [7], "home": "x", "hostinfo": []}}, bytes(32)), ([], bytes(32))):
        gateway.coordinator = Coordinator(gateway.store, bytes([7] * 32), crypto, Random(b"other"), DERP, gateway.now, WALL)
        gateway.coordinator.recall(data)
        a.connect().stream()  # the other has not come back yet
        assert a.peers()["host2"].disco_key == wanted and a.peers()["host2"].document["Online"] is False
    gateway.coordinator.recall(kept)
    b.disco = bytes(31) + b"\x07"  # restarted meanwhile
    b.connect().stream()
    assert a.peers()["host2"].disco_key == b.disco


def test_settings_reach_connected_nodes(gateway):
    a, b = join(gateway, 1), join(gateway, 2)
    gateway.call("network set", suffix="example.net")
    assert a.network.self_node.name == "host1.example.net." and a.network.dns["Domains"] == ["example.net"]
    assert a.network.peers[2].name == "host2.example.net."
    other = {"Regions": {"901": {"RegionID": 901, "RegionCode": "x", "RegionName": "X", "Nodes": []}}}
    gateway.coordinator.set_derp_map(other, gateway.now)
    gateway.deliver()
    assert a.maps[-1]["DERPMap"] == other and b.maps[-1]["DERPMap"] == other
    gateway.call("policy set", text='{"acls": []}')
    assert a.peers() == {} and a.network.packet_filter() == []
    gateway.call("policy set", text="{}")
    assert "host2" in a.peers()


def test_version_too_old_is_told_to_update(gateway):
    assert "update it" in Client(gateway, 1).register(Version=90)["Error"]
    assert VERSION >= 113
