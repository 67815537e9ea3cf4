"""skerry dns status, skerry dns query."""

from __future__ import annotations

import json

from . import output
from .client import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any


def status(client: Client, arguments: argparse.Namespace) -> int:
    """Who answers what on this host, and how the host is told."""
    shown = client.call("GET", "skerry/dns")
    if arguments.json:
        print(json.dumps(shown, indent=2))
        return 0
    print("\n".join([*sentences(shown), "", output.table([[output.clean(cell) for cell in row] for row in rows(shown)])]))
    return 0


def sentences(shown: dict[str, Any]) -> list[str]:
    """The state of things."""
    host = shown["host"]
    if not shown["accept"]:
        first = "Names of the network are not used on this host (--accept-dns=false)."
    elif not shown["active"]:
        first = "Nothing is answered now: this node is down, or the network has no DNS settings."
    elif host["in_force"]:
        what = "everything" if host["everything"] else "the network's names and split domains"
        first = f"This host asks skerryd for {what}, by {host['mode']}."
    else:
        first = f"skerryd answers on {shown['addresses'][0]}, but this host does not ask it."
    return [output.wrap(output.clean(first)), *(output.wrap(f"warning: {output.clean(each)}") for each in shown["problems"])]


def rows(shown: dict[str, Any]) -> list[list[str]]:
    """The settings."""
    found = [["MagicDNS", f"on, {shown['domain']}" if shown["magic"] else "off"], ["search", ", ".join(shown["search"]) or "-"]]
    found += [["domain " + name, ", ".join(servers) or "records of the network alone"] for name, servers in sorted(shown["routes"].items())]
    found.append(["records", str(shown["records"])])
    found.append(["everything else", ", ".join(shown["nameservers"]) or "as this host had it"])
    found.append(["this host's own servers", ", ".join(shown["before"]) or "none"])
    found.append(["resolv.conf by", shown["host"]["manager"] or "hand"])
    counts = shown["counts"]
    found.append(["questions", f"{counts['queries']}: {counts['own']} answered here, {counts['cached']} kept, {counts['forwarded']} asked"])
    return found


def query(client: Client, arguments: argparse.Namespace) -> int:
    """Ask as a program on this host would; 0 when there is an answer."""
    answer = client.call("POST", "skerry/dns-query", {"name": arguments.name, "type": arguments.type})
    if arguments.json:
        print(json.dumps(answer, indent=2))
    else:
        print(f"{answer['rcode']}, {'asked of ' + ', '.join(answer['servers']) if answer['servers'] else 'answered by this node'}")
        lines = [[row["name"], row["type"], f"{row['ttl']} s", row["data"]] for row in answer["answers"]]
        if lines:
            print(output.table([[output.clean(cell) for cell in row] for row in lines]))
    return 0 if answer["answers"] else 1
