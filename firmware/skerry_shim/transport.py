"""The packet path in C behind the transport interface of ARCHITECTURE.md; skerry_core.transport documents what that leaves open.

Python sees transactions, control datagrams and edges; packets of sessions go from TUN to the sockets and back without it. Differences from
the Python transport: at most 16 paths a peer; `poll` also bounds its bytes (8 MiB); reasons `drop_send` (a socket refused, or none is
bound for the path) and `drop_tun` (the device refused). `apply`, `send` and `relay_in` may come from any thread, all else from one.
"""

from __future__ import annotations

import os

from skerry_core.errors import LocalError

from . import changes as _changes
from . import handover as _handover
from . import tun as _tun
from ._shim import ffi as _ffi
from ._shim import lib as _lib
from .owned import Owned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Path = tuple[Any, ...]

_FRAME_LIMIT = 65536 + 64
_EVENTS = 4096
_SIDES = {"decrypted": 1, "encrypted": 2}
_FEATURES = {"vnet_hdr": 1, "tso": 2, "uso": 4, "merge_tcp": 8, "merge_udp": 16, "udp_segment": 32, "udp_gro": 64, "lanes": 128}
_DATAGRAM, _FRAME, _BAD_RELAY, _EDGE, _RELAY_OUT = 1, 2, 3, 4, 5


def _region(region: int) -> int:
    if not isinstance(region, int) or not 0 <= region <= 0x7FFFFFFF:
        raise LocalError(f"relay region {region!r}: need 0..{0x7FFFFFFF}")
    return region


class Transport(Owned):
    """See ARCHITECTURE.md, "The transport interface"."""

    def __init__(self, crypto: Any = None, random: Callable[[int], bytes] | None = None, clock: Callable[[], int] | None = None) -> None:
        """`crypto` and `random` are ignored: C has its own. `clock` gives milliseconds for the rate of handshakes and the age of cookies
        until start(), and in its place stands the monotonic clock from there on. LocalError when the process has no descriptors left."""
        super().__init__("packet path", _lib.shim_transport_new(), _lib.shim_transport_free, _lib.shim_stop)
        self._clock = clock
        self._wanted = frozenset(_FEATURES)

    def __repr__(self) -> str:
        return "<skerry_shim.transport.Transport>"

    def _tick(self) -> Any:
        handle = self._live()
        if self._clock is not None:
            _lib.shim_set_clock(handle, self._clock())
        return handle

    # -- decisions in

    def apply(self, changes: list[tuple[Any, ...]]) -> None:
        """Carry out all changes in order, or none of them (LocalError)."""
        data = _changes.pack(changes)
        error = _ffi.new("char[256]")
        with _ffi.from_buffer(data, require_writable=True) as view:
            done = _lib.shim_apply(self._live(), _ffi.cast("uint8_t *", view), len(data), error, 256)
        if not done:
            raise LocalError(_ffi.string(error).decode())

    def send(self, path: Path, data: bytes) -> None:
        """A control datagram out on a path; LocalError for a path that is not well-formed."""
        _lib.shim_send(self._live(), _changes.pack_path(path), bytes(data), len(data))

    def relay_in(self, region: int, data: bytes) -> None:
        """Bytes of a relay's stream, in any cut."""
        _lib.shim_relay_in(self._tick(), _region(region), bytes(data), len(data))

    # -- what happened, out

    def poll(self) -> list[tuple[Any, ...]]:
        """Events since the last call, in order, some thousands at most; fileno() stays readable while there are more."""
        events: list[tuple[Any, ...]] = []
        while len(events) < _EVENTS:
            data = self._take(_lib.shim_poll)
            if not data:
                break
            events.extend(_event(record) for record in _changes.records(data))
        return events

    def relay_out(self, region: int, limit: int = 65536) -> bytes:
        """Whole frames for a relay's stream, `limit` bytes at most (a longer first frame goes alone); when more wait, another
        "relay-out" event follows."""
        buffer = bytearray(max(limit, _FRAME_LIMIT))
        done = int(_lib.shim_relay_out(self._live(), _region(region), _ffi.from_buffer(buffer), len(buffer), limit))
        return bytes(buffer[:done])

    def fileno(self) -> int:
        """A descriptor that is readable while poll() has something."""
        return int(_lib.shim_fileno(self._live()))

    # -- numbers

    def peer_stats(self, number: int) -> dict[str, int]:
        """tx_bytes, rx_bytes, tx_packets, rx_packets of payload; LocalError for an unknown peer."""
        out = _ffi.new("uint64_t[4]")
        if not isinstance(number, int) or not 0 <= number <= 0x7FFFFFFF or not _lib.shim_peer_stats(self._live(), number, out):
            raise LocalError(f"statistics: no peer {number!r}")
        return dict(zip(("tx_bytes", "rx_bytes", "tx_packets", "rx_packets"), out, strict=True))

    def counters(self) -> dict[str, int]:
        """to_python and drop_<reason>; a reason that never occurred is left out."""
        return self._counted(_lib.shim_counters, _lib.shim_counter_name)

    def udp_bytes(self) -> tuple[int, int]:
        """(sent, received) by all sockets since the start, with UDP and IP headers."""
        out = _ffi.new("uint64_t[2]")
        _lib.shim_udp_bytes(self._live(), out)
        return int(out[0]), int(out[1])

    def features(self) -> dict[str, bool]:
        """What the kernel and the processor take over from the packet path, and whether it is in use now: `vnet_hdr` (TUN with virtio
        headers), `tso` and `uso` (TCP and UDP super-packets read from TUN), `merge_tcp` and `merge_udp` (written to it), `udp_segment` and
        `udp_gro` (on any socket), `lanes` (several messages sealed and opened at a time, with AVX-512)."""
        bits = int(_lib.shim_features(self._live()))
        return {name: bool(bits & bit) for name, bit in _FEATURES.items()}

    def set_features(self, names: Iterable[str]) -> None:
        """Use these alone, so far as the kernel accepts them; all unless told. `vnet_hdr` counts when the device is opened. For tests and
        for a kernel that lies; LocalError for an unknown name."""
        wanted = frozenset(names)
        unknown = sorted(wanted - frozenset(_FEATURES))
        if unknown:
            raise LocalError(f"packet path: no feature {unknown[0]!r}; there are {', '.join(_FEATURES)}")
        self._wanted = wanted
        _lib.shim_set_features(self._live(), sum(_FEATURES[name] for name in wanted))

    # -- seeing packets

    def capture_start(self, side: str, peer: int | None, snaplen: int) -> None:
        """Copy packets from now on: `side` "decrypted" or "encrypted", of one peer or all, `snaplen` bytes of each. LocalError when there
        is a capture already."""
        if _lib.shim_capture_start(self._live(), _SIDES[side], -1 if peer is None else peer, snaplen) < 0:
            raise LocalError("another capture is running on this node: end it first")

    def capture_stop(self) -> None:
        """Copy no more; what was not taken is wiped."""
        _lib.shim_capture_stop(self._live())

    def capture_take(self) -> tuple[list[tuple[int, int, int, Path | None, bytes]], int]:
        """Packets since the last call, some hundreds at most, as (ns since 1970, direction: 0 out and 1 in, whole length, path on the
        encrypted side, bytes), and how many were lost since the start because nobody took them."""
        lost = _ffi.new("uint64_t *")
        data = self._take(lambda handle, out, size: _lib.shim_capture_take(handle, out, size, lost))
        return [_captured(record) for record in _changes.records(data)], int(lost[0])

    # -- without sockets and TUN

    def datagram(self, path: Path, data: bytes) -> None:
        """A UDP datagram from the network; `path` has network id 0."""
        if len(path) != 5 or path[4]:
            raise LocalError(f"datagram: path {path!r}, need a UDP path without network id")
        _lib.shim_datagram(self._tick(), _changes.pack_path(path), bytes(data), len(data))

    def packet(self, data: bytes) -> None:
        """A packet from the operating system, to be sealed for the peer it is for."""
        _lib.shim_packet(self._live(), bytes(data), len(data))

    def datagrams(self) -> list[tuple[Path, bytes]]:
        """(path, wire bytes) that would have been sent since the last call."""
        out: list[tuple[Path, bytes]] = []
        while data := self._take(_lib.shim_datagrams):
            out.extend((_changes.unpack_path(record[4]), record[5]) for record in _changes.records(data))
        return out

    def packets(self) -> list[bytes]:
        """Packets for the operating system since the last call."""
        out: list[bytes] = []
        while data := self._take(_lib.shim_packets):
            out.extend(record[5] for record in _changes.records(data))
        return out

    # -- the real thing

    def open_tun(self, name: str, mtu: int) -> str:
        """Open the device before start(); the real name. LocalError says what is missing."""
        real, fd = _tun.open_tun(name, mtu, "vnet_hdr" in self._wanted)
        _lib.shim_attach_tun(self._live(), fd, mtu)
        return real

    def bind(self, uplink: int, family: int, port: int) -> int:
        """Bind the UDP socket of an uplink and family (4 or 6), in place of the one it had; the port. LocalError when it is taken: then
        the old socket stays."""
        if not 0 <= uplink <= 255 or family not in (4, 6) or not 0 <= port <= 65535:
            raise LocalError(f"bind: uplink {uplink!r}, family {family!r}, port {port!r}: need 0..255, 4 or 6, 0..65535")
        result = int(_lib.shim_bind(self._live(), uplink, family, port))
        if result < 0:
            raise LocalError(f"UDP port {port} (IPv{family}, uplink {uplink}): {os.strerror(-result)}; choose another port, or 0 for any")
        return result

    # -- from and to another process

    def export_state(self) -> bytearray:
        """Addresses, filter, flows and peers with their sessions, counters and replay windows, for import_state() of another process; the
        sessions are gone from here. After stop(), else LocalError. It holds keys."""
        return _handover.export(self._live())

    def import_state(self, data: bytearray) -> None:
        """What export_state() gave, into a transport that has no peers yet; wholly or not at all (LocalError). `data` is wiped."""
        _handover.restore(self._live(), data)

    def descriptors(self) -> dict[str, int]:
        """name -> descriptor of the device ("tun") and of the sockets ("udp4-0": family, uplink). They stay the transport's."""
        return _handover.descriptors(self._live())

    def adopt_tun(self, fd: int) -> str:
        """Use a device that another process opened; the name. LocalError: it is none, and `fd` is still the caller's."""
        name, mtu, _ = _handover.inspect_tun(fd)
        _lib.shim_attach_tun(self._live(), fd, mtu)
        return name

    def adopt_socket(self, uplink: int, fd: int) -> int:
        """Use a bound UDP socket of another process for the uplink; the port. LocalError: it is none, and `fd` is still the caller's."""
        if not 0 <= uplink <= 255:
            raise LocalError(f"adopt: uplink {uplink!r}, need 0..255")
        port = int(_lib.shim_adopt_socket(self._live(), uplink, fd))
        if port < 0:
            raise LocalError(f"descriptor {fd} is no bound UDP socket that can be used: {os.strerror(-port)}")
        return port

    def start(self, threads: int = 0) -> None:
        """Start the threads, which keep this object alive until stop() or close(); LocalError when the system refuses. `threads`: 1 for
        both directions together, else half of them for each (8 at most in all); 0: as many as there are processors."""
        self._clock = None
        _lib.shim_set_clock(self._live(), -1)
        self._begun(int(_lib.shim_start(self._live(), threads)), "threads")


def _captured(record: tuple[int, int, int, int, bytes, bytes]) -> tuple[int, int, int, Path | None, bytes]:
    _kind, direction, _region, _peer, path, data = record
    when, whole = int.from_bytes(data[:8], "little"), int.from_bytes(data[8:12], "little")
    return when, direction, whole, _changes.unpack_path(path) if path[0] else None, data[12:]


def _event(record: tuple[int, int, int, int, bytes, bytes]) -> tuple[Any, ...]:
    kind, code, region, peer, path, data = record
    if kind == _DATAGRAM:
        return ("datagram", _changes.unpack_path(path), data)
    if kind == _FRAME:
        return ("frame", region, code, data)
    if kind == _EDGE:
        return ("edge", peer, code)
    if kind == _RELAY_OUT:
        return ("relay-out", region)
    return ("bad-relay", region, data.decode())
