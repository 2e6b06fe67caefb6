"""The schema's history: numbered files, each applied once, in order, in a transaction of its own."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from phinops.errors import StoreError, StoreTooNew
from phinops.record.moments import to_micros
from phinops.record.queries import SQL

_FILE = re.compile(r"(\d{4})_\w+\.sql")
_VERSIONS = """
CREATE TABLE IF NOT EXISTS schema_version (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    applied_at INTEGER NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: `version` counts from 1 without a gap."""

    version: int
    name: str
    sql: str


def load_migrations() -> Sequence[Migration]:
    """The package's migrations in order."""
    entries = sorted((SQL / "migrations").iterdir(), key=lambda entry: entry.name)
    matched = [(entry, match) for entry in entries if (match := _FILE.fullmatch(entry.name))]
    return tuple(Migration(int(match[1]), entry.name, entry.read_text("utf-8")) for entry, match in matched)


def check_version(connection: sqlite3.Connection, path: str, migrations: Sequence[Migration]) -> int:
    """The schema that the store has, 0 when it is empty.

    Raises:
        StoreTooNew: a newer phinops has been here.
        StoreError: the file is a database of something else.
    """
    have = _version(connection, path)
    newest = migrations[-1].version
    if have > newest:
        raise StoreTooNew(
            f"{path} has schema {have}, written by a newer phinops; this one knows schemas up to {newest}. "
            "Install the newer version again, or restore a copy from before the upgrade with `phinops restore FILE`"
        )
    return have


def migrate(
    connection: sqlite3.Connection,
    path: str,
    now: datetime,
    migrations: Sequence[Migration],
    keep: Callable[[int], object] = lambda _: None,
) -> int:
    """Bring the store to the newest of `migrations`; how many were applied.

    `keep` is called before anything is changed in a store that holds something, with the schema that it has; when it
    raises, nothing is.

    Raises:
        StoreTooNew: a newer phinops has been here.
        StoreError: the file is a database of something else.
        sqlite3.Error: a migration failed; those before it stay applied, of it nothing is.
    """
    have = check_version(connection, path, migrations)
    missing = [migration for migration in migrations if migration.version > have]
    if have and missing:
        keep(have)
    for migration in missing:
        _apply(connection, migration, now)
    return len(missing)


def statements(script: str) -> Iterator[str]:
    """The statements of a script one by one; a trigger with its body is one statement.

    Raises:
        ValueError: the last statement has no end.
    """
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
    if any(line.strip() and not line.lstrip().startswith("--") for line in statement.splitlines()):
        raise ValueError(f"a statement without its semicolon: «{statement.strip()[:60]}»")


def _version(connection: sqlite3.Connection, path: str) -> int:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "schema_version" in tables:
        (version,) = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()
        return int(version)
    if tables:
        raise StoreError(f"{path} is a database of another program; name another file in [store].url")
    return 0


def _apply(connection: sqlite3.Connection, migration: Migration, now: datetime) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_VERSIONS)
        for statement in statements(migration.sql):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO schema_version (version, name, applied_at) VALUES (?, ?, ?)",
            (migration.version, migration.name, to_micros(now)),
        )
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
