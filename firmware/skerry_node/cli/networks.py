"""skerry networks, switch, login: several networks, one at a time."""

from __future__ import annotations

import select
import time

from skerry_core.errors import LocalError

from . import commands, output
from .client import Client, Failed, NotRunning

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

PATIENCE = 20  # seconds that skerryd may take to start over


def networks(client: Client, arguments: argparse.Namespace) -> int:
    """List them."""
    answer = client.call("GET", "skerry/networks")
    if arguments.json:
        return commands._json(answer)
    rows = [["", "NAME", "GATEWAY", ""]]
    for row in answer["networks"]:
        member = "" if row["member"] else "not a member yet"
        rows.append(["*" if row["active"] else "", output.clean(row["name"]), output.clean(row["gateway"]), member])
    return commands._print(output.table(rows) if len(rows) > 1 else "No network is known yet: skerry up --gateway URL")


def switch(client: Client, arguments: argparse.Namespace) -> int:
    """Change to one, and say how it is there."""
    if "://" in arguments.network:
        raise LocalError(f"{arguments.network}: name a network as skerry networks shows it; a new one is joined with skerry login")
    _turn(client, arguments.network)
    return commands.status(client, arguments) if arguments.json else commands._print(f"Using {_named(client)}")


def login(client: Client, arguments: argparse.Namespace) -> int:
    """Begin a further one, and join it."""
    commands._changes(arguments)  # what is wrong is said before anything is changed
    _turn(client, arguments.gateway)
    return commands.up(client, arguments)


def _named(client: Client) -> str:
    row = next(row for row in client.call("GET", "skerry/networks")["networks"] if row["active"])
    return f"{output.clean(row['name'])}" + ("" if row["member"] else ", of which this node is no member yet: skerry up")


def _turn(client: Client, network: str) -> None:
    before: Any = client.call("POST", "skerry/switch", {"network": network})
    if not before["switched"]:
        return
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            rows = client.call("GET", "skerry/networks")["networks"]
            if any(row["active"] and row["name"] == before["name"] for row in rows):
                return
        except (NotRunning, Failed):
            pass  # it starts over
        select.select([], [], [], 0.05)
    raise Failed(f"skerryd did not come back with that network within {PATIENCE} s; its log says why")
