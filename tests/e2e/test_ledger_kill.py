"""kill -9 again and again within a quota day: the count is never too low, and too high by a block a kill at most."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from phinops.clock import ScaledClock
from phinops.execute.slots import IN_FLIGHT
from phinops.simulate import Simulator, serve
from records import script
from running import until, write_config

LONG = bool(os.environ.get("PHINOPS_LONG"))
KILLS = 20 if LONG else 6
SPEED = 1440.0
"""A day takes a minute."""
SHANGHAI = ZoneInfo("Asia/Shanghai")
BEGINS = datetime(2026, 1, 5, 20 if LONG else 21, tzinfo=SHANGHAI)
"""Midnight comes while it runs."""

AHEAD = timedelta(seconds=0.5 * SPEED)
"""Before midnight calls count on both days for so long, or not as long: their time-out, and a pause of the machine."""

RULES = """
rules:
  - id: rerun
    on: instance.failed
    mode: armed
    do: [ { rerun_instance: {}, verify: { within: 30m } } ]
"""

EAGER = """
timeout = "250ms"
settle_after = "2s"
[tenants.quota]
daily = {{ {daily} }}
[tenants.sources]
alerts = {{ every = "{every}" }}
instances = {{ every = "{every}" }}
impacts = {{ every = "{every}" }}
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the account has a day, the block of its pools, and how often sources are asked by the hurried clock."""

    daily: dict[str, int]
    block: int
    every: str


PLANS = {
    "blocks-of-twenty": Plan({"1+2": 20_000, "3": 20_000}, 20, "30s"),
    "blocks-of-one": Plan({"1+2+3": 1_900}, 1, "3m"),
}


@dataclass(slots=True)
class Trial:
    """The simulator, one daemon after the other, and how far the count was off."""

    simulator: Simulator
    clock: ScaledClock
    config: Path
    plan: Plan
    random: Random
    at: float
    kills: int = 0
    late_kills: int = 0
    over: Counter[tuple[date, int]] = field(default_factory=Counter)
    astray: int = 0

    @property
    def store(self) -> Path:
        return self.config.parent / "phinops.db"

    async def live(self) -> None:
        """One process, killed at a random moment after its first call."""
        before = len(self.simulator.arrivals)
        child = script(
            Path(__file__).with_name("hurried_daemon.py"), self.config, BEGINS.isoformat(), f"{self.at!r}", f"{SPEED!r}"
        )
        try:
            await until(lambda: len(self.simulator.arrivals) > before or child.poll() is not None, "it calls", 60)
            lives = self.random.choice((0.0, 0.02, 0.5, 2.0, 3.0)) * self.random.random()
            ends = time.monotonic() + lives
            await until(lambda: time.monotonic() >= ends, "its time has come", 60)
            assert child.poll() is None, "it has ended by itself"
        finally:
            child.kill()
            child.communicate()
        self.kills += 1
        midnight = BEGINS.replace(hour=0, minute=0) + timedelta(days=1)
        self.late_kills += midnight - AHEAD < self.clock.now() < midnight + AHEAD
        await self.silence()
        self.check()

    async def silence(self) -> None:
        """What the dead one had sent has arrived."""
        seen, since = -1, time.monotonic()

        def quiet() -> bool:
            nonlocal seen, since
            if len(self.simulator.arrivals) != seen:
                seen, since = len(self.simulator.arrivals), time.monotonic()
            return time.monotonic() - since > 0.1

        await until(quiet, "nothing arrives any more", 20)

    def arrived(self) -> Counter[tuple[date, int]]:
        start = self.clock.now() - timedelta(seconds=self.clock.monotonic())
        days: Counter[tuple[date, int]] = Counter()
        for each in self.simulator.arrivals:
            if each.accepted:
                days[(start + timedelta(seconds=each.at)).astimezone(SHANGHAI).date(), each.level] += 1
        return days

    def bound(self, day: date) -> int:
        """A block a kill; and what was under way over midnight, or when it was killed just then, is on both days."""
        second = day > BEGINS.date()
        return self.kills * self.plan.block + second * IN_FLIGHT * (1 + self.late_kills)

    def rows(self, query: str) -> list[tuple[str, int, int]]:
        connection = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def check(self) -> None:
        arrived = self.arrived()
        counted = {
            (date.fromisoformat(day), level): n for day, level, n in self.rows("SELECT day, level, used FROM ledger")
        }
        told = Counter(
            {level: n for _, level, n in self.rows("SELECT '', level, sum(calls) FROM spend GROUP BY level")}
        )
        for place, count in arrived.items():
            assert counted.get(place, 0) >= count, f"{place}: {counted.get(place)} counted, {count} arrived"
        for place, count in counted.items():
            self.over[place] = count - arrived[place]
            assert self.over[place] <= self.bound(place[0]), f"{place} after {self.kills} kills"
        for level in (1, 2, 3):
            astray = abs(told[level] - sum(n for (_, each), n in arrived.items() if each == level))
            assert astray <= self.kills * self.plan.block, f"level {level} after {self.kills} kills"
            self.astray = max(self.astray, astray)


@pytest.mark.long
@pytest.mark.serial
@pytest.mark.parametrize("name", PLANS)
async def test_killed_again_and_again_the_ledger_is_never_below_and_a_block_a_kill_above(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = PLANS[name]
    clock, at = ScaledClock(SPEED, BEGINS.astimezone(UTC)), time.monotonic()
    async with serve("default", clock=clock, overrides={"quotas": {"daily": plan.daily}}) as simulator:
        daily = ", ".join(f'"{pool}" = {calls}' for pool, calls in plan.daily.items())
        extra = EAGER.format(daily=daily, every=plan.every)
        trial = Trial(simulator, clock, write_config(tmp_path, simulator, RULES, extra), plan, Random(7), at)
        # However fast the machine starts a daemon: the last ones live on the second day.
        while trial.kills < KILLS or trial.clock.now() < BEGINS.replace(hour=0, minute=0) + timedelta(days=1) + AHEAD:
            await trial.live()
        assert simulator.refused == 0
    arrived = trial.arrived()
    with capsys.disabled():
        days = sorted({str(day) for day, _ in arrived})
        print(f"\n{name}: {trial.kills} kills on {' and '.join(days)}, {arrived.total()} calls arrived")
        print(f"counted beyond that {trial.over.total()}, spends astray at most {trial.astray} a level", end="")
    assert len(days) == 2
    assert arrived.total() > trial.kills
