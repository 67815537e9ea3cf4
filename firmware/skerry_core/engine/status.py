"""The snapshot people and the local API read. Neutral and JSON-able; no secrets; times are ms of the engine's clock or null."""

from skerry_core import ip, path
from skerry_core.engine import peerrelay
from skerry_core.engine.why import ourselves

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.engine.engine import Engine
    from skerry_core.engine.peer import Peer
    from skerry_core.tailcfg.node import Node


def status(engine: "Engine") -> "dict[str, Any]":
    """See Engine.status()."""
    control, gateway, own = engine.control, engine.control.gateway, engine.netmap.self_node
    mine: dict[str, Any] = {"key": engine.node_public.hex(), "hostname": engine.config.get("hostname") or "skerry"}
    mine.update(_node(engine, own) if own is not None else {"addresses": [], "name": ""})
    mine["endpoints"] = [ip.format_endpoint(address, port) for address, port, _ in engine.netcheck.endpoints()]
    mine["expired"] = engine.life.expired()
    return {
        "state": engine.state,
        "auth_url": control.registration.auth_url,
        "self": mine,
        "peers": [_peer(engine, node) for node in sorted_nodes(engine)],
        "users": _users(engine),
        "domain": engine.netmap.domain,
        "exit_node": engine.exits.snapshot(),
        "dns": engine.netmap.dns,
        "health": health(engine),
        "home_region": engine.netcheck.home,
        "regions": {str(region.number): region.code for region in engine.relays.regions()},
        "gateway": {
            "url": "" if gateway is None else gateway.url,
            "key": "" if control.key is None else control.key.hex(),
            "connected": control.since is not None,
            "since": control.since,
            "away_since": control.away_since,
        },
        "from_saved_map": own is not None and engine.running and not engine.map_is_live,
        "map_of": engine.netmap.control_time,
        "relaying": engine.relaying.status(),
        "drops": dict(engine.drops),
        "now": engine.now,
        "wall": engine.clock.wall(engine.now),
    }


def sorted_nodes(engine: "Engine") -> "list[Node]":
    """Peers of the map by id, without those that are nobody's device, such as the gateway's own UDP relay."""
    nodes = [engine.netmap.peers[number] for number in sorted(engine.netmap.peers)]
    return [node for node in nodes if not node.infrastructure]


def _users(engine: "Engine") -> "dict[str, Any]":
    hidden = [node.user for node in engine.netmap.peers.values() if node.infrastructure]
    return {str(number): user for number, user in engine.netmap.users.items() if number not in hidden}


def _node(engine: "Engine", node: "Node") -> "dict[str, Any]":
    return {
        "id": node.id,
        "stable_id": node.stable_id,
        "name": node.name,
        "key": node.key.hex(),
        "addresses": [ip.format_address(address) for address, _ in node.addresses],
        "allowed_ips": [ip.format_prefix(prefix) for prefix in node.allowed_ips],
        "primary_routes": [ip.format_prefix(prefix) for prefix in node.primary_routes],
        "tags": list(node.tags),
        "user": node.user,
        "os": node.hostinfo.get("OS", ""),
        "hostname": node.hostinfo.get("Hostname", ""),
        "online": node.online,
        "last_seen": node.last_seen,
        "created": node.created,
        "key_expiry": node.key_expiry,
        "home_region": node.home_derp,
        "region_code": engine.relays.code(node.home_derp) if node.home_derp else "",
    }


def _peer(engine: "Engine", node: "Node") -> "dict[str, Any]":
    row = _node(engine, node)
    peer = engine.peers.by_key.get(node.key)
    row["expired"] = peer is None
    row.update(_ways(engine, peer))
    return row


def _ways(engine: "Engine", peer: "Peer | None") -> "dict[str, Any]":
    if peer is None:
        ways: dict[str, Any] = {"index": 0, "latency_ms": None, "active": False, "last_handshake_ms": None}
        ways.update(dict.fromkeys(("path", "relay", "endpoint", "peer_relay", "peer_relay_text"), ""))
        return ways
    relay, best = engine.paths.relay(peer), peer.best
    used = best.path if best is not None and engine.paths.trusted(peer) else None
    via = used if used is not None and used[4] else None
    return {
        "index": peer.index,
        "path": path.text(best.path) if best is not None else engine.relays.text(relay[0]) if relay is not None else "none",
        "relay": engine.relays.code(relay[0]) if relay is not None else "",
        "endpoint": path.text(used) if used is not None and via is None else "",
        "peer_relay": peerrelay.address(via) if via is not None else "",
        "peer_relay_text": engine.peer_relays.text(peer, via) if via is not None else "",
        "latency_ms": None if best is None else best.latency,
        "active": engine.paths.active(peer),
        "last_handshake_ms": peer.last_handshake,
        "session": peer.current is not None,
    }


def health(engine: "Engine") -> "list[str]":
    """What is wrong now, one sentence each."""
    sentences = []
    if engine.control.error:
        sentences.append(engine.control.error)
    if engine.control.error and engine.running and engine.netmap.self_node is not None and not engine.map_is_live:
        sentences.append("The gateway was not reached since the start: peers are those of the saved map.")
    for region in engine.relays.regions():
        link = engine.relays.link(region.number)
        if link is not None and link.error:
            sentences.append(f"{engine.relays.text(region.number)} is not reachable: {link.error}")
        elif link is not None and link.health:
            sentences.append(f"{engine.relays.text(region.number)} reports: {link.health}")
    if engine.relaying.error:
        sentences.append(engine.relaying.error)
    if engine.running:
        sentences.extend(ourselves(engine))
        sentences.extend(engine.exits.health())
    for message in engine.netmap.messages.values():
        sentences.append(f"{message['Title']}: {message['Text']}")
    return sentences + list(engine.netmap.health)
