"""No call leaves but by its turn: within the rate, within the day, the most urgent first.

One limiter serves one Alibaba Cloud account and region, since the quota is the account's: its tenants share it.
`slots` keeps the rate, `day` the day.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, tzinfo
from functools import partial

import structlog

from phinops.catalog.quotas import LEVELS, QuotaPlan
from phinops.clock import Clock
from phinops.errors import QuotaSpent
from phinops.execute.day import DayBook
from phinops.execute.daycount import DayLedger, PoolUse
from phinops.execute.priority import Priority
from phinops.execute.slots import MARGIN, Flights, Rate, RatePool, Slot

__all__ = ["DayLedger", "Limiter", "PoolRate", "PoolUse", "Priority", "Turn"]

log = structlog.get_logger(__name__)

LONGEST_REST = 24 * 3600.0
"""A wait that the server names is kept to, up to a day."""


@dataclass(frozen=True, slots=True)
class PoolRate:
    """Calls a second of one pool: `limit` is this daemon's part of the quota, `allowed` what it uses at most now.

    `allowed` is less for a while after a throttle.
    """

    pool: str
    limit: float
    allowed: float


class Turn:
    """Leave to send one call, now. `leaves` is told when it is sent."""

    def __init__(self, slot: Slot, clock: Clock, leaves: Callable[[], None]) -> None:
        self._slot = slot
        self._clock = clock
        self._leaves = leaves

    @property
    def was_sent(self) -> bool:
        """Whether bytes may have gone out."""
        return self._slot.sent is not None

    def sent(self) -> None:
        """The next thing to happen is that bytes go out. A turn left before is as if it had not been."""
        if self._slot.sent is None:
            self._leaves()
        self._slot.sent = self._clock.monotonic()

    def answered(self) -> None:
        """The whole answer was read. Left without it, a turn holds its slot until the call cannot arrive any more."""
        self._slot.answered = self._clock.monotonic()


class Limiter:
    """The turns of one account's calls.

    At most `share` of each rate and of each day is used, and polls leave `action_reserve` of that part of the day.
    `timeout` is the longest that a call may take, in the machine's seconds; all other times are the clock's.
    """

    def __init__(
        self,
        account: str,
        plan: QuotaPlan,
        ledger: DayLedger,
        clock: Clock,
        *,
        share: float = 1.0,
        action_reserve: float = 0.2,
        timeout: float,
        zone: tzinfo,
    ) -> None:
        if not 0 < share <= 1 or not 0 <= action_reserve < 1:
            raise ValueError(f"share {share} must be in (0, 1] and action_reserve {action_reserve} in [0, 1)")
        self.account = account
        self._clock = clock
        flights = Flights()
        hold = timeout / clock.real(1.0)
        self._days = DayBook(
            account, plan, ledger, clock, share=share, action_reserve=action_reserve, zone=zone, arrives_within=hold
        )

        def pool(name: str, rate: Rate | None) -> RatePool:
            return RatePool(name, rate, flights, clock, hold)

        rated = {name: pool(name, Rate.of(qps, share)) for name, qps in plan.rates.items()}
        self._pools = {level: rated.get(plan.rate_pool(level) or "") or pool(str(level), None) for level in LEVELS}

    async def open(self) -> None:
        """Read today's use; nothing is sent in the first second, which a process before this one may have used. A pool
        without a rate has no second that could be overdrawn.

        Raises StoreError.
        """
        await self._days.open()
        for pool in self._pools.values():
            if pool.rate:
                pool.rest(pool.period + MARGIN)

    async def close(self) -> None:
        """When the last turn is over: give unused calls back, and write who spent the others. Raises StoreError."""
        await self._days.close()

    async def flush(self) -> None:
        """Write who spent the calls since the last lease. Raises StoreError: it is kept for the next time."""
        await self._days.flush()

    def listen(self, told: Callable[[], None]) -> None:
        """Call `told` whenever a pool comes down to its reserve or its end, or is taken for spent."""
        self._days.told = told

    @asynccontextmanager
    async def turn(
        self, level: int, priority: Priority, deadline: float | None = None, *, reads: bool = True, api: str = ""
    ) -> AsyncGenerator[Turn]:
        """Wait for leave to send one call of this level, and count it, under `api` and for whom `spending` names.

        `deadline` is on the clock's monotonic seconds. `reads`: the call changes nothing, so it may find out whether a
        pool taken for spent is served again. Inside, call `sent` and `answered` of the turn.

        Raises:
            QuotaSpent: the day has no call for this priority, or the turn did not come before the deadline.
            StoreError: the call cannot be counted.
        """
        await self._days.dawn()
        refusal = self._days.refuse(priority, level, reads=reads)
        if refusal is not None:
            raise refusal
        pool = self._pools[level]
        slot = await self._slot(pool, priority, level, deadline)
        try:
            counted = await self._days.take(priority, level, reads=reads, api=api)
            try:
                yield Turn(slot, self._clock, partial(self._days.sent, counted))
            finally:
                self._days.over(counted, sent=slot.sent is not None, answered=slot.answered is not None)
        finally:
            pool.release(slot)

    def throttled(self, level: int, retry_after: float | None = None) -> None:
        """A call of this level was refused for its rate or its day; the server named a wait of so many seconds or none.

        A named wait is kept by the whole pool. Without one the pool rests a second, doubled each time in a row up to a
        minute; three in a row over two minutes are taken for a spent day, since nothing tells the two apart. Either
        way the pool uses half of the rate that it used, and gets the rest back slowly: others use the account too.
        """
        pool = self._pools[level]
        if retry_after is not None and math.isfinite(retry_after):
            pool.rest(min(max(0.0, retry_after), LONGEST_REST))
        elif pool.back_off() and self._days.throttled(level):
            for each in set(self._pools.values()):
                each.expel(lambda priority, level: self._days.refuse(priority, level, reads=False))
        if pool.shrink():
            log.warning("quota.rate_reduced", account=self.account, pool=pool.name, allowed=pool.allowed)

    def served(self, level: int) -> None:
        """A call of this level was answered, and not with a throttle."""
        pool = self._pools[level]
        if pool.served():
            log.info("quota.rate_restored", account=self.account, pool=pool.name, allowed=pool.allowed)
        self._days.served(level)

    def rates(self) -> list[PoolRate]:
        """What each pool that has a rate may use now."""
        pools = {pool.name: pool for pool in self._pools.values() if pool.rate}.values()
        return [
            PoolRate(pool.name, pool.rate.calls / pool.period, pool.allowed / pool.period)
            for pool in pools
            if pool.rate
        ]

    def today(self) -> date:
        """The quota day by the clock."""
        return self._days.today()

    def usage(self) -> list[PoolUse]:
        """Today's calls, by pool of the day."""
        return self._days.usage()

    def calls_today(self) -> Mapping[int, int]:
        """Today's calls by level."""
        return self._days.calls()

    async def _slot(self, pool: RatePool, priority: Priority, level: int, deadline: float | None) -> Slot:
        if deadline is None:
            return await pool.take(priority, level)
        left = deadline - self._clock.monotonic()
        try:
            if left > 0:
                async with asyncio.timeout(self._clock.real(left)):
                    return await pool.take(priority, level)
        except TimeoutError:
            log.debug("turn.late", level=level, priority=priority.name)
        raise QuotaSpent(f"no turn came for a call of level {level} ({priority.name}) before its deadline")
