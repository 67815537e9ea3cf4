"""The host's network as the portal shows it: the links with their addresses and default routes, DNS, and what is seen from outside.

```
links   [{name, up, ours, addresses[], default4, default6}]     dns {servers[], search[]}     report: as "netcheck", without asking anew
```
"""

import socket

from skerry_core import ip

from .. import meter, netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..node import Node


def shown(node: "Node") -> "dict[str, Any]":
    """Read now."""
    default4, default6 = meter.default4(), meter.default6()
    links: dict[int, dict[str, Any]] = {}
    for index, (name, flags) in node.tables.links().items():
        if not flags & netlink.IFF_LOOPBACK:
            row = {"name": name, "up": bool(flags & netlink.IFF_UP), "ours": name == node.path.name, "addresses": []}
            links[index] = {**row, "default4": name == default4, "default6": name == default6}
    for index, address, bits, _scope, _flags in node.tables.addresses():
        if index in links:
            family = socket.AF_INET6 if len(address) == 16 else socket.AF_INET
            links[index]["addresses"].append(f"{socket.inet_ntop(family, address)}/{bits}")
    own = [ip.format_endpoint(address, port) for address, port, _ in node.engine.netcheck.endpoints()]
    report = node.engine.netcheck.report()
    return {"links": list(links.values()), "dns": resolvers(), "ports": list(node.path.ports), "endpoints": own, "report": report}


def resolvers(path: str = "/etc/resolv.conf") -> "dict[str, list[str]]":
    """resolv.conf(5), as this host's programs read it."""
    found: dict[str, list[str]] = {"servers": [], "search": []}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            rows = [line.split() for line in file.read(65536).splitlines()]
    except OSError:
        return found
    for row in rows:
        if len(row) > 1 and row[0] == "nameserver":
            found["servers"].append(row[1])
        elif len(row) > 1 and row[0] == "search":
            found["search"] = row[1:]
    return found
