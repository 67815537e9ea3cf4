"""Packet filter: compiles the control server's FilterRules and judges inbound packets.

`compile()` gives one bytes object, read by the Python transport and by the C packet path. It is a sequence of rules without a header
(b"" allows nothing), all numbers big-endian:

    32 bytes   protocols: bit (p & 7) of byte (p >> 3) is set when IP protocol p is listed
    u32        n, number of sources
    u32        m, number of destinations
    n x 18     u8 family (4 or 6), u8 bits, 16 bytes address (IPv4: first 4, rest zero); host bits are zero
    m x 22     the same 18, then u16 first port, u16 last port

A rule without sources or without destinations is left out. Evaluation of an inbound packet, first line that fits (`Filter.verdict`):

    see ip.inspect(): cut short, tiny fragment, IPv6 extension header                   drop "malformed"
    destination multicast                                                               drop "multicast"
    destination link-local (except 169.254.169.254)                                     drop "link_local"
    destination neither our address nor a local route                                   drop "destination"
    later fragment (offset >= 80 B)                                                     accept
    ICMP (1 in IPv4, 58 in IPv6): echo reply or error                                   accept
    ICMP: any rule whose sources hold the source and a destination prefix holds the
          destination (protocols and ports of the rule ignored)                         accept
    TCP (6) other than SYN without ACK                                                  accept
    UDP (17), SCTP (132): reply to a flow seen outbound (newest 256..512 kept)          accept
    TCP SYN, UDP, SCTP: a rule lists the protocol, source, and (destination, port)      accept
    TSMP (99), not fragmented                                                           drop "tsmp" (nothing of ours speaks it)
    other protocols: a rule lists protocol, source, destination with ports 0-65535      accept
    the rest                                                                            drop "filter"

Source: FilterRule of Tailscale's map protocol. It does not check that the source belongs to the sending peer (the transport does), and
grants of capabilities are only looked up here (`grants`, `granted`), never part of the compiled rules.
"""

import struct

from skerry_core import ip
from skerry_core.errors import LocalError, PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Prefix = tuple[bytes, int]
    Sources = tuple[set[bytes], list[Prefix]]
    Rule = tuple[bytes, Sources, list[tuple[Prefix, int, int]]]

DEFAULT_PROTOCOLS = (6, 17, 1, 58)
FLOW_GENERATION = 256
_METADATA = bytes((169, 254, 169, 254))  # the one link-local address that clouds route
_SYN, _SYN_ACK = 0x02, 0x12
_ANY = ((bytes(4), 0), (bytes(16), 0))


def compile(
    rules: "list[dict[str, Any]]", capabilities: "dict[str, list[Prefix]] | None" = None, problems: "list[str] | None" = None
) -> bytes:
    """Compile FilterRules (as decoded from JSON, in order) to the layout above.

    `capabilities` maps the name of a node capability to the addresses of the peers that have it, for sources `cap:<name>`.
    Entries that cannot be read are left out and described in `problems`; SrcBits or Bits anywhere voids the whole filter.
    """
    notes: list[str] = [] if problems is None else problems
    out = []
    for rule in rules:
        if not isinstance(rule, dict):
            notes.append(f"filter rule {rule!r}: need an object; left out")
            continue
        if _has_bits(rule):
            notes.append("filter rule with SrcBits or Bits: a form this version does not take; nothing is allowed in")
            return b""
        out.append(_rule(rule, capabilities or {}, notes))
    return b"".join(out)


def _has_bits(rule: "dict[str, Any]") -> bool:
    if rule.get("SrcBits"):
        return True
    return any(isinstance(entry, dict) and entry.get("Bits") is not None for entry in _list(rule.get("DstPorts")))


def _list(value: object) -> "list[Any]":
    return value if isinstance(value, list) else []


def _rule(rule: "dict[str, Any]", capabilities: "dict[str, list[Prefix]]", notes: "list[str]") -> bytes:
    sources: list[Prefix] = []
    for text in _list(rule.get("SrcIPs")):
        sources += _source(text, capabilities, notes)
    destinations = []
    for entry in _list(rule.get("DstPorts")):
        destinations += _destination(entry, notes)
    if not sources or not destinations:
        return b""
    packed = [_protocols(rule.get("IPProto")), struct.pack(">II", len(sources), len(destinations))]
    packed += [_pack_prefix(prefix) for prefix in sources]
    packed += [_pack_prefix(prefix) + struct.pack(">HH", first, last) for prefix, first, last in destinations]
    return b"".join(packed)


def _protocols(listed: object) -> bytes:
    bitmap = bytearray(32)
    for protocol in _list(listed) or DEFAULT_PROTOCOLS:
        if isinstance(protocol, int) and 0 <= protocol <= 255:
            bitmap[protocol >> 3] |= 1 << (protocol & 7)
    return bytes(bitmap)


def _pack_prefix(prefix: "Prefix") -> bytes:
    address, bits = prefix
    return bytes((4 if len(address) == 4 else 6, bits)) + address + bytes(16 - len(address))


def _source(text: object, capabilities: "dict[str, list[Prefix]]", notes: "list[str]") -> "list[Prefix]":
    if isinstance(text, str) and text[:4] == "cap:":
        return capabilities.get(text[4:], [])
    return _addresses(text, notes)


def _destination(entry: object, notes: "list[str]") -> "list[tuple[Prefix, int, int]]":
    ports = entry.get("Ports") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(ports, dict):
        notes.append(f"filter destination {entry!r}: need IP and Ports; left out")
        return []
    first, last = ports.get("First", 0), ports.get("Last", 0)
    if not isinstance(first, int) or not isinstance(last, int) or not 0 <= first <= last <= 65535:
        notes.append(f"filter ports {first!r}-{last!r}: need 0 <= first <= last <= 65535; left out")
        return []
    return [(prefix, first, last) for prefix in _addresses(entry.get("IP"), notes)]


def _addresses(text: object, notes: "list[str]") -> "list[Prefix]":
    """Prefixes of `*`, an address, a prefix or a range; [] and a note when it is none of them."""
    if text == "*":
        return list(_ANY)
    if not isinstance(text, str):
        notes.append(f"filter address {text!r}: need text; left out")
        return []
    try:
        if "/" not in text and text.count("-") == 1:
            first, last = text.split("-")
            return ip.range_prefixes(ip.parse_address(first), ip.parse_address(last))
        return [ip.parse_prefix(text)]
    except PeerError as error:
        notes.append(f"filter {error}; left out")
        return []


def grants(rules: "list[dict[str, Any]]", source: bytes, destination: bytes) -> "dict[str, list[Any]]":
    """Peer capabilities (name -> values, in order) that `source` has towards our address `destination`."""
    found: dict[str, list[Any]] = {}
    for rule in rules:
        if not isinstance(rule, dict) or not _listed(_list(rule.get("SrcIPs")), source):
            continue
        for grant in _list(rule.get("CapGrant")):
            if isinstance(grant, dict) and _listed(_list(grant.get("Dsts")), destination):
                _collect(grant, found)
    return found


def granted(rules: "list[dict[str, Any]]", capability: str, destination: bytes) -> "list[Prefix]":
    """The sources that have a peer capability towards our address `destination`."""
    found: list[Prefix] = []
    for rule in rules:
        for grant in _list(rule.get("CapGrant")) if isinstance(rule, dict) else ():
            named: dict[str, list[Any]] = {}
            if isinstance(grant, dict) and _listed(_list(grant.get("Dsts")), destination):
                _collect(grant, named)
            if capability in named:
                for text in _list(rule.get("SrcIPs")):
                    found += _addresses(text, [])
    return found


def _listed(texts: "list[Any]", address: bytes) -> bool:
    for text in texts:
        for prefix in _addresses(text, []):
            if ip.contains(prefix, address):
                return True
    return False


def _collect(grant: "dict[str, Any]", found: "dict[str, list[Any]]") -> None:
    for name in _list(grant.get("Caps")):
        if isinstance(name, str):
            found.setdefault(name, [])
    capabilities = grant.get("CapMap")
    if isinstance(capabilities, dict):
        for name in capabilities:
            found.setdefault(name, []).extend(_list(capabilities[name]))


class Flows:
    """Outbound UDP and SCTP flows whose replies may come in: the newest 256 surely, never more than 512."""

    def __init__(self) -> None:
        self._young: set[tuple[int, bytes, bytes, int, int]] = set()
        self._old: set[tuple[int, bytes, bytes, int, int]] = set()

    def note(self, fields: "ip.Fields") -> None:
        """Remember the flow of an outbound packet (its ip.inspect() fields)."""
        _, protocol, source, destination, sport, dport, _ = fields
        if protocol in (ip.UDP, ip.SCTP):
            self._touch((protocol, source, destination, sport, dport))

    def replies(self, fields: "ip.Fields") -> bool:
        """True when an inbound packet answers a remembered flow, which it then refreshes."""
        _, protocol, source, destination, sport, dport, _ = fields
        flow = (protocol, destination, source, dport, sport)
        if flow not in self._young and flow not in self._old:
            return False
        self._touch(flow)
        return True

    def _touch(self, flow: "tuple[int, bytes, bytes, int, int]") -> None:
        if flow in self._young:
            return
        if len(self._young) >= FLOW_GENERATION:
            self._old, self._young = self._young, set()
        self._young.add(flow)


def unfit(fields: "ip.Fields") -> str:
    """Why a packet of either direction is dropped whatever the rules say: "multicast" or "link_local"; "" when it is fit."""
    destination = fields[3]
    if ip.is_multicast(destination):
        return "multicast"
    if ip.is_link_local(destination) and destination != _METADATA:
        return "link_local"
    return ""


class Filter:
    """Compiled rules made ready to judge inbound packets that passed `unfit` and whose destination is ours."""

    def __init__(self, compiled: "bytes | None" = None) -> None:
        """None or b"": nothing allowed in, replies excepted. LocalError when the bytes are not of the layout."""
        self._rules: list[Rule] = []
        data, offset = compiled or b"", 0
        while offset < len(data):
            rule, offset = _unpack_rule(data, offset)
            self._rules.append(rule)

    def verdict(self, fields: "ip.Fields", flows: Flows) -> str:
        """Empty: accept; else the reason of the drop, "filter" or "tsmp"."""
        _, protocol, source, destination, _, dport, detail = fields
        if protocol == ip.FRAGMENT or (protocol == ip.TCP and detail & _SYN_ACK != _SYN):
            return ""
        if protocol == (ip.ICMP if len(source) == 4 else ip.ICMP6):
            accepted = _is_answer(protocol, detail) or self._reaches(source, destination)
        elif protocol in (ip.UDP, ip.SCTP):
            accepted = flows.replies(fields) or self._allows(protocol, source, destination, dport, dport)
        elif protocol == ip.TCP:
            accepted = self._allows(protocol, source, destination, dport, dport)
        elif protocol == ip.TSMP:
            return "tsmp"
        else:
            accepted = self._allows(protocol, source, destination, 0, 65535)
        return "" if accepted else "filter"

    def _reaches(self, source: bytes, destination: bytes) -> bool:
        for _, sources, destinations in self._rules:
            if _holds(sources, source):
                for prefix, _, _ in destinations:
                    if ip.contains(prefix, destination):
                        return True
        return False

    def _allows(self, protocol: int, source: bytes, destination: bytes, low: int, high: int) -> bool:
        for protocols, sources, destinations in self._rules:
            if protocols[protocol >> 3] & (1 << (protocol & 7)) and _holds(sources, source):
                for prefix, first, last in destinations:
                    if first <= low and high <= last and ip.contains(prefix, destination):
                        return True
        return False


def _is_answer(protocol: int, detail: int) -> bool:
    """Echo reply (code 0) or error."""
    if protocol == ip.ICMP:
        return detail == 0 or detail >> 8 in (3, 11, 12)
    return detail == 129 << 8 or detail >> 8 in (1, 2, 3, 4)


def _holds(sources: "Sources", address: bytes) -> bool:
    return address in sources[0] or any(ip.contains(prefix, address) for prefix in sources[1])


def _split(prefixes: "list[Prefix]") -> "Sources":
    """Hosts apart from networks: a rule may list every node one by one."""
    hosts = {address for address, bits in prefixes if bits == len(address) * 8}
    return hosts, [prefix for prefix in prefixes if prefix[1] != len(prefix[0]) * 8]


def _unpack_rule(data: bytes, offset: int) -> "tuple[Rule, int]":
    if offset + 40 > len(data):
        raise LocalError(f"compiled filter: {len(data) - offset} bytes at {offset}, a rule needs 40")
    sources, destinations = struct.unpack_from(">II", data, offset + 32)
    end = offset + 40 + sources * 18 + destinations * 22
    if end > len(data):
        raise LocalError(f"compiled filter: rule at {offset} ends at {end}, there are {len(data)} bytes")
    protocols, cursor = data[offset : offset + 32], offset + 40
    held = [_unpack_prefix(data, cursor + 18 * i) for i in range(sources)]
    cursor += 18 * sources
    reached = []
    for i in range(destinations):
        first, last = struct.unpack_from(">HH", data, cursor + 22 * i + 18)
        reached.append((_unpack_prefix(data, cursor + 22 * i), first, last))
    return (protocols, _split(held), reached), end


def _unpack_prefix(data: bytes, offset: int) -> "Prefix":
    family, bits = data[offset], data[offset + 1]
    size = 4 if family == 4 else 16
    if family not in (4, 6) or bits > size * 8:
        raise LocalError(f"compiled filter: family {family} with {bits} bits at {offset}")
    return data[offset + 2 : offset + 2 + size], bits
