"""What is left of a quota day.

Every call is counted before it is sent, retries included, and durably: a block of calls is leased from the ledger,
and calls are taken from the block. After a crash the rest of a block counts as used, and so does what was taken and not
sent yet, together at most one block a level: the ledger may say more than Dataphin counted, never less. Who spent the
calls is written with the lease of the next block.

A day is a date in the configured zone. A call counts on every day on which it may arrive:

- the day of the clock. The first `SKEW` seconds of a day are left empty, in which Dataphin's clock may still have the
  day before;
- the next one too when it begins before the call must have arrived. Once the answer has come, the day that it did not
  arrive on has the call back;
- after the clock has jumped, for a day, also the day that it would be had the clock not jumped. One of the two clocks
  was wrong and nobody knows which: as long as the clock was right when the process began, and is not wrong for a whole
  day, no day is given twice, and a clock that went far ahead and came back leaves nothing behind after a day.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import date, datetime, timedelta, tzinfo

import structlog

from phinops.catalog.quotas import LEVELS, QuotaPlan
from phinops.clock import Clock
from phinops.errors import QuotaSpent
from phinops.execute.daycount import Count, Counted, DayCount, DayLedger, DayPool, PoolUse, Times, day_pools
from phinops.execute.priority import Priority
from phinops.spending import Spend, spender

log = structlog.get_logger(__name__)

PROBE_EVERY = 30 * 60.0
"""Seconds between two calls that ask whether a pool taken for spent is served again."""

SPENT_AFTER = (3, 120.0)
"""So many throttles that name no wait, over so many seconds and with no answer between them, look like a spent day."""


SKEW = 2.0
"""Seconds that this machine's clock and Dataphin's may differ, jumps included that are too small to be noticed."""

PATIENCE = 1.0
"""Real seconds for which a new lease waits until the calls of the last block were sent."""


class DayBook:
    """Counts the calls of one account's days and refuses those that a day does not have any more.

    `arrives_within` is how many of the clock's seconds a call may take from being counted to arriving. `told` is called
    when a pool comes down to its reserve or its end, or is taken for spent.
    """

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
        arrives_within: float,
    ) -> None:
        self._account = account
        self._ledger = ledger
        self._clock = clock
        self._zone = zone
        self._ahead = timedelta(seconds=arrives_within + SKEW)
        self._pools = day_pools(plan, share, action_reserve)
        self._by_level = {level: pool for pool in self._pools for level in pool.levels}
        self._lock = asyncio.Lock()
        self._times = Times(clock)
        # Empty, so that the first call reads the ledger even if nobody opened the book.
        self._days: dict[date, DayCount] = {}
        self._today = date.min
        self._sent = asyncio.Event()
        self._returned: Counter[tuple[date, int]] = Counter()
        self._unwritten: Counter[Spend] = Counter()
        self.told: Callable[[], None] = lambda: None

    async def open(self) -> None:
        """Read what was used today. Raises StoreError."""
        async with self._lock:
            await self._turn_to(self._possible())

    async def close(self) -> None:
        """Give back the leased calls that were not used, and write who spent the others. Raises StoreError."""
        async with self._lock:
            for day in self._days.values():
                self._return_spare(day)
            await self._write()

    async def flush(self) -> None:
        """Write who spent what since the last lease. Raises StoreError: it is kept for the next time.

        Also has a look at the clock: a jump back that lasts while nobody calls is not missed.
        """
        self._times.look()
        async with self._lock:
            await self._write()

    def refuse(self, priority: Priority, level: int, *, reads: bool) -> QuotaSpent | None:
        """Why the day has no call for this one, or None."""
        return self._refuse(self._possible(), priority, level, reads=reads)

    async def take(self, priority: Priority, level: int, *, reads: bool, api: str = "") -> Counted:
        """Count one call, spent by whoever makes it here; durable when it returns. `over` wants what it gives.

        Raises QuotaSpent when the day has none for this priority, StoreError when it cannot be counted.
        """
        async with self._lock:
            while True:
                await self.dawn()
                days = self._possible()
                await self._turn_to(days)
                refusal = self._refuse(days, priority, level, reads=reads)
                if refusal is not None:
                    raise refusal
                spend = await self._leased(days, level, api)
                if set(self._possible()) <= set(days):
                    break
                self._unwritten[spend] -= 1  # leasing took so long that it is another day
            for day in days:
                count = self._days[day].count(level)
                count.spare -= 1
                count.unsent += 1
            self._note(self._by_level[level])
            return Counted(days, spend)

    async def _leased(self, days: tuple[date, ...], level: int, api: str) -> Spend:
        """Have a call to spare on each of the days; whose it is."""
        spend = self._spend(level, api)
        self._unwritten[spend] += 1  # before the lease, which takes it along
        try:
            for day in days:
                if not self._days[day].count(level).spare:
                    # Whoever gives up meanwhile leaves the leased block to the next one.
                    await asyncio.shield(self._lease(level, self._days[day]))
        except BaseException:
            self._unwritten[spend] -= 1
            raise
        return spend

    def sent(self, counted: Counted) -> None:
        """A counted call is being sent."""
        for day in counted.days:
            if day in self._days:
                count = self._days[day].count(counted.spend.level)
                count.unsent = max(0, count.unsent - 1)
        self._sent.set()

    def over(self, counted: Counted, *, sent: bool, answered: bool) -> None:
        """A counted call has ended: it is taken back if it was not sent, and where it did not arrive if answered."""
        level = counted.spend.level
        if not sent:
            self.sent(counted)
            self._unwritten[counted.spend] -= 1
            back = counted.days
        elif answered:
            latest = max(self._date(time + timedelta(seconds=SKEW)) for time in self._times.look())
            back = tuple(day for day in counted.days if day > latest)
        else:
            return
        for day in back:
            if day in self._days:
                self._days[day].count(level).spare += 1
            else:
                self._returned[day, level] += 1

    async def dawn(self) -> None:
        """Wait until the day before is over by Dataphin's clock too, where a day has a limit at all."""
        while any(pool.limit is not None for pool in self._pools):
            here = self._clock.now().astimezone(self._zone)
            since = (here - here.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
            if since >= SKEW:
                return
            await self._clock.sleep(SKEW - since)

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
            self.told()
        return not known

    def served(self, level: int) -> None:
        """A call was answered without throttling: the day is not spent."""
        pool = self._by_level[level]
        if pool.next_probe is not None:
            log.info("quota.served_again", account=self._account, pool=pool.name)
        pool.throttles, pool.next_probe = 0, None

    def today(self) -> date:
        """The quota day by the clock."""
        return self._date(self._clock.now())

    def usage(self) -> list[PoolUse]:
        """Today's calls by pool; a level without a daily limit is a pool of its own."""
        same = self.today() == self._today
        return [
            PoolUse(
                pool.name,
                self._used(pool),
                pool.limit,
                pool.reserve,
                spent=pool.next_probe is not None and same,
            )
            for pool in self._pools
        ]

    def calls(self) -> dict[int, int]:
        """Today's calls by level."""
        day = self._days.get(self.today())
        return {level: day.count(level).taken if day else 0 for level in LEVELS}

    def _date(self, moment: datetime) -> date:
        return moment.astimezone(self._zone).date()

    def _possible(self) -> tuple[date, ...]:
        """The days that a call sent now may arrive on, the clock's own first."""
        now, *others = self._times.look()
        found = [self._date(now), self._date(now + self._ahead)]
        for other in others:
            found += [self._date(other - timedelta(seconds=SKEW)), self._date(other + self._ahead)]
        return tuple(dict.fromkeys(found))

    def _used(self, pool: DayPool) -> int:
        day = self._days.get(self.today())
        return day.used(pool) if day else 0

    def _refuse(self, days: tuple[date, ...], priority: Priority, level: int, *, reads: bool) -> QuotaSpent | None:
        pool = self._by_level[level]
        limit = pool.limit_of(priority)
        for date_, day in ((each, self._days.get(each)) for each in days):
            if limit is not None and day is not None and day.used(pool) >= limit:
                kept = f", the last {pool.reserve} are kept for actions" if limit != pool.limit else ""
                used = day.used(pool)
                return QuotaSpent(f"levels {pool.name}: {used} of {pool.limit} calls of {date_} are used{kept}")
        if pool.next_probe is None or days[0] != self._today or (reads and self._clock.monotonic() >= pool.next_probe):
            return None
        return QuotaSpent(f"levels {pool.name}: Dataphin answers as if the calls of {days[0]} were spent")

    async def _turn_to(self, days: tuple[date, ...]) -> None:
        """Have the counts of these days and of no others."""
        for day in days:
            if day not in self._days:
                used = await self._ledger.used(self._account, day)
                self._days[day] = DayCount(day, {level: Count(leased=calls) for level, calls in used.items()})
        if days[0] != self._today:
            self._today = days[0]
            for pool in self._pools:
                pool.throttles, pool.next_probe = 0, None
        for over in [day for day in self._days if day not in days]:
            self._return_spare(self._days.pop(over))
        if self._returned:
            await self._give_back()

    def _return_spare(self, day: DayCount) -> None:
        for level, count in day.counts.items():
            spare, count.spare = count.spare, 0
            count.leased -= spare
            if spare:
                self._returned[day.date, level] += spare

    async def _give_back(self) -> None:
        for (day, level), count in list(self._returned.items()):
            await self._ledger.give_back(self._account, day, level, count)
            self._returned[day, level] -= count
        self._returned = +self._returned

    def _spend(self, level: int, api: str) -> Spend:
        here = self._clock.now().astimezone(self._zone)
        return Spend(here.date(), here.hour, level, api, spender())

    async def _write(self) -> None:
        if self._returned:
            await self._give_back()
        if any(self._unwritten.values()):
            spends = self._taken_out()
            await self._kept(spends, self._ledger.note(self._account, spends))

    async def _lease(self, level: int, day: DayCount) -> None:
        pool = self._by_level[level]
        # What was taken from the last block and not sent is lost by a kill just as what is left of this one.
        await self._fewer_unsent(day.count(level), pool.block)
        block = pool.block - day.count(level).unsent
        if pool.limit is not None:
            block = min(block, pool.limit - sum(day.count(each).leased for each in pool.levels))
        block = max(1, block)
        spends = self._taken_out()
        await self._kept(spends, self._ledger.lease(self._account, day.date, level, block, spends))
        count = day.count(level)
        count.leased += block
        count.spare += block

    async def _fewer_unsent(self, count: Count, than: int) -> None:
        """Wait until fewer calls are counted and unsent; a connection that hangs holds nobody up for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while count.unsent >= than:
                    self._sent.clear()
                    await self._sent.wait()

    def _taken_out(self) -> dict[Spend, int]:
        spends = {spend: calls for spend, calls in self._unwritten.items() if calls}
        self._unwritten.clear()
        return spends

    async def _kept(self, spends: Mapping[Spend, int], written: Awaitable[None]) -> None:
        """Await what writes these spends. When it fails they are as if never taken out; a waiter that is cancelled
        does not take back what it has handed in."""
        try:
            await written
        except Exception:
            for spend, calls in spends.items():
                self._unwritten[spend] += calls
            raise

    def _note(self, pool: DayPool) -> None:
        """A call of the pool was taken: a probe is under way, or somebody has to hear how little is left."""
        if pool.next_probe is not None:
            pool.next_probe = self._clock.monotonic() + PROBE_EVERY
        if pool.limit is not None and self._used(pool) in (pool.limit - pool.reserve, pool.limit):
            self.told()
