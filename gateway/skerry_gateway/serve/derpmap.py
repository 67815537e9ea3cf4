"""The DERP map nodes are given: one region, 900, with this gateway as its only node.

A node's HostName is what clients reach the gateway by and what their TLS expects in the certificate; `CertName: "sha256-raw:<hex>"` pins
a certificate that no authority vouches for. The region changes only when the gateway is started with other options: a changed region
makes every client drop its relay connections.
"""

from __future__ import annotations

from typing import Any

from skerry_gateway.serve.address import Url

REGION = 900


def derp_map(url: Url, stun_port: int, pin: str | None) -> dict[str, Any]:
    """`stun_port`: 0 = no STUN here; `pin`: SHA-256 of the relay's certificate in hex, None where an authority vouches for it."""
    node: dict[str, Any] = {"Name": f"{REGION}a", "RegionID": REGION, "HostName": url.host}
    node.update(DERPPort=url.port, STUNPort=stun_port or -1)
    address = url.address
    if address is not None:
        node["IPv4"], node["IPv6"] = (str(address), "none") if address.version == 4 else ("none", str(address))
    if pin is not None:
        node["CertName"] = f"sha256-raw:{pin}"
    region = {"RegionID": REGION, "RegionCode": "skerry", "RegionName": "Skerry gateway", "Nodes": [node]}
    return {"Regions": {str(REGION): region}, "omitDefaultRegions": True}
