"""A UDP peer relay's packet side in C: sockets, pairs of addresses by network id, and what only Python can answer.

Data of a pair passes without Python. `poll` gives the rest, which passed C's checks of length, sender and rate: STUN requests, disco pings,
and the handshakes of network ids that are open. It decides nothing: who may have an id, who is bound, and how long, it is told. Addresses
are paths with the socket's number as uplink. All methods may be called from one thread; the forwarding has a thread of its own.
"""

from __future__ import annotations

import os

from skerry_core.errors import LocalError

from . import changes as _changes
from ._shim import ffi as _ffi
from ._shim import lib as _lib
from .owned import Owned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Path = tuple[Any, ...]

_FEATURES = {"udp_segment": 1, "udp_gro": 2}
_SIDE = ("packets", "bytes", "heard")


class Forwarder(Owned):
    """LocalError for what cannot be carried out: it is our own bug, or the system has run out of something."""

    def __init__(self) -> None:
        super().__init__("UDP relay", _lib.shim_peerrelay_new(), _lib.shim_peerrelay_free, _lib.shim_peerrelay_stop)

    def __repr__(self) -> str:
        return "<skerry_shim.peerrelay.Forwarder>"

    def adopt(self, descriptor: int) -> int:
        """A bound UDP socket (a duplicate of it is taken); the number it has in paths."""
        own = os.dup(descriptor)
        number = int(_lib.shim_peerrelay_adopt(self._live(), own))
        if number < 0:
            os.close(own)
            raise LocalError(f"UDP relay: cannot use the socket: {os.strerror(-number)}; need a bound UDP socket, 8 at most")
        return number

    def set_features(self, names: Iterable[str]) -> None:
        """Use these alone (`udp_segment`, `udp_gro`), so far as the kernel has them; all unless told."""
        _lib.shim_peerrelay_set_features(self._live(), sum(_FEATURES[name] for name in names))

    # pairs

    def open(self, vni: int, keys: tuple[bytes, bytes]) -> None:
        """Let handshakes of two disco keys through."""
        if len(keys[0]) != 32 or len(keys[1]) != 32:
            raise LocalError(f"UDP relay: disco keys of {len(keys[0])} and {len(keys[1])} bytes, need 32")
        if not 0 < vni <= 0xFFFFFF or not _lib.shim_peerrelay_open(self._live(), vni, *keys):
            raise LocalError(f"UDP relay: network id {vni} cannot be opened: need one of 1..16777215 that is not open")

    def bind(self, vni: int, one: Path, other: Path) -> None:
        """From now on data goes between these two; `one` is the client of the first key."""
        if not _lib.shim_peerrelay_bind(self._live(), vni, _changes.pack_path(one), _changes.pack_path(other)):
            raise LocalError(f"UDP relay: network id {vni} is not open, or has no socket for {one[:2]} or {other[:2]}")

    def forget(self, vni: int) -> None:
        """Close a network id: nothing of it passes when this returns. One that is not open is none."""
        if 0 < vni <= 0xFFFFFF:
            _lib.shim_peerrelay_close(self._live(), vni)

    def stats(self, vni: int) -> tuple[dict[str, int], dict[str, int]] | None:
        """What came from each side and was forwarded: packets, bytes, and when it was heard last (monotonic ms, 0 = never)."""
        out = _ffi.new("uint64_t[6]")
        if not 0 < vni <= 0xFFFFFF or not _lib.shim_peerrelay_stats(self._live(), vni, out):
            return None
        first, second = (dict(zip(_SIDE, map(int, out[at : at + 3]), strict=True)) for at in (0, 3))
        return first, second

    def counters(self) -> dict[str, int]:
        """to_python, packets and bytes forwarded, and drop_<reason>; a reason that never occurred is left out."""
        return self._counted(_lib.shim_peerrelay_counters, _lib.shim_peerrelay_counter_name)

    # Python's datagrams

    def poll(self) -> list[tuple[Path, bytes]]:
        """Datagrams that Python has to answer, with where they came from; fileno() stays readable while there are more."""
        found = _changes.records(self._take(_lib.shim_peerrelay_poll))
        return [(_changes.unpack_path(path), data) for _kind, _code, _region, _peer, path, data in found]

    def send(self, path: Path, data: bytes) -> None:
        """A datagram out of the socket that the path names; lost and counted when that refuses."""
        _lib.shim_peerrelay_send(self._live(), _changes.pack_path(path), bytes(data), len(data))

    def fileno(self) -> int:
        """A descriptor that is readable while poll() has something."""
        return int(_lib.shim_peerrelay_fileno(self._live()))

    # the thread

    def start(self) -> None:
        """Start forwarding; the object lives until stop() or close()."""
        self._begun(int(_lib.shim_peerrelay_start(self._live())), "thread")
