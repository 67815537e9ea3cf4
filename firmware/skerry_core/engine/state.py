"""Saved state: what a restarted engine needs to go on as the same node. JSON-able; 32-byte keys in hex.

    version 1 | machine_key, node_key, disco_key (private) | gateway (url), gateway_key | wanted (up or down), logged_in
    tai_floor (12 bytes) | control_time (ms or null) | home (region) | stamps {node key: TAI64N taken from it} | netmap (or null)

Whoever stores it protects it (it holds private keys) and binds it to the board. A version this code does not know, and anything damaged,
is refused whole with a sentence that says what to do; nothing is guessed.
"""

import binascii

from skerry_core.errors import LocalError, PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 1
_RESTORE = "restore the last good copy of the state, or remove it and join again"


class State:
    """The values of one saved state, checked; the defaults are those of a new node."""

    def __init__(self, random: "Any") -> None:
        self.machine_key, self.node_key, self.disco_key = random(32), random(32), random(32)
        self.gateway = ""
        self.gateway_key: bytes | None = None
        self.wanted = False
        self.logged_in = False
        self.tai_floor = bytes(12)
        self.control_time: int | None = None
        self.home = 0
        self.stamps: dict[bytes, bytes] = {}
        self.netmap: dict[str, Any] | None = None

    def forget_network(self, random: "Any") -> None:
        """Another network from now on: the machine and disco keys stay, membership and what the old one told do not."""
        self.logged_in, self.netmap, self.home, self.stamps, self.control_time = False, None, 0, {}, None
        self.node_key = random(32)


def load(document: "Any", random: "Any") -> State:
    """A State from what save() gave; LocalError when it is damaged or of another version."""
    state = State(random)
    if document is None:
        return state
    if not isinstance(document, dict) or not isinstance(document.get("version"), int):
        raise LocalError(f"saved state is damaged: an object with a version is needed; {_RESTORE}")
    if document["version"] != VERSION:
        newer = "a newer" if document["version"] > VERSION else "an unknown"
        raise LocalError(
            f"saved state has version {document['version']}, written by {newer} Skerry; this one reads version {VERSION}: update Skerry"
        )
    state.machine_key = _bytes(document, "machine_key", 32)
    state.node_key = _bytes(document, "node_key", 32)
    state.disco_key = _bytes(document, "disco_key", 32)
    state.tai_floor = _bytes(document, "tai_floor", 12)
    state.gateway_key = None if document.get("gateway_key") is None else _bytes(document, "gateway_key", 32)
    state.gateway = _typed(document, "gateway", str, "")
    state.wanted, state.logged_in = _typed(document, "wanted", bool, False), _typed(document, "logged_in", bool, False)
    state.control_time, state.home = _typed(document, "control_time", int, None), _typed(document, "home", int, 0)
    state.netmap = _typed(document, "netmap", dict, None)
    for key, stamp in _typed(document, "stamps", dict, {}).items():
        state.stamps[_hex(key, "stamps", 32)] = _hex(stamp, "stamps", 12)
    return state


def _typed(document: "dict[str, Any]", name: str, kind: "Any", default: "Any") -> "Any":
    value = document.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise LocalError(f"saved state is damaged: {name} is a {type(value).__name__}; {_RESTORE}")
    return value


def _bytes(document: "dict[str, Any]", name: str, size: int) -> bytes:
    return _hex(document.get(name), name, size)


def _hex(text: object, name: str, size: int) -> bytes:
    try:
        value = binascii.unhexlify(text) if isinstance(text, str) else b""
    except (ValueError, PeerError):
        value = b""
    if len(value) != size:
        raise LocalError(f"saved state is damaged: {name} is not {size} bytes in hex; {_RESTORE}")
    return value
