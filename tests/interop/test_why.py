"""`skerry netcheck` and `skerry why` in real namespaces: what they say of NATs against the nftables rules they were built by."""

import json
from typing import Any

import pytest

from tests.netlab import Lab
from tests.netlab.lab import until
from tests.netlab.programs import Gateway, Skerryd

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]
TEXTS = {
    "public": "public address",
    "easy": "easy NAT",
    "hard": "hard NAT, random ports",
    "hard-block": "hard NAT, ports from a block of 512",
    "hard-sequential": "hard NAT, sequential ports",
}


def joined(lab: Lab, gateway: Gateway, kind: str) -> Skerryd:
    host = lab.public(kind) if kind == "public" else lab.behind(lab.router(f"r-{kind}", kind), kind)
    node = Skerryd(host, kind)
    node.start()
    node.up(gateway.url, gateway.key())
    return node


def why(node: Skerryd, other: Skerryd) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.cli("why", other.name, "--json").stdout)
    return found


@pytest.mark.parametrize("kinds", [("easy", "hard"), ("hard-block", "hard-sequential"), ("public", "hard")], ids=" and ".join)
def test_why_in_real_networks(lab: Lab, gateway: Gateway, kinds: tuple[str, str]) -> None:
    one, other = (joined(lab, gateway, kind) for kind in kinds)

    def known() -> bool:
        one.host.run("ping", "-c1", "-W1", other.address, check=False)
        found = why(one, other)
        return (found["nat"]["self"]["text"], found["nat"]["peer"]["text"]) == (TEXTS[kinds[0]], TEXTS[kinds[1]])

    try:
        until("both NATs are told as they were built", known, 30)
        direct = "public" in kinds
        until("the path is what the NATs allow", lambda: known() and (why(one, other)["path"]["kind"] == "direct") is direct, 20)
    except Exception:
        print(json.dumps([why(one, other), why(other, one)], indent=1))
        raise
    found = why(one, other)
    assert found["direct_possible"] is direct
    blamed = [who for who, kind in zip(("this node", other.name), kinds, strict=True) if kind.startswith("hard")]
    assert found["fault"] == ([] if direct else blamed)


def test_netcheck_tells_mapping_and_filtering(lab: Lab, gateway: Gateway) -> None:
    report = json.loads(joined(lab, gateway, "easy").cli("netcheck", "--json").stdout)
    assert (report["nat"]["mapping"], report["nat"]["filtering"]) == ("not-by-port", "address-and-port-dependent")
    assert (report["nat"]["ports"], report["hairpin"]) == ("preserving", False)
    report = json.loads(joined(lab, gateway, "public").cli("netcheck", "--json").stdout)
    assert (report["nat"]["mapping"], report["nat"]["filtering"]) == ("none", "not-by-port")
