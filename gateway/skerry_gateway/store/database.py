"""The database: SQLite in WAL mode with foreign keys and full synchronisation, or any PostgreSQL SQLAlchemy can open.

`write()` is one transaction that excludes other writers from its first statement on (SQLite: BEGIN IMMEDIATE), so what it
reads is still true when it commits. Commits are synchronous: what was answered survives a power cut.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from skerry_core.errors import LocalError

from . import migrate


class Store:
    """The gateway's durable state. Use from any thread; each transaction has its own connection (in memory: one at a time)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _configure)
            event.listen(engine, "begin", _begin)

    @classmethod
    def open(cls, url: str) -> "Store":
        """Open and migrate. `url` is SQLAlchemy's ("sqlite:////path", "postgresql+psycopg://..."). LocalError if that cannot be."""
        try:
            if url.startswith("sqlite:///"):
                os.close(os.open(url.removeprefix("sqlite:///"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            return cls(create_engine(url))._migrated()
        except OSError as error:
            raise LocalError(f"cannot open the database {error.filename}: {error.strerror}") from None
        except (DBAPIError, NoSuchModuleError) as error:
            reason = getattr(error, "orig", None) or error
            raise LocalError(f"cannot use the database {_shown(url)}: {reason}. Restore it from a backup, or name another state") from None

    @classmethod
    def memory(cls) -> "Store":
        """A store that is gone when it is closed, for tests and the simulator."""
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        return cls(engine)._migrated()

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._engine.connect() as connection:
            yield connection
            connection.rollback()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits when the block ends and rolls back when it raises."""
        with self._engine.connect().execution_options(skerry_write=True) as connection, connection.begin():
            yield connection

    def _migrated(self) -> "Store":
        more = True
        while more:
            with self.write() as connection:
                more = migrate.step(connection)
        return self


def _configure(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin on its own; _begin does
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL", "busy_timeout=5000"):
        connection.execute("PRAGMA " + pragma)


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("skerry_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _shown(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return scheme + "://[redacted]@" + rest.rpartition("@")[2] if "@" in rest else url
