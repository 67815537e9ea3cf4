"""What a running engine hands to the one that takes its place in another process of the same boot (skerryd restarts). Never on disk.

It is what save() leaves out because it is old at the next boot: sessions with their ages, so that rekeys and ends stay where they were, the
direct path in use, and the last TAI64N stamp. JSON-able; keys, addresses and stamps in hex; times on the monotonic clock, which both share.

    version 1 | hint (true: written before a crash, without sessions)
    node (our public key) | stamp (last TAI64N of ours) | uplinks [{uplink, addresses [[family, address]], port4, port6, via [text]}]
    peers {public key: index (number in the transport) | stamp (last TAI64N of theirs) | handshake (one is under way)
           previous, current, next: null or [local index, created, whether we initiated]
           last_handshake, last_sent, last_received, answered: null or a time | keepalive_again
           timers {dead, keepalive, heartbeat: time} | best: null or [uplink, address, port, latency, trusted until] | heard_region}

Keys, counters and replay windows travel with the transport. A handshake under way is begun anew. Relays' streams, questions that wait
for an answer and paths through UDP relays are not in it.
"""

import binascii

from skerry_core import path
from skerry_core.errors import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 1
SLOTS = ("previous", "current", "next")
TIMES = ("last_handshake", "last_sent", "last_received", "answered")
TIMERS = ("dead", "keepalive", "heartbeat")
INDEX_TOP, LOCAL_TOP, TIME_TOP = 0x7FFFFFFF, 0xFFFFFFFF, 1 << 62


class PeerState:
    """What was handed over of one peer, checked."""

    def __init__(self, document: "Any") -> None:
        if not isinstance(document, dict):
            raise LocalError(f"a peer is a {type(document).__name__}, need an object")
        self.index = number(document.get("index"), INDEX_TOP, "index")
        self.stamp = octets(document.get("stamp"), (0, 12), "stamp")
        self.handshake, self.keepalive_again = bool(document.get("handshake")), bool(document.get("keepalive_again"))
        self.heard_region = number(document.get("heard_region"), INDEX_TOP, "heard_region")
        self.sessions = {slot: _session(document[slot]) for slot in SLOTS if document.get(slot) is not None}
        self.times = {name: _time(document.get(name), name) for name in TIMES}
        timers = document.get("timers")
        self.timers = {name: _time(at, name) for name, at in (timers if isinstance(timers, dict) else {}).items() if name in TIMERS}
        self.best = None if document.get("best") is None else _best(document["best"])


class Handover:
    """`node`, `stamp`, `uplinks` and `peers` by public key."""

    def __init__(self, document: "Any") -> None:
        """LocalError: the document is not one of this version, and nothing of it may be used."""
        if not isinstance(document, dict) or document.get("version") != VERSION:
            raise LocalError(f"handed-over state: need an object of version {VERSION}")
        self.node = octets(document.get("node"), (32,), "node")
        self.stamp = octets(document.get("stamp"), (12,), "stamp")
        self.hint = bool(document.get("hint"))
        self.uplinks = [_uplink(each) for each in _list(document.get("uplinks"), "uplinks")]
        peers = document.get("peers")
        if not isinstance(peers, dict):
            raise LocalError("handed-over state: peers are missing")
        self.peers = {octets(key, (32,), "peer"): PeerState(peer) for key, peer in peers.items()}
        self._check_unique()

    def _check_unique(self) -> None:
        indices, locals_ = set(), set()
        sessions = 0
        for peer in self.peers.values():
            indices.add(peer.index)
            for session in peer.sessions.values():
                sessions += 1
                locals_.add(session[0])
        if len(indices) < len(self.peers) or len(locals_) < sessions:
            raise LocalError("handed-over state: two peers or two sessions have one number")


def number(value: "Any", top: int, name: str) -> int:
    """An int in 0..top."""
    if not isinstance(value, int) or not 0 <= value <= top:
        raise LocalError(f"handed-over state: {name} is {value!r}, need 0..{top}")
    return int(value)


def octets(text: "Any", sizes: "tuple[int, ...]", name: str) -> bytes:
    """Bytes from hex, of one of these sizes."""
    try:
        value = binascii.unhexlify(text) if isinstance(text, str) else None
    except ValueError:
        value = None
    if value is None or len(value) not in sizes:
        raise LocalError(f"handed-over state: {name} is not {' or '.join(str(size) for size in sizes)} bytes in hex")
    return value


def _list(value: "Any", name: str) -> "list[Any]":
    if not isinstance(value, list):
        raise LocalError(f"handed-over state: {name} is a {type(value).__name__}, need a list")
    return value


def _time(value: "Any", name: str) -> "int | None":
    return None if value is None else number(value, TIME_TOP, name)


def _session(value: "Any") -> "tuple[int, int, bool]":
    if not isinstance(value, list) or len(value) != 3:
        raise LocalError("handed-over state: a session is [index, created, initiator]")
    return number(value[0], LOCAL_TOP, "session"), number(value[1], TIME_TOP, "created"), bool(value[2])


def _best(value: "Any") -> "tuple[Any, int, int]":
    if not isinstance(value, list) or len(value) != 5:
        raise LocalError("handed-over state: a path is [uplink, address, port, latency, trusted until]")
    where = path.udp(number(value[0], 255, "uplink"), octets(value[1], (4, 16), "address"), number(value[2], 65535, "port"))
    return where, number(value[3], 60_000, "latency"), number(value[4], TIME_TOP, "trusted until")


def _uplink(value: "Any") -> "dict[str, Any]":
    if not isinstance(value, dict):
        raise LocalError("handed-over state: an uplink is no object")
    addresses = []
    for pair in _list(value.get("addresses"), "addresses"):
        if not isinstance(pair, list) or len(pair) != 2 or pair[0] not in (4, 6):
            raise LocalError("handed-over state: an address is [family, hex]")
        addresses.append((pair[0], octets(pair[1], (4 if pair[0] == 4 else 16,), "address")))
    tops = {"uplink": 255, "port4": 65535, "port6": 65535}
    found: dict[str, Any] = {name: number(value.get(name), top, name) for name, top in tops.items()}
    found["addresses"] = addresses
    found["via"] = _list(value.get("via", []), "via")
    if any(not isinstance(way, str) for way in found["via"]):
        raise LocalError("handed-over state: a way out is a text")
    return found
