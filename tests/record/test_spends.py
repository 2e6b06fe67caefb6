"""What the calls of a quota day were spent on, in the store."""

from __future__ import annotations

import time
from datetime import date, timedelta

from phinops.record import spends
from phinops.record.ledger import StoreLedger
from phinops.record.spends import Spent
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot
from phinops.spending import Spend, Spender

DAY = date(2026, 1, 5)
ALERTS = Spender("alerts")
RERUN = Spender("rules", "rerun", "fi_1")
AGAIN = Spender("rules", "rerun", "fi_2")


def one(who: Spender, api: str = "ListAlertEvents", *, hour: int = 3, level: int = 1, day: date = DAY) -> Spend:
    return Spend(day, hour, level, api, who)


async def test_spends_are_written_with_the_lease_or_by_themselves_and_add_up() -> None:
    async with Store.open(":memory:") as store:
        ledger = StoreLedger(store)
        await ledger.lease("a", DAY, 1, 10, {one(ALERTS): 4, one(RERUN, "OperateInstance", level=2): 1})
        await ledger.note("a", {one(ALERTS, hour=4): 2, one(ALERTS): 1})
        await ledger.note("b", {one(ALERTS): 100})
        assert await ledger.used("a", DAY) == {1: 10}
        found = await store.read(lambda tx: spends.biggest(tx, "a", DAY, [1, 2, 3]))
        assert found == [Spent(7, "alerts", api="ListAlertEvents"), Spent(1, "rules", "rerun", api="OperateInstance")]
        assert await store.read(lambda tx: spends.by_source(tx, "a", DAY)) == {("alerts", 1): 7, ("rules", 2): 1}
        assert await store.read(lambda tx: spends.in_hour(tx, "a", DAY, 3)) == {1: 5, 2: 1}
        assert await store.read(lambda tx: spends.in_hour(tx, "a", DAY, 5)) == {}


async def test_spenders_are_told_apart_by_what_is_asked_and_only_the_biggest() -> None:
    async with Store.open(":memory:") as store:
        await StoreLedger(store).note(
            "a",
            {
                one(ALERTS): 9,
                one(RERUN, "GetPhysicalInstance"): 5,
                one(AGAIN, "GetPhysicalInstance"): 6,
                one(AGAIN, "OperateInstance", level=2): 2,
                one(Spender("rules", "pause", "fi_3"), "ListNodes"): 1,
            },
        )

        def by(tx: Snapshot, key: spends.Key, limit: int = 10) -> list[dict[str, str | int]]:
            return [spends.shown(each, key) for each in spends.biggest(tx, "a", DAY, [1, 2], key, limit)]

        def read(tx: Snapshot) -> None:
            assert by(tx, "source") == [{"source": "rules", "calls": 14}, {"source": "alerts", "calls": 9}]
            assert by(tx, "api", 2) == [
                {"api": "GetPhysicalInstance", "calls": 11},
                {"api": "ListAlertEvents", "calls": 9},
            ]
            assert by(tx, "rule") == [{"rule": "rerun", "calls": 13}, {"rule": "pause", "calls": 1}]
            assert by(tx, "firing", 1) == [{"firing": "fi_2", "rule": "rerun", "calls": 8}]
            assert spends.biggest(tx, "a", DAY, [3]) == []

        await store.read(read)


async def test_what_was_taken_back_is_not_told() -> None:
    async with Store.open(":memory:") as store:
        ledger = StoreLedger(store)
        await ledger.lease("a", DAY, 1, 1, {one(ALERTS): 1})
        await ledger.note("a", {one(ALERTS): -1})
        assert await store.read(lambda tx: spends.biggest(tx, "a", DAY, [1])) == []
        assert await store.read(lambda tx: spends.by_source(tx, "a", DAY)) == {}


async def test_details_are_kept_of_seven_days_and_totals_of_thirty_five() -> None:
    async with Store.open(":memory:") as store:
        ledger = StoreLedger(store)
        days = [DAY + timedelta(days=n) for n in range(40)]
        for day in days:
            await ledger.note("a", {one(each, hour=hour, day=day): 2 for each in (RERUN, AGAIN) for hour in (1, 2)})
        for _ in range(2):
            await store.write(spends.prune)
        await ledger.note("a", {one(RERUN, day=days[20]): 1})  # a straggler
        await store.write(spends.prune)
        for n, day in enumerate(days):
            total = await store.read(lambda tx, day=day: spends.biggest(tx, "a", day, [1], "rule"))  # type: ignore[misc]
            detail = await store.read(lambda tx, day=day: spends.biggest(tx, "a", day, [1], "firing"))  # type: ignore[misc]
            hour = await store.read(lambda tx, day=day: spends.in_hour(tx, "a", day, 1))  # type: ignore[misc]
            assert [each.calls for each in total] == ([] if n < 5 else [9 if n == 20 else 8])
            assert (len(detail), hour) == ((2, {1: 4}) if n >= 33 else (0, {}))


async def test_a_clock_that_is_far_ahead_for_a_moment_ages_nothing() -> None:
    async with Store.open(":memory:") as store:
        await StoreLedger(store).note("a", {one(RERUN): 1, one(RERUN, day=DAY + timedelta(days=9000)): 1})
        await store.write(spends.prune)
        assert len(await store.read(lambda tx: spends.biggest(tx, "a", DAY, [1], "firing"))) == 1


async def test_a_day_of_fifty_thousand_calls_is_small_and_told_at_once() -> None:
    """Eight thousand firings of three calls each, and polls for the rest."""
    async with Store.open(":memory:") as store:
        ledger = StoreLedger(store)
        polls = {
            one(ALERTS, api, hour=hour): 361 for hour in range(24) for api in ("ListAlertEvents", "ListNodes", "x")
        }
        await ledger.note("a", polls)
        firings = [Spender("rules", f"rule{n % 30}", f"fi_{n:020}") for n in range(8000)]
        for api in ("ListNodes", "OperateInstance", "GetPhysicalInstance"):
            await ledger.note("a", {one(each, api, hour=n % 24): 1 for n, each in enumerate(firings)})
        detail = await store.read(lambda tx: spends.biggest(tx, "a", DAY, [1], "firing", 1_000_000))
        assert len(detail) == 8000
        began = time.perf_counter()
        for key in (None, "firing"):
            await store.read(lambda tx, key=key: spends.biggest(tx, "a", DAY, [1], key))  # type: ignore[misc]
        assert time.perf_counter() - began < 1.0
