"""The tables as they are now, for queries; migrations/ creates them (a test compares the two).

Every row has its network's id. Addresses are unique over all networks. Endpoints, disco keys, online state and other
things of the moment are not here: they live in memory and never cost a transaction. Only portable types are used.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

networks = Table(
    "networks", metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("suffix", String(190), nullable=False),
    Column("url", Text, nullable=False),
    Column("approval", Boolean, nullable=False),
    Column("key_expiry_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("dns", JSON, nullable=False),
)  # fmt: skip


def _network() -> Column[int]:
    return Column("network_id", Integer, ForeignKey("networks.id"), nullable=False)


users = Table(
    "users", metadata,
    Column("id", Integer, primary_key=True),
    _network(),
    Column("name", String(63), nullable=False),
    Column("display_name", String(200), nullable=False),
    Column("role", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("signed_in_ms", BigInteger),
    UniqueConstraint("network_id", "name"),
)  # fmt: skip

sessions = Table(
    "sessions", metadata,
    Column("hash", String(64), primary_key=True),
    _network(),
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger, nullable=False),
)  # fmt: skip

links = Table(
    "links", metadata,
    Column("hash", String(64), primary_key=True),
    _network(),
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
)  # fmt: skip

keys = Table(
    "keys", metadata,
    Column("id", Integer, primary_key=True),
    _network(),
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("tags", JSON, nullable=False),
    Column("reusable", Boolean, nullable=False),
    Column("ephemeral", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("used_ms", BigInteger),
    Column("uses", Integer, nullable=False),
    Column("revoked_ms", BigInteger),
    Column("approves", Boolean, nullable=False),
)  # fmt: skip

nodes = Table(
    "nodes", metadata,
    Column("id", Integer, primary_key=True),
    _network(),
    Column("stable_id", String(32), nullable=False, unique=True),
    Column("machine_key", LargeBinary(32), nullable=False),
    Column("node_key", LargeBinary(32), nullable=False, unique=True),
    Column("name", String(63), nullable=False),
    Column("hostname", String(255), nullable=False),
    Column("os", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("user_id", Integer, ForeignKey("users.id")),
    Column("tags", JSON, nullable=False),
    Column("ipv4", String(15), nullable=False, unique=True),
    Column("ipv6", String(45), nullable=False, unique=True),
    Column("routes_advertised", JSON, nullable=False),
    Column("routes_approved", JSON, nullable=False),
    Column("approved", Boolean, nullable=False),
    Column("ephemeral", Boolean, nullable=False),
    Column("renamed", Boolean, nullable=False),
    Column("key_id", Integer),  # no reference: the node outlives the key's row
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("last_seen_ms", BigInteger),
    UniqueConstraint("network_id", "machine_key"),
    UniqueConstraint("network_id", "name"),
)  # fmt: skip

policies = Table(
    "policies", metadata,
    Column("id", Integer, primary_key=True),
    _network(),
    Column("version", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("author", String(200), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("reason", String(500), nullable=False),
    UniqueConstraint("network_id", "version"),
)  # fmt: skip

audit = Table(
    "audit", metadata,
    Column("id", Integer, primary_key=True),
    _network(),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("verb", String(64), nullable=False),
    Column("detail", JSON, nullable=False),
)  # fmt: skip

counters = Table("counters", metadata, Column("name", String(32), primary_key=True), Column("value", BigInteger, nullable=False))
