from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import structlog

from counting import MemoryLedger
from phinops import virtual
from phinops.catalog.quotas import PLANS, QuotaPlan
from phinops.clock import LoopClock, ScaledClock
from phinops.errors import QuotaSpent, StoreError
from phinops.execute.daycount import PoolUse
from phinops.execute.limit import Limiter, PoolRate, Priority
from phinops.execute.priority import SHARES
from phinops.execute.slots import MARGIN, Rate

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 1, 5, 4, tzinfo=UTC)
TODAY = date(2026, 1, 5)
UNLIMITED = QuotaPlan({}, {})


class World:
    """A limiter in virtual time, and the moments at which calls were sent."""

    def __init__(
        self,
        plan: QuotaPlan,
        *,
        start: datetime = NOON,
        ledger: MemoryLedger | None = None,
        share: float = 1.0,
        action_reserve: float = 0.2,
    ) -> None:
        self.clock = LoopClock(start - timedelta(seconds=asyncio.get_running_loop().time()))
        self.ledger = ledger or MemoryLedger()
        self.limiter = Limiter(
            "a", plan, self.ledger, self.clock, share=share, action_reserve=action_reserve, timeout=10, zone=SHANGHAI
        )
        self.sent: list[tuple[float, Priority]] = []

    async def call(
        self,
        priority: Priority = Priority.POLL,
        level: int = 1,
        *,
        takes: float = 0.0,
        answered: bool = True,
        deadline: float | None = None,
    ) -> None:
        async with self.limiter.turn(level, priority, deadline) as turn:
            turn.sent()
            self.sent.append((self.clock.monotonic(), priority))
            await asyncio.sleep(takes)
            if answered:
                turn.answered()

    async def calls(self, many: int, priority: Priority = Priority.POLL, level: int = 1) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(many):
                tasks.create_task(self.call(priority, level))

    def times(self) -> list[float]:
        return [when for when, _ in self.sent]

    def order(self) -> list[Priority]:
        return [priority for _, priority in self.sent]


async def settled() -> None:
    """Let every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_share_of_a_rate_is_whole_calls_or_a_longer_period() -> None:
    assert Rate.of(50) == Rate(50, 1.0)
    assert Rate.of(50, 0.58) == Rate(29, 1.0)
    assert Rate.of(5, 0.5) == Rate(2, 1.0)
    assert Rate.of(5, 0.2) == Rate(1, 1.0)
    assert Rate.of(5, 0.1) == Rate(1, 2.0)


def test_nothing_is_sent_in_the_first_second() -> None:
    async def main() -> None:
        it = World(PLANS["basic"])
        began = it.clock.monotonic()
        await it.limiter.open()
        await it.calls(1)
        assert it.times()[0] - began >= 1.0

    virtual.run(main())


def test_without_a_rate_and_a_day_nothing_waits_not_even_at_midnight() -> None:
    async def main() -> None:
        it = World(UNLIMITED, start=datetime(2026, 1, 4, 16, tzinfo=UTC))
        await it.limiter.open()
        began = it.clock.monotonic()
        await it.call()
        assert it.clock.monotonic() - began < 0.001

    virtual.run(main())


@pytest.mark.parametrize(("level", "quota"), [(1, 50), (2, 20), (3, 5)])
def test_a_storm_uses_its_rate_and_stays_within(level: int, quota: int) -> None:
    async def main() -> None:
        it = World(PLANS["basic"])
        await it.limiter.open()
        await it.calls(500, Priority.OPERATOR, level)
        times = it.times()
        assert all(late - early >= 1.0 for early, late in zip(times, times[quota:], strict=False))
        rest = [when for when in times if when > times[0] + 1]
        assert (len(rest) - 1) / (rest[-1] - rest[0]) / quota >= 0.98
        assert len([when for when in times if when < times[0] + 0.05]) <= max(2, quota // 5), "the start is a burst"

    virtual.run(main())


def test_a_slot_is_free_one_second_after_the_answer() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 1}, {}))
        began = it.clock.monotonic()
        await it.call(takes=3)
        await it.call()
        assert it.times()[1] - began == pytest.approx(3 + 1 + MARGIN, abs=0.001)

    virtual.run(main())


def test_a_call_without_an_answer_holds_its_slot_until_it_cannot_arrive() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 1}, {}))
        began = it.clock.monotonic()
        await it.call(takes=2, answered=False)
        await it.call()
        assert it.times()[1] - began == pytest.approx(10 + 1 + MARGIN, abs=0.001)

    virtual.run(main())


def test_a_cancelled_call_holds_its_slot_too() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 1}, {}))
        began = it.clock.monotonic()
        task = asyncio.ensure_future(it.call(takes=5))
        await asyncio.sleep(0.5)
        task.cancel()
        await it.call()
        assert it.times()[1] - began == pytest.approx(10 + 1 + MARGIN, abs=0.001)

    virtual.run(main())


def test_a_turn_that_was_not_used_costs_neither_slot_nor_pace_nor_a_call_of_the_day() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 1}, {"1": 10}))
        began = it.clock.monotonic()
        for _ in range(5):
            async with it.limiter.turn(1, Priority.WRITE) as turn:
                assert not turn.was_sent
        await it.call()
        assert it.times() == [pytest.approx(began, abs=0.001)]
        assert it.limiter.calls_today()[1] == 1

    virtual.run(main())


def test_the_urgent_go_first_then_those_who_came_first() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 1}, {}))
        await it.call()
        async with asyncio.TaskGroup() as tasks:
            for priority in (Priority.OPERATOR, Priority.POLL, Priority.WRITE, Priority.ALERTS, Priority.VERIFY):
                tasks.create_task(it.call(priority))
            await asyncio.sleep(0.5)
            tasks.create_task(it.call(Priority.DECIDE))
            tasks.create_task(it.call(Priority.WRITE))
        assert it.order()[1:] == [0, 1, 1, 2, 3, 4, 5]

    virtual.run(main())


def storm(it: World, storming: tuple[Priority, ...], asking: tuple[Priority, ...]) -> list[asyncio.Task[None]]:
    """Calls without end, more than there are turns."""

    async def again(priority: Priority) -> None:
        while True:
            await it.call(priority)

    classes = [each for each in storming for _ in range(40)] + [each for each in asking for _ in range(10)]
    return [asyncio.ensure_future(again(each)) for each in classes]


@pytest.mark.parametrize(
    "storming", [(Priority.VERIFY,), (Priority.WRITE,), (Priority.VERIFY, Priority.WRITE), (Priority.OPERATOR,)]
)
@pytest.mark.parametrize("quota", [1, 5, 50])
def test_however_long_a_storm_lasts_each_class_has_its_share(storming: tuple[Priority, ...], quota: int) -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": quota}, {}))
        asking = tuple(each for each in Priority if each not in storming)
        calls = storm(it, storming, asking)
        await asyncio.sleep(1000 / quota)
        began = len(it.sent)
        await asyncio.sleep(1000 / quota)
        for call in calls:
            call.cancel()
        found = it.order()[began:]
        assert len(found) >= 990, "nothing of the rate is lost"
        for each in Priority:
            assert found.count(each) >= len(found) * SHARES[each] / 100 - 4, each

    virtual.run(main())


@pytest.mark.parametrize("priority", [Priority.DECIDE, Priority.ALERTS, Priority.POLL, Priority.OPERATOR])
def test_a_single_call_in_a_storm_of_urgent_ones_waits_for_its_share_and_no_longer(priority: Priority) -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 5}, {}))
        calls = storm(it, (Priority.VERIFY, Priority.WRITE), ())
        await asyncio.sleep(20)
        before = len(it.sent)
        await it.call(priority)
        waited = it.order()[before:].index(priority)
        assert 100 / SHARES[priority] - 2 <= waited <= 100 / SHARES[priority] + 2
        for call in calls:
            call.cancel()

    virtual.run(main())


def test_those_who_give_up_in_a_storm_cost_their_class_no_turn() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 5}, {}))
        calls = storm(it, (Priority.VERIFY,), ())
        await asyncio.sleep(20)
        giving_up = [asyncio.ensure_future(it.call(Priority.OPERATOR)) for _ in range(10)]
        waiting = asyncio.ensure_future(it.call(Priority.OPERATOR))
        before = len(it.sent)
        for call in giving_up:
            await asyncio.sleep(0.4)
            call.cancel()
        await waiting
        assert len(it.sent) - before <= 100 / SHARES[Priority.OPERATOR] + 1
        for call in calls:
            call.cancel()

    virtual.run(main())


@pytest.mark.parametrize("steps", range(12))
def test_a_turn_of_a_class_that_comes_at_the_moment_of_giving_up_goes_to_the_next_of_it(steps: int) -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 1}, {}))
        calls = storm(it, (Priority.VERIFY,), ())
        first = asyncio.ensure_future(it.call(Priority.OPERATOR))
        second = asyncio.ensure_future(it.call(Priority.OPERATOR))
        await asyncio.sleep((100 / SHARES[Priority.OPERATOR] - 1) * (1 + MARGIN))
        await asyncio.sleep(it.times()[-1] + 1 + MARGIN - it.clock.monotonic())
        for _ in range(steps):
            await asyncio.sleep(0)
        first.cancel()
        await second
        for call in calls:
            call.cancel()
        assert it.order().index(Priority.OPERATOR) <= 100 / SHARES[Priority.OPERATOR] + 2

    virtual.run(main())


def test_hung_reads_do_not_keep_a_turn_from_the_urgent_that_their_class_is_owed() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 5}, {}))
        reads = [asyncio.ensure_future(it.call(takes=10, answered=False)) for _ in range(20)]
        await asyncio.sleep(3)
        calls = storm(it, (Priority.VERIFY,), ())
        await asyncio.sleep(6.5)
        assert it.order() == [Priority.POLL] * 4 + [Priority.VERIFY] * 7, "the slot that is left is used all the time"
        for each in (*reads, *calls):
            each.cancel()

    virtual.run(main())


def test_those_who_give_up_waste_nothing() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 2}, {"1": 100}))
        await it.limiter.open()
        async with asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(it.call(Priority(n % 6))) for n in range(30)]
            await settled()
            for task in waiting[:29]:
                task.cancel()
            await asyncio.sleep(1.2)
        assert len(it.sent) == 1
        assert it.limiter.calls_today()[1] == 1

    virtual.run(main())


@pytest.mark.parametrize("steps", range(12))
def test_a_turn_that_comes_at_the_moment_of_giving_up_goes_to_the_next(steps: int) -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 1}, {}))
        await it.call()
        free_at = it.times()[0] + 1 + MARGIN
        leading, giving_up, last = (
            asyncio.ensure_future(it.call(priority)) for priority in (Priority.DECIDE, Priority.WRITE, Priority.POLL)
        )
        await asyncio.sleep(free_at - it.clock.monotonic())
        for _ in range(steps):
            await asyncio.sleep(0)
        giving_up.cancel()
        await asyncio.gather(leading, giving_up, last, return_exceptions=True)
        assert [priority for priority in it.order()[1:] if priority != Priority.WRITE] == [2, 4]
        assert it.times()[1] == pytest.approx(free_at, abs=0.001)

    virtual.run(main())


def test_a_deadline_ends_the_wait() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 1}, {}))
        await it.call()
        soon = it.clock.monotonic() + 0.5
        with pytest.raises(QuotaSpent, match="before its deadline"):
            await it.call(deadline=soon)
        assert it.clock.monotonic() == pytest.approx(soon, abs=0.001)
        with pytest.raises(QuotaSpent):
            await it.call(deadline=soon)
        await it.call(deadline=soon + 1)
        assert len(it.sent) == 2

    virtual.run(main())


def test_hung_reads_leave_a_slot_and_connections_to_the_urgent() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 5}, {}))
        async with asyncio.TaskGroup() as tasks:
            reads = [tasks.create_task(it.call(takes=10, answered=False)) for _ in range(20)]
            await asyncio.sleep(3)
            assert len(it.sent) == 4
            await it.call(Priority.VERIFY)
            await asyncio.sleep(1.1)
            await it.call(Priority.WRITE)
            for task in reads:
                task.cancel()
            await asyncio.sleep(0)
        assert it.order() == [Priority.POLL] * 4 + [Priority.VERIFY, Priority.WRITE]

    virtual.run(main())


def test_reads_go_on_when_those_without_answer_cannot_arrive_any_more() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 2}, {}))
        began = it.clock.monotonic()
        await it.call(takes=1, answered=False)
        await it.call()
        assert it.times()[1] - began == pytest.approx(10, abs=0.001)

    virtual.run(main())


@pytest.mark.parametrize(("priority", "at_once"), [(Priority.POLL, 12), (Priority.WRITE, 16)])
def test_at_most_sixteen_are_under_way_and_four_are_kept(priority: Priority, at_once: int) -> None:
    async def main() -> None:
        it = World(UNLIMITED)
        under_way = most = 0

        async def call() -> None:
            nonlocal under_way, most
            async with it.limiter.turn(1, priority):
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(1)
                under_way -= 1

        async with asyncio.TaskGroup() as tasks:
            for _ in range(40):
                tasks.create_task(call())
        assert most == at_once

    virtual.run(main())


def test_a_share_below_one_call_a_second_makes_the_period_longer() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 5}, {}), share=0.1)
        await it.calls(3)
        gaps = [late - early for early, late in zip(it.times(), it.times()[1:], strict=False)]
        assert gaps == [pytest.approx(2 + MARGIN, abs=0.001)] * 2

    virtual.run(main())


@pytest.mark.parametrize("bad", [{"share": 0.0}, {"share": 1.1}, {"action_reserve": 1.0}, {"action_reserve": -0.1}])
def test_a_share_that_is_none_is_refused(bad: dict[str, float]) -> None:
    both = {"share": 1.0, "action_reserve": 0.2} | bad
    with pytest.raises(ValueError, match="share"):
        Limiter(
            "a",
            UNLIMITED,
            MemoryLedger(),
            LoopClock(NOON),
            share=both["share"],
            action_reserve=both["action_reserve"],
            timeout=10,
            zone=SHANGHAI,
        )


async def test_a_fast_clock_has_fast_seconds() -> None:
    clock = ScaledClock(100.0, NOON)
    limiter = Limiter("a", PLANS["basic"], MemoryLedger(), clock, timeout=10, zone=SHANGHAI)
    began = asyncio.get_running_loop().time()
    await limiter.open()
    for _ in range(6):
        async with limiter.turn(3, Priority.POLL) as turn:
            turn.sent()
            turn.answered()
    assert 0.02 <= asyncio.get_running_loop().time() - began < 1


# The day ---------------------------------------------------------------------------------------------------------


def test_polls_stop_at_the_reserve_and_the_rest_at_the_limit() -> None:
    async def main() -> None:
        it = World(QuotaPlan({}, {"1+2": 10}))
        await it.limiter.open()
        await it.calls(4, Priority.POLL, 1)
        await it.calls(4, Priority.ALERTS, 2)
        for priority in (Priority.POLL, Priority.ALERTS):
            with pytest.raises(QuotaSpent, match=r"levels 1\+2: 8 of 10 calls of 2026-01-05 are used, the last 2"):
                await it.call(priority)
        await it.call(Priority.OPERATOR, 2)
        await it.call(Priority.WRITE)
        for priority in set(Priority) - {Priority.POLL, Priority.ALERTS}:
            with pytest.raises(QuotaSpent, match=r"10 of 10 calls of 2026-01-05 are used$"):
                await it.call(priority)
        await it.calls(30, Priority.POLL, 3)
        assert it.limiter.usage() == [PoolUse("1+2", 10, 10, 2), PoolUse("3", 30, None, 0)]
        assert it.limiter.calls_today() == {1: 5, 2: 5, 3: 30}

    virtual.run(main())


def test_those_who_wait_when_the_day_is_spent_hear_of_it() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 1}, {"1": 3}), action_reserve=0.0)
        results = await asyncio.gather(*(it.call() for _ in range(5)), return_exceptions=True)
        assert [type(each) for each in results] == [type(None)] * 3 + [QuotaSpent] * 2

    virtual.run(main())


def test_a_share_applies_to_the_day_as_well() -> None:
    async def main() -> None:
        it = World(QuotaPlan({}, {"1": 100, "2": 1}), share=0.29, action_reserve=0.1)
        assert it.limiter.usage()[:2] == [PoolUse("1", 0, 29, 3), PoolUse("2", 0, 1, 1)]

    virtual.run(main())


@pytest.mark.parametrize(
    ("limit", "calls", "leases"), [(1000, 20, 20), (10_000, 20, 2), (50_000, 60, 2), (None, 60, 2), (200_000, 60, 2)]
)
def test_the_larger_the_day_the_larger_the_leased_block(limit: int | None, calls: int, leases: int) -> None:
    async def main() -> None:
        it = World(QuotaPlan({}, {"1": limit} if limit else {}))
        await it.limiter.open()
        await it.calls(calls)
        assert it.ledger.leases == leases
        assert it.ledger.counts["a", TODAY][1] >= calls
        await it.limiter.close()
        assert it.ledger.counts["a", TODAY][1] == calls

    virtual.run(main())


def test_a_block_does_not_exceed_what_is_left_of_the_day() -> None:
    async def main() -> None:
        it = World(QuotaPlan({}, {"1+2": 10_000}))
        it.ledger.counts["a", TODAY][2] = 9_995
        await it.limiter.open()
        await it.call(Priority.WRITE)
        assert it.ledger.counts["a", TODAY] == {1: 5, 2: 9_995}
        await it.call(Priority.WRITE, 2)
        assert it.limiter.calls_today() == {1: 1, 2: 9_996, 3: 0}

    virtual.run(main())


def test_a_new_process_goes_on_where_the_ledger_stands() -> None:
    async def main() -> None:
        first = World(PLANS["personal"])
        await first.limiter.open()
        await first.calls(7)
        second = World(PLANS["personal"], ledger=first.ledger)
        await second.limiter.open()
        assert second.limiter.calls_today()[1] == 7

    virtual.run(main())


def test_a_limiter_that_nobody_opened_knows_the_day_all_the_same() -> None:
    async def main() -> None:
        it = World(PLANS["personal"])
        it.ledger.counts["a", TODAY][1] = 100
        with pytest.raises(QuotaSpent):
            await it.call(Priority.WRITE)

    virtual.run(main())


def test_a_call_is_counted_before_it_is_sent() -> None:
    async def main() -> None:
        it = World(PLANS["personal"], ledger=MemoryLedger(slow=0.2))
        async with it.limiter.turn(1, Priority.WRITE):
            assert it.ledger.counts["a", TODAY][1] == 1

    virtual.run(main())


def test_giving_up_while_the_call_is_counted_leaves_it_to_the_next() -> None:
    async def main() -> None:
        it = World(PLANS["personal"], ledger=MemoryLedger(slow=0.2))
        task = asyncio.ensure_future(it.call())
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.sleep(0.5)
        assert it.limiter.calls_today()[1] == 0
        await it.call()
        assert it.ledger.leases == 1

    virtual.run(main())


def test_a_ledger_that_cannot_count_stops_the_call_and_frees_its_slot() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 1}, {}))
        it.ledger.broken = StoreError("full")
        with pytest.raises(StoreError):
            await it.call()
        it.ledger.broken = None
        await it.call()
        assert len(it.sent) == 1

    virtual.run(main())


def test_the_day_begins_at_midnight_of_the_zone() -> None:
    async def main() -> None:
        it = World(PLANS["personal"], start=datetime(2026, 1, 5, 15, 59, tzinfo=UTC))
        await it.limiter.open()
        await it.calls(80)
        with pytest.raises(QuotaSpent):
            await it.call()
        await asyncio.sleep(60)
        assert it.limiter.usage() == [PoolUse("1+2+3", 0, 100, 20)]
        assert it.limiter.calls_today()[1] == 0
        await it.call()
        assert it.ledger.counts["a", TODAY][1] == 80
        assert it.ledger.counts["a", date(2026, 1, 6)][1] == 1

    virtual.run(main())


def test_a_block_of_yesterday_is_given_back_and_its_late_turns_change_nothing_today() -> None:
    async def main() -> None:
        it = World(QuotaPlan({}, {"1": 10_000}), start=datetime(2026, 1, 5, 15, 59, 40, tzinfo=UTC))
        await it.limiter.open()
        await asyncio.sleep(2)
        async with it.limiter.turn(1, Priority.WRITE):
            await asyncio.sleep(20)
            await it.call()
        assert it.ledger.counts["a", TODAY][1] == 1
        assert it.limiter.calls_today()[1] == 1

    virtual.run(main())


@pytest.mark.parametrize(
    ("seconds", "leaves", "days"),
    [(0, 0.0, (5,)), (47, 0.0, (5,)), (49, 0.0, (5, 6)), (59.5, 0.0, (5, 6)), (60, 2.0, (6,)), (61.5, 0.5, (6,))],
)
def test_a_call_counts_on_every_day_on_which_it_may_arrive(seconds: float, leaves: float, days: tuple[int]) -> None:
    async def main() -> None:
        it = World(PLANS["personal"], start=datetime(2026, 1, 5, 15, 59, tzinfo=UTC) + timedelta(seconds=seconds))
        began = it.clock.monotonic()
        async with it.limiter.turn(1, Priority.WRITE) as turn:
            turn.sent()
            assert it.clock.monotonic() - began == pytest.approx(leaves, abs=0.001)
            counted = {day: sum(it.ledger.counts["a", date(2026, 1, day)].values()) for day in (5, 6)}
            assert counted == {day: int(day in days) for day in (5, 6)}

    virtual.run(main())


def test_a_call_whose_counting_takes_until_midnight_is_counted_on_the_day_it_leaves() -> None:
    async def main() -> None:
        it = World(
            PLANS["personal"], start=datetime(2026, 1, 5, 15, 59, 45, tzinfo=UTC), ledger=MemoryLedger(slow=30.0)
        )
        task = asyncio.ensure_future(it.call(Priority.WRITE))
        await asyncio.sleep(10)
        it.ledger.slow = 0.0
        await task
        assert it.clock.now() >= datetime(2026, 1, 5, 16, 0, 2, tzinfo=UTC)
        assert it.limiter.calls_today()[1] == 1
        assert it.ledger.counts["a", date(2026, 1, 6)][1] == 1
        await it.limiter.close()
        assert {str(spend.day): calls for spend, calls in it.ledger.spends.items() if calls} == {"2026-01-06": 1}

    virtual.run(main())


def test_without_a_daily_quota_midnight_is_as_any_other_moment() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 5}, {}), start=datetime(2026, 1, 5, 15, 59, 59, tzinfo=UTC))
        began = it.clock.monotonic()
        await it.call()
        assert it.times()[0] == pytest.approx(began, abs=0.001)

    virtual.run(main())


def test_a_clock_that_jumps_back_does_not_give_the_day_again() -> None:
    async def main() -> None:
        it = World(PLANS["personal"], start=datetime(2026, 1, 5, 16, 0, 30, tzinfo=UTC))
        tomorrow = date(2026, 1, 6)
        await it.limiter.open()
        await it.calls(80)
        it.clock.jumped = timedelta(minutes=-10)
        with pytest.raises(QuotaSpent, match="2026-01-06"):
            await it.call()
        await it.call(Priority.WRITE)
        assert it.ledger.counts["a", tomorrow][1] == 81
        assert it.ledger.counts["a", TODAY] == {1: 1}, "nobody knows which of the two days it is"

    virtual.run(main())


# Throttling ------------------------------------------------------------------------------------------------------


def test_a_named_wait_rests_the_whole_pool_and_no_other() -> None:
    async def main() -> None:
        it = World(PLANS["basic"])
        began = it.clock.monotonic()
        it.limiter.throttled(1, 20.0)
        it.limiter.throttled(1, 5.0)
        await it.call(Priority.VERIFY, 2)
        await it.call(Priority.VERIFY, 1)
        assert it.times()[0] == pytest.approx(began, abs=0.01)
        assert it.times()[1] - began == pytest.approx(20, abs=0.001)

    virtual.run(main())


@pytest.mark.parametrize(("named", "waits"), [(-5.0, 0.0), (1e9, 86400.0)])
def test_a_named_wait_is_kept_to_within_reason(named: float, waits: float) -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 1}, {}))
        began = it.clock.monotonic()
        it.limiter.throttled(1, named)
        await it.call()
        assert it.times()[0] - began == pytest.approx(waits, abs=0.001)

    virtual.run(main())


async def most_in_a_period(it: World, seconds: float = 5.0) -> int:
    """The most calls within a period, of a storm that lasts so long; each is answered well."""

    async def again() -> None:
        while True:
            await it.call(Priority.DECIDE)
            it.limiter.served(1)

    began = it.clock.monotonic()
    calls = [asyncio.ensure_future(again()) for _ in range(100)]
    await asyncio.sleep(seconds)
    for call in calls:
        call.cancel()
    times = [when for when in it.times() if when >= began]
    return max(sum(when <= other < when + 1 for other in times) for when in times)


def allowed(it: World) -> float:
    return it.limiter.rates()[0].allowed


def test_a_throttle_halves_what_was_used_and_it_comes_back_by_a_twentieth_every_ten_seconds() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 20}, {}))
        assert await most_in_a_period(it) == 20
        with structlog.testing.capture_logs() as logs:
            it.limiter.throttled(1, 1.0)
            assert allowed(it) == 10
            assert await most_in_a_period(it, 10.5) == 10
            assert await most_in_a_period(it, 10.0) == 11
            await most_in_a_period(it, 71.0)
            assert allowed(it) == 19
            assert await most_in_a_period(it, 20.0) == 20
        assert it.limiter.rates() == [PoolRate("1", 20.0, 20.0)]
        assert [(each["event"], each["allowed"]) for each in logs] == [
            ("quota.rate_reduced", 10),
            ("quota.rate_restored", 20),
        ]

    virtual.run(main())


def test_half_of_what_was_used_is_less_than_half_of_the_rate_where_little_was_used() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 20}, {}))
        await it.calls(6)
        it.limiter.throttled(1, 1.0)
        assert allowed(it) == 3

    virtual.run(main())


def test_the_throttles_of_one_moment_are_one_and_one_call_a_period_always_goes() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 20}, {}))
        await most_in_a_period(it)
        with structlog.testing.capture_logs() as logs:
            for _ in range(5):
                it.limiter.throttled(1, 0.0)
            assert allowed(it) == 10
            for before, after in ((10, 5), (5, 2), (2, 1), (1, 1)):
                assert await most_in_a_period(it, 4.0) == before
                it.limiter.throttled(1, 0.0)
                assert allowed(it) == after
        assert [each["event"] for each in logs] == ["quota.rate_reduced"]

    virtual.run(main())


def test_a_rest_is_no_time_without_a_throttle_and_only_answers_bring_the_rate_back() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 20}, {}))
        await most_in_a_period(it)
        it.limiter.throttled(1, 600.0)
        await asyncio.sleep(605)
        it.limiter.served(1)
        assert allowed(it) == 10
        await asyncio.sleep(1000)
        assert allowed(it) == 10
        it.limiter.served(1)
        assert allowed(it) == 20

    virtual.run(main())


def test_a_rate_of_one_call_a_period_is_not_reduced() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 5, "2": 50}, {}), share=0.1)
        await it.call()
        with structlog.testing.capture_logs() as logs:
            it.limiter.throttled(1, 0.0)
            it.limiter.throttled(3, 0.0)
        assert it.limiter.rates() == [PoolRate("1", 0.5, 0.5), PoolRate("2", 5.0, 5.0)]
        assert logs == []

    virtual.run(main())


def test_where_less_is_allowed_the_last_slot_is_kept_for_the_urgent_all_the_same() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 20}, {}))
        await it.calls(8)
        it.limiter.throttled(1, 1.0)
        assert allowed(it) == 4
        await asyncio.sleep(3)
        reads = [asyncio.ensure_future(it.call(takes=10, answered=False)) for _ in range(10)]
        await asyncio.sleep(3)
        assert len(it.sent) == 8 + 3
        await it.call(Priority.VERIFY)
        assert it.order()[-1] == Priority.VERIFY
        for each in reads:
            each.cancel()

    virtual.run(main())


def test_without_a_named_wait_the_rest_doubles_up_to_a_minute_and_service_ends_that() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 5}, {}))
        rests = []
        for _ in range(9):
            began = it.clock.monotonic()
            it.limiter.throttled(1)
            it.limiter.throttled(1)
            await it.call()
            rests.append(it.times()[-1] - began)
        assert [round(each) for each in rests] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        it.limiter.served(1)
        began = it.clock.monotonic()
        it.limiter.throttled(1)
        await it.call()
        assert it.times()[-1] - began < 1.3

    virtual.run(main())


async def throttle_until_spent(it: World, level: int = 1) -> None:
    """As a client does that is throttled whatever it sends."""
    async with asyncio.timeout(600):
        while True:
            await it.call(Priority.POLL, level)
            it.limiter.throttled(level)


def test_throttling_over_two_minutes_is_taken_for_a_spent_day_and_probed_by_reads() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1+2+3": 5}, {"1+2": 10_000, "3": 10_000}))
        with pytest.raises(QuotaSpent, match="as if the calls of 2026-01-05 were spent"):
            await throttle_until_spent(it)
        assert it.times()[-1] - it.times()[0] >= 120
        assert [each.spent for each in it.limiter.usage()] == [True, False]
        with pytest.raises(QuotaSpent):
            await it.call(Priority.VERIFY, 2)
        await it.call(Priority.POLL, 3)
        await asyncio.sleep(30 * 60)
        with pytest.raises(QuotaSpent):
            async with it.limiter.turn(1, Priority.WRITE, reads=False):
                pytest.fail("a write is no probe")
        await it.call(Priority.POLL, 2)
        with pytest.raises(QuotaSpent):
            await it.call(Priority.POLL, 1)
        it.limiter.throttled(2)
        await asyncio.sleep(30 * 60)
        await it.call(Priority.POLL, 2)
        it.limiter.served(2)
        await it.calls(5, Priority.WRITE, 1)
        assert not any(each.spent for each in it.limiter.usage())

    virtual.run(main())


def test_waiters_of_a_spent_pool_are_sent_away_and_others_served() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1+2+3": 1}, {"1": 10_000}))
        await it.limiter.open()
        await asyncio.sleep(2)
        for _ in range(2):
            it.limiter.throttled(1)
            await asyncio.sleep(70)
        async with asyncio.TaskGroup() as tasks:
            slow = tasks.create_task(it.call(Priority.POLL, 2, takes=5))
            await settled()
            results = [tasks.create_task(refused(it.call(Priority.POLL, level))) for level in (1, 3, 1)]
            await settled()
            it.limiter.throttled(1)
            await settled()
            assert [task.done() for task in results] == [True, False, True]
        assert slow.done()
        assert [task.result() for task in results] == [True, False, True]

    virtual.run(main())


async def refused(call: Coroutine[None, None, None]) -> bool:
    try:
        await call
    except QuotaSpent:
        return True
    return False


def test_a_new_day_ends_the_rest_of_a_spent_one() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 5}, {"1": 10_000}), start=datetime(2026, 1, 5, 15, 50, tzinfo=UTC))
        await it.limiter.open()
        with pytest.raises(QuotaSpent):
            await throttle_until_spent(it)
        await asyncio.sleep(600)
        assert not any(each.spent for each in it.limiter.usage())
        await it.call()

    virtual.run(main())


def test_a_pool_without_a_daily_limit_only_backs_off() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 5}, {}))
        with pytest.raises(TimeoutError):
            await throttle_until_spent(it)

    virtual.run(main())


def test_throttles_with_an_answer_between_them_are_no_spent_day() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 5}, {"1": 10_000}))
        for _ in range(6):
            it.limiter.throttled(1)
            await asyncio.sleep(70)
            it.limiter.served(1)
        await it.call()

    virtual.run(main())


def test_tenants_of_one_account_share_the_rate() -> None:
    async def main() -> None:
        it = World(QuotaPlan({"1": 2}, {}))
        by_second: dict[int, int] = defaultdict(int)
        await asyncio.gather(it.calls(6), it.calls(6))
        for when in it.times():
            by_second[int(when - it.times()[0])] += 1
        assert max(by_second.values()) <= 2

    virtual.run(main())


def test_the_loop_of_these_tests_notices_when_everything_waits_for_ever() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="for ever"):
        virtual.run(main())
