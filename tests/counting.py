"""A day ledger in memory, as durable as the test that holds it."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import date

from phinops.spending import Spend


class MemoryLedger:
    """Counts by account, day and level, and who spent them. `slow`: the seconds that counting takes."""

    def __init__(self, slow: float = 0.0) -> None:
        self.counts: dict[tuple[str, date], dict[int, int]] = defaultdict(lambda: defaultdict(int))
        self.spends: Counter[Spend] = Counter()
        self.leases = 0
        self.slow = slow
        self.broken: Exception | None = None

    async def used(self, account: str, day: date) -> dict[int, int]:
        return dict(self.counts[account, day])

    async def lease(self, account: str, day: date, level: int, count: int, spends: Mapping[Spend, int]) -> None:
        if self.slow:
            await asyncio.sleep(self.slow)
        if self.broken is not None:
            raise self.broken
        self.leases += 1
        self.counts[account, day][level] += count
        self.spends.update(spends)

    async def give_back(self, account: str, day: date, level: int, count: int) -> None:
        assert self.counts[account, day][level] >= count
        self.counts[account, day][level] -= count

    async def note(self, account: str, spends: Mapping[Spend, int]) -> None:
        if self.broken is not None:
            raise self.broken
        self.spends.update(spends)
