"""IP addresses, prefixes and endpoints as text, a longest-prefix table, and the header fields of packets.

Addresses are 4 or 16 raw bytes, prefixes `(address, bits)` with zero host bits. Text as in RFC 4291 (read) and RFC 5952 (written),
without zones. Packet fields as in RFC 791, 8200, 9293, 768, 792, 4443, 9260:

    IPv4   u8 version 4, header words | tos | u16 length | id | u16 flags, fragment offset | ttl | u8 protocol | sum | src 4 | dst 4
    IPv6   u8 version 6 .. | u16 payload length | u8 next header | hop limit | src 16 | dst 16
    v6 fragment header   u8 next header | 0 | u16 offset (13 bits), flags | id 4

It verifies no checksum, reassembles nothing, and of IPv6's extension headers it reads the Fragment header right after the base header only.
"""

import struct

from skerry_core.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Prefix = tuple[bytes, int]
    Fields = tuple[int, int, bytes, bytes, int, int, int]

ICMP, TCP, UDP, ICMP6, TSMP, SCTP = 1, 6, 17, 58, 99, 132
FRAGMENT = 256  # `protocol` of a fragment other than the first
_FRAGMENT_HEADER = 44
_EXTENSIONS = (0, 43, 44, 50, 51, 60, 135, 139, 140)
_TRANSPORT_HEADER = {ICMP: 4, ICMP6: 4, TCP: 20, UDP: 8, SCTP: 12, TSMP: 7, 2: 8}
_MINIMUM_FRAGMENT_OFFSET = 10  # in 8-byte units: the longest IPv4 header and a TCP header
_HEX = "0123456789abcdefABCDEF"


def parse_address(text: str) -> bytes:
    """4 or 16 raw bytes; PeerError when `text` is not an IPv4 or IPv6 address."""
    address = _parse6(text) if ":" in text else _parse4(text)
    if address is None:
        raise PeerError(f"address {text!r}: need IPv4 such as 192.0.2.1 or IPv6 such as 2001:db8::1")
    return address


def _parse4(text: str) -> "bytes | None":
    parts = text.split(".")
    if len(parts) != 4:
        return None
    for part in parts:
        if not 1 <= len(part) <= 3 or not _decimal(part) or int(part) > 255 or (part[0] == "0" and part != "0"):
            return None
    return bytes([int(part) for part in parts])


def _decimal(text: str) -> bool:
    for letter in text:
        if letter not in "0123456789":
            return False
    return bool(text)


def _parse6(text: str) -> "bytes | None":
    halves = text.split("::")
    if len(halves) > 2 or len(text) > 45:
        return None
    groups = [_groups(half, half is halves[-1]) for half in halves]
    left = groups[0]
    right = groups[-1]
    if left is None or right is None:
        return None
    if len(halves) == 1:
        return left if len(left) == 16 else None
    if len(left) + len(right) > 14:
        return None
    return left + bytes(16 - len(left) - len(right)) + right


def _groups(text: str, last: bool) -> "bytes | None":
    if not text:
        return b""
    out = b""
    parts = text.split(":")
    for index, part in enumerate(parts):
        if last and index == len(parts) - 1 and "." in part:
            tail = _parse4(part)
            if tail is None:
                return None
            out += tail
            continue
        if not 1 <= len(part) <= 4:
            return None
        for letter in part:
            if letter not in _HEX:
                return None
        out += int(part, 16).to_bytes(2, "big")
    return out


def format_address(address: bytes) -> str:
    """Text of 4 or 16 raw bytes; the longest run of zero groups becomes `::`."""
    if len(address) == 4:
        return ".".join([str(byte) for byte in address])
    groups = [address[i] << 8 | address[i + 1] for i in range(0, 16, 2)]
    start, length = _zero_run(groups)
    words = [f"{group:x}" for group in groups]
    if length < 2:
        return ":".join(words)
    return ":".join(words[:start]) + "::" + ":".join(words[start + length :])


def _zero_run(groups: "list[int]") -> "tuple[int, int]":
    best, length = 0, 0
    for start in range(8):
        run = 0
        while start + run < 8 and groups[start + run] == 0:
            run += 1
        if run > length:
            best, length = start, run
    return best, length


def parse_prefix(text: str) -> "Prefix":
    """`192.0.2.0/24` as (address, bits); a bare address is a host prefix; PeerError when unreadable or with host bits set."""
    written, slash, length = text.partition("/")
    address = parse_address(written)
    if not slash:
        return address, len(address) * 8
    if not _decimal(length) or len(length) > 3 or int(length) > len(address) * 8:
        raise PeerError(f"prefix {text!r}: need a length of 0..{len(address) * 8} after the slash")
    prefix = (address, int(length))
    if masked(address, prefix[1]) != address:
        raise PeerError(f"prefix {text!r}: has host bits set, the network is {format_prefix((masked(address, prefix[1]), prefix[1]))}")
    return prefix


def format_prefix(prefix: "Prefix") -> str:
    """`192.0.2.0/24`."""
    return f"{format_address(prefix[0])}/{prefix[1]}"


def parse_endpoint(text: str) -> "tuple[bytes, int]":
    """`192.0.2.1:41641` or `[2001:db8::1]:41641` as (address, port); PeerError when unreadable."""
    host, _, port = text.rpartition(":")
    six = host[:1] == "[" and host[-1:] == "]"
    if not _decimal(port) or len(port) > 5 or int(port) > 65535 or (":" in host and not six):
        raise PeerError(f"endpoint {text!r}: need address:port, IPv6 in brackets, port 0..65535")
    return parse_address(host[1:-1] if six else host), int(port)


def format_endpoint(address: bytes, port: int) -> str:
    """`192.0.2.1:41641` or `[2001:db8::1]:41641`."""
    shown = format_address(address)
    return f"{shown}:{port}" if len(address) == 4 else f"[{shown}]:{port}"


def masked(address: bytes, bits: int) -> bytes:
    """`address` with all but its first `bits` bits zero."""
    whole, rest = bits >> 3, bits & 7
    kept = address[:whole]
    if rest:
        kept += bytes((address[whole] & (0xFF00 >> rest) & 0xFF,))
    return kept + bytes(len(address) - len(kept))


def contains(prefix: "Prefix", address: bytes) -> bool:
    """True when `address` (any family) lies in `prefix`."""
    return len(prefix[0]) == len(address) and masked(address, prefix[1]) == prefix[0]


def range_prefixes(first: bytes, last: bytes) -> "list[Prefix]":
    """The fewest prefixes that cover first..last, both included; PeerError when they are not an ascending range of one family."""
    if len(first) != len(last) or first > last:
        raise PeerError(f"range {format_address(first)}-{format_address(last)}: need two addresses of one family in ascending order")
    size, low, high = len(first), int.from_bytes(first, "big"), int.from_bytes(last, "big")
    out = []
    while low <= high:
        free = 0
        while free < size * 8 and not low & (1 << free) and low + (2 << free) - 1 <= high:
            free += 1
        out.append((low.to_bytes(size, "big"), size * 8 - free))
        low += 1 << free
    return out


def mapped(address: bytes) -> bytes:
    """16 bytes: IPv4 as ::ffff:a.b.c.d."""
    return address if len(address) == 16 else bytes(10) + b"\xff\xff" + address


def unmapped(address: bytes) -> bytes:
    """The 4 bytes of an IPv4-mapped address, other addresses unchanged."""
    return address[12:] if address[:12] == bytes(10) + b"\xff\xff" else address


def is_multicast(address: bytes) -> bool:
    """224.0.0.0/4 or ff00::/8."""
    return address[0] == 0xFF if len(address) == 16 else address[0] & 0xF0 == 0xE0


def is_link_local(address: bytes) -> bool:
    """169.254.0.0/16 or fe80::/10."""
    if len(address) == 16:
        return address[0] == 0xFE and address[1] & 0xC0 == 0x80
    return address[0] == 169 and address[1] == 254


class Table:
    """Prefixes of both families to values, longest match first."""

    def __init__(self) -> None:
        self._hosts: dict[bytes, Any] = {}
        self._nets: dict[tuple[int, int], dict[bytes, Any]] = {}
        self._lengths: list[tuple[int, int]] = []

    def set(self, prefix: "Prefix", value: "Any") -> None:
        """`prefix` has this value from now on."""
        address, bits = prefix
        if bits == len(address) * 8:
            self._hosts[address] = value
            return
        key = (len(address), bits)
        if key not in self._nets:
            self._nets[key] = {}
            self._lengths = sorted(self._nets.keys(), reverse=True)
        self._nets[key][address] = value

    def drop(self, prefix: "Prefix", value: "Any") -> None:
        """Forget `prefix` if it has this value."""
        address, bits = prefix
        key = (len(address), bits)
        host = bits == len(address) * 8
        entries = self._hosts if host else self._nets.get(key, {})
        if entries.get(address) is not value:
            return
        del entries[address]
        if not host and not entries:
            del self._nets[key]
            self._lengths = sorted(self._nets.keys(), reverse=True)

    def find(self, address: bytes) -> "Any":
        """The value of the longest prefix that holds `address`, or None."""
        found = self._hosts.get(address)
        if found is not None or not self._lengths:
            return found
        size = len(address)
        for key in self._lengths:
            if key[0] == size:
                found = self._nets[key].get(masked(address, key[1]))
                if found is not None:
                    return found
        return None


def inspect(packet: bytes) -> "Fields | None":
    """(length, protocol, source, destination, source port, destination port, detail), or None for a packet that cannot be judged.

    `length` is the header's idea of the packet's length (<= len(packet): the rest is padding). `protocol` is FRAGMENT for later fragments.
    Ports are those of TCP, UDP and SCTP, else 0. `detail` is TCP's flags; ICMP's type * 256 + code, or -1 when cut before 8 bytes.
    None: not IP, cut short, header or first fragment too small for its transport header, fragment offset below 80 bytes, IPv6 extension.
    """
    if len(packet) < 20:
        return None
    version = packet[0] >> 4
    if version == 4:
        return _inspect4(packet)
    return _inspect6(packet) if version == 6 and len(packet) >= 40 else None


def _inspect4(packet: bytes) -> "Fields | None":
    length, fragment = packet[2] << 8 | packet[3], packet[6] << 8 | packet[7]
    start = (packet[0] & 15) << 2
    if start < 20 or not start <= length <= len(packet):
        return None
    source, destination, protocol = packet[12:16], packet[16:20], packet[9]
    if fragment & 0x1FFF:
        return _later(length, source, destination, fragment & 0x1FFF)
    if protocol == TSMP and fragment & 0x2000:
        return None
    return _transport(packet, length, protocol, source, destination, start)


def _inspect6(packet: bytes) -> "Fields | None":
    length = (packet[4] << 8 | packet[5]) + 40
    if length > len(packet):
        return None
    source, destination, protocol, start = packet[8:24], packet[24:40], packet[6], 40
    if protocol == _FRAGMENT_HEADER:
        if length < 48:
            return None
        offset = (packet[42] << 8 | packet[43]) >> 3
        if offset:
            return _later(length, source, destination, offset)
        protocol, start = packet[40], 48
        if protocol == TSMP and packet[43] & 1:
            return None
    if protocol in _EXTENSIONS:
        return None
    return _transport(packet, length, protocol, source, destination, start)


def _later(length: int, source: bytes, destination: bytes, offset: int) -> "Fields | None":
    return None if offset < _MINIMUM_FRAGMENT_OFFSET else (length, FRAGMENT, source, destination, 0, 0, 0)


def _transport(packet: bytes, length: int, protocol: int, source: bytes, destination: bytes, start: int) -> "Fields | None":
    if length - start < _TRANSPORT_HEADER.get(protocol, 0):
        return None
    if protocol in (TCP, UDP, SCTP):
        ports = struct.unpack_from(">HH", packet, start)
        return length, protocol, source, destination, ports[0], ports[1], packet[start + 13] if protocol == TCP else 0
    if protocol in (ICMP, ICMP6):
        detail = packet[start] << 8 | packet[start + 1] if length - start >= 8 else -1
        return length, protocol, source, destination, 0, 0, detail
    return length, protocol, source, destination, 0, 0, 0
