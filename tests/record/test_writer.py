"""Many writes to a commit: who shares one, and what becomes of the others when one of them fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from phinops.errors import StoreLost, StoreUnwritable
from phinops.record.sqlite import Store
from phinops.record.tx import Tx, WriteOp
from phinops.record.writer import BATCH
from records import alter, busy_writer, got, handed_in, put


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "p.db") as store:
        yield store


def writing(name: str, order: list[str] | None = None) -> WriteOp[int]:
    def op(tx: Tx) -> int:
        if order is not None:
            order.append(name)
        return tx.run("kv_put", name=name, value="1", now=tx.now)

    return op


def failing(tx: Tx) -> None:
    tx.run("kv_put", name="half", value="1", now=tx.now)
    raise LookupError("no such thing")


async def test_all_that_waits_shares_one_commit(store: Store) -> None:
    before = store.commits
    async with busy_writer(store):
        tasks = await handed_in(store, [writing(f"{n}") for n in range(100)])
    await asyncio.gather(*tasks)
    assert store.commits == before + 2


async def test_a_commit_takes_no_more_than_its_limit_along(store: Store) -> None:
    before = store.commits
    async with busy_writer(store):
        tasks = await handed_in(store, [writing(f"{n}") for n in range(BATCH + 1)])
    await asyncio.gather(*tasks)
    assert store.commits == before + 3


async def test_ops_run_in_the_order_in_which_they_were_handed_in(store: Store) -> None:
    order: list[str] = []
    names = [f"{n}" for n in range(20)]
    async with busy_writer(store):
        tasks = await handed_in(store, [writing(name, order) for name in names])
    await asyncio.gather(*tasks)
    assert order == names


async def test_one_that_fails_takes_nobody_along(store: Store) -> None:
    before = store.commits
    async with busy_writer(store):
        tasks = await handed_in(store, [writing("a"), failing, writing("b"), writing("c")])
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [repr(result) for result in results] == ["1", "LookupError('no such thing')", "1", "1"]
    assert store.commits == before + 1 + 3
    assert [await got(store, name) for name in ("a", "half", "b", "c")] == ["1", None, "1", "1"]


async def test_who_stops_waiting_does_not_take_the_op_back(store: Store) -> None:
    async with busy_writer(store):
        (task,) = await handed_in(store, [writing("a")])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await got(store, "a") is None
    await put(store, "b")
    assert await got(store, "a") == "1"


async def test_a_failure_that_nobody_waits_for_is_logged(store: Store) -> None:
    with structlog.testing.capture_logs() as logs:
        async with busy_writer(store):
            (task,) = await handed_in(store, [failing])
            task.cancel()
        await put(store, "b")
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("store.failure_unheard", "LookupError('no such thing')")
    ]


async def test_a_read_waits_for_no_write_and_sees_none_that_is_under_way(store: Store) -> None:
    await put(store, "a", "old")
    async with busy_writer(store):
        tasks = await handed_in(store, [lambda tx: tx.run("kv_put", name="a", value="new", now=tx.now)])
        assert await got(store, "a") == "old"
    await asyncio.gather(*tasks)
    assert await got(store, "a") == "new"


async def test_a_read_sees_one_moment_however_long_it_takes(store: Store) -> None:
    await put(store, "a", "old")
    loop = asyncio.get_running_loop()

    def twice(tx: Tx) -> list[str]:
        first = tx.all("kv_get", name="a")
        asyncio.run_coroutine_threadsafe(put(store, "a", "new"), loop).result(30)
        return [row["value"] for row in (*first, *tx.all("kv_get", name="a"))]

    assert await store.read(lambda tx: twice(tx)) == ["old", "old"]  # type: ignore[arg-type]
    assert await got(store, "a") == "new"


async def test_a_full_disk_fails_the_whole_batch_and_mends_by_itself(store: Store) -> None:
    def limit(tx: Tx, pages: int) -> None:
        tx._connection.execute(f"PRAGMA max_page_count = {pages}")

    await store.write(lambda tx: limit(tx, 1))
    with structlog.testing.capture_logs() as logs:
        async with busy_writer(store):
            big = "x" * 100_000
            tasks = await handed_in(
                store, [writing("a"), lambda tx: tx.run("kv_put", name="b", value=big, now=tx.now), writing("c")]
            )
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnwritable] * 3
        assert "the disk is full" in store.trouble
        with pytest.raises(StoreUnwritable):
            await put(store, "b", big)
        assert [await got(store, name) for name in ("a", "b", "c")] == [None] * 3
        await store.write(lambda tx: limit(tx, 100_000))
        assert store.trouble != ""  # a transaction that changed nothing proves nothing
        await put(store, "b", big)
    assert (await got(store, "b"), store.trouble) == (big, "")
    assert [line["event"] for line in logs] == ["store.unwritable", "store.writable_again"]


async def test_a_store_that_turned_read_only_is_unwritable_until_it_is_not(store: Store) -> None:
    connection = store._backend.committer.connection
    connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreUnwritable, match="it is read-only"):
        await put(store, "a")
    connection.execute("PRAGMA query_only = OFF")
    await put(store, "a")


async def test_a_mistake_in_sql_is_no_trouble_of_the_machine(store: Store) -> None:
    with pytest.raises(Exception, match="You did not supply a value"):
        await store.write(lambda tx: tx.run("kv_put", name="a"))
    assert store.trouble == ""


async def test_a_batch_of_a_daemon_that_was_overtaken_is_lost_whole(store: Store, tmp_path: Path) -> None:
    alter(tmp_path / "p.db", "UPDATE lease SET epoch = epoch + 1, holder = 'other:7'")
    async with asyncio.timeout(30):
        results = await asyncio.gather(*(put(store, f"{n}") for n in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [StoreLost] * 5
