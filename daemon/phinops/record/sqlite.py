"""The store on SQLite: what is acknowledged is on disk, many writes to a commit, reads beside them."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from glob import escape, glob
from typing import Protocol

import anyio
import structlog

from phinops.clock import Clock, SystemClock
from phinops.errors import StoreError
from phinops.record.connection import check_sound, open_writer, translated
from phinops.record.copies import copy_into, keep_aside
from phinops.record.lock import FileLock
from phinops.record.migrations import load_migrations, migrate
from phinops.record.readers import Readers
from phinops.record.tx import ReadOp, T, WriteOp
from phinops.record.writer import Committed, Committer, Writer

log = structlog.get_logger(__name__)

MEMORY = ":memory:"

COPY = ".copy-"
"""What the name of a copy that is to be handed out has after the store's."""

_LOOKED_THROUGH_IN = 3.0
"""Seconds for which a start looks for damage; what it does not get to see by then, reading meets later."""


class Store:
    """Rows that outlive the process. Use `Store.open`.

    An op is a plain function of a `Tx` that does nothing but change rows: it may run twice. It is awaited with the
    store's promise: when `write` returns, what it did is on disk. `Store.open(":memory:")` gives a store that keeps the
    same promises but the disk's, and carries ops out at once on the caller's thread: what tests want, also in virtual
    time. `at_once` makes one of a file.
    """

    def __init__(self, backend: Backend, path: str) -> None:
        self._backend = backend
        self._told = False
        self.path = path

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: str | os.PathLike[str],
        clock: Clock | None = None,
        *,
        shard: str = "main",
        create: bool = True,
        at_once: bool = False,
    ) -> AsyncGenerator[Store]:
        """The store at `path`, locked, migrated and owned (one epoch further) until the context ends.

        `clock` gives each op its `now`. At the end what waits is still written. A relative path is one to the present
        folder; the folder must exist; new files are readable by their owner only. With `create` false a store that does
        not exist is an error.

        Raises:
            StoreHeld: another daemon has it.
            StoreTooNew: a newer phinops has migrated it.
            StoreError: it cannot be opened, is damaged, or is not a store; the message names the path and the cure.
        """
        clock = clock or SystemClock()
        name = os.fspath(path)
        if name == MEMORY or at_once:
            backend: Backend = _AtOnce(name, clock, shard)
        else:
            name = _locate(name, create=create)
            backend = await _OnDisk.start(name, clock, shard)
        try:
            yield cls(backend, name)
        finally:
            with anyio.CancelScope(shield=True):
                await backend.close()

    @property
    def epoch(self) -> int:
        """How often the store has been opened: what was written under a smaller number is another process's."""
        return self._backend.committer.epoch

    @property
    def trouble(self) -> str:
        """Why the last write was not possible, until one is; "" when all is well."""
        return self._backend.committer.trouble

    @property
    def commits(self) -> int:
        """How many transactions were committed since the store was opened."""
        return self._backend.committer.commits

    async def write(self, op: WriteOp[T]) -> T:
        """What the op returned, once all it changed is on disk. A waiter that is cancelled does not take its op back.

        Ops run in the order in which they were handed in, many to a commit; when one raises, its own changes are undone
        and nobody else's.

        Raises:
            StoreUnwritable: the disk would not take it, nothing was changed, and it may work later.
            StoreLost: another process has taken the store over; stop.
            StoreError: the store is damaged or closed.
            Exception: whatever the op raised.
        """
        try:
            result = await self._backend.write(op)
        except StoreError as error:
            self._tell(str(error))
            raise
        if self._told and not self.trouble:
            self._tell("")
        return result

    async def read(self, op: ReadOp[T]) -> T:
        """What the op read, all as of one moment, everything acknowledged before included.

        Raises:
            StoreError: the store cannot be read.
            Exception: whatever the op raised.
        """
        return await self._backend.read(op)

    async def copy(self) -> str:
        """Make a copy of all that is acknowledged, beside the store; its path. Whoever asked for it deletes it.

        Raises:
            StoreError: there is no room for it, or the store is damaged.
        """
        target = f"{self.path}{COPY}{uuid.uuid4().hex[:8]}"
        await self._backend.copy_to(target)
        return target

    async def probe(self) -> None:
        """Write something, to learn whether the store can be written.

        Raises:
            StoreError: it cannot.
        """
        await self.write(lambda tx: tx.run("kv_put", name="probe", value="", now=tx.now))

    def _tell(self, trouble: str) -> None:
        if trouble and not self._told:
            log.error("store.unwritable", path=self.path, reason=trouble)
        elif not trouble:
            log.info("store.writable_again", path=self.path)
        self._told = bool(trouble)


class Backend(Protocol):
    """Where the ops of a store run."""

    committer: Committer

    async def write(self, op: WriteOp[T]) -> T:
        """As `Store.write`."""
        ...

    async def read(self, op: ReadOp[T]) -> T:
        """As `Store.read`."""
        ...

    async def copy_to(self, target: str) -> None:
        """Copy all of it to a new file."""
        ...

    async def close(self) -> None:
        """Write what waits, then give file and lock back."""
        ...


class _AtOnce:
    """One connection, on the caller's thread, every op at once; without a lock, and no power cut is survived."""

    def __init__(self, path: str, clock: Clock, shard: str) -> None:
        connection = open_writer(path, durable=False)
        self._path = path
        self.committer = _owner(connection, path, clock, shard, clock.now(), careful=False)
        self._open = True

    async def write(self, op: WriteOp[T]) -> T:
        self._check()
        (outcome,) = self.committer.carry_out([op])
        await asyncio.sleep(0)  # as with a disk, others get their turn before the answer
        if isinstance(outcome, Committed):
            value: T = outcome.value
            return value
        raise outcome

    async def read(self, op: ReadOp[T]) -> T:
        self._check()
        await asyncio.sleep(0)
        return self.committer.read(op)

    async def copy_to(self, target: str) -> None:
        self._check()
        copy_into(self.committer.connection, self._path, target)

    async def close(self) -> None:
        self._open = False
        self.committer.connection.close()

    def _check(self) -> None:
        if not self._open:
            raise StoreError("the store is closed")


class _OnDisk:
    """A thread that writes and a few that read."""

    def __init__(self, writer: Writer, readers: Readers, committer: Committer) -> None:
        self.committer = committer
        self._writer = writer
        self._readers = readers
        self.write = writer.write
        self.read = readers.read
        self.copy_to = readers.copy_to

    @classmethod
    async def start(cls, path: str, clock: Clock, shard: str) -> _OnDisk:
        lock = FileLock(path + ".lock")
        now = clock.now()

        def begin() -> Committer:
            lock.acquire(path)
            try:
                _clear(path)
                return _owner(open_writer(path, durable=True), path, clock, shard, now, careful=True)
            except BaseException:
                lock.release()
                raise

        def end(committer: Committer) -> None:
            try:
                _close(committer.connection)
            finally:
                lock.release()

        writer = Writer(begin, end)
        committer = await writer.start()
        return cls(writer, Readers(path, clock, committer.epoch), committer)

    async def close(self) -> None:
        # Readers first: the checkpoint at the end waits for nobody then.
        await self._readers.close()
        await self._writer.stop()


def _locate(path: str, *, create: bool) -> str:
    real = os.path.realpath(path)  # two links to one file are one store, with one lock
    folder = os.path.dirname(real)
    if not os.path.isdir(folder):
        raise StoreError(f"cannot open the store {real}: there is no folder {folder}; make it, or change [store].url")
    if not (create or os.path.exists(real)):
        raise StoreError(f"there is no store at {real} yet: the daemon makes it when it first runs")
    return real


def _clear(path: str) -> None:
    """Away with copies that a process which died did not come to hand out."""
    for each in glob(f"{escape(path)}{COPY}*"):
        os.unlink(each)


def _owner(
    connection: sqlite3.Connection, path: str, clock: Clock, shard: str, now: datetime, *, careful: bool
) -> Committer:
    """The migrated store's new owner; a connection that turns out to be of no use is closed.

    `careful`: it is looked for damage first, and kept aside before it is migrated.
    """
    try:
        with translated(path):
            if careful:
                check_sound(connection, path, "quick_check", _LOOKED_THROUGH_IN)
                migrate(connection, path, now, load_migrations(), partial(keep_aside, connection, path, now=now))
            else:
                migrate(connection, path, now, load_migrations())
            committer = Committer(connection, path, clock, shard)
            committer.take_lease(f"{socket.gethostname()}:{os.getpid()}")
    except BaseException:
        connection.close()
        raise
    return committer


def _close(connection: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):  # on a full disk the WAL stays as it is, and the next start reads it
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
