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
    for node in result["nodes"]:
        if node.get("twin_ms"):
            text += f"\n\n{twin(node['name'], since(node['twin_ms'], wall_ms))}"
    for item in result["pending"]:
        text += f"\n\n{item['hostname']} ({item['os']}) waits at its sign-in page. If its page shows {item['code']}:"
        text += f"\n  skerry-gateway nodes approve {item['code']} --user NAME"
    return text


def why(result: Result, _wall_ms: int = 0) -> str:
    """The sentences, as `skerry why` on the node has them."""
    away = [f"{side['name']} is offline; this is what it told last." for side in result["nodes"] if not side["online"]]
    return "\n".join([result["reason"], *away, *(f"What would help: {each}" for each in result["help"])])


def twin(name: str, seen: str) -> str:
    """What is said of a node whose state was copied."""
    return (
        f"{name}: two devices use its keys, noticed {seen}: its state was copied. A copy with skerryd makes new keys by itself and\n"
        "  waits for approval; on a copy with an official client run: tailscale logout"
    )


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
    rows = []
    for version in result["versions"]:
        facts = [str(version["version"]), version["author"], since(version["created_ms"], wall_ms), str(version["characters"])]
        rows.append([*facts, version["reason"] or "-"])
    return table(["VERSION", "AUTHOR", "SET", "CHARACTERS", "REASON"], rows, "the default policy is in force; none was set")


def _check(result: Result, wall_ms: int) -> str:
    if result["ok"]:
        return "the policy is valid" + (f", and passes its {result['tests']} tests" if result["tests"] else "")
    return _refused(result["error"])


def _refused(error: Result) -> str:
    where = f"line {error['line']}" if error.get("line") else ""
    where += f", column {error['column']}" if where and error.get("column") else ""
    return f"{error['stage']} error: {where}{': ' if where else ''}{error['message']}"


def _diff(result: Result, wall_ms: int) -> str:
    lines = [("+ " if line["opens"] else "- ") + line["text"] for line in result["lines"]]
    if result["left_out"]:
        lines.append(f"... and {result['left_out']} more")
    return "\n".join(lines) or "nobody gains or loses a connection"


def _reach(result: Result, wall_ms: int) -> str:
    verdict = "reaches" if result["allowed"] else "does not reach"
    return f"{result['source']} {verdict} {result['destination']} on {result['protocol']} port {result['port']}: {result['why']}."


def evaluated(result: Result, wall_ms: int = 0) -> str:
    """What policy eval says, node by node."""
    if not result["ok"]:
        return _refused(result["error"])
    return "\n\n".join(_node_policy(name, node) for name, node in result["nodes"].items()) or "no nodes"


def _node_policy(name: str, node: Result) -> str:
    lines = [name]
    for rule in node["packet_filter"]:
        sources, kinds = _few(rule["SrcIPs"]), ",".join(map(str, rule.get("IPProto", [])))
        for entry in rule.get("DstPorts", []):
            first, last = entry["Ports"]["First"], entry["Ports"]["Last"]
            ports = "*" if (first, last) == (0, 65535) else str(first) if first == last else f"{first}-{last}"
            lines.append(f"  in    {sources} -> {entry['IP']} port {ports}" + (f" protocol {kinds}" if kinds else ""))
        for grant in rule.get("CapGrant", []):
            lines.append(f"  may   {sources} -> {_few(grant['Dsts'])}: {', '.join(grant['CapMap'])}")
    lines += [f"  ssh   {_few([p['nodeIP'] for p in r['principals']])} as {', '.join(r['sshUsers'])}" for r in node["ssh"]]
    lines += [f"  attr  {attribute}" for attribute in node["node_attrs"]]
    lines += [f"  route {route} approved" for route in node["auto_approved_routes"]]
    lines += [f"  sees  {peer}" + (f" with {', '.join(routes)}" if routes else "") for peer, routes in node["peers"].items()]
    return "\n".join(lines)


def _few(items: list[str]) -> str:
    return ", ".join(items[:4]) + (f" and {len(items) - 4} more" if len(items) > 4 else "")


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


def _dns(result: Result, wall_ms: int) -> str:
    servers = ", ".join(result["nameservers"]) or "those each node's own network gives it"
    lines = [["MagicDNS", "on" if result["magic"] else "off"], ["base domain", result["base_domain"]], ["nameservers", servers]]
    lines += [["split", f"{domain} -> {', '.join(route)}"] for domain, route in result["routes"].items()]
    lines += [["search", domain] for domain in result["search"]]
    lines += [["record", f"{each['name']} = {each['value']}"] for each in result["records"]]
    return "\n".join(f"{name.ljust(15)}{value}" for name, value in lines)


SHOWN: dict[str, Callable[[Result, int], str]] = {
    "users create": lambda r, w: f"created user {r['user']['name']}; to sign in: skerry-gateway users link {r['user']['name']}",
    "users list": _users,
    "users link": lambda r, w: f"{r['url']}\n\nThis link signs {r['user']} in, works once, and ends {since(r['expires_ms'], w)}.",
    "users remove": lambda r, w: f"removed user {r['removed']}" + (f" with {', '.join(r['nodes'])}" if r["nodes"] else ""),
    "nodes list": _nodes,
    "nodes why": why,
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
    "policy eval": evaluated,
    "policy diff": _diff,
    "policy reach": _reach,
    "policy restore": lambda r, w: f"policy version {r['version']} is in force",
    "policy get": lambda r, w: r["text"].rstrip("\n"),
    "policy set": lambda r, w: f"policy version {r['version']} is in force",
    "policy history": _history,
    "network show": _network,
    "network set": _network,
    "dns show": _dns,
    "dns set": _dns,
}
