from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from phinops.clock import LoopClock
from phinops.record.seen import cursor, last_good, put_arrival, put_cursor, put_seen, seen, tracked
from phinops.record.sqlite import Store
from phinops.record.switches import set_switch, switch

START = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
async def clock() -> LoopClock:
    return LoopClock(START)


@pytest.fixture
async def store(clock: LoopClock) -> AsyncIterator[Store]:
    async with Store.open(":memory:", clock) as store:
        yield store


async def test_a_source_remembers_what_it_saw_of_each_object(store: Store) -> None:
    await store.write(lambda tx: put_seen(tx, "prod", "instances", {"t_1": {"status": "FAILED"}, "t_2": {}}))
    await store.write(lambda tx: put_seen(tx, "prod", "instances", {"t_1": {"status": "RUNNING"}}))
    assert await store.read(lambda tx: seen(tx, "prod", "instances", ["t_1", "t_2", "t_3"])) == {
        "t_1": {"status": "RUNNING"},
        "t_2": {},
    }


async def test_tenants_and_sources_remember_apart(store: Store) -> None:
    await store.write(lambda tx: put_seen(tx, "prod", "instances", {"t_1": {"n": 1, "open": True}}))
    for tenant, source in (("test", "instances"), ("prod", "alerts")):
        assert await store.read(lambda tx, t=tenant, s=source: seen(tx, t, s, ["t_1"])) == {}  # type: ignore[misc]
        assert await store.read(lambda tx, t=tenant, s=source: tracked(tx, t, s)) == {}  # type: ignore[misc]


async def test_a_source_follows_what_it_tracks_until_it_says_otherwise(store: Store) -> None:
    states = {"t_1": {"open": True}, "t_2": {"open": False}, "t_3": {}}
    await store.write(lambda tx: put_seen(tx, "prod", "instances", states))
    assert await store.read(lambda tx: tracked(tx, "prod", "instances")) == {"t_1": {"open": True}}
    await store.write(lambda tx: put_seen(tx, "prod", "instances", {"t_1": {"status": "SUCCESS"}}))
    assert await store.read(lambda tx: tracked(tx, "prod", "instances")) == {}


async def test_ids_with_quotes_and_thousands_of_them_are_found(store: Store) -> None:
    ids = ['a"b', "it's", "名", *(f"t_{n}" for n in range(5000))]
    await store.write(lambda tx: put_seen(tx, "prod", "instances", {name: {"id": name} for name in ids}))
    found = await store.read(lambda tx: seen(tx, "prod", "instances", ids))
    assert found == {name: {"id": name} for name in ids}


async def test_a_cursor_stays_where_it_was_put_with_the_time_of_the_good_poll(store: Store, clock: LoopClock) -> None:
    assert await store.read(lambda tx: cursor(tx, "prod", "alerts")) is None
    await store.write(lambda tx: put_cursor(tx, "prod", "alerts", {"until": "10:00"}))
    clock.jumped = timedelta(hours=1)
    await store.write(lambda tx: put_cursor(tx, "prod", "alerts", {"until": "11:00"}))
    assert await store.read(lambda tx: cursor(tx, "prod", "alerts")) == {"until": "11:00"}
    good = await store.read(lambda tx: last_good(tx, "prod"))
    assert list(good) == ["alerts"]
    assert good["alerts"] >= START + timedelta(hours=1)


async def test_an_arrival_forgets_what_is_old_and_no_longer_open(store: Store, clock: LoopClock) -> None:
    old = {"done": {"open": False}, "going_on": {"open": True}}
    await store.write(lambda tx: put_arrival(tx, "prod", "instances", old, {"until": "10:00"}))
    clock.jumped = timedelta(days=3)
    new = {"new": {"open": False}}
    await store.write(
        lambda tx: put_arrival(tx, "prod", "instances", new, {}, forget_before=tx.now - timedelta(days=1))
    )
    remembered = await store.read(lambda tx: seen(tx, "prod", "instances", [*old, *new]))
    assert set(remembered) == {"going_on", "new"}
    # The second poll had no cursor of its own: the first one's stays.
    assert await store.read(lambda tx: cursor(tx, "prod", "instances")) == {"until": "10:00"}


async def test_a_switch_stays_as_it_was_set(store: Store) -> None:
    assert await store.read(lambda tx: switch(tx, "paused")) == ""
    await store.write(lambda tx: set_switch(tx, "paused", "by ann"))
    await store.write(lambda tx: set_switch(tx, "paused", ""))
    await store.write(lambda tx: set_switch(tx, "paused", "by bob"))
    assert await store.read(lambda tx: switch(tx, "paused")) == "by bob"
