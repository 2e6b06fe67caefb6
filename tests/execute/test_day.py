"""Who spends the calls of a day, midnight, and a clock that jumps."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from counting import MemoryLedger
from phinops import virtual
from phinops.catalog.quotas import QuotaPlan
from phinops.clock import LoopClock
from phinops.errors import QuotaSpent, StoreError
from phinops.execute.limit import Limiter, Priority
from phinops.spending import DAEMON, Spender, spender, spending

SHANGHAI = ZoneInfo("Asia/Shanghai")
TODAY, TOMORROW = date(2026, 1, 5), date(2026, 1, 6)
EVENING = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MIDNIGHT = datetime(2026, 1, 5, 16, 0, tzinfo=UTC)
ALERTS, RULE = Spender("alerts"), Spender("rules", "rerun", "fi_1")


class World:
    """A limiter that only the day limits, in virtual time."""

    def __init__(self, limit: int | None, start: datetime = EVENING, ledger: MemoryLedger | None = None) -> None:
        self.clock = LoopClock(start - timedelta(seconds=asyncio.get_running_loop().time()))
        self.ledger = ledger or MemoryLedger()
        plan = QuotaPlan({}, {"1": limit} if limit else {})
        self.limiter = Limiter("a", plan, self.ledger, self.clock, action_reserve=0.2, timeout=10, zone=SHANGHAI)
        self.told = 0
        self.limiter.listen(self.hear)

    def hear(self) -> None:
        self.told += 1

    async def call(self, who: Spender = ALERTS, *, api: str = "X", takes: float = 0.0, answered: bool = True) -> None:
        with spending(who):
            async with self.limiter.turn(1, Priority.WRITE, api=api) as turn:
                turn.sent()
                await asyncio.sleep(takes)
                if answered:
                    turn.answered()

    async def calls(self, many: int, who: Spender = ALERTS) -> None:
        for _ in range(many):
            await self.call(who)

    def counted(self) -> dict[date, int]:
        return {day: levels[1] for (_, day), levels in self.ledger.counts.items() if levels[1]}

    def by_spender(self) -> Counter[Spender]:
        found: Counter[Spender] = Counter()
        for spend, calls in self.ledger.spends.items():
            found[spend.spender] += calls
        return +found


# Who ------------------------------------------------------------------------------------------------------------------


async def test_tasks_inherit_who_spends_and_nobody_outside_is_concerned() -> None:
    async def whose() -> Spender:
        return spender()

    with spending(ALERTS):
        task = asyncio.create_task(whose())
        with spending(RULE):
            assert spender() == RULE
        assert spender() == ALERTS
    assert await task == ALERTS
    assert spender() == DAEMON


def test_every_try_that_is_sent_is_its_spenders_by_day_hour_level_and_api() -> None:
    async def main() -> None:
        it = World(1000)
        await it.call(ALERTS, api="ListAlertEvents")
        await it.call(RULE, api="OperateInstance")
        await it.call(RULE, api="OperateInstance", answered=False)
        async with it.limiter.turn(1, Priority.WRITE, api="Unused"):
            pass
        await it.limiter.close()
        spends = {
            (each.day, each.hour, each.level, each.api, each.spender): n for each, n in it.ledger.spends.items() if n
        }
        assert spends == {
            (TODAY, 20, 1, "ListAlertEvents", ALERTS): 1,
            (TODAY, 20, 1, "OperateInstance", RULE): 2,
        }

    virtual.run(main())


def test_spends_travel_with_the_next_lease_or_a_flush() -> None:
    async def main() -> None:
        it = World(10_000)
        await it.calls(10)
        assert it.by_spender() == {ALERTS: 1}, "the one that came with the lease"
        await it.call(RULE)
        assert it.by_spender() == {ALERTS: 10, RULE: 1}
        await it.calls(3)
        await it.limiter.flush()
        await it.limiter.flush()
        assert it.by_spender() == {ALERTS: 13, RULE: 1}

    virtual.run(main())


def test_a_ledger_that_cannot_be_written_loses_no_spend_and_invents_none() -> None:
    async def main() -> None:
        it = World(10_000)
        await it.calls(10)
        it.ledger.broken = StoreError("full")
        for _ in range(3):
            with pytest.raises(StoreError):
                await it.call(RULE)
            with pytest.raises(StoreError):
                await it.limiter.flush()
        it.ledger.broken = None
        await it.call(ALERTS)
        assert it.by_spender() == {ALERTS: 11}

    virtual.run(main())


def test_giving_up_while_it_is_counted_takes_the_spend_back() -> None:
    async def main() -> None:
        it = World(1000, ledger=MemoryLedger(slow=0.2))
        task = asyncio.ensure_future(it.call(RULE))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.sleep(0.5)
        await it.limiter.close()
        assert it.by_spender() == {}
        assert it.counted() == {}

    virtual.run(main())


def test_somebody_hears_when_a_pool_comes_to_its_reserve_and_to_its_end() -> None:
    async def main() -> None:
        it = World(10)
        heard = []
        for _ in range(10):
            await it.call()
            heard.append(it.told)
        assert heard == [0, 0, 0, 0, 0, 0, 0, 1, 1, 2]

    virtual.run(main())


def test_a_new_block_waits_until_what_was_counted_is_sent_but_not_for_a_connection_that_hangs() -> None:
    async def main() -> None:
        it = World(1000)
        began = it.clock.monotonic()
        async with it.limiter.turn(1, Priority.WRITE) as turn:
            second = asyncio.ensure_future(it.call())
            await asyncio.sleep(0.5)
            assert it.counted() == {TODAY: 1}
            turn.sent()
            await second
            assert it.clock.monotonic() - began == pytest.approx(0.5, abs=0.01)
        async with it.limiter.turn(1, Priority.WRITE):
            await it.call()
            assert it.clock.monotonic() - began == pytest.approx(0.5 + 1.0, abs=0.01)

    virtual.run(main())


# Midnight -------------------------------------------------------------------------------------------------------------


def test_a_call_that_may_arrive_after_midnight_counts_on_both_days_until_its_answer_is_there() -> None:
    async def main() -> None:
        it = World(1000, MIDNIGHT - timedelta(seconds=8))
        task = asyncio.ensure_future(it.call(takes=2))
        await asyncio.sleep(1)
        assert it.counted() == {TODAY: 1, TOMORROW: 1}
        await task
        await it.limiter.close()
        assert it.counted() == {TODAY: 1}

    virtual.run(main())


@pytest.mark.parametrize(("takes", "answered"), [(7.0, True), (1.0, False)])
def test_one_of_which_nobody_knows_when_it_arrived_stays_counted_on_both(takes: float, answered: bool) -> None:
    async def main() -> None:
        it = World(1000, MIDNIGHT - timedelta(seconds=8))
        await it.call(takes=takes, answered=answered)
        await it.limiter.close()
        assert it.counted() == {TODAY: 1, TOMORROW: 1}
        assert it.by_spender() == {ALERTS: 1}, "who spent is told once"

    virtual.run(main())


def test_the_first_two_seconds_of_a_day_are_left_empty() -> None:
    async def main() -> None:
        it = World(3, MIDNIGHT - timedelta(seconds=60))
        await it.calls(3)
        with pytest.raises(QuotaSpent):
            await it.call()
        await asyncio.sleep(60.5)
        await it.call()
        assert it.clock.now() - MIDNIGHT >= timedelta(seconds=2)
        assert it.counted() == {TODAY: 3, TOMORROW: 1}

    virtual.run(main())


def test_a_call_of_yesterday_that_was_not_sent_is_given_back_to_yesterday() -> None:
    async def main() -> None:
        it = World(10_000, MIDNIGHT - timedelta(seconds=60))
        async with it.limiter.turn(1, Priority.WRITE):
            await asyncio.sleep(120)
            await it.call()
        await it.limiter.flush()
        assert it.counted()[TOMORROW] == 10
        assert TODAY not in it.counted()

    virtual.run(main())


# A clock that jumps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [timedelta(hours=5), timedelta(days=400), timedelta(hours=-21), timedelta(days=-400)])
def test_a_clock_that_jumps_to_another_day_has_no_calls_that_its_own_day_has_not(jump: timedelta) -> None:
    async def main() -> None:
        it = World(10)
        await it.calls(6)
        it.clock.jumped = jump
        strange = it.limiter.today()
        await it.calls(4)
        with pytest.raises(QuotaSpent, match=str(TODAY)):
            await it.call()
        assert it.counted() == {TODAY: 10, strange: 4}
        it.clock.jumped = timedelta()
        with pytest.raises(QuotaSpent, match=str(TODAY)):
            await it.call()

    virtual.run(main())


@pytest.mark.parametrize("jump", [timedelta(days=400), timedelta(days=-400)])
def test_a_day_after_the_clock_came_back_nothing_is_left_of_the_jump(jump: timedelta) -> None:
    async def main() -> None:
        it = World(10)
        await it.call()
        it.clock.jumped = jump
        strange = it.limiter.today()
        await it.calls(8)
        it.clock.jumped = timedelta()
        await it.call()
        with pytest.raises(QuotaSpent):
            await it.call()
        await asyncio.sleep(24 * 3600)
        await it.calls(10)
        assert it.counted()[TODAY] == 10
        assert it.counted()[TOMORROW] == 10
        assert it.counted()[strange] == 9

    virtual.run(main())


def test_a_clock_that_jumps_over_midnight_while_a_call_is_under_way_counts_it_once_a_day() -> None:
    async def main() -> None:
        it = World(1000, MIDNIGHT - timedelta(minutes=5))
        task = asyncio.ensure_future(it.call(takes=5))
        await asyncio.sleep(1)
        it.clock.jumped = timedelta(minutes=10)
        await it.call(RULE)
        await task
        await it.limiter.close()
        assert it.counted() == {TODAY: 2, TOMORROW: 1}
        assert it.by_spender() == {ALERTS: 1, RULE: 1}

    virtual.run(main())


def test_a_clock_that_never_stops_jumping_keeps_few_days_open() -> None:
    async def main() -> None:
        it = World(1000)
        for n in range(60):
            it.clock.jumped = timedelta(days=n * 7)
            await it.call()
        assert len(it.limiter._days._days) <= 9
        assert it.counted()[it.limiter.today()] >= 1

    virtual.run(main())
