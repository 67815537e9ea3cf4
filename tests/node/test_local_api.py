"""The local API's verbs on a real engine with the real packet path (no sockets, no TUN), a member by a map as a gateway sends it."""

import json
import os
import re
import selectors
from types import SimpleNamespace

import pytest

from skerry_board.identity import Board
from skerry_core.engine import Engine
from skerry_core.engine.disco import ping_result
from skerry_core.engine.peer import Candidate
from skerry_core.errors import LocalError
from skerry_core.path import udp
from skerry_node import clock
from skerry_node.dns.service import Names
from skerry_node.localapi import metrics, tailscale
from skerry_node.localapi.http import Refusal, Request
from skerry_node.localapi.routes import Api
from skerry_node.localapi.server import Later
from skerry_node.localapi.snapshot import find
from skerry_node.log import Log
from skerry_node.membership import Membership
from skerry_node.prefs import Prefs
from skerry_node.state import StateDirectory
from skerry_shim import crypto
from skerry_shim.transport import Transport

SECRET = "canary-pre-auth-key"
GO_STATUS = {"Version", "BackendState", "TailscaleIPs", "Self", "Health", "MagicDNSSuffix", "CurrentTailnet", "Peer", "User"}


def node_json(number, name, key, addresses):
    prefixes = [f"{a}/{128 if ':' in a else 32}" for a in addresses]
    return {"ID": number, "StableID": f"n{number}", "Name": f"{name}.net.example.", "User": 7, "Key": key,
            "Machine": "mkey:" + "0a" * 32,
            "DiscoKey": "discokey:" + crypto.x25519_public(bytes([number]) * 32).hex(), "Addresses": prefixes, "AllowedIPs": prefixes,
            "Endpoints": ["192.0.2.9:41641"], "HomeDERP": 900, "Hostinfo": {"OS": "linux", "Hostname": name},
            "Created": "2026-01-02T03:04:05Z",
            "Cap": 142, "Online": True, "MachineAuthorized": True}  # fmt: skip


class FakePath:
    def __init__(self):
        self.transport, self.name, self.ports, self.problems = Transport(crypto, os.urandom), "t0", (41641, 0), ["a planted problem"]


class FakeNode:
    """What Api and Membership use of a Node; the packet path is real, the operating system is not there."""

    def __init__(self, prefs):
        self.path, self.membership, self.saves, self.answers = FakePath(), Membership(prefs, Log()), 0, {}
        self.membership.belongs_to(self)
        self.engine = Engine(self.membership.config(), crypto, os.urandom, clock.now())
        self.token = 0
        self.selector, self.streams = selectors.DefaultSelector(), SimpleNamespace(look_up_by=lambda before: None)
        self.names = Names(self)

    def health(self):
        return self.path.problems

    def forward(self):
        self.forwarded = self.membership.prefs.offered()

    def save(self, both=False):
        self.saves += 1
        return True

    def command(self, name, arguments, answer=None):
        self.token += 1
        self.answers[self.token] = answer
        self.engine.receive(("command", self.token, name, arguments), clock.now())
        self.turn()

    def turn(self):
        for action in self.engine.actions():
            if action[0] == "apply":
                self.path.transport.apply(action[1])
        for event in self.engine.events():
            if event[0] == "done" and self.answers.get(event[1]):
                self.answers.pop(event[1])(event[2])

    def join(self):
        """As if the gateway had answered: the engine's own way in for a map."""
        peer = "nodekey:" + crypto.x25519_public(b"\5" * 32).hex()
        own = f"nodekey:{self.engine.node_public.hex()}"
        self.engine.logged_in = True
        self.command("up", {"gateway": "http://192.0.2.1:8080"})
        relay = {"Name": "900a", "RegionID": 900, "HostName": "192.0.2.1", "IPv4": "192.0.2.1"}
        document = {
            "version": 1,
            "Node": node_json(1, "camera-1", own, ["100.64.0.1", "fd7a:115c:a1e0::1"]),
            "Peers": [node_json(5, "door", peer, ["100.64.0.5"])],
            "DERPMap": {"Regions": {"900": {"RegionID": 900, "RegionCode": "home", "RegionName": "Home", "Nodes": [relay]}}},
            "UserProfiles": [{"ID": 7, "LoginName": "ana@example", "DisplayName": "Ana"}],
            "Domain": "net.example",
        }
        saved = {**self.engine.save(), "netmap": document, "logged_in": True, "gateway": "http://192.0.2.1:8080"}
        self.engine = Engine({**self.membership.config(), "wanted": True}, crypto, os.urandom, clock.now(), saved)
        self.turn()
        return peer


@pytest.fixture
def node():
    return FakeNode(Prefs({}, {"gateway": "http://192.0.2.1:8080"}))


@pytest.fixture
def api(node):
    return Api(node, ["a planted note"])


def ask(api, method, target, body=None, uid=None):
    request = Request(method, "/localapi/v0/" + target, b"" if body is None else json.dumps(body).encode())
    request.uid = os.geteuid() if uid is None else uid
    answer = api.handle(request)
    if isinstance(answer, Later):
        head, _, data = (answer._answer or b"").partition(b"\r\n\r\n")
        return (int(head.split()[1]), json.loads(data)) if head else None
    return json.loads(json.dumps(answer))


def test_status_before_joining(api):
    shown = ask(api, "GET", "skerry/status")
    assert shown["state"] == "NeedsLogin" and shown["peers"] == [] and shown["self"]["addresses"] == []
    assert shown["health"] == ["a planted note", "a planted problem"]
    assert ask(api, "GET", "status")["TailscaleIPs"] is None


def test_status_of_a_member_in_both_tongues(api, node):
    peer = node.join()
    shown = ask(api, "GET", "skerry/status")
    (door,) = shown["peers"]
    assert (door["name"], door["addresses"], door["online"], door["relay"]) == ("door", ["100.64.0.5"], True, "home")
    assert shown["self"]["dns_name"] == "camera-1.net.example." and shown["from_saved_map"] is True
    theirs = ask(api, "GET", "status")
    assert set(theirs) >= GO_STATUS and theirs["TailscaleIPs"] == ["100.64.0.1", "fd7a:115c:a1e0::1"]
    row = theirs["Peer"][peer]
    assert (row["HostName"], row["DNSName"], row["Relay"], row["CurAddr"], row["UserID"]) == ("door", "door.net.example.", "home", "", 7)
    assert row["Created"] == "2026-01-02T03:04:05Z" and row["LastHandshake"] == tailscale.NEVER
    assert theirs["User"]["7"]["LoginName"] == "ana@example" and theirs["MagicDNSSuffix"] == "net.example"
    assert ask(api, "GET", "status?peers=false")["Peer"] is None


def test_a_path_through_a_udp_relay_in_both_tongues(api, node):
    key = node.join()
    peer = node.engine.peers.all()[0]
    peer.best = Candidate(udp(0, bytes((192, 0, 2, 9)), 7777, 5))
    peer.best.latency, peer.trusted_until = 12, clock.now() + 60_000
    way = {"kind": "peer-relay", "text": "through UDP relay at 192.0.2.9:7777", "address": "192.0.2.9:7777:vni:5", "latency_ms": 12}
    assert ask(api, "GET", "skerry/status")["peers"][0]["path"] == way
    row = ask(api, "GET", "status")["Peer"][key]
    assert (row["PeerRelay"], row["CurAddr"]) == ("192.0.2.9:7777:vni:5", "")
    result = ping_result(node.engine, peer, peer.best.path, 12)
    theirs = tailscale.ping(ask(api, "GET", "skerry/status")["peers"][0], "100.64.0.5", result)
    assert (theirs["PeerRelay"], theirs["Endpoint"], theirs["DERPRegionID"], theirs["Err"]) == ("192.0.2.9:7777:vni:5", "", 0, "")


@pytest.mark.parametrize("address", ["100.64.0.5", "100.64.0.5:443", "nodekey"])
def test_whois(api, node, address):
    peer = node.join()
    found = ask(api, "GET", f"whois?addr={peer if address == 'nodekey' else address}")
    assert found["Node"]["Name"] == "door.net.example." and found["Node"]["Addresses"] == ["100.64.0.5/32"]
    assert found["UserProfile"] == {"ID": 7, "LoginName": "ana@example", "DisplayName": "Ana", "ProfilePicURL": ""}


def test_unknown_names_are_404(api, node):
    node.join()
    for method, target in (
        ("GET", "whois?addr=100.64.0.77"),
        ("GET", "whois?addr="),
        ("GET", "skerry/why?peer=nobody"),
        ("POST", "ping?ip=nobody"),
    ):
        with pytest.raises(Refusal) as refusal:
            ask(api, method, target)
        assert refusal.value.status == 404


def test_why_derpmap_prefs(api, node):
    node.join()
    assert any("door" in line for line in ask(api, "GET", "skerry/why?peer=door")["lines"])
    assert ask(api, "GET", "derpmap")["Regions"]["900"]["RegionCode"] == "home"
    prefs = ask(api, "GET", "prefs")
    assert prefs["ControlURL"] == "http://192.0.2.1:8080" and prefs["WantRunning"] is True
    assert ask(api, "POST", "check-prefs", {}) == {"Error": ""}


def test_who_may_do_what(api, node):
    """Every verb as a stranger: what changes the node is refused, what shows it is not."""
    node.join()
    for (method, name), (access, _verb) in api._verbs.items():
        if access == "write":
            with pytest.raises(Refusal) as refusal:
                ask(api, method, name, {}, uid=12345)
            assert refusal.value.status == 403, name
    changing = {name for (method, name), (access, _verb) in api._verbs.items() if access == "write"}
    ours = {f"skerry/{name}" for name in ("up", "down", "logout", "set", "code", "capture", "record", "switch")}
    assert changing == {"prefs", "start", "login-interactive", "logout", *ours}
    assert ask(api, "GET", "status", uid=12345)["BackendState"]


@pytest.mark.parametrize(
    ("method", "target", "status"), [("GET", "bogus", 404), ("POST", "status", 405), ("DELETE", "prefs", 405), ("GET", "../etc", 404)]
)
def test_verbs_there_are_not(api, method, target, status):
    with pytest.raises(Refusal) as refusal:
        ask(api, method, target)
    assert refusal.value.status == status


def test_down_up_and_set_keep_the_prefs(api, node):
    node.join()
    assert ask(api, "POST", "skerry/down")[0] == 200
    assert node.engine.state == "Stopped" and ask(api, "GET", "prefs")["WantRunning"] is False and node.saves == 1
    status, prefs = ask(api, "PATCH", "prefs", {"WantRunning": True, "WantRunningSet": True, "Hostname": "left-alone"})
    assert status == 200 and prefs["WantRunning"] is True and prefs["Hostname"] == ""
    assert ask(api, "POST", "skerry/set", {"hostname": "gate"})[0] == 200
    assert node.engine.config["hostname"] == "gate" and node.membership.prefs.values["hostname"] == "gate"


def test_bad_changes_change_nothing(api, node):
    node.join()
    before = dict(node.membership.prefs.values)
    for body in ({"gateway": "ftp://x"}, {"hostname": "a b"}, {"bogus": 1}, {"hostname": 5}, {"gateway": "http://198.51.100.1"}):
        with pytest.raises(LocalError):
            ask(api, "POST", "skerry/up", body)
    assert node.membership.prefs.values == before


def test_logout_makes_a_new_key_and_forgets(api, node):
    node.join()
    key = node.engine.node_public
    ask(api, "POST", "logout")
    assert node.engine.node_public != key and ask(api, "GET", "status")["BackendState"] == "NeedsLogin"


def test_keys_are_never_given_back(api, node):
    ask(api, "POST", "start", {"AuthKey": SECRET, "UpdatePrefs": {"ControlURL": "http://192.0.2.1:8080", "WantRunning": True}})
    assert node.membership.prefs.values["key"] == SECRET
    private = [node.engine.save()[name] for name in ("machine_key", "node_key", "disco_key")]
    for method, target in (("GET", "status"), ("GET", "skerry/status"), ("GET", "prefs")):
        text = json.dumps(ask(api, method, target))
        assert SECRET not in text and not any(key in text for key in private)
    assert node.membership._log.redact(f"key {SECRET}!") == "key [redacted]!"


@pytest.mark.parametrize("event", [("state", "Running"), ("error", "gateway x: refused the registration: no such key")])
def test_a_used_key_is_in_no_copy_of_the_state(node, tmp_path, event):
    directory = StateDirectory(str(tmp_path / "state"), Board([], []))
    directory.open()

    def save(both=False):
        directory.save(node.membership.prefs.save(), node.engine.save(), both)
        return True

    node.save = save
    node.membership.prefs.set({"key": SECRET})
    save()
    assert SECRET in (tmp_path / "state" / "state.json").read_text(), "until it was used it survives a power cut"
    node.membership.heard(event)
    directory.close()
    assert not [path.name for path in (tmp_path / "state").iterdir() if SECRET in path.read_text()]


def test_ping_of_ourselves_and_of_other_kinds(api, node):
    node.join()
    assert ask(api, "POST", "ping?ip=100.64.0.1&type=disco")["IsLocalIP"] is True
    assert "use disco" in ask(api, "POST", "ping?ip=100.64.0.5&type=TSMP")["Err"]
    assert ask(api, "POST", "ping?ip=100.64.0.5&type=disco") is None  # under way


def test_find_by_every_name():
    rows = {
        "peers": [{"name": "door", "dns_name": "door.net.", "key": "nodekey:00", "stable_id": "n5", "addresses": ["100.64.0.5", "fd7a::5"]}]
    }
    rows["self"] = {"name": "me", "dns_name": "", "key": "nodekey:01", "stable_id": "", "addresses": []}
    for text in ("door", "DOOR", "door.net", "door.net.", "nodekey:00", "n5", "100.64.0.5", "[fd7a::5]", "fd7a::5"):
        assert find(rows, text) is rows["peers"][0], text
    assert find(rows, "") is None and find(rows, "doo") is None and find(rows, "me") is rows["self"]


def test_metrics_are_what_prometheus_reads(api, node):
    node.join()
    answer = api.handle(Request("GET", "/localapi/v0/metrics", b""))
    text = answer.partition(b"\r\n\r\n")[2].decode()
    assert 'skerry_peers{path="none"} 1\n' in text and "skerry_running 0\n" in text and "skerry_map_age_seconds 0.0\n" in text
    assert 'skerry_peer_sent_bytes_total{peer="door",id="n5"} 0\n' in text
    samples = exposition(text)
    assert len({name for name, _, _ in samples}) == text.count("# TYPE ") >= 8
    assert len({sample[:2] for sample in samples}) == len(samples), "no series twice"


SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? (-?\d+(?:\.\d+)?)\Z')


def exposition(text):
    """[(name, labels, value)] of a page in the text format 0.0.4; what does not fit its grammar fails."""
    found, family = [], ""
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family and kind == ("counter" if name.endswith("_total") else "gauge")
        else:
            match = SAMPLE.match(line)
            assert match and match[1] == family, line
            found.append(match.groups())
    return found


def test_metrics_escape_names():
    page = metrics._family("a", "gauge", "b", [({"peer": 'x"\n\\'}, 1)])
    assert exposition(page) == [("a", 'peer="x\\"\\n\\\\"', "1")]
