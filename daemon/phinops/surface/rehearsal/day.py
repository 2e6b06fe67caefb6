"""One day: the tenant is made up, the real daemon serves it in virtual time, and what came of it is measured."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import anyio

from phinops.catalog.catalog import Edition
from phinops.clock import Clock, LoopClock, SystemClock
from phinops.daemon import Daemon
from phinops.event import JsonObject
from phinops.record import timing
from phinops.record.changes import put_changes
from phinops.record.sqlite import MEMORY, Store
from phinops.record.tx import Tx
from phinops.simulate import Simulator, make_simulator
from phinops.simulate.invent import DAY, Invented, PastDay, Size, invent
from phinops.surface.rehearsal.measure import Seen, report
from phinops.surface.rehearsal.setting import ENDPOINT, TENANT, make_config
from phinops.surface.rehearsal.wire import InProcess
from phinops.virtual import run

ZONE = ZoneInfo("Asia/Shanghai")

MIDNIGHT = datetime(2026, 3, 4, tzinfo=ZONE)
"""When the day begins."""

AFTERWARDS = 8 * 3600.0
"""Seconds after the day within which actions may end, and what failed late may be found."""

ROUND_TRIP = 0.06

SIZES: Mapping[Edition, Size] = {
    "personal": Size(projects=5, failures=5),
    "agile": Size(projects=20, failures=50),
    "basic": Size(projects=50, failures=200, services=2),
    "intelligent": Size(projects=50, failures=200, services=2),
}
"""What a tenant of each edition is taken to have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What to rehearse. `every` fixes the interval of the instances; `round_trip` is in seconds."""

    edition: Edition
    size: Size
    seed: int
    every: timedelta | None = None
    round_trip: float = ROUND_TRIP


@dataclass(slots=True)
class Tally:
    """The calls that arrived on the first day, by action and priority."""

    clock: Clock
    until: datetime
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count(self, api: str, priority: str) -> None:
        if self.clock.now() < self.until:
            self.calls[api, priority] += 1


def rehearse(rehearsal: Rehearsal) -> JsonObject:
    """The day's report, the same for the same rehearsal. It has the process for itself meanwhile, for up to minutes."""
    began = SystemClock().monotonic()
    random.seed(rehearsal.seed)
    document = run(_live(rehearsal))
    return {**document, "seconds": round(SystemClock().monotonic() - began, 1)}


async def _live(rehearsal: Rehearsal) -> JsonObject:
    now = asyncio.get_running_loop().time()
    clock = LoopClock(MIDNIGHT.astimezone(UTC) - timedelta(seconds=now))
    end = MIDNIGHT + timedelta(seconds=DAY)
    invented = invent(rehearsal.size, rehearsal.seed, rehearsal.edition)
    simulator = make_simulator(invented.scenario, clock=clock, seed=rehearsal.seed)
    simulator.url = ENDPOINT
    tally = Tally(clock, end)
    with tempfile.TemporaryDirectory(prefix="phinops-rehearsal-") as folder:
        config = make_config(simulator, Path(folder), rehearsal.every, impacts=rehearsal.size.services > 0)
        async with Store.open(MEMORY, clock) as store:
            await store.write(lambda tx: _remember(tx, invented))
            wire = InProcess(simulator, clock, rehearsal.round_trip, tally.count)
            async with (
                Daemon.open(config, clock=clock, store=store, transport=wire) as daemon,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(daemon.run)
                await clock.sleep((end - clock.now()).total_seconds())
                await _let_end(daemon, store, simulator, clock)
                quota = daemon.status()["tenants"][0]["quota"]
                daemon.stop()
            seen = await store.read(lambda tx: Seen(timing.received(tx, TENANT), timing.attempts(tx, TENANT)))
    figures = report(invented, simulator, seen, tally.calls, quota, MIDNIGHT)
    return {
        "edition": rehearsal.edition,
        "seed": rehearsal.seed,
        "projects": rehearsal.size.projects,
        "failures": rehearsal.size.failures,
        "instances": rehearsal.size.instances,
        **figures,
    }


async def _let_end(daemon: Daemon, store: Store, simulator: Simulator, clock: Clock) -> None:
    """Until nothing is failed, no firing is open and all was polled once more, or until it has taken too long."""
    quiet_since: datetime | None = None
    for _ in range(int(AFTERWARDS / 60)):
        quiet = not simulator.tenant.failed() and not await store.read(lambda tx: timing.open_firings(tx, TENANT))
        quiet_since = (quiet_since or clock.now()) if quiet else None
        if quiet_since and _polled_since(daemon, quiet_since):
            return
        await clock.sleep(60.0)


def _polled_since(daemon: Daemon, moment: datetime) -> bool:
    """Whether every source, and every project of one, was polled after the moment."""
    sources = daemon.status()["tenants"][0]["sources"]
    looks = [each["last_good"] for source in sources for each in source["projects"] or [source]]
    return all(last and datetime.fromisoformat(last) > moment for last in looks)


def _remember(tx: Tx, invented: Invented) -> None:
    """What the days before would have left in the store."""
    for age, day in enumerate(invented.history, start=1):
        midnight = MIDNIGHT - timedelta(days=age)
        for source, found in _found(day).items():
            moments = Counter((part, midnight + timedelta(seconds=at)) for part, at in found)
            put_changes(tx, TENANT, source, moments)


def _found(day: PastDay) -> dict[str, Sequence[tuple[str, float]]]:
    """What each source finds first, as part and moment. A failure with an alert rule is found through its alert.

    An alert is found twice: it opens, and it is closed.
    """
    alerts = 2 * ([each.at for each in day.failures if each.alerted] + list(day.alerts))
    return {
        "instances": [(str(each.project), each.at) for each in day.failures if not each.alerted],
        "alerts": [("", at) for at in alerts],
        "impacts": [(str(service), at) for at, service in day.troubles],
    }
