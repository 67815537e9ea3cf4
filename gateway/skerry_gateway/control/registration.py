"""POST /machine/register: how a machine becomes a node, stays one, and stops being one.

What the request is, tested in this order (the machine is the Noise key; the body's keys are claims about itself):

    Expiry in the past                      logout: the key ends now, an ephemeral node is removed
    Followup                                wait until the person at that sign-in page is done
    the machine's node with the same key    a restart: welcome, whatever else the request holds (a used pre-auth key too)
    Auth.AuthKey                            checked and burnt in the transaction that creates or renews the node
    the same key, expired                   NodeKeyExpired: the client makes a new key and asks again
    anything else                           a sign-in page of its own, AuthURL

What went wrong is said in a 200 answer's Error, which official clients show as it is. A sign-in that waits lives in memory.
"""

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from skerry_gateway.policy import may_tag
from skerry_gateway.store import Node, PreAuthKey, User, queries

from . import hostinfo, wire
from .hostinfo import ZERO_KEY
from .members import Members
from .refused import AdminError
from .session import Session

SIGN_IN_MS = 3600_000  # how long a sign-in page stays
MAX_SIGN_INS = 1000
MAX_SIGN_INS_EACH = 20  # from one remote host
MIN_VERSION = 113
MAX_NODES = 20_000  # of a network: a reusable key in the wrong hands must not fill the address range


@dataclass
class Claim:
    """What a register request says of its node."""

    machine_key: bytes
    node_key: bytes
    version: int
    info: dict[str, Any]
    ephemeral: bool
    tags: tuple[str, ...]

    @property
    def hostname(self) -> str:
        return hostinfo.text(self.info.get("Hostname"), 255)


@dataclass
class SignIn:
    """A machine that waits for a person."""

    token: str
    claim: Claim
    expires_ms: int
    remote: str
    waiters: list[tuple[Session, int]] = field(default_factory=list)
    declined: bool = False

    @property
    def code(self) -> str:
        """What both sides show, so that people see they mean the same machine."""
        text = base64.b32encode(hashlib.sha256(b"code" + self.token.encode()).digest()).decode()
        return f"{text[:4]}-{text[4:8]}"


def parse_claim(session: Session, body: dict[str, Any]) -> Claim:
    """AdminError when the body lacks what is needed."""
    node_key = hostinfo.key(body.get("NodeKey"), "nodekey")
    version = hostinfo.integer(body.get("Version"), 1, 65535) or session.version
    info = body.get("Hostinfo")
    info = info if isinstance(info, dict) else {}
    if node_key == ZERO_KEY:
        raise AdminError("the request has no node key")
    if version < MIN_VERSION:
        raise AdminError(f"this client speaks version {version} of the protocol, this gateway needs {MIN_VERSION} or newer: update it")
    asked = hostinfo.tags(info.get("RequestTags"))
    return Claim(session.machine_key, node_key, version, hostinfo.kept(info), body.get("Ephemeral") is True, asked)


def expiry(body: dict[str, Any], wall_ms: int) -> bool:
    """True: the request is a logout. AdminError for a time still to come, or no time."""
    text = body.get("Expiry")
    if not isinstance(text, str) or not text or text.startswith("0001-01-01T00:00:00"):
        return False
    try:
        moment = datetime.fromisoformat(text)
        stamp = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        ms = stamp.timestamp() * 1000
    except (ValueError, OverflowError):
        raise AdminError(f"{hostinfo.text(text, 40)} is not a time") from None
    if ms > wall_ms:
        raise AdminError("the end of a node key is set by the gateway: only a time in the past (logout) can be asked for")
    return True


class SignIns:
    """The sign-in pages that are open."""

    def __init__(self) -> None:
        self._by_token: dict[str, SignIn] = {}

    def get(self, token: str, wall_ms: int) -> SignIn | None:
        found = self._by_token.get(token)
        return found if found is not None and found.expires_ms > wall_ms else None

    def by_code(self, code: str, wall_ms: int) -> SignIn | None:
        wanted = code.upper()
        return next((item for item in self.open(wall_ms) if wanted == item.code), None)

    def open(self, wall_ms: int) -> list[SignIn]:
        return [item for item in self._by_token.values() if item.expires_ms > wall_ms and not item.declined]

    def of(self, claim: Claim, wall_ms: int) -> SignIn | None:
        """The page this very claim has already: a retry gets the same."""
        for item in self.open(wall_ms):
            if item.claim.machine_key == claim.machine_key and item.claim.node_key == claim.node_key:
                return item
        return None

    def add(self, item: SignIn) -> list[SignIn]:
        """Returns those that had to go: the machine's own older ones, and the oldest where there are too many."""
        known = list(self._by_token.values())
        gone = [other for other in known if other.claim.machine_key == item.claim.machine_key]
        same = [other for other in known if other.remote == item.remote and other not in gone]
        gone += same[: max(0, len(same) + 1 - MAX_SIGN_INS_EACH)]
        gone += [other for other in known if other not in gone][: max(0, len(known) - len(gone) + 1 - MAX_SIGN_INS)]
        for other in gone:
            del self._by_token[other.token]
        self._by_token[item.token] = item
        return gone

    def remove(self, token: str) -> SignIn | None:
        return self._by_token.pop(token, None)

    def leave(self, session: Session, stream: int | None = None) -> None:
        """A connection (or one request of it) no longer waits."""
        for item in self._by_token.values():
            item.waiters = [w for w in item.waiters if w[0] is not session or (stream is not None and w[1] != stream)]

    def waits(self, session: Session) -> bool:
        return any(waiter[0] is session for item in self._by_token.values() for waiter in item.waiters)

    def expired(self, wall_ms: int) -> list[SignIn]:
        """Take out the pages that are too old."""
        old = [item for item in self._by_token.values() if item.expires_ms <= wall_ms]
        for item in old:
            del self._by_token[item.token]
        return old


@dataclass
class Admission:
    """On whose authority a node comes in."""

    user_id: int | None
    tags: tuple[str, ...]
    approved: bool
    expires_ms: int | None
    ephemeral: bool = False
    key_id: int | None = None


def by_person(members: Members, user: User, claim: Claim, wall_ms: int) -> Admission:
    """A person signed in on the machine. AdminError when the requested tags are not theirs to give."""
    _check_tags(members, user, claim.tags)
    approved = not members.network.approval or user.role in ("owner", "admin")
    life = members.network.key_expiry_ms
    expires = None if claim.tags or life is None else wall_ms + life
    return Admission(None if claim.tags else user.id, claim.tags, approved, expires, claim.ephemeral)


def by_key(members: Members, key: PreAuthKey, claim: Claim, wall_ms: int) -> Admission:
    """A pre-auth key. AdminError when the machine asks for tags beyond it. A member's own key does not replace an approval."""
    user = members.users[key.user_id]
    if key.tags and not set(claim.tags) <= set(key.tags):
        beyond = ", ".join(sorted(set(claim.tags) - set(key.tags)))
        raise AdminError(f"the pre-auth key does not carry {beyond}, only {', '.join(key.tags)}")
    if not key.tags:
        _check_tags(members, user, claim.tags)
    tags = key.tags or claim.tags
    life = members.network.key_expiry_ms
    expires = None if tags or life is None else wall_ms + life
    approved = key.approves or not members.network.approval
    return Admission(None if tags else user.id, tags, approved, expires, key.ephemeral or claim.ephemeral, key.id)


def _check_tags(members: Members, user: User, tags: tuple[str, ...]) -> None:
    wrong = [tag for tag in tags if not may_tag(members.policy, user, tag, members.network.suffix)]
    if wrong:
        raise AdminError(f"requested tags {', '.join(wrong)} are invalid or not permitted: {user.name} does not own them")


def burn(c: Connection, network_id: int, text: str, wall_ms: int) -> PreAuthKey:
    """Find the key and count this use, in the caller's write transaction. AdminError says why it cannot be used."""
    advice = "make a new one with: skerry-gateway keys create --user NAME"
    key = queries.key(c, network_id, queries.digest(text))
    if key is None:
        raise AdminError(f"this pre-auth key is not known here: check it, or {advice}")
    if queries.burn_key(c, network_id, key.id, wall_ms):
        return key
    if key.revoked_ms is not None:
        raise AdminError(f"this pre-auth key was revoked: {advice}")
    if key.expires_ms is not None and key.expires_ms <= wall_ms:
        raise AdminError(f"this pre-auth key expired at {wire.rfc3339(key.expires_ms)}: {advice}")
    raise AdminError(f"this pre-auth key was for one use and has been used: {advice}")


def admit(c: Connection, network_id: int, claim: Claim, admission: Admission, stable_id: str, wall_ms: int) -> Node:
    """Create the machine's node or renew it (same id, same addresses), in the caller's write transaction."""
    node = queries.node_of_machine(c, network_id, claim.machine_key)
    if queries.node_key_taken(c, claim.node_key, node.id if node else 0):
        raise AdminError("this node key belongs to another machine: remove the node's state and start it again")
    values: dict[str, Any] = {
        "node_key": claim.node_key,
        "hostname": claim.hostname,
        "os": hostinfo.text(claim.info.get("OS"), 32),
        "version": claim.version,
        "user_id": admission.user_id,
        "tags": admission.tags,
        "routes_advertised": hostinfo.routes(claim.info.get("RoutableIPs")),
        "ephemeral": admission.ephemeral,
        "key_id": admission.key_id,
        "expires_ms": admission.expires_ms,
    }
    if node is None:
        if queries.count_nodes(c, network_id) >= MAX_NODES:
            raise AdminError(f"this network has {MAX_NODES} nodes already: remove those that are no longer used")
        values.update({"network_id": network_id, "stable_id": stable_id, "machine_key": claim.machine_key, "created_ms": wall_ms})
        values.update({"name": new_name(c, network_id, claim.hostname), "renamed": False, "last_seen_ms": None})
        return queries.create_node(c, approved=admission.approved, routes_approved=(), **values)
    same_owner = node.user_id == admission.user_id and node.tags == admission.tags
    approved = admission.approved or (node.approved and same_owner)
    routes = node.routes_approved if same_owner else ()
    renewed = queries.update_node(c, network_id, node.id, approved=approved, routes_approved=routes, **values)
    assert renewed is not None  # it was there a moment ago, in this transaction
    return renewed


def new_name(c: Connection, network_id: int, hostname: str, keep: str = "") -> str:
    """A name for a node that calls itself `hostname`; `keep` stays if it was made of the same."""
    wanted = hostinfo.label(hostname)
    if keep and hostinfo.derived(keep, wanted):
        return keep
    return hostinfo.unique(wanted, queries.names(c, network_id))


def introduce(c: Connection, node: Node, info: dict[str, Any], version: int) -> Node:
    """Store what changed in a node's account of itself; the node as it is then. No statement runs when nothing did."""
    said = {
        "hostname": hostinfo.text(info.get("Hostname"), 255),
        "os": hostinfo.text(info.get("OS"), 32),
        "version": version,
        "routes_advertised": hostinfo.routes(info.get("RoutableIPs")),
    }
    if said["hostname"] != node.hostname and not node.renamed:
        said["name"] = new_name(c, node.network_id, str(said["hostname"]), node.name)
    return queries.update_node(c, node.network_id, node.id, **said) or node


def introduces(node: Node, info: dict[str, Any], version: int) -> bool:
    """Whether introduce() has something to store."""
    routes = hostinfo.routes(info.get("RoutableIPs"))
    names = hostinfo.text(info.get("Hostname"), 255), hostinfo.text(info.get("OS"), 32)
    return (node.hostname, node.os, node.version, node.routes_advertised) != (*names, version, routes)
