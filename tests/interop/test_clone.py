"""State that was copied to a second machine: on another board it never speaks with the old keys; where boards cannot be told apart the
gateway notices, the copy becomes a new device that waits, and the original keeps its keys, its name and its pings."""

import itertools
import re
import shutil
import time

import pytest

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import Gateway, Skerryd, Tailscaled

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


class Board(Skerryd):
    """A skerryd on a board with that serial number."""

    serial = "one"

    def env(self) -> dict[str, str]:
        return {"SKERRY_BOARD_ID": self.serial}


def copied(original: Skerryd | Tailscaled, copy: Skerryd | Tailscaled) -> None:
    """What `dd` of the card does, while the original runs."""
    shutil.rmtree(copy.state)
    shutil.copytree(original.state, copy.state, ignore=lambda _folder, names: [name for name in names if name == "lock"])


def longest_gap(node: Skerryd, since: float) -> float:
    """Seconds without an answer to keep_pinging() since then."""
    text = (node.host.lab.path / f"{node.name}-ping.log").read_text(errors="replace")
    stamps = [float(stamp) for stamp in re.findall(r"^\[([\d.]+)\] \d+ bytes from", text, re.M)]
    inside = [since, *(stamp for stamp in stamps if stamp > since), time.time()]
    return max(later - earlier for earlier, later in itertools.pairwise(inside))


@pytest.fixture
def pair(lab: Lab, gateway: Gateway) -> list[Board]:
    made = []
    for name in ("camera", "desk"):
        node = Board(lab.behind(lab.router(f"r{name}"), name), name)
        node.serial = name
        node.start()
        node.up(gateway.url, gateway.key())
        made.append(node)
    made[1].reaches(made[0].address)
    until("the peer is on the card", lambda: b"desk.skerry" in (made[0].state / "state.json").read_bytes(), 30)
    return made


def admitted(gateway: Gateway, copy: Board) -> None:
    """The copy waits at a sign-in page of its own, is let in under another name, and works."""
    until("the copy waits for approval", lambda: copy.own_status()["auth_url"], 60)
    shown = copy.own_status()
    assert shown["state"] == "NeedsLogin"
    waiting = gateway.cli("nodes", "list")["pending"]
    assert [item["hostname"] for item in waiting] == ["camera"]
    gateway.cli("nodes", "approve", waiting[0]["code"], "--user", "owner")
    until("the copy is a device of its own", lambda: copy.own_status()["state"] == "Running", 30)
    assert sorted(node["name"] for node in gateway.nodes()) == ["camera", "camera-1", "desk"]


def test_a_copy_on_another_board_never_uses_the_old_keys(pair: list[Board], lab: Lab, gateway: Gateway) -> None:
    camera, desk = pair
    key = camera.own_status()["self"]["key"]
    desk.keep_pinging(camera.address)
    until("echoes go", desk.last_reply, 20)
    copy = Board(lab.behind(lab.router("rcopy"), "copy"), "copy")
    copy.serial = "another"
    copied(camera, copy)
    since = time.time()
    copy.start()
    admitted(gateway, copy)
    assert "another board" in copy.log() and copy.own_status()["self"]["key"] != key
    assert longest_gap(desk, since) < 5  # on a loaded machine; nothing of it is the copy's doing
    assert camera.own_status()["self"]["key"] == key
    assert not any(node["twin_ms"] for node in gateway.nodes())
    desk.reaches(copy.address)


def test_a_copy_that_looks_like_the_same_board_is_noticed_and_told(pair: list[Board], lab: Lab, gateway: Gateway) -> None:
    camera, desk = pair
    key, address = camera.own_status()["self"]["key"], camera.address
    desk.keep_pinging(address)
    until("echoes go", desk.last_reply, 20)
    copy = Board(lab.behind(lab.router("rcopy"), "copy"), "copy")
    copy.serial = camera.serial
    copied(camera, copy)
    since = time.time()
    copy.start()
    admitted(gateway, copy)
    assert "another device has the keys of this one" in copy.log()
    assert copy.own_status()["self"]["key"] != key and copy.address != address
    assert [bool(node["twin_ms"]) for node in sorted(gateway.nodes(), key=lambda node: node["name"])] == [True, False, False]
    until("the original answers", lambda: time.time() - desk.last_reply() < 1, 30)
    assert longest_gap(desk, since) < 30, "the original was cut off"
    shown = camera.own_status()
    assert shown["self"]["key"] == key and shown["self"]["name"] == "camera" and shown["connected"]
    assert "another device" not in camera.log()
    desk.reaches(copy.address)
    copy.restart()  # what it has is its own from now on
    desk.reaches(copy.address)
    assert camera.own_status()["connected"]


def test_official_clients_with_one_state_are_said(lab: Lab, gateway: Gateway) -> None:
    one = Tailscaled(lab.public("one"), "one")
    one.start()
    one.up(gateway.url, gateway.key())
    two = Tailscaled(lab.public("two"), "two")
    copied(one, two)
    two.start()
    until("the gateway notices", lambda: gateway.nodes()[0]["twin_ms"], 90)
