"""One node, two networks: joined one after the other, switched between, each with keys, name and address of its own."""

import json

import pytest

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import Gateway, Skerryd

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


def test_two_networks_one_at_a_time(lab: Lab, gateway: Gateway) -> None:
    other = Gateway(lab.public("other"), "gw2")
    other.start()
    node, home, office = (Skerryd(lab.public(name), name) for name in ("node", "home", "office"))
    for each, at in ((node, gateway), (home, gateway), (office, other)):
        each.start()
        each.up(at.url, at.key())
    node.reaches(home.address)
    first = node.own_status()["self"]
    refused = node.cli("up", "--gateway", other.url, check=False)
    assert refused.returncode == 1 and "skerry login" in " ".join(refused.stderr.split())
    wrong = node.cli("switch", "nowhere.example", check=False)
    assert wrong.returncode == 1 and "no network known here" in " ".join(wrong.stderr.split())

    node.cli("login", "--gateway", other.url, "--key", other.key(), "--hostname", "guest")
    node.reaches(office.address)
    second = node.own_status()["self"]
    assert second["key"] != first["key"] and second["name"] == "guest"
    assert [peer["name"] for peer in node.own_status()["peers"]] == ["office"]
    until("the first network misses it", lambda: not {n["name"]: n for n in gateway.nodes()}["node"]["online"], 40)
    names = {row["name"]: row for row in json.loads(node.cli("networks", "--json").stdout)["networks"]}
    assert len(names) == 2 and [row["active"] for row in names.values()] == [True, False]
    away, here = f"{gateway.host.address}:{gateway.port}", f"{other.host.address}:{other.port}"

    assert f"Using {away}" in node.cli("switch", away).stdout
    node.reaches(home.address)
    assert node.own_status()["self"]["key"] == first["key"] and node.own_status()["self"]["addresses"] == first["addresses"]
    node.kill()
    node.start()
    node.reaches(home.address)
    node.cli("switch", here)
    node.reaches(office.address)
    assert node.own_status()["self"]["key"] == second["key"]
    assert node.cli("switch", here).returncode == 0  # again: nothing happens
    assert "*" in node.cli("networks").stdout
    assert len(gateway.nodes()) == 2 and len(other.nodes()) == 2
