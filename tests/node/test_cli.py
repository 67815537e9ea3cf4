"""skerry against a local API on a real socket: what is printed, which exit status, what is asked of skerryd."""

import json
import selectors
import subprocess
import threading

import pytest

from skerry_node.cli import main, output
from skerry_node.localapi.http import Refusal
from skerry_node.localapi.server import Feed, LocalServer
from skerry_node.signin import code_of

GATEWAY = "https://gw.example"
NODE = {
    "id": 1,
    "stable_id": "n1",
    "key": "nodekey:" + "01" * 32,
    "name": "camera-1",
    "dns_name": "camera-1.net.",
    "hostname": "camera-1",
    "os": "linux",
    "user": 1,
    "tags": [],
    "addresses": ["100.64.0.1"],
    "allowed_ips": [],
    "primary_routes": [],
    "expired": False,
    "online": True,
    "last_seen": None,
    "created": None,
    "key_expiry": None,
    "relay": "home",
    "endpoints": [],
}
PEER = {
    **NODE,
    "name": "door",
    "addresses": ["100.64.0.2"],
    "rx_bytes": 1_234_567,
    "tx_bytes": 999,
    "last_handshake_ms": 5,
    "active": True,
    "path": {"kind": "direct", "text": "direct 192.0.2.1:41641", "address": "192.0.2.1:41641", "latency_ms": 3.2},
}
SHOWN = {
    "version": "0",
    "state": "Running",
    "wanted": True,
    "gateway": GATEWAY,
    "connected": True,
    "from_saved_map": False,
    "auth_url": "",
    "error": "",
    "health": [],
    "tun": "t",
    "port4": 1,
    "port6": 1,
    "network": "net",
    "home_relay": "home",
    "self": NODE,
    "peers": [PEER],
    "users": {},
}


class Daemon:
    """Answers by a table; runs in a thread of its own, as skerryd runs in a process of its own."""

    def __init__(self, path):
        self.path = str(path)
        self.asked, self.answers, self.feeds = [], {}, []
        self.selector = selectors.DefaultSelector()
        self.server = LocalServer(self.selector, self.path, self.handle, lambda: 0)
        self.stopping = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopping:
            for key, mask in self.selector.select(0.02):
                key.data(mask)
        self.server.close()

    def stop(self):
        self.stopping = True
        self.thread.join(5)

    def handle(self, request):
        name = request.path.removeprefix("/localapi/v0/")
        self.asked.append((request.method, name, request.document(), request.query))
        answer = self.answers.get(name, {})
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return answer()
        return answer


@pytest.fixture
def daemon(tmp_path):
    daemon = Daemon(tmp_path / "sock")
    daemon.answers["skerry/status"] = SHOWN
    yield daemon
    daemon.stop()


@pytest.fixture
def run(daemon, capsys, monkeypatch):
    monkeypatch.delenv("SKERRY_KEY", raising=False)

    def run(*argv):
        code = main(["--socket", daemon.path, *argv])
        captured = capsys.readouterr()
        for line in (captured.out + captured.err).splitlines():
            assert len(line) <= 100 or "://" in line or "--json" in argv or argv[0] == "completion"
        return code, captured.out, captured.err

    return run


def lines(daemon, *events):
    """skerry/watch: a start, then `events` once somebody asked to go up."""
    start = {"event": "start", "state": "NeedsLogin", "auth_url": "", "auth_code": "", "error": ""}

    def watch():
        feed = Feed(json.dumps(start).encode() + b"\n")
        daemon.feeds.append(feed)
        return feed

    def up():
        daemon.answers["skerry/status"] = iter([{**SHOWN, "state": "Starting"}, SHOWN]).__next__
        for event in events:
            daemon.feeds[-1].line(json.dumps(event).encode() + b"\n")
        return {"state": "Starting"}

    daemon.answers.update({"skerry/watch": watch, "skerry/up": up, "skerry/status": {**SHOWN, "state": "NeedsLogin"}})


def test_status_is_a_table(run):
    code, out, err = run("status")
    assert code == 0 and err == ""
    assert out.splitlines()[0] == "Connected to https://gw.example"
    assert "door      100.64.0.2  999 B  1.2 MB    direct 192.0.2.1:41641 (3.2 ms)" in out


def test_status_json_is_the_snapshot(run):
    assert json.loads(run("status", "--json")[1]) == SHOWN
    assert json.loads(run("--json", "status")[1]) == SHOWN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"state": "NeedsLogin", "wanted": False}, "skerry up --gateway URL"),
        ({"state": "NeedsLogin", "auth_url": "https://gw.example/register/x"}, "open:\n  https://gw.example/register/x"),
        ({"state": "Stopped"}, "Come back with skerry up"),
        ({"state": "NeedsMachineAuth"}, "Waiting for approval"),
        (
            {"state": "Starting", "connected": False, "from_saved_map": True, "error": "gateway: no answer"},
            "from the saved map\ngateway: no answer",
        ),
        ({"state": "Running", "connected": False, "error": "gateway: no answer"}, "does not answer"),
        ({"health": ["UDP port 41641 is in use"]}, "warning: UDP port 41641 is in use"),
    ],
)
def test_status_says_what_is_wrong_and_what_to_do(run, daemon, change, said):
    daemon.answers["skerry/status"] = {**SHOWN, **change}
    assert said in run("status")[1]


def test_hostile_names_do_not_drive_the_terminal(run, daemon):
    daemon.answers["skerry/status"] = {**SHOWN, "peers": [{**PEER, "name": "\x1b[2Jdoor\n" + "x" * 200}]}
    out = run("status")[1]
    assert "\x1b" not in out and "?[2Jdoor?xxx" in out


def test_up_waits_until_connected(run, daemon):
    lines(daemon, {"event": "state", "state": "Starting"}, {"event": "map"}, {"event": "state", "state": "Running"})
    code, out, _ = run("up", "--gateway", GATEWAY, "--hostname", "camera-1", "--timeout", "10")
    assert code == 0 and "Connected as camera-1, 100.64.0.1" in out
    assert next(a for a in daemon.asked if a[1] == "skerry/up")[2] == {"gateway": GATEWAY, "hostname": "camera-1"}


def test_up_prints_the_link_and_goes_on_waiting(run, daemon):
    link = {"event": "auth-url", "url": "https://gw.example/register/abc"}
    lines(daemon, link, link, {"event": "state", "state": "NeedsMachineAuth"}, {"event": "state", "state": "Running"})
    code, out, _ = run("up", "--gateway", GATEWAY, "--timeout", "10")
    assert code == 0 and out.count("https://gw.example/register/abc") == 1 and "Waiting for approval" in out


def test_up_shows_the_code_that_the_approval_page_shows(run, daemon):
    from skerry_gateway.control.registration import SignIn

    token = "Ab3-_" * 8 + "xyz"
    code = SignIn(token, None, 0, "").code
    assert code_of(f"https://gw.example/register/{token}") == code and len(code) == 9
    lines(
        daemon, {"event": "auth-url", "url": f"https://gw.example/register/{token}", "code": code}, {"event": "state", "state": "Running"}
    )
    assert f"this code: {code}" in run("up", "--gateway", GATEWAY, "--timeout", "10")[1]
    shown = {"state": "NeedsLogin", "auth_url": f"https://gw.example/register/{token}", "auth_code": code}
    daemon.answers["skerry/status"] = {**SHOWN, **shown}
    assert f"this code: {code}" in run("status")[1]


@pytest.mark.parametrize(
    "url", ["", "https://login.example/a/" + "x" * 43, "https://hs.example/register/" + "x" * 24, "https://h/r/register/" + "x" * 43]
)
def test_links_of_other_control_servers_have_no_code(url):
    assert code_of(url) == ""


def test_what_a_gateway_says_does_not_drive_the_terminal(run, daemon):
    lines(daemon, {"event": "error", "error": "\x1b[2Jno"}, {"event": "failed", "error": "refused: \x1b]0;owned\x07"})
    _, out, err = run("up", "--gateway", GATEWAY, "--timeout", "10")
    assert "\x1b" not in out + err and "?[2Jno" in out and "owned" in err


@pytest.mark.parametrize("value", ["-5", "0", "nan", "inf", "soon"])
def test_a_timeout_that_is_none_is_refused(value, capsys):
    with pytest.raises(SystemExit) as end:
        main(["up", f"--timeout={value}"])
    assert end.value.code == 2 and "seconds above 0" in capsys.readouterr().err


def test_without_a_command_it_says_what_there_is(capsys):
    assert main([]) == 2
    assert "netcheck" in capsys.readouterr().err


def test_up_fails_when_the_key_is_refused(run, daemon):
    lines(
        daemon,
        {"event": "error", "error": "gateway: no answer"},
        {"event": "failed", "error": "gateway: refused the registration: key used"},
    )
    code, out, err = run("up", "--gateway", GATEWAY, "--key", "k", "--timeout", "10")
    assert code == 1 and "gateway: no answer" in out and "key used" in err


def test_up_gives_up_in_time_and_says_who_goes_on(run, daemon):
    lines(daemon)
    code, _, err = run("up", "--gateway", GATEWAY, "--timeout", "0.3")
    assert code == 1 and "skerryd goes on trying" in err


def test_up_when_connected_already_is_done_at_once(run, daemon):
    lines(daemon)
    daemon.answers["skerry/up"] = {"state": "Running"}
    daemon.answers["skerry/status"] = SHOWN
    assert run("up", "--timeout", "10")[0] == 0


@pytest.mark.parametrize("argv", [("--gateway", "ftp://x"), ("--gateway", "gw"), ("--gateway", GATEWAY, "--hostname", "a b")])
def test_up_checks_before_it_asks(run, daemon, argv):
    code, _, err = run("up", *argv)
    assert code == 1 and "skerry up: " in err and daemon.asked == []


def test_a_key_comes_from_a_file_or_the_environment_too(run, daemon, tmp_path, monkeypatch):
    (tmp_path / "key").write_text("from-file\n")
    for argv, environment, expected in (
        (("--key", f"file:{tmp_path}/key"), None, "from-file"),
        ((), "from-environment", "from-environment"),
    ):
        if environment:
            monkeypatch.setenv("SKERRY_KEY", environment)
        lines(daemon, {"event": "state", "state": "Running"})
        assert run("up", "--gateway", GATEWAY, *argv, "--timeout", "10")[0] == 0
        assert [a for a in daemon.asked if a[1] == "skerry/up"][-1][2]["key"] == expected


def test_refusals_are_told(run, daemon):
    daemon.answers["skerry/down"] = Refusal(403, "only root may change this node: use sudo")
    assert run("down") == (1, "", "skerry: only root may change this node: use sudo\n")


def test_ping_stops_at_the_first_direct_answer(run, daemon):
    daemon.answers["skerry/ping"] = {"name": "door", "ip": "100.64.0.2", "via": "192.0.2.1:41641", "latency_ms": 12, "direct": True}
    code, out, _ = run("ping", "door")
    assert (code, out) == (0, "answer from door (100.64.0.2) via 192.0.2.1:41641 in 12 ms\n")


def test_ping_without_an_answer_fails(run, daemon):
    daemon.answers["skerry/ping"] = {"name": "door", "ip": "100.64.0.2", "error": "door did not answer in 5 s"}
    code, out, _ = run("ping", "-c", "1", "door")
    assert code == 1 and "no answer from door: door did not answer" in out
    code, out, _ = run("ping", "-c", "1", "--json", "door")
    assert code == 1 and json.loads(out)[0]["error"]


def test_netcheck_why_logout(run, daemon):
    daemon.answers["skerry/netcheck"] = {
        "udp": True,
        "ipv4": "192.0.2.9:1",
        "ipv6": None,
        "mapping_varies": False,
        "home_region": 1,
        "home_code": "fra",
        "regions": [{"id": 1, "code": "fra", "latency_ms": 9}, {"id": 2, "code": "ams", "latency_ms": None}],
    }
    out = run("netcheck")[1]
    assert "relay fra" in out and "9.0 ms" in out and "no answer" in out
    daemon.answers["skerry/why"] = {"name": "door", "key": "", "lines": ["door is reached directly.", "x" * 10 + " y" * 100]}
    assert "door is reached directly." in run("why", "door")[1]
    assert run("logout")[0] == 0


def test_doctor_tells_what_to_do_and_its_exit_code(run, daemon):
    rows = [{"check": "mtu", "verdict": "warning", "reason": "The MTU is small.", "remedy": "Raise it."}]
    daemon.answers["skerry/doctor"] = {"verdict": "warning", "checks": rows}
    code, out, _ = run("doctor")
    assert code == 0 and "mtu       warning  The MTU is small.\n                   Raise it." in out
    rows.append({"check": "keys", "verdict": "bad", "reason": "This node is\x1b not a member.", "remedy": "Join."})
    daemon.answers["skerry/doctor"] = {"verdict": "bad", "checks": rows}
    code, out, _ = run("doctor")
    assert code == 1 and "keys      bad      This node is? not a member." in out
    code, out, _ = run("doctor", "--json")
    assert code == 1 and [row["verdict"] for row in json.loads(out)["checks"]] == ["warning", "bad"]


def test_skerryd_that_is_not_there(tmp_path, capsys):
    assert main(["--socket", str(tmp_path / "none"), "status"]) == 3
    assert "skerryd is not running" in (err := capsys.readouterr().err) and "sudo" in err


def test_a_stranger_on_the_socket(daemon, capsys):
    import socket

    sock = socket.socket(socket.AF_UNIX)
    sock.bind(daemon.path + "2")
    sock.listen()

    def answer():
        far, _ = sock.accept()
        far.recv(1000)
        far.sendall(b"\x00\x01rubbish that is no HTTP at all")
        far.close()

    thread = threading.Thread(target=answer)
    thread.start()
    assert main(["--socket", daemon.path + "2", "status"]) == 1
    assert "not HTTP" in capsys.readouterr().err
    thread.join(5)
    sock.close()


@pytest.mark.parametrize("argv", [["bogus"], ["ping"], ["up", "--timeout", "x"]])
def test_wrong_arguments_end_with_2(argv, capsys):
    with pytest.raises(SystemExit) as left:
        main(argv)
    assert left.value.code == 2 and "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["up", "down", "status", "ping", "netcheck", "why", "logout"])
def test_help_has_an_example(verb, capsys):
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0 and f"example:\n  skerry {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_960, "10 kB"), (999_499, "999 kB"), (999_600, "1.0 MB"), (5e12, "5.0 TB")],
)
def test_amounts(number, text):
    assert output.amount(int(number)) == text


def hundred():
    """A hundred peers of three owners and a tag, a third of them offline."""
    peers = []
    for number in range(100):
        tags = ["tag:camera"] if number % 2 else []
        name = f"{'camera' if tags else 'host'}-{number}" + ("-" + "x" * 60 if number == 7 else "")
        whose = {"user": 1 + number % 3, "tags": tags, "online": number % 3 != 0}
        peers.append({**PEER, **whose, "name": name, "hostname": name, "addresses": [f"100.64.1.{number}"]})
    users = {str(number): {"LoginName": f"user{number}"} for number in (1, 2, 3)}
    return {**SHOWN, "peers": peers, "users": users}


def test_status_of_a_hundred_peers_fits_a_person(run, daemon):
    daemon.answers["skerry/status"] = hundred
    out = run("status")[1]
    lines = out.split("\n")
    assert max(map(len, lines)) <= 100 and len(lines) < 95 and "\x1b" not in out
    assert "100 peers, 66 online" in lines
    heads = [line for line in lines if " online)" in line]
    assert [head.split(" (")[0] for head in heads] == ["devices of user1", "devices of user2", "devices of user3", "tag:camera"]
    assert all(f"{'camera' if number % 2 else 'host'}-{number}" in out for number in range(100))
    found = run("status", "camera", "--online")[1]
    assert "camera-1 " in found and "host-" not in found and "camera-3 " not in found
    assert "camera-11 " in run("status", "100.64.1.11")[1]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_all_commands(run, daemon, shell):
    out = run("completion", shell)[1]
    for command in ("status", "why", "netcheck", "capture", "completion"):
        assert command in out
    assert "--online" in out and "skerry completion names" in out


def test_bash_completes_commands_options_and_names(run, daemon, tmp_path):
    script = run("completion", "bash")[1]
    (tmp_path / "skerry").write_text("#!/bin/sh\necho door\necho desk\n")
    (tmp_path / "skerry").chmod(0o755)
    for words, expected in ((["skerry", "stat"], "status"), (["skerry", "why", "do"], "door"), (["skerry", "status", "--onl"], "--online")):
        ask = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _skerry; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
        assert done.stdout.split() == [expected], done


def test_names_for_the_shell_are_harmless(run, daemon):
    daemon.answers["skerry/status"] = {**SHOWN, "peers": [PEER, {**PEER, "name": "$(reboot)"}]}
    assert run("completion", "names")[1].split() == ["door"]
