"""What people read: tables, amounts and times of a fixed width; no line wider than 100 columns."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WIDTH = 100
MANY = 30  # peers; of more, those that are offline are named only
UNITS = ("kB", "MB", "GB", "TB", "PB")


def wrap(text: str, indent: str = "  ") -> str:
    """Fold a sentence; words that are too long (links) stay whole."""
    import textwrap

    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def clean(text: object) -> str:
    """Text from outside without control characters: a peer's name must not drive the terminal."""
    return "".join(c if c.isprintable() else "?" for c in str(text))


def amount(number: int) -> str:
    """Bytes in at most 6 characters: `999 B`, `1.2 kB`, `34 MB`."""
    if number < 1000:
        return f"{number} B"
    value, unit = number / 1000, 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if value < 9.95 else f"{value:.0f} {UNITS[unit]}"


def latency(milliseconds: float) -> str:
    """`0.4 ms`, `12 ms`."""
    return f"{milliseconds:.1f} ms" if milliseconds < 9.95 else f"{milliseconds:.0f} ms"


def table(rows: list[list[str]]) -> str:
    """Columns by content; the last one takes what is left of the width and is cut with an ellipsis."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        line = "  ".join([cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)] + [row[-1]]).rstrip()
        lines.append(line if len(line) <= WIDTH else line[: WIDTH - 1] + "…")
    return "\n".join(lines)


def path(node: dict[str, Any]) -> str:
    """How a peer is reached now."""
    way = node["path"]
    if way["kind"] == "none":
        return "not in use" if node["online"] else "offline"
    after = f" ({latency(way['latency_ms'])})" if way.get("latency_ms") is not None else ""
    return f"{way['text']}{after}"


def status(document: dict[str, Any]) -> str:
    """The whole of `skerry status`."""
    lines = [_first(document)]
    lines += [wrap(f"warning: {clean(sentence)}") for sentence in document["health"] if sentence not in document["error"]]
    if (names := dns_line(document.get("dns") or {})) and document["state"] == "Running":
        lines.append(names)
    rows = [["NAME", "ADDRESS", "SENT", "RECEIVED", "PATH"]]
    mine = document["self"]
    if mine["addresses"]:
        rows.append([clean(mine["name"]), (mine["addresses"] or ["-"])[0], "", "", "this node"])
    groups = grouped(document)
    if len(groups) < 2:
        rows += [_row(node) for nodes in groups.values() for node in nodes]
        return "\n".join([*lines, "", table(rows)] if len(rows) > 1 else lines)
    online = sum(1 for node in document["peers"] if node["online"])
    lines += ["", f"{len(document['peers'])} peers, {online} online"]
    whole = table(rows + [_row(node) for nodes in groups.values() for node in nodes]).split("\n")  # one width for all
    lines += ["", *whole[: len(rows)]]
    at = len(rows)
    for title, nodes in groups.items():
        count = sum(1 for node in nodes if node["online"])
        all_rows, few = zip(nodes, whole[at : at + len(nodes)], strict=True), len(document["peers"]) <= MANY
        shown = [row for node, row in all_rows if node["online"] or few]
        lines += ["", f"{clean(title)[:60]} ({count} of {len(nodes)} online)", *shown]
        if len(shown) < len(nodes):
            lines.append(wrap("offline: " + ", ".join(clean(node["name"])[:30] for node in nodes if not node["online"])))
        at += len(nodes)
    return "\n".join(lines)


def _row(node: dict[str, Any]) -> list[str]:
    return [
        clean(node["name"])[:30],
        (node["addresses"] or ["-"])[0],
        amount(node["tx_bytes"]),
        amount(node["rx_bytes"]),
        clean(path(node)),
    ]


def owner(document: dict[str, Any], node: dict[str, Any]) -> str:
    """Whose it is: its tags, or its user."""
    if node["tags"]:
        return ", ".join(node["tags"])
    user = document["users"].get(str(node["user"]), {})
    return str(user.get("LoginName") or user.get("DisplayName") or "somebody")


def grouped(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Peers by whose they are, our own devices first, in each those that are online first."""
    mine = document["self"]
    found: dict[tuple[bool, str], list[dict[str, Any]]] = {}
    for node in sorted(document["peers"], key=lambda n: (not n["online"], n["name"])):
        own = not node["tags"] and not mine["tags"] and node["user"] == mine["user"]
        found.setdefault((not own, "devices of " + owner(document, node) if not node["tags"] else owner(document, node)), []).append(node)
    return {title: found[other, title] for other, title in sorted(found)}


def chosen(document: dict[str, Any], search: str | None, online: bool) -> list[dict[str, Any]]:
    """The peers a person asked for."""
    wanted = (search or "").lower()

    def fits(node: dict[str, Any]) -> bool:
        texts = [node["name"], node["os"], node["hostname"], owner(document, node), *node["addresses"]]
        return (node["online"] or not online) and any(wanted in str(text).lower() for text in texts)

    return [node for node in document["peers"] if fits(node)]


def dns_line(shown: dict[str, Any]) -> str:
    """One line about names; "" where they work as they should."""
    if not shown or shown["host"]["in_force"] or shown["problems"] or not (shown["magic"] or shown["routes"]):
        return ""
    why = "not used on this host (--accept-dns=false)" if not shown["accept"] else "not in force on this host"
    return f"names of {clean(shown['domain'])}: {why}; see skerry dns status"


def rate(rates: dict[str, Any], way: str) -> str:
    """`1.2 MB/s, 900 packets/s`."""
    return f"{amount(rates[f'{way}_bytes'])}/s, {rates[f'{way}_packets']} packets/s"


def packet_path(document: dict[str, Any]) -> str:
    """What `skerry status --verbose` adds."""
    rows = [["NAME", "SENDING", "RECEIVING"]]
    for node in [*document["peers"], {"name": "all", "rates": document["rates"]}]:
        if node.get("rates"):
            rows.append([clean(node["name"])[:30], rate(node["rates"], "tx"), rate(node["rates"], "rx")])
    used = [name for name, on in document["features"].items() if on is True]
    lines = [table(rows), "", wrap(f"in use: {document['features']['cipher']}, {', '.join(used) or 'no offloads'}")]
    if document.get("relaying"):
        lines.append(wrap(f"relaying for others on UDP port {document['relaying']['port']}: {document['relaying']['pairs']} pairs"))
    if document["dropped"]:
        lines += ["", "packets dropped since the start:"]
    lines += [wrap(f"  {each['packets']} {each['reason']}: {each['sentence']}", "    ") for each in document["dropped"]]
    return "\n".join(lines)


def admit(url: str, code: str) -> str:
    """How a person lets this node in; the link has a line of its own, to be copied whole."""
    return f"To admit this node, open:\n  {clean(url)}" + (f"\nGo on there only if the page shows this code: {clean(code)}" if code else "")


def _away(document: dict[str, Any], gateway: str) -> str:
    """The gateway is away: since when, and how old the map is that we work from."""
    since, made = document.get("away_since_ms"), document.get("map_of_ms")
    away = f"{gateway} does not answer" + (f" since {when(since)}" if since else "")
    known = "saved map" if document["from_saved_map"] else "map"
    return wrap(f"{away}; known peers are reached from the {known}" + (f" of {when(made)}" if made else ""))


def when(milliseconds: int) -> str:
    """`14:05:09`, of another day `2026-12-01 14:05:09`; local time."""
    import time

    try:
        then, today = time.localtime(milliseconds / 1000), time.localtime()
    except (OverflowError, OSError, ValueError):
        return "an unknown time"
    return time.strftime("%H:%M:%S" if then[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", then)


def _first(document: dict[str, Any]) -> str:
    state, gateway = document["state"], document["gateway"].partition("#")[0]
    away = _away(document, gateway)
    sentences = {
        "Stopped": f"Stopped; a member at {gateway}. Come back with skerry up",
        "NeedsLogin": f"Not a member at {gateway} yet" if document["wanted"] else "Not a member of a network: skerry up --gateway URL",
        "NeedsMachineAuth": f"Waiting for approval at {gateway}: the network's owner admits this node there",
        "Running": f"Connected to {gateway}" if document["connected"] else away,
        "Starting": away if document["from_saved_map"] and document["error"] else f"Connecting to {gateway} ...",
    }
    sentence = sentences.get(state, f"{state}: {gateway}")
    if document["auth_url"]:
        sentence += f"\n{admit(document['auth_url'], document.get('auth_code', ''))}"
    elif document["error"] and not document["connected"]:
        sentence += f"\n{wrap(clean(document['error']))}"
    return sentence
