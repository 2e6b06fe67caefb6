"""The ledger of each quota day: calls are counted on disk before they are sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from phinops.record.sqlite import Store


class StoreLedger:
    """The calls of every account, by quota day and level, in the store.

    A call that was counted and then not sent is given back, or, after a crash, stays counted: never too few.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def used(self, account: str, day: date) -> Mapping[int, int]:
        """The calls counted so far by level; a level that is missing has none.

        Raises:
            StoreError: the store cannot be read.
        """
        rows = await self._store.read(lambda tx: tx.all("ledger_used", account=account, day=day.isoformat()))
        return {row["level"]: row["used"] for row in rows}

    async def lease(self, account: str, day: date, level: int, count: int) -> None:
        """Count `count` calls, on disk when this returns: only then may they be sent.

        Raises:
            ValueError: `count` is less than one.
            StoreError: the store cannot be written; nothing is counted and nothing may be sent.
        """
        await self._count("ledger_lease", account, day, level, count)

    async def give_back(self, account: str, day: date, level: int, count: int) -> None:
        """Take off `count` calls that were counted and not sent.

        Raises:
            ValueError: `count` is less than one.
            StoreError: the store cannot be written; the calls stay counted.
        """
        await self._count("ledger_give_back", account, day, level, count)

    async def _count(self, query: str, account: str, day: date, level: int, count: int) -> None:
        if count < 1:
            raise ValueError(f"a ledger counts at least one call at a time, not {count}")
        text = day.isoformat()
        await self._store.write(lambda tx: tx.run(query, account=account, day=text, level=level, count=count))
