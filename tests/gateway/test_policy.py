"""The policy subset: its language, its errors with their lines, and what it compiles to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_gateway import policy
from skerry_gateway.policy import DEFAULT, Compiled, PolicyError, hujson, may_tag, parse
from skerry_gateway.store import Node, User

OWNER = User(1, 1, "owner", "Owner", "owner", 0, None)
ANA = User(2, 1, "ana", "Ana", "admin", 0, None)
BEN = User(3, 1, "ben@example.com", "Ben", "member", 0, None)
TAILNET = ["100.64.0.0-100.115.91.255", "100.115.94.0-100.127.255.255", "fd7a:115c:a1e0::/48"]
ALL = {"First": 0, "Last": 65535}


def node(number, user=None, tags=(), routes=(), approved=None):
    key = bytes([number]) * 32
    ipv4, ipv6 = f"100.64.0.{number}", f"fd7a:115c:a1e0::{number:x}"
    allowed = tuple(routes) if approved is None else approved
    owner = user.id if user else None
    return Node(
        number, 1, f"n{number}", key, key, f"n{number}", "", "", 142, owner, tuple(tags), ipv4, ipv6, tuple(routes), allowed,
        True, False, False, None, 0, None, None,
    )  # fmt: skip


NODES = [node(1, OWNER), node(2, ANA), node(3, ANA), node(4, BEN), node(5, tags=["tag:cam"])]
NODES += [node(6, tags=["tag:cam", "tag:router"], routes=["10.9.0.0/24"])]
OWNERS = {"tag:cam": ["ana@"], "tag:router": ["tag:cam"], "tag:none": []}


def compiled(acls, nodes=None, **sections):
    document = {"tagOwners": OWNERS, **sections}
    if acls is not None:
        document["acls"] = acls
    return Compiled(parse(json.dumps(document)), nodes or NODES, [OWNER, ANA, BEN], "net.example")


def rule(src, dst, **more):
    return {"action": "accept", "src": src, "dst": dst, **more}


def both(number):
    return [f"100.64.0.{number}", f"fd7a:115c:a1e0::{number:x}"]


def ports(ips, first=0, last=65535):
    return [{"IP": ip, "Ports": {"First": first, "Last": last}} for ip in ips]


# HuJSON


def test_comments_and_trailing_commas():
    text = '// one\n{"a": [1, 2,], /* two\n */ "b": {"c": null,}, // three\n "d": "x//y", "e": -1.5e2,}\n// end'
    value, lines = hujson.parse(text)
    assert value == {"a": [1, 2], "b": {"c": None}, "d": "x//y", "e": -150.0}
    assert lines["a",] == (2, 7) and lines["b", "c"][0] == 3 and lines["d",][0] == 4


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("", 1, 1, "expected a value, found the end"),
        ('{"a": 1', 1, 8, 'expected ","'),
        ('{"a" 1}', 1, 6, 'expected ":" after the name "a"'),
        ('{\n  "a": 1,\n  "a": 2}', 3, 3, "stands twice"),
        ('{"a": "x\ny"}', 1, 7, "does not end on its line"),
        ("[1, 2] 3", 1, 8, "after the end of the policy"),
        ("[1 /* no end", 1, 4, "comment does not end"),
        ("{a: 1}", 1, 2, "name in double quotes"),
        ("[01]", 1, 2, "expected a value"),
        ("[,]", 1, 2, "expected a value"),
        ("[nul]", 1, 2, "expected a value"),
        ('["\\ud800"]', 1, 2, "not valid Unicode"),
        ("[" * 100, 1, 34, "nested deeper"),
    ],
)
def test_syntax_errors_have_their_place(text, line, column, words):
    with pytest.raises(PolicyError) as caught:
        hujson.parse(text)
    assert (caught.value.stage, caught.value.line, caught.value.column) == ("syntax", line, column) and words in caught.value.message


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_json_reads_as_json_does(value):
    assert hujson.parse(json.dumps(value, indent=1))[0] == value == hujson.parse(json.dumps(value, ensure_ascii=False))[0]


@given(st.text(alphabet='{}[]",:/*\\ \n1ae-.tru', max_size=60))
def test_any_text_parses_or_is_a_policy_error(text):
    try:
        parse(text)
    except PolicyError as error:
        assert error.stage in ("syntax", "policy") and str(error)


# what is refused


@pytest.mark.parametrize(
    ("document", "line", "words"),
    [
        ("[]", 1, "a policy is an object"),
        ('{\n"postures": {}}', 2, 'postures: "postures" is not supported'),
        ('{"acls": [\n{"action": "drop", "src": [], "dst": []}]}', 2, "acls[0].action: action is \"accept\", found \"drop\""),
        ('{"acls": [\n{"action": "accept", "src": [\n"tag:x"], "dst": []}]}', 3, 'acls[0].src[0]: tag not found: "tag:x"'),
        ('{"acls": [{"action": "accept", "src": ["group:x"], "dst": []}]}', 1, 'group not found: "group:x"'),
        ('{"acls": [{"action": "accept", "src": ["*"], "dst": ["*"]}]}', 1, "has no ports"),
        ('{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:99999"]}]}', 1, "no port range"),
        ('{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:90-80"]}]}', 1, "no port range"),
        ('{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:ssh"]}]}', 1, '"ssh" is no port'),
        ('{"acls": [{"action": "accept", "src": ["10.0.0.1/8"], "dst": ["*:*"]}]}', 1, 'write "10.0.0.0/8"'),
        ('{"acls": [{"action": "accept", "src": ["ana"], "dst": ["*:*"]}]}', 1, 'the user of that name is "ana@"'),
        ('{"acls": [{"action": "accept", "src": ["autogroup:internet"], "dst": ["*:*"]}]}', 1, "autogroup:internet"),
        ('{"acls": [{"action": "accept", "src": ["autogroup:self"], "dst": ["*:*"]}]}', 1, "a destination only"),
        ('{"tagOwners": {"tag:a": []}, "acls": [{"action": "accept", "src": ["tag:a"], "dst": ["autogroup:self:*"]}]}', 1, "needs people"),
        ('{"acls": [{"action": "accept", "src": ["100.64.0.1"], "dst": ["autogroup:self:*"]}]}', 1, "needs people"),
        ('{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"], "users": []}]}', 1, '"users" is not supported'),
        ('{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"], "proto": "carp"}]}', 1, '"carp" is no protocol'),
        ('{"acls": [{"action": "accept", "dst": ["*:*"]}]}', 1, '"src" is missing'),
        ('{"groups": {"group:a": ["group:b"]}}', 1, "cannot have groups"),
        ('{"groups": {"a": []}}', 1, '"a" is no group'),
        ('{"hosts": {"h": "10.0.0.300"}}', 1, "no address or prefix"),
        ('{"tagOwners": {"tag:1a": []}}', 1, "is no tag"),
        ('{"tagOwners": {"tag:a": ["*"]}}', 1, "cannot own a tag"),
        ('{"tagOwners": {"tag:a": ["tag:b"]}}', 1, "tag not found"),
        ('{"acls": {}}', 1, "acls: expected a list"),
    ],
)
def test_refused_by_name_with_the_line(document, line, words):
    with pytest.raises(PolicyError) as caught:
        parse(document)
    assert words in caught.value.message and caught.value.line == line and caught.value.stage == "policy"


# what it means


def test_default_policy():
    """Each their own devices, the owner the tagged ones too."""
    found = Compiled(parse(DEFAULT), NODES, [OWNER, ANA, BEN])
    assert found.peers(2) == {3} and found.peers(3) == {2} and found.peers(4) == set()
    assert found.peers(1) == {5, 6} and found.peers(5) == {1} and found.peers(6) == {1}
    assert found.filter(2) == [{"SrcIPs": both(2) + both(3), "DstPorts": ports(both(2))}]
    assert found.filter(5) == [{"SrcIPs": both(1), "DstPorts": ports(both(5))}]
    assert found.filter(1) == [{"SrcIPs": both(1), "DstPorts": ports(both(1))}]


def test_no_acls_allow_everything_and_empty_ones_nothing():
    assert compiled(None).filter(1) == [{"SrcIPs": ["*"], "DstPorts": ports(["*"])}] and compiled(None).peers(1) == {2, 3, 4, 5, 6}
    assert compiled([]).filter(1) == [] and compiled([]).peers(1) == set()


def test_any_source_is_the_tailnet_and_approved_subnets_never_the_internet():
    exit_node = node(7, OWNER, routes=["0.0.0.0/0", "::/0", "10.8.0.0/16"], approved=("0.0.0.0/0", "::/0"))
    found = compiled([rule(["*", "192.0.2.1"], ["tag:cam:554"])], [*NODES, exit_node])
    assert found.filter(5) == [{"SrcIPs": [*TAILNET, "10.9.0.0/24", "192.0.2.1"], "DstPorts": ports(both(5), 554, 554)}]
    assert found.peers(1) == {5, 6} and found.peers(5) == {1, 2, 3, 4, 6, 7}


def test_any_destination_stays_a_star_for_every_node():
    found = compiled([rule(["ben@example.com"], ["*:22,80-90"])])
    wanted = [{"SrcIPs": both(4), "DstPorts": ports(["*"], 22, 22) + ports(["*"], 80, 90)}]
    assert all(found.filter(number) == wanted for number in range(1, 7))
    assert found.peers(4) == {1, 2, 3, 5, 6} and found.peers(1) == {4}


def test_users_groups_and_autogroups_leave_tagged_nodes_out():
    acls = [rule(["group:g"], ["autogroup:member:1"]), rule(["autogroup:admin"], ["autogroup:tagged:2"])]
    found = compiled(acls, groups={"group:g": ["ana@net.example"]})
    assert found.filter(4) == [{"SrcIPs": both(2) + both(3), "DstPorts": ports(both(4), 1, 1)}]
    assert found.filter(5) == [{"SrcIPs": both(1) + both(2) + both(3), "DstPorts": ports(both(5), 2, 2)}]


def test_unknown_users_empty_groups_and_unused_tags_make_no_rule():
    acls = [rule([source], ["*:*"]) for source in ("nobody@", "group:e", "tag:none")]
    found = compiled([*acls, rule(["*"], ["tag:none:*"])], groups={"group:e": []})
    assert all(found.filter(number) == [] and found.peers(number) == set() for number in range(1, 7))


def test_literals_stand_as_written_and_are_never_paired():
    three = "fd7a:115c:a1e0::3"
    found = compiled([rule(["lab", "fd00::1"], ["100.64.0.2:1", f"[{three}]:2", f"{three}:3"])], hosts={"lab": "192.0.2.0/24"})
    assert found.filter(2) == [{"SrcIPs": ["192.0.2.0/24", "fd00::1"], "DstPorts": ports(["100.64.0.2"], 1, 1)}]
    assert found.filter(3) == [{"SrcIPs": ["192.0.2.0/24", "fd00::1"], "DstPorts": ports([three], 2, 2) + ports([three], 3, 3)}]


def test_a_prefix_reaches_routers_with_an_approved_overlapping_subnet():
    nodes = [*NODES, node(7, tags=["tag:router"], routes=["10.9.0.0/25"], approved=()), node(8, tags=["tag:router"], routes=["10.0.0.0/8"])]
    found = compiled([rule(["ana@"], ["10.9.0.0/24:*"])], nodes)
    wanted = [{"SrcIPs": both(2) + both(3), "DstPorts": ports(["10.9.0.0/24"])}]
    assert found.filter(6) == wanted == found.filter(8) and found.filter(7) == []
    assert found.peers(2) == {6, 8} and found.peers(7) == set()


def test_tag_destinations_are_node_addresses_not_routes_behind():
    assert compiled([rule(["ana@"], ["tag:router:*"])]).filter(6) == [{"SrcIPs": both(2) + both(3), "DstPorts": ports(both(6))}]


def test_exit_routes_make_no_destination():
    nodes = [node(1, OWNER), node(2, ANA, routes=["0.0.0.0/0", "::/0"])]
    found = compiled([rule(["owner@"], ["8.8.8.0/24:*"])], nodes)
    assert found.filter(2) == [] and found.peers(1) == set()


def test_a_route_as_source_makes_its_router_a_peer():
    found = compiled([rule(["10.9.0.0/24"], ["ben@example.com:*"])])
    assert found.peers(4) == {6} and found.filter(4) == [{"SrcIPs": ["10.9.0.0/24"], "DstPorts": ports(both(4))}]


def test_self_is_for_each_persons_untagged_nodes():
    found = compiled([rule(["*"], ["autogroup:self:22", "tag:cam:1"])])
    assert found.filter(2)[0] == {"SrcIPs": both(2) + both(3), "DstPorts": ports(both(2), 22, 22)}
    assert found.filter(5) == [{"SrcIPs": [*TAILNET, "10.9.0.0/24"], "DstPorts": ports(both(5), 1, 1)}]
    assert 3 in found.peers(2) and 4 not in found.peers(2)


@pytest.mark.parametrize(("proto", "wanted"), [("tcp", [6]), ("icmp", [1]), (17, [17]), ("47", [47]), ("", None), ("SCTP", [132])])
def test_protocols(proto, wanted):
    assert compiled([rule(["ana@"], ["tag:cam:1"], proto=proto)]).filter(5)[0].get("IPProto") == wanted


def test_names_are_trimmed():
    assert compiled([rule([" ana@ "], [" tag:cam:22 "])]).filter(5)[0]["SrcIPs"] == both(2) + both(3)


def test_who_may_give_tags():
    owners = {**OWNERS, "tag:a": ["tag:b"], "tag:b": ["tag:a", "group:g"]}
    parsed = parse(json.dumps({"tagOwners": owners, "groups": {"group:g": ["ben@example.com"]}}))
    assert may_tag(parsed, OWNER, "tag:anything")
    assert may_tag(parsed, ANA, "tag:cam") and may_tag(parsed, ANA, "tag:router") and not may_tag(parsed, ANA, "tag:none")
    assert may_tag(parsed, BEN, "tag:a") and not may_tag(parsed, BEN, "tag:cam") and not may_tag(parsed, ANA, "tag:a")
    assert not may_tag(parse(DEFAULT), ANA, "tag:cam")


USERS = ["*", "ana@", "owner@", "group:g", "autogroup:member"]
some = st.lists(st.sampled_from([*USERS, "tag:cam", "tag:router", "autogroup:tagged", "10.9.0.0/24", "100.64.0.4"]), max_size=3)
rules = st.builds(lambda s, d, p: rule(s, [f"{name}:{p}" for name in d]), some, some, st.sampled_from(["*", "22", "1-9"]))


@given(st.lists(rules, max_size=4))
def test_peers_are_mutual_and_follow_the_filters(acls):
    found = compiled(acls, groups={"group:g": ["ben@example.com"]})
    for a in NODES:
        assert a.id not in found.peers(a.id)
        for b in NODES:
            assert (b.id in found.peers(a.id)) == (a.id in found.peers(b.id))
            if a is not b and reaches(found, a, b):
                assert b.id in found.peers(a.id)


def reaches(found, a, b):
    """Whether b's filter, read on its own, lets a's own IPv4 address reach b's."""
    heard = [entry for entry in found.filter(b.id) if a.ipv4 in entry["SrcIPs"] or TAILNET[0] in entry["SrcIPs"]]
    return any(d["IP"] in ("*", b.ipv4) for entry in heard for d in entry["DstPorts"])


def test_the_package_says_what_it_is_not():
    assert "postures" in (policy.__doc__ or "")
