"""The ledger of each quota day: calls are counted on disk before they are sent, with those who spend them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from phinops.record import spends as spent
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from phinops.spending import Spend


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

    async def lease(self, account: str, day: date, level: int, count: int, spends: Mapping[Spend, int]) -> None:
        """Count `count` calls, on disk when this returns: only then may they be sent. `spends` are added with them.

        Raises:
            ValueError: `count` is less than one.
            StoreError: the store cannot be written; nothing is counted and nothing may be sent.
        """
        counted = _counted(account, day, level, count)

        def op(tx: Tx) -> None:
            tx.run("ledger_lease", **counted)
            spent.add(tx, account, spends)

        await self._store.write(op)

    async def give_back(self, account: str, day: date, level: int, count: int) -> None:
        """Take off `count` calls that were counted and not sent.

        Raises:
            ValueError: `count` is less than one.
            StoreError: the store cannot be written; the calls stay counted.
        """
        counted = _counted(account, day, level, count)
        await self._store.write(lambda tx: tx.run("ledger_give_back", **counted))

    async def note(self, account: str, spends: Mapping[Spend, int]) -> None:
        """Add what was spent since the last lease.

        Raises:
            StoreError: the store cannot be written; nothing was added.
        """
        await self._store.write(lambda tx: spent.add(tx, account, spends))


def _counted(account: str, day: date, level: int, count: int) -> dict[str, str | int]:
    if count < 1:
        raise ValueError(f"a ledger counts at least one call at a time, not {count}")
    return {"account": account, "day": day.isoformat(), "level": level, "count": count}
