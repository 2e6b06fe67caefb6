"""Timers when what they need fails: eyes that cannot read, a store that cannot be written, a day that is spent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any, cast

import anyio
import pytest

from phinops.arrive.arrival import Arrival, Standing
from phinops.arrive.lasting import OVERDUE, STUCK, Asked, Plan, Timer
from phinops.arrive.ration import Ration
from phinops.clock import LoopClock
from phinops.errors import Malformed, PhinopsError, QuotaSpent, Refused, StoreLost, StoreUnwritable, Transient
from phinops.event import Event, Instance, Node, Project
from phinops.execute.steps.kind import InstanceView
from phinops.lookout import Watched
from phinops.pipeline import Pipeline, Taken
from phinops.record.sqlite import Store
from phinops.record.timers import all_timers
from phinops.record.tx import Tx
from phinops.timers import Timers, _record
from phinops.virtual import run
from settings import SHANGHAI
from worlds import START

RUNS = Asked(STUCK, "RUNNING", 1200)
LATE = Asked(OVERDUE, "", 1200)
PROJECT = Project("7", "orders")


@dataclass(slots=True)
class Belt:
    """What stands behind the timers: `faults` are raised one a time instead of taking."""

    store: Store
    told: list[Event] = field(default_factory=list)
    faults: deque[PhinopsError] = field(default_factory=deque)

    async def take(self, arrival: Arrival, *, also: Callable[[Tx], None] = lambda _: None) -> Taken:
        if self.faults:
            raise self.faults.popleft()
        await self.store.write(also)
        self.told += arrival.events
        return Taken(arrival.events, 0, 0)


@dataclass(slots=True)
class Eyes:
    """Sees `instances`; `faults` are met one a call, `broken` are those that cannot be shown."""

    clock: LoopClock
    instances_now: dict[str, Instance] = field(default_factory=dict)
    faults: deque[PhinopsError] = field(default_factory=deque)
    broken: dict[str, PhinopsError] = field(default_factory=dict)
    asked: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)

    async def instances(self, project_id: str, ids: Collection[str]) -> Mapping[str, InstanceView]:
        self.asked.append((self.clock.monotonic(), tuple(ids)))
        await anyio.sleep(0.1)
        if self.faults:
            raise self.faults.popleft()
        for each in ids:
            if each in self.broken:
                raise self.broken[each]
        found = {each: self.instances_now[each] for each in ids if each in self.instances_now}
        return {key: InstanceView(each, Node(id="n"), project_id) for key, each in found.items()}


@dataclass(slots=True)
class Here:
    clock: LoopClock
    store: Store
    belt: Belt
    eyes: Eyes
    timers: Timers
    asked: list[Asked]
    spare: list[bool]
    watched: dict[str, Watched]

    async def see(self, *keys: str, status: str = "RUNNING") -> None:
        for key in keys:
            started = self.clock.now() if status == "RUNNING" else None
            instance = Instance(key, status, due_time=self.clock.now(), started_at=started, attempts=0)
            self.eyes.instances_now[key] = replace(instance, attempts=None)
            await self.timers.take(Arrival("instances", "t", standing=(Standing(PROJECT, instance, Node(id="n")),)))

    async def minutes(self, number: float) -> None:
        await self.clock.sleep(60 * number)

    async def rows(self) -> list[str]:
        return [row.object_id for row in await self.store.read(all_timers)]

    def told(self) -> list[str]:
        return [event.instance.id for event in self.belt.told if event.instance]


@asynccontextmanager
async def timers(*asked: Asked, calls: float | None = None) -> AsyncGenerator[Here]:
    clock = LoopClock(START)
    async with Store.open(":memory:", clock) as store:
        belt, eyes, spare, wanted = Belt(store), Eyes(clock), [True], [*asked]
        watched = {
            "t": Watched(eyes, Ration(calls, clock), lambda: sum(len(ids) for _, ids in eyes.asked), lambda: spare[0])
        }
        made = Timers(store, cast(Pipeline, belt), watched, lambda: wanted, clock, SHANGHAI)
        task = asyncio.create_task(made.run())
        yield Here(clock, store, belt, eyes, made, wanted, spare, watched)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def play(main: Callable[[Here], Any], *asked: Asked, calls: float | None = None) -> None:
    async def whole() -> None:
        async with timers(*asked, calls=calls) as here:
            await main(here)

    run(whole())


def test_what_is_due_together_is_read_together() -> None:
    async def main(here: Here) -> None:
        await here.see("t_1", "t_2")
        await here.minutes(21)
        assert here.told() == ["t_1", "t_2"]
        assert [set(ids) for _, ids in here.eyes.asked] == [{"t_1", "t_2"}]

    play(main, RUNS)


def test_what_cannot_be_read_is_read_again_at_growing_pauses_until_it_can() -> None:
    async def main(here: Here) -> None:
        here.eyes.faults.extend([Transient("Get", "x", "no"), QuotaSpent("spent"), *[Transient("Get", "x", "no")] * 9])
        await here.see("t_1")
        await here.minutes(60)
        assert here.told() == ["t_1"]
        moments = [at for at, _ in here.eyes.asked]
        pauses = [round(later - sooner) for sooner, later in pairwise(moments)]
        assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300]

    play(main, RUNS)


def test_one_that_cannot_be_shown_does_not_spoil_the_others() -> None:
    async def main(here: Here) -> None:
        here.eyes.broken["t_2"] = Malformed("Get", "Malformed", "no time")
        here.eyes.broken["t_3"] = Refused("Get", "DPN.No", "no")
        await here.see("t_1", "t_2", "t_3")
        await here.minutes(21)
        assert here.told() == ["t_1"]
        assert await here.rows() == ["t_1"]

    play(main, RUNS)


def test_one_that_is_gone_is_forgotten() -> None:
    async def main(here: Here) -> None:
        await here.see("t_1")
        here.eyes.instances_now.clear()
        await here.minutes(21)
        assert (here.told(), await here.rows()) == ([], [])

    play(main, RUNS)


def test_a_store_that_cannot_be_written_is_waited_for() -> None:
    async def main(here: Here) -> None:
        await here.see("t_1")
        here.belt.faults.extend([StoreUnwritable("full"), StoreUnwritable("full")])
        await here.minutes(21)
        assert here.told() == ["t_1"]
        assert len(here.eyes.asked) == 3

    play(main, RUNS)


def test_what_one_project_trips_over_is_tried_again_and_stops_nobody() -> None:
    async def main(here: Here) -> None:
        here.eyes.broken["t_1"] = cast(PhinopsError, ZeroDivisionError("a mistake of ours"))
        await here.see("t_1")
        await here.minutes(20.2)
        assert len(here.eyes.asked) == 2
        here.eyes.broken.clear()
        await here.minutes(1)
        assert here.told() == ["t_1"]

    play(main, RUNS)


def test_a_store_that_is_lost_ends_the_daemon() -> None:
    async def main() -> None:
        async with timers(RUNS) as here:
            await here.see("t_1")
            here.belt.faults.append(StoreLost("taken over"))
            await here.minutes(21)

    with pytest.raises(BaseExceptionGroup) as caught:
        run(main())
    assert caught.group_contains(StoreLost)


def test_what_was_told_of_by_a_poll_meanwhile_is_not_read_again() -> None:
    async def main(here: Here) -> None:
        here.eyes.faults.extend([Transient("Get", "x", "no")] * 3)
        await here.see("t_1")
        await here.minutes(20.1)
        (standing,) = [Standing(PROJECT, each, Node(id="n")) for each in here.eyes.instances_now.values()]
        await here.timers.take(Arrival("instances", "t", standing=(standing,)))
        assert here.told() == ["t_1"]
        asked = len(here.eyes.asked)
        await here.minutes(10)
        assert len(here.eyes.asked) == asked

    play(main, RUNS)


def test_of_those_that_wait_no_more_are_read_than_the_ration_has() -> None:
    """Twenty-four calls a day: what an hour saves and an hour lends, then one an hour; never while none is spare."""

    async def main(here: Here) -> None:
        await here.see(*(f"t_{n}" for n in range(900)), status="WAITING")
        await here.minutes(21)
        assert 3 <= (first := len(here.told())) <= 6
        await here.minutes(600)
        assert first < (second := len(here.told())) <= first + 10
        here.spare[0] = False
        await here.minutes(300)
        assert len(here.told()) == second
        here.spare[0] = True
        await here.minutes(6)
        assert len(here.told()) > second

    play(main, LATE, calls=24)


def test_rules_that_changed_while_the_store_was_unwritable_hold_when_it_is_well() -> None:
    class Full(Store):
        full = False

        async def write(self, op: Any) -> Any:
            if self.full:
                raise StoreUnwritable("full")
            return await super().write(op)

    async def main() -> None:
        async with timers(RUNS) as here:
            await here.see("t_1")
            store = Full(here.store._backend, "x")
            here.timers._store = store
            store.full = True
            here.asked[:] = []
            here.timers.changed()
            await here.minutes(1)
            assert await here.rows() == ["t_1"]
            store.full = False
            await here.minutes(0.2)
            assert await here.rows() == []

    run(main())


def test_of_what_was_told_long_ago_and_never_seen_to_end_nothing_is_kept() -> None:
    async def main(here: Here) -> None:
        since = here.clock.now() - timedelta(days=40)
        old = Timer("t", "old", RUNS, PROJECT, since, told=True)
        kept = [old, replace(old, object_id="open", told=False), replace(old, object_id="new", since=here.clock.now())]
        stranger = replace(old, object_id="stranger", tenant="gone", told=False)
        await here.store.write(lambda tx: _record(tx, Plan(put=[*kept, stranger])))
        await here.timers.load()
        assert sorted(await here.rows()) == ["new", "open", "stranger"]
        await here.minutes(2)
        assert [ids for _, ids in here.eyes.asked] == [("open",)]

    play(main, RUNS)


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_clock_that_jumps_makes_it_late_or_soon_and_no_more(hours: int) -> None:
    async def main(here: Here) -> None:
        await here.see("t_1")
        await here.minutes(10)
        here.clock.jumped = timedelta(hours=hours)
        await here.minutes(1.2)
        assert here.told() == (["t_1"] if hours > 0 else [])
        await here.minutes(191)
        assert here.told() == ["t_1"]

    play(main, RUNS)
