"""The node as one JSON document, ours: what `skerry status --json` prints and what tailscale.py translates.

```
version state wanted gateway connected from_saved_map auth_url auth_code error health[] tun port4 port6 network home_relay
exit_node {wanted: as the owner wrote it, key: of the peer it is or "", lan: whether links stay reachable}
self   {id stable_id key name dns_name hostname os user tags[] addresses[] allowed_ips[] online ... endpoints[] relay}
peers  [the same, and path {kind "direct" | "peer-relay" | "relay" | "none", text, address, latency_ms}, last_handshake_ms active
        rx_bytes tx_bytes rx_packets tx_packets]
users  {"<id>": {...}}
relaying {port pairs error} where this node relays over UDP for others, else null
counters {to_python drop_<reason>}    drops {kind: inputs from outside that were malformed}
dns      {accept active magic domain search[] addresses[] nameservers[] before[] routes{} records host{} problems[]}
dropped  [{reason packets sentence}]    features {cipher, tso ...: whether it is in use}
rates    {over_ms rx_bytes tx_bytes rx_packets tx_packets}, null the first time; each peer has one, too    (skerry/status only)
```
Times are RFC 3339 text or null, `last_handshake_ms` is how long ago. Keys are public ones, as `nodekey:<hex>`.
"""

import time

from skerry_core.errors import LocalError

from .. import clock
from ..signin import code_of
from .drops import reasons
from .rates import COUNTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..node import Node


def snapshot(node: "Node") -> "dict[str, Any]":
    """Everything there is to read."""
    from ..membership import VERSION

    engine = node.engine.status()
    gateway = engine["gateway"]
    address = gateway["url"] + (f"#mkey:{gateway['key']}" if gateway["url"] and gateway["key"] else "")
    return {
        "version": VERSION,
        "state": engine["state"],
        "wanted": bool(node.membership.prefs.values.get("want_running")),
        "gateway": address,
        "connected": gateway["connected"],
        "from_saved_map": engine["from_saved_map"],
        "map_of_ms": engine["map_of"],
        "away_since_ms": None if gateway["away_since"] is None else engine["wall"] - engine["now"] + gateway["away_since"],
        "auth_url": engine["auth_url"],
        "auth_code": code_of(engine["auth_url"]) if engine["auth_url"] else "",
        "error": "" if gateway["connected"] else node.membership.last_error,
        "health": [*node.health(), *engine["health"]],
        "tun": node.path.name,
        "port4": node.path.ports[0],
        "port6": node.path.ports[1],
        "network": engine["domain"],
        "home_relay": engine["regions"].get(str(engine["home_region"]), ""),
        "exit_node": exit_node(engine["exit_node"]),
        "self": own(engine["self"], gateway["connected"]),
        "peers": [peer(node, each) for each in engine["peers"]],
        "users": engine["users"],
        "relaying": engine["relaying"],
        "counters": node.path.transport.counters(),
        "drops": engine["drops"],
        "dropped": reasons(node.path.transport.counters()),
        "features": features(node.path.transport),
        "dns": {name: value for name, value in node.names.status().items() if name != "counts"},
    }


def exit_node(found: "dict[str, Any]") -> "dict[str, Any]":
    """Which peer everything goes through."""
    return {**found, "key": f"nodekey:{found['key']}" if found["key"] else ""}


def common(row: "dict[str, Any]") -> "dict[str, Any]":
    """What this node and its peers have in common."""
    shown: dict[str, Any] = {name: row.get(name) or 0 for name in ("id", "user")}
    shown.update({name: row.get(name) or "" for name in ("stable_id", "hostname", "os")})
    shown.update({name: row.get(name) or [] for name in ("tags", "addresses", "allowed_ips", "primary_routes")})
    shown["expired"] = bool(row.get("expired"))
    dns_name = row.get("name") or ""
    shown.update(
        {
            "key": f"nodekey:{row['key']}",
            "dns_name": dns_name,
            "name": dns_name.partition(".")[0] or row.get("hostname") or "",
            "online": bool(row.get("online")),
            "last_seen": stamp(row.get("last_seen")),
            "created": stamp(row.get("created")),
            "key_expiry": stamp(row.get("key_expiry")),
            "relay": row.get("region_code") or "",
        }
    )
    return shown


def own(row: "dict[str, Any]", connected: bool) -> "dict[str, Any]":
    """This node."""
    return {**common(row), "online": connected, "endpoints": row.get("endpoints") or []}


def peer(node: "Node", row: "dict[str, Any]") -> "dict[str, Any]":
    """A peer, with how it is reached and what went through."""
    if row["endpoint"]:
        way = {"kind": "direct", "text": f"direct {row['endpoint']}", "address": row["endpoint"], "latency_ms": row["latency_ms"]}
    elif row["peer_relay"]:
        way = {"kind": "peer-relay", "text": f"through {row['peer_relay_text']}", "latency_ms": row["latency_ms"]}
        way["address"] = row["peer_relay"]
    elif row["relay"] and (row["active"] or row.get("session")):
        way = {"kind": "relay", "text": f"relay {row['relay']}", "address": "", "latency_ms": None}
    else:
        way = {"kind": "none", "text": "", "address": "", "latency_ms": None}
    last = row["last_handshake_ms"]
    return {
        **common(row),
        **traffic(node, row["index"]),
        "path": way,
        "last_handshake_ms": None if last is None else max(0, clock.now() - last),
        "active": row["active"],
    }


def traffic(node: "Node", index: int) -> "dict[str, int]":
    """What went through the tunnel, both ways."""
    try:
        stats = node.path.transport.peer_stats(index)
    except LocalError:  # not installed: expired, or we are down
        return dict.fromkeys(COUNTED, 0)
    return {name: stats[name] for name in COUNTED}


def features(transport: "Any") -> "dict[str, Any]":
    """What the kernel takes over and whether it is in use, and what seals and opens: libcrypto alone, or with AVX-512 where many wait."""
    found: dict[str, Any] = transport.features()
    return {"cipher": "avx512" if found.get("lanes") else "libcrypto", **found}


def stamp(milliseconds: "int | None") -> "str | None":
    """RFC 3339 in UTC."""
    if milliseconds is None:
        return None
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds / 1000))
    except (OverflowError, ValueError, OSError):
        return None


def find(document: "dict[str, Any]", text: str) -> "dict[str, Any] | None":
    """The node (peers, then ourselves) with this name, address, key or stable id."""
    wanted = text.lower().rstrip(".")
    wanted = wanted[1:].partition("]")[0] if wanted.startswith("[") else wanted
    for row in [*document["peers"], document["self"]]:
        names = {row["name"].lower(), row["dns_name"].lower().rstrip("."), row["key"], row["stable_id"]}
        if text and (wanted in names or wanted in row["addresses"]):
            found: dict[str, Any] = row
            return found
    return None
