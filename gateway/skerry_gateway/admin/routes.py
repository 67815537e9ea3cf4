"""Routes of nodes: what each advertises (subnets, and the Internet as an exit node), and which of it an administrator let it carry.

A route is in force when it is both advertised and approved; of several nodes with the same subnet one carries it (control/wire.py).
"""

from ipaddress import ip_network
from typing import Any

from skerry_gateway.control import AdminError, Coordinator
from skerry_gateway.control.wire import carried_routes
from skerry_gateway.policy import routes_in_force
from skerry_gateway.store import Node

from .caller import Caller
from .verbs import find_node

EXIT = ("0.0.0.0/0", "::/0")
EXIT_WORD = "exit-node"  # how people say both of them


def routes_list(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    """Every route of the nodes the caller may see, whatever its state."""
    nodes = sorted((node for node in at.members.nodes.values() if by.owns(node)), key=lambda node: node.name)
    every = [(node, at.live[node.id].online) for node in sorted(at.members.nodes.values(), key=lambda node: node.id)]
    carried = carried_routes([(node, online) for node, online in every if node.id in at.members.compiled.nodes])
    return {"routes": [row for node in nodes for row in shown_routes(node, at.live[node.id].online, carried.get(node.id, ()))]}


def shown_routes(node: Node, online: bool, carried: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row for each route a node advertises or was allowed."""
    rows = []
    for route in dict.fromkeys((*node.routes_advertised, *node.routes_approved)):
        facts = {"advertised": route in node.routes_advertised, "approved": route in node.routes_approved, "carried": route in carried}
        kind = "exit" if route in EXIT else "subnet"
        rows.append({"node": node.name, "node_id": node.id, "online": online, "route": route, "kind": kind, **facts})
    return rows


def routes_approve(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    """Let a node carry routes it advertises; those approved before stay."""
    node = find_node(at, args["node"])
    wanted = named(node, args["routes"], node.routes_advertised, "advertise")
    approved = tuple(dict.fromkeys((*node.routes_approved, *wanted)))
    return _changed(at, node, approved, wanted, "routes approve", by, now)


def routes_withdraw(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    """Take approvals back."""
    node = find_node(at, args["node"])
    wanted = named(node, args["routes"], node.routes_approved, "have approval for")
    approved = tuple(route for route in node.routes_approved if route not in wanted)
    return _changed(at, node, approved, wanted, "routes withdraw", by, now)


def _changed(
    at: Coordinator, node: Node, approved: tuple[str, ...], wanted: tuple[str, ...], verb: str, by: Caller, now: int
) -> dict[str, Any]:
    if approved != node.routes_approved:
        node = at.change_node(node.id, by.name, verb, now, routes_approved=approved)
    return {"node": node.name, "routes": list(wanted), "approved": list(approved), "in_force": list(routes_in_force(node))}


def named(node: Node, texts: list[str] | None, known: tuple[str, ...], verb: str) -> tuple[str, ...]:
    """The routes somebody means: prefixes, the word exit-node, or all without any. AdminError when the node has not got one of them."""
    found: list[str] = []
    if not texts and not known:
        raise AdminError(f"{node.name} does not {verb} any route; see: skerry-gateway routes list")
    for text in texts or known:
        try:
            found += EXIT if text == EXIT_WORD or text in EXIT else [str(ip_network(text.strip()))]
        except ValueError as error:
            raise AdminError(f'"{text}" is no route: {error}; expected a prefix such as 192.168.1.0/24, or {EXIT_WORD}') from None
    exits = [route for route in found if route in EXIT and route in known]
    for route in found:
        if route not in known and not (route in EXIT and exits):  # one family of an exit node is enough
            raise AdminError(f"{node.name} does not {verb} {route}, only {', '.join(known) or 'nothing'}")
    return tuple(dict.fromkeys(route for route in found if route in known))
