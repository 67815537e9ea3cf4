"""What a node says about itself, taken with care: every list bounded, every text printable, every address parsed.

Input is tailcfg's Hostinfo and MapRequest JSON from the network. What does not fit is left out, never refused: a client of
another version must not lose its connection because of a field nobody reads. Source: tailcfg as spoken by client 1.102.3.
"""

import re
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from skerry_core import nat
from skerry_core.errors import PeerError
from skerry_core.tailcfg.keys import decode_key

MAX_ENDPOINTS = 32
MAX_ROUTES = 64
MAX_SERVICES = 32
MAX_HOST_KEYS = 16
MAX_TAGS = 32
_TAG = re.compile(r"tag:[A-Za-z][A-Za-z0-9-]{0,48}\Z")
_NOT_LABEL = re.compile(r"[^a-z0-9]+")
ZERO_KEY = bytes(32)
RELAY_NAME = "udp-relay"  # the name of the gateway's own UDP relay, which no node gets


def label(text: str) -> str:
    """A DNS label (RFC 1035: letters, digits, hyphens inside, at most 63) that looks most like the text."""
    cleaned = _NOT_LABEL.sub("-", text.lower().partition(".")[0])[:80].strip("-")[:63].strip("-")
    if cleaned.isdigit():  # would be taken for a node's id, and for an address by resolvers
        return f"node-{cleaned}"[:63]
    return cleaned if cleaned and cleaned != "localhost" else "node"


def is_label(text: str) -> bool:
    return re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", text) is not None


def unique(wanted: str, taken: set[str]) -> str:
    """The label itself, or with -1, -2, ... behind it."""
    if wanted not in taken and wanted != RELAY_NAME:
        return wanted
    for number in range(1, len(taken) + 2):
        ending = f"-{number}"
        found = wanted[: 63 - len(ending)].rstrip("-") + ending
        if found not in taken:
            return found
    raise AssertionError("more names than nodes")


def derived(name: str, wanted: str) -> bool:
    """Whether `name` is what unique() may have made of `wanted`."""
    base, dash, number = name.rpartition("-")
    shortened = len(wanted) > 55 and len(base) > 50 and wanted.startswith(base)
    return name == wanted or bool(dash and number.isdigit() and (base == wanted or shortened))


def integer(value: Any, least: int, most: int) -> int | None:
    """A whole number in the range, else None. Python takes JSON's true for 1; passed on as `true` it would void other nodes' maps."""
    return value if type(value) is int and least <= value <= most else None


def text(value: Any, limit: int) -> str:
    """Printable text of at most `limit` characters."""
    return "".join(c for c in value if c.isprintable())[:limit] if isinstance(value, str) else ""


def key(value: Any, kind: str) -> bytes:
    """32 bytes; zero when it is absent or damaged."""
    try:
        return decode_key(kind, value) if isinstance(value, str) else ZERO_KEY
    except PeerError:
        return ZERO_KEY


def endpoints(value: Any) -> tuple[str, ...]:
    """UDP candidates "ip:port" that another machine could reach."""
    found = (_endpoint(item) for item in _list(value, MAX_ENDPOINTS))
    return tuple(dict.fromkeys(item for item in found if item))


def _endpoint(value: Any) -> str | None:
    host, colon, port = value.rpartition(":") if isinstance(value, str) and len(value) < 64 else ("", "", "")
    if not (colon and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return None
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    if "%" in host or address.is_unspecified or address.is_multicast or address.is_loopback:
        return None
    return f"{address}:{int(port)}" if address.version == 4 else f"[{address}]:{int(port)}"


def routes(value: Any) -> tuple[str, ...]:
    """Prefixes without host bits, in canonical text."""
    found = []
    for item in _list(value, MAX_ROUTES):
        try:
            found.append(str(ip_network(item)) if isinstance(item, str) else None)
        except ValueError:
            continue
    return tuple(dict.fromkeys(route for route in found if route))


def tags(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for item in _list(value, MAX_TAGS) if isinstance(item, str) and _TAG.match(item)))


def _list(value: Any, limit: int) -> list[Any]:
    return value[:limit] if isinstance(value, list) else []


def _services(value: Any) -> list[dict[str, Any]]:
    found = []
    for item in _list(value, MAX_SERVICES):
        proto, port = (item.get("Proto"), integer(item.get("Port"), 1, 65535)) if isinstance(item, dict) else (None, None)
        if isinstance(proto, str) and port is not None:
            found.append({"Proto": text(proto, 32), "Port": port, "Description": text(item.get("Description"), 64)})
    return found


@dataclass
class Live:
    """What is known of a node in memory only: where it can be reached now, and what it last said of itself."""

    disco_key: bytes = ZERO_KEY
    endpoints: tuple[str, ...] = ()
    home_region: int = 0
    hostinfo: dict[str, Any] = field(default_factory=dict)  # the part its peers are shown
    online: bool = False
    offline_at: int | None = None  # monotonic ms: when a node without a stream counts as offline
    seen_ms: int | None = None  # wall ms
    recalled: bool = False  # from before the gateway's restart: whatever the node says itself is better

    def remember(self) -> dict[str, Any]:
        """What recall() takes back after a restart, JSON-able."""
        return {"disco": self.disco_key.hex(), "endpoints": list(self.endpoints), "home": self.home_region, "hostinfo": self.hostinfo}

    def recall(self, data: Any) -> None:
        """Take over what remember() gave; what is damaged is left out."""
        if isinstance(data, dict):
            self.disco_key = key(f"discokey:{data.get('disco')}", "discokey")
            self.endpoints = endpoints(data.get("endpoints"))
            info, home = data.get("hostinfo"), data.get("home")
            info = info if isinstance(info, dict) else {}
            net = info.get("NetInfo")
            self.introduce({**info, "NetInfo": {**(net if isinstance(net, dict) else {}), "PreferredDERP": home}})
            self.recalled = True

    def update(self, request: dict[str, Any], fallback: bool = False) -> None:
        """Take over a map request. `fallback`: the request may be stale, so only fill in what is not known yet."""
        fallback = fallback and not self.recalled
        self.recalled = False
        disco_key = key(request.get("DiscoKey"), "discokey")
        if disco_key != ZERO_KEY and not (fallback and self.disco_key != ZERO_KEY):
            self.disco_key = disco_key
        if not (fallback and self.endpoints):  # an absent list is an empty one
            self.endpoints = endpoints(request.get("Endpoints"))
        info = request.get("Hostinfo")
        if isinstance(info, dict) and not (fallback and self.hostinfo):
            self.introduce(info)

    def introduce(self, info: dict[str, Any]) -> None:
        """Take over a Hostinfo."""
        self.hostinfo = shown_hostinfo(info)
        net = info.get("NetInfo")
        if isinstance(net, dict):
            self.home_region = integer(net.get("PreferredDERP"), 0, 65535) or 0


def kept(info: dict[str, Any]) -> dict[str, Any]:
    """A Hostinfo cut down to what is ever read of it, for one that waits in memory."""
    net = info.get("NetInfo")
    region = integer(net.get("PreferredDERP"), 0, 65535) if isinstance(net, dict) else None
    home = {} if region is None else {"PreferredDERP": region}
    return {**shown_hostinfo(info), **({"NetInfo": {**_network(net), **home}} if isinstance(net, dict) else {})} if info else {}


def _network(net: dict[str, Any]) -> dict[str, Any]:
    """The part of a NetInfo that tells peers of the NAT (skerry_core.nat), for their `why`."""
    found: dict[str, Any] = {name: net[name] for name in ("MappingVariesByDestIP", "WorkingUDP") if isinstance(net.get(name), bool)}
    if "SkerryNAT" in net:
        found["SkerryNAT"] = nat.encode(nat.decode(net["SkerryNAT"]))
    return found


def shown_hostinfo(info: dict[str, Any]) -> dict[str, Any]:
    """The part of a Hostinfo that peers are shown."""
    shown: dict[str, Any] = {"Hostname": text(info.get("Hostname"), 255), "OS": text(info.get("OS"), 32)}
    services = _services(info.get("Services"))
    host_keys = [text(item, 1024) for item in _list(info.get("sshHostKeys"), MAX_HOST_KEYS)]
    advertised = routes(info.get("RoutableIPs"))
    optional: dict[str, Any] = {"Services": services, "sshHostKeys": host_keys, "RoutableIPs": list(advertised)}
    net = info.get("NetInfo")
    optional["NetInfo"] = _network(net) if isinstance(net, dict) else {}
    shown.update({name: value for name, value in optional.items() if value})
    if info.get("PeerRelay") is True:
        shown["PeerRelay"] = True
    return shown
