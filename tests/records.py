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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import phinops
from phinops.firing import Firing, Intent
from phinops.record.sqlite import Store
from phinops.record.tx import Tx, WriteOp

START = datetime(2026, 1, 5, tzinfo=UTC)
FIRING = Firing(
    id="fi_1",
    event_id="ev_1",
    tenant="prod",
    rule="r",
    rule_hash="h",
    mode="armed",
    key="k",
    plan={},
    state="ready",
    created_at=START,
)
STEP = Intent(
    action_id="act_1",
    firing_id="fi_1",
    n=0,
    step_id="rerun",
    attempt=1,
    kind="rerun_instance",
    api="OperateInstance",
    tenant="prod",
    target_kind="instance",
    target_id="t_1",
    project_id="7",
    request={},
    probe={},
)
"""A firing of the event `ev_1`, and the intent of its only step."""

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
