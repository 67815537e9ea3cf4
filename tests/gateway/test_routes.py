"""Routes at the gateway: what is approved is carried, told to all who see the node, and reachable for those whom the policy lets."""

import json

import pytest

from skerry_gateway import admin
from skerry_gateway.admin import AdminError
from skerry_gateway.admin.tables import SHOWN
from skerry_gateway.policy import edges
from skerry_gateway.store import queries
from tests.gateway.control_bench import Client, Gateway, allowed, join

OFFER = {"RoutableIPs": ["10.9.0.0/24", "0.0.0.0/0", "::/0"]}


@pytest.fixture
def gateway():
    return Gateway()


def destinations(client):
    return {entry["IP"] for rule in client.network.packet_filter() for entry in rule["DstPorts"]}


def routes(client, name):
    document = client.peers()[name].document
    return [route for route in document.get("AllowedIPs", ()) if route not in document["Addresses"]]


def test_approve_list_and_withdraw(gateway):
    a, b = join(gateway, 1), join(gateway, 2)
    b.update(hostinfo=OFFER)
    rows = gateway.call("routes list")["routes"]
    assert [(row["route"], row["kind"], row["approved"]) for row in rows] == [
        ("10.9.0.0/24", "subnet", False), ("0.0.0.0/0", "exit", False), ("::/0", "exit", False),
    ]  # fmt: skip
    assert "to approve" in SHOWN["routes list"]({"routes": rows}, 0)
    found = gateway.call("routes approve", node="host2", routes=["10.9.0.0/24"])
    assert found == {"node": "host2", "routes": ["10.9.0.0/24"], "approved": ["10.9.0.0/24"], "in_force": ["10.9.0.0/24"]}
    assert routes(a, "host2") == ["10.9.0.0/24"] and a.peers()["host2"].document["PrimaryRoutes"] == ["10.9.0.0/24"]
    assert gateway.call("routes approve", node="host2", routes=["exit-node"])["routes"] == ["0.0.0.0/0", "::/0"]
    assert routes(a, "host2") == ["10.9.0.0/24", "0.0.0.0/0", "::/0"]
    assert a.peers()["host2"].document["PrimaryRoutes"] == ["10.9.0.0/24"]  # an exit route is no subnet
    assert "in force" in SHOWN["routes list"](gateway.call("routes list"), 0)
    gateway.call("routes withdraw", node="host2", routes=["::/0"])  # one family alone would leak the other: both go
    assert routes(a, "host2") == ["10.9.0.0/24"]
    assert gateway.call("routes withdraw", node="host2")["in_force"] == []
    assert routes(a, "host2") == []


def test_approving_twice_and_without_naming(gateway):
    a, b = join(gateway, 1), join(gateway, 2)
    b.update(hostinfo=OFFER)
    for _ in range(2):
        assert gateway.call("routes approve", node="host2")["in_force"] == OFFER["RoutableIPs"]
    b.update(hostinfo={})
    assert routes(a, "host2") == []
    assert {row["advertised"] for row in gateway.call("routes list")["routes"]} == {False}
    b.update(hostinfo=OFFER)  # an approval outlives a node's change of mind
    assert routes(a, "host2") == OFFER["RoutableIPs"]


@pytest.mark.parametrize(
    ("verb", "given", "words"),
    [
        ("routes approve", ["10.0.0.0/8"], "host2 does not advertise 10.0.0.0/8, only 10.9.0.0/24"),
        ("routes approve", ["exit-node"], "does not advertise 0.0.0.0/0"),
        ("routes approve", ["10.9.0.1/24"], "is no route"),
        ("routes approve", ["office"], "expected a prefix such as"),
        ("routes withdraw", ["10.9.0.0/24"], "does not have approval for 10.9.0.0/24"),
        ("routes withdraw", None, "does not have approval for any route"),
    ],
)
def test_what_is_refused(gateway, verb, given, words):
    join(gateway, 2).update(hostinfo={"RoutableIPs": ["10.9.0.0/24"]})
    with pytest.raises(AdminError, match=words):
        gateway.call(verb, node="host2", routes=given)
    assert all(not row["approved"] for row in gateway.call("routes list")["routes"])


def test_members_see_their_own_and_approve_nothing(gateway):
    gateway.call("users create", name="ben")
    join(gateway, 1).update(hostinfo=OFFER)
    join(gateway, 2, user="ben").update(hostinfo=OFFER)
    ben = next(user for user in gateway.coordinator.members.users.values() if user.name == "ben")
    seen = admin.call(gateway.coordinator, "routes list", {}, gateway.now, user=ben)["routes"]
    assert {row["node"] for row in seen} == {"host2"}
    with pytest.raises(AdminError, match="takes an admin"):
        admin.call(gateway.coordinator, "routes approve", {"node": "host2"}, gateway.now, user=ben)


def test_the_default_policy_lets_a_user_through_their_own_router_and_nobody_else(gateway):
    gateway.call("users create", name="ben")
    mine, router, other = join(gateway, 1), join(gateway, 2), join(gateway, 3, user="ben")
    tagged = join(gateway, 4, tags=["tag:router"])
    for each in (router, tagged):
        each.update(hostinfo=OFFER)
    assert "10.9.0.0/24" not in destinations(router)
    gateway.call("routes approve", node="host2", routes=["10.9.0.0/24"])
    gateway.call("routes approve", node="host4")
    for each in (router, tagged):
        assert "10.9.0.0/24" in destinations(each)
        sources = {source for rule in each.network.packet_filter() for source in rule["SrcIPs"]}
        assert "100.64.0.1" in sources and "100.64.0.3" not in sources
    public = set(edges.INTERNET)
    assert public <= destinations(tagged) and not public & destinations(router)
    assert "host2" in mine.peers() and other.peers() == {}
    gateway.call("routes withdraw", node="host4", routes=["exit-node"])
    assert not public & destinations(tagged)


def test_a_policy_may_name_the_internet(gateway):
    rule = {"action": "accept", "src": ["autogroup:owner"], "dst": ["autogroup:internet:443"]}
    gateway.call("policy set", text=json.dumps({"acls": [rule]}))
    a, b = join(gateway, 1), join(gateway, 2, tags=["tag:exit"])
    b.update(hostinfo=OFFER)
    assert a.peers() == {}
    gateway.call("routes approve", node="host2", routes=["10.9.0.0/24"])
    assert a.peers() == {}  # a subnet router is no way to the Internet
    gateway.call("routes approve", node="host2", routes=["exit-node"])
    assert "host2" in a.peers() and "2000::/3" in destinations(b) and "10.9.0.0/24" not in destinations(b)


# what the policy approves by itself, and who is led through whom

TAGS = {"tag:west": [], "tag:east": []}
APPROVING = {"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}], "tagOwners": TAGS}
APPROVERS = {"routes": {"10.0.0.0/8": ["tag:west"]}, "exitNode": ["owner@"]}


def set_policy(gateway, **document):
    return gateway.call("policy set", text=json.dumps(document))


def give_tags(gateway, name, *tags):
    gateway.coordinator.change_node(gateway.node(name).id, "owner", "tag", gateway.now, tags=tags, user_id=None)
    gateway.deliver()


def approved(gateway, name):
    return gateway.node(name).routes_approved


def test_the_policy_approves_what_a_node_advertises(gateway):
    set_policy(gateway, **APPROVING, autoApprovers=APPROVERS)
    a, west = join(gateway, 1), join(gateway, 2, tags=["tag:west"])
    west.update(hostinfo=OFFER)
    assert routes(a, "host2") == ["10.9.0.0/24"] and approved(gateway, "host2") == ("10.9.0.0/24",)
    a.update(hostinfo=OFFER)
    assert approved(gateway, "host1") == ("0.0.0.0/0", "::/0") and routes(west, "host1") == ["0.0.0.0/0", "::/0"]
    with gateway.store.read() as c:
        log = [(entry["actor"], entry["verb"]) for entry in queries.audit(c, gateway.coordinator.members.network.id)]
    assert log.count(("policy", "routes approve")) == 2


def test_the_policy_approves_with_the_registration(gateway):
    set_policy(gateway, **APPROVING, autoApprovers=APPROVERS)
    a, west = join(gateway, 1), Client(gateway, 2)
    west.register(auth=gateway.key(tags=["tag:west"]), hostinfo=OFFER)
    assert routes(a, "host2") == ["10.9.0.0/24"]


def test_a_new_policy_approves_at_once_and_takes_nothing_away(gateway):
    set_policy(gateway, **APPROVING)
    a, west = join(gateway, 1), join(gateway, 2, tags=["tag:west"])
    west.update(hostinfo=OFFER)
    assert routes(a, "host2") == []
    set_policy(gateway, **APPROVING, autoApprovers=APPROVERS)
    assert routes(a, "host2") == ["10.9.0.0/24"]
    set_policy(gateway, **APPROVING)  # an approval stays until somebody withdraws it
    assert routes(a, "host2") == ["10.9.0.0/24"]
    gateway.call("routes withdraw", node="host2")
    assert routes(a, "host2") == []


def test_a_withdrawal_by_a_person_outlasts_the_policy(gateway):
    set_policy(gateway, **APPROVING, autoApprovers=APPROVERS)
    a, west = join(gateway, 1), join(gateway, 2, tags=["tag:west"])
    west.update(hostinfo=OFFER)
    gateway.call("routes withdraw", node="host2", routes=["10.9.0.0/24"])
    west.update(hostinfo={**OFFER, "OS": "other"})
    set_policy(gateway, **APPROVING, autoApprovers={**APPROVERS, "exitNode": []})
    assert routes(a, "host2") == []


def test_a_node_that_takes_a_tag_gets_what_the_tag_may_carry(gateway):
    set_policy(gateway, **APPROVING, autoApprovers=APPROVERS)
    a, b = join(gateway, 1), join(gateway, 2)
    b.update(hostinfo={"RoutableIPs": ["10.9.0.0/24"]})
    assert routes(a, "host2") == []
    give_tags(gateway, "host2", "tag:west")
    assert routes(a, "host2") == ["10.9.0.0/24"]


VIA = [
    {"src": ["ana@"], "dst": ["10.9.0.0/24"], "via": ["tag:west"], "ip": ["*"]},
    {"src": ["ben@"], "dst": ["10.9.0.0/24"], "via": ["tag:east"], "ip": ["*"]},
    {"src": ["owner@"], "dst": ["tag:west", "tag:east"], "ip": ["22"]},
]


def via(gateway):
    for name in ("ana", "ben"):
        gateway.call("users create", name=name)
    set_policy(gateway, grants=VIA, tagOwners=TAGS, autoApprovers={"routes": {"10.0.0.0/8": list(TAGS)}})
    viewers = [join(gateway, 1), join(gateway, 2, user="ana"), join(gateway, 3, user="ben")]
    routers = [join(gateway, 4 + i, tags=[tag]) for i, tag in enumerate(("tag:west", "tag:east", "tag:east"))]
    for router in routers:
        router.update(hostinfo={"RoutableIPs": ["10.9.0.0/24"]})
    return viewers, routers


def all_routes(client):
    return {name: routes(client, name) for name in client.peers()}


def test_each_viewer_is_led_through_the_routers_of_its_via(gateway):
    (owner, ana, ben), _ = via(gateway)
    assert all_routes(owner) == {"host4": [], "host5": [], "host6": []}  # sees them, has nothing to do with what is behind
    assert all_routes(ana) == {"host4": ["10.9.0.0/24"]}
    assert all_routes(ben) == {"host5": ["10.9.0.0/24"], "host6": []}
    assert ben.peers()["host5"].document["PrimaryRoutes"] == ["10.9.0.0/24"]
    assert "PrimaryRoutes" not in owner.peers()["host4"].document


def test_a_via_fails_over_among_its_routers(gateway):
    (_, ana, ben), (_, east, _) = via(gateway)
    told = len(ana.maps)
    east.close()
    gateway.advance(11_000)
    assert all_routes(ben) == {"host5": [], "host6": ["10.9.0.0/24"]}
    assert all_routes(ana) == {"host4": ["10.9.0.0/24"]} and len(ana.maps) == told
    east.connect()
    east.stream()
    assert all_routes(ben) == {"host5": ["10.9.0.0/24"], "host6": []}


def test_a_via_follows_tags_and_policy(gateway):
    (_, ana, ben), _ = via(gateway)
    give_tags(gateway, "host4", "tag:east")  # the lowest of the east now, and none is west
    assert all_routes(ben) == {"host4": ["10.9.0.0/24"], "host5": [], "host6": []} and all_routes(ana) == {}
    set_policy(gateway, grants=[{**VIA[1], "src": ["ana@"]}], tagOwners=TAGS)
    assert all_routes(ana) == {"host4": ["10.9.0.0/24"], "host5": [], "host6": []} and all_routes(ben) == {}


def test_viewers_with_the_same_routes_share_a_record(gateway):
    via(gateway)
    owners = join(gateway, 7)
    maps, node = gateway.coordinator.maps, gateway.node("host4")
    first, second = (maps.streams[gateway.node(name).id].peers[node.id] for name in ("host1", "host7"))
    assert first is second and allowed(owners, "host4") == first["Addresses"]
