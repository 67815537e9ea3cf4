"""The gateway's side of tailcfg: nodes, users, DNS and register answers as JSON objects, and the frames of a map stream.

A frame of the stream is u32 little-endian length | one MapResponse (a complete zstd frame, or plain JSON). Names of fields are
tailcfg's. Source: wire behaviour of client 1.102.3. Does not decide who is told what (maps.py).
"""

import json
from datetime import UTC, datetime
from typing import Any

from skerry_core.tailcfg.keys import encode_key
from skerry_gateway.policy import routes_in_force
from skerry_gateway.store import Network, Node, User

from .hostinfo import ZERO_KEY, Live

# tagged nodes belong to nobody, but the protocol wants some user for each node
TAGGED_USER = 2147455555
_ADMIN = "https://tailscale.com/cap/is-admin"
_FILES = "https://tailscale.com/cap/file-sharing"
SSH = "https://tailscale.com/cap/ssh"
_EXIT = ("0.0.0.0/0", "::/0")
_PATCHABLE = {"Endpoints": "Endpoints", "HomeDERP": "DERPRegion", "Online": "Online", "LastSeen": "LastSeen"}
KEEPALIVE = b'{"KeepAlive":true}'


def dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "little") + body


def rfc3339(wall_ms: int) -> str:
    """Wall milliseconds as tailcfg's times, clamped to the years a client can parse."""
    seconds, rest = divmod(min(max(wall_ms, 0), 253402300799000), 1000)
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{rest:03d}Z"


def user_id(node: Node) -> int:
    return node.user_id if node.user_id is not None else TAGGED_USER


def login_name(user: User, network: Network) -> str:
    return user.name if "@" in user.name else f"{user.name}@{network.suffix}"


def profile(number: int, user: User | None, network: Network) -> dict[str, Any]:
    """A UserProfile; the pseudo-user of tagged nodes when there is no user."""
    if user is None:
        return {"ID": number, "LoginName": "tagged-devices", "DisplayName": "Tagged Devices"}
    return {"ID": number, "LoginName": login_name(user, network), "DisplayName": user.display_name}


def peer(node: Node, live: Live, network: Network, carried: tuple[str, ...]) -> dict[str, Any]:
    """The Node its peers see. `carried`: the routes it is primary for, exit routes included."""
    own = [f"{node.ipv4}/32", f"{node.ipv6}/128"]
    found: dict[str, Any] = {
        "ID": node.id,
        "StableID": node.stable_id,
        "Name": f"{node.name}.{network.suffix}.",
        "User": user_id(node),
        "Key": encode_key("nodekey", node.node_key),
        "Machine": encode_key("mkey", node.machine_key),
        "Addresses": own,
        "AllowedIPs": own + list(carried),
        "Hostinfo": live.hostinfo or {"Hostname": node.hostname, "OS": node.os},
        "Created": rfc3339(node.created_ms),
        "Cap": node.version,
        "MachineAuthorized": node.approved,
        "Online": live.online,
    }
    seen = live.seen_ms if live.seen_ms is not None else node.last_seen_ms
    optional = {
        "DiscoKey": encode_key("discokey", live.disco_key) if live.disco_key != ZERO_KEY else None,
        "Endpoints": list(live.endpoints),
        "HomeDERP": live.home_region,
        "KeyExpiry": rfc3339(node.expires_ms) if node.expires_ms is not None else None,
        "LastSeen": rfc3339(seen) if seen is not None and not live.online else None,
        "Tags": list(node.tags),
        "PrimaryRoutes": [route for route in carried if route not in _EXIT],
    }
    found.update({name: value for name, value in optional.items() if value})
    return found


def through(record: dict[str, Any], routes: tuple[str, ...]) -> dict[str, Any]:
    """A peer's record as somebody is given it who uses it for `routes` only."""
    found = {name: value for name, value in record.items() if name != "PrimaryRoutes"}
    found["AllowedIPs"] = record["Addresses"] + list(routes)
    primary = [route for route in routes if route not in _EXIT]
    return {**found, "PrimaryRoutes": primary} if primary else found


def own(record: dict[str, Any], user: User | None, network: Network, attributes: dict[str, list[Any]]) -> dict[str, Any]:
    """The Node as it sees itself, from its peers' record of it. `attributes`: capabilities that the policy gives it."""
    caps: dict[str, list[Any]] = {"default-auto-update": [False], "disable-captive-portal-detection": [], _FILES: []}
    caps["tailnet-display-name"] = [network.name]
    if user is not None and user.role in ("owner", "admin"):
        caps[_ADMIN] = []
    found = {name: value for name, value in record.items() if name != "LastSeen"}
    found.update({"Online": True, "CapMap": {**caps, **attributes}})
    return found


def withdrawn(record: dict[str, Any]) -> dict[str, Any]:
    """The own Node of somebody who was removed: its key expired long ago, so that the client asks for a new sign-in."""
    return dict(record, KeyExpiry=rfc3339(123_000), Expired=True)


def patch(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any] | None:
    """The PeerChange that turns old into new; None when only the whole Node can say it (a patch cannot take anything away)."""
    if any(name not in new for name in old):
        return None
    differing = [name for name, value in new.items() if old.get(name) != value]
    if not all((name in _PATCHABLE and new[name] not in ([], 0)) or name == "Online" for name in differing):
        return None
    patch = {_PATCHABLE[name]: new[name] for name in differing}
    return {"NodeID": new["ID"], **patch}


def registered(node: Node, user: User | None, network: Network, expired: bool) -> dict[str, Any]:
    """The answer to a register request of a known node."""
    number = user_id(node)
    shown = profile(number, user, network)
    return {
        "User": {"ID": number, "DisplayName": shown["DisplayName"], "Created": rfc3339(user.created_ms if user else network.created_ms)},
        "Login": {"ID": number, "Provider": "skerry", "LoginName": shown["LoginName"], "DisplayName": shown["DisplayName"]},
        "NodeKeyExpired": expired,
        "MachineAuthorized": node.approved and not expired,
        "AuthURL": "",
    }


def carried_routes(nodes: list[tuple[Node, bool]]) -> dict[int, tuple[str, ...]]:
    """Which node carries which routes: of several with the same subnet the first that is online (lowest id), else the first.

    `nodes` are (node, online) by rising id. Exit routes are everybody's own: the client chooses.
    """
    primary: dict[str, tuple[int, bool]] = {}
    for node, online in nodes:
        for route in routes_in_force(node):
            if route not in primary or (online and not primary[route][1]):
                primary[route] = (node.id, online)
    return {node.id: tuple(r for r in routes_in_force(node) if r in _EXIT or primary[r][0] == node.id) for node, _ in nodes}


def routers(nodes: list[tuple[Node, bool]]) -> dict[str, tuple[tuple[int, bool], ...]]:
    """Of each subnet its routers, (node id, online) by rising id."""
    found: dict[str, tuple[tuple[int, bool], ...]] = {}
    for node, online in nodes:
        for route in routes_in_force(node):
            if route not in _EXIT:
                found[route] = (*found.get(route, ()), (node.id, online))
    return found
