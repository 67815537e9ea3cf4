"""The commands: each takes the client and its arguments, prints, and gives the exit status."""

from __future__ import annotations

import itertools
import os
import select
import sys
import time

from skerry_core.errors import LocalError
from skerry_node import node_toml

from . import output
from .client import Client, Failed

SETTINGS = (
    "hostname", "accept_dns", "advertise_exit_node", "accept_routes", "exit_node", "exit_node_allow_lan_access", "snat_subnet_routes",
    "relay_server_port",
)  # fmt: skip
RATE_WAIT = 0.3  # seconds between two looks

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any


def _json(document: Any) -> int:
    import json

    print(json.dumps(document, indent=2))
    return 0


def up(client: Client, arguments: argparse.Namespace) -> int:
    """Ask, then follow the node until it is connected or has said why it cannot be."""
    changes = _changes(arguments)
    started = time.monotonic()
    lines = client.watch(timeout=arguments.timeout)
    try:
        answer = client.call("POST", "skerry/up", changes)
        first = next(lines)
        if answer["state"] == "Running":
            return _connected(client, arguments, time.monotonic() - started)
        if first["auth_url"] and not changes.get("key"):
            lines = itertools.chain([{"event": "auth-url", "url": first["auth_url"], "code": first.get("auth_code", "")}], lines)
        return _follow(client, arguments, lines, started)
    except KeyboardInterrupt:
        _note(arguments, "skerryd goes on joining in the background: `skerry status` shows how far it is, `skerry down` stops it")
        return 130
    except TimeoutError:
        raise Failed(f"not connected after {arguments.timeout:g} s; skerryd goes on trying: `skerry status` shows how far it is") from None


def _changes(arguments: argparse.Namespace) -> dict[str, Any]:
    changes = {"gateway": arguments.gateway, "key": arguments.key or os.environ.get("SKERRY_KEY") or None, **_settings(arguments)}
    changes = {name: value for name, value in changes.items() if value is not None}
    node_toml.validate(changes, "skerry up")
    if "key" in changes:
        changes["key"] = node_toml.read_key(changes["key"])  # as this user, not as root
    return changes


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What `up` and `set` were told of the preferences."""
    told = {name: getattr(arguments, name) for name in SETTINGS}
    routes = arguments.advertise_routes
    if routes is not None:
        told["routes"] = [route.strip() for route in routes.split(",") if route.strip()]
    return {name: value for name, value in told.items() if value is not None}


def set_(client: Client, arguments: argparse.Namespace) -> int:
    """Change settings."""
    changes = _settings(arguments)
    if not changes:
        raise LocalError("nothing to set: name a setting, see skerry set --help")
    node_toml.validate(changes, "skerry set")
    answer = client.call("POST", "skerry/set", changes)
    if arguments.json:
        return _json(answer)
    names = [name.replace("_", "-") for name in answer["changed"]]
    said = f"Changed: {', '.join(names)}" if names else "It was so already"
    if changes.get("routes") or changes.get("advertise_exit_node"):
        said += ". An administrator of the network approves what is offered: skerry-gateway routes approve NAME, or the console"
    return _print(output.wrap(said))


def exit_nodes(client: Client, arguments: argparse.Namespace) -> int:
    """List exit nodes."""
    document = client.call("GET", "skerry/status")
    found = [row for row in document["peers"] if {"0.0.0.0/0", "::/0"} & set(row["allowed_ips"])]
    used = document["exit_node"]["key"]
    if arguments.json:
        names = ("name", "dns_name", "addresses", "online", "os")
        return _json([{**{name: row[name] for name in names}, "selected": row["key"] == used} for row in found])
    if not found:
        offer = "On one: skerry set --advertise-exit-node; then it is approved at the gateway"
        return _print(output.wrap(f"No peer offers to be an exit node. {offer}"))
    rows = [["NAME", "ADDRESS", "STATE"]]
    for row in found:
        state = ("online" if row["online"] else "offline") + (", in use" if row["key"] == used else "")
        rows.append([output.clean(row["name"]), (row["addresses"] or [""])[0], state])
    return _print(output.table(rows))


def _follow(client: Client, arguments: argparse.Namespace, lines: Any, started: float) -> int:
    shown: set[str] = set()
    for event in lines:
        sentence = _progress(event)
        if sentence and sentence not in shown:
            shown.add(sentence)
            _note(arguments, sentence)
        if event.get("event") == "failed":
            raise Failed(event["error"])
        if event.get("event") == "state" and event["state"] == "Running":
            return _connected(client, arguments, time.monotonic() - started)
    return 1


def _progress(event: dict[str, Any]) -> str:
    kind = event.get("event")
    if kind == "auth-url" and event["url"]:
        return output.admit(event["url"], event.get("code", ""))
    if kind == "error":
        return str(event["error"])
    if kind == "state":
        return {"Starting": "Connecting ...", "NeedsMachineAuth": "Waiting for approval by the network's owner ..."}.get(event["state"], "")
    return ""


def _connected(client: Client, arguments: argparse.Namespace, seconds: float) -> int:
    document = client.call("GET", "skerry/status")
    if arguments.json:
        return _json(document)
    mine = document["self"] or {"name": "?", "addresses": []}
    print(f"Connected as {output.clean(mine['name'])}, {', '.join(mine['addresses'])} ({seconds:.1f} s)")
    return 0


def _note(arguments: argparse.Namespace, sentence: str) -> None:
    """Progress: on standard output for people, on standard error beside JSON."""
    text = "\n".join(output.wrap(output.clean(line)) if not line.startswith("  ") else output.clean(line) for line in sentence.split("\n"))
    print(text, file=sys.stderr if arguments.json else sys.stdout, flush=True)


def down(client: Client, arguments: argparse.Namespace) -> int:
    """Disconnect."""
    client.call("POST", "skerry/down", {})
    return _json({"state": "stopped"}) if arguments.json else _print("Disconnected; still a member. Come back with skerry up")


def logout(client: Client, arguments: argparse.Namespace) -> int:
    """Leave."""
    result = client.call("POST", "skerry/logout", {})
    if arguments.json:
        return _json(result)
    told = f"; {output.clean(result['warning'])}" if result.get("warning") else ""
    return _print(output.wrap(f"Left the network; this node's keys are gone{told}"))


def status(client: Client, arguments: argparse.Namespace) -> int:
    """Show."""
    if any(getattr(arguments, name, None) for name in ("search", "online", "watch")):
        from .choice import show

        return show(client, arguments)
    document = client.call("GET", "skerry/status")
    verbose = getattr(arguments, "verbose", False)  # other commands end with this one
    if (arguments.json or verbose) and document.get("rates", 0) is None:  # nobody asked before: two looks make a rate
        select.select([], [], [], RATE_WAIT)
        document = client.call("GET", "skerry/status")
    if arguments.json:
        return _json(document)
    return _print(output.status(document) + (f"\n\n{output.packet_path(document)}" if verbose else ""))


def ping(client: Client, arguments: argparse.Namespace) -> int:
    """Ping until direct, or `count` times; 0 if there was any answer."""
    if arguments.count < 1:
        raise LocalError("--count must be at least 1")
    answers, replied = [], False
    for number in range(arguments.count):
        if number:
            select.select([], [], [], 1)
        answer = client.call("POST", "skerry/ping", {"peer": arguments.peer})
        answers.append(answer)
        replied = replied or not answer.get("error")
        if not arguments.json:
            print(_pong(answer), flush=True)
        if arguments.until_direct and answer.get("direct"):
            break
    if arguments.json:
        _json(answers)
    elif replied and arguments.until_direct and not answers[-1].get("direct"):
        print(f"no direct path yet: skerry why {arguments.peer}")
    return 0 if replied else 1


def _pong(answer: dict[str, Any]) -> str:
    if answer.get("error"):
        return output.wrap(f"no answer from {output.clean(answer['name'])}: {output.clean(answer['error'])}")
    name, via = output.clean(answer["name"]), output.clean(answer["via"])
    return f"answer from {name} ({answer['ip']}) via {via} in {output.latency(answer['latency_ms'])}"


def netcheck(client: Client, arguments: argparse.Namespace) -> int:
    """Measure."""
    report = client.call("POST", "skerry/netcheck", {})
    if arguments.json:
        return _json(report)
    yes = {True: "yes", False: "no", None: "not known"}
    varies = report["mapping_varies"]
    rows = [["UDP", yes[report["udp"]]], ["IPv4 from outside", report["ipv4"] or "-"], ["IPv6 from outside", report["ipv6"] or "-"]]
    rows.append(["same port for all peers", yes[None if varies is None else not varies]])
    nat = report.get("nat") or {}
    rows.append(["NAT", nat.get("text") or "not known"])
    for title, name in (("  mapping (RFC 5780)", "mapping"), ("  filtering", "filtering"), ("  ports", "ports")):
        rows.append([title, f"block of {nat['block']}" if name == "ports" and nat.get("block") else nat.get(name) or "not known"])
    rows.append(["  hairpinning", yes[report.get("hairpin")]])
    rows.append(["home relay", report["home_code"] or "-"])
    for region in report["regions"]:
        latency = region["latency_ms"]
        rows.append([f"relay {region['code']}", "no answer" if latency is None else output.latency(latency)])
    return _print(output.table([[output.clean(cell) for cell in row] for row in rows]))


def why(client: Client, arguments: argparse.Namespace) -> int:
    """Explain."""
    answer = client.call("GET", "skerry/why", None, {"peer": arguments.peer})
    if arguments.json:
        return _json(answer)
    return _print("\n".join(output.wrap(output.clean(line), "    ") for line in answer["lines"]))


def code(client: Client, arguments: argparse.Namespace) -> int:
    """The portal's code."""
    answer = client.call("POST", "skerry/code", {"new": "yes"} if arguments.new else {})
    return _json(answer) if arguments.json else _print(answer["code"])


def _print(text: str) -> int:
    print(text)
    return 0
