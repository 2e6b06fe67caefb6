from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from happenings import FAILED
from phinops.clock import LoopClock
from phinops.errors import StoreError, StoreTooNew
from phinops.record import copies, journal
from phinops.record.copies import KEPT_ASIDE, examine, keep_aside
from phinops.record.migrations import load_migrations
from phinops.record.sqlite import COPY, Store
from records import alter, busy_writer, got, modes_in, put

NOW = datetime(2026, 1, 5, tzinfo=UTC)
NEWEST = load_migrations()[-1].version


async def made(path: Path) -> None:
    """A store in which something happened."""
    async with Store.open(path, LoopClock(NOW)) as store:
        await store.write(lambda tx: journal.put_event(tx, replace(FAILED, id="ev_1")))


def damage(path: Path) -> None:
    """Zeros in the place of pages in the middle of the file."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 3 // 4096 * 4096)
        file.write(bytes(size // 3 // 4096 * 4096))


async def test_a_store_in_use_is_copied_as_it_is_acknowledged_and_nobody_waits_for_it(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "p.db") as store:
        await put(store, "before", "x")
        async with busy_writer(store):
            copy = Path(await store.copy())
        await put(store, "after", "x")
    assert copy.name.startswith("p.db" + COPY)
    assert modes_in(tmp_path)[copy.name] == 0o600
    assert examine(str(copy)).version == NEWEST
    async with Store.open(copy) as copied:
        assert await got(copied, "before") == "x"
        assert await got(copied, "after") is None


async def test_a_copy_that_nobody_fetched_is_gone_at_the_next_start(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "p.db") as store:
        copy = Path(await store.copy())
    assert copy.name in modes_in(tmp_path)
    async with Store.open(tmp_path / "p.db"):
        assert copy.name not in modes_in(tmp_path)


async def test_an_examined_file_says_what_it_holds(tmp_path: Path) -> None:
    await made(tmp_path / "p.db")
    found = examine(str(tmp_path / "p.db"))
    assert found.version == NEWEST
    assert found.newest is not None
    assert found.newest >= NOW
    assert found.size == (tmp_path / "p.db").stat().st_size


async def test_what_is_no_sound_store_is_refused_by_name(tmp_path: Path) -> None:
    await made(tmp_path / "damaged.db")
    damage(tmp_path / "damaged.db")
    await made(tmp_path / "newer.db")
    alter(tmp_path / "newer.db", "INSERT INTO schema_version VALUES (9000, 'later', 0)")
    alter(tmp_path / "other.db", "CREATE TABLE account (id)")
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text("no database at all " * 300)
    for name, complaint in (
        ("damaged", "is damaged"),
        ("other", "another program"),
        ("empty", "is not a store"),
        ("text", "is damaged or not a store"),
        ("missing", "there is no file"),
    ):
        with pytest.raises(StoreError, match=rf"{name}\.db.*{complaint}|{complaint}.*{name}\.db"):
            examine(str(tmp_path / f"{name}.db"))
    with pytest.raises(StoreTooNew, match="schema 9000"):
        examine(str(tmp_path / "newer.db"))


async def test_a_damaged_store_is_not_copied_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    await made(path)
    damage(path)
    with closing(sqlite3.connect(path)) as connection, pytest.raises(StoreError, match="damaged"):
        copies.copy_into(connection, str(path), str(tmp_path / "copy.db"))
    assert not (tmp_path / "copy.db").exists()


async def test_a_store_that_is_damaged_does_not_start_and_says_what_cures_it(tmp_path: Path) -> None:
    await made(tmp_path / "p.db")
    damage(tmp_path / "p.db")
    with pytest.raises(StoreError, match=r"p\.db is damaged .*phinops restore FILE"):
        async with Store.open(tmp_path / "p.db"):
            pass


async def test_a_store_is_kept_aside_before_it_is_migrated_and_only_the_newest_copies_stay(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    await made(path)
    with closing(sqlite3.connect(path)) as connection:
        for hour in range(4):
            keep_aside(connection, str(path), NEWEST, NOW.replace(hour=hour))
    stamps = [name.removeprefix("p.db.") for name in sorted(modes_in(tmp_path)) if ".v" in name]
    assert stamps == [f"v{NEWEST}-20260105T020000Z", f"v{NEWEST}-20260105T030000Z"]
    assert len(stamps) == KEPT_ASIDE


async def test_an_old_store_that_is_opened_leaves_a_copy_of_its_old_schema(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    async with Store.open(path, LoopClock(NOW)):
        pass
    assert not [name for name in modes_in(tmp_path) if ".v" in name], "a new store has nothing to keep"
    # As if the last migration had not been yet, and does nothing that was done already.
    alter(path, f"DELETE FROM schema_version WHERE version = {NEWEST}")
    with pytest.raises(sqlite3.OperationalError):
        async with Store.open(path, LoopClock(NOW)):
            pass
    (copy,) = (name for name in modes_in(tmp_path) if ".v" in name)
    assert copy.startswith(f"p.db.v{NEWEST - 1}-20260105T")
    assert examine(str(tmp_path / copy)).version == NEWEST - 1
