"""The transport contract: what the packet filter lets in, on the Python transport and on the one in C."""

import struct

import pytest

from skerry_core import filter
from tests.shim.facing import (
    ALICE_IP,
    ALICE_IP6,
    BOB_IP,
    BOB_IP6,
    EVERYTHING,
    TO_ALICE,
    dropped,
    icmp,
    ipv4,
    ipv6,
    pair,
    sealed,
    tcp,
    udp,
)


def rule(source="100.64.0.1", destination="100.64.0.2", first=0, last=65535, protocols=None):
    made = {"SrcIPs": [source], "DstPorts": [{"IP": destination, "Ports": {"First": first, "Last": last}}]}
    return made | ({} if protocols is None else {"IPProto": protocols})


SYN, ACK, SYN_ACK = 2, 16, 18
GRE = ipv4(ALICE_IP, BOB_IP, 47, bytes(20))
FRAGMENT6 = ipv6(ALICE_IP6, BOB_IP6, 44, bytes((17, 0)) + struct.pack(">HI", 20 << 3, 1) + bytes(20))
HOP_BY_HOP = ipv6(ALICE_IP6, BOB_IP6, 0, bytes((17, 0, 1, 4, 0, 0, 0, 0)) + bytes(8))
CASES = [
    # name, rules, packet, reason of the drop ("" = delivered)
    ("udp allowed", [rule()], udp(), ""),
    ("udp none", [], udp(), "filter"),
    ("udp port in", [rule(first=2222, last=2222)], udp(), ""),
    ("udp port out", [rule(first=2223, last=2300)], udp(), "filter"),
    ("udp source", [rule(source="100.64.0.3")], udp(), "filter"),
    ("udp range", [rule(source="100.64.0.0-100.64.0.9")], udp(), ""),
    ("udp net", [rule(source="100.64.0.0/10", destination="100.0.0.0/8")], udp(), ""),
    ("udp by tcp rule", [rule(protocols=[6])], udp(), "filter"),
    ("udp second rule", [rule(protocols=[6]), rule(protocols=[17])], udp(), ""),
    ("udp6 v4 rule", [rule()], udp(ALICE_IP6, BOB_IP6), "filter"),
    ("udp6", [rule("*", "fd7a:115c:a1e0::/48")], udp(ALICE_IP6, BOB_IP6), ""),
    ("syn none", [], tcp(SYN), "filter"),
    ("syn rule", [rule(first=80, last=80)], tcp(SYN), ""),
    ("syn by udp rule", [rule(protocols=[17])], tcp(SYN), "filter"),
    ("syn6 none", [], tcp(SYN, ALICE_IP6, BOB_IP6), "filter"),
    ("ack none", [], tcp(ACK), ""),
    ("syn-ack none", [], tcp(SYN_ACK), ""),
    ("ack6 none", [], tcp(ACK, ALICE_IP6, BOB_IP6), ""),
    ("echo none", [], icmp(8), "filter"),
    ("echo by a tcp port", [rule(first=22, last=22, protocols=[6])], icmp(8), ""),
    ("echo other destination", [rule(destination="100.64.0.9")], icmp(8), "filter"),
    ("echo reply none", [], icmp(0), ""),
    ("echo reply with code", [], icmp(0, code=1), "filter"),
    ("unreachable none", [], icmp(3, code=1), ""),
    ("time exceeded", [], icmp(11), ""),
    ("redirect", [], icmp(5), "filter"),
    ("echo6 none", [], icmp(128, ALICE_IP6, BOB_IP6), "filter"),
    ("echo6 reply", [], icmp(129, ALICE_IP6, BOB_IP6), ""),
    ("too big 6", [], icmp(2, ALICE_IP6, BOB_IP6), ""),
    ("gre by default", [rule()], GRE, "filter"),
    ("gre listed", [rule(protocols=[47])], GRE, ""),
    ("gre ports", [rule(protocols=[47], first=1)], GRE, "filter"),
    ("sctp by default", [rule()], ipv4(ALICE_IP, BOB_IP, 132, bytes(12)), "filter"),
    ("sctp listed", [rule(protocols=[132])], ipv4(ALICE_IP, BOB_IP, 132, bytes(12)), ""),
    ("tsmp", [rule()], ipv4(ALICE_IP, BOB_IP, 99, b"p" + bytes(8)), "tsmp"),
    ("fragment", [], ipv4(ALICE_IP, BOB_IP, 6, bytes(40), fragment=10), ""),
    ("tiny fragment", [rule()], ipv4(ALICE_IP, BOB_IP, 6, bytes(40), fragment=9), "malformed"),
    ("short first fragment", [rule()], ipv4(ALICE_IP, BOB_IP, 6, bytes(16), fragment=0x2000), "malformed"),
    ("fragment6", [], FRAGMENT6, ""),
    ("hop by hop", [rule("*", "*")], HOP_BY_HOP, "malformed"),
    ("multicast", [rule("*", "*")], udp(destination=bytes((224, 0, 0, 1))), "multicast"),
    ("link local", [rule("*", "*")], udp(destination=bytes((169, 254, 3, 4))), "link_local"),
    ("link local 6", [rule("*", "*")], udp(ALICE_IP6, bytes.fromhex("fe80") + bytes(14)), "link_local"),
]


@pytest.mark.parametrize(("rules", "packet", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_inbound_filter(make, rules, packet, reason):
    _, b = pair(make, rules=filter.compile(rules))
    b.datagram(TO_ALICE, sealed(1, 50, packet))
    assert b.packets() == ([] if reason else [packet])
    if reason:
        assert dropped(b, reason) == 1


def test_no_filter_is_nothing_in(make):
    _, b = pair(make, rules=None)
    b.datagram(TO_ALICE, sealed(1, 50, udp()))
    assert b.packets() == [] and dropped(b, "filter") == 1


@pytest.mark.parametrize(("ours", "theirs"), [(BOB_IP, ALICE_IP), (BOB_IP6, ALICE_IP6)])
def test_replies_to_outbound_flows_come_in_while_remembered(make, ours, theirs):
    _, b = pair(make, rules=None)
    counter = iter(range(100, 5000))

    def answered(port, sport=53):
        b.datagram(TO_ALICE, sealed(1, next(counter), udp(theirs, ours, sport, port)))
        return len(b.packets()) == 1

    b.packet(udp(ours, theirs, 4000, 53))
    assert answered(4000) and not answered(4001) and not answered(4000, sport=54)
    for port in range(5000, 5255):
        b.packet(udp(ours, theirs, port, 53))
    assert answered(4000), "255 newer flows do not push it out"
    for port in range(10_000, 10_512):
        b.packet(udp(ours, theirs, port, 53))
    assert not answered(4000), "512 newer flows do"
    b.datagrams()


def test_rules_change_for_the_next_packet(make):
    _, b = pair(make)
    b.apply([("filter", None)])
    b.datagram(TO_ALICE, sealed(1, 50, udp()))
    b.apply([("filter", EVERYTHING)])
    b.datagram(TO_ALICE, sealed(1, 51, udp(sport=9)))
    assert b.packets() == [udp(sport=9)]
