"""What one MapResponse does to the set of peers. Source: the map session of Tailscale 1.102.3.

A non-empty `Peers` replaces all, and every other peer field of the message is ignored. Otherwise in this order: PeersRemoved [id],
PeersChanged [Node] (whole nodes, added or replaced), PeerSeenChange {id: bool} (LastSeen now, or unknown), OnlineChange {id: bool},
PeersChangedPatch [{NodeID, DERPRegion, Cap, CapMap, Endpoints, Key, DiscoKey, Online, LastSeen, KeyExpiry}]. Ids that are not
known are ignored, and so is a node without a positive ID or a key. A patch with a DiscoKey that says Online=false and has no newer
LastSeen than known is out of date and dropped whole.
"""

from skerry_core.errors import PeerError
from skerry_core.tailcfg import fields, times
from skerry_core.tailcfg.node import MAX_ID, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# (field of the patch, field of the node, whether zero means "unchanged" as well)
_PATCHED = (
    ("DERPRegion", "HomeDERP", True),
    ("Cap", "Cap", True),
    ("CapMap", "CapMap", False),
    ("Endpoints", "Endpoints", False),
    ("Key", "Key", False),
    ("DiscoKey", "DiscoKey", False),
    ("Online", "Online", False),
    ("LastSeen", "LastSeen", False),
    ("KeyExpiry", "KeyExpiry", False),
)


def fold(
    peers: dict[int, Node], response: "dict[str, Any]", limit: int, wall_ms: int, known: "dict[int, Node] | None" = None
) -> dict[int, Node]:
    """The peers after a response; `peers` itself stays as it is. PeerError: malformed, or more than `limit` peers.

    Of `Peers` each entry may be JSON, as bytes, which is read when it is its turn. Where `known` has an equal node, that one is kept.
    """
    full = fields.array(response, "Peers", limit)
    if full:
        response["Peers"] = None  # read once: each document makes room for the node after it
        return _added({}, full, limit, known)
    changed = dict(peers)
    for removed in fields.array(response, "PeersRemoved", 10 * limit) or []:
        if not isinstance(removed, int):
            raise fields.wrong("PeersRemoved", removed, "ids")
        changed.pop(removed, None)
    _added(changed, fields.objects(response, "PeersChanged", limit), limit)
    for node_id, seen in fields.numbered(response, "PeerSeenChange", 10 * limit).items():
        _set(changed, node_id, {"LastSeen": times.format(wall_ms) if _boolean("PeerSeenChange", seen) else None})
    for node_id, online in fields.numbered(response, "OnlineChange", 10 * limit).items():
        _set(changed, node_id, {"Online": _boolean("OnlineChange", online)})
    for patch in fields.objects(response, "PeersChangedPatch", 10 * limit):
        _patch(changed, patch)
    return changed


def _added(
    peers: dict[int, Node], documents: "list[Any]", limit: int, known: "dict[int, Node] | None" = None
) -> dict[int, Node]:
    documents.reverse()
    while documents:
        document = documents.pop()
        if document is None:
            continue
        if isinstance(document, bytes):
            document = fields.decode(document, "peer")
        if not isinstance(document, dict):
            raise fields.wrong("Peers", document, "an object")
        node = Node(document)
        if node.valid:
            before = known.get(node.id) if known else None
            peers[node.id] = before if before is not None and before == node else node
    if len(peers) > limit:
        raise PeerError(f"a map of {len(peers)} peers, at most {limit}")
    return peers


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise fields.wrong(name, value, "an object of true and false")
    return value


def _set(peers: dict[int, Node], node_id: int, values: "dict[str, Any]") -> None:
    if node_id in peers:
        document = peers[node_id].document
        document.update(values)
        node = Node(document)
        if node.valid:
            peers[node_id] = node


def _patch(peers: dict[int, Node], patch: "dict[str, Any]") -> None:
    node_id = fields.integer(patch, "NodeID", 0, -MAX_ID, MAX_ID)
    if node_id not in peers or _out_of_date(peers[node_id], patch):
        return
    values = {}
    for name, target, zero_keeps in _PATCHED:
        value = patch.get(name)
        if value is not None and not (zero_keeps and value == 0):
            values[target] = value
    _set(peers, node_id, values)


def _out_of_date(node: Node, patch: "dict[str, Any]") -> bool:
    if patch.get("DiscoKey") is None or patch.get("Online") is not False or patch.get("LastSeen") is None or node.last_seen is None:
        return False
    seen = fields.parsed("LastSeen", times.parse, patch["LastSeen"])
    return seen is None or seen <= node.last_seen
