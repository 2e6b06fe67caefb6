from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from phinops.clock import LoopClock
from phinops.record.changes import REMEMBERED, changes, put_changes
from phinops.record.sqlite import Store

START = datetime(2026, 1, 5, 10, 20, tzinfo=UTC)
TEN = START.replace(minute=0)
HOUR = timedelta(hours=1)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with Store.open(":memory:", LoopClock(START)) as store:
        yield store


async def test_changes_add_up_by_part_and_hour(store: Store) -> None:
    await store.write(lambda tx: put_changes(tx, "t", "instances", {("7", START): 2, ("7", START + HOUR): 1}))
    await store.write(lambda tx: put_changes(tx, "t", "instances", {("7", TEN): 1, ("8", START): 4, ("7", START): 1}))
    assert await store.read(lambda tx: changes(tx, "t", "instances")) == {
        ("7", TEN): 4,
        ("7", TEN + HOUR): 1,
        ("8", TEN): 4,
    }


async def test_tenants_and_sources_are_counted_apart(store: Store) -> None:
    await store.write(lambda tx: put_changes(tx, "t", "alerts", {("", START): 2}))
    assert await store.read(lambda tx: changes(tx, "u", "alerts")) == {}
    assert await store.read(lambda tx: changes(tx, "t", "instances")) == {}


async def test_nothing_found_leaves_nothing(store: Store) -> None:
    await store.write(lambda tx: put_changes(tx, "t", "alerts", {}))
    assert await store.read(lambda tx: changes(tx, "t", "alerts")) == {}


async def test_old_changes_are_forgotten_when_new_ones_come(store: Store) -> None:
    old = START - REMEMBERED - timedelta(days=1)
    await store.write(lambda tx: put_changes(tx, "t", "alerts", {("", old): 2}))
    await store.write(lambda tx: put_changes(tx, "t", "alerts", {("", START): 1}))
    rows = await store.read(lambda tx: tx.all("changes_since", tenant="t", source="alerts", since=0))
    assert [row["found"] for row in rows] == [1]
