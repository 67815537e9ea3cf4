"""What the kernel takes over: every step on and off with real devices and sockets, and what is said about it."""

import json
import subprocess
import sys

import pytest

from skerry_core.errors import LocalError
from skerry_shim import transport as shim
from tests.netlab.enter import why_not
from tests.shim.steps import EVERYTHING, SIZE

PACKETS = 2 * SIZE // 1240  # of two transfers, one by one


def test_features_are_named():
    transport = shim.Transport()
    try:
        assert not any(used for name, used in transport.features().items() if name != "lanes") and tuple(transport.features()) == EVERYTHING
        with pytest.raises(LocalError, match="no feature 'warp'; there are vnet_hdr, tso"):
            transport.set_features(["tso", "warp"])
        transport.bind(0, 4, 0)
        assert {name for name, used in transport.features().items() if used} <= {"udp_segment", "udp_gro", "lanes"}
        transport.set_features(["udp_gro"])
        assert not transport.features()["udp_segment"]
        transport.set_features([])
        transport.bind(0, 6, 0)
        assert not any(transport.features().values())
    finally:
        transport.close()


def run(opened):
    reason = why_not()
    if reason:
        pytest.skip(reason)
    command = [sys.executable, "-m", "tests.netlab", sys.executable, "-m", "tests.shim.steps", ",".join(opened)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check(steps, counters):
    for name, step in steps.items():
        assert step["udp"] == [400] * 4, (name, step)
    for each in counters.values():
        assert not {"drop_auth", "drop_malformed", "drop_source", "drop_filter", "drop_index", "drop_tun"} & set(each), counters


def test_every_step_on_and_off():
    result = run(EVERYTHING)
    steps = result["steps"]
    check(steps, result["counters"])
    for name, step in steps.items():
        wanted = set(EVERYTHING if " " in name else name.split(","))
        for used in step["features"].values():  # vnet_hdr stays as the device was opened, unused
            assert {feature for feature, on in used.items() if on} <= wanted | {"vnet_hdr"}
    everything = steps[",".join(EVERYTHING)]
    assert all(everything["features"]["a"][name] for name in ("vnet_hdr", "tso", "merge_tcp", "merge_udp", "udp_gro")), everything
    assert everything["features"]["a"]["udp_segment"] and steps["small mtu"]["features"]["a"]["udp_segment"]
    loaded, rested = result["resident"]
    assert rested < loaded
    for each in (everything, steps["behind Geneve headers"]):  # few writes: what comes through a UDP relay is opened and merged in batches
        assert each["reads"] < PACKETS / 2 and each["writes"] < PACKETS / 2
    assert steps["tso"]["reads"] < everything["reads"] + PACKETS and steps["tso"]["writes"] >= PACKETS
    assert steps["merge_tcp"]["reads"] >= PACKETS
    assert steps[""]["reads"] >= PACKETS and steps[""]["writes"] >= PACKETS


def test_a_device_without_headers():
    result = run(("udp_segment", "udp_gro"))
    check(result["steps"], result["counters"])
    assert not any(step["features"]["a"]["vnet_hdr"] for step in result["steps"].values())
