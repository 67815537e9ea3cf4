"""Real TUN devices, sockets and threads: TCP through two transports, with next to nothing handed to Python."""

import json
import os
import subprocess
import sys

import pytest

from tests.netlab.enter import why_not

MEGABYTES = 100


@pytest.mark.parametrize(
    ("processors", "asked", "each"),
    [(2, 0, 2), (1, 0, 1), (2, 6, 6)],  # one for each direction, one for both, three for each
)
def test_tcp_through_two_transports(processors, asked, each):
    reason = why_not()
    if reason:
        pytest.skip(reason)
    chosen = sorted(os.sched_getaffinity(0))[:processors]
    if len(chosen) < processors:
        pytest.skip(f"needs {processors} processors, has {len(chosen)}")
    command = ["taskset", "-c", ",".join(map(str, chosen)), sys.executable, "-m", "tests.netlab", sys.executable]
    command += ["-m", "tests.shim.tunnel", str(MEGABYTES), str(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["threads"] == 2 * each
    assert result["counters"]["a"]["to_python"] + result["counters"]["b"]["to_python"] < 100, result["counters"]
    assert result["stats"]["a"]["tx_bytes"] > MEGABYTES << 20
    assert result["stats"]["b"]["rx_bytes"] > MEGABYTES << 20
    assert result["wan_bytes_ipv6"] > 4 << 20
    edges = {name: sorted(event[2] for event in events if event[0] == "edge") for name, events in result["events"].items()}
    assert edges == {"a": [1, 2], "b": [1, 2, 8]}, result["events"]
    for counters in result["counters"].values():
        assert not {"drop_auth", "drop_malformed", "drop_source", "drop_filter", "drop_index"} & set(counters), counters
