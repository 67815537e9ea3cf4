"""The snapshot in the words of Tailscale's LocalAPI, as the stock CLI 1.102 reads them: ipnstate.Status, ipn.Prefs, WhoIsResponse,
PingResult, Notify. Go's JSON: absent is zero; times must be RFC 3339; addresses must not be empty text.

Only what is known is filled in. No field stands here for something this node does not do.
"""

from skerry_core.errors import PeerError
from skerry_core.ip import parse_address

from ..prefs import EXIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Document = dict[str, Any]

VERSION = "1.102.3-skerry"
NEVER = "0001-01-01T00:00:00Z"
# ipn.State
STATES = {"NoState": 0, "InUseOtherUser": 1, "NeedsLogin": 2, "NeedsMachineAuth": 3, "Stopped": 4, "Starting": 5, "Running": 6}


def status(shown: "Document", peers: bool = True) -> "Document":
    """ipnstate.Status"""
    own = shown["self"]
    suffix = own["dns_name"].partition(".")[2].rstrip(".")
    tailnet = {"Name": shown["network"], "MagicDNSSuffix": suffix, "MagicDNSEnabled": shown["dns"]["magic"]}
    return {
        "Version": VERSION,
        "TUN": True,
        "BackendState": shown["state"],
        "HaveNodeKey": True,
        "AuthURL": shown["auth_url"],
        "TailscaleIPs": own["addresses"] or None,
        "Self": node(shown, own),
        "Health": shown["health"],
        "MagicDNSSuffix": suffix,
        "CurrentTailnet": tailnet if own["addresses"] else None,
        "CertDomains": None,
        "Peer": {row["key"]: node(shown, row) for row in shown["peers"]} if peers else None,
        "User": {number: profile(user, number) for number, user in shown["users"].items()},
        "ClientVersion": None,
        "ExitNodeStatus": exit_node(shown),
    }


def exit_node(shown: "Document") -> "Document | None":
    """ipnstate.ExitNodeStatus, None without one."""
    for row in shown["peers"]:
        if row["key"] == shown["exit_node"]["key"]:
            addresses = [f"{address}/{128 if ':' in address else 32}" for address in row["addresses"]]
            return {"ID": row["stable_id"] or "", "Online": row["online"], "TailscaleIPs": addresses}
    return None


def node(shown: "Document", row: "Document") -> "Document":
    """ipnstate.PeerStatus"""
    way = row.get("path") or {"kind": "none", "address": ""}
    via = way["kind"] == "peer-relay"
    handshake = row.get("last_handshake_ms")
    answer = {
        "ID": row["stable_id"] or "",
        "NodeID": row["id"] or 0,
        "PublicKey": row["key"],
        "HostName": row["hostname"] or row["name"],
        "DNSName": row["dns_name"],
        "OS": row["os"] or "",
        "UserID": row["user"] or 0,
        "TailscaleIPs": row["addresses"] or None,
        "AllowedIPs": row["allowed_ips"] or None,
        "Addrs": row.get("endpoints"),
        "CurAddr": "" if via else way["address"],
        "Relay": row["relay"],
        "PeerRelay": way["address"] if via else "",
        "RxBytes": row.get("rx_bytes", 0),
        "TxBytes": row.get("tx_bytes", 0),
        "Created": row["created"] or NEVER,
        "LastWrite": NEVER,
        "LastSeen": row["last_seen"] or NEVER,
        "LastHandshake": NEVER if handshake is None else ago(handshake),
        "Online": row["online"],
        "ExitNode": row["key"] == shown["exit_node"]["key"],
        "ExitNodeOption": {"0.0.0.0/0", "::/0"} <= set(row["allowed_ips"] or ()),
        "Active": bool(row.get("active")),
        "PeerAPIURL": None,
        "InNetworkMap": bool(row["addresses"]),
        "InMagicSock": True,
        "InEngine": handshake is not None,
    }
    if row["tags"]:
        answer["Tags"] = row["tags"]
    if row.get("primary_routes"):
        answer["PrimaryRoutes"] = row["primary_routes"]
    if row["expired"]:
        answer["Expired"] = True
    if row["key_expiry"]:
        answer["KeyExpiry"] = row["key_expiry"]
    return answer


def ago(milliseconds: int) -> str:
    """RFC 3339 of that long ago, by this host's clock."""
    from ..clock import wall
    from .snapshot import stamp

    return stamp(wall() - milliseconds) or NEVER


def profile(user: "Document", number: str) -> "Document":
    """tailcfg.UserProfile; users come as the gateway sent them."""
    return {
        "ID": int(number),
        "LoginName": text(user.get("LoginName")),
        "DisplayName": text(user.get("DisplayName")),
        "ProfilePicURL": text(user.get("ProfilePicURL")),
    }


def text(value: object) -> str:
    """A text from outside, or none."""
    return value if isinstance(value, str) else ""


def who_is(shown: "Document", row: "Document") -> "Document":
    """apitype.WhoIsResponse"""
    number = str(row["user"] or 0)
    return {
        "Node": {
            "ID": row["id"] or 0,
            "StableID": row["stable_id"] or "",
            "Name": row["dns_name"],
            "User": row["user"] or 0,
            "Key": row["key"],
            "Addresses": [f"{address}/{128 if ':' in address else 32}" for address in row["addresses"]],
            "AllowedIPs": row["allowed_ips"] or [],
            "Tags": row["tags"] or [],
            "Hostinfo": {"OS": row["os"] or "", "Hostname": row["hostname"] or ""},
            "Created": row["created"] or NEVER,
            "Online": row["online"],
            "ComputedName": row["name"],
            "ComputedNameWithHost": row["name"],
        },
        "UserProfile": profile(shown["users"].get(number, {}), number),
        "CapMap": {},
    }


def prefs(values: "Document", state: str, offered: "list[str]") -> "Document":
    """ipn.Prefs; NetfilterMode 1 (nodivert): nothing is put into others' chains."""
    gateway, way_out = str(values.get("gateway", "")), str(values.get("exit_node", ""))
    number = is_address(way_out)
    return {
        "ControlURL": gateway.partition("#")[0],
        "RouteAll": bool(values.get("accept_routes")),
        "ExitNodeID": "" if number else way_out,
        "ExitNodeIP": way_out if number else "",
        "InternalExitNodePrior": "",
        "ExitNodeAllowLANAccess": bool(values.get("exit_node_allow_lan_access")),
        "CorpDNS": bool(values.get("accept_dns", True)),
        "RunSSH": False,
        "RunWebClient": False,
        "WantRunning": bool(values.get("want_running")),
        "LoggedOut": state == "NeedsLogin",
        "ShieldsUp": False,
        "AdvertiseTags": None,
        "Hostname": values.get("hostname", ""),
        "NotepadURLs": False,
        "AdvertiseRoutes": offered or None,
        "AdvertiseServices": None,
        "RelayServerPort": relay_port(values),
        "NoSNAT": not values.get("snat_subnet_routes", True),
        "NetfilterMode": 1,
        "AutoUpdate": {"Check": False, "Apply": False},
        "AppConnector": {"Advertise": False},
        "PostureChecking": False,
        "NetfilterKind": "",
        "DriveShares": None,
        "Config": None,
    }


def relay_port(values: "Document") -> "int | None":
    """ipn.Prefs' RelayServerPort: null where this node relays for nobody."""
    port = values.get("relay_server_port", -1)
    return port if isinstance(port, int) and port >= 0 else None


def changes(document: "Document") -> "Document":
    """A MaskedPrefs (fields with their XSet) as changes of ours; {} for what this node does not have."""
    known = {
        "ControlURL": "gateway",
        "Hostname": "hostname",
        "AdvertiseRoutes": "routes",
        "RouteAll": "accept_routes",
        "ExitNodeAllowLANAccess": "exit_node_allow_lan_access",
        "NoSNAT": "snat_subnet_routes",
        "CorpDNS": "accept_dns",
        "WantRunning": "want_running",
    }
    found = {}
    for theirs, ours in known.items():
        if document.get(f"{theirs}Set") is True:
            value = document.get(theirs)
            found[ours] = (value or []) if ours == "routes" else value
    found = {name: value for name, value in found.items() if value not in ("", None)}
    offered = found.get("routes")
    if isinstance(offered, list):
        found["routes"] = [route for route in offered if route not in EXIT]
        found["advertise_exit_node"] = any(route in EXIT for route in offered)
    if "snat_subnet_routes" in found:
        found["snat_subnet_routes"] = not found["snat_subnet_routes"]
    if document.get("ExitNodeIDSet") is True or document.get("ExitNodeIPSet") is True:
        found["exit_node"] = text(document.get("ExitNodeID")) or text(document.get("ExitNodeIP"))
    if document.get("RelayServerPortSet") is True:
        port = document.get("RelayServerPort")
        found["relay_server_port"] = -1 if port is None else port
    return found


def is_address(value: str) -> bool:
    """Whether a text is an IP address."""
    try:
        parse_address(value)
    except PeerError:
        return False
    return True


def ping(row: "Document", address: str, result: "Document") -> "Document":
    """ipnstate.PingResult of a "ping" command's result."""
    answer = {
        "IP": address,
        "NodeIP": (row["addresses"] or [""])[0],
        "NodeName": row["name"],
        "Err": result.get("error", ""),
        "LatencySeconds": 0.0,
    }
    answer.update({"Endpoint": "", "PeerRelay": "", "DERPRegionID": 0, "DERPRegionCode": ""})
    if not answer["Err"]:
        answer["LatencySeconds"] = result["latency_ms"] / 1000
        answer["Endpoint"], answer["PeerRelay"] = result["endpoint"], result["peer_relay"]
        answer["DERPRegionID"], answer["DERPRegionCode"] = result["region"], result["region_code"]
    return answer
