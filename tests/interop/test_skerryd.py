"""skerryd with skerryd through our gateway: joining, the tunnel, what a clean stop leaves, the saved map, and a card in another board."""

import json

import pytest

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import Gateway, Skerryd

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]


class Board(Skerryd):
    """A skerryd whose card can be put into another board."""

    board = ""

    def env(self) -> dict[str, str]:
        return {"SKERRY_BOARD_ID": f"lab-{self.board or self.name}"}

    def state_is(self, wanted: str) -> bool:
        return bool(self.own_status()["state"] == wanted)


@pytest.fixture
def pair(lab: Lab, gateway: Gateway) -> list[Board]:
    key = gateway.key("owner", "--reusable")
    made = []
    for name in ("left", "right"):
        node = Board(lab.public(name), name)
        node.start()
        node.up(gateway.url, key)
        made.append(node)
    return made


def address(node: Board, family: int = 4) -> str:
    return next(a for a in node.own_status()["self"]["addresses"] if (":" in a) == (family == 6))


def test_two_nodes_reach_each_other_directly(pair: list[Board]) -> None:
    left, right = pair
    left.reaches(address(right))
    right.reaches(address(left, 6))
    answers = json.loads(left.cli("ping", "--json", "right").stdout)
    assert answers[-1]["direct"] and answers[-1]["via"].startswith((right.host.address, "[2001:db8:99:"))
    until("the path is direct", lambda: left.own_status()["peers"][0]["path"]["kind"] == "direct", 20)
    shown = left.own_status()["peers"][0]
    assert shown["name"] == "right" and shown["tx_bytes"] > 0 and shown["rx_bytes"] > 0
    assert "right" in left.cli("status").stdout and "directly" in left.cli("why", "right").stdout
    report = json.loads(left.cli("netcheck", "--json").stdout)
    assert report["udp"] and report["ipv4"].startswith(left.host.address)


def test_down_up_and_logout(pair: list[Board], gateway: Gateway) -> None:
    left, right = pair
    far = address(right)
    left.reaches(far)
    left.cli("down")
    assert left.own_status()["state"] == "Stopped"
    assert left.host.run("ping", "-c1", "-W1", far, check=False).returncode != 0
    left.restart()
    assert left.own_status()["state"] == "Stopped"
    left.cli("up")
    left.reaches(far)
    left.cli("logout")
    assert left.own_status()["state"] == "NeedsLogin"
    until("the peer is told", lambda: not any(p["name"] == "left" and p["online"] for p in right.own_status()["peers"]), 30)


def test_a_clean_stop_leaves_nothing(pair: list[Board]) -> None:
    left, right = pair
    left.reaches(address(right))
    assert left.tun in left.host.run("ip", "link").stdout
    left.stop()
    assert left.process is not None and left.process.returncode == 0
    assert left.tun not in left.host.run("ip", "link").stdout and not left.socket.exists()
    for family in ("-4", "-6"):
        assert left.host.ip(family, "route", "show", "table", "all", "proto", "83") == ""
        assert "5270" not in left.host.ip(family, "rule")


def test_known_peers_are_reached_from_the_saved_map(pair: list[Board], gateway: Gateway) -> None:
    left, right = pair
    far = address(right)
    left.reaches(far)
    until("the peer is on the card", lambda: b"right.skerry" in (left.state / "state.json").read_bytes(), 30)
    gateway.kill()
    left.kill()
    left.start()
    left.reaches(far)
    shown = left.own_status()
    assert shown["from_saved_map"] and not shown["connected"]
    assert "saved map" in left.cli("status").stdout
    gateway.start()
    until("the gateway is found again", lambda: left.own_status()["connected"], 60)


def test_a_card_in_another_board_has_other_keys_and_comes_home(pair: list[Board], gateway: Gateway) -> None:
    left, right = pair
    key = left.own_status()["self"]["key"]
    left.stop()
    left.board = "stranger"
    left.start()
    shown = left.own_status()
    assert shown["self"]["key"] != key and "another board" in left.log()
    assert not shown["self"]["addresses"]
    until("it asks to be admitted", lambda: left.own_status()["auth_url"], 20)
    left.stop()
    left.board = ""
    left.start()
    assert left.own_status()["self"]["key"] == key
    left.reaches(address(right))
