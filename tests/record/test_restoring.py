from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from happenings import FAILED
from phinops.clock import SystemClock
from phinops.errors import StoreError, StoreHeld, StoreTooNew
from phinops.record import journal, pausing
from phinops.record.ledger import StoreLedger
from phinops.record.lock import FileLock
from phinops.record.restoring import Restored, restore
from phinops.record.sqlite import Store
from records import alter, got, modes_in, put

TODAY = date(2026, 1, 5)


def within(path: Path, work: Callable[[Store], Awaitable[Any]]) -> Any:
    """What the work on the store at that place gives."""

    async def run() -> Any:
        async with Store.open(path) as store:
            return await work(store)

    return anyio.run(run)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A store of which there is a backup, and in which something was done since."""
    path = tmp_path / "p.db"

    async def before(store: Store) -> str:
        await put(store, "before", "x")
        await StoreLedger(store).lease("a", TODAY, 1, 10, {})
        return await store.copy()

    async def after(store: Store) -> None:
        await put(store, "after", "x")
        await StoreLedger(store).lease("a", TODAY, 1, 90, {})
        await StoreLedger(store).lease("a", TODAY, 2, 5, {})

    os.replace(within(path, before), tmp_path / "backup.db")
    for _ in range(3):
        within(path, after)
    return path


def put_back(place: Path, backup: str = "backup.db") -> Restored:
    return restore(str(place), str(place.parent / backup), SystemClock(), "li.wei")


def test_the_backup_is_in_place_and_what_was_there_is_aside(place: Path) -> None:
    done = put_back(place)
    assert within(place, lambda store: got(store, "after")) is None
    assert within(place, lambda store: got(store, "before")) == "x"
    assert within(Path(done.aside), lambda store: got(store, "after")) == "x"
    assert modes_in(place.parent)["p.db"] == 0o600


def test_no_write_leaves_until_a_person_says_so_and_the_audit_tells_who_restored(place: Path) -> None:
    put_back(place)
    pause = within(place, lambda store: store.read(pausing.pause_of))
    assert pause.by == "li.wei"
    assert pause.reason == "restored from a backup: look at what was done since, then `phinops resume`"

    def lines(tx: Any) -> list[str]:
        return [row["what"] for row in tx.all("audit_from", since=None, until=None, rule="", after=0, limit=10)]

    assert within(place, lambda store: store.read(lines)) == ["store.restored", "writes.paused"]


def test_the_reason_tells_how_old_the_backup_is(place: Path) -> None:
    async def seen(store: Store) -> str:
        await store.write(lambda tx: journal.put_event(tx, FAILED, at=datetime(2026, 1, 5, tzinfo=UTC)))
        return await store.copy()

    os.replace(within(place, seen), place.parent / "newer.db")
    put_back(place, "newer.db")
    pause = within(place, lambda store: store.read(pausing.pause_of))
    assert "whose newest event is of 2026-01-05T00:00:00+00:00" in pause.reason


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_restores_belongs_to_whom_the_store_did(place: Path) -> None:
    os.chown(place, 4711, 4712)
    put_back(place)
    assert (place.stat().st_uid, place.stat().st_gid) == (4711, 4712)


def test_calls_that_were_counted_since_stay_counted_and_epochs_go_on(place: Path) -> None:
    assert put_back(place).counted
    assert within(place, lambda store: StoreLedger(store).used("a", TODAY)) == {1: 280, 2: 15}

    async def epoch(store: Store) -> int:
        return store.epoch

    assert within(place, epoch) > 4, "never one that the store which was there had"


def test_what_was_there_may_be_damaged(place: Path) -> None:
    place.write_bytes(b"no database at all " * 1000)
    done = put_back(place)
    assert not done.counted
    assert within(place, lambda store: got(store, "before")) == "x"
    assert Path(done.aside).read_bytes().startswith(b"no database")


def test_where_no_store_was_the_backup_is_the_first(place: Path) -> None:
    place.unlink()
    done = put_back(place)
    assert (done.aside, done.counted) == ("", True)
    assert within(place, lambda store: got(store, "before")) == "x"


def test_a_store_in_use_is_left_alone(place: Path) -> None:
    lock = FileLock(f"{place}.lock")
    lock.acquire(str(place))
    try:
        with pytest.raises(StoreHeld, match="is held by process"):
            put_back(place)
    finally:
        lock.release()
    assert within(place, lambda store: got(store, "after")) == "x"


@pytest.mark.parametrize("wrong", ["missing.db", "damaged.db", "newer.db", "p.db"])
def test_a_backup_that_is_none_changes_nothing(wrong: str, place: Path) -> None:
    folder = place.parent
    (folder / "damaged.db").write_bytes((folder / "backup.db").read_bytes()[: -10 * 4096])
    (folder / "newer.db").write_bytes((folder / "backup.db").read_bytes())
    alter(folder / "newer.db", "INSERT INTO schema_version VALUES (9000, 'later', 0)")
    with pytest.raises(StoreTooNew if wrong == "newer.db" else StoreError, match=wrong):
        put_back(place, wrong)
    assert within(place, lambda store: got(store, "after")) == "x"
    assert not [name for name in modes_in(folder) if "restoring" in name or "replaced" in name]
