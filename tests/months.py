"""Days of a large tenant in virtual time, through a whole daemon and a store on disk."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

import scripted
from phinops.arrive.arrival import Arrival
from phinops.arrive.progress import FORGET_AFTER
from phinops.arrive.sift import InstanceSeen, Sight, sift_instance
from phinops.clock import LoopClock
from phinops.daemon import Daemon
from phinops.event import Event, Instance, JsonObject, Node, Project
from phinops.record.documents import to_text
from phinops.record.moments import to_micros
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot, Tx

MIDNIGHT = datetime(2026, 1, 4, 16, tzinfo=UTC)
"""The beginning of a day in Shanghai."""

RULES = """
rules:
  - id: rerun
    on: instance.failed
    mode: armed
    cooldown: 1h
    do:
      - id: again
        rerun_instance: {}
        verify: { within: 30m }
      - notify: { to: oncall, message: "{{ event.instance.id }}: {{ steps.again.outcome }}" }

  - id: many-failures
    on: { event: instance.failed, count: 5, within: 1h }
    key: event.node.id
    do:
      - notify: { to: oncall, message: "{{ event.node.name }} fails again and again" }

  - id: late-at-night
    on: instance.succeeded
    if: event.node.priority == "1" && event.instance.attempts > 1
    do:
      - notify: { to: oncall, message: "{{ event.instance.id }} is there at last" }
"""

POLL_EVERY = timedelta(minutes=5)
REMEMBERED_DAYS = int(FORGET_AFTER / timedelta(days=1))


class _Unhurried(LoopClock):
    """Lets loops that look now and then whether there is anything to do look less often: most of a month is idle."""

    def real(self, seconds: float) -> float:
        return seconds * 20


@dataclass(frozen=True, slots=True)
class Day:
    """How it stood at the end of a day: MB of the file and of what it holds, MB of memory, rows."""

    file: float
    used: float
    memory: float
    events: int
    firings: int
    lines: int


@dataclass(slots=True)
class Month:
    """A daemon on a store at `path`, and the instances that it is told of, `a_day` each day."""

    daemon: Daemon
    store: Store
    clock: LoopClock
    wire: scripted.ScriptedDataphin
    path: Path
    a_day: int
    failing: float
    script: dict[str, list[scripted.Change]]
    chance: random.Random = field(default_factory=lambda: random.Random(5))
    born: int = 0
    failed: int = 0
    rerun: int = 0
    twice: int = 0

    async def day(self) -> Day:
        """Let one more day pass."""
        polls = int(timedelta(days=1) / POLL_EVERY)
        for number in range(polls):
            count = self.a_day * (number + 1) // polls - self.a_day * number // polls
            await self.daemon.take(self._arrival(count, forget=number == 0))
            await self.clock.sleep(POLL_EVERY.total_seconds())
        self.settle(timedelta(days=1))
        return await self._measured()

    def settle(self, age: timedelta = timedelta()) -> None:
        """Count what failed so long ago, and forget it: what grows here is not to be taken for what grows there."""
        before = self.clock.monotonic() - age.total_seconds()
        for name in [name for name, changes in self.script.items() if changes[-1].at <= before]:
            self.failed += 1
            reruns = self.wire.reruns.pop(name, 0)
            self.rerun += reruns > 0
            self.twice += reruns > 1
            del self.script[name]
            self.wire.runs.pop(name, None)

    async def remember_the_past(self) -> None:
        """What the source remembers of the days before: a tenant that has been watched for as long as it remembers."""
        now = to_micros(self.clock.now())
        state = to_text(asdict(InstanceSeen("SUCCESS", 1767542400, 1767542460, "1767542400", 0, {"SUCCESS": 1})))
        day = to_micros(MIDNIGHT + timedelta(days=1)) - to_micros(MIDNIGHT)

        def op(tx: Tx) -> None:
            for back in range(REMEMBERED_DAYS, 0, -1):
                rows = (("t", "instances", f"o_{back}_{n}", state, 0, now - back * day) for n in range(self.a_day))
                tx._connection.executemany("INSERT INTO seen VALUES (?, ?, ?, ?, ?, ?)", rows)

        await self.store.write(op)

    def _arrival(self, count: int, *, forget: bool) -> Arrival:
        now = self.clock.now()
        sight = Sight("t", now, now - timedelta(hours=1), stock=False)
        events: list[Event] = []
        seen: dict[str, JsonObject] = {}
        for instance, node, raw in self._instances(count):
            sifted = sift_instance(sight, Project(scripted.PROJECT, "mart"), instance, node, raw, None)
            events += sifted.events
            seen[instance.id] = sifted.state or asdict(InstanceSeen())
        forgotten = now - FORGET_AFTER if forget else None
        return Arrival("instances", "t", tuple(events), seen, part=scripted.PROJECT, forget_before=forgotten)

    def _instances(self, count: int) -> Iterator[tuple[Instance, Node, JsonObject]]:
        for _ in range(count):
            self.born += 1
            n = self.chance.randrange(2000)
            name = f"t_{n}_20260104_{self.born}"
            at = self.clock.monotonic() - self.chance.uniform(1, POLL_EVERY.total_seconds())
            status = "FAILED" if self.chance.random() < self.failing else "SUCCESS"
            node = Node(f"n_{n}", f"dws_trade_order_summary_{n}", "DATA_PROCESS", "SQL", "1" if n < 20 else "3")
            if status == "FAILED":
                self.script[name] = [scripted.Change(at, status)]
            instance = self.wire.at(name, status, at)
            yield instance, node, _raw(instance, node)

    async def _measured(self) -> Day:
        kept = self.daemon._retention.kept.size
        rows = await self.store.read(lambda tx: [_count(tx, table) for table in ("event", "firing", "audit")])
        size = os.stat(self.path).st_size
        return Day(size / 1e6, kept.used / 1e6, _resident() / 1e6, *rows)


def _raw(instance: Instance, node: Node) -> JsonObject:
    return {
        "Id": instance.id,
        "Type": "NORMAL",
        "BizDate": "2026-01-04",
        "StatusList": [instance.status],
        "NodeInfo": {
            "Id": node.id,
            "Name": node.name,
            "Type": node.type,
            "SubType": "SQL",
            "Priority": node.priority,
            "SchedulePeriodList": ["DAILY"],
            "OwnerList": [{"Id": "100023", "Name": "li.wei"}],
            "ProjectInfo": {"Id": scripted.PROJECT, "Name": "mart"},
        },
        "StartExecuteTime": "2026-01-05 01:30:00",
        "EndExecuteTime": "2026-01-05 01:31:00",
        "DueTime": "2026-01-05 01:00:00",
        "Duration": 60,
    }


def _count(tx: Snapshot, table: str) -> int:
    (count,) = tx._connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def month(folder: Path, *, a_day: int, failing: float, **store: Any) -> AsyncGenerator[Month]:
    """A daemon that has just begun, in the beginning of a day; `store` is the config's section."""
    loop = asyncio.get_running_loop()
    clock = _Unhurried(MIDNIGHT - timedelta(seconds=loop.time()))
    rules = folder / "month.rules.yaml"
    rules.write_text(RULES, encoding="utf-8")
    made = scripted.make_config(folder, rules)
    section = made.store.model_validate(store)
    config = made.model_copy(update={"store": section})
    script: dict[str, list[scripted.Change]] = {}
    wire = scripted.ScriptedDataphin(clock, MIDNIGHT - timedelta(seconds=loop.time()), script)
    mail = httpx.MockTransport(lambda _: httpx.Response(200))
    path = folder / "month.db"
    async with (
        Store.open(path, clock, at_once=True) as on_disk,
        Daemon.open(config, clock=clock, store=on_disk, transport=wire, mail=mail, polls=False) as daemon,
    ):
        task = asyncio.create_task(daemon.run())
        here = Month(daemon, on_disk, clock, wire, path, a_day, failing, script)
        await here.remember_the_past()
        yield here
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
