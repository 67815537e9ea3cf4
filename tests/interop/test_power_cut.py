"""A board that is power-cycled while the gateway is off finds its peers by what it knew: on its LAN, public, behind another NAT."""

import re
import time

import pytest

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import Gateway, Skerryd

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


def test_known_peers_are_found_again_without_the_gateway_and_it_is_said(lab: Lab, gateway: Gateway) -> None:
    key, router = gateway.key("owner", "--reusable"), lab.router("ra")
    hosts = {"board": lab.behind(router, "board"), "neighbour": lab.behind(router, "neighbour"), "public": lab.public("public")}
    hosts["far"] = lab.behind(lab.router("rb"), "far")
    nodes = {name: Skerryd(host, name) for name, host in hosts.items()}
    for node in nodes.values():
        node.start()
        node.up(gateway.url, key)
    board = nodes.pop("board")
    addresses = {name: node.address for name, node in nodes.items()}
    for address in addresses.values():
        board.reaches(address)
    direct = ("neighbour", "public", "far")
    until("all paths are direct", lambda: all(p["path"]["kind"] == "direct" for p in board.own_status()["peers"]), 60)
    until("the peers are on the card", lambda: all(f"{n}.skerry" in (board.state / "state.json").read_text() for n in direct), 60)
    key_before = board.own_status()["self"]["key"]
    gateway.kill()
    board.kill()
    since = time.time()
    board.start()
    for address in addresses.values():
        board.reaches(address, 60)
    until("the gateway is missed", lambda: board.own_status()["away_since_ms"], 60)
    shown = board.own_status()
    assert shown["from_saved_map"] and not shown["connected"] and shown["self"]["key"] == key_before
    assert since - 1 < shown["away_since_ms"] / 1000 < time.time() + 1 and shown["map_of_ms"] / 1000 < since + 1
    said = " ".join(board.cli("status").stdout.split())
    assert re.search(r"does not answer since [-0-9: ]+; known peers are reached from the saved map of [-0-9: ]+", said), said
    gateway.start()
    until("the gateway is found again", lambda: board.own_status()["connected"], 90)
    assert "saved map" not in board.cli("status").stdout
