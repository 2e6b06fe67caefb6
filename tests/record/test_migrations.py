from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from phinops.errors import StoreError, StoreTooNew
from phinops.record.migrations import Migration, load_migrations, migrate, statements
from phinops.record.sqlite import Store
from records import alter

NOW = datetime(2026, 1, 5, tzinfo=UTC)
FIRST = Migration(1, "0001_a.sql", "CREATE TABLE a (x);")
SECOND = Migration(2, "0002_b.sql", "CREATE TABLE b (x);\nINSERT INTO b VALUES (1);")


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


def test_migrations_are_numbered_from_one_without_a_gap() -> None:
    versions = [migration.version for migration in load_migrations()]
    assert versions == list(range(1, len(versions) + 1))


def test_each_migration_is_applied_once(connection: sqlite3.Connection) -> None:
    applied = [migrate(connection, "x", NOW, some) for some in ([FIRST], [FIRST, SECOND], [FIRST, SECOND])]
    assert applied == [1, 1, 0]
    assert connection.execute("SELECT version, name FROM schema_version").fetchall() == [
        (1, "0001_a.sql"),
        (2, "0002_b.sql"),
    ]


def test_a_migration_that_fails_leaves_those_before_it_and_nothing_of_its_own(connection: sqlite3.Connection) -> None:
    broken = Migration(2, "0002_b.sql", "CREATE TABLE b (x);\nINSERT INTO nowhere VALUES (1);")
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, "x", NOW, [FIRST, broken])
    assert migrate(connection, "x", NOW, [FIRST, SECOND]) == 1


async def test_a_newer_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    async with Store.open(path):
        pass
    alter(path, "INSERT INTO schema_version VALUES (9000, 'later', 0)")
    with pytest.raises(StoreTooNew, match="schema 9000, written by a newer phinops"):
        async with Store.open(path):
            pass
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT epoch FROM lease").fetchall() == [(1,)]
    connection.close()


async def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    alter(path, "CREATE TABLE account (id)")
    with pytest.raises(StoreError, match=r"other\.db is a database of another program"):
        async with Store.open(path):
            pass
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("account",)]
    connection.close()


def test_a_script_falls_into_its_statements() -> None:
    trigger = "CREATE TRIGGER t BEFORE UPDATE ON a\nBEGIN\n    SELECT 1;\nEND;"
    assert list(statements(f"-- About a.\nCREATE TABLE a (x);\n\n{trigger}\n-- The end.\n")) == [
        "-- About a.\nCREATE TABLE a (x);",
        trigger,
    ]


def test_a_statement_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="without its semicolon"):
        list(statements("CREATE TABLE a (x);\nCREATE TABLE b (x)\n"))
