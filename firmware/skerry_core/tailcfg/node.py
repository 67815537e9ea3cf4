"""One node of a map, ourselves or a peer. Source: tailcfg.Node of Tailscale 1.102.3.

    ID int 1..2^53, StableID, Name (FQDN with a dot at the end), User int, Key "nodekey:", Machine "mkey:", DiscoKey "discokey:",
    KeyExpiry (zero = never), Addresses and AllowedIPs ["prefix"] (AllowedIPs null = Addresses), PrimaryRoutes, Endpoints ["ip:port"],
    HomeDERP int (old servers: DERP "127.3.3.40:N"), Hostinfo {Hostname, OS, ...}, Created, Cap int, Tags, LastSeen, Online (absent =
    unknown), MachineAuthorized, Capabilities and CapMap {name: [JSON]}, Expired, UnsignedPeerAPIOnly, IsWireGuardOnly, IsJailed

A node that others control must not be able to spoil the map for everyone: of its endpoints the first 64 that can be read count, and host
information over its bounds is dropped. Everything else comes from the server and is an error if it is wrong.
"""

import json

from skerry_core import ip
from skerry_core.errors import PeerError
from skerry_core.tailcfg import fields, times
from skerry_core.tailcfg.keys import ZERO, decode_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Prefix = tuple[bytes, int]
    Endpoint = tuple[bytes, int]

MAX_ID = (1 << 53) - 1
MAX_REGION = (1 << 31) - 1
ENDPOINTS_LIMIT = 64
HOSTINFO_LIMIT = 256
SHARED_LIMIT = 256
_LEGACY_DERP = "127.3.3.40:"
INFRASTRUCTURE = "skerry/cap/infrastructure"  # on a peer that belongs to the gateway and is no device of anybody
_KEPT = (
    "ID", "StableID", "Name", "User", "Sharer", "Key", "KeyExpiry", "Machine", "DiscoKey", "Addresses", "AllowedIPs", "PrimaryRoutes",
    "Endpoints", "HomeDERP", "Hostinfo", "Created", "Cap", "Tags", "LastSeen", "Online", "MachineAuthorized", "CapMap", "Expired",
    "UnsignedPeerAPIOnly", "IsWireGuardOnly", "IsJailed",
)  # fmt: skip


def parse_prefix(text: object) -> "Prefix":
    """(address, bits) with the host bits cleared, which servers may leave set. PeerError: not "address/bits"."""
    if not isinstance(text, str) or "/" not in text:
        raise PeerError("a prefix is not a text such as 100.64.0.0/10")
    written, _, bits = text.partition("/")
    address = ip.parse_address(written)
    if not 0 < len(bits) <= 3 or not all(digit in "0123456789" for digit in bits) or int(bits) > 8 * len(address):
        raise PeerError(f"prefix {text[:60]}: need 0..{8 * len(address)} bits")
    return ip.masked(address, int(bits)), int(bits)


def _prefixes(document: "dict[str, Any]", name: str) -> "list[Prefix]":
    return [fields.parsed(name, parse_prefix, text) for text in fields.array(document, name) or []]


def _key(document: "dict[str, Any]", name: str, kind: str) -> bytes:
    value = document.get(name)
    return ZERO if value is None else fields.parsed(name, lambda text: decode_key(kind, text), value)


def _time(document: "dict[str, Any]", name: str) -> "int | None":
    value = document.get(name)
    return None if value is None else fields.parsed(name, times.parse, value)


def _endpoints(document: "dict[str, Any]") -> "tuple[list[str], list[Endpoint]]":
    texts: list[str] = []
    endpoints: list[Endpoint] = []
    for text in fields.array(document, "Endpoints") or []:
        if isinstance(text, str) and len(text) <= 64 and len(texts) < ENDPOINTS_LIMIT:
            try:
                address, port = ip.parse_endpoint(text)
            except PeerError:
                continue
            if port:
                texts.append(text)
                endpoints.append((address, port))
    return texts, endpoints


# one of each for all nodes that have none; never changed
_NO_PREFIXES: "list[Prefix]" = []
_NO_TEXTS: list[str] = []
_NOTHING: "dict[str, Any]" = {}
_words: dict[str, str] = {}


def _shared(text: str) -> str:
    """One object for what a thousand nodes say alike."""
    return _words.get(text, text) if len(_words) >= SHARED_LIMIT else _words.setdefault(text, text)


def _hostinfo(document: "dict[str, Any]") -> "dict[str, Any]":
    hostinfo = fields.mapping(document, "Hostinfo") or {}
    kept: dict[str, Any] = {}
    for name, value in hostinfo.items():
        if isinstance(value, str) and len(value) <= HOSTINFO_LIMIT:
            kept[_shared(name)] = _shared(fields.checked_text(name, value, HOSTINFO_LIMIT))
        elif isinstance(value, (bool, int)) or (name in _HOSTINFO_LISTS and isinstance(value, list) and len(value) <= HOSTINFO_LIMIT):
            kept[_shared(name)] = value
    net = hostinfo.get("NetInfo")
    if isinstance(net, dict):
        told = {name: _worth(net[name]) for name in _NETINFO if isinstance(net.get(name), (bool, str)) and len(str(net[name])) <= 100}
        kept.update({"NetInfo": told} if told else {})
    return kept


def _worth(value: "bool | str") -> "bool | str":
    return _shared(value) if isinstance(value, str) else value


_NETINFO = ("MappingVariesByDestIP", "WorkingUDP", "SkerryNAT")
_HOSTINFO_LISTS = ("RoutableIPs", "RequestTags", "Services", "sshHostKeys")


def _modern(document: "dict[str, Any]") -> "dict[str, Any]":
    """A copy with the kept fields only, old forms turned into today's, and null fields left out."""
    modern = {name: document[name] for name in _KEPT if document.get(name) is not None}
    legacy = document.get("DERP")
    if not modern.get("HomeDERP") and isinstance(legacy, str) and legacy.startswith(_LEGACY_DERP):
        region = legacy[len(_LEGACY_DERP) :]
        if 0 < len(region) < 10 and all(digit in "0123456789" for digit in region):
            modern["HomeDERP"] = int(region)
    if "AllowedIPs" not in modern or document.get("UnsignedPeerAPIOnly"):
        modern["AllowedIPs"] = modern.get("Addresses", [])
    old = fields.texts(document, "Capabilities")
    if old:
        modern["CapMap"] = dict(fields.mapping(document, "CapMap") or {})
        for name in old:
            modern["CapMap"].setdefault(name, None)
    return modern


class Node:
    """One node, checked. Node(node.document) is the same node.

    id, user, home_derp (0 = none), cap: int; stable_id, name: str; key, disco_key: 32 raw bytes (zero = none);
    addresses, allowed_ips, primary_routes: [(address, bits)]; endpoints: [(address, port)]; tags: [str]; hostinfo, cap_map: dict;
    key_expiry, last_seen, created: ms since 1970 or None (never, unknown); online: bool or None; expired, machine_authorized,
    wireguard_only, jailed: bool
    """

    def __init__(self, document: "dict[str, Any]") -> None:
        document = _modern(document)
        document["Hostinfo"] = self.hostinfo = _hostinfo(document)
        document["Endpoints"], self.endpoints = _endpoints(document)
        self.id = fields.integer(document, "ID", 0, -MAX_ID, MAX_ID)
        self.stable_id = fields.text(document, "StableID", 256)
        self.name = fields.text(document, "Name", 256)
        self.user = fields.integer(document, "User", 0, -MAX_ID, fields.MAX_INTEGER)
        self.key = _key(document, "Key", "nodekey")
        _key(document, "Machine", "mkey")
        self.disco_key = _key(document, "DiscoKey", "discokey")
        self.addresses = self.allowed_ips = _prefixes(document, "Addresses")
        if document["AllowedIPs"] != document.get("Addresses"):  # mostly they are the same
            self.allowed_ips = _prefixes(document, "AllowedIPs")
        self.primary_routes = _prefixes(document, "PrimaryRoutes") or _NO_PREFIXES
        self.home_derp = fields.integer(document, "HomeDERP", 0, 0, MAX_REGION)
        self.cap = fields.integer(document, "Cap", 0, 0, MAX_REGION)
        self.key_expiry, self.last_seen = _time(document, "KeyExpiry"), _time(document, "LastSeen")
        self.created, self.online = _time(document, "Created"), fields.optional_flag(document, "Online")
        self.tags, self.cap_map = fields.texts(document, "Tags", 256) or _NO_TEXTS, fields.mapping(document, "CapMap") or _NOTHING
        self.machine_authorized, self.expired = fields.flag(document, "MachineAuthorized"), fields.flag(document, "Expired")
        self.wireguard_only, self.jailed = fields.flag(document, "IsWireGuardOnly"), fields.flag(document, "IsJailed")
        if self.allowed_ips is self.addresses and document["AllowedIPs"]:
            del document["AllowedIPs"]  # as reading it again gives them
        kept = {name: document[name] for name in _KEPT if name in document}
        self._text = json.dumps(kept, separators=(",", ":"))  # a sixth of what the objects take

    @property
    def text(self) -> str:
        """Its document, as JSON."""
        return self._text

    @property
    def document(self) -> "dict[str, Any]":
        """What it was read from, cut to what is kept; a copy."""
        document: dict[str, Any] = json.loads(self._text)
        return document

    @property
    def valid(self) -> bool:
        """Whether it can be used as a peer: a positive ID and a node key."""
        return self.id > 0 and self.key != ZERO

    @property
    def infrastructure(self) -> bool:
        """Whether the gateway says that it is no device of anybody: used, and not shown to people."""
        return INFRASTRUCTURE in self.cap_map

    @property
    def host_name(self) -> str:
        """The first label of the name, else what the node calls itself."""
        return self.name.split(".")[0] or str(self.hostinfo.get("Hostname", ""))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self._text == other._text

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<Node {self.id} {self.name}>"
