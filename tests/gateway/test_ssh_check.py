"""SSH logins that a policy wants confirmed: what nodes are sent, who may decide, and what becomes of the request that is held."""

import json
from urllib.parse import quote

import pytest

from skerry_gateway.admin import AdminError
from skerry_gateway.control.sshcheck import LIFE_MS, MAX_OPEN_EACH, WAIT_MS
from skerry_gateway.control.wire import SSH
from tests.gateway.control_bench import Gateway, join

OWNER = 1
RULES = [
    {"action": "check", "src": ["autogroup:member"], "dst": ["tag:cam"], "users": ["root"], "checkPeriod": "1h"},
    {"action": "accept", "src": ["autogroup:owner"], "dst": ["tag:cam"], "users": ["pi"]},
]


def policy(ssh, attributes=()):
    grants = [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]
    return json.dumps({"tagOwners": {"tag:cam": []}, "grants": grants, "ssh": ssh, "nodeAttrs": list(attributes)})


@pytest.fixture
def world():
    gateway = Gateway()
    gateway.call("policy set", text=policy(RULES))
    laptop, cam = join(gateway, 1, "laptop", tags=None), join(gateway, 2, "cam", tags=["tag:cam"])
    return gateway, laptop, cam


def ids(gateway):
    return [next(node.id for node in gateway.coordinator.members.nodes.values() if node.name == name) for name in ("laptop", "cam")]


def ask(world, login="root", who=None):
    """The receiving node's first request; (stream, answer or None)."""
    gateway, _laptop, cam = world
    source, target = ids(gateway)
    return answered(who or cam, f"/machine/ssh/action/{source}/to/{target}?ssh_user={quote(login)}&local_user=root")


def answered(client, path):
    stream = client.get(path)
    return stream, json.loads(client.answers[stream][1]) if stream in client.answers else None


def wait_path(answer):
    return answer["holdAndDelegate"].removeprefix("https://unused")


def token(answer):
    return wait_path(answer).rpartition("/")[2]


def test_nodes_are_sent_their_ssh_rules_and_attributes_and_what_changes_of_them(world):
    gateway, laptop, cam = world
    rules = cam.maps[-1].get("SSHPolicy") or cam.maps[0]["SSHPolicy"]
    assert [next(iter(rule["action"])) for rule in rules["rules"]] == ["holdAndDelegate", "accept"]
    assert SSH in cam.maps[0]["Node"]["CapMap"] and SSH not in laptop.maps[0]["Node"]["CapMap"] and "SSHPolicy" not in laptop.maps[0]
    before = len(cam.maps), len(laptop.maps)
    gateway.call("policy set", text=policy([], [{"target": ["tag:cam"], "attr": ["funnel"]}]))
    changes = cam.maps[before[0] :]
    assert changes[-1]["SSHPolicy"] == {"rules": []} and set(changes[-1]["Node"]["CapMap"]) >= {"funnel"}
    assert SSH not in changes[-1]["Node"]["CapMap"] and not any("SSHPolicy" in message for message in laptop.maps[before[1] :])


def test_a_login_waits_for_its_person_and_counts_for_the_period(world):
    gateway, _laptop, cam = world
    _, first = ask(world)
    assert "/ssh/" + token(first) in first["message"]
    stream, answer = answered(cam, wait_path(first))
    assert answer is None
    gateway.coordinator.decide_ssh(token(first), OWNER, True, gateway.now)
    gateway.deliver()
    assert cam.result(stream)["accept"] is True
    assert ask(world)[1]["accept"] is True, "within the period nobody is asked again"
    gateway.advance(3600_000)
    assert "holdAndDelegate" in ask(world)[1]


def test_a_refused_login_is_rejected(world):
    gateway, _, cam = world
    _, first = ask(world)
    gateway.coordinator.decide_ssh(token(first), OWNER, False, gateway.now)
    assert answered(cam, wait_path(first))[1]["reject"] is True
    with pytest.raises(AdminError, match="no longer waits"):
        gateway.coordinator.decide_ssh(token(first), OWNER, True, gateway.now)


def test_a_held_request_is_answered_after_a_while(world):
    gateway, _, cam = world
    _, first = ask(world)
    stream, _ = answered(cam, wait_path(first))
    gateway.advance(WAIT_MS + 1)
    assert cam.result(stream)["holdAndDelegate"].endswith(token(first))
    gateway.advance(LIFE_MS)
    assert answered(cam, wait_path(first))[1]["reject"] is True


def test_only_the_owner_of_the_source_decides(world):
    gateway, _, _ = world
    gateway.call("users create", name="eve", role="admin")
    eve = next(user.id for user in gateway.coordinator.members.users.values() if user.name == "eve")
    _, first = ask(world)
    with pytest.raises(AdminError, match="only the owner of laptop"):
        gateway.coordinator.decide_ssh(token(first), eve, True, gateway.now)


def test_what_no_check_rule_has_is_refused(world):
    gateway, laptop, cam = world
    source, target = ids(gateway)
    assert "does not allow" in ask(world, "pi")[1]["message"], "an accept rule needs no question"
    assert "does not know" in ask(world, who=laptop)[1]["message"], "only the receiving node asks"
    for path in (f"{target}/to/{source}", f"{source}/to/9999", "x/to/1", f"{source}/to/{target}/more", "wait/nothing", "wait/"):
        assert answered(cam, f"/machine/ssh/action/{path}")[1]["reject"] is True, path
    assert answered(laptop, wait_path(ask(world)[1]))[1]["reject"] is True, "another node's token"


def test_pages_are_bounded_for_each_node(world):
    gateway, _, cam = world
    first = ask(world)[1]
    for _ in range(MAX_OPEN_EACH):
        gateway.advance(200)  # requests are paced
        assert ask(world)[1]["holdAndDelegate"]
    assert answered(cam, wait_path(first))[1]["reject"] is True
