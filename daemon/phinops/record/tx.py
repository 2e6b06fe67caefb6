"""What an op on the store holds in its hands: named queries, the time, and whose epoch it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from phinops.record.moments import to_micros
from phinops.record.queries import QUERIES

T = TypeVar("T")

Row: TypeAlias = Mapping[str, Any]
"""One row by column name: times are integers (`moments.from_micros`), structures JSON text (`documents.from_text`)."""


class Snapshot:
    """What a read sees: the rows as they were committed at one moment.

    `now` is the store clock's time when the op began, `epoch` the number of this opening of the store. A name is that
    of a query in `record/sql`; parameters that are aware datetimes are bound as `moments.to_micros` of them.
    """

    __slots__ = ("_connection", "epoch", "now")

    def __init__(self, connection: sqlite3.Connection, now: datetime, epoch: int) -> None:
        self._connection = connection
        self.now = now
        self.epoch = epoch

    def all(self, name: str, /, **params: object) -> list[Row]:
        """Every row of the query, in its order."""
        return [dict(row) for row in self._execute(name, params)]

    def one(self, name: str, /, **params: object) -> Row | None:
        """The first row of the query, or None when there is none."""
        row = self._execute(name, params).fetchone()
        return None if row is None else dict(row)

    def _execute(self, name: str, params: Mapping[str, object]) -> sqlite3.Cursor:
        return self._connection.execute(QUERIES[name].sql, _bound(params))


class Tx(Snapshot):
    """One op's part of a transaction: it sees its own changes, and nobody else sees any before the commit."""

    __slots__ = ()

    def run(self, name: str, /, **params: object) -> int:
        """Change rows; how many were changed. A guarded update that meets nothing gives 0 and does not raise."""
        return self._execute(name, params).rowcount

    def many(self, name: str, rows: Iterable[Mapping[str, object]], /) -> int:
        """`run` once for each mapping of parameters; how many rows were changed in all."""
        bound = [_bound(params) for params in rows]
        if not bound:
            return 0
        return self._connection.executemany(QUERIES[name].sql, bound).rowcount


ReadOp: TypeAlias = Callable[[Snapshot], T]
WriteOp: TypeAlias = Callable[[Tx], T]
"""A function that changes rows and nothing else: it may run twice, when another op of its batch fails."""


def _bound(params: Mapping[str, object]) -> dict[str, Any]:
    return {name: to_micros(value) if isinstance(value, datetime) else value for name, value in params.items()}
