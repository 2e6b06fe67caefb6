"""What a day's count is made of: the pools with their limits, the calls of one date, and what time it may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Protocol

from phinops.catalog.quotas import LEVELS, QuotaPlan, part_of_day
from phinops.clock import Clock
from phinops.execute.priority import Priority
from phinops.spending import Spend

JUMP = 0.5
"""Seconds by which the clock must be off to have jumped: less is a clock that is slewed, or was read a little late."""

DOUBT = 24 * 3600.0
"""Seconds after a jump of the clock for which calls also count on the day that it would be without the jump."""

_MOST_TIMES = 8
"""Of a clock that jumps all the time, how many of its times are believed possible."""


class DayLedger(Protocol):
    """The durable count of calls by account, quota day and level, and of who spent them."""

    async def used(self, account: str, day: date) -> Mapping[int, int]:
        """The calls counted so far, by level; a level that is missing has none."""
        ...

    async def lease(self, account: str, day: date, level: int, count: int, spends: Mapping[Spend, int]) -> None:
        """Count `count` calls and, in the same transaction, add `spends`; durable when it returns.

        Raises StoreError: nothing of it was written.
        """
        ...

    async def give_back(self, account: str, day: date, level: int, count: int) -> None:
        """Take back `count` leased calls that were never sent. Raises StoreError: they stay counted."""
        ...

    async def note(self, account: str, spends: Mapping[Spend, int]) -> None:
        """Add `spends`; a negative number takes back what was added before. Raises StoreError: nothing was written."""
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
class DayPool:
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
class Count:
    """Calls of one level: `leased` stand in the ledger, `spare` were not taken yet, `unsent` were and not sent yet."""

    leased: int = 0
    spare: int = 0
    unsent: int = 0

    @property
    def taken(self) -> int:
        return self.leased - self.spare


@dataclass(slots=True)
class DayCount:
    date: date
    counts: dict[int, Count] = field(default_factory=dict)

    def count(self, level: int) -> Count:
        return self.counts.setdefault(level, Count())

    def used(self, pool: DayPool) -> int:
        return sum(self.count(level).taken for level in pool.levels)


@dataclass(frozen=True, slots=True)
class Counted:
    """One call that was counted: the days that it was counted on, its own first, and what it is remembered by."""

    days: tuple[date, ...]
    spend: Spend


class Times:
    """What time it may be: the clock's first, then what it would be had the clock not jumped within a day."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._present: float | None = None  # the wall clock's seconds less the monotonic ones
        self._before: dict[float, float] = {}  # the same before a jump, and until when it is believed

    def look(self) -> list[datetime]:
        """The times, in UTC."""
        wall, now = self._clock.now(), self._clock.monotonic()
        present = wall.timestamp() - now
        if self._present is not None and abs(self._present - present) >= JUMP:
            self._before[self._present] = now + DOUBT
        self._present = present
        believed = {
            offset: until for offset, until in self._before.items() if until > now and abs(offset - present) >= JUMP
        }
        newest = sorted(believed, key=believed.__getitem__)[1 - _MOST_TIMES :]
        self._before = {offset: believed[offset] for offset in newest}
        return [wall, *(datetime.fromtimestamp(now + offset, UTC) for offset in newest)]


def day_pools(plan: QuotaPlan, share: float, action_reserve: float) -> list[DayPool]:
    pools = []
    for name, calls in plan.days.items():
        limit, reserve = part_of_day(calls, share, action_reserve)
        pools.append(DayPool(name, tuple(map(int, name.split("+"))), limit, reserve))
    free = (level for level in LEVELS if plan.day_pool(level) is None)
    pools += [DayPool(str(level), (level,), None, 0) for level in free]
    return sorted(pools, key=lambda pool: pool.levels)
