"""The promises of a store: those of opening it, and those that hold on disk and in memory alike."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from phinops.clock import LoopClock
from phinops.errors import StoreError, StoreHeld, StoreLost
from phinops.record.connection import open_writer
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from records import alter, got, modes_in, put, script

HOLDER = Path(__file__).with_name("hold_the_store.py")


@pytest.fixture(params=["disk", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    path = tmp_path / "p.db" if request.param == "disk" else ":memory:"
    async with Store.open(path) as store:
        yield store


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


async def test_what_was_written_is_read(store: Store) -> None:
    await put(store, "a", "1")
    assert await got(store, "a") == "1"


async def test_a_write_gives_what_its_op_returned(store: Store) -> None:
    await put(store, "a")
    assert await store.write(lambda tx: tx.run("kv_put", name="a", value="2", now=tx.now)) == 1
    assert await store.write(lambda tx: tx.one("kv_get", name="a")) == {"value": "2"}


async def test_an_op_that_raises_changes_nothing_and_its_waiter_gets_the_error(store: Store) -> None:
    def half(tx: Tx) -> None:
        tx.run("kv_put", name="a", value="1", now=tx.now)
        raise LookupError("the other half")

    with pytest.raises(LookupError, match="the other half"):
        await store.write(half)
    assert await got(store, "a") is None
    await put(store, "b")


async def test_a_bare_next_in_an_op_does_not_hang_its_waiter(store: Store) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await store.write(lambda tx: next(iter(tx.all("kv_get", name="none"))))


async def test_a_mistake_in_a_read_is_no_trouble_of_the_store(store: Store) -> None:
    with pytest.raises(sqlite3.ProgrammingError):
        await store.read(lambda tx: tx.one("kv_get"))


async def test_a_read_that_raises_hurts_no_other(store: Store) -> None:
    with pytest.raises(KeyError, match="no_such_query"):
        await store.read(lambda tx: tx.all("no_such_query"))
    assert await got(store, "a") is None


async def test_many_rows_go_in_at_once(store: Store) -> None:
    rows = [{"name": name, "value": "1", "now": 0} for name in "abc"]
    assert await store.write(lambda tx: tx.many("kv_put", rows)) == 3
    assert await store.write(lambda tx: tx.many("kv_put", [])) == 0
    assert await got(store, "c") == "1"


async def test_concurrent_reads_wait_for_each_other_at_most(store: Store) -> None:
    await put(store, "a", "1")
    assert await asyncio.gather(*(got(store, "a") for _ in range(20))) == ["1"] * 20


async def test_the_audit_refuses_to_be_changed(store: Store) -> None:
    def forge(tx: Tx) -> None:
        tx._connection.execute("INSERT INTO audit (ts, epoch, what, detail) VALUES (0, 1, 'done', '{}')")
        tx._connection.execute("UPDATE audit SET what = 'never done'")

    with pytest.raises(Exception, match="only ever added to"):
        await store.write(forge)


async def test_whoever_was_overtaken_can_write_no_more(store: Store) -> None:
    await store.write(lambda tx: tx.run("lease_take", name="main", holder="host:2"))
    with pytest.raises(StoreLost, match="belongs to host:2 at epoch 2 now, no longer to us at epoch 1"):
        await put(store, "a")
    assert "belongs to host:2" in store.trouble
    assert await got(store, "a") is None


async def test_a_probe_writes(store: Store) -> None:
    before = store.commits
    await store.probe()
    assert store.commits == before + 1


async def test_a_closed_store_says_so() -> None:
    async with Store.open(":memory:") as store:
        pass
    with pytest.raises(StoreError, match="the store is closed"):
        await put(store, "a")
    with pytest.raises(StoreError, match="the store is closed"):
        await got(store, "a")


async def test_a_closed_store_on_disk_says_so(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "p.db") as store:
        pass
    with pytest.raises(StoreError, match="the store is closed"):
        await put(store, "a")
    with pytest.raises(StoreError, match="the store is closed"):
        await got(store, "a")


async def test_each_opening_is_one_epoch_further(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    epochs = []
    for _ in range(3):
        async with Store.open(path) as store:
            epochs.append(await store.write(lambda tx: tx.epoch))
            assert await store.read(lambda tx: tx.epoch) == store.epoch
    assert epochs == [1, 2, 3]


async def test_closing_writes_what_waits_and_leaves_one_file(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    async with Store.open(path) as store:
        waiting = [asyncio.create_task(put(store, f"{n}", "1")) for n in range(50)]
        await asyncio.sleep(0)
        await got(store, "0")
    await asyncio.gather(*waiting)
    assert set(modes_in(tmp_path)) == {"p.db", "p.db.lock"}
    async with Store.open(path) as store:
        assert await got(store, "49") == "1"


async def test_a_second_daemon_is_told_who_holds_the_store(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    link = tmp_path / "link.db"
    link.symlink_to(path)
    async with Store.open(path) as store:
        for name in (path, link):
            with pytest.raises(StoreHeld, match=f"p.db is held by process {os.getpid()}: one daemon a store"):
                async with Store.open(name):
                    pass
        await put(store, "a")
    async with Store.open(link) as store:
        assert await got(store, "a") == ""


async def test_the_lock_of_a_daemon_that_was_killed_is_free(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    with script(HOLDER, path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreHeld, match=f"process {holder.pid}"):
            async with Store.open(path):
                pass
        holder.send_signal(signal.SIGKILL)
        holder.wait(30)
        async with Store.open(path) as store:
            assert store.epoch == 2


@pytest.mark.usefixtures("open_umask")
async def test_the_files_are_their_owners_only(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "p.db") as store:
        await put(store, "a")
        modes = modes_in(tmp_path)
    assert modes == dict.fromkeys(["p.db", "p.db-wal", "p.db-shm", "p.db.lock"], 0o600)


async def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"no folder {tmp_path}/state; make it, or change"):
        async with Store.open(tmp_path / "state" / "p.db"):
            pass


async def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.db").mkdir()
    with pytest.raises(StoreError, match=f"cannot open the store {tmp_path}/p.db: Is a directory"):
        async with Store.open(tmp_path / "p.db"):
            pass


async def test_a_lock_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.db.lock").mkdir()
    with pytest.raises(StoreError, match=r"cannot lock the store: .*p\.db\.lock: Is a directory"):
        async with Store.open(tmp_path / "p.db"):
            pass


@pytest.mark.parametrize("fate", ["deleted", "replaced"])
async def test_a_store_whose_file_is_gone_says_so(tmp_path: Path, fate: str) -> None:
    path = tmp_path / "p.db"
    async with Store.open(path) as store:
        os.replace(path, tmp_path / "moved.db")
        if fate == "replaced":
            alter(path, "CREATE TABLE other (x)")
        with pytest.raises(StoreLost, match=r"p\.db was moved, replaced or deleted while it was in use"):
            await put(store, "a")


async def test_who_only_looks_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no store at .*p\.db yet"):
        async with Store.open(tmp_path / "p.db", create=False):
            pass
    assert modes_in(tmp_path) == {}


async def test_a_file_that_is_no_database_is_named_with_its_cure(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    path.write_text("not a database, but long enough to be read as one\n" * 100)
    with pytest.raises(StoreError, match=r"p\.db is damaged or not a store of phinops .*restore a backup"):
        async with Store.open(path):
            pass


async def test_damage_met_later_is_an_error_of_the_store(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    async with Store.open(path) as store:
        for n in range(200):
            await put(store, f"{n}", "x" * 500)
    size = path.stat().st_size
    async with Store.open(path) as store:
        with path.open("r+b") as file:
            # The schema lies in the first pages; the rows of kv come last.
            file.seek(size * 2 // 3)
            file.write(os.urandom(size // 3))
        backend: Any = store._backend
        backend.committer.connection.execute("PRAGMA shrink_memory")  # what the start has looked through
        with pytest.raises(StoreError, match="damaged"):
            await store.read(lambda tx: [tx.one("kv_get", name=f"{n}") for n in range(200)])
        with pytest.raises(StoreError, match="damaged"):
            await store.write(lambda tx: [tx.one("kv_get", name=f"{n}") for n in range(200)])
        assert "damaged" in store.trouble


def test_a_disk_without_shared_memory_is_refused() -> None:
    with pytest.raises(StoreError, match="the store needs a local disk"):
        open_writer(":memory:", durable=True)


async def test_the_shard_of_another_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    async with Store.open(path, shard="one"):
        pass
    async with Store.open(path, shard="two") as store:
        assert store.epoch == 1
        alter(path, "DELETE FROM lease")
        with pytest.raises(StoreLost, match="belongs to nobody now"):
            await put(store, "a")


async def test_an_op_knows_the_time_of_the_stores_clock(tmp_path: Path) -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    clock = LoopClock(start)
    clock.monotonic()
    async with Store.open(tmp_path / "p.db", clock) as store:
        seen = [await store.write(lambda tx: tx.now), await store.read(lambda tx: tx.now)]
        assert start < seen[0] <= seen[1] <= clock.now()


async def test_a_store_in_memory_is_written_on_the_callers_thread() -> None:
    async with Store.open(":memory:") as store:
        assert await store.write(lambda _tx: threading.get_ident()) == threading.get_ident()


async def test_giving_up_on_opening_leaves_the_store_free(tmp_path: Path) -> None:
    path = tmp_path / "p.db"

    async def opening() -> None:
        async with Store.open(path):
            pytest.fail("nobody waits for this")

    task = asyncio.create_task(opening())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with Store.open(path) as store:
        assert store.epoch == 2
