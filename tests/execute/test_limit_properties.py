"""The limiter under everything that may happen to calls, in virtual time.

A server notes when calls arrive, somewhere between their sending and their answer, whether or not the caller still
waits. What must hold: in no second more calls than the quota, on no day more than the day's, none counted too low.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counting import MemoryLedger
from phinops import virtual
from phinops.catalog.quotas import QuotaPlan
from phinops.clock import LoopClock
from phinops.errors import QuotaSpent
from phinops.execute.limit import Limiter, Priority

LONG = bool(os.environ.get("PHINOPS_LONG"))
TIMEOUT = 3.0
SHANGHAI = ZoneInfo("Asia/Shanghai")

pytestmark = pytest.mark.long


@dataclass(frozen=True, slots=True)
class Call:
    """One call: when it is asked for, how long it takes there and back, and when its caller gives up, if ever.

    `frozen`: how long the process stands still between saying that it sends and sending.
    """

    after: float
    level: int
    priority: Priority
    there: float
    back: float
    gives_up: float | None
    unused: bool
    frozen: float


@dataclass(slots=True)
class Server:
    """What the other side sees, whatever the client's process does; with its end its connections end."""

    arrivals: list[tuple[float, int, date]] = field(default_factory=list)

    def send(self, clock: LoopClock, there: float, level: int) -> None:
        when = clock.now() + timedelta(seconds=there)
        self.arrivals.append((clock.monotonic() + there, level, when.astimezone(SHANGHAI).date()))

    def client_ended(self, now: float) -> None:
        self.arrivals = [arrival for arrival in self.arrivals if arrival[0] <= now]


latency = st.one_of(
    st.just(0.0), st.floats(0, 0.05), st.floats(0, 1.5), st.sampled_from([0.5, 0.999, 1.0, 1.001, TIMEOUT, 2 * TIMEOUT])
)
calls = st.builds(
    Call,
    after=st.one_of(st.just(0.0), st.floats(0, 4)),
    level=st.sampled_from([1, 1, 2, 3]),
    priority=st.sampled_from(list(Priority)),
    there=latency,
    back=latency,
    gives_up=st.one_of(st.none(), st.none(), st.floats(0, 3)),
    unused=st.sampled_from([False] * 7 + [True]),
    frozen=st.sampled_from([0.0] * 9 + [0.3, 2.0, 5.0]),
)
plans = st.sampled_from(
    [
        QuotaPlan({"1+2+3": 5}, {"1+2+3": 30}),
        QuotaPlan({"1+2+3": 1}, {"1+2+3": 5}),
        QuotaPlan({"1": 10, "2": 4, "3": 2}, {"1+2": 12, "3": 4}),
        QuotaPlan({"1": 20, "2+3": 2}, {"3": 4000}),
    ]
)
stalls = st.lists(st.tuples(st.floats(0, 4), st.floats(0, 2)), max_size=3)


class Trial:
    """Calls against one account, by one process after the other."""

    def __init__(self, plan: QuotaPlan, share: float, start: datetime) -> None:
        self.plan = plan
        self.share = share
        self.clock = LoopClock(start - timedelta(seconds=asyncio.get_running_loop().time()))
        self.ledger = MemoryLedger(slow=0.001)
        self.server = Server()
        self.limiter = self.new_limiter()

    def new_limiter(self) -> Limiter:
        return Limiter(
            "a",
            self.plan,
            self.ledger,
            self.clock,
            share=self.share,
            action_reserve=0.3,
            timeout=TIMEOUT,
            zone=SHANGHAI,
        )

    async def process(self, work: list[Call], stalls: list[tuple[float, float]], lives: float | None) -> None:
        """A process that does `work` and, after `lives` seconds, is killed."""
        self.limiter = self.new_limiter()
        await self.limiter.open()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual.FastLoop)
        handles = [loop.call_later(after, loop.stall, seconds) for after, seconds in stalls]
        try:
            async with asyncio.timeout(lives), asyncio.TaskGroup() as tasks:
                for call in work:
                    tasks.create_task(self.carry_out(call))
            await self.limiter.close()
        except TimeoutError:
            pass  # killed: what it had leased stays counted
        self.server.client_ended(self.clock.monotonic())
        for handle in handles:
            handle.cancel()

    async def carry_out(self, call: Call) -> None:
        await asyncio.sleep(call.after)
        try:
            async with asyncio.timeout(call.gives_up):
                await self.send(call)
        except (TimeoutError, QuotaSpent):
            return

    async def send(self, call: Call) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual.FastLoop)
        async with self.limiter.turn(call.level, call.priority) as turn:
            if call.unused:
                return
            async with asyncio.timeout(TIMEOUT):
                turn.sent()
                loop.stall(call.frozen)
                # What has not arrived when the time-out closes the connection never will.
                if call.frozen + call.there <= TIMEOUT or not call.there:
                    self.server.send(self.clock, call.there, call.level)
                await asyncio.sleep(call.there + call.back)
            turn.answered()

    def check(self) -> None:
        for pool, quota in self.plan.rates.items():
            levels = [int(level) for level in pool.split("+")]
            times = sorted(when for when, level, _ in self.server.arrivals if level in levels)
            for early, late in zip(times, times[quota:], strict=False):
                assert late - early > 1.0, f"pool {pool}: more than {quota} in a second from {early}"
        arrived = Counter((day, level) for _, level, day in self.server.arrivals)
        for pool, quota in self.plan.days.items():
            levels = [int(level) for level in pool.split("+")]
            for day in {day for day, _ in arrived}:
                assert sum(arrived[day, level] for level in levels) <= quota
        counted = sum(sum(levels.values()) for levels in self.ledger.counts.values())
        assert len(self.server.arrivals) <= counted


@settings(
    max_examples=10_000 if LONG else 150,
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    plan=plans,
    share=st.sampled_from([1.0, 1.0, 0.5, 0.1]),
    lives=st.lists(
        st.tuples(st.lists(calls, max_size=40), stalls, st.one_of(st.none(), st.floats(0, 6))), min_size=1, max_size=3
    ),
)
def test_no_second_and_no_day_is_ever_above_its_quota(
    plan: QuotaPlan, share: float, lives: list[tuple[list[Call], list[tuple[float, float]], float | None]]
) -> None:
    async def main() -> None:
        trial = Trial(plan, share, datetime(2026, 1, 5, 4, tzinfo=UTC))
        for work, stalls, until in lives:
            await trial.process(work, stalls, until)
        await asyncio.sleep(2 * TIMEOUT)
        trial.check()

    virtual.run(main())


@settings(max_examples=5_000 if LONG else 60, deadline=None, derandomize=not LONG)
@given(
    plan=plans,
    work=st.lists(calls, min_size=5, max_size=40),
    jumps=st.lists(st.tuples(st.floats(0, 8), st.integers(-900, 900)), max_size=3),
)
def test_a_day_is_never_given_twice_whatever_the_clock_does(
    plan: QuotaPlan, work: list[Call], jumps: list[tuple[float, int]]
) -> None:
    """Around midnight, with a wall clock that jumps: two days may be used, each within its own limit."""

    async def main() -> None:
        trial = Trial(plan, 1.0, datetime(2026, 1, 5, 15, 59, 57, tzinfo=UTC))
        loop = asyncio.get_running_loop()

        def jump(seconds: int) -> None:
            trial.clock.jumped = timedelta(seconds=seconds)

        for after, seconds in jumps:
            loop.call_later(after, jump, seconds)
        await trial.process(work, [], None)
        await asyncio.sleep(10)
        for pool, quota in plan.days.items():
            levels = [int(level) for level in pool.split("+")]
            arrived = len([level for _, level, _ in trial.server.arrivals if level in levels])
            assert arrived <= 2 * quota
            for day in trial.ledger.counts.values():
                assert sum(day[level] for level in levels) <= quota
        assert len(trial.ledger.counts) <= 2

    virtual.run(main())


@settings(max_examples=2_000 if LONG else 60, deadline=None, derandomize=not LONG)
@given(
    quota=st.sampled_from([1, 2, 5]),
    waiting=st.lists(st.tuples(st.floats(0, 3), st.sampled_from(list(Priority))), min_size=2, max_size=25),
)
def test_no_call_goes_before_a_more_urgent_one_that_waited_already(
    quota: int, waiting: list[tuple[float, Priority]]
) -> None:
    async def main() -> None:
        limiter = Limiter(
            "a",
            QuotaPlan({"1": quota}, {}),
            MemoryLedger(),
            LoopClock(datetime(2026, 1, 5, tzinfo=UTC)),
            timeout=TIMEOUT,
            zone=SHANGHAI,
        )
        loop = asyncio.get_running_loop()
        served: list[tuple[float, float, Priority]] = []

        async def call(after: float, priority: Priority) -> None:
            await asyncio.sleep(after)
            asked = loop.time()
            async with limiter.turn(1, priority) as turn:
                served.append((asked, loop.time(), priority))
                turn.sent()
                await asyncio.sleep(0.01)
                turn.answered()

        async with asyncio.TaskGroup() as tasks:
            for after, priority in waiting:
                tasks.create_task(call(after, priority))
        for n, (_, when, priority) in enumerate(served):
            overtaken = [other for other in served[n + 1 :] if other[0] < when - 0.001 and other[2] < priority]
            assert not overtaken

    virtual.run(main())
