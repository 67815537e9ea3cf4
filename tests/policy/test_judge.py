"""The compiled policy against the judge (judge.py), which knows only the numbered rules of the policy text.

PAIRS packets (default 100,000) and, of the same policies, who sees whom, which routes through whom, capabilities and approvals.
"""

import json
import os
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from generator import case, packet
from judge import Judge
from planted import PLANTED

from skerry_core import ip
from skerry_core.filter import Filter, Flows, compile, grants
from skerry_gateway.policy.evaluation import evaluate

PAIRS = int(os.environ.get("PAIRS", "100000"))
PACKETS = 60  # a policy
DETAIL = {6: 2, 1: 8 << 8, 58: 128 << 8}  # SYN, echo requests


class Comparison:
    """Counts, and the first disagreements in words."""

    def __init__(self):
        self.pairs = self.allowed = self.refused = 0
        self.decided = Counter()
        self.wrong = []

    def same(self, ours, theirs, why, what, document):
        self.decided.update(why)
        if ours != theirs:
            self.wrong.append(f"{what}: compiled {ours}, judge {theirs} by {sorted(why)}\n{json.dumps(document)}")

    def one(self, seed, packets=PACKETS):
        random = Random(seed)
        made = case(random)
        result = evaluate(json.dumps(made.document), made.snapshot)
        judge = Judge(made.document, made.snapshot)
        broken = judge.refused()
        if broken or not result["ok"]:
            self.refused += 1
            self.same(result["ok"], not broken, broken, f"seed {seed}: accepted? {result.get('error')}", made.document)
            return
        self.packets(random, seed, made, judge, result["nodes"], packets)
        self.others(random, seed, made, judge, result["nodes"])

    def packets(self, random, seed, made, judge, nodes, count):
        filters = {name: Filter(compile(entry["packet_filter"])) for name, entry in nodes.items()}
        for _ in range(count):
            pair = aimed(random, judge, made.snapshot["nodes"])
            source, destination, protocol, port, at = pair
            fields = (None, protocol, ip.parse_address(source), ip.parse_address(destination), 4000, port, DETAIL.get(protocol, 0))
            ours = filters[at].verdict(fields, Flows()) == ""
            theirs, why = judge.packet(*pair)
            self.pairs += 1
            self.allowed += theirs
            self.same(ours, theirs, why, f"seed {seed}: packet {pair}", made.document)

    def others(self, random, seed, made, judge, nodes):
        names = list(nodes)
        for _ in range(8):
            one, other = random.sample(names, 2)
            seen, why = judge.sees(one, other)
            self.same(other in nodes[one]["peers"], seen, why, f"seed {seed}: {one} sees {other}", made.document)
            routes, why = judge.routes(one, other)
            self.same(set(nodes[one]["peers"].get(other, [])), routes, why, f"seed {seed}: routes of {one} through {other}", made.document)
            family = random.randint(0, 1)
            source = judge.nodes[one]["addresses"][family]
            target = judge.nodes[random.choice([other, other, one, random.choice(names)])]["addresses"][family]
            found, why = judge.capabilities(source, target, other)
            ours = grants(nodes[other]["packet_filter"], ip.parse_address(source), ip.parse_address(target))
            self.same(ordered(ours), ordered(found), why, f"seed {seed}: capabilities {source} -> {target} at {other}", made.document)
        for name in names:
            approved, why = judge.approved(name)
            self.same(set(nodes[name]["auto_approved_routes"]), approved, why, f"seed {seed}: approved of {name}", made.document)


def aimed(random, judge, nodes):
    """A packet; in most cases one of several tried that the judge allows: pure chance rarely hits a rule."""
    pair = packet(random, nodes)
    for _ in range(12 if random.random() < 0.6 else 0):
        if judge.packet(*pair)[0]:
            break
        pair = packet(random, nodes)
    return pair


def ordered(capabilities):
    return {name: sorted(json.dumps(value, sort_keys=True) for value in values) for name, values in capabilities.items()}


def compare(pairs, first=0):
    comparison = Comparison()
    while comparison.pairs < pairs and len(comparison.wrong) < 5:
        comparison.one(first)
        first += 1
    return comparison


def test_the_compiled_policy_is_what_the_text_says():
    comparison = compare(PAIRS)
    print(f"{comparison.pairs} pairs, {comparison.allowed} allowed, {comparison.refused} policies refused")
    print("decided by rule:", sorted(comparison.decided.items()))
    assert not comparison.wrong, "\n\n".join(comparison.wrong)
    assert comparison.allowed >= 0.3 * comparison.pairs
    assert not set(range(1, 33)) - comparison.decided.keys(), "rules that decided nothing"


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name, monkeypatch):
    PLANTED[name](monkeypatch)
    assert compare(30_000, 7000).wrong, "not found"
