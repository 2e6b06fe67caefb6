"""What the tests of the store share."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import phinops
from phinops.record.sqlite import Store
from phinops.record.tx import Tx, WriteOp

LONG = bool(os.environ.get("PHINOPS_LONG"))
"""Whether the long tests run in full."""


async def put(store: Store, name: str, value: str = "") -> None:
    """One small row."""
    await store.write(lambda tx: tx.run("kv_put", name=name, value=value, now=tx.now))


async def got(store: Store, name: str) -> str | None:
    """The value of the row that `put` wrote, or None."""
    row = await store.read(lambda tx: tx.one("kv_get", name=name))
    return None if row is None else str(row["value"])


@asynccontextmanager
async def busy_writer(store: Store) -> AsyncGenerator[None]:
    """While the context lasts the writer is at work, so that everything handed in waits for the next batch."""
    working, free = threading.Event(), threading.Event()

    def work(tx: Tx) -> None:
        working.set()
        assert free.wait(30)

    task = asyncio.create_task(store.write(work))
    try:
        assert await asyncio.to_thread(working.wait, 30)
        yield
    finally:
        free.set()
        await task


async def handed_in(store: Store, ops: Sequence[WriteOp[Any]]) -> list[asyncio.Task[Any]]:
    """The ops, waiting in the writer's queue in this order."""
    tasks = [asyncio.create_task(store.write(op)) for op in ops]
    await asyncio.sleep(0)
    return tasks


def alter(path: Path, *statements: str) -> None:
    """What somebody else does to the file."""
    connection = sqlite3.connect(path)
    try:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    finally:
        connection.close()


def modes_in(folder: Path) -> dict[str, int]:
    """The files of a folder and who may do what with them."""
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


def script(*arguments: str | Path) -> subprocess.Popen[str]:
    """A program of this folder, running, its output lines readable."""
    paths = [*sys.path, Path(phinops.__file__).parents[1], Path(__file__).parent]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.Popen([sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, text=True, env=environment)
