"""How many durable writes a second: `python tests/record/measure_commits.py [FOLDER]`, medians of five runs.

Each write is what the spine does for a new event: the event, its firing and a line of the audit, about 2 KB.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from phinops.event import Event
from phinops.firing import Firing
from phinops.record import journal
from phinops.record.audit import note
from phinops.record.sqlite import Store
from phinops.record.tx import Tx

START = datetime(2026, 1, 5, tzinfo=UTC)
EVENT = Event(id="", type="hook.x", time=START, tenant="t", source="hooks", body={"text": "x" * 900})
FIRING = Firing("", "", "t", "rule", "hash", "armed", "key", {"do": "x" * 600}, "ready", created_at=START)


async def measured(path: Path, writers: int, writes: int) -> tuple[float, float]:
    """Acknowledged writes and commits a second."""
    async with Store.open(path) as store, asyncio.TaskGroup() as tasks:
        before, began = store.commits, time.perf_counter()
        running = [tasks.create_task(write(store, f"{writer}", writes // writers)) for writer in range(writers)]
        await asyncio.wait(running)
        seconds = time.perf_counter() - began
        return writes / seconds, (store.commits - before) / seconds


async def write(store: Store, prefix: str, count: int) -> None:
    for n in range(count):
        name = f"{prefix}-{n}"

        def op(tx: Tx, name: str = name) -> None:
            journal.put_event(tx, replace(EVENT, id=f"ev_{name}"))
            journal.put_firing(tx, replace(FIRING, id=f"fi_{name}", event_id=f"ev_{name}"))
            note(tx, "firing.born", f"fi_{name}", rule="rule")

        await store.write(op)


def main(folder: str | None = None) -> None:
    for writers, writes in ((1, 500), (8, 2000), (64, 6400), (500, 10000)):
        runs = []
        for _ in range(5):
            with tempfile.TemporaryDirectory(dir=folder) as place:
                runs.append(asyncio.run(measured(Path(place) / "p.db", writers, writes)))
        rates, commits = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{writers:4d} writers: {rates:8.0f} writes/s in {commits:6.0f} commits/s")


if __name__ == "__main__":
    main(*sys.argv[1:2])
