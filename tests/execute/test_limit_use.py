"""How much of a rate a storm uses, in virtual time, against the simulator's own exact count of arrivals."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from counting import MemoryLedger
from phinops import virtual
from phinops.catalog.catalog import ApiSpec, Edition, load_catalog
from phinops.catalog.quotas import PLANS, QuotaPlan
from phinops.clock import LoopClock
from phinops.execute.limit import Limiter, Priority
from phinops.simulate.calendar import Calendar
from phinops.simulate.gate import Quota
from phinops.simulate.quirks import Quirks
from phinops.simulate.refusal import Refusal

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 1, 5, 4, tzinfo=UTC)
SECONDS = 60
"""How long a storm blows, about."""

LEAST_USED = {0.001: 0.98, 0.060: 0.92, 0.250: 0.77}
"""The part of the quota that must be used, by the seconds of a round trip."""

SPECS: dict[int, ApiSpec] = {
    1: load_catalog().require("GetMyTenants"),
    2: load_catalog().require("ListDataServicePublishedApis"),
    3: load_catalog().require("ListDataServiceApiCallStatistics"),
}


@dataclass(slots=True)
class Storm:
    """Calls of one level, all asked for at the same moment, and what the server makes of them."""

    plan: QuotaPlan
    level: int
    round_trip: float
    clock: LoopClock = field(init=False)
    limiter: Limiter = field(init=False)
    quota: Quota = field(init=False)
    times: list[float] = field(default_factory=list)
    refused: int = 0

    def __post_init__(self) -> None:
        self.clock = LoopClock(NOON - timedelta(seconds=asyncio.get_running_loop().time()))
        self.limiter = Limiter("a", self.plan, MemoryLedger(), self.clock, timeout=10, zone=SHANGHAI)
        self.quota = Quota(self.plan, {}, self.clock, Calendar(SHANGHAI), Quirks())

    @property
    def rate(self) -> int:
        return int(self.plan.rates[self.plan.rate_pool(self.level) or ""])

    async def blow(self) -> None:
        chance = random.Random(7)
        await self.limiter.open()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self.rate * SECONDS):
                tasks.create_task(self._call(chance.uniform(0, self.round_trip)))

    async def _call(self, there: float) -> None:
        # Not urgent: the kept connections and slots are not for it.
        async with self.limiter.turn(self.level, Priority.DECIDE) as turn:
            turn.sent()
            await asyncio.sleep(there)
            try:
                self.quota.take(SPECS[self.level])
            except Refusal:
                self.refused += 1
            self.times.append(self.clock.monotonic())
            await asyncio.sleep(self.round_trip - there)
            turn.answered()

    @property
    def used(self) -> float:
        """The part of the quota that was used after the first second, from the first arrival to the last."""
        rest = [at for at in self.times if at >= self.times[0] + 1]
        return (len(rest) - 1) / (rest[-1] - rest[0]) / self.rate


def storm(plan: QuotaPlan, level: int, round_trip: float) -> Storm:
    async def main() -> Storm:
        blown = Storm(plan, level, round_trip)
        await blown.blow()
        return blown

    return virtual.run(main())


def test_a_storm_uses_nearly_all_that_round_trips_leave_and_nobody_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines, lazy = [], []
    storms: list[tuple[Edition, int]] = [("basic", 1), ("basic", 2), ("basic", 3), ("personal", 1), ("agile", 1)]
    for edition, level in storms:
        plan = QuotaPlan(PLANS[edition].rates, {})  # a day's quota would end the storm
        for round_trip, least in LEAST_USED.items():
            blown = storm(plan, level, round_trip)
            name = f"{edition} level {level}"
            row = f"{name:17}{blown.rate:6}{round_trip * 1000:9.0f} ms{len(blown.times):7}"
            lines.append(f"{row}{blown.refused:9}{blown.used:8.3f}{least:8.2f}")
            assert blown.refused == 0, name
            assert len(blown.times) == blown.rate * SECONDS
            lazy += [name] if blown.used < least else []
    with capsys.disabled():
        heads = f"\n{'storm':17}{'quota':>6}{'round trip':>12}{'calls':>7}{'refused':>9}{'used':>8}{'wanted':>8}"
        print(heads, *lines, sep="\n")
    assert lazy == []
