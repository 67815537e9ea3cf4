"""What administrators can do, by name: `call(coordinator, verb, arguments, now, user)`.

`VERBS` maps each verb to its function, the names and kinds of its arguments ("?": may be absent), and whether it takes an admin. Without
a user the caller is the gateway's own command line (the admin socket in its state directory), which may do everything. What it causes
for nodes goes out with coordinator.ready().
"""

from typing import Any

from sqlalchemy.exc import DBAPIError

from skerry_gateway.control import AdminError, Coordinator
from skerry_gateway.store import User

from . import policies, routes, verbs
from .arguments import check
from .caller import Caller

ANYONE, ADMIN = False, True

VERBS: dict[str, tuple[verbs.Verb, dict[str, str], bool]] = {
    "users create": (verbs.users_create, {"name": "text", "role": "text?", "display_name": "text?"}, ADMIN),
    "users list": (verbs.users_list, {}, ADMIN),
    "users link": (verbs.users_link, {"name": "text", "expires": "text?"}, ADMIN),
    "users remove": (verbs.users_remove, {"name": "text", "with_nodes": "flag?"}, ADMIN),
    "nodes list": (verbs.nodes_list, {}, ANYONE),
    "nodes approve": (verbs.nodes_approve, {"node": "node", "routes": "texts?", "user": "text?"}, ADMIN),
    "nodes why": (verbs.nodes_why, {"node": "node", "other": "node"}, ANYONE),
    "nodes rename": (verbs.nodes_rename, {"node": "node", "name": "text"}, ANYONE),
    "nodes expire": (verbs.nodes_expire, {"node": "node"}, ANYONE),
    "nodes remove": (verbs.nodes_remove, {"node": "node"}, ANYONE),
    "routes list": (routes.routes_list, {}, ANYONE),
    "routes approve": (routes.routes_approve, {"node": "node", "routes": "texts?"}, ADMIN),
    "routes withdraw": (routes.routes_withdraw, {"node": "node", "routes": "texts?"}, ADMIN),
    "keys create": (
        verbs.keys_create,
        {"user": "text", "reusable": "flag?", "ephemeral": "flag?", "tags": "texts?", "expires": "text?"},
        ANYONE,
    ),
    "keys list": (verbs.keys_list, {}, ANYONE),
    "keys revoke": (verbs.keys_revoke, {"id": "number"}, ANYONE),
    "policy check": (policies.policy_check, {"text": "text"}, ADMIN),
    "policy eval": (policies.policy_eval, {"text": "text?"}, ADMIN),
    "policy diff": (policies.policy_diff, {"text": "text"}, ADMIN),
    "policy reach": (policies.policy_reach, {"source": "node", "destination": "node", "port": "number", "protocol": "text?"}, ADMIN),
    "policy get": (policies.policy_get, {"version": "number?"}, ADMIN),
    "policy set": (policies.policy_set, {"text": "text", "reason": "text?"}, ADMIN),
    "policy restore": (policies.policy_restore, {"version": "number", "reason": "text?"}, ADMIN),
    "policy history": (policies.policy_history, {}, ADMIN),
    "network show": (verbs.network_show, {}, ADMIN),
    "network set": (verbs.network_set, {"approval": "flag?", "suffix": "text?", "key_expiry": "text?"}, ADMIN),
    "dns show": (verbs.dns_show, {}, ADMIN),
    "dns set": (
        verbs.dns_set,
        {"magic": "flag?", "base_domain": "text?", "nameservers": "texts?", "routes": "texts?", "search": "texts?", "records": "texts?"},
        ADMIN,
    ),
}


def call(coordinator: Coordinator, verb: str, arguments: dict[str, Any], now: int, user: User | None = None) -> dict[str, Any]:
    """Do it. AdminError: nothing changed, the sentence says why."""
    if verb not in VERBS:
        raise AdminError(f'"{str(verb)[:60]}" is no verb; there are {", ".join(VERBS)}')
    function, spec, admin = VERBS[verb]
    by = Caller(user.name if user else "command line", user)
    if admin:
        by.needs_admin(verb)
    try:
        return function(coordinator, check(verb, arguments, spec), by, now)
    except DBAPIError as error:
        raise AdminError(f"the database refused: {error.orig}. Nothing was changed; is the disk full or read-only?") from None


__all__ = ["VERBS", "AdminError", "call"]
