"""Connections to the file, and what SQLite's errors mean to people.

Debian 12 ships SQLite 3.40.1, in which two connections that write or checkpoint a WAL at the same moment can damage it.
So there is one connection that writes, everything else opens the file read-only (which never checkpoints), and the
lock of the operating system keeps other daemons out.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from phinops.clock import SystemClock
from phinops.errors import StoreError, StoreUnwritable

BUSY_TIMEOUT_S = 5.0
"""How long a statement waits for somebody else's lock, such as a backup tool's, before it gives up."""

_STEPS = 10_000
"""Steps of SQLite's machine between two looks at the time."""

_WAL_KEPT = 64 * 1024 * 1024
_UNWRITABLE = {
    sqlite3.SQLITE_BUSY: "something else keeps it locked",
    sqlite3.SQLITE_CANTOPEN: "its files cannot be opened: look at the folder's rights and free inodes",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk does not take it: it is full, over its limit, or broken",
    sqlite3.SQLITE_PERM: "its rights do not allow it",
    sqlite3.SQLITE_READONLY: "it is read-only",
}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_EXTENDED = 0xFF
"""The low byte of an SQLite code is the kind of error, the rest of it a closer description."""


def open_writer(path: str, *, durable: bool) -> sqlite3.Connection:
    """The one connection that writes. Not `durable`: a store that need not outlive a power cut (a test's).

    Raises:
        StoreError: the file cannot be made, is not a database, or does not lie on a local disk.
    """
    if path != ":memory:":
        _make(path)
    with translated(path):
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            _set_up(connection, path, durable=durable)
        except BaseException:
            connection.close()
            raise
    return connection


def open_reader(path: str) -> sqlite3.Connection:
    """A connection that can change nothing."""
    uri = Path(path).absolute().as_uri() + "?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


@contextmanager
def translated(path: str) -> Generator[None]:
    """Errors of the machine come out as `StoreError`, mistakes in SQL as they are."""
    try:
        yield
    except sqlite3.Error as error:
        sorted_out = machine_error(path, error)
        if sorted_out is None:
            raise
        raise sorted_out from error


def machine_error(path: str, error: BaseException) -> StoreError | None:
    """What the error says about the machine, or None when it is about the statement."""
    if not isinstance(error, sqlite3.Error):
        return None
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _EXTENDED
    if code in _DAMAGED:
        return damaged(path, str(error))
    if code in _UNWRITABLE:
        name = getattr(error, "sqlite_errorname", "")
        return StoreUnwritable(f"{path} cannot be used now: {_UNWRITABLE[code]} ({name}: {error})")
    return None


def damaged(path: str, what: str) -> StoreError:
    """That the file is damaged, and the cure."""
    return StoreError(
        f"{path} is damaged or not a store of phinops ({what}). Stop the daemon, then restore a backup by `phinops "
        "restore FILE`, which keeps this file aside; or move it away together with its -wal and -shm: phinops then "
        "begins with an empty store, and no longer knows which of its writes were still unsettled"
    )


def check_sound(connection: sqlite3.Connection, path: str, check: str, within: float = float("inf")) -> None:
    """Look through the store by the check `quick_check` or `integrity_check`, for as many seconds as `within` at most.

    Raises:
        StoreError: something is wrong with it.
        sqlite3.DatabaseError: it is damaged so that it cannot even be looked through.
    """
    clock = SystemClock()
    end = clock.monotonic() + within
    connection.set_progress_handler(lambda: clock.monotonic() > end, _STEPS)
    try:
        (found,) = connection.execute(f"PRAGMA {check}(1)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return
    finally:
        connection.set_progress_handler(None, 0)
    if found != "ok":
        raise damaged(path, " ".join(str(found).split()))


def _make(path: str) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(f"cannot open the store {path}: {error.strerror}") from error


def _set_up(connection: sqlite3.Connection, path: str, *, durable: bool) -> None:
    connection.row_factory = sqlite3.Row
    if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
        # What is pruned can be given back to the disk by and by. A file that was made without it keeps its free pages.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if durable and mode != "wal":
        raise StoreError(f"{path} cannot have a write-ahead log: the store needs a local disk")
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT}")
