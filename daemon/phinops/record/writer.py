"""Who writes: ops in transactions, many to a commit.

A commit costs a wait for the disk. So one thread takes everything that waits and commits it at once; while it waits
for the disk the next batch gathers.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import anyio
import structlog

from phinops.clock import Clock
from phinops.errors import StoreError, StoreLost
from phinops.record.connection import machine_error
from phinops.record.tx import ReadOp, T, Tx, WriteOp

log = structlog.get_logger(__name__)

BATCH = 500
"""The most ops that one commit takes along: what is lost time when one of them fails."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What an op gave, known only once it is on disk."""

    value: Any


Outcome: TypeAlias = Committed | BaseException
"""What became of an op: an exception means that nothing of it was written."""


class Committer:
    """Carries ops out on the one connection that writes, as the owner of one epoch.

    `commits` counts transactions, `ops` what they carried, `trouble` says why the last write did not work, or "".
    """

    def __init__(self, connection: sqlite3.Connection, path: str, clock: Clock, shard: str) -> None:
        self.connection = connection
        self.epoch = 0
        self.commits = 0
        self.ops = 0
        self.trouble = ""
        self._path = path
        self._clock = clock
        self._shard = shard
        self._place = _place(path)

    def take_lease(self, holder: str) -> None:
        """Own the shard from here on, one epoch further.

        Raises:
            sqlite3.Error: the store cannot be written.
        """
        tx = self._tx()
        tx.run("lease_take", name=self._shard, holder=holder)
        lease = tx.one("lease_epoch", name=self._shard)
        self.epoch = lease["epoch"] if lease else 0

    def carry_out(self, ops: Sequence[WriteOp[Any]]) -> list[Outcome]:
        """All ops in one transaction, or, when one of them raises, each in its own; one outcome an op, in order."""
        try:
            values = self._together(ops)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the op gets it; the thread must live on
            trouble = error if isinstance(error, StoreLost) else machine_error(self._path, error)
            if trouble is not None:
                self.trouble = str(trouble)
                return [trouble] * len(ops)
            if len(ops) == 1:
                return [_for_a_future(error)]
            return [outcome for op in ops for outcome in self.carry_out([op])]
        return [Committed(value) for value in values]

    def read(self, op: ReadOp[T]) -> T:
        """What the op reads, outside of any write."""
        self.connection.execute("BEGIN")
        try:
            return op(self._tx())
        finally:
            self._roll_back()

    def _together(self, ops: Sequence[WriteOp[Any]]) -> list[Any]:
        self._check_place()
        self._roll_back()
        before = self.connection.total_changes
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            self._check_lease()
            values = [op(self._tx()) for op in ops]
            self.connection.execute("COMMIT")
        finally:
            self._roll_back()
        self.commits += 1
        self.ops += len(ops)
        if self.connection.total_changes > before:
            self.trouble = ""
        return values

    def _check_place(self) -> None:
        # SQLite would go on writing to a file that has no name any more, and a restart would find none of it.
        if self._place is not None and _place(self._path) != self._place:
            raise StoreLost(f"{self._path} was moved, replaced or deleted while it was in use")

    def _check_lease(self) -> None:
        lease = self._tx().one("lease_epoch", name=self._shard)
        if lease is None or lease["epoch"] != self.epoch:
            by = f"{lease['holder']} at epoch {lease['epoch']}" if lease else "nobody"
            raise StoreLost(f"{self._path} belongs to {by} now, no longer to us at epoch {self.epoch}")

    def _roll_back(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def _tx(self) -> Tx:
        return Tx(self.connection, self._clock.now(), self.epoch)


def _place(path: str) -> tuple[int, int] | None:
    """The file that the name means now; None when it means none, as of a store in memory."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _for_a_future(error: BaseException) -> BaseException:
    """A future cannot hold a StopIteration, which a bare `next` in an op may raise."""
    if not isinstance(error, StopIteration):
        return error
    wrapped = RuntimeError("an op raised StopIteration")
    wrapped.__cause__ = error
    return wrapped


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    op: WriteOp[Any]
    future: asyncio.Future[Any]


class Writer:
    """The thread that writes.

    `begin` runs first in the thread and gives what writes there, `end` runs last with it.
    """

    def __init__(self, begin: Callable[[], Committer], end: Callable[[Committer], None]) -> None:
        self._begin = begin
        self._end = end
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._begun: asyncio.Future[Committer] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._open = False
        # A daemon thread: a program that ends without closing the store must not hang; what was committed is on disk.
        self._thread = threading.Thread(target=self._run, name="phinops-store", daemon=True)

    async def start(self) -> Committer:
        """Start the thread; what `begin` gave, or the error that it raised."""
        self._thread.start()
        try:
            committer = await self._begun
        except BaseException:
            # Whether `begin` failed or nobody waits for it any more: what it took is given back before we return.
            self._queue.put(None)
            with anyio.CancelScope(shield=True):
                await asyncio.to_thread(self._thread.join)
            raise
        self._open = True
        return committer

    async def write(self, op: WriteOp[T]) -> T:
        """What the op gave, once it is on disk. Who stops waiting does not take the op back."""
        if not self._open:
            raise StoreError("the store is closed")
        job = _Job(op, self._loop.create_future())
        self._queue.put(job)
        value: T = await job.future
        return value

    async def stop(self) -> None:
        """Write what waits, then end the thread."""
        self._open = False
        self._queue.put(None)
        await self._ended
        self._thread.join()

    def _run(self) -> None:
        try:
            committer = self._begin()
        except Exception as error:  # noqa: BLE001 - whoever opens the store gets it
            self._settle([(self._begun, error)])
            return
        self._settle([(self._begun, Committed(committer))])
        try:
            while self._write_batch(committer):
                pass
        finally:
            self._end(committer)
            self._settle([(self._ended, Committed(None))])

    def _write_batch(self, committer: Committer) -> bool:
        jobs, more = self._waiting()
        if jobs:
            outcomes = committer.carry_out([job.op for job in jobs])
            self._settle([(job.future, outcome) for job, outcome in zip(jobs, outcomes, strict=True)])
        return more

    def _waiting(self) -> tuple[list[_Job], bool]:
        """Everything that waits, at least one; False when nothing more will come."""
        jobs: list[_Job] = []
        while (job := self._queue.get()) is not None:
            jobs.append(job)
            if len(jobs) == BATCH or self._queue.empty():
                return jobs, True
        return jobs, False

    def _settle(self, outcomes: Sequence[tuple[asyncio.Future[Any], Outcome]]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_resolve, outcomes)


def _resolve(outcomes: Sequence[tuple[asyncio.Future[Any], Outcome]]) -> None:
    heard = [pair for pair in outcomes if not pair[0].done()]
    for future, outcome in heard:
        if isinstance(outcome, Committed):
            future.set_result(outcome.value)
        else:
            future.set_exception(outcome)
    # Logging comes last: should it fail, everybody has their answer.
    for future, outcome in outcomes:
        if future.cancelled() and isinstance(outcome, BaseException):
            log.warning("store.failure_unheard", reason=repr(outcome))
