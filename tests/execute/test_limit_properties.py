"""The limiter under everything that may happen to calls, in virtual time.

A server notes when calls arrive, somewhere between their sending and their answer, whether or not the caller still
waits. What must hold: in no second more calls than the quota, on no day more than the day's, none counted too low.

What a day is: the server goes by its own clock, which is right here, and the daemon by a wall clock that jumps. As long
as the clock was right when a process began, however it jumps then, the process uses no more of any of the server's days
than the quota. One that began with a wrong clock has no more than the quota for each date that it took it to be.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter
from dataclasses import dataclass
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
from phinops.execute.slots import MARGIN

LONG = bool(os.environ.get("PHINOPS_LONG"))
TIMEOUT = 3.0
SHANGHAI = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 1, 5, tzinfo=SHANGHAI)

pytestmark = pytest.mark.long


@dataclass(frozen=True, slots=True)
class Call:
    """One call: when it is asked for, how long it takes there and back, and when its caller gives up, if ever.

    `hangs_up`: the seconds after the sending when the caller goes. `frozen`: how long the process stands still between
    saying that it sends and sending. `throttled`: the answer is a throttle, with the wait that it names or none.
    """

    after: float
    level: int
    priority: Priority
    there: float
    back: float
    gives_up: float | None
    unused: bool
    frozen: float
    hangs_up: float = TIMEOUT
    throttled: tuple[float | None] | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the server saw: when, and by its own clock on which day.

    `trusted`: the daemon's wall clock was right when the process began.
    """

    when: float
    level: int
    day: date
    trusted: bool


@dataclass(frozen=True, slots=True)
class Life:
    """One process: its work, when it stands still and for how long, when its clock jumps and how far off it is then.

    `lives`: the seconds after which it is killed; None: it ends by itself, and cleanly.
    """

    work: list[Call]
    stalls: list[tuple[float, float]]
    jumps: list[tuple[float, float]]
    lives: float | None


latency = st.one_of(
    st.just(0.0),
    st.floats(0, 0.05),
    st.floats(0, 1.5),
    st.floats(0.5, TIMEOUT),
    st.sampled_from([0.5, 0.999, 1.0, 1.001, TIMEOUT, 2 * TIMEOUT]),
)
calls = st.builds(
    Call,
    after=st.one_of(st.just(0.0), st.floats(0, 4)),
    level=st.sampled_from([1, 1, 2, 3]),
    priority=st.sampled_from(list(Priority)),
    there=latency,
    back=latency,
    gives_up=st.one_of(st.none(), st.none(), st.none(), st.floats(0, 3)),
    unused=st.sampled_from([False] * 7 + [True]),
    frozen=st.sampled_from([0.0] * 9 + [0.3, 2.0, 5.0]),
    hangs_up=st.one_of(st.just(TIMEOUT), st.just(TIMEOUT), st.floats(0, TIMEOUT)),
    throttled=st.sampled_from([None] * 40 + [(None,), (0.02,), (1.5,), (60.0,)]),
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
offsets = st.one_of(
    st.just(0.0), st.floats(-15, 15), st.integers(-900, 900).map(float), st.sampled_from([-90_000.0, 90_000.0])
)
jumps: st.SearchStrategy[list[tuple[float, float]]] = st.one_of(
    st.just([]), st.lists(st.tuples(st.floats(0, 8), offsets), max_size=3)
)
lives = st.builds(
    Life,
    work=st.lists(calls, min_size=12, max_size=30),
    stalls=stalls,
    jumps=jumps,
    lives=st.one_of(st.none(), st.floats(0, 1), st.floats(1, 6)),
)
starts = st.one_of(
    st.just(START.replace(hour=12)),
    st.floats(-12, 3).map(lambda seconds: START + timedelta(days=1, seconds=seconds)),
)


class Trial:
    """Calls against one account, by one process after the other."""

    def __init__(self, plan: QuotaPlan, share: float, start: datetime, slow: float) -> None:
        self.plan = plan
        self.share = share
        self.start = start.astimezone(UTC) - timedelta(seconds=asyncio.get_running_loop().time())
        self.clock = LoopClock(self.start)
        self.ledger = MemoryLedger(slow=slow)
        self.arrivals: list[Arrival] = []
        self.trusted = True

    async def process(self, life: Life) -> None:
        """A process that does its work and, if it does not live so long, is killed; its connections end with it."""
        self.trusted = not self.clock.jumped
        self.limiter = Limiter(
            "a",
            self.plan,
            self.ledger,
            self.clock,
            share=self.share,
            action_reserve=0.3,
            timeout=TIMEOUT,
            zone=SHANGHAI,
        )
        await self.limiter.open()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual.FastLoop)
        handles = [loop.call_later(after, loop.stall, seconds) for after, seconds in life.stalls]
        handles += [loop.call_later(after, self.jump, seconds) for after, seconds in life.jumps]
        try:
            async with asyncio.timeout(life.lives), asyncio.TaskGroup() as tasks:
                for call in life.work:
                    tasks.create_task(self.carry_out(call))
            await self.limiter.close()
        except TimeoutError:
            pass  # killed: what it had leased stays counted
        now = self.clock.monotonic()
        self.arrivals = [arrival for arrival in self.arrivals if arrival.when <= now]
        for handle in handles:
            handle.cancel()

    def jump(self, offset: float) -> None:
        """Let the wall clock be so many seconds ahead of the server's."""
        self.clock.jumped = timedelta(seconds=offset)

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
            async with asyncio.timeout(min(call.hangs_up, TIMEOUT)):
                turn.sent()
                loop.stall(call.frozen)
                # What has not arrived when the time-out closes the connection never will.
                if call.frozen + call.there <= TIMEOUT or not call.there:
                    self.arrive(call)
                await asyncio.sleep(call.there + call.back)
            turn.answered()
        if call.throttled is None:
            self.limiter.served(call.level)
        else:
            self.limiter.throttled(call.level, call.throttled[0])

    def arrive(self, call: Call) -> None:
        when = self.clock.monotonic() + call.there
        day = (self.start + timedelta(seconds=when)).astimezone(SHANGHAI).date()
        self.arrivals.append(Arrival(when, call.level, day, self.trusted))

    def check(self) -> None:
        for pool, quota in self.plan.rates.items():
            times = sorted(each.when for each in self.arrivals if str(each.level) in pool)
            for early, late in zip(times, times[quota:], strict=False):
                assert late - early > 1.0, f"pool {pool}: more than {quota} in a second from {early}"
        for pool, quota in self.plan.days.items():
            levels = [int(level) for level in pool.split("+")]
            arrived = [each for each in self.arrivals if each.level in levels]
            counted = {day: sum(calls[level] for level in levels) for (_, day), calls in self.ledger.counts.items()}
            for day, calls in Counter(each.day for each in arrived if each.trusted).items():
                assert calls <= quota, f"{day}: {calls}"
                assert calls <= counted[day], f"{day}: counted too low"
            assert len(arrived) <= sum(counted.values()), "counted too low"
            assert len(arrived) <= quota * sum(map(bool, counted.values())), "more than its dates have"


@settings(
    max_examples=10_000 if LONG else 400,
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    plan=plans,
    share=st.sampled_from([1.0, 1.0, 0.5, 0.1]),
    start=starts,
    slow=st.sampled_from([0.001, 0.001, 0.7]),
    lives=st.lists(lives, min_size=2, max_size=3),
)
def test_no_second_and_no_day_is_ever_above_its_quota(
    plan: QuotaPlan, share: float, start: datetime, slow: float, lives: list[Life]
) -> None:
    async def main() -> None:
        trial = Trial(plan, share, start, slow)
        for life in lives:
            await trial.process(life)
        await asyncio.sleep(2 * TIMEOUT)
        trial.check()

    virtual.run(main())


@dataclass(slots=True)
class Asked:
    """A caller of the next test. The times are infinite until it has come so far.

    `heard`: its answer is read, or cannot come any more. `free_at`: another may have its slot.
    """

    priority: Priority
    asked: float
    granted: float = math.inf
    heard: float = math.inf
    free_at: float = math.inf
    ended: float = math.inf


def check(found: list[Asked], quota: int) -> None:
    """Look at the line after everything that happened, from a period's part after each turn until the next one."""
    slack = 0.002
    events = sorted({at for it in found for at in (it.asked, it.heard, it.free_at, it.ended) if at < math.inf})
    turns = sorted(it.granted for it in found if it.granted < math.inf)
    for before, after in zip([0.0, *turns], [*turns, math.inf], strict=True):
        first = before + 1 / quota + slack
        for now in (first, *(at + slack for at in events if at + slack > first)):
            if now >= after - slack:
                break
            assert not may_go(found, quota, now - slack / 2), f"somebody waits for nothing at {now}"
    for priority in Priority:
        served = sorted((it.granted, it.asked) for it in found if it.priority == priority and it.granted < math.inf)
        assert [asked for _, asked in served] == sorted(asked for _, asked in served)


def may_go(found: list[Asked], quota: int, now: float) -> list[Asked]:
    """Who waits although there is a slot for it."""
    holding = [it for it in found if it.granted <= now < it.free_at]
    if len(holding) >= quota:
        return []
    unheard = [it for it in holding if now < it.heard and not it.priority.urgent]
    waiting = [it for it in found if it.asked <= now < min(it.granted, it.ended)]
    return [it for it in waiting if it.priority.urgent or quota == 1 or len(unheard) < quota - 1]


@settings(max_examples=2_000 if LONG else 100, deadline=None, derandomize=not LONG)
@given(
    quota=st.sampled_from([1, 2, 5]),
    waiting=st.lists(
        st.builds(
            Call,
            after=st.floats(0, 3),
            level=st.just(1),
            priority=st.sampled_from(list(Priority)),
            there=st.just(0.0),
            back=st.sampled_from([0.0, 0.01, 0.3, 2.0]),
            gives_up=st.one_of(st.none(), st.none(), st.floats(0, 3)),
            unused=st.sampled_from([False] * 5 + [True]),
            frozen=st.just(0.0),
        ),
        min_size=12,
        max_size=40,
    ),
)
def test_no_slot_is_free_while_somebody_waits_who_may_use_it(quota: int, waiting: list[Call]) -> None:
    """But for the pace, which spreads calls by a period's part each. Inside a class whoever came first goes first."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        clock = LoopClock(START)
        limiter = Limiter("a", QuotaPlan({"1": quota}, {}), MemoryLedger(), clock, timeout=TIMEOUT, zone=SHANGHAI)
        found: list[Asked] = []

        async def call(each: Call) -> None:
            await asyncio.sleep(each.after)
            it = Asked(each.priority, loop.time())
            found.append(it)
            try:
                async with asyncio.timeout(each.gives_up), limiter.turn(1, each.priority) as turn:
                    it.granted = it.heard = it.free_at = loop.time()
                    if not each.unused:
                        it.heard = it.granted + TIMEOUT
                        it.free_at = it.heard + 1 + MARGIN
                        turn.sent()
                        await asyncio.sleep(each.back)
                        turn.answered()
                        it.heard = loop.time()
                        it.free_at = it.heard + 1 + MARGIN
            except TimeoutError:
                pass
            it.ended = loop.time()

        async with asyncio.TaskGroup() as tasks:
            for each in waiting:
                tasks.create_task(call(each))
        check(found, quota)

    virtual.run(main())
