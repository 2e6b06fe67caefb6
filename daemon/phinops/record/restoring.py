"""Putting a backup in a store's place, so that the daemon that starts on it does nothing before a person has looked.

What was done since the backup the restored store does not know. So the kill switch is pulled in it: what was open is
settled by reading, what changed is seen, people are told; but no write leaves until a person says so.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime

import anyio

from phinops.clock import Clock
from phinops.errors import StoreError
from phinops.record.audit import note
from phinops.record.connection import open_reader, open_writer
from phinops.record.copies import Examined, copy_into, examine, sync
from phinops.record.lock import FileLock
from phinops.record.pausing import pause
from phinops.record.sqlite import Store
from phinops.record.tx import Tx

_COMING = ".restoring"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put in place. `aside` is where the store that was there is now, "" when there was none.

    `counted`: the calls that the old store had counted are counted on; else it could not be read.
    """

    found: Examined
    aside: str
    counted: bool


@dataclass(frozen=True, slots=True)
class _Left:
    """What must not be forgotten of the store that was there."""

    epoch: int
    ledger: Sequence[tuple[str, str, int, int]]


def restore(path: str, backup: str, clock: Clock, by: str) -> Restored:
    """Put the store in the file `backup` in the place of `path`. `by` is the person who does.

    Raises:
        StoreHeld: a daemon has the store.
        StoreTooNew: the backup is of a newer phinops.
        StoreError: the backup is damaged or no store, or there is no room; the store is as it was.
    """
    path = os.path.realpath(path)
    if os.path.realpath(backup) == path:
        raise StoreError(f"{backup} is the store itself")
    lock = FileLock(path + ".lock")
    lock.acquire(path)
    try:
        found = examine(backup)
        left = _left_in(path)
        coming = path + _COMING
        _drop(coming)
        with closing(open_reader(backup)) as connection:
            copy_into(connection, backup, coming)
        anyio.run(_prepare, coming, found, left, clock, by)
        _give_to_its_owner(coming, path)
        aside = _swap(coming, path, clock.now())
        return Restored(found, aside, counted=left is not None)
    finally:
        lock.release()


async def _prepare(coming: str, found: Examined, left: _Left | None, clock: Clock, by: str) -> None:
    when = f", whose newest event is of {found.newest.isoformat()}" if found.newest else ""
    reason = f"restored from a backup{when}: look at what was done since, then `phinops resume`"

    def op(tx: Tx) -> None:
        note(tx, "store.restored", by=by, newest_event=found.newest.isoformat() if found.newest else "")
        pause(tx, by, reason)
        for account, day, level, used in left.ledger if left else ():
            tx.run("ledger_at_least", account=account, day=day, level=level, used=used)
        if left:
            tx.run("lease_at_least", epoch=left.epoch)  # last, for this very opening is overtaken by it

    async with Store.open(coming, clock, at_once=True) as store:
        await store.write(op)
    sync(coming)


def _left_in(path: str) -> _Left | None:
    """What the store that is there counted, None when it cannot be read. A store that is not there counted nothing."""
    if not os.path.exists(path):
        return _Left(0, ())
    try:
        with closing(open_reader(path)) as connection:
            (epoch,) = connection.execute("SELECT coalesce(max(epoch), 0) FROM lease").fetchone()
            rows = connection.execute("SELECT account, day, level, used FROM ledger").fetchall()
    except sqlite3.Error:
        return None
    return _Left(epoch, [tuple(row) for row in rows])


def _swap(coming: str, path: str, now: datetime) -> str:
    """Put the file in the store's place, and what was there aside; its name, or "".

    A crash leaves the one or the other in place, and never none: a start would make an empty store then.
    """
    if not os.path.exists(path):
        os.replace(coming, path)
        sync(path)
        return ""
    with suppress(sqlite3.Error, StoreError), closing(open_writer(path, durable=True)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # else its newest rows are in another file
    aside = f"{path}.replaced-{now:%Y%m%dT%H%M%SZ}"
    _drop(aside)
    os.link(path, aside)
    for tail in ("-wal", "-shm"):  # of a store that could not be opened; what comes must not find them
        with suppress(FileNotFoundError):
            os.replace(path + tail, aside + tail)
    os.replace(coming, path)
    sync(path)
    return aside


def _give_to_its_owner(coming: str, path: str) -> None:
    """Root restores for the service's user, who must be able to open it."""
    if os.geteuid() == 0:
        owner = os.stat(path if os.path.exists(path) else os.path.dirname(path))
        os.chown(coming, owner.st_uid, owner.st_gid)


def _drop(path: str) -> None:
    for tail in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(path + tail)
