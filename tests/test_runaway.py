"""Rules that run away, and storms: what reaches Dataphin is bounded, refusals say by what, and people are told once."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from phinops.arrive.arrival import Arrival
from phinops.clock import LoopClock
from phinops.daemon import Daemon
from phinops.event import Event, Instance, Project, event_id
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot
from phinops.virtual import run
from records import LONG
from scripted import NODE, PROJECT, ScriptedDataphin, make_config
from worlds import START

RERUN = """
rules:
  - id: rerun
    on: instance.failed
    key: event.id
    mode: armed
    do: [ { rerun_instance: {} } ]
"""
"""Its key is new each time, so that it does not stop chasing itself."""
PING_PONG = """
rules:
  - id: start
    on: instance.failed
    mode: armed
    do: [ { call: PausePhysicalNode, with: { PauseCommand: { ProjectId: 7, NodeIdList: [n_1] } } } ]
  - id: ping
    on: action.settled
    if: event.action.rule in ["start", "pong"] && event.action.outcome == "accepted"
    key: event.action.id
    mode: armed
    do: [ { call: ResumePhysicalNode, with: { ResumeCommand: { ProjectId: 7, NodeIdList: [n_1] } } } ]
  - id: pong
    on: action.settled
    if: event.action.rule == "ping" && event.action.outcome == "accepted"
    key: event.action.id
    mode: armed
    do: [ { call: PausePhysicalNode, with: { PauseCommand: { ProjectId: 7, NodeIdList: [n_1] } } } ]
"""
PARTS = 10 if LONG else 2
"""Of a storm, with 501 failures each; the whole has 5,010."""

WRITES = ("OperateInstance", "PausePhysicalNode", "ResumePhysicalNode")


@dataclass(slots=True)
class Moody(ScriptedDataphin):
    """Says no to every write when `refuses`; `failed` are instances as they failed last."""

    refuses: bool = False
    targets: list[str] = field(default_factory=list)
    failed: dict[str, Instance] = field(default_factory=dict)

    def instance(self, name: str) -> Instance:
        began, failed = self.runs.get(name), self.failed[name]
        if began is None or failed.started_at == self._moment(began):
            return failed
        return Instance(name, "RUNNING", started_at=self._moment(began))

    def fails(self, name: str) -> Instance:
        """It fails now: the run that was asked for last, or one that began a minute ago."""
        now = self.clock.monotonic()
        began = self._moment(self.runs.get(name, now - 60.0))
        self.failed[name] = Instance(name, "FAILED", started_at=began, ended_at=self._moment(now), attempts=1)
        return self.failed[name]

    def _answer(self, api: str, params: Mapping[str, str]) -> dict[str, Any]:
        if api in WRITES and self.refuses:
            return {"Success": False, "Code": "DPN.OP.FlowNotExist", "Message": "no", "HttpStatusCode": 400}
        before = dict(self.reruns)
        answer = ScriptedDataphin._answer(self, api, params)
        self.targets += [each for each in self.reruns if self.reruns[each] != before.get(each, 0)]
        return answer


@dataclass(slots=True)
class Scene:
    """A daemon in virtual time on a Dataphin that does as told."""

    daemon: Daemon
    wire: Moody
    store: Store
    clock: LoopClock

    async def fail(self, names: Sequence[str], *, run: int = 0, priority: str = "") -> None:
        """These instances have failed, now."""
        events = [self._event(name, run, priority) for name in names]
        await self.daemon.take(Arrival("instances", "t", tuple(events)))

    def _event(self, name: str, run: int, priority: str) -> Event:
        now = self.clock.now()
        return Event(
            id=event_id("storm", name, str(run)), type="instance.failed", time=now, tenant="t", source="instances",
            project=Project(PROJECT, "retail"), node=replace(NODE, priority=priority),
            instance=self.wire.fails(name),
        )  # fmt: skip

    async def quiet(self) -> None:
        """Until nothing is under way any more."""
        while await self.open():  # noqa: ASYNC110 - whatever else has to happen first, many do it
            await anyio.sleep(1.0)

    async def open(self) -> int:
        """How many firings are under way."""
        return await self.store.read(lambda tx: _count(tx, "firing WHERE ended_at IS NULL"))

    @property
    def writes(self) -> int:
        """Calls that changed something, or were to."""
        return sum(self.wire.asked[api] for api in WRITES)

    async def refusals(self) -> Counter[str]:
        """What refused writes were refused by, up to the first colon."""
        query = "SELECT json_extract(result, '$.reason') AS why FROM step WHERE outcome = 'refused'"
        rows = await self.store.read(lambda tx: tx._connection.execute(query).fetchall())
        return Counter(str(row[0]).split(":")[0] for row in rows)

    async def notices(self) -> int:
        return await self.store.read(lambda tx: _count(tx, "outbox"))


def _count(tx: Snapshot, where: str) -> int:
    return int(tx._connection.execute(f"SELECT count(*) FROM {where}").fetchone()[0])


@asynccontextmanager
async def scene(folder: Path, rules: str, *, refuses: bool = False, ceiling: int = 500) -> AsyncGenerator[Scene]:
    clock = LoopClock(START)
    (folder / "a.rules.yaml").write_text(rules, encoding="utf-8")
    config = make_config(folder, folder / "a.rules.yaml")
    config = config.model_copy(update={"safety": config.safety.model_copy(update={"max_writes_per_hour": ceiling})})
    async with Store.open(":memory:", clock) as store:
        wire = Moody(clock, START, {}, refuses=refuses)
        async with Daemon.open(config, clock=clock, store=store, transport=wire, mail=wire, polls=False) as daemon:
            task = asyncio.create_task(daemon.run())
            await anyio.sleep(2.0)
            yield Scene(daemon, wire, store, clock)
            daemon.stop()
            await task


def test_a_rule_that_reruns_for_ever_is_held_by_the_ceiling(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path, RERUN, ceiling=100) as here:
            names = [f"t_{number}" for number in range(30)]
            rounds = 0
            while names:  # whatever is rerun fails again
                await here.fail(names, run=rounds)
                await here.quiet()
                await anyio.sleep(300)
                names = [name for name in names if here.wire.reruns[name] > rounds]
                rounds += 1
            reruns, refused, notices = sum(here.wire.reruns.values()), await here.refusals(), await here.notices()
            print(f"30 instances rerun for ever: {reruns} reruns in {rounds} rounds, {dict(refused)}, {notices} notice")
            assert (reruns, refused, notices) == (90, {"safety.max_writes_per_hour": 30}, 1)

    run(main())


def test_two_rules_that_wake_each_other_stop_at_the_ceiling(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path, PING_PONG, ceiling=100) as here:
            await here.fail(["t_1"])
            await here.quiet()
            refused = await here.refusals()
            assert here.writes == 100
            assert refused == {"safety.max_writes_per_hour": 1}
            assert await here.notices() == 1
            print(f"two rules that wake each other: {here.writes} writes, then {dict(refused)}, 1 notice")

    run(main())


def test_what_dataphin_refuses_in_a_storm_opens_the_breaker(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path, RERUN, refuses=True) as here:
            await here.fail([f"t_{number}" for number in range(300)])
            await here.quiet()
            refused = await here.refusals()
            named = sum(count for reason, count in refused.items() if reason.startswith("breaker of rule rerun"))
            assert here.writes <= 60
            assert named >= 240
            assert await here.notices() == 1
            print(f"300 failures that may not be rerun: {here.writes} calls, {named} refused by the breaker, 1 notice")

    run(main())


@pytest.mark.long
def test_a_storm_of_5000_failures_in_a_minute_is_taken_in_turn_and_bounded(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path, RERUN) as here:
            tracemalloc.start()
            began, tasks = here.clock.monotonic(), []
            for part in range(PARTS):
                for priority in ("LOW", "MIDDLE", "HIGHEST"):
                    await here.fail([f"t_{priority}_{part}_{each}" for each in range(167)], priority=priority)
                tasks.append(len(asyncio.all_tasks()))
                await anyio.sleep(6.0)
            while await here.open():
                tasks.append(len(asyncio.all_tasks()))
                await anyio.sleep(1.0)
            peak, seconds = tracemalloc.get_traced_memory()[1], here.clock.monotonic() - began
            tracemalloc.stop()
            targets, refused, notices = here.wire.targets, await here.refusals(), await here.notices()
            first = Counter(each.split("_")[1] for each in targets[100:])
            print(f"{501 * PARTS} failures in a minute: {len(targets)} reruns in {here.writes} calls, {dict(refused)}")
            print(f"after the first hundred: {dict(first)}; {notices} notice")
            print(f"over after {seconds:.0f} s, at most {max(tasks)} tasks and {peak / 1e6:.0f} MB")
            assert 400 <= len(targets) <= 500
            assert set(refused) == {"safety.max_writes_per_hour"}
            assert len(targets) + refused.total() == 501 * PARTS
            assert notices == 1
            assert first["HIGHEST"] > 0.5 * first.total() > first["LOW"] > 0
            assert max(tasks) < 1000

    run(main())
