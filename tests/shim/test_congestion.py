"""ECN is carried through real sockets and devices, both families inside and outside."""

import json
import subprocess
import sys

import pytest

from tests.netlab.enter import why_not


def test_congestion_is_told_through_the_tunnel():
    reason = why_not()
    if reason:
        pytest.skip(reason)
    command = [sys.executable, "-m", "tests.netlab", sys.executable, "-m", "tests.shim.congestion"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    for outer in ("4", "6"):
        assert result["clean"][outer] == {"4 not capable": 0, "4 ect0": 2, "6 not capable": 0, "6 ect0": 2}, result
        assert result["congested"][outer] == {"4 not capable": 0, "4 ect0": 3, "6 not capable": 0, "6 ect0": 3}, result
        assert result["lied"][outer] == {"4 not capable": None, "4 ect0": 3, "6 not capable": None, "6 ect0": 3}, result
    assert result["counters"]["drop_ecn"] == 4
