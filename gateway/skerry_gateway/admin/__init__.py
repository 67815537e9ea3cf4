"""What administrators can do, by name: `call` for code, `answer` for lines of the admin socket.

    request   {"verb": "nodes list", "arguments": {...}}\\n
    answer    {"ok": true, "result": {...}}\\n   or   {"ok": false, "error": "one sentence"}\\n

`VERBS` maps each verb to its function and the names and kinds of its arguments ("?": may be absent). Whoever calls has decided already
that the caller may: the socket lies in the gateway's own directory, the console checks roles. Results go out with coordinator.ready().
"""

import json
from typing import Any

from sqlalchemy.exc import DBAPIError

from skerry_gateway.control import AdminError, Coordinator

from . import verbs
from .arguments import check

MAX_LINE = 2 << 20

VERBS: dict[str, tuple[verbs.Verb, dict[str, str]]] = {
    "users create": (verbs.users_create, {"name": "text", "role": "text?", "display_name": "text?"}),
    "users list": (verbs.users_list, {}),
    "users link": (verbs.users_link, {"name": "text", "expires": "text?"}),
    "users remove": (verbs.users_remove, {"name": "text", "with_nodes": "flag?"}),
    "nodes list": (verbs.nodes_list, {}),
    "nodes approve": (verbs.nodes_approve, {"node": "node", "routes": "texts?", "user": "text?"}),
    "nodes rename": (verbs.nodes_rename, {"node": "node", "name": "text"}),
    "nodes expire": (verbs.nodes_expire, {"node": "node"}),
    "nodes remove": (verbs.nodes_remove, {"node": "node"}),
    "keys create": (
        verbs.keys_create,
        {"user": "text", "reusable": "flag?", "ephemeral": "flag?", "tags": "texts?", "expires": "text?"},
    ),
    "keys list": (verbs.keys_list, {}),
    "keys revoke": (verbs.keys_revoke, {"id": "number"}),
    "policy check": (verbs.policy_check, {"text": "text"}),
    "policy get": (verbs.policy_get, {"version": "number?"}),
    "policy set": (verbs.policy_set, {"text": "text"}),
    "policy history": (verbs.policy_history, {}),
    "network show": (verbs.network_show, {}),
    "network set": (verbs.network_set, {"approval": "flag?", "suffix": "text?", "key_expiry": "text?"}),
}


def call(coordinator: Coordinator, verb: str, arguments: dict[str, Any], now: int, actor: str = "local") -> dict[str, Any]:
    """Do it. AdminError: nothing changed, the sentence says why."""
    if verb not in VERBS:
        raise AdminError(f'"{str(verb)[:60]}" is no verb; there are {", ".join(VERBS)}')
    function, spec = VERBS[verb]
    try:
        return function(coordinator, check(verb, arguments, spec), actor, now)
    except DBAPIError as error:
        raise AdminError(f"the database refused: {error.orig}. Nothing was changed; is the disk full or read-only?") from None


def answer(coordinator: Coordinator, line: bytes, now: int, actor: str = "local") -> bytes:
    """One request line to one answer line. Never raises for what the line holds."""
    try:
        request = json.loads(line) if len(line) <= MAX_LINE else None
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict) or not isinstance(request.get("verb"), str):
        return _line({"ok": False, "error": 'the request is not a line {"verb": ..., "arguments": {...}}'})
    try:
        return _line({"ok": True, "result": call(coordinator, request["verb"], request.get("arguments", {}), now, actor)})
    except AdminError as error:
        return _line({"ok": False, "error": str(error)})


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


__all__ = ["MAX_LINE", "VERBS", "AdminError", "answer", "call"]
