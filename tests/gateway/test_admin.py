"""The verbs: what they answer, what they refuse and to whom."""

import pytest

from skerry_gateway import admin
from skerry_gateway.admin import AdminError, verbs
from skerry_gateway.admin.arguments import duration
from skerry_gateway.admin.tables import why
from skerry_gateway.store import User, queries
from tests.gateway.control_bench import Client, Gateway, join


@pytest.fixture
def gateway():
    found = Gateway()
    for name, role in (("ana", "admin"), ("ben", "member")):
        found.call("users create", name=name, role=role)
    return found


def as_user(gateway, who, verb, /, **arguments):
    user = next(user for user in gateway.coordinator.members.users.values() if user.name == who)
    return admin.call(gateway.coordinator, verb, arguments, gateway.now, user=user)


def test_users(gateway):
    found = gateway.call("users list")["users"]
    assert [(u["name"], u["role"]) for u in found] == [("owner", "owner"), ("ana", "admin"), ("ben", "member")]
    link = gateway.call("users link", name="ana", expires="1h")
    assert link["url"].startswith("http://localhost:8080/sign-in/") and link["user"] == "ana"
    join(gateway, 1, user="ben")
    with pytest.raises(AdminError, match="ben has nodes"):
        gateway.call("users remove", name="ben")
    assert gateway.call("users remove", name="ben", with_nodes=True)["nodes"] == ["host1"]
    assert gateway.coordinator.members.nodes == {}


@pytest.mark.parametrize(
    ("verb", "arguments", "words"),
    [
        ("users create", {"name": "Ana B"}, "no user name"),
        ("users create", {"name": "ana"}, "already"),
        ("users create", {"name": "x", "role": "king"}, "no role"),
        ("users link", {"name": "eve"}, 'no user "eve"; there are ana, ben, owner'),
        ("users link", {"name": "ana", "expires": "soon"}, "no duration"),
        ("users remove", {"name": "owner"}, "the only owner"),
        ("nodes remove", {"node": "nothing"}, 'no node "nothing"'),
        ("nodes rename", {"node": "host1", "name": "a.b"}, "no DNS label"),
        ("nodes rename", {"node": "host1", "name": "-x"}, "no DNS label"),
        ("nodes rename", {"node": "host1", "name": "host2"}, "already"),
        ("keys create", {"user": "ana", "tags": ["tag:cam"]}, "ana may not give tag:cam"),
        ("keys create", {"user": "owner", "tags": ["cam"]}, "is no tag"),
        ("keys create", {"user": "owner", "expires": "0s"}, "out of range"),
        ("keys revoke", {"id": 99}, "no pre-auth key 99"),
        ("policy set", {"text": "{"}, "not stored: line 1"),
        ("policy get", {"version": 9}, "no policy version 9"),
        ("network set", {}, "nothing to set"),
        ("network set", {"suffix": "a b"}, "no domain name"),
        ("nodes list", {"x": 1}, '"x" is no argument'),
        ("nodes remove", {}, '"node" is missing'),
        ("nodes remove", {"node": True}, "a node's name or id"),
        ("keys create", {"user": "owner", "tags": [1]}, "a list of texts"),
        ("keys create", {"user": "owner", "reusable": 1}, "true or false"),
        ("nodes dance", {}, "is no verb"),
    ],
)
def test_refusals_name_the_value_and_change_nothing(gateway, verb, arguments, words):
    join(gateway, 1)
    join(gateway, 2)
    before = gateway.call("users list"), gateway.call("nodes list"), gateway.call("keys list"), gateway.call("policy history")
    with pytest.raises(AdminError) as caught:
        gateway.call(verb, **arguments)
    assert words in str(caught.value)
    assert before == (gateway.call("users list"), gateway.call("nodes list"), gateway.call("keys list"), gateway.call("policy history"))


def test_keys_are_shown_once(gateway):
    made = gateway.call("keys create", user="owner", reusable=True, tags=["tag:cam"], expires="1h")
    assert made["key"].startswith("skey-") and made["tags"] == ["tag:cam"]
    listed = gateway.call("keys list")["keys"]
    assert [key["state"] for key in listed] == ["valid"] and made["key"] not in str(listed)
    gateway.call("keys revoke", id=made["id"])
    assert gateway.call("keys list")["keys"][0]["state"] == "revoked"


def test_policy_has_versions_with_author_and_time(gateway):
    assert gateway.call("policy get")["version"] == 0
    text = '{ /* kept as written */ "acls": [], }'
    assert gateway.call("policy set", text=text) == {"version": 1}
    assert as_user(gateway, "ana", "policy set", text="{}") == {"version": 2}
    assert gateway.call("policy get", version=1)["text"] == text
    assert [(v["version"], v["author"]) for v in gateway.call("policy history")["versions"]] == [(2, "ana"), (1, "command line")]
    assert gateway.call("policy check", text="{\n x}")["error"] == {
        "stage": "syntax", "message": 'expected a name in double quotes or "}", found "x"', "line": 2, "column": 2,
    }  # fmt: skip


def test_a_waiting_machine_is_approved_by_its_code(gateway):
    client = Client(gateway, 1)
    page = client.register()
    stream = client.register(followup=page["AuthURL"])
    code = gateway.call("nodes list")["pending"][0]["code"]
    with pytest.raises(AdminError, match="--user"):
        gateway.call("nodes approve", node=code)
    assert gateway.call("nodes approve", node=code.lower(), user="ben")["node"]["user"] == "ben"
    assert client.result(stream)["MachineAuthorized"] and gateway.call("nodes list")["pending"] == []


# rights


def test_members_see_and_change_their_own_things_only(gateway):
    join(gateway, 1, user="ben")
    join(gateway, 2, user="ana")
    assert [node["name"] for node in as_user(gateway, "ben", "nodes list")["nodes"]] == ["host1"]
    with pytest.raises(AdminError, match='there is no node "host2"'):
        as_user(gateway, "ben", "nodes remove", node="host2")
    as_user(gateway, "ben", "nodes rename", node="host1", name="mine")
    key = as_user(gateway, "ben", "keys create", user="ben")
    assert [item["user"] for item in as_user(gateway, "ben", "keys list")["keys"]] == ["ben", "ben"] and key["user"] == "ben"
    theirs = next(item["id"] for item in gateway.call("keys list")["keys"] if item["user"] == "ana")
    with pytest.raises(AdminError):
        as_user(gateway, "ben", "keys revoke", id=theirs)
    with pytest.raises(AdminError, match="takes an admin"):
        as_user(gateway, "ben", "keys create", user="ana")


def test_admins_make_nobody_of_a_higher_role(gateway):
    for verb, arguments in (
        ("users create", {"name": "eve", "role": "owner"}),
        ("users link", {"name": "owner"}),
        ("users remove", {"name": "owner"}),
        ("keys create", {"user": "owner"}),
    ):
        with pytest.raises(AdminError, match="takes the role owner"):
            as_user(gateway, "ana", verb, **arguments)
    as_user(gateway, "ana", "users create", name="eve", role="admin")
    as_user(gateway, "ana", "users link", name="ben")


def test_every_verb_has_a_rule_for_members(gateway):
    for_all = {"nodes list", "nodes why", "nodes rename", "nodes expire", "nodes remove"}
    for_all |= {"keys create", "keys list", "keys revoke", "routes list"}
    nobody = User(77, 1, "nobody", "nobody", "guest", 0, None)
    for verb in admin.VERBS:
        if verb not in for_all:
            for user in (nobody, gateway.coordinator.members.users[3]):
                with pytest.raises(AdminError, match="takes an admin"):
                    admin.call(gateway.coordinator, verb, {}, gateway.now, user=user)


@pytest.mark.parametrize(("text", "ms"), [("45s", 45_000), ("30m", 1_800_000), ("2w", 1_209_600_000), (" 1d ", 86_400_000)])
def test_durations(text, ms):
    assert duration(text) == ms


def test_a_members_own_key_does_not_replace_an_approval(gateway):
    gateway.call("users create", name="eve")
    gateway.call("network set", approval=True)
    eve = next(user for user in gateway.coordinator.members.users.values() if user.name == "eve")
    own = admin.call(gateway.coordinator, "keys create", {"user": "eve"}, gateway.now, eve)["key"]
    first, second = Client(gateway, 1), Client(gateway, 2)
    assert first.register(auth=own)["MachineAuthorized"] is False
    assert second.register(auth=gateway.call("keys create", user="eve")["key"])["MachineAuthorized"] is True
    assert not gateway.coordinator.relay_allowed(first.node_key) and gateway.coordinator.relay_allowed(second.node_key)


def test_a_user_goes_with_all_nodes_in_one_change(gateway):
    gateway.call("users create", name="eve")
    nodes = [join(gateway, number, user="eve") for number in range(1, 4)]
    watcher = nodes[0]
    before = gateway.coordinator.members.compiled
    gateway.call("users remove", name="eve", with_nodes=True)
    assert gateway.withdrawn == [node.node_key for node in nodes] and not gateway.coordinator.members.nodes
    assert before is not gateway.coordinator.members.compiled and watcher.answer("/machine/map", watcher.map_body())[0] == 404


def test_keys_users_and_links_are_bounded(gateway, monkeypatch):
    monkeypatch.setattr(verbs, "MAX_KEYS_EACH", 2)
    monkeypatch.setattr(verbs, "MAX_USERS", len(gateway.coordinator.members.users))
    monkeypatch.setattr(queries, "MAX_LINKS_EACH", 2)
    first = gateway.call("keys create", user="ben", expires="1d")
    gateway.call("keys create", user="ben")
    with pytest.raises(AdminError, match="has 2 pre-auth keys already"):
        gateway.call("keys create", user="ben")
    gateway.call("keys revoke", id=first["id"])
    gateway.advance(verbs.SPENT_MS + 1000)
    gateway.call("keys create", user="ben")
    assert [key["id"] for key in gateway.call("keys list")["keys"]] == [2, 3]
    with pytest.raises(AdminError, match="users already"):
        gateway.call("users create", name="more")
    links = [gateway.call("users link", name="ben")["url"].rpartition("/")[2] for _ in range(4)]
    wall = gateway.coordinator.wall(gateway.now)
    assert sum(gateway.coordinator.identity.peek_link(link, wall) is not None for link in links) == 2
    with pytest.raises(AdminError, match="printable"):
        gateway.call("users create", name="x", display_name="a\nb")


def test_why_two_nodes_have_no_direct_path(gateway):
    clients = [join(gateway, seed) for seed in (1, 2)]
    for client, told in zip(clients, ("address-and-port-dependent ? random 0", "blocked ? ? 0"), strict=True):
        number = next(n.id for n in gateway.coordinator.members.nodes.values() if n.node_key == client.node_key)
        gateway.coordinator.live[number].introduce({"Hostname": "x", "NetInfo": {"SkerryNAT": told}})
    found = gateway.call("nodes why", node="host1", other="host2")
    assert found["possible"] is False and found["fault"] == ["host2"]
    assert [side["nat"]["kind"] for side in found["nodes"]] == ["hard", "blocked"]
    said = why(found)
    assert "The fault is there." in said and "What would help: Let outgoing UDP through in the firewall of host2's network." in said
    with pytest.raises(AdminError, match="named twice"):
        gateway.call("nodes why", node="host1", other="host1")
    with pytest.raises(AdminError, match="no node"):
        as_user(gateway, "ben", "nodes why", node="host1", other="host2")
