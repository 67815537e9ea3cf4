"""Two processes with one machine key: what proves it, what does not, what the copy is told and what people see."""

import json

import pytest

from skerry_gateway.admin.tables import SHOWN
from skerry_gateway.control.twins import COPIES, MARKS, SHOWN_MS, Twins
from tests.gateway.control_bench import WALL, Client, Gateway, join


@pytest.fixture
def gateway():
    return Gateway()


def process(gateway, seed, started):
    """A connection of a process of that machine; each of its requests has the process's mark."""
    client = Client(gateway, seed)
    client.info = {"Hostname": client.hostname, "OS": "linux", "SkerryStarted": started}
    return client


def poll(client):
    """The status of the answer to a poll."""
    stream = client.stream(Hostinfo=client.info)
    return client.answers[stream][0]


def member(gateway, started="aa"):
    client = process(gateway, 1, started)
    assert not client.register(auth=gateway.key(), hostinfo={"SkerryStarted": started}).get("Error")
    assert poll(client) == 200
    return client


def test_a_restart_is_no_twin(gateway):
    member(gateway)
    for started in ("bb", "cc", "dd"):
        client = process(gateway, 1, started)
        assert client.register(hostinfo={"SkerryStarted": started})["MachineAuthorized"]
        assert poll(client) == 200
        assert client.answer("/machine/map", client.map_body(Hostinfo=client.info, OmitPeers=True))[0] == 200
    assert gateway.call("nodes list")["nodes"][0]["twin_ms"] is None


def test_a_late_word_on_an_old_connection_proves_nothing(gateway):
    old = member(gateway)
    new = process(gateway, 1, "bb")
    assert poll(new) == 200
    assert old.answer("/machine/map", old.map_body(Hostinfo=old.info, OmitPeers=True))[0] == 200
    assert new.session.closed is None
    assert gateway.call("nodes list")["nodes"][0]["twin_ms"] is None


def test_the_copy_is_told_and_the_original_is_not_disturbed(gateway):
    original = member(gateway)
    copy = process(gateway, 1, "bb")
    assert poll(copy) == 200  # as a restart would
    again = process(gateway, 1, "aa")
    assert poll(again) == 200
    assert copy.session.closed and "copy" in copy.session.closed
    back = process(gateway, 1, "bb")
    status, body = back.answer("/machine/map", back.map_body(Hostinfo=back.info, Stream=True))
    assert status == 409 and json.loads(body)["SkerryCopied"] is True
    stream = back.post("/machine/register", {"Version": 142, "NodeKey": back.map_body()["NodeKey"], "Hostinfo": back.info})
    assert back.answers[stream][0] == 409
    assert again.session.closed is None and original.node_key == again.node_key
    shown = gateway.call("nodes list")
    assert shown["nodes"][0]["twin_ms"] == gateway.coordinator.wall(gateway.now)
    assert "two devices use its keys" in SHOWN["nodes list"](shown, WALL + gateway.now)
    restarted = process(gateway, 1, "cc")  # the original, which may go on as ever
    assert poll(restarted) == 200


def test_official_copies_alternate_and_are_shown_but_not_put_out(gateway):
    one = join(gateway, 1)
    two = Client(gateway, 1)
    two.disco = bytes([9]) * 32
    for _ in range(3):
        two.connect()
        two.stream()
        one.connect()
        one.stream()
        assert one.session.closed is None and two.session.closed is None
    assert gateway.call("nodes list")["nodes"][0]["twin_ms"] is not None
    gateway.advance(SHOWN_MS + 1)
    assert gateway.call("nodes list")["nodes"][0]["twin_ms"] is None


def test_official_copies_that_keep_their_connections_are_noticed(gateway):
    one = join(gateway, 1)
    two = Client(gateway, 1)
    two.disco = bytes([9]) * 32
    two.stream()
    one.stream()
    assert gateway.call("nodes list")["nodes"][0]["twin_ms"] is None  # the first return may be a late one
    two.stream()
    one.stream()
    assert gateway.call("nodes list")["nodes"][0]["twin_ms"] is not None


def test_bounds_and_forgetting():
    twins = Twins()
    for number in range(1000):
        twins.heard(1, f"process {number}", number, WALL)
    assert len(twins._nodes[1].marks) == MARKS
    for number in range(3 * COPIES):
        twins.heard(2, "process original", 3 * number, WALL)
        twins.heard(2, f"process copy {number}", 3 * number + 1, WALL)
        assert twins.heard(2, "process original", 3 * number + 2, WALL) == [f"process copy {number}"]
    assert len(twins._nodes[2].copies) == COPIES
    twins.forget(2)
    assert not twins.is_copy(2, f"process copy {3 * COPIES - 1}") and twins.heard(2, "", 1, WALL) == []


@pytest.mark.parametrize("started", [None, 7, ["x"], {"a": 1}, "", "\0" * 9, "x" * 100_000])
def test_whatever_a_mark_is(gateway, started):
    client = member(gateway)
    other = process(gateway, 1, started)
    assert poll(other) == 200
    assert client.session.closed is None or "copy" not in client.session.closed
