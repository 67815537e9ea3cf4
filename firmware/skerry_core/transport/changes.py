"""Judges a whole transaction before any of it is carried out: a table from the change's name to its check.

Checks see the state as it will be after the changes before them (`Draft`), so "peer" and its "paths" go in one transaction.
"""

from skerry_core import path as paths
from skerry_core.errors import LocalError
from skerry_core.filter import Filter
from skerry_core.transport.peers import ARMABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Draft:
    """Peers (number -> public key) and session indices (local -> peer) as they would be."""

    def __init__(self, peers: "dict[int, bytes]", sessions: "dict[int, int]") -> None:
        self.peers = peers
        self.sessions = sessions


def check(changes: "list[tuple[Any, ...]]", draft: Draft) -> None:
    """LocalError naming the first change that cannot be carried out, and why."""
    for change in changes:
        name = change[0] if isinstance(change, tuple) and change else change
        entry = _CHECKS.get(name) if isinstance(name, str) else None
        if entry is None or name is change:
            raise LocalError(f"change {name!r}: no such change")
        function, count = entry
        if len(change) != count:
            raise LocalError(f"change {change[0]}: {len(change) - 1} values, need {count - 1}")
        function(draft, change)


def _bytes(value: object, lengths: "tuple[int, ...]", name: str) -> None:
    if not isinstance(value, bytes) or len(value) not in lengths:
        size = f"{len(value)} bytes" if isinstance(value, bytes) else "not bytes"
        raise LocalError(f"change {name}: {size}, need bytes of length {' or '.join([str(length) for length in lengths])}")


def _number(value: object, top: int, name: str) -> None:
    if not isinstance(value, int) or not 0 <= value <= top:
        raise LocalError(f"change {name}: {value!r}, need 0..{top}")


def _each(values: object, name: str) -> "list[Any]":
    if not isinstance(values, (list, tuple)):
        raise LocalError(f"change {name}: {values!r}, need a list")
    return list(values)


def _prefixes(values: object, name: str) -> None:
    for value in _each(values, name):
        if not isinstance(value, tuple) or len(value) != 2:
            raise LocalError(f"change {name}: prefix {value!r}, need (address, bits)")
        _bytes(value[0], (4, 16), name)
        _number(value[1], len(value[0]) * 8, name)


def _identity(draft: Draft, change: "tuple[Any, ...]") -> None:
    _bytes(change[1], (32,), "identity")


def _addresses(draft: Draft, change: "tuple[Any, ...]") -> None:
    for address in _each(change[1], "addresses"):
        _bytes(address, (4, 16), "addresses")


def _local_routes(draft: Draft, change: "tuple[Any, ...]") -> None:
    _prefixes(change[1], "local-routes")


def _peer(draft: Draft, change: "tuple[Any, ...]") -> None:
    _, number, public_key, prefixes = change
    _number(number, 0x7FFFFFFF, "peer")
    _bytes(public_key, (32,), "peer")
    _prefixes(prefixes, "peer")
    if draft.peers.get(number, public_key) != public_key:
        raise LocalError(f"change peer: {number} has another key; remove it first")
    for other in draft.peers:
        if other != number and draft.peers[other] == public_key:
            raise LocalError(f"change peer: {number} has the key of peer {other}")
    draft.peers[number] = public_key


def _known(draft: Draft, change: "tuple[Any, ...]") -> None:
    if not isinstance(change[1], int) or change[1] not in draft.peers:
        raise LocalError(f"change {change[0]}: no peer {change[1]!r}")


def _remove(draft: Draft, change: "tuple[Any, ...]") -> None:
    _known(draft, change)
    del draft.peers[change[1]]
    draft.sessions = {local: peer for local, peer in draft.sessions.items() if peer != change[1]}


def _paths(draft: Draft, change: "tuple[Any, ...]") -> None:
    _known(draft, change)
    for path in _each(change[2], "paths"):
        paths.check(path)


def _session(draft: Draft, change: "tuple[Any, ...]") -> None:
    _known(draft, change)
    _, peer, slot, local, remote, send_key, receive_key = change
    if slot not in ("current", "next"):
        raise LocalError(f"change session: slot {slot!r}, need current or next")
    _number(local, 0xFFFFFFFF, "session")
    _number(remote, 0xFFFFFFFF, "session")
    _bytes(send_key, (32,), "session")
    _bytes(receive_key, (32,), "session")
    if local in draft.sessions:
        raise LocalError(f"change session: index {local} is in use by peer {draft.sessions[local]}")
    draft.sessions[local] = peer


def _expire(draft: Draft, change: "tuple[Any, ...]") -> None:
    _known(draft, change)
    _number(change[2], 0xFFFFFFFF, "expire")
    if draft.sessions.get(change[2]) == change[1]:
        del draft.sessions[change[2]]


def _arm(draft: Draft, change: "tuple[Any, ...]") -> None:
    _known(draft, change)
    _number(change[2], 63, "arm")
    if change[2] & ~ARMABLE:
        raise LocalError(f"change arm: {change[2]}, need a sum of 1, 2, 4, 32")


def _mtu(draft: Draft, change: "tuple[Any, ...]") -> None:
    _known(draft, change)
    _number(change[2], 0xFFFF, "mtu")


def _filter(draft: Draft, change: "tuple[Any, ...]") -> None:
    if change[1] is not None and not isinstance(change[1], bytes):
        raise LocalError("change filter: need bytes of filter.compile(), or None")
    Filter(change[1])


def _relay(draft: Draft, change: "tuple[Any, ...]") -> None:
    _number(change[1], 0x7FFFFFFF, "relay")


_CHECKS = {
    "identity": (_identity, 2),
    "addresses": (_addresses, 2),
    "local-routes": (_local_routes, 2),
    "peer": (_peer, 4),
    "remove": (_remove, 2),
    "paths": (_paths, 3),
    "session": (_session, 7),
    "expire": (_expire, 3),
    "arm": (_arm, 3),
    "keepalive": (_known, 2),
    "purge": (_known, 2),
    "mtu": (_mtu, 3),
    "filter": (_filter, 2),
    "relay": (_relay, 3),
}
