"""The DERP map: regions of relays with their nodes. Source: tailcfg.DERPMap of Tailscale 1.102.3.

    {Regions: {"id": {RegionID, RegionCode, RegionName, Avoid, NoMeasureNoHome, Latitude, Longitude,
                      Nodes: [{Name, RegionID, HostName, CertName, IPv4, IPv6, STUNPort, STUNOnly, DERPPort, InsecureForTests,
                               STUNTestIP, CanPort80}]}},
     HomeParams: {RegionScore: {"id": factor}}, omitDefaultRegions}

As a delta: null Regions keep the regions (and omitDefaultRegions), null HomeParams or RegionScore keep the scores, a null region is left
out. The key in Regions is the region's id; a node's IPv4 or IPv6 is a literal address, "none" (do not use) or "" (look HostName up).
"""

from skerry_core import ip
from skerry_core.errors import PeerError
from skerry_core.tailcfg import fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REGIONS_LIMIT = 1000
NODES_LIMIT = 64
MAX_REGION = (1 << 31) - 1


def _address(document: "dict[str, Any]", name: str, size: int) -> str:
    written = fields.text(document, name, 64)
    if written in ("", "none"):
        return written
    address = fields.parsed(name, ip.parse_address, written)
    if len(address) != size:
        raise PeerError(f"field {name} is {written}, need an address of {size} bytes")
    return ip.format_address(address)


class DerpNode:
    """One relay: name, host_name, cert_name, ipv4, ipv6 (text; "" look it up, "none" do not use), derp_port, stun_port (-1 = no STUN),
    stun_only, insecure, port_80."""

    def __init__(self, document: "dict[str, Any]") -> None:
        self.name, self.host_name = fields.text(document, "Name", 256), fields.text(document, "HostName", 256)
        self.cert_name = fields.text(document, "CertName", 512)
        self.ipv4, self.ipv6 = _address(document, "IPv4", 4), _address(document, "IPv6", 16)
        self.derp_port = fields.integer(document, "DERPPort", 0, 0, 65535) or 443
        self.stun_port = fields.integer(document, "STUNPort", 0, -1, 65535) or 3478
        self.stun_only, self.insecure = fields.flag(document, "STUNOnly"), fields.flag(document, "InsecureForTests")
        self.port_80 = fields.flag(document, "CanPort80")


class Region:
    """One region: id, code, name, no_measure (neither measured nor made home), nodes (the first is the ideal one)."""

    def __init__(self, region_id: int, document: "dict[str, Any]") -> None:
        self.id, self.code, self.name = region_id, fields.text(document, "RegionCode", 64), fields.text(document, "RegionName", 256)
        self.no_measure = fields.flag(document, "NoMeasureNoHome")
        self.nodes = [DerpNode(node) for node in fields.objects(document, "Nodes", NODES_LIMIT)]


class DerpMap:
    """regions {id: Region} and scores {id: factor as a JSON number; below 1 is preferred}; `document` is what they were read from."""

    def __init__(self, document: "dict[str, Any]") -> None:
        self.document = document
        self.regions: dict[int, Region] = {}
        for region_id, region in fields.numbered(document, "Regions", REGIONS_LIMIT).items():
            if not 0 < region_id <= MAX_REGION or not isinstance(region, dict):
                raise fields.wrong("Regions", region, "regions of ids from 1")
            self.regions[region_id] = Region(region_id, region)
        self.scores = fields.numbered(fields.mapping(document, "HomeParams") or {}, "RegionScore", REGIONS_LIMIT)
        for factor in self.scores.values():
            if not isinstance(factor, (int, float)) or isinstance(factor, bool) or not 0 <= factor <= 1000:
                raise fields.wrong("RegionScore", factor, "factors of 0..1000")


def merged(old: "DerpMap | None", delta: "dict[str, Any]") -> DerpMap:
    """The map after a DERPMap of a response. PeerError: malformed."""
    document, before = {}, {} if old is None else old.document
    if delta.get("Regions") is None:
        document["Regions"] = before.get("Regions", {})
        document["omitDefaultRegions"] = before.get("omitDefaultRegions", False)
    else:
        regions = fields.mapping(delta, "Regions", REGIONS_LIMIT) or {}
        document["Regions"] = {key: region for key, region in regions.items() if region is not None}
        document["omitDefaultRegions"] = fields.flag(delta, "omitDefaultRegions")
    params = fields.mapping(delta, "HomeParams")
    score = None if params is None else params.get("RegionScore")
    document["HomeParams"] = before.get("HomeParams", {}) if score is None else {"RegionScore": score}
    return DerpMap(document)
