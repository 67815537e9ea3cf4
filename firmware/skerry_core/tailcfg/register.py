"""POST /machine/register: the request, and what the answer says. Source: tailcfg of Tailscale 1.102.3.

Request {Version, NodeKey, OldNodeKey, NLKey, Auth: {AuthKey}, Expiry, Followup, Hostinfo, Ephemeral, Tailnet}; the machine is known by its
Noise key, not from the body. Response (at most 1 MiB) {User, Login, NodeKeyExpired, MachineAuthorized, AuthURL, NodeKeySignature, Error}.
What to do, in this order: `error` -> show it; `node_key_expired` -> a new node key, once; `auth_url` -> show it and send the request
again with followup=auth_url, which the server answers when the person is done; none of them -> registered.

Logging out is the request with expiry_ms=LOGOUT. The `Ts-Lb` header (`routing_headers`) lets a load balancer keep a node in one place.
The request holds the auth key in clear; it must not be logged.
"""

from skerry_core.errors import PeerError
from skerry_core.tailcfg import fields, times
from skerry_core.tailcfg.keys import ZERO, encode_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RESPONSE_LIMIT = 1 << 20
LOGOUT = 123000  # the moment that clients send for "now and for good"


def request(
    version: int,
    node_key: bytes,
    hostinfo: "dict[str, Any]",
    auth_key: str = "",
    old_node_key: bytes = ZERO,
    followup: str = "",
    expiry_ms: "int | None" = None,
    ephemeral: bool = False,
    tailnet: str = "",
) -> "dict[str, Any]":
    """The document to send. Keys are public and raw; `expiry_ms` is wall time, None = as the server likes."""
    document: dict[str, Any] = {
        "Version": version,
        "NodeKey": encode_key("nodekey", node_key),
        "OldNodeKey": encode_key("nodekey", old_node_key),
        "NLKey": encode_key("nlpub", ZERO),
        "Expiry": times.format(expiry_ms),
        "Followup": followup,
        "Hostinfo": hostinfo,
    }
    if auth_key:
        document["Auth"] = {"AuthKey": auth_key}
    if ephemeral:
        document["Ephemeral"] = True
    if tailnet:
        document["Tailnet"] = tailnet
    return document


def routing_headers(node_key: bytes, old_node_key: bytes = ZERO) -> "list[tuple[str, str]]":
    """The Ts-Lb headers of a request: the old node key, if there is one, then the node key."""
    keys = [key for key in (old_node_key, node_key) if key != ZERO]
    return [("Ts-Lb", encode_key("nodekey", key)) for key in keys]


class RegisterResponse:
    """error, auth_url, node_key_signature, login_name, display_name: str; node_key_expired, machine_authorized: bool; user_id: int."""

    def __init__(self, document: "dict[str, Any]") -> None:
        self.error = fields.text(document, "Error")
        self.auth_url = fields.text(document, "AuthURL", 4096)
        self.node_key_signature = fields.text(document, "NodeKeySignature", 65536)
        self.node_key_expired = fields.flag(document, "NodeKeyExpired")
        self.machine_authorized = fields.flag(document, "MachineAuthorized")
        user, login = fields.mapping(document, "User") or {}, fields.mapping(document, "Login") or {}
        self.user_id = fields.integer(user, "ID", 0, -fields.MAX_INTEGER)
        self.login_name = fields.text(login, "LoginName")
        self.display_name = fields.text(user, "DisplayName") or fields.text(login, "DisplayName")

    @property
    def registered(self) -> bool:
        """Whether the node is in, with nothing left to do."""
        return not (self.error or self.auth_url or self.node_key_expired or self.node_key_signature)


def parse_response(document: "dict[str, Any]") -> RegisterResponse:
    """The answer, checked. PeerError: a field of the wrong type or too long."""
    return RegisterResponse(document)


def decode_response(body: bytes) -> RegisterResponse:
    """The answer from the body of the HTTP response. PeerError: more than 1 MiB, not a JSON object, or as parse_response()."""
    if len(body) > RESPONSE_LIMIT:
        raise PeerError(f"registration answer of {len(body)} bytes, at most {RESPONSE_LIMIT}")
    return RegisterResponse(fields.decode(body, "registration answer"))
