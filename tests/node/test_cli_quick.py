"""The command line read without argparse: what it takes, argparse takes alike; and the usual commands load no more than they need."""

import contextlib
import io
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_node.cli import quick
from skerry_node.cli.client import encode
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


def test_a_usual_command_loads_little_before_it_asks():
    code = "import sys\nfrom skerry_node.cli import client, quick\nquick.read(['up', '--key', 'k'])\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    dear = {"argparse", "typing", "json", "re", "textwrap", "urllib.parse", "shutil", "ssl", "cffi", "skerry_core.engine"}
    assert not dear & set(done.stdout.split())


@given(
    st.dictionaries(st.text(max_size=9), st.text(max_size=9) | st.integers() | st.booleans() | st.none() | st.lists(st.text(), max_size=2))
)
def test_what_is_encoded_without_the_library_is_the_same_json(body):
    assert json.loads(encode(body)) == body
