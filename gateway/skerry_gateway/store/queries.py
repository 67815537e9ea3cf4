"""What the gateway asks of its tables, one function a question; several inside one `Store.write()` are one transaction.

Every function that touches a network's rows takes the network's id and never looks across (only addresses, node keys and the
hashes of secrets are unique over all networks).
"""

import hashlib
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, and_, delete, func, insert, or_, select, update

from skerry_core.errors import LocalError

from . import addresses, schema
from .records import Network, Node, PolicyVersion, PreAuthKey, User

_TUPLES = ("tags", "routes_advertised", "routes_approved")


def digest(secret: str) -> str:
    """What is stored of a token: its SHA-256 in hex. Tokens are 256 random bits, so no salt or stretching is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _fields(row: RowMapping) -> dict[str, Any]:
    return {name: tuple(value) if name in _TUPLES else value for name, value in row.items()}


def _all(c: Connection, table: Table, network_id: int) -> list[dict[str, Any]]:
    rows = c.execute(select(table).where(table.c.network_id == network_id).order_by(table.c.id)).mappings()
    return [_fields(row) for row in rows]


def _new(c: Connection, table: Table, values: dict[str, Any]) -> int:
    stored = {name: list(value) if name in _TUPLES else value for name, value in values.items()}
    key = c.execute(insert(table).values(**stored)).inserted_primary_key
    assert key is not None
    return int(key[0])


# networks

_n = schema.networks


def network(c: Connection) -> Network | None:
    """The gateway's (first) network."""
    row = c.execute(select(_n).order_by(_n.c.id).limit(1)).mappings().first()
    return Network(**row) if row else None


def create_network(c: Connection, **values: Any) -> int:
    return _new(c, _n, values)


def update_network(c: Connection, network_id: int, **values: Any) -> None:
    c.execute(update(_n).where(_n.c.id == network_id).values(**values))


# users

_u = schema.users


def users(c: Connection, network_id: int) -> list[User]:
    return [User(**row) for row in _all(c, _u, network_id)]


def user(c: Connection, network_id: int, user_id: int) -> User | None:
    row = c.execute(select(_u).where(and_(_u.c.network_id == network_id, _u.c.id == user_id))).mappings().first()
    return User(**row) if row else None


def create_user(c: Connection, **values: Any) -> int:
    return _new(c, _u, values)


def update_user(c: Connection, network_id: int, user_id: int, **values: Any) -> None:
    c.execute(update(_u).where(and_(_u.c.network_id == network_id, _u.c.id == user_id)).values(**values))


def delete_user(c: Connection, network_id: int, user_id: int) -> None:
    """The user with links, sessions and pre-auth keys. Nodes must be gone (the database refuses otherwise)."""
    for table in (schema.links, schema.sessions, schema.keys):
        c.execute(delete(table).where(and_(table.c.network_id == network_id, table.c.user_id == user_id)))
    c.execute(delete(_u).where(and_(_u.c.network_id == network_id, _u.c.id == user_id)))


# sign-in links and sessions

_l = schema.links
_s = schema.sessions


MAX_LINKS_EACH = 50


def create_link(c: Connection, **values: Any) -> None:
    """A user has at most MAX_LINKS_EACH links: the oldest go."""
    mine = and_(_l.c.network_id == values["network_id"], _l.c.user_id == values["user_id"])
    kept = select(_l.c.hash).where(mine).order_by(_l.c.created_ms.desc(), _l.c.hash).limit(MAX_LINKS_EACH - 1)
    c.execute(delete(_l).where(and_(mine, _l.c.hash.not_in(kept.scalar_subquery()))))
    c.execute(insert(_l).values(**values))


def link(c: Connection, hashed: str) -> RowMapping | None:
    return c.execute(select(_l).where(_l.c.hash == hashed)).mappings().first()


def burn_link(c: Connection, hashed: str, wall_ms: int) -> bool:
    """True for exactly one caller: the link existed, was fresh and unused."""
    done = c.execute(update(_l).where(and_(_l.c.hash == hashed, _l.c.used_ms.is_(None), _l.c.expires_ms > wall_ms)).values(used_ms=wall_ms))
    return done.rowcount == 1


def drop_links(c: Connection, network_id: int, user_id: int) -> None:
    """The user's links that nobody used."""
    c.execute(delete(_l).where(and_(_l.c.network_id == network_id, _l.c.user_id == user_id, _l.c.used_ms.is_(None))))


def create_session(c: Connection, **values: Any) -> None:
    c.execute(insert(_s).values(**values))


def session(c: Connection, hashed: str) -> RowMapping | None:
    return c.execute(select(_s).where(_s.c.hash == hashed)).mappings().first()


def touch_session(c: Connection, hashed: str, wall_ms: int) -> None:
    c.execute(update(_s).where(_s.c.hash == hashed).values(used_ms=wall_ms))


def drop_session(c: Connection, hashed: str) -> None:
    c.execute(delete(_s).where(_s.c.hash == hashed))


def drop_sessions(c: Connection, network_id: int, user_id: int) -> None:
    c.execute(delete(_s).where(and_(_s.c.network_id == network_id, _s.c.user_id == user_id)))


def sweep(c: Connection, created_before: int, used_before: int) -> None:
    """Forget sessions and links that can no longer be used."""
    c.execute(delete(_s).where(or_(_s.c.created_ms < created_before, _s.c.used_ms < used_before)))
    c.execute(delete(_l).where(_l.c.expires_ms < created_before))


# pre-auth keys

_k = schema.keys


def _key(row: RowMapping | dict[str, Any]) -> PreAuthKey:
    values: dict[str, Any] = {name: tuple(v) if name in _TUPLES else v for name, v in row.items() if name != "hash"}
    return PreAuthKey(**values)


def create_key(c: Connection, **values: Any) -> int:
    return _new(c, _k, values)


def keys(c: Connection, network_id: int) -> list[PreAuthKey]:
    return [_key(row) for row in _all(c, _k, network_id)]


def key(c: Connection, network_id: int, hashed: str) -> PreAuthKey | None:
    row = c.execute(select(_k).where(and_(_k.c.network_id == network_id, _k.c.hash == hashed))).mappings().first()
    return _key(row) if row else None


def burn_key(c: Connection, network_id: int, key_id: int, wall_ms: int) -> bool:
    """Count one use; False when the key is revoked, expired, or single-use and used. Call in the node's own write transaction."""
    usable = and_(
        _k.c.network_id == network_id,
        _k.c.id == key_id,
        _k.c.revoked_ms.is_(None),
        or_(_k.c.expires_ms.is_(None), _k.c.expires_ms > wall_ms),
        or_(_k.c.reusable, _k.c.uses == 0),
    )
    return c.execute(update(_k).where(usable).values(used_ms=wall_ms, uses=_k.c.uses + 1)).rowcount == 1


def count_keys(c: Connection, network_id: int, user_id: int) -> int:
    mine = and_(_k.c.network_id == network_id, _k.c.user_id == user_id)
    return int(c.execute(select(func.count()).select_from(_k).where(mine)).scalar_one())


def drop_spent_keys(c: Connection, network_id: int, before: int) -> None:
    """Forget keys that could no longer be used before that time."""
    used_up = and_(_k.c.reusable.is_(False), _k.c.used_ms < before)
    c.execute(delete(_k).where(and_(_k.c.network_id == network_id, or_(_k.c.revoked_ms < before, _k.c.expires_ms < before, used_up))))


def revoke_key(c: Connection, network_id: int, key_id: int, wall_ms: int) -> bool:
    mine = and_(_k.c.network_id == network_id, _k.c.id == key_id, _k.c.revoked_ms.is_(None))
    return c.execute(update(_k).where(mine).values(revoked_ms=wall_ms)).rowcount == 1


# nodes

_d = schema.nodes


def nodes(c: Connection, network_id: int) -> list[Node]:
    return [Node(**row) for row in _all(c, _d, network_id)]


def node_of_machine(c: Connection, network_id: int, machine_key: bytes) -> Node | None:
    row = c.execute(select(_d).where(and_(_d.c.network_id == network_id, _d.c.machine_key == machine_key))).mappings().first()
    return Node(**_fields(row)) if row else None


def node_key_taken(c: Connection, node_key: bytes, except_node: int) -> bool:
    """Whether another node of any network has this key."""
    return c.execute(select(_d.c.id).where(and_(_d.c.node_key == node_key, _d.c.id != except_node))).first() is not None


def count_nodes(c: Connection, network_id: int) -> int:
    return int(c.execute(select(func.count()).select_from(_d).where(_d.c.network_id == network_id)).scalar_one())


def names(c: Connection, network_id: int) -> set[str]:
    return set(c.execute(select(_d.c.name).where(_d.c.network_id == network_id)).scalars())


def create_node(c: Connection, **values: Any) -> Node:
    """A node with the next free addresses."""
    ipv4, ipv6 = _addresses(c)
    node_id = _new(c, _d, dict(values, ipv4=ipv4, ipv6=ipv6))
    return _node(c, node_id)


def update_node(c: Connection, network_id: int, node_id: int, **values: Any) -> Node | None:
    stored = {name: list(value) if name in _TUPLES else value for name, value in values.items()}
    done = c.execute(update(_d).where(and_(_d.c.network_id == network_id, _d.c.id == node_id)).values(**stored))
    return _node(c, node_id) if done.rowcount == 1 else None


def delete_node(c: Connection, network_id: int, node_id: int) -> bool:
    return c.execute(delete(_d).where(and_(_d.c.network_id == network_id, _d.c.id == node_id))).rowcount == 1


def _node(c: Connection, node_id: int) -> Node:
    return Node(**_fields(c.execute(select(_d).where(_d.c.id == node_id)).mappings().one()))


def _addresses(c: Connection) -> tuple[str, str]:
    for _ in range(1 << 16):
        found = addresses.pair(count(c, "address"))
        if found and c.execute(select(_d.c.id).where(or_(_d.c.ipv4 == found[0], _d.c.ipv6 == found[1]))).first() is None:
            return found
    raise LocalError(f"no free address among {addresses.CAPACITY}: remove nodes that are no longer used")


def count(c: Connection, name: str) -> int:
    """The next number of a counter that never goes back: 1, 2, ..."""
    t = schema.counters
    if c.execute(update(t).where(t.c.name == name).values(value=t.c.value + 1)).rowcount == 0:
        c.execute(insert(t).values(name=name, value=1))
    return int(c.execute(select(t.c.value).where(t.c.name == name)).scalar_one())


# policies, audit

_p = schema.policies


def policy(c: Connection, network_id: int, version: int | None = None) -> PolicyVersion | None:
    """The policy of that version, or the newest; None: none was ever set."""
    query = select(_p).where(_p.c.network_id == network_id).order_by(_p.c.version.desc()).limit(1)
    row = c.execute(query if version is None else query.where(_p.c.version == version)).mappings().first()
    return PolicyVersion(**row) if row else None


def policy_history(c: Connection, network_id: int) -> list[PolicyVersion]:
    return [PolicyVersion(**row) for row in _all(c, _p, network_id)]


def create_policy(c: Connection, network_id: int, text: str, author: str, wall_ms: int, reason: str = "") -> int:
    """Store the next version; its number."""
    last = c.execute(select(func.max(_p.c.version)).where(_p.c.network_id == network_id)).scalar()
    version = int(last or 0) + 1
    values = {"text": text, "author": author, "created_ms": wall_ms, "reason": reason}
    _new(c, _p, {"network_id": network_id, "version": version, **values})
    return version


MAX_AUDIT = 100_000


def record(c: Connection, network_id: int, wall_ms: int, actor: str, verb: str, detail: dict[str, Any]) -> None:
    """One line of the audit log, in the transaction of what it records. `detail` holds no secrets. The oldest lines go."""
    t = schema.audit
    number = _new(c, t, {"network_id": network_id, "at_ms": wall_ms, "actor": actor[:200], "verb": verb, "detail": detail})
    c.execute(delete(t).where(t.c.id <= number - MAX_AUDIT))


def audit(c: Connection, network_id: int, limit: int = 100) -> list[dict[str, Any]]:
    """The newest records first."""
    t = schema.audit
    rows = c.execute(select(t).where(t.c.network_id == network_id).order_by(t.c.id.desc()).limit(limit)).mappings()
    return [dict(row) for row in rows]
