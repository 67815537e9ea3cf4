"""Who may use the UDP relays that nodes offer, where the policy's grants say nothing about relays: the devices of the relay's own person.

A node offers one when its host information says PeerRelay. Both sides need a rule, as the policy's grants make them: the relay's filter one
that lets its person's devices ask (`tailscale.com/cap/relay`), each device's filter one that names the relay
(`tailscale.com/cap/relay-target`). They let no packet in. A tagged relay is nobody's: it takes a grant.
"""

from collections.abc import Iterable
from typing import Any

from skerry_gateway.policy import Compiled
from skerry_gateway.store import Node

from .members import Members

CHUNK = "own-relays"
_MAY_ASK, _MAY_BE_ASKED = "tailscale.com/cap/relay", "tailscale.com/cap/relay-target"


def chunk(node: Node, relays: Iterable[int], members: Members) -> list[dict[str, Any]]:
    """The FilterRules of a node for `relays`, the nodes that offer one; [] without any."""
    relays, compiled = set(relays), members.compiled
    if not relays or node.user_id is None or node.id not in compiled.nodes or _granted(compiled):
        return []
    own = [members.nodes[peer] for peer in _seen(compiled, node.id, relays) if members.nodes[peer].user_id == node.user_id]
    rules = [_rule([peer for peer in own if peer.id in relays], node, _MAY_BE_ASKED)]
    if node.id in relays:
        rules.append(_rule(own, node, _MAY_ASK))
    return [rule for rule in rules if rule["SrcIPs"]]


def _seen(compiled: Compiled, node_id: int, relays: set[int]) -> list[int]:
    if node_id in relays:
        return sorted(compiled.peers(node_id))
    return sorted(relay for relay in relays if compiled.sees(node_id, relay))


def _rule(sources: list[Node], node: Node, capability: str) -> dict[str, Any]:
    addresses = [address for source in sources for address in (source.ipv4, source.ipv6)]
    return {"SrcIPs": addresses, "CapGrant": [{"Dsts": [f"{node.ipv4}/32", f"{node.ipv6}/128"], "CapMap": {capability: None}}]}


def _granted(compiled: Compiled) -> bool:
    return any(rule.app and _MAY_ASK in rule.app for rule in compiled.policy.rules or ())
