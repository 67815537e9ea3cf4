"""The command line as people and scripts use it: as its own process without a server, and beside one over the admin socket."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from skerry_core.errors import LocalError
from skerry_gateway import cli
from skerry_gateway.admin import VERBS
from skerry_gateway.admin.client import request
from skerry_gateway.admin.tables import SHOWN, since
from skerry_gateway.store import StateDir
from tests.gateway.control_bench import WALL, Gateway, join


def run(capsys, *arguments):
    """(exit code, standard output, standard error)."""
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def test_from_nothing_to_a_key_as_a_process(tmp_path):
    command = [sys.executable, "-m", "skerry_gateway.cli", "--state", tmp_path / "state"]
    made = subprocess.run([*command, "users", "create", "ana"], capture_output=True, text=True, check=True)
    assert made.stdout == "created user ana; to sign in: skerry-gateway users link ana\n" and made.stderr == ""
    key = subprocess.run([*command, "keys", "create", "--user", "ana", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(key.stdout)["key"].startswith("skey-")
    wrong = subprocess.run([*command, "keys", "create", "--user", "eve"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 1 and wrong.stdout == "" and 'there is no user "eve"' in wrong.stderr
    usage = subprocess.run([*command, "keys", "destroy"], capture_output=True, text=True, check=False)
    assert usage.returncode == 2 and "invalid choice" in usage.stderr


def test_a_wrong_state_makes_no_new_gateway(tmp_path, capsys):
    code, out, err = run(capsys, "nodes", "list", "--state", tmp_path / "typo")
    assert code == 1 and out == "" and "there is no gateway in" in err and "serve --state" in err and not (tmp_path / "typo").exists()


def test_state_and_json_stand_anywhere(tmp_path, capsys):
    run(capsys, "users", "create", "ana", "--state", tmp_path)
    wanted = run(capsys, "--state", tmp_path, "--json", "users", "list")
    assert wanted[0] == 0 and json.loads(wanted[1])["users"][0]["name"] == "owner"
    assert run(capsys, "users", "--state", tmp_path, "list", "--json") == wanted
    assert run(capsys, "--json", "users", "list", "--state", tmp_path) == wanted


def test_tables_are_aligned_and_short(tmp_path, capsys):
    for name in ("ana", "somebody.with.a.long.name"):
        run(capsys, "users", "create", name, "--state", tmp_path)
    run(capsys, "keys", "create", "--user", "owner", "--reusable", "--ephemeral", "--tag", "tag:cam", "--state", tmp_path)
    for verb in ("users", "keys", "nodes"):
        code, out, _ = run(capsys, verb, "list", "--state", tmp_path)
        assert code == 0 and all(len(line) <= 100 and line == line.rstrip() for line in out.splitlines())
    lines = run(capsys, "users", "list", "--state", tmp_path)[1].splitlines()
    assert {line.index(role, 5) for line, role in zip(lines, ("ROLE", "owner", "member", "member"), strict=True)} == {27}


def test_policy_from_files_and_standard_input(tmp_path, capsys, monkeypatch):
    state = tmp_path / "state"
    text = '// mine\n{"acls": [],}\n'
    (tmp_path / "p.hujson").write_text(text)
    assert run(capsys, "policy", "set", tmp_path / "p.hujson", "--state", state)[:2] == (0, "policy version 1 is in force\n")
    assert run(capsys, "policy", "get", "--state", state)[1] == text
    monkeypatch.setattr(sys, "stdin", (tmp_path / "p.hujson").open())
    assert run(capsys, "policy", "check", "-", "--state", state)[:2] == (0, "the policy is valid\n")
    (tmp_path / "bad").write_text('{\n"acls": [}')
    code, out, err = run(capsys, "policy", "check", tmp_path / "bad", "--state", state)
    assert code == 1 and out == "" and "syntax error: line 2" in err
    assert run(capsys, "policy", "set", tmp_path / "bad", "--state", state)[0] == 1
    assert "cannot read" in run(capsys, "policy", "set", tmp_path / "none", "--state", state)[2]
    assert run(capsys, "policy", "history", "--state", state)[1].splitlines()[1].startswith("1 ")


def test_errors_with_json_are_json_too(tmp_path, capsys):
    run(capsys, "users", "create", "ana", "--state", tmp_path)
    for words in (("nodes", "why"), ("why",)):
        code, out, err = run(capsys, *words, "desk", "door", "--json", "--state", tmp_path)
        assert code == 1 and 'no node "desk"' in json.loads(out)["error"]
    code, out, err = run(capsys, "nodes", "remove", "x", "--json", "--state", tmp_path)
    assert code == 1 and "no node" in json.loads(out)["error"] and "no node" in err


def test_help_has_examples_and_every_verb_is_there(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0 and "examples:" in out and "skerry-gateway keys create --user ana" in out
    assert SHOWN.keys() == VERBS.keys()
    for verb in VERBS:
        assert run(capsys, *verb.split(), "--help")[0] == 0


def test_an_unusable_state_directory(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, "users", "list", "--state", tmp_path / "file")
    assert code == 1 and "--state DIR" in err


# beside a server


class Server:
    """What serve does on the admin socket: one line in, one line out."""

    def __init__(self, path, answer):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.answer, self.lines = answer, []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as file:
                self.lines.append(json.loads(file.readline()))
                file.write(self.answer)

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (b'{"result": {"removed": "cam", "id": 1}}\n', 0, "removed cam; its access has ended"),
        (b'{"error": "there is no node"}\n', 1, "there is no node"),
        (b"", 1, "without an answer"),
        (b"nonsense\n", 1, "without an answer"),
    ],
)
def test_a_running_server_is_asked(tmp_path, capsys, answer, code, words):
    server = Server(tmp_path / "admin.sock", answer)
    found = run(capsys, "nodes", "remove", "cam", "--state", tmp_path)
    server.close()
    assert found[0] == code and words in found[1] + found[2]
    assert server.lines == [{"verb": "nodes remove", "arguments": {"node": "cam"}}] and not (tmp_path / "gateway.db").exists()


def test_a_socket_left_behind_is_no_server(tmp_path, capsys):
    run(capsys, "users", "create", "ana", "--state", tmp_path)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "admin.sock"))
    left.close()
    assert run(capsys, "users", "list", "--state", tmp_path)[0] == 0


def test_a_server_without_a_socket_holds_the_lock(tmp_path, monkeypatch):
    monkeypatch.setattr("skerry_gateway.admin.client._WAIT_S", 0.1)
    with StateDir(tmp_path).prepare().lock(), pytest.raises(LocalError, match="another skerry-gateway works on"):
        request(Path(tmp_path), "users list", {})


# serve's options


def options(*arguments):
    return cli.serve_options(cli.build_parser().parse_args(["serve", *arguments]))


def test_serve_needs_no_flags():
    found = options()
    assert found.listen == ("", 8080) and found.stun_listen == ("", 3478) and found.url is None and found.state == cli.default_state()


def test_flags_go_before_the_file(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text('url = "https://a.example"\nlisten = "127.0.0.1:1"\ntls_cert = "/c.pem"\nstate = "/var/x"\n')
    found = options("--config", str(file), "--listen", "[::1]:443")
    assert found.url == "https://a.example" and found.listen == ("::1", 443) and found.tls_cert == Path("/c.pem")
    assert found.state == Path("/var/x") and options("--config", str(file), "--state", "/y").state == Path("/y")


LISTEN = {":443": ("", 443), "443": ("", 443), "10.0.0.1": ("10.0.0.1", 8080), "h:0": ("h", 0), "[::]:5": ("::", 5)}


@pytest.mark.parametrize(("text", "wanted"), LISTEN.items())
def test_addresses_to_listen_on(text, wanted):
    assert cli.parse_listen("listen", text, 8080) == wanted


@pytest.mark.parametrize("text", ["::1:443", "x:y", "1.2.3.4:70000", "[::1:5"])
def test_addresses_that_are_none(text):
    with pytest.raises(LocalError, match="--stun-listen"):
        cli.parse_listen("stun_listen", text, 3478)


@pytest.mark.parametrize("content", ["url = 5", "nonsense", 'urls = "x"'])
def test_a_bad_file_is_named(tmp_path, content):
    (tmp_path / "g.toml").write_text(content)
    with pytest.raises(LocalError, match=r"TOML|is not a setting"):
        options("--config", str(tmp_path / "g.toml"))
    with pytest.raises(LocalError, match="cannot read"):
        options("--config", str(tmp_path / "missing.toml"))


# how results are shown


def test_times_are_relative():
    assert since(WALL - 90_000, WALL) == "1 minute ago" and since(None, WALL) == "-"
    assert since(WALL + 90 * 86400_000 - 900, WALL) == "in 90 days"


def test_nodes_in_every_state_are_shown():
    gateway = Gateway()
    join(gateway, 1, "cam")
    gateway.call("network set", key_expiry="180d")
    gone = join(gateway, 2, "gone")
    gone.close()
    gateway.advance(7200_000)
    gateway.call("nodes expire", node="gone")
    from tests.gateway.control_bench import Client

    Client(gateway, 3, "new").register()
    shown = SHOWN["nodes list"](gateway.call("nodes list"), gateway.coordinator.wall(gateway.now))
    lines = shown.splitlines()
    assert lines[1].split() == ["1", "cam", "100.64.0.1", "owner", "online", "now", "-"], "a node stays until told otherwise"
    assert lines[2].split()[4] == "expired" and "2 hours ago" not in lines[1] and "hour" in lines[2]
    assert "new (linux) waits at its sign-in page" in shown and "skerry-gateway nodes approve" in shown
