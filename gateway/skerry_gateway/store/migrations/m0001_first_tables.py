"""Migration 1: the first tables."""

STATEMENTS = [
    """CREATE TABLE networks (
        id {id}, name VARCHAR(63) NOT NULL UNIQUE, suffix VARCHAR(190) NOT NULL, url TEXT NOT NULL,
        approval BOOLEAN NOT NULL, key_expiry_ms BIGINT, created_ms BIGINT NOT NULL)""",
    """CREATE TABLE users (
        id {id}, network_id INTEGER NOT NULL REFERENCES networks (id), name VARCHAR(63) NOT NULL,
        display_name VARCHAR(200) NOT NULL, role VARCHAR(16) NOT NULL, created_ms BIGINT NOT NULL, signed_in_ms BIGINT,
        UNIQUE (network_id, name))""",
    """CREATE TABLE sessions (
        hash VARCHAR(64) NOT NULL PRIMARY KEY, network_id INTEGER NOT NULL REFERENCES networks (id),
        user_id INTEGER NOT NULL REFERENCES users (id), created_ms BIGINT NOT NULL, used_ms BIGINT NOT NULL)""",
    """CREATE TABLE links (
        hash VARCHAR(64) NOT NULL PRIMARY KEY, network_id INTEGER NOT NULL REFERENCES networks (id),
        user_id INTEGER NOT NULL REFERENCES users (id), created_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL, used_ms BIGINT)""",
    """CREATE TABLE keys (
        id {id}, network_id INTEGER NOT NULL REFERENCES networks (id), user_id INTEGER NOT NULL REFERENCES users (id),
        hash VARCHAR(64) NOT NULL UNIQUE, tags JSON NOT NULL, reusable BOOLEAN NOT NULL, ephemeral BOOLEAN NOT NULL,
        created_ms BIGINT NOT NULL, expires_ms BIGINT, used_ms BIGINT, uses INTEGER NOT NULL, revoked_ms BIGINT)""",
    """CREATE TABLE nodes (
        id {id}, network_id INTEGER NOT NULL REFERENCES networks (id), stable_id VARCHAR(32) NOT NULL UNIQUE,
        machine_key {bytes} NOT NULL, node_key {bytes} NOT NULL UNIQUE, name VARCHAR(63) NOT NULL,
        hostname VARCHAR(255) NOT NULL, os VARCHAR(64) NOT NULL, version INTEGER NOT NULL,
        user_id INTEGER REFERENCES users (id), tags JSON NOT NULL,
        ipv4 VARCHAR(15) NOT NULL UNIQUE, ipv6 VARCHAR(45) NOT NULL UNIQUE,
        routes_advertised JSON NOT NULL, routes_approved JSON NOT NULL, approved BOOLEAN NOT NULL,
        ephemeral BOOLEAN NOT NULL, renamed BOOLEAN NOT NULL, key_id INTEGER, created_ms BIGINT NOT NULL,
        expires_ms BIGINT, last_seen_ms BIGINT,
        UNIQUE (network_id, machine_key), UNIQUE (network_id, name))""",
    """CREATE TABLE policies (
        id {id}, network_id INTEGER NOT NULL REFERENCES networks (id), version INTEGER NOT NULL, text TEXT NOT NULL,
        author VARCHAR(200) NOT NULL, created_ms BIGINT NOT NULL, UNIQUE (network_id, version))""",
    """CREATE TABLE audit (
        id {id}, network_id INTEGER NOT NULL REFERENCES networks (id), at_ms BIGINT NOT NULL,
        actor VARCHAR(200) NOT NULL, verb VARCHAR(64) NOT NULL, detail JSON NOT NULL)""",
    "CREATE TABLE counters (name VARCHAR(32) NOT NULL PRIMARY KEY, value BIGINT NOT NULL)",
]
