"""What skerryd counts, as Prometheus reads it (text format 0.0.4): GET metrics, made of the snapshot and nothing else.

Series are named skerry_*; counters end in _total and begin at the start of skerryd. A peer has the labels `peer`, its name, and `id`,
its stable id.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Sample = tuple[dict[str, str], int | float]

PATHS = ("direct", "peer-relay", "relay", "none")


def text(shown: "dict[str, Any]", away_ms: int) -> str:
    """The whole page; `away_ms`: how long the gateway has not been reached, so how old the map is."""
    peers = shown["peers"]
    kinds = [row["path"]["kind"] for row in peers]
    counters = shown["counters"]
    families: list[tuple[str, str, str, list[Sample]]] = [
        ("skerry_info", "gauge", "The version that runs.", [({"version": shown["version"]}, 1)]),
        ("skerry_running", "gauge", "1 while this node takes part in its network.", [({}, int(shown["state"] == "Running"))]),
        ("skerry_gateway_connected", "gauge", "1 while the gateway's map stream is open.", [({}, int(shown["connected"]))]),
        ("skerry_map_age_seconds", "gauge", "How long the map has not been kept up to date; 0 while connected.", [({}, away_ms / 1000)]),
        ("skerry_peers", "gauge", "Peers by how they are reached now.", [({"path": kind}, kinds.count(kind)) for kind in PATHS]),
        ("skerry_peers_online", "gauge", "Peers that the gateway calls online.", [({}, sum(1 for row in peers if row["online"]))]),
        ("skerry_peer_received_bytes_total", "counter", "Bytes from a peer, inside the tunnel.", _each(peers, "rx_bytes")),
        ("skerry_peer_sent_bytes_total", "counter", "Bytes to a peer, inside the tunnel.", _each(peers, "tx_bytes")),
        ("skerry_dropped_packets_total", "counter", "Packets dropped, by reason.", _drops(counters)),
        ("skerry_malformed_inputs_total", "counter", "Inputs from outside that were malformed, by kind.", _kinds(shown["drops"])),
        ("skerry_control_datagrams_total", "counter", "Datagrams that were no data.", [({}, counters.get("to_python", 0))]),
    ]
    return "".join(_family(*family) for family in families if family[3])


def _each(peers: "list[dict[str, Any]]", name: str) -> "list[Sample]":
    found = {(row["name"], row["stable_id"] or row["key"]): row[name] for row in peers}  # no series twice, whatever the map says
    return [({"peer": name, "id": number}, value) for (name, number), value in sorted(found.items())]


def _drops(counters: "dict[str, int]") -> "list[Sample]":
    return [({"reason": name[5:]}, value) for name, value in sorted(counters.items()) if name.startswith("drop_")]


def _kinds(drops: "dict[str, int]") -> "list[Sample]":
    return [({"kind": name}, value) for name, value in sorted(drops.items())]


def _family(name: str, kind: str, words: str, samples: "list[Sample]") -> str:
    lines = [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(content)}"' for label, content in labels.items())
        lines.append(f"{name}{{{inside}}} {value}" if inside else f"{name} {value}")
    return "\n".join(lines) + "\n"


def _escaped(content: str) -> str:
    return content.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
