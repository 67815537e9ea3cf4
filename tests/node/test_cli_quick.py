"""The command line read without argparse: what it takes, argparse takes alike; and the usual commands load no more than they need."""

import contextlib
import io
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_node.cli import quick
from skerry_node.cli.parser import parser

PLAIN = [
    ["status"],
    ["--json", "status"],
    ["status", "--json"],
    ["--socket", "/a b", "down"],
    ["up"],
    ["up", "--gateway", "https://gw.example", "--key=file:/k", "--hostname", "camera-1", "--json"],
    ["up", "--socket=/x", "--key", "a=b"],
    ["ping", "camera-1"],
    ["why", "100.64.0.1", "--json"],
    ["netcheck"],
    ["logout"],
]
WORDS = [
    "up",
    "down",
    "status",
    "ping",
    "why",
    "logout",
    "--json",
    "--socket",
    "--socket=/s",
    "--gateway",
    "--gateway=",
    "--key=k",
    "--hostname",
]
WORDS += [
    "--timeout",
    "3",
    "camera-1",
    "-c",
    "--",
    "-",
    "",
    "--help",
    "-h",
    "--gate",
    "--no-until-direct",
    "--version",
    "--jso",
    "http://a",
]


@pytest.mark.parametrize("argv", PLAIN, ids=" ".join)
def test_the_usual_lines_need_no_argparse(argv):
    assert vars(quick.read(argv)) == vars(parser().parse_args(argv))


@given(st.lists(st.sampled_from(WORDS), max_size=6))
def test_what_it_takes_argparse_takes_alike(argv):
    found = quick.read(argv)
    if found is not None:
        with contextlib.redirect_stderr(io.StringIO()):
            assert vars(found) == vars(parser().parse_args(argv))


def test_a_usual_command_loads_neither_argparse_nor_typing(tmp_path):
    code = "import sys\nfrom skerry_node.cli import main\ncode = main(['--socket', sys.argv[1], 'status'])\nprint(code, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "none")], capture_output=True, text=True, check=True)
    code, *loaded = done.stdout.split()
    assert code == "3"
    assert not {"argparse", "typing", "urllib.parse", "shutil", "ssl", "cffi", "skerry_core.engine"} & set(loaded)
