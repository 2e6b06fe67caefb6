"""Copies of a store: whole, as of one moment, of a file that is in use as well, and worth what a look into them says.

A copy is made by `VACUUM INTO` on a connection that only reads: it holds up nobody who writes, has no free pages, and
fails where the original is damaged, instead of carrying the damage on.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from glob import escape, glob

import structlog

from phinops.errors import StoreError
from phinops.record.connection import check_sound, open_reader, translated
from phinops.record.migrations import check_version, load_migrations
from phinops.record.moments import from_micros

log = structlog.get_logger(__name__)

KEPT_ASIDE = 2
"""How many copies from before migrations are kept beside the store."""

_MARGIN = 2_000_000
"""Bytes that must be free beyond what the copy takes."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What a file holds that is a sound store: its schema, bytes, and when its newest event was received."""

    version: int
    size: int
    newest: datetime | None


def copy_into(connection: sqlite3.Connection, source: str, target: str) -> None:
    """Copy the store `source`, which the connection has open, to the new file `target`, on disk when this returns.

    Raises:
        StoreError: there is no room for it, it cannot be written, or the store is damaged. Nothing is left of it then.
    """
    _check_room(connection, source, target)
    try:
        # Made here, so that nobody but its owner may read it from the first byte on.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise StoreError(f"cannot write the copy {target}: {error.strerror}") from error
    try:
        with translated(source):
            if connection.execute("PRAGMA auto_vacuum").fetchone()[0] == 0:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of the copy: a store of old learns it so
            connection.execute("VACUUM INTO ?", (target,))
        sync(target)
    except BaseException:
        with suppress(OSError):
            os.unlink(target)
        raise


def examine(path: str) -> Examined:
    """Look through the whole file.

    Raises:
        StoreTooNew: a newer phinops wrote it.
        StoreError: there is none, it is damaged, or it is not a store; the message names it.
    """
    if not os.path.isfile(path):
        raise StoreError(f"there is no file {path}")
    with translated(path), closing(open_reader(path)) as connection:
        check_sound(connection, path, "integrity_check")
        version = check_version(connection, path, load_migrations())
        if version == 0:
            raise StoreError(f"{path} is not a store of phinops")
        newest = connection.execute("SELECT max(received_at) FROM event").fetchone()[0]
        return Examined(version, os.stat(path).st_size, from_micros(newest))


def keep_aside(connection: sqlite3.Connection, path: str, version: int, now: datetime) -> str:
    """Keep the store as it is beside it, before it is changed to another schema; the copy's name.

    The newest `KEPT_ASIDE` of these copies stay.

    Raises:
        StoreError: there is no room for it; the message says how much it takes.
    """
    target = f"{path}.v{version}-{now:%Y%m%dT%H%M%SZ}"
    with suppress(FileNotFoundError):
        os.unlink(target)
    copy_into(connection, path, target)
    log.info("store.kept_aside", copy=target, schema=version)
    for old in sorted(glob(f"{escape(path)}.v*-*Z"), key=os.path.getmtime)[:-KEPT_ASIDE]:
        os.unlink(old)
    return target


def sync(path: str) -> None:
    """Have the file and its name on disk."""
    for each, flags in ((path, os.O_RDONLY), (os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)):
        descriptor = os.open(each, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _check_room(connection: sqlite3.Connection, source: str, target: str) -> None:
    with translated(source):
        (pages,), (page,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    folder = os.path.dirname(os.path.abspath(target))
    if not os.path.isdir(folder):
        raise StoreError(f"cannot write the copy {target}: there is no folder {folder}")
    needed, free = pages * page + _MARGIN, shutil.disk_usage(folder).free
    if free < needed:
        raise StoreError(
            f"no room for a copy of {source} in {folder}: it takes up to {needed / 1e6:.0f} MB, and "
            f"{free / 1e6:.0f} MB are free; make room there"
        )
