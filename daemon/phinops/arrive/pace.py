"""When to ask a source next, and what to say of it when it does not answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal, Protocol

import anyio
import structlog

from phinops.arrive.arrival import Arrival
from phinops.clock import Clock
from phinops.errors import PhinopsError, QuotaSpent, Throttled
from phinops.event import Event, SourceHealth, event_id

log = structlog.get_logger(__name__)

SHORTEST = 30.0
LONGEST = 3600.0
"""Seconds between two polls when the budget decides."""

BACK_OFF = 5.0
BACK_OFF_MOST = 60.0
"""Seconds until a source that failed is asked again: the first time, and at most where it is polled more often."""

REST = 600.0
"""Seconds until a source whose budget is spent looks whether it still is; that costs no call."""

STALE_AFTER = 90.0
STALE_INTERVALS = 3
"""A source is stale when its last good poll is longer ago than the larger of these seconds and intervals."""

COST_WEIGHT = 0.3
"""How much the last poll counts in what a poll is expected to cost."""

State = Literal["starting", "ok", "failing", "stale", "resting", "idle"]


class PoolUse(Protocol):
    """Today's calls of one pool; `pool` names its levels, joined by "+"."""

    @property
    def pool(self) -> str: ...
    @property
    def used(self) -> int: ...
    @property
    def limit(self) -> int | None: ...
    @property
    def reserve(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Budget:
    """What polls may still use: `calls` until the quota day ends (None: no limit), which is in `seconds`.

    `sharers` is how many sources divide it.
    """

    calls: int | None
    seconds: float
    sharers: int = 1


def budget_of(pools: Iterable[PoolUse], levels: Iterable[int], now: datetime, zone: tzinfo, sharers: int = 1) -> Budget:
    """The budget of a source that makes calls of these levels: the scarcest of their pools.

    `zone` is that of the quota day.
    """
    here = now.astimezone(zone)
    midnight = (here + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    names = {str(level) for level in levels}
    left = [
        max(0, pool.limit - pool.reserve - pool.used)
        for pool in pools
        if pool.limit is not None and names & set(pool.pool.split("+"))
    ]
    return Budget(min(left, default=None), (midnight.astimezone(UTC) - now).total_seconds(), sharers)


def interval_of(budget: Budget, cost: float) -> float | None:
    """Seconds between polls of `cost` calls each, when the sharers divide the rest of the day evenly.

    None when the budget is spent.
    """
    if budget.calls is None:
        return SHORTEST
    if budget.calls < cost:
        return None
    return min(LONGEST, max(SHORTEST, budget.seconds * cost * budget.sharers / budget.calls))


@dataclass(frozen=True, slots=True)
class SourceState:
    """What `status` tells of a source. `interval_s` is the present one, None while it rests or idles."""

    name: str
    state: State
    last_good: datetime | None
    interval_s: float | None
    reason: str


class Pacer:
    """Keeps one source polled.

    `every` is a fixed interval, or None for what the budget allows. `used` tells whether a loaded rule listens to the
    source: one that the budget decides for and that nobody listens to is idle. `beat` is told at every turn for how
    many seconds the pacer will be silent.
    """

    def __init__(
        self,
        name: str,
        tenant: str,
        clock: Clock,
        *,
        every: timedelta | None,
        budget: Callable[[], Budget],
        used: Callable[[], bool],
        chance: random.Random | None = None,
        beat: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._tenant = tenant
        self._clock = clock
        self._every = every.total_seconds() if every else None
        self._budget = budget
        self._used = used
        self._chance = chance or random.Random()
        self._beat = beat
        self._cost = 1.0
        self._failures = 0
        self._reason = ""
        self._resting = False
        self._started = False
        self._last_good: datetime | None = None
        self._silent_since: float | None = None
        self._interval = self._every or SHORTEST
        self._told_stale = False
        self._nudged = asyncio.Event()

    def state(self) -> SourceState:
        """How the source is now."""
        state = self._state()
        at_rest = state in ("idle", "resting")
        reason = "no rule listens to it" if state == "idle" else self._reason
        return SourceState(self.name, state, self._last_good, None if at_rest else self._interval, reason)

    def nudge(self) -> None:
        """Poll at once: the rules are other ones, or somebody asks."""
        self._nudged.set()

    async def run(
        self,
        once: Callable[[datetime], Awaitable[Arrival]],
        tell: Callable[[Event], Awaitable[object]],
    ) -> None:
        """Poll until cancelled. `once` polls and commits; `tell` takes `source.stale` and `source.recovered`.

        Whatever `once` raises makes the source fail, not its neighbours; it is asked again later and later.
        """
        self._silent_since = self._clock.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_polling(once, tell))
            group.create_task(self._watch(tell))

    async def _keep_polling(
        self, once: Callable[[datetime], Awaitable[Arrival]], tell: Callable[[Event], Awaitable[object]]
    ) -> None:
        while True:
            self._nudged.clear()
            wait = await self._turn(once)
            if self._told_stale and not self._failures:
                self._told_stale = not await self._report("source.recovered", tell)
            self._beat(wait)
            with anyio.move_on_after(self._clock.real(wait)):
                await self._nudged.wait()

    async def _turn(self, once: Callable[[datetime], Awaitable[Arrival]]) -> float:
        """One poll, when it may be made; the seconds until the next."""
        if self._is_idle():
            self._silent_since = self._clock.monotonic()
            return SHORTEST
        interval = self._present_interval()
        if interval is None:
            return self._rest("the day's calls for polls are spent")
        self._interval = interval
        began = self._clock.monotonic()
        try:
            arrival = await once(self._clock.now())
        except QuotaSpent as error:
            return self._rest(str(error))
        except PhinopsError as error:
            return self._failed(error)
        except Exception as error:
            log.exception("source.broken", source=self.name, tenant=self._tenant)
            return self._failed(error)
        self._good(arrival)
        # What this poll cost may have changed what the budget allows.
        self._interval = self._present_interval() or interval
        return max(0.0, self._interval - (self._clock.monotonic() - began))

    def _present_interval(self) -> float | None:
        return self._every or interval_of(self._budget(), self._cost)

    def _good(self, arrival: Arrival) -> None:
        if self._failures or self._resting:
            log.info("source.answers", source=self.name, tenant=self._tenant, after_failures=self._failures)
        self._failures, self._resting = 0, False
        self._last_good, self._silent_since = self._clock.now(), self._clock.monotonic()
        self._started = True
        self._cost = max(1.0, self._cost + COST_WEIGHT * (arrival.calls - self._cost))
        reason = "; ".join(f"{fault.where}: {fault.reason}" for fault in arrival.faults[:3])
        if reason and reason != self._reason:
            log.warning(
                "source.incomplete",
                source=self.name,
                tenant=self._tenant,
                faults=len(arrival.faults),
                reason=reason,
            )
        self._reason = reason

    def _failed(self, error: Exception) -> float:
        self._failures += 1
        self._resting = False
        self._reason = str(error) or type(error).__name__
        wait = max(BACK_OFF * 2.0 ** min(self._failures - 1, 10), self._interval / 4)
        # A failure costs calls too: where the budget makes polls rare, so are their repetitions.
        wait = min(wait, max(BACK_OFF_MOST, self._interval)) * self._chance.uniform(0.75, 1.25)
        if isinstance(error, Throttled) and error.retry_after:
            wait = max(wait, error.retry_after)
        log.warning(
            "source.failed",
            source=self.name,
            tenant=self._tenant,
            reason=self._reason,
            failures=self._failures,
            again_in_s=round(wait, 1),
        )
        return wait

    def _rest(self, reason: str) -> float:
        if not self._resting:
            log.warning("source.resting", source=self.name, tenant=self._tenant, reason=reason)
        self._resting, self._failures, self._reason = True, 0, reason
        self._silent_since = self._clock.monotonic()
        ends = self._budget().seconds
        return min(REST, ends + self._chance.uniform(0.0, SHORTEST)) if ends > 0 else REST

    def _is_idle(self) -> bool:
        return self._every is None and not self._used()

    def _state(self) -> State:
        if self._is_idle():
            return "idle"
        if self._resting:
            return "resting"
        if self._silence() > self._patience():
            return "stale"
        if self._failures:
            return "failing"
        return "ok" if self._started else "starting"

    def _silence(self) -> float:
        return 0.0 if self._silent_since is None else self._clock.monotonic() - self._silent_since

    def _patience(self) -> float:
        return max(STALE_AFTER, STALE_INTERVALS * self._interval)

    async def _watch(self, tell: Callable[[Event], Awaitable[object]]) -> None:
        while True:
            await self._clock.sleep(max(1.0, self._patience() - self._silence() + 0.001))
            if self._state() == "stale" and not self._told_stale:
                log.warning("source.stale", source=self.name, tenant=self._tenant, reason=self._reason)
                self._told_stale = await self._report("source.stale", tell)

    async def _report(self, kind: str, tell: Callable[[Event], Awaitable[object]]) -> bool:
        """Whether it could be told; else it is tried again."""
        now = self._clock.now()
        health = SourceHealth(self.name, self._state(), self._reason, self._last_good)
        event = Event(
            id=event_id("sources", self._tenant, self.name, now.isoformat(), kind),
            type=kind,
            time=now,
            tenant=self._tenant,
            source=self.name,
            health=health,
        )
        try:
            await tell(event)
        except PhinopsError as error:
            log.warning("source.untold", source=self.name, tenant=self._tenant, reason=str(error))
            return False
        return True
