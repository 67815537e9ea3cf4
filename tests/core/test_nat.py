"""NATs as told between nodes, classified from samples, and in words."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry_core import nat

KNOWN = [nat.Nat(nat.NONE, nat.ENDPOINT, "preserving"), nat.Nat(nat.PORT, nat.PORT, "block", 512), nat.Nat(), nat.Nat(nat.BLOCKED)]


@pytest.mark.parametrize("known", KNOWN)
def test_what_is_told_is_understood(known):
    assert nat.decode(nat.encode(known)) == known


@given(st.one_of(st.text(max_size=120), st.integers(), st.none(), st.lists(st.text()), st.dictionaries(st.text(), st.text())))
def test_whatever_another_node_tells_gives_a_nat(told):
    for found in (nat.decode(told), nat.of_netinfo(told), nat.of_netinfo({"SkerryNAT": told})):
        assert found.kind in ("public", "easy", "hard", "blocked", "unknown")
        assert nat.decode(nat.encode(found)) == found
        assert nat.text(found).isprintable()


def test_stock_clients_tell_less():
    assert nat.of_netinfo({"MappingVariesByDestIP": True, "WorkingUDP": True}).kind == "hard"
    assert nat.of_netinfo({"MappingVariesByDestIP": False}).kind == "easy"
    assert nat.of_netinfo({"WorkingUDP": False}).kind == "blocked"
    assert nat.of_netinfo({}).kind == nat.of_netinfo(None).kind == "unknown"


@pytest.mark.parametrize("seed", range(20))
def test_ports_are_classified(seed):
    rng = random.Random(seed)
    ours = [40000 + 7 * number for number in range(12)]
    assert nat.classify([(port, port) for port in ours]) == ("preserving", 0)
    start = rng.randrange(20480, 20900)
    assert nat.classify([(port, start + 2 * number) for number, port in enumerate(ours)]) == ("sequential", 0)
    wrapped = [(port, 20480 + (505 + number) % 512) for number, port in enumerate(ours)]
    assert nat.classify(wrapped) == ("sequential", 0)
    assert nat.classify([(port, rng.randrange(1024, 65536)) for port in ours]) == ("random", 0)
    kind, size = nat.classify([(port, rng.randrange(20480, 20992)) for port in ours])
    assert kind == "block" and size in (256, 512)
    assert nat.classify([(1, 2)] * 5) == ("", 0)


def test_a_firewall_before_a_public_address_is_no_open_door():
    closed, hard = nat.Nat(nat.NONE, nat.PORT), nat.Nat(nat.PORT, nat.PORT, "random")
    verdict = nat.pair(closed, hard, ("camera", "desk"))
    assert (verdict["possible"], verdict["fault"]) == (False, ["desk"])
    assert verdict["help"][0].startswith("At camera: let UDP to its port in")
    assert nat.pair(closed, nat.Nat(nat.ENDPOINT, nat.PORT), ("camera", "desk"))["possible"] is True


def test_two_that_hear_nothing_over_udp_may_have_the_gateway_to_blame():
    verdict = nat.pair(nat.Nat(nat.BLOCKED), nat.Nat(nat.BLOCKED), ("a", "b"))
    assert "the gateway's UDP port 3478" in verdict["reason"]
