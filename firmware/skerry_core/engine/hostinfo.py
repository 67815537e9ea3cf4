"""What we tell the gateway about ourselves: the Hostinfo of registration and map requests. No secrets, nothing that changes by itself.

`SkerryStarted` is not Tailscale's: random of this start, by which a gateway of ours notices two processes with one key; others ignore it.
"""

from skerry_core import ip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from skerry_core.engine.engine import Engine

CAPABILITY_VERSION = 142


def hostinfo(engine: "Engine") -> "dict[str, Any]":
    """The document; NetInfo is in it once a home region is chosen."""
    config = engine.config
    identity = engine.crypto.blake2s(b"skerry backend log id" + engine.crypto.x25519_public(engine.machine_private))
    document: dict[str, Any] = {
        "BackendLogID": identity.hex(),
        "Hostname": config.get("hostname") or "skerry",
        "OS": config.get("os") or "linux",
        "OSVersion": config.get("os_version") or "",
        "IPNVersion": config.get("version") or "",
        "App": "skerry",
        "NoLogsNoSupport": True,
        "SkerryStarted": engine.started.hex(),
    }
    routes = engine.routes()
    if routes:
        document["RoutableIPs"] = [ip.format_prefix(prefix) for prefix in routes]
    if engine.relaying.wanted() is not None:
        document["PeerRelay"] = True
    if config.get("tags"):
        document["RequestTags"] = list(config["tags"])
    if engine.netcheck.home:
        document["NetInfo"] = engine.netcheck.netinfo()
    return document
