"""skerryd's command line, where things are, and what is said in the log."""

import io

import pytest

from skerry_core.errors import LocalError
from skerry_node import daemon, options
from skerry_node.clock import Wall
from skerry_node.log import Log


def test_everything_that_may_be_said():
    chosen = options.parse(["--state", "/s", "--socket=/k", "--tun", "t1", "--port=7", "--config", "/c", "--verbose"])
    assert (chosen.state, chosen.socket, chosen.tun, chosen.port, chosen.config, chosen.verbose) == ("/s", "/k", "t1", 7, "/c", True)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--prt", "1"], 'unknown argument "--prt"'),
        (["--port"], "--port needs a value"),
        (["--port="], "--port needs a value"),
        (["--port", "x"], '"x" is not a number'),
        (["--port", "70000"], "70000 is not a port"),
        (["--tun", "a/b"], "is not an interface name"),
        (["extra"], 'unknown argument "extra"'),
    ],
)
def test_what_is_wrong_is_named_and_ends_with_2(argv, said, capsys):
    assert daemon.main(argv) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_help_and_version(capsys):
    assert daemon.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "examples:" in text and max(len(line) for line in text.splitlines()) <= 100
    assert daemon.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("skerryd ")


def test_defaults_follow_the_user_and_systemd():
    assert options.default_state({}, 0) == "/var/lib/skerry"
    assert options.default_state({"STATE_DIRECTORY": "/var/lib/private/skerry"}, 0) == "/var/lib/private/skerry"
    assert options.default_state({"HOME": "/home/ana"}, 1000) == "/home/ana/.local/state/skerry"
    assert options.default_socket({}, 0) == "/run/skerry/skerryd.sock"
    assert options.default_socket({"XDG_RUNTIME_DIR": "/run/user/1000"}, 1000) == "/run/user/1000/skerry/skerryd.sock"
    assert options.default_socket({"SKERRY_SOCKET": "/x"}, 0) == "/x"


def test_a_named_file_must_exist_and_the_other_need_not(tmp_path):
    chosen = options.parse(["--state", str(tmp_path)])
    assert options.read_file(chosen) == {}
    (tmp_path / "node.toml").write_text("port = 5")
    assert options.read_file(chosen) == {"port": 5}
    with pytest.raises(LocalError, match="there is no file"):
        options.read_file(options.parse(["--config", str(tmp_path / "none.toml")]))


def test_log_redacts_and_says_things_once():
    out = io.StringIO()
    log = Log(out=out)
    log.secrets.add("canary-key")
    log.trouble("refused canary-key\nforged line \x1b[31m", 0)
    log.trouble("refused canary-key\nforged line \x1b[31m", 59_999)
    log.debug("quiet")
    log.trouble("refused canary-key\nforged line \x1b[31m", 60_000)
    assert out.getvalue() == "skerryd: refused [redacted]?forged line ?[31m\n" * 2


def test_log_survives_a_closed_pipe():
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    Log(out=Broken()).say("hello")


def test_wall_tells_of_jumps_only():
    now = [1_000_000]
    wall = Wall(lambda: now[0])
    assert wall.jumped(0) == 1_000_000
    now[0] += 5_500
    assert wall.jumped(5_000) is None  # drift
    now[0] -= 3_600_000
    assert wall.jumped(5_000) == now[0]
    assert wall.jumped(5_000) is None
