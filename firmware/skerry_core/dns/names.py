"""What this node answers itself and whom it asks for the rest: the map's DNSConfig and the names of its nodes.

    a node's name, short or full     its addresses (A, AAAA), from the map, which is there while the gateway is away
    an address of a node             its name (PTR)
    ExtraRecords                     as the map gives them
    below a domain of Routes         asked of the servers of the longest domain that fits; answered "no such name" where the list is empty
    below the network's own domain,  "no such name": nobody else knows better
    and its reverse zones
    localhost; local, onion, ...     127.0.0.1 and ::1; "no such name": they never leave a host (RFC 6761, 6762, 7686)
    everything else                  Resolvers of the map (behind the exit node, if one is in use), else the exit node where it answers
                                     names, else those that this host had before, else FallbackResolvers

With an exit node in use it is asked itself, first: official ones by HTTP, and ours, which answer those whose traffic they carry (guests).
The servers before come next, through it, if it can reach them at all: those with a public address, and this host's own (127.0.0.1), whose
questions go through it in turn. What a LAN's server would answer is nobody's business then.

A resolver is "address" or "address:port"; one by https is not asked (`unusable` counts them).
"""

import struct

from skerry_core import ip
from skerry_core.dns import message
from skerry_core.errors import LocalError, PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.dns.message import Query, Record
    from skerry_core.tailcfg.netmap import NetworkMap

    Server = tuple[bytes, int] | tuple[bytes, int, str]  # with "http": asked by HTTP (RFC 8484), inside the tunnel only

TTL = 10  # s; to ask again costs nothing, and a changed map is right at once
SERVERS_LIMIT, SEARCH_LIMIT = 16, 32
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_"
PORT = 53
SERVICE = (bytes([100, 100, 100, 100]), bytes([0xFD, 0x7A, 0x11, 0x5C, 0xA1, 0xE0]) + bytes(9) + bytes([0x53]))  # where nodes are asked
_MESH6 = message.encode_name("0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa")
_NOWHERE = [message.encode_name(name) for name in ("local", "onion", "invalid", "test", "alt", "localhost")]
_LOCALHOST = message.encode_name("localhost")
_IP4, _IP6 = message.encode_name("in-addr.arpa"), message.encode_name("ip6.arpa")


def server(text: "Any") -> "Server":
    """One resolver's address. PeerError: not one that can be asked."""
    if not isinstance(text, str) or "://" in text:
        raise PeerError("a resolver that is not an address")
    try:
        found = (ip.parse_address(text), PORT)
    except PeerError:
        found = ip.parse_endpoint(text)
    if found[0] in SERVICE or not found[1]:
        raise PeerError(f"resolver {text[:60]}: it is this node itself")
    return found


class Names:
    """One map's answers. Made anew when the map or the host's own servers change."""

    def __init__(self, netmap: "NetworkMap", before: "list[Server]", through: "list[Server] | None" = None) -> None:
        """`before`: the servers that this host had; `through`: where the exit node in use answers names, None when none is in use."""
        config, own = netmap.dns, netmap.self_node
        self._netmap = netmap
        self._index: dict[str, Any] | None = None
        self.unusable = 0
        self.magic = bool(config.get("Proxied")) and own is not None
        self.domain = _suffix(own.name) if own is not None else ""
        self._zone = _wire(self.domain) if self.magic else None
        self.search = [name for name in [_clean(text) for text in config.get("Domains") or []] if is_domain(name)][:SEARCH_LIMIT]
        self.routes: dict[bytes, list[Server]] = {}
        for name, resolvers in (config.get("Routes") or {}).items():
            wire = _wire(name)
            if wire is not None:
                self.routes[wire] = self._servers(resolvers)
        self.records: dict[bytes, list[tuple[int, bytes]]] = {}
        for record in config.get("ExtraRecords") or []:
            self._add(record)
        self.chosen = self._servers(config.get("Resolvers") or [])
        usable = before
        if through is not None:
            usable = through + [each for each in before if reached_from_elsewhere(each[0])]
        self.default = self.chosen or usable or self._servers(config.get("FallbackResolvers") or [])

    @property
    def wanted(self) -> bool:
        """Whether the map has any names for us to answer or to bring elsewhere."""
        return self.magic or bool(self.routes or self.records or self.chosen)

    @property
    def domains(self) -> "list[str]":
        """What has to come to us even where the rest does not: the zones answered here and those with servers of their own."""
        zones = [message.name_text(zone) for zone in ([self._zone, _MESH6] if self._zone else []) + list(self.routes) if zone]
        reverse = [f"{number}.100.in-addr.arpa" for number in range(64, 128)] if self._zone else []
        return [name for name in zones if is_domain(name)] + reverse

    def _servers(self, resolvers: "list[dict[str, Any]]") -> "list[Server]":
        found: list[Server] = []
        for each in resolvers[:SERVERS_LIMIT]:
            try:
                one = server(each.get("Addr"))
            except PeerError:
                self.unusable += 1
                continue
            if one not in found:
                found.append(one)
        return found

    def _add(self, record: "dict[str, Any]") -> None:
        try:
            name = message.encode_name(str(record.get("Name")))
            address = ip.parse_address(str(record.get("Value")))
        except (LocalError, PeerError):
            self.unusable += 1
            return
        kind = message.AAAA if len(address) == 16 else message.A
        if record.get("Type") in (None, "", "AAAA" if kind == message.AAAA else "A"):
            self.records.setdefault(name, []).append((kind, address))
        else:
            self.unusable += 1

    # questions

    def answer(self, query: "Query") -> "tuple[int, list[Record], list[Record]] | None":
        """(rcode, answers, authority), or None when somebody else is to be asked."""
        name = query.name
        if name == _LOCALHOST or name.endswith(b"\x09localhost\0"):
            return self._found(query, [(message.A, bytes([127, 0, 0, 1])), (message.AAAA, bytes(15) + b"\1")])
        known = self._known(name)
        if known is not None:
            return self._found(query, known)
        above = message.parents(name)
        for zone in above:
            if zone in self.routes:  # the longest comes first
                return None if self.routes[zone] else self._missing(name, zone)
            if zone == self._zone or zone in _NOWHERE or (self._zone and self._reverse_zone(zone)):
                return self._missing(name, zone)
        return None

    def for_guests(self, query: "Query") -> bool:
        """Whether it may be asked for somebody whose traffic this node carries: what everybody would be told, nothing of this network."""
        if self.answer(query) is not None:
            return False
        return not any(zone in self.routes for zone in message.parents(query.name))

    def servers(self, name: bytes) -> "list[Server]":
        """Who is to be asked, in order."""
        for zone in message.parents(name):
            if zone in self.routes:
                return self.routes[zone]
        return self.default

    def _known(self, name: bytes) -> "list[tuple[int, bytes]] | None":
        found = list(self.records.get(name, []))
        if self._zone:
            found += self._node(name)
            pointed = self._pointer(name)
            if pointed is not None:
                return [(message.PTR, pointed)]
        return found or None

    def _nodes(self) -> "list[Any]":
        own = self._netmap.self_node
        peers = self._netmap.peers
        return ([own] if own is not None else []) + [peers[number] for number in sorted(peers)]

    def _node(self, name: bytes) -> "list[tuple[int, bytes]]":
        assert self._zone is not None
        short = name[0] + 2 == len(name)
        node = self._by_name().get(message.name_text(name[:-1] + self._zone if short else name))
        if node is None:
            return []
        return [(message.AAAA if bits == 128 else message.A, address) for address, bits in node.addresses if bits == 8 * len(address)]

    def _by_name(self) -> "dict[str, Any]":
        """Nodes by full name, made when somebody asks first; of two with one name we ourselves, or the one with the lower id."""
        if self._index is None:
            self._index = {}
            for node in self._nodes():
                if node.name:
                    self._index.setdefault(_clean(node.name), node)
        return self._index

    def _pointer(self, name: bytes) -> "bytes | None":
        address = reversed_address(name)
        if address is None:
            return None
        for node in self._nodes():
            if node.name and any(address == each for each, bits in node.addresses if bits == 8 * len(each)):
                return _wire(node.name)
        return None

    def _reverse_zone(self, zone: bytes) -> bool:
        if zone == _MESH6:
            return True
        if not zone.endswith(b"\x03100" + _IP4) or zone[0] + 5 + len(_IP4) != len(zone):
            return False
        digits = zone[1 : 1 + zone[0]]
        return digits.isdigit() and 64 <= int(digits) < 128

    def _found(self, query: "Query", known: "list[tuple[int, bytes]]") -> "tuple[int, list[Record], list[Record]]":
        wanted = [(query.name, kind, TTL, data) for kind, data in known if query.type in (kind, message.ANY) and query.klass == message.IN]
        return (message.NOERROR, wanted, [] if wanted else [_soa(query.name)])

    def _missing(self, name: bytes, zone: bytes) -> "tuple[int, list[Record], list[Record]]":
        """No such name, or nothing of that type where names stand below it."""
        below = b"." + message.name_text(name).encode()
        inner = name == zone and zone not in _NOWHERE
        inner = inner or any((b"." + message.name_text(each).encode()).endswith(below) for each in self.records)
        return (message.NOERROR if inner else message.NXDOMAIN, [], [_soa(zone)])


def _soa(zone: bytes) -> "Record":
    """Says how long "no" may be believed (RFC 2308)."""
    return (zone, message.SOA, TTL, b"\x06skerry\0\x06skerry\0" + struct.pack(">IIIII", 1, 3600, 600, 86400, TTL))


def reached_from_elsewhere(address: bytes) -> bool:
    """Whether an exit node can reach that address for us, or it is on this host: not private, shared or link-local."""
    if len(address) == 16:
        return address[0] & 0xE0 == 0x20 or address == bytes(15) + b"\1"
    first, second = address[0], address[1]
    shared = first == 100 and second & 0xC0 == 64
    private = first in (0, 10) or (first == 172 and second & 0xF0 == 16) or (first, second) in ((192, 168), (169, 254))
    return not (shared or private) and first < 224


def is_domain(text: str) -> bool:
    """Whether it may be told to others as a domain: letters, digits, - and _ in labels, lower case, no - in front."""
    for label in text.split("."):
        if not 1 <= len(label) <= 63 or label[0] == "-" or any(letter not in _LETTERS for letter in label):
            return False
    return len(text) < 254


def reversed_address(name: bytes) -> "bytes | None":
    """The address whose PTR is asked for."""
    labels = message.name_text(name).split(".")
    try:
        if name.endswith(_IP4) and len(labels) == 6:
            return ip.parse_address(".".join([labels[3], labels[2], labels[1], labels[0]]))
        if name.endswith(_IP6) and len(labels) == 34 and all(len(label) == 1 for label in labels[:32]):
            digits = "".join([labels[at] for at in range(31, -1, -1)])
            return ip.parse_address(":".join([digits[at : at + 4] for at in range(0, 32, 4)]))
    except PeerError:
        pass
    return None


def reverse_name(address: bytes) -> bytes:
    """The name whose PTR is an address's name."""
    if len(address) == 4:
        return message.encode_name(".".join([str(address[at]) for at in range(3, -1, -1)]) + ".in-addr.arpa")
    digits = address.hex()
    return message.encode_name(".".join([digits[at] for at in range(31, -1, -1)]) + ".ip6.arpa")


def _clean(text: str) -> str:
    text = text.lower()
    return text[:-1] if text[-1:] == "." else text


def _suffix(name: str) -> str:
    return _clean(name).partition(".")[2]


def _wire(text: str) -> "bytes | None":
    """None for what is no name; the root has none either, it would take everything."""
    try:
        found = message.encode_name(text)
    except LocalError:
        return None
    return found if len(found) > 1 else None
