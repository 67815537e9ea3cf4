"""Each check of `skerry doctor`, provoked by a fact, beside a host where all is well."""

import copy

import pytest

from skerry_core import doctor

NOW = 1_790_000_000_000
WELL = {
    "running": True,
    "wall": NOW,
    "gateway_time": NOW + 900,
    "dns": {"servers": ["192.0.2.53"], "problems": [], "named": True},
    "links": [{"name": "eth0", "mtu": 1500}],
    "addresses": 2,
    "udp": True,
    "blocking": [],
    "gateway": {"url": "https://gateway.example", "connected": True, "away_ms": 0, "error": ""},
    "relays": [{"code": "home", "error": "", "latency_ms": 9, "home": True}, {"code": "far", "error": "", "latency_ms": 90, "home": False}],
    "keys": {"member": True, "approved": True, "expired": False, "expires": None},
}
DAY = 86_400_000


def row(check, **changes):
    facts = copy.deepcopy(WELL)
    for name, value in changes.items():
        if isinstance(value, dict):
            facts[name].update(value)
        else:
            facts[name] = value
    return next(each for each in doctor.examine(facts) if each["check"] == check)


def test_all_is_well():
    rows = doctor.examine(WELL)
    assert [each["check"] for each in rows] == ["uplink", "mtu", "clock", "dns", "firewall", "gateway", "relay", "keys"]
    assert {each["verdict"] for each in rows} == {"good"} and doctor.verdict(rows) == "good"
    assert all(each["reason"].endswith(".") and not each["remedy"] for each in rows)


@pytest.mark.parametrize(
    ("check", "changes", "verdict", "words"),
    [
        ("uplink", {"addresses": 0}, "bad", "no address"),
        ("uplink", {"links": []}, "bad", "no default route"),
        ("mtu", {"links": [{"name": "ppp0", "mtu": 1359}]}, "warning", "MTU of ppp0 is 1359 bytes; the tunnel needs 1360"),
        ("clock", {"wall": NOW - 3600_000}, "warning", "1 hour behind"),
        ("clock", {"wall": NOW + 400 * DAY}, "bad", "1 year ahead"),
        ("clock", {"wall": 1000, "gateway_time": None}, "bad", "never set"),
        ("dns", {"dns": {"servers": []}}, "bad", "no DNS server"),
        ("dns", {"dns": {"servers": [], "named": False}}, "warning", "no DNS server"),
        ("dns", {"dns": {"problems": ["names: cannot answer on port 53"]}}, "warning", "port 53"),
        ("firewall", {"udp": False}, "warning", "over UDP"),
        ("firewall", {"blocking": ["ufw drops what this node forwards for its routes; let it through with: ufw x"]}, "bad", "ufw drops"),
        ("gateway", {"gateway": {"connected": False, "away_ms": 90_000, "error": "timed out"}}, "bad", "for 1 minute: timed out."),
        ("gateway", {"gateway": {"connected": False, "away_ms": None}}, "bad", "since the start"),
        ("gateway", {"gateway": {"url": ""}}, "bad", "knows no gateway"),
        ("gateway", {"running": False, "gateway": {"connected": False}}, "warning", "is down"),
        ("relay", {"relays": []}, "warning", "no relay"),
        ("relay", {"relays": [{"code": "home", "error": "refused", "latency_ms": None, "home": True}]}, "bad", "home is not reachable: r"),
        ("relay", {"relays": [{"code": "home", "error": "", "latency_ms": None, "home": False}]}, "warning", "No relay was chosen"),
        ("relay", {"relays": [*WELL["relays"][:1], {**WELL["relays"][1], "error": "refused"}]}, "warning", "far is not reachable"),
        ("keys", {"keys": {"member": False}}, "bad", "not a member"),
        ("keys", {"keys": {"approved": False}}, "bad", "not approved"),
        ("keys", {"keys": {"expired": True}}, "bad", "has expired"),
        ("keys", {"keys": {"expires": NOW - DAY}}, "bad", "has expired"),
        ("keys", {"keys": {"expires": NOW + 3 * DAY}}, "warning", "expires in 2 days"),
    ],
)
def test_what_is_wrong_is_said_with_a_remedy(check, changes, verdict, words):
    found = row(check, **changes)
    assert found["verdict"] == verdict and words in found["reason"], found
    assert found["remedy"].endswith(".") or found["remedy"].startswith("Let it through with: "), found


def test_a_remedy_of_a_firewall_is_its_command():
    said = "ufw drops what this node forwards for its routes; let it through with: ufw route allow in on skerry0"
    assert row("firewall", blocking=[said])["remedy"] == "Let it through with: ufw route allow in on skerry0"


def test_a_wrong_clock_of_this_host_does_not_expire_its_key():
    assert row("keys", wall=NOW + 400 * DAY, keys={"expires": NOW + 30 * DAY})["verdict"] == "good"
