"""The packet filter against a slow evaluator written from the rules' description, and hostile FilterRules."""

import copy
import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_core import filter, ip
from skerry_core.errors import LocalError

FOUR = ["100.64.0.1", "100.64.0.2", "10.0.0.5", "10.1.0.5"]
SIX = ["fd7a:115c:a1e0::1", "2001:db8::5"]
WRITTEN = st.sampled_from(FOUR + SIX + ["*", "100.64.0.0/10", "10.0.0.0/8", "10.0.0.3-10.0.255.7", "::/0", "2001:db8::/33", "0.0.0.0/0"])
PORTS = st.tuples(st.sampled_from([0, 22, 80]), st.sampled_from([80, 443, 65535])).map(lambda p: {"First": p[0], "Last": p[1]})
RULES = st.lists(
    st.fixed_dictionaries(
        {
            "SrcIPs": st.lists(WRITTEN, max_size=3),
            "DstPorts": st.lists(st.fixed_dictionaries({"IP": WRITTEN, "Ports": PORTS}), max_size=3),
            "IPProto": st.lists(st.sampled_from([1, 6, 17, 47, 58, 132, 300]), max_size=3),
        }
    ),
    max_size=4,
)


def covers(written, address):
    if written == "*":
        return True
    address = ipaddress.ip_address(address)
    if "-" in written:
        first, last = map(ipaddress.ip_address, written.split("-"))
        return address.version == first.version and first <= address <= last
    return address in ipaddress.ip_network(written)


def slow(rules, protocol, source, destination, port):
    """What the rules say of a TCP SYN, a UDP packet, a ping or a portless protocol."""
    ping = protocol == (1 if ":" not in source else 58)
    for rule in rules:
        if not any(covers(written, source) for written in rule["SrcIPs"]):
            continue
        for entry in rule["DstPorts"]:
            ports = entry["Ports"]
            if not covers(entry["IP"], destination):
                continue
            if ping:
                return True
            if protocol not in (rule["IPProto"] or [6, 17, 1, 58]):
                continue
            if (protocol in (6, 17, 132) and ports["First"] <= port <= ports["Last"]) or (ports["First"], ports["Last"]) == (0, 65535):
                return True
    return False


@given(RULES, st.sampled_from([1, 6, 17, 47, 58, 132]), st.sampled_from([22, 79, 80, 443, 9999]), st.data())
def test_verdicts_are_those_of_the_slow_evaluator(rules, protocol, port, data):
    family = data.draw(st.sampled_from([FOUR, SIX]))
    source, destination = data.draw(st.sampled_from(family)), data.draw(st.sampled_from(family))
    detail = 2 if protocol == 6 else 8 << 8 if protocol == 1 else 128 << 8 if protocol == 58 else 0
    ports = (1234, port) if protocol in (6, 17, 132) else (0, 0)
    fields = (40, protocol, ip.parse_address(source), ip.parse_address(destination), *ports, detail)
    verdict = filter.Filter(filter.compile(rules)).verdict(fields, filter.Flows())
    assert verdict == ("" if slow(rules, protocol, source, destination, port) else "filter")


NAMES = ["SrcIPs", "DstPorts", "IP", "Ports", "First", "Last", "IPProto", "CapGrant", "Dsts", "CapMap", "Caps"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | WRITTEN,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=20,
)


@given(st.lists(JSON, max_size=4))
def test_any_json_compiles_or_is_left_out(rules):
    problems = []
    filter.Filter(filter.compile(rules, None, problems))
    filter.grants(rules, bytes(4), bytes(4))
    filter.granted(rules, "cap", bytes(4))
    assert all(isinstance(problem, str) for problem in problems)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_filter_or_a_local_error(data):
    try:
        filter.Filter(data)
    except LocalError as error:
        assert "compiled filter" in str(error)


def test_huge_counts_are_refused_at_once():
    with pytest.raises(LocalError):
        filter.Filter(bytes(32) + struct.pack(">II", 0xFFFFFFFF, 0xFFFFFFFF))


def test_flows_keep_the_newest_and_are_bounded():
    flows = filter.Flows()

    def out(port):
        return (28, 17, b"\1\1\1\1", b"\2\2\2\2", port, 53, 0)

    def back(port):
        return (28, 17, b"\2\2\2\2", b"\1\1\1\1", 53, port, 0)

    for port in range(10_000):
        flows.note(out(port))
    probes = [9_480, 9_487, 9_744, 9_800, 9_999]
    remembered = [copy.deepcopy(flows).replies(back(port)) for port in probes]
    assert remembered == [False, False, True, True, True]
    assert len(flows._young | flows._old) <= 512
    assert not flows.replies(out(9_999)), "the same direction is no reply"
    flows.note((28, 6, b"\1\1\1\1", b"\2\2\2\2", 1, 2, 2))
    assert not flows.replies((28, 6, b"\2\2\2\2", b"\1\1\1\1", 2, 1, 2)), "TCP is not tracked"


ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.9.0.1", "fd00::1"]
SOURCES = st.sampled_from(["*", "10.0.0.0/24", "10.0.0.2", "10.0.0.1-10.0.0.9", "fd00::/8", "cap:x", "nothing", 5])
GRANTS = st.fixed_dictionaries(
    {"Dsts": st.lists(SOURCES, max_size=2)}, optional={"Caps": st.lists(st.sampled_from("ab"), max_size=2), "CapMap": st.just({"a": None})}
)


@given(st.lists(st.fixed_dictionaries({"SrcIPs": st.lists(SOURCES, max_size=2), "CapGrant": st.lists(GRANTS, max_size=2)}), max_size=3))
def test_sources_of_a_capability_are_those_that_hold_it(rules):
    for destination in map(ip.parse_address, ADDRESSES):
        prefixes = filter.granted(rules, "a", destination)
        for source in map(ip.parse_address, ADDRESSES):
            assert any(ip.contains(prefix, source) for prefix in prefixes) is ("a" in filter.grants(rules, source, destination))
