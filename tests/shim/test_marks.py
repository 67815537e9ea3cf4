"""The outer header, MSS and packets that are too big, through the kernel's own eyes."""

import json
import subprocess
import sys

import pytest

from tests.netlab.enter import why_not


def test_headers_through_the_tunnel():
    reason = why_not()
    if reason:
        pytest.skip(reason)
    command = [sys.executable, "-m", "tests.netlab", sys.executable, "-m", "tests.shim.marks"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["outer"] == [[0, 0], [1, 0], [2, 0], [3, 0]], "ECN is copied, DSCP is not; DF is not set"
    assert all(value <= 1240 for value in result["mss"]["4"]) and all(value <= 1220 for value in result["mss"]["6"]), result["mss"]
    assert result["path_mtu"] == {"4": 1280, "6": 1280}
    assert result["counters"]["a"]["drop_too_big"] >= 2
