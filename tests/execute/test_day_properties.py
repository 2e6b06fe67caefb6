"""The quota days as a server counts them that has the right time, while ours jumps and processes come and go."""

from __future__ import annotations

import asyncio
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
from phinops.spending import Spender, spending

LONG = bool(os.environ.get("PHINOPS_LONG"))
SHANGHAI = ZoneInfo("Asia/Shanghai")
TIMEOUT = 10.0
BEGINS = datetime(2026, 1, 5, 13, 0, tzinfo=UTC)
MIDNIGHT = 3 * 3600.0
"""Seconds from BEGINS."""
LASTS = 40 * 3600.0

pytestmark = pytest.mark.long


@dataclass(frozen=True, slots=True)
class Call:
    """`at` is in seconds from BEGINS, `gap` passes before it is sent. What is `lost` arrives and is never answered."""

    at: float
    level: int
    gap: float
    there: float
    back: float
    lost: bool
    unused: bool


@dataclass(frozen=True, slots=True)
class Jump:
    """From `at` on the clock is off by `seconds`, for less than a day."""

    at: float
    seconds: float
    lasts: float


def near(moment: float, most: float) -> st.SearchStrategy[float]:
    return st.floats(max(0.0, moment - most), moment + most)


moments = st.one_of(near(MIDNIGHT, 30), near(MIDNIGHT, 30), near(MIDNIGHT + 86_400, 30), st.floats(0, LASTS))
latency = st.one_of(st.just(0.0), st.floats(0, 0.2), st.floats(0, TIMEOUT / 2))
calls = st.builds(
    Call,
    at=moments,
    level=st.sampled_from([1, 2]),
    gap=st.sampled_from([0.0, 0.0, 0.01, 0.5]),
    there=latency,
    back=latency,
    lost=st.sampled_from([False] * 5 + [True]),
    unused=st.sampled_from([False] * 5 + [True]),
)
jumps = st.builds(
    Jump,
    at=st.one_of(near(MIDNIGHT, 40), st.floats(0, LASTS)),
    seconds=st.one_of(
        st.floats(-60, 60), st.floats(-7200, 7200), st.sampled_from([-86_400, 86_400, 400 * 86_400, -400 * 86_400])
    ),
    lasts=st.one_of(st.floats(0, 60), st.floats(0, 23 * 3600)),
)


class Trial:
    """Processes, one after the other, on one account; a new one begins only while the clock is right."""

    def __init__(self, limit: int, skew: float) -> None:
        self.plan = QuotaPlan({}, {"1+2": limit})
        self.clock = LoopClock(BEGINS - timedelta(seconds=asyncio.get_running_loop().time()))
        self.began = self.clock.monotonic()
        self.skew = skew
        self.ledger = MemoryLedger()
        self.arrived: Counter[tuple[date, int]] = Counter()
        self.alive: list[asyncio.Task[None]] = []
        self.killed = 0
        self.limiter = self.new()

    def new(self) -> Limiter:
        return Limiter("a", self.plan, self.ledger, self.clock, timeout=TIMEOUT, zone=SHANGHAI)

    async def restart(self) -> None:
        """kill -9, and what is under way has arrived or never will."""
        for task in self.alive:
            task.cancel()
        await asyncio.gather(*self.alive, return_exceptions=True)
        self.alive.clear()
        self.killed += 1
        self.limiter = self.new()
        await self.limiter.open()

    async def call(self, call: Call) -> None:
        with spending(Spender("alerts")):
            try:
                async with self.limiter.turn(call.level, Priority.DECIDE, api="GetMyTenants") as turn:
                    if call.unused:
                        return
                    await asyncio.sleep(call.gap)
                    turn.sent()
                    await asyncio.sleep(call.there)
                    self.arrive(call.level)
                    await asyncio.sleep(call.back)
                    if not call.lost:
                        turn.answered()
            except QuotaSpent:
                return

    def arrive(self, level: int) -> None:
        truth = BEGINS + timedelta(seconds=self.clock.monotonic() - self.began + self.skew)
        self.arrived[truth.astimezone(SHANGHAI).date(), level] += 1

    async def live(self, work: list[Call], jumps: list[Jump], kills: list[float]) -> None:
        deeds: list[tuple[float, Call | float | None]] = [(call.at, call) for call in work]
        free = 0.0
        for jump in sorted(jumps, key=lambda each: each.at):
            if jump.at >= free:
                free = jump.at + jump.lasts + 60.0
                deeds += [(jump.at, jump.seconds), (jump.at + jump.lasts, 0.0)]
        deeds += [(at, None) for at in kills]
        await self.limiter.open()
        for at, deed in sorted(deeds, key=lambda each: each[0]):
            await asyncio.sleep(max(0.0, self.began + at - self.clock.monotonic()))
            if isinstance(deed, Call):
                self.alive.append(asyncio.ensure_future(self.call(deed)))
            elif deed is not None:
                self.clock.jumped = timedelta(seconds=deed)
                await self.limiter.flush()  # as the daemon does twice a minute
            elif not self.clock.jumped:
                await self.restart()
        await asyncio.gather(*self.alive)
        self.check()
        await self.limiter.close()
        self.check()

    def check(self) -> None:
        """No day above its quota, none counted too low."""
        for day in {day for day, _ in self.arrived}:
            assert sum(self.arrived[day, level] for level in (1, 2)) <= self.plan.days["1+2"]
        for (day, level), count in self.arrived.items():
            assert count <= self.ledger.counts["a", day][level], f"day {day}, level {level} is counted too low"


@settings(
    max_examples=10_000 if LONG else 200,
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    limit=st.sampled_from([3, 8, 20, 3000]),
    skew=st.sampled_from([0.0, 0.0, 1.5, -1.5]),
    work=st.lists(calls, min_size=3, max_size=50),
    jumps=st.lists(jumps, max_size=4),
    kills=st.lists(moments, max_size=3),
)
def test_no_day_is_above_its_quota_or_counted_too_low_whatever_the_clock_does(
    limit: int, skew: float, work: list[Call], jumps: list[Jump], kills: list[float]
) -> None:
    async def main() -> None:
        await Trial(limit, skew).live(work, jumps, kills)

    virtual.run(main())


@settings(max_examples=2_000 if LONG else 100, deadline=None, derandomize=not LONG)
@given(
    limit=st.sampled_from([8, 3000, 50_000]),
    work=st.lists(calls.filter(lambda call: abs(call.at - MIDNIGHT) > 60), min_size=3, max_size=50),
    kills=st.lists(st.floats(0, 20 * 3600).filter(lambda at: abs(at - MIDNIGHT) > 60), max_size=3),
)
def test_away_from_midnight_a_kill_costs_the_count_and_the_attribution_at_most_a_block(
    limit: int, work: list[Call], kills: list[float]
) -> None:
    async def main() -> None:
        trial = Trial(limit, 0.0)
        calm = [call for call in work if call.at < 20 * 3600]
        await trial.live(calm, [], kills)
        block = max(1, min(50, limit // 1000))
        for (day, level), arrived in trial.arrived.items():
            assert trial.ledger.counts["a", day][level] - arrived <= trial.killed * block
            told = sum(n for spend, n in trial.ledger.spends.items() if (spend.day, spend.level) == (day, level))
            assert abs(told - arrived) <= trial.killed * block
        if not trial.killed:
            assert sum(trial.ledger.spends.values()) == trial.arrived.total()

    virtual.run(main())
