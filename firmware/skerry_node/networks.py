"""Several networks known to one node, one at a time. Those that are not in use are kept in the preferences, keys and map of each with them:

    "networks": {"gateway.example": {"prefs": {...}, "engine": {...} | null}, ...}     by the gateway's host and port

To change the network skerryd writes the other one as its state and starts over in the same process; of the one before nothing is alive.
"""

from skerry_core.errors import LocalError

from . import node_toml
from .prefs import base

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .node import Node

MOST = 16


def name_of(gateway: str) -> str:
    """What people call a network: its gateway's host and port."""
    return base(gateway).partition("://")[2].partition("/")[0] or base(gateway)


def listing(node: "Node") -> "list[dict[str, Any]]":
    """All that are known, the one in use first."""
    prefs = node.membership.prefs
    rows = []
    current = prefs.values.get("gateway")
    if current is not None:
        rows.append({"name": name_of(current), "gateway": base(current), "active": True, "member": bool(node.engine.logged_in)})
    for name in sorted(prefs.networks):
        kept = prefs.networks[name]
        engine = kept["engine"] or {}
        rows.append({"name": name, "gateway": base(kept["prefs"]["gateway"]), "active": False, "member": bool(engine.get("logged_in"))})
    return rows


def switch(node: "Node", wanted: str) -> "dict[str, Any]":
    """Use the network of that name from now on, or begin with a new one when it is an address. LocalError: nothing was changed."""
    prefs = node.membership.prefs
    current, name = prefs.values.get("gateway"), name_of(wanted) if "://" in wanted else wanted.strip().lower()
    if current is not None and name == name_of(current):
        return {"name": name, "switched": False}
    found = prefs.networks.get(name)
    if found is None and "://" not in wanted:
        known = ", ".join(row["name"] for row in listing(node)) or "none"
        raise LocalError(f'"{wanted[:100]}" is no network known here; known are {known}. Another one: skerry login --gateway URL')
    if found is None:
        node_toml.validate({"gateway": wanted}, "the request")
        hostname = {key: value for key, value in prefs.values.items() if key == "hostname"}
        found = {"prefs": {**hostname, "gateway": wanted, "want_running": False}, "engine": None}
    others = {key: value for key, value in prefs.networks.items() if key != name}
    if current is not None:
        values = {key: value for key, value in prefs.values.items() if key != "key"}
        others[name_of(current)] = {"prefs": values, "engine": node.engine.save()}
    if len(others) > MOST:
        raise LocalError(f"{len(others) + 1} networks, at most {MOST + 1} are kept: leave one with skerry logout")
    if current is None and node.engine.logged_in:
        raise LocalError("the network in use has no address to keep it by: leave it first with skerry logout")
    node.turn_to({**prefs.save(), **dict.fromkeys(prefs.values), **found["prefs"], "networks": others}, found["engine"])
    return {"name": name, "switched": True}

