"""Rates and drops in the status: what is measured when somebody asks, and a sentence for every reason."""

import pytest
from skerry_shim._shim import ffi, lib

from skerry_node.cli import output
from skerry_node.localapi import drops
from skerry_node.localapi.rates import FRESH, STALE, Rates
from tests.node.test_cli import PEER, SHOWN, daemon, run  # noqa: F401  fixtures


def document(*counts):
    names = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets")
    return {"peers": [{"key": f"k{i}", **dict(zip(names, each, strict=True))} for i, each in enumerate(counts)]}


def measure(rates, now, *counts):
    shown = document(*counts)
    rates.measure(shown, now)
    return shown["rates"], [row["rates"] for row in shown["peers"]]


def test_rates_come_from_the_look_before():
    rates = Rates()
    assert measure(rates, 0, (0, 0, 0, 0)) == (None, [None])
    assert measure(rates, 100, (9, 9, 9, 9)) == (None, [None])  # too short to tell
    total, peers = measure(rates, 500, (1000, 500, 10, 5), (7, 7, 7, 7))
    assert total == {"over_ms": 500, "rx_bytes": 2000, "tx_bytes": 1000, "rx_packets": 20, "tx_packets": 10}
    assert peers[0] == {"rx_bytes": 2000, "tx_bytes": 1000, "rx_packets": 20, "tx_packets": 10} and not any(peers[1].values())
    assert measure(rates, 1000, (0, 0, 0, 0))[0] == {"over_ms": 1000, "rx_bytes": 0, "tx_bytes": 0, "rx_packets": 0, "tx_packets": 0}


def test_frequent_callers_still_get_a_time_worth_the_name():
    rates = Rates()
    spans = [measure(rates, now, (now, 0, 0, 0))[0] for now in range(0, 8000, 100)]
    assert all(FRESH <= span["over_ms"] <= 2 * FRESH and span["rx_bytes"] == 1000 for span in spans[20:])
    assert measure(rates, 8000 + STALE + FRESH, (0, 0, 0, 0))[0] is None


def test_every_reason_has_a_sentence():
    handle = ffi.gc(lib.shim_transport_new(), lib.shim_transport_free)
    count = lib.shim_counters(handle, ffi.new("uint64_t[64]"), 64)
    named = {ffi.string(lib.shim_counter_name(i)).decode() for i in range(1, count)}
    assert {f"drop_{reason}" for reason in drops.SENTENCES} == named
    shown = drops.reasons({"to_python": 4, "drop_auth": 1, "drop_filter": 7, "drop_mac1": 0})
    assert [(each["reason"], each["packets"]) for each in shown] == [("filter", 7), ("auth", 1)] and "policy" in shown[0]["sentence"]


@pytest.mark.parametrize("words", [["status", "--json"], ["status", "--verbose"]])
def test_the_command_looks_twice_when_nobody_asked_before(daemon, run, words):  # noqa: F811
    rates = {"rx_bytes": 5_000_000, "tx_bytes": 10, "rx_packets": 4000, "tx_packets": 1}
    first = {**SHOWN, "rates": None, "peers": [{**PEER, "rates": None}], "features": {"cipher": "libcrypto", "tso": True, "uso": False}}
    first["dropped"] = [{"reason": "filter", "packets": 12, "sentence": drops.SENTENCES["filter"]}]
    second = {**first, "rates": {"over_ms": 300, **rates}, "peers": [{**PEER, "rates": rates}]}
    answers = iter((first, second))
    daemon.answers["skerry/status"] = lambda: next(answers)
    code, out, _err = run(*words)
    assert code == 0 and len(daemon.asked) == 2
    if "--verbose" in words:
        assert "5.0 MB/s, 4000 packets/s" in out and "12 filter: the network's policy" in out and "in use: libcrypto, tso\n" in out
    else:
        assert '"over_ms": 300' in out
    assert output.packet_path(first)  # no rates yet: still readable
