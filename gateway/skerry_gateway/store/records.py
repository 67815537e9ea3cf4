"""What the store's rows are to the rest of the gateway: immutable records.

Times are milliseconds of the wall clock since 1970. Keys are 32 raw bytes, addresses and prefixes text. Nothing here
is a secret: of pre-auth keys, links and sessions the store knows hashes only, and the records do not carry them.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Network:
    """What Tailscale calls a tailnet: users, nodes and one policy. Every other row names its network."""

    id: int
    name: str
    suffix: str  # MagicDNS: a node's name is <name>.<suffix>
    url: str  # where the gateway was last served; links printed without a server use it
    approval: bool  # nodes that sign in wait for an administrator
    key_expiry_ms: int | None  # how long a person's node may stay without signing in again; None: for ever
    created_ms: int
    dns: dict[str, Any]  # settings of names; what they are is control/dns.py


@dataclass(frozen=True, slots=True)
class User:
    id: int
    network_id: int
    name: str
    display_name: str
    role: str  # "owner" | "admin" | "member"
    created_ms: int
    signed_in_ms: int | None

    @property
    def email(self) -> str:
        """The address that the name is; "" when it is a plain name."""
        return self.name if "@" in self.name else ""


@dataclass(frozen=True, slots=True)
class PreAuthKey:
    id: int
    network_id: int
    user_id: int
    tags: tuple[str, ...]
    reusable: bool
    ephemeral: bool
    approves: bool  # nodes that join with it need no approval: an administrator made it
    created_ms: int
    expires_ms: int | None
    used_ms: int | None
    uses: int
    revoked_ms: int | None


@dataclass(frozen=True, slots=True)
class Node:
    id: int
    network_id: int
    stable_id: str
    machine_key: bytes
    node_key: bytes
    name: str  # a DNS label, unique in the network
    hostname: str  # as the node calls itself, sanitized
    os: str
    version: int  # the node's capability version
    user_id: int | None  # None: the node belongs to its tags
    tags: tuple[str, ...]
    ipv4: str
    ipv6: str
    routes_advertised: tuple[str, ...]
    routes_approved: tuple[str, ...]
    approved: bool
    ephemeral: bool
    renamed: bool  # an administrator chose the name; the node's own wish no longer counts
    key_id: int | None  # the pre-auth key it came with
    created_ms: int
    expires_ms: int | None
    last_seen_ms: int | None

    def expired(self, wall_ms: int) -> bool:
        return self.expires_ms is not None and self.expires_ms <= wall_ms


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    id: int
    network_id: int
    version: int
    text: str
    author: str
    created_ms: int
    reason: str
