"""Which chains of others block the way, by nft's JSON; what is asked of nft."""

import pytest

from skerry_node import firewall

TUN = "skerry0"


def chain(table, name, hook=None, policy="accept", family="ip"):
    more = {"hook": hook, "policy": policy, "type": "filter", "prio": 0} if hook else {}
    return {"chain": {"family": family, "table": table, "name": name, **more}}


def rule(table, name, *expr, family="ip"):
    return {"rule": {"family": family, "table": table, "chain": name, "expr": list(expr)}}


def named(key, name=TUN):
    return {"match": {"op": "==", "left": {"meta": {"key": key}}, "right": name}}


ACCEPT, TRUSTED = {"accept": None}, {"goto": {"target": "filter_FWD_trusted"}}
DOCKER = [chain("filter", "FORWARD", "forward", "drop"), chain("filter", "DOCKER-USER"), chain("filter", "DOCKER")]
UFW = [chain("filter", "FORWARD", "forward", "drop", "ip6"), chain("filter", "ufw6-user-forward", family="ip6")]
FIREWALLD = [
    chain("firewalld", "filter_FORWARD", "forward", "accept", "inet"),
    rule("firewalld", "filter_FORWARD", {"jump": {"target": "filter_FORWARD_ZONES"}}, family="inet"),
    rule("firewalld", "filter_FORWARD", {"reject": {"type": "icmpx"}}, family="inet"),
]
BOTH = [rule("filter", "DOCKER-USER", named(key), ACCEPT) for key in ("iifname", "oifname")]


@pytest.mark.parametrize(
    "ruleset,words",
    [
        (DOCKER, "iptables -I DOCKER-USER -i skerry0 -j ACCEPT && iptables -I DOCKER-USER -o skerry0 -j ACCEPT"),
        ([DOCKER[0], DOCKER[2]], "iptables -I FORWARD -i skerry0 -j ACCEPT"),
        (UFW, "ufw route allow in on skerry0 && ufw route allow out on skerry0"),
        (FIREWALLD, "--zone=trusted --add-interface=skerry0"),
        ([chain("mine", "fwd", "forward", "drop", "inet")], "nft insert rule inet mine fwd iifname skerry0 accept"),
        ([*DOCKER, BOTH[0]], "DOCKER-USER -o skerry0"),
        ([*DOCKER, *[rule("filter", "DOCKER-USER", named(key, "eth0"), ACCEPT) for key in ("iifname", "oifname")]], "DOCKER-USER"),
        ([*DOCKER, *[rule("filter", "DOCKER-USER", named(key), {"drop": None}) for key in ("iifname", "oifname")]], "DOCKER-USER"),
    ],
)
def test_who_blocks_is_named_with_what_to_do(ruleset, words):
    said = firewall.blocking(ruleset, TUN)
    assert len(said) == 1 and words in said[0]


@pytest.mark.parametrize(
    "ruleset",
    [
        [],
        [*DOCKER, *BOTH],
        [*DOCKER, *[rule("filter", "DOCKER-USER", named(key, "skerry*"), ACCEPT) for key in ("iifname", "oifname")]],
        [*FIREWALLD, rule("firewalld", "filter_FORWARD_ZONES", named("iifname"), TRUSTED, family="inet")],
        [chain("filter", "INPUT", "input", "drop")],
        [chain("skerry", "forward", "forward", "drop", "inet")],
        [chain("a", "f", "forward", "accept"), rule("a", "f", named("iifname", "eth0"), {"drop": None})],
    ],
)
def test_what_does_not_block_is_not_named(ruleset):
    assert firewall.blocking(ruleset, TUN) == []


def test_both_families_are_said_once_each():
    both = [*DOCKER, *[{kind: {**item[kind], "family": "ip6"} for kind in item} for item in DOCKER]]
    assert [line.partition("with: ")[2].split()[0] for line in firewall.blocking(both, TUN)] == ["iptables", "ip6tables"]


def test_the_table_is_replaced_as_a_whole_and_translates_all_but_what_is_named():
    text = firewall.script(TUN, [(bytes((10, 1, 0, 0)), 16), (bytes.fromhex("fd00") + bytes(14), 64)])
    assert text.splitlines()[:2] == ["add table inet skerry", "delete table inet skerry"]
    assert 'iifname "skerry0" ip daddr { 10.1.0.0/16 } accept' in text and "ip6 daddr { fd00::/64 } accept" in text
    assert text.index("daddr") < text.index("masquerade")
