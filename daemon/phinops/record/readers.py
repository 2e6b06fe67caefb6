"""Who reads: a few read-only connections in threads of their own, so that no read waits for a write."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from phinops.clock import Clock
from phinops.errors import StoreError
from phinops.record.connection import open_reader, translated
from phinops.record.copies import copy_into
from phinops.record.tx import ReadOp, Snapshot, T

READERS = 2
"""How many reads run at once; more wait."""


class Readers:
    """Read-only connections to one file, opened when they are first needed."""

    def __init__(self, path: str, clock: Clock, epoch: int) -> None:
        self._path = path
        self._clock = clock
        self._epoch = epoch
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="phinops-reader")
        self._open = True

    async def read(self, op: ReadOp[T]) -> T:
        """What the op reads, all of it as of one moment."""
        if not self._open:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, op)

    async def copy_to(self, target: str) -> None:
        """Copy the store to a new file; nobody who writes waits for it."""
        if not self._open:
            raise StoreError("the store is closed")
        await asyncio.get_running_loop().run_in_executor(self._threads, self._copy, target)

    async def close(self) -> None:
        """Wait for the reads that run and close the connections."""
        self._open = False
        await asyncio.to_thread(self._threads.shutdown)
        while not self._idle.empty():
            self._idle.get().close()

    def _read(self, op: ReadOp[T]) -> T:
        with translated(self._path):
            connection = self._lend()
            try:
                connection.execute("BEGIN")
                result = op(Snapshot(connection, self._clock.now(), self._epoch))
                connection.execute("ROLLBACK")
            except BaseException:
                # Whatever state it is in: the next read opens a fresh one.
                connection.close()
                raise
        self._idle.put(connection)
        return result

    def _copy(self, target: str) -> None:
        with translated(self._path), closing(open_reader(self._path)) as connection:
            copy_into(connection, self._path, target)

    def _lend(self) -> sqlite3.Connection:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return open_reader(self._path)
