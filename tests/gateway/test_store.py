"""The database and the state directory: migrations, what they refuse, files nobody else reads, addresses."""

import fcntl
import json
import os
import sqlite3
import stat
import threading
from ipaddress import IPv6Address, ip_address, ip_network

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from skerry_core.errors import LocalError
from skerry_gateway.store import StateDir, Store, addresses, migrate, queries, schema
from skerry_gateway.store.migrations import MIGRATIONS
from tests.gateway.control_bench import Gateway, join


def test_migrations_make_the_tables_that_queries_know():
    store = Store.memory()
    with store.read() as c:
        found = inspect(c)
        assert set(found.get_table_names()) == {*schema.metadata.tables, "schema_version"}
        for name, table in schema.metadata.tables.items():
            columns = {column["name"]: column for column in found.get_columns(name)}
            assert columns.keys() == set(table.columns.keys())
            for column in table.columns:
                assert columns[column.name]["nullable"] == column.nullable or column.primary_key, (name, column.name)
            foreign = {key["constrained_columns"][0] for key in found.get_foreign_keys(name)}
            assert foreign == {key.parent.name for key in table.foreign_keys}
        assert all("network_id" in table.columns for name, table in schema.metadata.tables.items() if name not in ("networks", "counters"))


def test_a_newer_schema_is_refused_and_left_alone(tmp_path):
    url = f"sqlite:///{tmp_path}/gateway.db"
    store = Store.open(url)
    with store.write() as c:
        c.execute(text("UPDATE schema_version SET version = 99"))
    store.close()
    with pytest.raises(LocalError, match=f"schema version 99, this skerry-gateway knows up to {migrate.LATEST}"):
        Store.open(url)
    with sqlite3.connect(tmp_path / "gateway.db") as plain:
        assert plain.execute("SELECT version FROM schema_version").fetchone() == (99,)


def test_a_failed_migration_leaves_the_version_before(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/gateway.db"
    Store.open(url).close()
    monkeypatch.setattr(migrate, "MIGRATIONS", [*MIGRATIONS, ["CREATE TABLE extra (x INTEGER)", "NONSENSE"]])
    monkeypatch.setattr(migrate, "LATEST", len(MIGRATIONS) + 1)
    with pytest.raises(LocalError, match="cannot use the database"):
        Store.open(url)
    monkeypatch.undo()
    with Store.open(url).read() as c:
        assert not inspect(c).has_table("extra") and migrate.version(c) == migrate.LATEST


def test_a_damaged_database_is_an_error_with_advice(tmp_path):
    (tmp_path / "gateway.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(LocalError, match="Restore it from a backup"):
        Store.open(f"sqlite:///{tmp_path}/gateway.db")
    with pytest.raises(LocalError, match="cannot open the database"):
        Store.open(f"sqlite:///{tmp_path}/missing/gateway.db")


def test_sqlite_is_durable_and_checks_references(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path}/gateway.db")
    with store.read() as c:
        assert c.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert c.exec_driver_sql("PRAGMA synchronous").scalar() == 2 and c.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    with pytest.raises(IntegrityError), store.write() as c:
        queries.create_user(c, network_id=77, name="x", display_name="x", role="member", created_ms=0, signed_in_ms=None)


def test_a_write_that_raises_changes_nothing():
    gateway = Gateway()
    with pytest.raises(RuntimeError), gateway.store.write() as c:
        queries.update_network(c, 1, url="http://other")
        raise RuntimeError
    with gateway.store.read() as c:
        assert queries.network(c).url == ""


def test_files_are_for_their_owner_only(tmp_path):
    old = os.umask(0)
    try:
        state = StateDir(tmp_path / "state").prepare()
        with state.lock():
            state.secret("control")
            store = Store.open(state.database)
            Gateway(store)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.path.iterdir()}
        store.close()
    finally:
        os.umask(old)
    assert {"gateway.db", "gateway.db-wal", "gateway.db-shm", "control.key", "lock"} == modes.keys()
    assert set(modes.values()) == {0o600} and stat.S_IMODE(state.path.stat().st_mode) == 0o700


def test_secrets_are_kept_and_never_replaced(tmp_path):
    state = StateDir(tmp_path).prepare()
    value = state.secret("control")
    assert len(value) == 32 and state.secret("control") == value != state.secret("relay")
    for content, words in (
        ("", "is damaged"),
        ("[]", "is damaged"),
        (json.dumps({"version": 2, "private": "00"}), "has version 2"),
        (json.dumps({"version": 1, "private": "00"}), "holds 1 bytes, need 32"),
    ):
        (tmp_path / "control.key").write_text(content)
        with pytest.raises(LocalError, match=words) as caught:
            state.secret("control")
        assert value.hex() not in str(caught.value) and (tmp_path / "control.key").read_text() == content


def test_what_is_remembered_may_be_missing_or_damaged(tmp_path):
    state = StateDir(tmp_path).prepare()
    assert state.recall() == {}
    state.remember({"1": {"home": 900}})
    assert state.recall() == {"1": {"home": 900}}
    for content in (b"", b"[]", b"\xff", b'{"version": 2, "nodes": {"1": 1}}'):
        (tmp_path / "recent.json").write_bytes(content)
        assert state.recall() == {}


def test_one_process_at_a_time(tmp_path):
    state = StateDir(tmp_path).prepare()
    with state.lock(), pytest.raises(LocalError, match="another skerry-gateway works on"), StateDir(tmp_path).lock(wait_s=0.05):
        pass
    descriptor = os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    timer = threading.Timer(0.1, os.close, [descriptor])  # a command that is done in a moment
    timer.start()
    with state.lock():
        timer.join()


def test_an_unusable_state_directory_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalError, match="--state DIR"):
        StateDir(tmp_path / "file").prepare()


# addresses


def test_addresses_avoid_what_others_use():
    reserved = [ip_network(text) for text in ("100.100.0.0/24", "100.100.100.0/24", "100.115.92.0/23")]
    found = 0
    for count in range(0, addresses.CAPACITY, 997):
        pair = addresses.pair(count)
        if pair:
            v4, v6 = ip_address(pair[0]), ip_address(pair[1])
            found += 1
            assert v4 in ip_network("100.64.0.0/10") and v6 in ip_network("fd7a:115c:a1e0::/48")
            assert not any(v4 in network for network in reserved) and v6 != IPv6Address("fd7a:115c:a1e0::53")
    assert found > addresses.CAPACITY // 997 * 0.98
    assert addresses.pair(0) is None and addresses.pair(1) == ("100.64.0.1", "fd7a:115c:a1e0::6440:1")
    first = int(ip_address("100.64.0.0"))
    for reserved in ("100.100.100.100", "100.115.92.1", "100.115.93.77", "100.64.1.0", "100.64.1.255"):
        assert addresses.pair(int(ip_address(reserved)) - first) is None


def test_addresses_are_unique_over_networks_and_skip_taken_ones():
    gateway = Gateway()
    join(gateway, 1)
    with gateway.store.write() as c:
        c.execute(text("UPDATE counters SET value = 0"))  # as after a restored backup
    join(gateway, 2)
    assert {node.ipv4 for node in gateway.coordinator.members.nodes.values()} == {"100.64.0.1", "100.64.0.2"}


def test_everything_done_is_in_the_audit_log_without_secrets():
    gateway = Gateway()
    join(gateway, 1)
    gateway.call("nodes rename", node="host1", name="cam")
    gateway.call("policy set", text="{}")
    gateway.call("nodes remove", node="cam")
    with gateway.store.read() as c:
        found = queries.audit(c, 1)
    assert [entry["verb"] for entry in found] == ["nodes remove", "policy set", "nodes rename", "node join", "keys create"]
    assert "skey-" not in json.dumps(found)


def test_a_directory_of_others_is_not_taken_over(tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "letters").write_text("")
    with pytest.raises(LocalError, match="holds other things"):
        StateDir(tmp_path).prepare()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    (tmp_path / "gateway.db").write_text("")
    assert StateDir(tmp_path).prepare().used and stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_policy_that_cannot_be_read_stops_the_start():
    store = Store.memory()
    network = Gateway(store).coordinator.members.network
    with store.write() as c:
        queries.create_policy(c, network.id, '{"later": []}', "owner", 1)
    with pytest.raises(LocalError, match="policy version 1 in the database cannot be used"):
        Gateway(store)


def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/gateway.db"
    monkeypatch.setattr(migrate, "MIGRATIONS", MIGRATIONS[:1])
    monkeypatch.setattr(migrate, "LATEST", 1)
    with Store.open(url).write() as c:
        c.execute(text("INSERT INTO networks VALUES (1, 'n', 's', '', 0, NULL, 1)"))
        c.execute(text("INSERT INTO users VALUES (1, 1, 'ana', 'Ana', 'member', 1, NULL)"))
        c.execute(text("INSERT INTO keys VALUES (1, 1, 1, 'h', '[]', 0, 0, 1, NULL, NULL, 0, NULL)"))
    monkeypatch.undo()
    with Store.open(url).read() as c:
        assert queries.keys(c, 1)[0].approves and migrate.version(c) == migrate.LATEST
