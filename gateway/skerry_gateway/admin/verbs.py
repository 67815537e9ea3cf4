"""What administrators can do: one function a verb, used alike by the command line, the admin socket and the console.

A verb takes the coordinator, checked arguments, who asks (for the audit log) and now; it gives a JSON-able dict or raises AdminError
with nothing changed. Which verbs take an admin stands in VERBS; finer rights (one's own things, nobody above oneself) are asked here.
"""

import re
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

from skerry_core import nat
from skerry_core.tailcfg.keys import encode_key
from skerry_gateway import policy
from skerry_gateway.control import AdminError, Coordinator, dns
from skerry_gateway.control.enrolment import waiting
from skerry_gateway.control.hostinfo import MAX_TAGS, RELAY_NAME, is_label
from skerry_gateway.policy.targets import TAG
from skerry_gateway.store import Node, PreAuthKey, User, queries

from .arguments import duration
from .caller import Caller

Verb = Callable[[Coordinator, dict[str, Any], Caller, int], dict[str, Any]]
ROLES = ("owner", "admin", "member")
KEY_PREFIX = "skey-"
_USER = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}(@[a-z0-9.-]{1,190})?\Z")
_KEY_LIFE = "90d"
MAX_USERS = 10_000
MAX_KEYS_EACH = 1000
SPENT_MS = 30 * 86400_000  # used, revoked and expired keys stay in the list this long


# users


def users_create(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    name, role, network = args["name"].strip().lower(), args["role"] or "member", at.members.network
    if not _USER.match(name) or len(name) > 63:
        raise AdminError(f'"{args["name"]}" is no user name: expected up to 63 letters, digits, - _ . and perhaps @DOMAIN')
    if role not in ROLES:
        raise AdminError(f'"{role}" is no role: expected {", ".join(ROLES)}')
    by.needs_rank_of(role, f"create a user with the role {role}")
    shown = args["display_name"] or name
    if len(shown) > 200 or not shown.isprintable():
        raise AdminError("the display name is up to 200 printable characters")
    if len(at.members.users) >= MAX_USERS:
        raise AdminError(f"there are {MAX_USERS} users already, more are not allowed")
    if any(user.name == name for user in at.members.users.values()):
        raise AdminError(f"there is a user {name} already; give them a link with: skerry-gateway users link {name}")
    with at.store.write() as c:
        values = {"name": name, "display_name": shown, "role": role, "created_ms": at.wall(now)}
        user_id = queries.create_user(c, network_id=network.id, signed_in_ms=None, **values)
        queries.record(c, network.id, at.wall(now), by.name, "users create", {"user": name, "role": role})
    at.reload_users(now)
    return {"user": shown_user(at.members.users[user_id], 0)}


def users_list(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    with at.store.read() as c:
        found = queries.users(c, at.members.network.id)
    count = Counter(node.user_id for node in at.members.nodes.values())
    return {"users": [shown_user(user, count[user.id]) for user in found]}


def users_link(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    user, wall = find_user(at, args["name"]), at.wall(now)
    by.acts_for(user, "make a sign-in link")
    life = duration(args["expires"] or "1d")
    token = at.identity.create_link(user.id, wall, life)
    with at.store.write() as c:
        queries.record(c, at.members.network.id, wall, by.name, "users link", {"user": user.name})
    return {"url": f"{at.url}/sign-in/{token}", "user": user.name, "expires_ms": wall + life}


def users_remove(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    user, network = find_user(at, args["name"]), at.members.network
    by.needs_rank_of(user.role, f"remove {user.name}")
    if user.role == "owner" and sum(1 for other in at.members.users.values() if other.role == "owner") == 1:
        raise AdminError(f"{user.name} is the only owner of this network; an owner must stay")
    nodes = [node for node in at.members.nodes.values() if node.user_id == user.id]
    if nodes and not args["with_nodes"]:
        names = ", ".join(node.name for node in nodes[:5])
        raise AdminError(f"{user.name} has nodes ({names}): remove them first, or remove them together with --with-nodes")
    if nodes:
        at.remove_nodes([node.id for node in nodes], by.name, "nodes remove", now)
    with at.store.write() as c:
        queries.delete_user(c, network.id, user.id)
        queries.record(c, network.id, at.wall(now), by.name, "users remove", {"user": user.name})
    at.reload_users(now)
    return {"removed": user.name, "nodes": [node.name for node in nodes]}


# nodes


def nodes_list(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    nodes = sorted((node for node in at.members.nodes.values() if by.owns(node)), key=lambda n: n.name)
    pending = at.sign_ins.open(at.wall(now)) if by.administers else []
    return {"nodes": [shown_node(at, node, now) for node in nodes], "pending": [waiting(item) for item in pending]}


def nodes_why(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    """What the NATs of two nodes, as they told them, mean for a direct path: skerry_core.nat."""
    pair = [own_node(at, by, args[name]) for name in ("node", "other")]
    if pair[0].id == pair[1].id:
        raise AdminError(f"{pair[0].name} is named twice: name two nodes")
    nats = [nat.of_netinfo(at.live[node.id].hostinfo.get("NetInfo")) for node in pair]
    sides = [{"name": node.name, "online": at.live[node.id].online, "nat": each.document()} for node, each in zip(pair, nats, strict=True)]
    return {"nodes": sides, **nat.pair(nats[0], nats[1], (pair[0].name, pair[1].name))}


def nodes_approve(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    """A node that waits for approval, a node's routes, or a machine at its sign-in page (by the code it shows)."""
    item = at.sign_ins.by_code(str(args["node"]), at.wall(now))
    if item is not None:
        if not args["user"]:
            raise AdminError(f"whose device is {item.claim.hostname}? Name the person with --user NAME")
        user = find_user(at, args["user"])
        by.acts_for(user, "let a device in")
        args = {**args, "node": at.authorize(item.token, user.id, now).id}
    node = find_node(at, args["node"])
    values: dict[str, Any] = {"approved": True}
    if args["routes"] is not None:
        values["routes_approved"] = _routes(node, args["routes"])
    return {"node": shown_node(at, at.change_node(node.id, by.name, "nodes approve", now, **values), now)}


def nodes_rename(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    node, name = own_node(at, by, args["node"]), args["name"].strip().lower()
    if not is_label(name) or name == "localhost" or name.isdigit():
        wanted = "expected 1 to 63 letters, digits and hyphens, not digits alone, no hyphen at either end"
        raise AdminError(f'"{args["name"]}" is no DNS label: {wanted}')
    if name == RELAY_NAME:
        raise AdminError(f"{name} is the name of the gateway's own UDP relay: choose another")
    if any(other.name == name and other.id != node.id for other in at.members.nodes.values()):
        raise AdminError(f"there is a node {name} already")
    return {"node": shown_node(at, at.change_node(node.id, by.name, "nodes rename", now, name=name, renamed=True), now)}


def nodes_expire(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    node = own_node(at, by, args["node"])
    return {"node": shown_node(at, at.change_node(node.id, by.name, "nodes expire", now, expires_ms=at.wall(now)), now)}


def nodes_remove(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    node = own_node(at, by, args["node"])
    at.remove_node(node.id, by.name, "nodes remove", now)
    return {"removed": node.name, "id": node.id}


# pre-auth keys


def keys_create(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    user, wall, network = find_user(at, args["user"]), at.wall(now), at.members.network
    by.acts_for(user, "make a pre-auth key")
    tags = tuple(dict.fromkeys(args["tags"] or ()))
    if len(tags) > MAX_TAGS:
        raise AdminError(f"{len(tags)} tags are too many for one key: at most {MAX_TAGS}")
    for tag in tags:
        if not TAG.match(tag):
            raise AdminError(f'"{tag}" is no tag: expected tag: and letters, digits and -, beginning with a letter')
        if not policy.may_tag(at.members.policy, user, tag, network.suffix):
            raise AdminError(f"{user.name} may not give {tag}: only the network's owner, or whom the policy's tagOwners name")
    life = duration(args["expires"] or _KEY_LIFE)
    text = KEY_PREFIX + at.identity.token()
    flags = {"reusable": bool(args["reusable"]), "ephemeral": bool(args["ephemeral"])}
    # where nodes wait for an administrator, a member's own key is not one
    stored = {**flags, "approves": by.administers}
    times = {"created_ms": wall, "expires_ms": wall + life, "used_ms": None, "uses": 0, "revoked_ms": None}
    with at.store.write() as c:
        queries.drop_spent_keys(c, network.id, wall - SPENT_MS)
        if queries.count_keys(c, network.id, user.id) >= MAX_KEYS_EACH:
            raise AdminError(f"{user.name} has {MAX_KEYS_EACH} pre-auth keys already: use one more than once with --reusable")
        key_id = queries.create_key(c, network_id=network.id, user_id=user.id, hash=queries.digest(text), tags=tags, **stored, **times)
        detail = {"key": key_id, "user": user.name, "tags": list(tags), **flags}
        queries.record(c, network.id, wall, by.name, "keys create", detail)
    return {"key": text, "id": key_id, "user": user.name, **flags, "tags": list(tags), "expires_ms": wall + life}


def keys_list(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    return {"keys": [shown_key(at, key, now) for key in _keys(at, by)]}


def keys_revoke(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    network, mine = at.members.network, {key.id for key in _keys(at, by)}
    with at.store.write() as c:
        if args["id"] not in mine or not queries.revoke_key(c, network.id, args["id"], at.wall(now)):
            raise AdminError(f"there is no pre-auth key {args['id']} that could be revoked; see: skerry-gateway keys list")
        queries.record(c, network.id, at.wall(now), by.name, "keys revoke", {"key": args["id"]})
    return {"revoked": args["id"]}


# the network


def network_show(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    network = at.members.network
    shown = {"name": network.name, "suffix": network.suffix, "approval": network.approval, "key_expiry_ms": network.key_expiry_ms}
    return {**shown, "url": at.url, **at.status(now), "key": encode_key("mkey", at.public_key)}


def network_set(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if args["approval"] is not None:
        values["approval"] = args["approval"]
    if args["suffix"] is not None:
        values["suffix"] = _suffix(args["suffix"])
    if args["key_expiry"] is not None:
        values["key_expiry_ms"] = None if args["key_expiry"] == "never" else duration(args["key_expiry"])
    if not values:
        raise AdminError("nothing to set: name approval, suffix or key_expiry")
    at.configure(by.name, now, **values)
    return network_show(at, {}, by, now)


# names


def dns_show(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    network = at.members.network
    return {"base_domain": network.suffix, **dns.settings(network)}


def dns_set(at: Coordinator, args: dict[str, Any], by: Caller, now: int) -> dict[str, Any]:
    """Each list that is given replaces the one before."""
    network, given = at.members.network, {name: value for name, value in args.items() if value is not None}
    if not given:
        raise AdminError("nothing to set: name magic, base_domain, nameservers, routes, search or records")
    values: dict[str, Any] = {"suffix": _suffix(given.pop("base_domain"))} if "base_domain" in given else {}
    if given:
        values["dns"] = dns.changed(network, given)
    at.configure(by.name, now, "dns set", **values)
    return dns_show(at, {}, by, now)


# finding and showing


def find_user(at: Coordinator, name: str) -> User:
    wanted = name.strip().lower()
    for user in at.members.users.values():
        if wanted in (user.name, user.name + "@"):
            return user
    known = ", ".join(sorted(user.name for user in at.members.users.values())[:10])
    raise AdminError(f'there is no user "{name}"; there are {known}. Make one with: skerry-gateway users create NAME')


def find_node(at: Coordinator, wanted: str | int) -> Node:
    """By id, name or MagicDNS name. Digits are an id and nothing else: no node's name is all digits."""
    text = str(wanted).strip().lower().rstrip(".")
    name = text.removesuffix("." + at.members.network.suffix)
    if text.isascii() and text.isdigit():
        found = at.members.nodes.get(int(text[:16]))
    else:
        found = next((node for node in at.members.nodes.values() if node.name == name), None)
    if found is None:
        raise AdminError(f'there is no node "{wanted}"; see: skerry-gateway nodes list')
    return found


def own_node(at: Coordinator, by: Caller, wanted: str | int) -> Node:
    """A node the caller may change; somebody else's is answered like one that is not there."""
    node = find_node(at, wanted)
    if not by.owns(node):
        raise AdminError(f'there is no node "{wanted}"; see: skerry-gateway nodes list')
    return node


def _keys(at: Coordinator, by: Caller) -> list[PreAuthKey]:
    with at.store.read() as c:
        found = queries.keys(c, at.members.network.id)
    return [key for key in found if by.administers or (by.user is not None and key.user_id == by.user.id)]


def shown_user(user: User, nodes: int) -> dict[str, Any]:
    shown = {"id": user.id, "name": user.name, "display_name": user.display_name, "role": user.role, "nodes": nodes}
    return {**shown, "created_ms": user.created_ms, "signed_in_ms": user.signed_in_ms}


def shown_node(at: Coordinator, node: Node, now: int) -> dict[str, Any]:
    live, user, wall = at.live[node.id], at.members.user_of(node), at.wall(now)
    return {
        "id": node.id,
        "name": node.name,
        "dns_name": f"{node.name}.{at.members.network.suffix}",
        "user": user.name if user else None,
        "tags": list(node.tags),
        "addresses": [node.ipv4, node.ipv6],
        "online": live.online,
        "last_seen_ms": wall if live.online else live.seen_ms or node.last_seen_ms,
        "created_ms": node.created_ms,
        "expires_ms": node.expires_ms,
        "expired": node.expired(wall),
        "approved": node.approved,
        "routes_advertised": list(node.routes_advertised),
        "routes_approved": list(node.routes_approved),
        "os": node.os,
        "hostname": node.hostname,
        "version": node.version,
        "endpoints": list(live.endpoints),
        "home_region": live.home_region,
        "ephemeral": node.ephemeral,
        "twin_ms": at.twins.seen_ms(node.id, wall),
        "node_key": encode_key("nodekey", node.node_key),
    }


def shown_key(at: Coordinator, key: PreAuthKey, now: int) -> dict[str, Any]:
    wall, user = at.wall(now), at.members.users.get(key.user_id)
    state = "valid"
    if key.revoked_ms is not None:
        state = "revoked"
    elif key.expires_ms is not None and key.expires_ms <= wall:
        state = "expired"
    elif key.uses and not key.reusable:
        state = "used"
    shown = {"id": key.id, "user": user.name if user else None, "tags": list(key.tags), "reusable": key.reusable}
    times = {"created_ms": key.created_ms, "expires_ms": key.expires_ms, "used_ms": key.used_ms}
    return {**shown, "ephemeral": key.ephemeral, "state": state, "uses": key.uses, **times}


def _routes(node: Node, wanted: list[str]) -> tuple[str, ...]:
    found = []
    for text in wanted:
        try:
            route = str(ip_network(text.strip()))
        except ValueError as error:
            raise AdminError(f'"{text}" is no route: {error}') from None
        if route not in node.routes_advertised:
            offered = ", ".join(node.routes_advertised) or "none"
            raise AdminError(f"{node.name} does not advertise {route}; it advertises {offered}")
        found.append(route)
    return tuple(found)


def _suffix(text: str) -> str:
    suffix = text.strip().lower().strip(".")
    if len(suffix) > 190 or not all(is_label(part) for part in suffix.split(".")):
        raise AdminError(f'"{text}" is no domain name')
    return suffix
