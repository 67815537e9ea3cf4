"""`skerry doctor`: the facts of this host for skerry_core.doctor, gathered when somebody asks.

```
{verdict "good" | "warning" | "bad", checks [{check, verdict, reason, remedy}]}
```
"""

import fcntl
import socket
import struct

from skerry_core import doctor

from .. import clock, meter
from .network import resolvers
from .server import Later

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..node import Node

    Document = dict[str, Any]

SIOCGIFMTU = 0x8921


def answer(node: "Node") -> "Later | Document":
    """Measure first, where the node is up."""
    if not node.engine.running:
        return found(node)
    later = Later()
    done: Callable[[Document], None] = lambda _report: later.done(200, found(node))  # noqa: E731
    node.command("netcheck", {}, done)
    return later


def found(node: "Node") -> "Document":
    """By what is known now."""
    rows = doctor.examine(facts(node))
    return {"verdict": doctor.verdict(rows), "checks": rows}


def facts(node: "Node") -> "Document":
    """See skerry_core.doctor."""
    engine, now = node.engine, clock.now()
    state, report = engine.status(), engine.netcheck.report()
    gateway, own = state["gateway"], state["self"]
    away = gateway["away_since"]
    return {
        "running": engine.running,
        "wall": clock.wall(),
        "gateway_time": engine.clock.control(now),
        "dns": {"servers": resolvers()["servers"], "problems": node.names.health(), "named": _named(gateway["url"])},
        "links": [{"name": name, "mtu": mtu(name)} for name in sorted({meter.default4(), meter.default6()} - {"", node.path.name})],
        "addresses": sum(len(each["addresses"]) for each in node.uplinks),
        "udp": report["udp"] if report["regions"] else None,
        "blocking": node.forwarding.health(now),
        "gateway": {
            "url": gateway["url"],
            "connected": gateway["connected"],
            "away_ms": None if away is None else max(0, now - away),
            "error": engine.control.error,
        },
        "relays": [_relay(engine, row, report["home_region"]) for row in report["regions"]],
        "keys": {
            "member": engine.logged_in,
            "approved": state["state"] != "NeedsMachineAuth",
            "expired": own["expired"],
            "expires": own.get("key_expiry"),
        },
    }


def _relay(engine: "Any", row: "Document", home: int) -> "Document":
    link = engine.relays.link(row["id"])
    error = link.error if link is not None else ""
    return {"code": row["code"], "error": error, "latency_ms": row["latency_ms"], "home": row["id"] == home}


def _named(url: str) -> bool:
    """Whether the host in it is a name."""
    host = url.partition("://")[2].partition("/")[0]
    return bool(host) and not host.startswith("[") and not host.partition(":")[0].replace(".", "").isdigit()


def mtu(name: str) -> "int | None":
    """Of a link, in bytes. By ioctl (netdevice(7)): /sys may be that of another network namespace."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            answered = fcntl.ioctl(sock, SIOCGIFMTU, struct.pack("16si20x", name.encode()[:15], 0))
    except OSError:
        return None
    found: int = struct.unpack_from("16si", answered)[1]
    return found
