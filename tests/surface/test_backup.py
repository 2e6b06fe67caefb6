from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner, Result

from fakedaemon import FakeService, answering, write_config
from happenings import FAILED
from phinops.errors import StoreError
from phinops.record import journal, pausing
from phinops.record.copies import examine
from phinops.record.lock import FileLock
from phinops.record.sqlite import Store
from phinops.surface.cli import phinops
from records import got, modes_in, put


def typed(*arguments: str | Path, answer: str = "") -> Result:
    result = CliRunner().invoke(phinops, [str(each) for each in arguments], input=answer)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def filled(path: Path, name: str) -> None:
    async def write() -> None:
        async with Store.open(path) as store:
            await store.write(lambda tx: journal.put_event(tx, replace(FAILED, id=f"ev_{name}")))
            await put(store, name, "x")

    anyio.run(write)


def has(path: Path, name: str) -> bool:
    async def read() -> bool:
        async with Store.open(path) as store:
            return await got(store, name) is not None

    return anyio.run(read)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config whose daemon does not run, with a store in which something happened."""
    filled(tmp_path / "phinops.db", "before")
    return write_config(tmp_path, 1)


@pytest.fixture
def running(tmp_path: Path) -> Generator[tuple[FakeService, Path]]:
    service = FakeService()
    (tmp_path / "token").write_text("t0ken\n")
    with answering(service) as port:
        yield service, write_config(tmp_path, port)


def test_a_running_daemon_hands_its_copy_out_and_keeps_none(running: tuple[FakeService, Path], tmp_path: Path) -> None:
    service, config = running
    filled(tmp_path / "its-copy.db", "x")
    service.copy = str(tmp_path / "its-copy.db")
    result = typed("backup", tmp_path / "out.db", "--config", config)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{tmp_path / 'out.db'}: ")
    assert "newest event of 20" in result.stdout
    assert modes_in(tmp_path)["out.db"] == 0o600
    assert "its-copy.db" not in modes_in(tmp_path)
    assert has(tmp_path / "out.db", "x")


def test_a_daemon_that_cannot_make_one_says_why(running: tuple[FakeService, Path], tmp_path: Path) -> None:
    service, config = running
    service.error = StoreError("no room for a copy of p.db in /x: it takes up to 9 MB, and 1 MB are free")
    result = typed("backup", tmp_path / "out.db", "--config", config)
    assert result.exit_code == 3
    assert "no room for a copy" in result.stderr
    assert not [name for name in modes_in(tmp_path) if name.startswith("out.db")]


def test_a_daemon_that_lets_nobody_in_says_so(running: tuple[FakeService, Path], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("another\n")
    result = typed("backup", tmp_path / "out.db", "--config", running[1])
    assert result.exit_code == 3
    assert "wants its token" in result.stderr
    assert not [name for name in modes_in(tmp_path) if name.startswith("out.db")]


def test_without_a_daemon_the_store_is_copied_as_it_is(config: Path, tmp_path: Path) -> None:
    before = (tmp_path / "phinops.db").read_bytes()
    assert typed("backup", tmp_path / "out.db", "--config", config).exit_code == 0
    assert has(tmp_path / "out.db", "before")
    assert (tmp_path / "phinops.db").read_bytes() == before


def test_what_exists_is_not_written_over(config: Path, tmp_path: Path) -> None:
    (tmp_path / "out.db").write_text("mine")
    result = typed("backup", tmp_path / "out.db", "--config", config)
    assert (result.exit_code, (tmp_path / "out.db").read_text()) == (2, "mine")
    assert "exists already" in result.stderr


@pytest.mark.parametrize("target", ["nowhere/out.db", "out.db"])
def test_a_backup_that_cannot_be_made_leaves_nothing(target: str, config: Path, tmp_path: Path) -> None:
    (tmp_path / "phinops.db").write_bytes(b"no database at all " * 1000)
    result = typed("backup", tmp_path / target, "--config", config)
    assert result.exit_code == 3
    assert not [name for name in modes_in(tmp_path) if name.startswith("out.db")]


def test_a_store_that_is_held_or_missing_is_nobody_to_ask(config: Path, tmp_path: Path) -> None:
    lock = FileLock(str(tmp_path / "phinops.db.lock"))
    lock.acquire("the store")
    result = typed("backup", tmp_path / "out.db", "--config", config)
    lock.release()
    assert (result.exit_code, "no daemon answers" in result.stderr) == (3, True)
    (tmp_path / "phinops.db").unlink()
    result = typed("backup", tmp_path / "out.db", "--config", config)
    assert (result.exit_code, "there is no store at" in result.stderr) == (3, True)


def test_a_backup_is_put_back_and_no_write_leaves_until_resumed(config: Path, tmp_path: Path) -> None:
    typed("backup", tmp_path / "out.db", "--config", config)
    filled(tmp_path / "phinops.db", "after")
    result = typed("restore", tmp_path / "out.db", "--config", config, answer="y\n")
    assert result.exit_code == 0
    told = result.stdout.splitlines()
    assert told[-1] == "no write leaves until you have looked at what was done since, and said `phinops resume`"
    assert "what was there is in" in told[-2]
    assert not has(tmp_path / "phinops.db", "after")

    async def paused() -> bool:
        async with Store.open(tmp_path / "phinops.db") as store:
            return await store.read(pausing.pause_of) is not None

    assert anyio.run(paused)
    assert typed("resume", "--config", config).exit_code == 0
    assert not anyio.run(paused)


def test_nothing_is_replaced_without_a_yes(config: Path, tmp_path: Path) -> None:
    typed("backup", tmp_path / "out.db", "--config", config)
    filled(tmp_path / "phinops.db", "after")
    assert typed("restore", tmp_path / "out.db", "--config", config, answer="n\n").exit_code == 1
    assert has(tmp_path / "phinops.db", "after")


def test_while_a_daemon_runs_nothing_is_restored(config: Path, tmp_path: Path) -> None:
    typed("backup", tmp_path / "out.db", "--config", config)
    lock = FileLock(str(tmp_path / "phinops.db.lock"))
    lock.acquire("the store")
    result = typed("restore", tmp_path / "out.db", "--yes", "--config", config)
    lock.release()
    assert result.exit_code == 3
    assert "one daemon a store; stop it first" in result.stderr


def test_calls_that_cannot_be_counted_any_more_are_told(config: Path, tmp_path: Path) -> None:
    typed("backup", tmp_path / "out.db", "--config", config)
    (tmp_path / "phinops.db").write_bytes(b"no database at all " * 1000)
    result = typed("restore", tmp_path / "out.db", "--yes", "--config", config)
    assert result.exit_code == 0
    assert "calls of today since the backup are not counted" in result.stderr
    assert examine(str(tmp_path / "phinops.db")).version
