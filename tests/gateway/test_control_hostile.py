"""What strangers and broken clients send: nothing raises, nothing grows without bound, the reason is said."""

import json
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from skerry_core.noise.control import ControlInitiator
from skerry_core.tailcfg.keys import encode_key
from skerry_gateway.control import hostinfo, registration
from skerry_gateway.control.changes import GRACE_MS
from skerry_gateway.control.coordinator import HANDSHAKE_MS, IDLE_MS, MAX_OF_MACHINE, MAX_OF_STRANGERS, STRANGER_IDLE_MS
from skerry_gateway.control.session import MAX_BODY, MAX_STREAMS
from skerry_gateway.store import Store, queries
from skerry_shim import crypto
from tests.gateway.control_bench import VERSION, WALL, Client, Gateway, join

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
NAMES = ["Version", "NodeKey", "DiscoKey", "Endpoints", "Hostinfo", "Stream", "OmitPeers", "Compress", "Auth", "Followup", "Expiry"]
INFO = ["Hostname", "OS", "RoutableIPs", "RequestTags", "Services", "NetInfo", "sshHostKeys", "PeerRelay"]


@pytest.mark.parametrize("data", [b"\0" * 101, b"GET / HTTP/1.1\r\n" * 10, bytes(range(101))])
def test_no_handshake_for_us(data):
    gateway = Gateway()
    session = gateway.coordinator.open(("192.0.2.1", 1), gateway.now)
    session.receive(data, gateway.now)
    assert session.closed and session.take()[:1] == b"\x03"  # an error message, not authenticated
    session.receive(b"more", gateway.now)
    assert session.take() == b"" and not gateway.coordinator.sessions


def test_handshake_made_for_another_gateway():
    gateway = Gateway()
    initiator = ControlInitiator(crypto, bytes([1] * 32), crypto.x25519_public(bytes([8] * 32)), VERSION, bytes([2] * 32))
    session = gateway.coordinator.open(None, gateway.now)
    session.receive(initiator.message, gateway.now)
    assert session.closed


def test_silence_before_the_handshake_and_idleness_after_it_end():
    gateway = Gateway()
    silent = gateway.coordinator.open(None, gateway.now)
    client, listener = Client(gateway, 1), join(gateway, 2)
    gateway.advance(HANDSHAKE_MS + 1)
    assert silent.closed == "no handshake within 10 seconds" and client.session.closed is None
    gateway.advance(2 * IDLE_MS)
    assert client.session.closed == "idle" and listener.session.closed is None


@given(st.binary(max_size=300), st.integers(0, 2**32))
def test_bit_flips_and_garbage_after_the_handshake(garbage, seed):
    gateway = bench()
    client = Client(gateway, 2)
    client.session.receive(client.transport.encode(garbage) if seed % 2 else garbage, gateway.now)
    client.session.take()
    client.close()
    gateway.clients.remove(client)


bodies = st.dictionaries(st.sampled_from(NAMES), json_values), st.dictionaries(st.sampled_from(INFO), json_values)


@given(st.sampled_from(["/machine/register", "/machine/map"]), *bodies)
def test_any_json_is_answered(path, body, info):
    gateway = bench()
    client = gateway.clients[0]
    status, _, _ = client.answers[client.post(path, {**client.map_body(Stream=False), "Hostinfo": info, **body})]
    assert status in (200, 404)
    json.dumps(gateway.call("nodes list"))


_BENCH = []


def bench():
    """One gateway for many examples, with a budget of requests that never ends."""
    if not _BENCH:
        gateway = Gateway()
        join(gateway, 1)
        gateway.first = gateway.node("host1")
        _BENCH.append(gateway)
    gateway = _BENCH[0]
    gateway.advance(1000)
    if gateway.coordinator.members.of_machine(gateway.first.machine_key) is None or gateway.clients[0].session.closed:
        _BENCH.clear()
        return bench()
    return gateway


def test_bodies_that_are_no_json_object():
    client = join(Gateway(), 1)
    for body in (b"", b"[]", b"nonsense", b"\xff", b"[" * 100_000):
        assert client.answer("/machine/map", body)[0] == 400
    assert client.answer("/machine/unknown", {})[0] == 501
    assert client.answer("/other", {})[0] == 404


def test_a_long_body_is_refused_before_it_is_whole():
    client = join(Gateway(), 1)
    stream = client.post("/machine/map", b" " * (MAX_BODY + 100_000))
    assert client.answers[stream][0] == 413 and client.session.closed is None
    assert client.session._requests == {}


def test_streams_and_requests_are_limited():
    gateway = Gateway()
    client = Client(gateway, 1)
    page = client.register()
    body = {"Version": VERSION, "NodeKey": encode_key("nodekey", client.node_key), "Followup": page["AuthURL"]}
    for _ in range(MAX_STREAMS - 1):
        client.post("/machine/register", body)
    assert {answer[0] for answer in client.answers.values()} == {200, 429}  # the later ones were told to come back later
    assert len(gateway.coordinator.sign_ins.open(gateway.coordinator.wall(gateway.now))[0].waiters) <= 8


def test_a_flood_of_resets_ends_the_connection():
    gateway = Gateway()
    client = Client(gateway, 1)
    for _ in range(3000):
        if client.session.closed:
            break
        client.http.cancel(client.http.request("POST", "/machine/map", {}, b"", end=False))
        client.session.receive(client.transport.encode(client.http.take()), gateway.now)
        client.session.take()
    assert "a second" in client.session.closed


def test_sign_in_pages_are_limited_for_each_remote():
    gateway = Gateway()
    for seed in range(registration.MAX_SIGN_INS_EACH + 5):
        Client(gateway, seed).register()
    assert len(gateway.coordinator.sign_ins.open(gateway.coordinator.wall(gateway.now))) == registration.MAX_SIGN_INS_EACH


def test_hostile_hostinfo_is_cut_down():
    gateway = Gateway()
    a, b = join(gateway, 1), join(gateway, 2)
    info = {
        "Hostname": "evil\n\x1b[2J" + "x" * 5000,
        "OS": ["list"],
        "RoutableIPs": ["0.0.0.0/0", "10.0.0.1/8", 7] + [f"10.{i}.0.0/16" for i in range(200)],
        "Services": [{"Proto": "peerapi4", "Port": 1}, {"Proto": 5}, "x", {"Proto": "tcp", "Port": 99999}] * 100,
        "sshHostKeys": ["k" * 1999] * 20,
        "NetInfo": {"PreferredDERP": 10**30},
    }
    status, _ = b.update(*(f"198.51.100.1:{port}" for port in range(1, 500)), "127.0.0.1:5", "0.0.0.0:1", "224.0.0.1:1", "x", hostinfo=info)
    assert status == 200
    peer = a.peers()[next(name for name in a.peers())].document
    shown = peer["Hostinfo"]
    assert "\x1b" not in shown["Hostname"] and len(shown["Hostname"]) <= 255 and shown["OS"] == ""
    assert len(peer["Endpoints"]) <= hostinfo.MAX_ENDPOINTS and "HomeDERP" not in peer
    assert len(json.dumps(gateway.coordinator.maps._records[2])) < 40_000
    assert len(gateway.coordinator.members.nodes[2].routes_advertised) <= hostinfo.MAX_ROUTES


@given(st.text(max_size=100))
def test_every_hostname_becomes_a_label(text):
    assert hostinfo.is_label(hostinfo.label(text))


@given(st.lists(st.text(alphabet="ab-", min_size=1, max_size=70), max_size=30))
def test_names_stay_unique_labels(wanted):
    taken = set()
    for text in wanted:
        name = hostinfo.unique(hostinfo.label(text), taken)
        assert hostinfo.is_label(name) and name not in taken
        taken.add(name)


@given(json_values)
def test_endpoints_routes_and_tags_take_anything(value):
    for function in (hostinfo.endpoints, hostinfo.routes, hostinfo.tags):
        assert isinstance(function(value), tuple)
        assert isinstance(function([value]), tuple)


def test_a_single_use_key_lets_one_of_many_in(tmp_path):
    """Sixteen threads, one key, a database on disk: validation and burning are one transaction."""
    store = Store.open(f"sqlite:///{tmp_path}/gateway.db")
    gateway = Gateway(store)
    key, network = gateway.key(), gateway.coordinator.members.network.id
    start, won, lost = threading.Barrier(16), [], []

    def race(number):
        material = random.Random(number)
        claim = registration.Claim(material.randbytes(32), material.randbytes(32), VERSION, {"Hostname": "h"}, False, ())
        start.wait()
        try:
            with store.write() as c:
                used = registration.burn(c, network, key, WALL + 1)
                admission = registration.by_key(gateway.coordinator.members, used, claim, WALL + 1)
                won.append(registration.admit(c, network, claim, admission, f"n{number}", WALL + 1))
        except registration.AdminError as error:
            lost.append(str(error))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and len(lost) == 15 and all("has been used" in words for words in lost)
    with store.read() as c:
        assert len(queries.nodes(c, network)) == 1
    store.close()


def test_a_key_is_not_burnt_when_the_node_cannot_be_made():
    gateway = Gateway()
    a = join(gateway, 1)
    key = gateway.key()
    assert "another machine" in Client(gateway, 2).register(auth=key, node_key=a.node_key)["Error"]
    assert not Client(gateway, 3).register(auth=key).get("Error")


def test_true_is_no_number_for_anybody():
    """In other nodes' maps `true` where a number belongs would void the whole map at clients that are strict."""
    gateway = Gateway()
    a, b = join(gateway, 1), join(gateway, 2)
    info = {"NetInfo": {"PreferredDERP": True}, "Services": [{"Proto": "peerapi4", "Port": True}]}
    assert b.update("198.51.100.1:5", Version=True, hostinfo=info)[0] == 200
    peer = a.peers()["host2"].document
    assert "HomeDERP" not in peer and "Services" not in peer["Hostinfo"] and type(peer["Cap"]) is int


@pytest.mark.parametrize("hostname", ["2", "0x", "007"])
def test_no_node_takes_the_number_of_another_for_its_name(hostname):
    gateway = Gateway()
    victim = join(gateway, 1, hostname)
    other = join(gateway, 2, "b")
    assert not gateway.coordinator.members.nodes[1].name.isdigit()
    assert gateway.call("nodes remove", node=2)["removed"] == "b"
    assert victim.node_key in gateway.coordinator.members.by_key and other.node_key not in gateway.coordinator.members.by_key
    with pytest.raises(registration.AdminError, match="no DNS label"):
        gateway.call("nodes rename", node=1, name="12")


def test_what_waits_for_a_person_is_small():
    gateway = Gateway()
    Client(gateway, 1).register(hostinfo={"Big": ["x" * 1000] * 100, "NetInfo": {"PreferredDERP": 900, "DERPLatency": {"x": 1}}})
    item = gateway.coordinator.sign_ins.open(gateway.coordinator.wall(gateway.now))[0]
    assert item.claim.info == {"Hostname": "host1", "OS": "linux", "NetInfo": {"PreferredDERP": 900}}


def test_connections_of_one_machine_are_limited():
    gateway = Gateway()
    a = join(gateway, 1)
    first = a.session
    for _ in range(MAX_OF_MACHINE):
        a.connect()
    assert first.closed == "too many connections" and a.session.closed is None
    assert len(gateway.coordinator.sessions) == MAX_OF_MACHINE


def test_strangers_connections_are_limited_and_short_and_do_not_touch_nodes():
    gateway = Gateway()
    a = join(gateway, 1)
    strangers = [Client(gateway, 100 + number) for number in range(MAX_OF_STRANGERS + 5)]
    assert sum(stranger.session.closed is None for stranger in strangers) <= MAX_OF_STRANGERS
    assert a.session.closed is None and strangers[-1].session.closed is None
    gateway.advance(2 * STRANGER_IDLE_MS + 1)
    assert all(stranger.session.closed for stranger in strangers) and a.session.closed is None
    assert list(gateway.coordinator.sessions) == [a.session] and len(gateway.coordinator._alike) == 1


def test_who_asks_for_whole_maps_and_reads_nothing_gets_no_more(monkeypatch):
    gateway = Gateway()
    a = join(gateway, 1)
    monkeypatch.setattr("skerry_gateway.control.session.ROOM", 1)
    a.reading = False
    assert a.session.room
    for _ in range(3):
        stream = a.http.request("POST", "/machine/map", {}, json.dumps(a.map_body()).encode())
        a._send()
    a.pull()
    assert a.answers[stream][0] == 429
    monkeypatch.setattr("skerry_gateway.control.session.MAX_UNREAD", 1)
    for _ in range(3):
        a.http.request("POST", "/nothing", {}, b"{}")
        a._send()
    assert "not read" in a.session.closed


class Refusing:
    """A store whose writes fail, as on a full disk."""

    def __init__(self, store):
        self.store, self.read = store, store.read

    def write(self):
        raise OperationalError("INSERT", {}, Exception("database or disk is full"))


def test_a_full_disk_drops_nobody_and_stops_no_timer():
    gateway = Gateway()
    a, b = join(gateway, 1), join(gateway, 2)
    gateway.coordinator.store = Refusing(gateway.store)
    assert a.update("198.51.100.1:5", hostinfo={"OS": "other"})[0] == 503
    b.close()
    gateway.advance(GRACE_MS + 1)
    assert not a.peers()["host2"].online and "disk is full" in gateway.coordinator.trouble
    before = len(a.maps)
    gateway.advance(2 * 60_000)
    assert len(a.maps) > before and a.session.closed is None  # keepalives go on
    gateway.coordinator.stop(gateway.now)
    gateway.coordinator.store = gateway.store
    assert a.session.closed == "the gateway stops"


def test_clock_jumps_do_not_multiply_timers():
    gateway = Gateway()
    gateway.call("network set", key_expiry="30d")
    join(gateway, 1)
    for step in range(50):
        gateway.coordinator.clock(WALL + step * 1000, gateway.now)
    gateway.advance(31 * 86400_000)
    looks = [entry for entry in gateway.coordinator._timers._heap if "_expir" in entry[2][0].__name__]
    assert len(looks) <= 1 and not gateway.coordinator.members.compiled.nodes


def test_nodes_and_audit_lines_are_bounded(monkeypatch):
    monkeypatch.setattr(registration, "MAX_NODES", 2)
    monkeypatch.setattr(queries, "MAX_AUDIT", 3)
    gateway = Gateway()
    key = gateway.key(reusable=True)
    first = Client(gateway, 1)
    answers = [client.register(auth=key).get("Error") for client in (first, Client(gateway, 2), Client(gateway, 3))]
    assert answers[:2] == [None, None] and "has 2 nodes already" in answers[2]
    first.new_key()
    assert not first.register(auth=key).get("Error")  # who is in can renew
    with gateway.store.read() as c:
        lines = queries.audit(c, 1)
    assert len(lines) == 3 and lines[0]["verb"] == "node join"
