"""Results of verbs as people read them: aligned tables, times relative to now, one sentence after a change."""

from collections.abc import Callable
from typing import Any

Result = dict[str, Any]
_SLACK_MS = 5000  # "in 90 days", not 89, for what was set a moment ago
_UNITS = ((86400_000, "day"), (3600_000, "hour"), (60_000, "minute"), (1000, "second"))


def since(then_ms: int | None, wall_ms: int) -> str:
    """ "3 hours ago", "in 90 days", "-" for never."""
    if then_ms is None:
        return "-"
    distance = wall_ms - then_ms if then_ms < wall_ms else then_ms - wall_ms + _SLACK_MS
    for size, name in _UNITS:
        count = distance // size
        if count:
            words = f"{count} {name}{'s' if count > 1 else ''}"
            return f"{words} ago" if then_ms < wall_ms else f"in {words}"
    return "now"


def table(heads: list[str], rows: list[list[str]], nothing: str) -> str:
    """Columns as wide as they need to be; `nothing` when there are no rows."""
    if not rows:
        return nothing
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [heads, *rows])


def _users(result: Result, wall_ms: int) -> str:
    rows = [[u["name"], u["role"], str(u["nodes"]), since(u["signed_in_ms"], wall_ms)] for u in result["users"]]
    return table(["NAME", "ROLE", "NODES", "SIGNED IN"], rows, "no users")


def _nodes(result: Result, wall_ms: int) -> str:
    rows = [_node(node, wall_ms) for node in result["nodes"]]
    heads = ["ID", "NAME", "ADDRESS", "OWNER", "STATE", "SEEN", "KEY ENDS"]
    text = table(heads, rows, "no nodes yet; make a key with: skerry-gateway keys create --user NAME")
    for item in result["pending"]:
        text += f"\n\n{item['hostname']} ({item['os']}) waits at its sign-in page. If its page shows {item['code']}:"
        text += f"\n  skerry-gateway nodes approve {item['code']} --user NAME"
    return text


def _node(node: Result, wall_ms: int) -> list[str]:
    state = "online" if node["online"] else "offline"
    if node["expired"]:
        state = "expired"
    elif not node["approved"]:
        state = "to approve"
    owner = node["user"] or ",".join(node["tags"])
    seen = "now" if node["online"] else since(node["last_seen_ms"], wall_ms)
    return [str(node["id"]), node["name"], node["addresses"][0], owner, state, seen, since(node["expires_ms"], wall_ms)]


def _routes(result: Result, wall_ms: int) -> str:
    rows = [[row["node"], row["route"], row["kind"], route_state(row)] for row in result["routes"]]
    return table(["NODE", "ROUTE", "KIND", "STATE"], rows, "no node advertises a route; on one: skerry set --advertise-routes PREFIX")


def route_state(row: Result) -> str:
    """In one or a few words."""
    if not row["approved"]:
        return "to approve"
    if not row["advertised"]:
        return "approved, not advertised now"
    return "in force" if row["carried"] else "approved, another node carries it"


def _changed_routes(result: Result, verb: str) -> str:
    words = ", ".join(result["in_force"]) or "no route"
    return f"{verb} {', '.join(result['routes'])} of {result['node']}; it carries {words} now"


def _key(result: Result, wall_ms: int) -> str:
    kind = "may be used again and again" if result["reusable"] else "works once"
    for_what = f"for {', '.join(result['tags'])}" if result["tags"] else f"for devices of {result['user']}"
    ephemeral = "; devices are removed after half an hour away" if result["ephemeral"] else ""
    ends = since(result["expires_ms"], wall_ms)
    return f"{result['key']}\n\nThis key {kind}, {for_what}, and ends {ends}{ephemeral}. It is shown only now."


def _keys(result: Result, wall_ms: int) -> str:
    rows = []
    for key in result["keys"]:
        kind = ("reusable" if key["reusable"] else "single use") + (", ephemeral" if key["ephemeral"] else "")
        use = [key["state"], str(key["uses"]), since(key["expires_ms"], wall_ms)]
        rows.append([str(key["id"]), key["user"] or "-", kind, ",".join(key["tags"]) or "-", *use])
    return table(["ID", "USER", "KIND", "TAGS", "STATE", "USES", "ENDS"], rows, "no pre-auth keys")


def _history(result: Result, wall_ms: int) -> str:
    rows = [[str(v["version"]), v["author"], since(v["created_ms"], wall_ms), str(v["characters"])] for v in result["versions"]]
    return table(["VERSION", "AUTHOR", "SET", "CHARACTERS"], rows, "the default policy is in force; none was set")


def _check(result: Result, wall_ms: int) -> str:
    if result["ok"]:
        return "the policy is valid"
    error = result["error"]
    where = f"line {error['line']}: " if error["line"] else ""
    return f"{error['stage']} error: {where}{error['message']}"


def _network(result: Result, wall_ms: int) -> str:
    life = "never" if result["key_expiry_ms"] is None else f"{result['key_expiry_ms'] // 86400_000} days"
    facts = {
        "url": result["url"],
        "key": result["key"],
        "suffix": result["suffix"],
        "approval": "new nodes wait for an administrator" if result["approval"] else "people's nodes join at once",
        "keys end after": life,
        "nodes": f"{result['nodes']}, {result['online']} online",
        "users": str(result["users"]),
        **({"trouble": result["trouble"]} if result["trouble"] else {}),
    }
    return "\n".join(f"{name.ljust(15)}{value}" for name, value in facts.items())


SHOWN: dict[str, Callable[[Result, int], str]] = {
    "users create": lambda r, w: f"created user {r['user']['name']}; to sign in: skerry-gateway users link {r['user']['name']}",
    "users list": _users,
    "users link": lambda r, w: f"{r['url']}\n\nThis link signs {r['user']} in, works once, and ends {since(r['expires_ms'], w)}.",
    "users remove": lambda r, w: f"removed user {r['removed']}" + (f" with {', '.join(r['nodes'])}" if r["nodes"] else ""),
    "nodes list": _nodes,
    "nodes approve": lambda r, w: f"approved {r['node']['name']} ({r['node']['addresses'][0]})",
    "nodes rename": lambda r, w: f"the node is now {r['node']['name']}, {r['node']['dns_name']}",
    "nodes expire": lambda r, w: f"{r['node']['name']} must sign in again; its access has ended",
    "nodes remove": lambda r, w: f"removed {r['removed']}; its access has ended",
    "routes list": _routes,
    "routes approve": lambda r, w: _changed_routes(r, "approved"),
    "routes withdraw": lambda r, w: _changed_routes(r, "withdrew"),
    "keys create": _key,
    "keys list": _keys,
    "keys revoke": lambda r, w: f"revoked pre-auth key {r['revoked']}; nodes that joined with it stay",
    "policy check": _check,
    "policy get": lambda r, w: r["text"].rstrip("\n"),
    "policy set": lambda r, w: f"policy version {r['version']} is in force",
    "policy history": _history,
    "network show": _network,
    "network set": _network,
}
