"""`skerry doctor` in real namespaces: each trouble is made, named, and gone from the report when it is gone."""

import json
from typing import Any

import pytest

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import Gateway, Skerryd

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]


def checks(node: Skerryd) -> tuple[int, dict[str, Any]]:
    """The exit code, and the rows by name."""
    done = node.cli("doctor", "--json", check=False, timeout=120)
    return done.returncode, {row["check"]: row for row in json.loads(done.stdout)["checks"]}


def says(node: Skerryd, check: str, verdict: str, words: str = "") -> None:
    """Wait for it."""
    last: list[Any] = []

    def found() -> bool:
        last[:] = [checks(node)[1][check]]
        return last[0]["verdict"] == verdict and words in last[0]["reason"]

    try:
        until(f"{check} is {verdict}", found, 60)
    except Exception:
        print(last, node.log()[-3000:])
        raise


def test_troubles_are_named(lab: Lab, gateway: Gateway) -> None:
    node = Skerryd(lab.behind(lab.router("r"), "a"), "a")
    node.start()
    before = checks(node)
    assert before[0] == 1 and before[1]["keys"]["verdict"] == "bad" and "member" in before[1]["keys"]["reason"]
    node.up(gateway.url, gateway.key())
    for check in ("uplink", "mtu", "clock", "firewall", "gateway", "relay", "keys"):
        says(node, check, "good")

    assert node.host.router is not None
    node.host.router.block_udp("forward")
    says(node, "firewall", "warning", "over UDP")
    node.host.router.unblock_udp()
    says(node, "firewall", "good")

    link = json.loads(node.host.ip("-j", "route", "show", "default"))[0]
    node.host.ip("link", "set", link["dev"], "mtu", "1300")
    says(node, "mtu", "warning", "1300 bytes")
    node.host.ip("link", "set", link["dev"], "mtu", "1500")
    node.host.ip("route", "del", "default")
    says(node, "uplink", "bad", "no default route")
    node.host.ip("route", "add", "default", "via", link["gateway"], "dev", link["dev"])
    says(node, "uplink", "good")

    gateway.stop()
    says(node, "gateway", "bad", gateway.url)
    assert checks(node)[0] == 1
