"""What is left of a quota day.

Every call is counted before it is sent, retries included, and durably: a block of calls is leased from the ledger,
and calls are taken from the block. After a crash the rest of a block counts as used, so the ledger may say more than
Dataphin counted, never less.

A day is a date in the configured zone, and none begins twice: when the wall clock jumps back over midnight the
later day goes on until the clock has passed it again. A clock that jumped far ahead and back therefore keeps its
strange day until phinops is started anew, when the day is read from the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, tzinfo
from typing import Protocol

import structlog

from phinops.catalog.quotas import LEVELS, QuotaPlan, part_of_day
from phinops.clock import Clock
from phinops.errors import QuotaSpent
from phinops.execute.priority import Priority

log = structlog.get_logger(__name__)

PROBE_EVERY = 30 * 60.0
"""Seconds between two calls that ask whether a pool taken for spent is served again."""

SPENT_AFTER = (3, 120.0)
"""So many throttles that name no wait, over so many seconds and with no answer between them, look like a spent day."""


class DayLedger(Protocol):
    """The durable count of calls by account, quota day and level."""

    async def used(self, account: str, day: date) -> Mapping[int, int]:
        """The calls counted so far, by level; a level that is missing has none."""
        ...

    async def lease(self, account: str, day: date, level: int, count: int) -> None:
        """Count `count` calls; durable when it returns."""
        ...

    async def give_back(self, account: str, day: date, level: int, count: int) -> None:
        """Take back `count` leased calls that were never sent."""
        ...


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Today's calls of one pool. `spent`: Dataphin throttles it as if the day were spent, and it rests."""

    pool: str
    used: int
    limit: int | None
    reserve: int
    spent: bool = False


@dataclass(slots=True)
class _DayPool:
    """One pool of levels, and what throttling has told about it."""

    name: str
    levels: tuple[int, ...]
    limit: int | None
    reserve: int
    throttles: int = 0
    first_throttle: float = 0.0
    next_probe: float | None = None

    @property
    def block(self) -> int:
        """How many calls a lease takes: few where few are lost by a crash, many where leasing often would cost."""
        return 50 if self.limit is None else min(50, max(1, self.limit // 1000))

    def limit_of(self, priority: Priority) -> int | None:
        if self.limit is None or not priority.polls:
            return self.limit
        return self.limit - self.reserve


@dataclass(slots=True)
class _Count:
    """Calls of one level: `leased` stand in the ledger, `spare` of them were not taken yet."""

    leased: int = 0
    spare: int = 0

    @property
    def taken(self) -> int:
        return self.leased - self.spare


@dataclass(slots=True)
class _Day:
    date: date
    counts: dict[int, _Count] = field(default_factory=dict)

    def count(self, level: int) -> _Count:
        return self.counts.setdefault(level, _Count())


class DayBook:
    """Counts the calls of one account's day and refuses those that it does not have any more."""

    def __init__(
        self,
        account: str,
        plan: QuotaPlan,
        ledger: DayLedger,
        clock: Clock,
        *,
        share: float,
        action_reserve: float,
        zone: tzinfo,
    ) -> None:
        self._account = account
        self._ledger = ledger
        self._clock = clock
        self._zone = zone
        self._pools = _pools(plan, share, action_reserve)
        self._by_level = {level: pool for pool in self._pools for level in pool.levels}
        self._lock = asyncio.Lock()
        # Over, so that the first call reads the ledger even if nobody opened the book.
        self._day = _Day(date.min)

    async def open(self) -> None:
        """Read what was used today. Raises StoreError."""
        async with self._lock:
            await self._begin(self._date())

    async def close(self) -> None:
        """Give back the leased calls that were not used. Raises StoreError."""
        async with self._lock:
            await self._give_back_spare()

    def refuse(self, priority: Priority, level: int, *, reads: bool) -> QuotaSpent | None:
        """Why the day has no call for this one, or None."""
        pool = self._by_level[level]
        if self._over():
            return None
        limit = pool.limit_of(priority)
        used = self._used(pool)
        if limit is not None and used >= limit:
            kept = f", the last {pool.reserve} are kept for actions" if limit != pool.limit else ""
            return QuotaSpent(f"levels {pool.name}: {used} of {pool.limit} calls of {self._day.date} are used{kept}")
        if pool.next_probe is not None and not (reads and self._clock.monotonic() >= pool.next_probe):
            return QuotaSpent(f"levels {pool.name}: Dataphin answers as if the calls of {self._day.date} were spent")
        return None

    async def take(self, priority: Priority, level: int, *, reads: bool) -> date:
        """Count one call; durable when it returns. The day it was counted on is what `put_back` needs.

        Raises QuotaSpent when the day has none for this priority, StoreError when it cannot be counted.
        """
        async with self._lock:
            if self._over():
                await self._begin(self._date())
            refusal = self.refuse(priority, level, reads=reads)
            if refusal is not None:
                raise refusal
            count = self._day.count(level)
            if not count.spare:
                # Whoever gives up meanwhile leaves the leased block to the next one.
                await asyncio.shield(self._lease(self._by_level[level], level, self._day))
            count.spare -= 1
            self._note_probe(self._by_level[level])
            return self._day.date

    def put_back(self, day: date, level: int) -> None:
        """A call that was counted was not sent."""
        if day == self._day.date:
            self._day.count(level).spare += 1

    def throttled(self, level: int) -> bool:
        """A call was throttled and no wait was named. True when the day is taken for spent because of it."""
        pool, now = self._by_level[level], self._clock.monotonic()
        if pool.throttles == 0:
            pool.first_throttle = now
        pool.throttles += 1
        times, span = SPENT_AFTER
        if pool.limit is None or pool.throttles < times or now - pool.first_throttle < span:
            return False
        known = pool.next_probe is not None
        pool.next_probe = now + PROBE_EVERY
        if not known:
            log.warning("quota.taken_for_spent", account=self._account, pool=pool.name, used=self._used(pool))
        return not known

    def served(self, level: int) -> None:
        """A call was answered without throttling: the day is not spent."""
        pool = self._by_level[level]
        if pool.next_probe is not None:
            log.info("quota.served_again", account=self._account, pool=pool.name)
        pool.throttles, pool.next_probe = 0, None

    def usage(self) -> list[PoolUse]:
        """Today's calls by pool; a level without a daily limit is a pool of its own."""
        over = self._over()
        return [
            PoolUse(
                pool.name,
                0 if over else self._used(pool),
                pool.limit,
                pool.reserve,
                spent=pool.next_probe is not None and not over,
            )
            for pool in self._pools
        ]

    def calls(self) -> dict[int, int]:
        """Today's calls by level."""
        over = self._over()
        return {level: 0 if over else self._day.count(level).taken for level in LEVELS}

    def _date(self) -> date:
        return self._clock.now().astimezone(self._zone).date()

    def _over(self) -> bool:
        return self._date() > self._day.date

    def _used(self, pool: _DayPool) -> int:
        return sum(self._day.count(level).taken for level in pool.levels)

    async def _begin(self, day: date) -> None:
        used = await self._ledger.used(self._account, day)
        await self._give_back_spare()
        self._day = _Day(day, {level: _Count(leased=calls) for level, calls in used.items()})
        for pool in self._pools:
            pool.throttles, pool.next_probe = 0, None

    async def _give_back_spare(self) -> None:
        for level, count in self._day.counts.items():
            if count.spare:
                spare, count.spare = count.spare, 0
                count.leased -= spare
                await self._ledger.give_back(self._account, self._day.date, level, spare)

    async def _lease(self, pool: _DayPool, level: int, day: _Day) -> None:
        block = pool.block
        if pool.limit is not None:
            leased = sum(day.count(each).leased for each in pool.levels)
            block = max(1, min(block, pool.limit - leased))
        await self._ledger.lease(self._account, day.date, level, block)
        count = day.count(level)
        count.leased += block
        count.spare += block

    def _note_probe(self, pool: _DayPool) -> None:
        if pool.next_probe is not None:
            pool.next_probe = self._clock.monotonic() + PROBE_EVERY


def _pools(plan: QuotaPlan, share: float, action_reserve: float) -> list[_DayPool]:
    pools = []
    for name, calls in plan.days.items():
        limit, reserve = part_of_day(calls, share, action_reserve)
        pools.append(_DayPool(name, tuple(map(int, name.split("+"))), limit, reserve))
    free = (level for level in LEVELS if plan.day_pool(level) is None)
    pools += [_DayPool(str(level), (level,), None, 0) for level in free]
    return sorted(pools, key=lambda pool: pool.levels)
