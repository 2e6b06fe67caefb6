"""`phinops backup` and `phinops restore`: a copy of the store, and a copy in its place."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from phinops.clock import SystemClock
from phinops.config import Config
from phinops.errors import StoreError, StoreHeld
from phinops.surface.cli.options import config_of, config_option, person
from phinops.surface.cli.reach import NobodyAnswers, Remote

if TYPE_CHECKING:
    from phinops.record.copies import Examined


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@config_option
def backup(file: Path, config_path: Path | None) -> None:
    """A copy of the store as it is now, in FILE, which must not exist yet. The daemon goes on meanwhile.

    The copy is looked through before it gets its name: what is there under it can be restored.

    \b
    Example:
      phinops backup /var/backups/phinops.db
    """
    from phinops.record.copies import examine, sync

    config = config_of(config_path)
    if file.exists():
        raise click.BadParameter(f"{file} exists already", param_hint="FILE")
    coming = file.with_name(file.name + ".partial")
    try:
        _fetch(config, coming)
        found = examine(str(coming))
        os.replace(coming, file)
        sync(str(file))
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            coming.unlink(missing_ok=True)
    click.echo(f"{file}: {_told(found)}")


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--yes", is_flag=True, help="Do not ask before the store is replaced.")
@config_option
def restore(file: Path, yes: bool, config_path: Path | None) -> None:
    """Put the backup FILE in the place of the store. The daemon must be stopped; the store that was there stays beside.

    What was done since the backup is not known any more. So the daemon that starts on it settles what was open by
    reading, and sees and tells what changed, but writes nothing to Dataphin until somebody says `phinops resume`.

    \b
    Example:
      phinops restore /var/backups/phinops.db
    """
    from phinops.record.restoring import restore as put_in_place
    from phinops.surface import logs

    logs.configure("warning")
    config = config_of(config_path)
    if not yes and config.store.path.exists():
        click.confirm(f"{config.store.path} is replaced by {file}: go on?", abort=True, err=True)
    try:
        done = put_in_place(str(config.store.path), str(file), SystemClock(), person())
    except StoreHeld as error:
        raise StoreHeld(f"{error}; stop it first") from None
    click.echo(f"{config.store.path}: {_told(done.found)}")
    if done.aside:
        click.echo(f"what was there is in {done.aside}")
    if not done.counted:
        click.echo("the old store could not be read: calls of today since the backup are not counted", err=True)
    click.echo("no write leaves until you have looked at what was done since, and said `phinops resume`")


def _fetch(config: Config, target: Path) -> None:
    """Have the copy in the file, from the daemon or, where none runs, from the store."""
    with suppress(FileNotFoundError):
        target.unlink()
    try:
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            Remote(config).fetch("/api/v1/backup", file)
    except NobodyAnswers as silence:
        target.unlink()
        _from_store(config, target, silence)


def _from_store(config: Config, target: Path, silence: NobodyAnswers) -> None:
    from phinops.record.connection import open_reader, translated
    from phinops.record.copies import copy_into
    from phinops.record.lock import FileLock

    path = os.path.realpath(config.store.path)
    if not os.path.exists(path):
        raise NobodyAnswers(f"{silence}; there is no store at {path} either")
    lock = FileLock(path + ".lock")
    try:
        lock.acquire(path)
    except StoreHeld:
        raise silence from None
    try:
        with translated(path), closing(open_reader(path)) as connection:
            copy_into(connection, path, str(target))
    finally:
        lock.release()


def _told(found: Examined) -> str:
    newest = f", newest event of {found.newest.isoformat()}" if found.newest else ", no event yet"
    return f"{found.size / 1e6:.1f} MB, schema {found.version}{newest}"
