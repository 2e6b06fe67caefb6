"""Reading back, and following an accepted write: what each reading leads to, and when it is made."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import anyio
import pytest

from phinops.clock import LoopClock
from phinops.errors import QuotaSpent, Transient
from phinops.event import Instance
from phinops.execute.settle import Open, Settler
from phinops.execute.steps.kind import Step, Target, Write
from phinops.firing import Intent
from phinops.record import journal
from phinops.record.book import Book
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from phinops.virtual import run
from worlds import START, Reading, World, failed_event, firing_of

QUIET = 15.0
WRITE = Write("rerun_instance", "OperateInstance", Target("instance", "t_1", "7"), {})


@dataclass(slots=True)
class Told:
    """A step whose readings are given; the last one for ever. `at` is when each was made."""

    readings: deque[Any]
    clock: LoopClock
    at: list[float] = field(default_factory=list)
    countable: bool = True

    async def probe(self, *_: Any) -> Any:
        return self._next()

    async def progress(self, *_: Any) -> Any:
        return self._next()

    def _next(self) -> Any:
        self.at.append(round(self.clock.monotonic() - 1000, 1))
        found = self.readings.popleft() if len(self.readings) > 1 else self.readings[0]
        if isinstance(found, Exception):
            raise found
        return found


@dataclass(slots=True)
class Bench:
    store: Store
    clock: LoopClock
    settler: Settler
    intent: Intent

    async def settle(self, *readings: Any, since: float = 1000.0) -> tuple[str, list[float], Intent]:
        told = Told(deque(readings), self.clock)
        opened = Open("no answer came", since, "R1", timedelta(minutes=5))
        verdict = await self.settler.settle(cast(Step, told), WRITE, self.intent, opened)
        return verdict, told.at, await self.row()

    async def verify(self, seconds: float, *readings: Any) -> tuple[str, list[float]]:
        told = Told(deque(readings), self.clock)
        until = self.clock.now() + timedelta(seconds=seconds)
        result = await self.settler.verify(cast(Step, told), WRITE, self.intent, until)
        return result.outcome, told.at

    async def row(self) -> Intent:
        found = await self.store.read(lambda tx: journal.last_step(tx, "fi_1", 0))
        assert found
        return found


@asynccontextmanager
async def bench() -> AsyncGenerator[Bench]:
    clock = LoopClock(START)
    event = failed_event(Instance(id="t_1", status="FAILED"))
    intent = Intent(
        action_id="act_1",
        firing_id="fi_1",
        n=0,
        step_id="s0",
        attempt=1,
        kind=WRITE.step,
        api=WRITE.api,
        tenant="t",
        target_kind="instance",
        target_id="t_1",
        project_id="7",
        request={"params": {}, "batch": ""},
        probe={},
    )

    def op(tx: Tx) -> None:
        journal.put_event(tx, event)
        journal.put_firing(tx, firing_of(event, [{"kind": WRITE.step}], id="fi_1", state="running"))
        journal.intend(tx, intent)

    async with Store.open(":memory:", clock) as store:
        await store.write(op)
        yield Bench(store, clock, Settler(Reading(World(clock)), Book(store), clock, QUIET), intent)


AWAY = Transient("A", "x", "away")


@pytest.mark.parametrize(
    ("readings", "verdict", "state", "at"),
    [
        (["applied"], "applied", "done", [15.0]),
        (["absent", "absent"], "absent", "absent", [15.0, 20.0]),
        (["absent", "applied"], "applied", "done", [15.0, 20.0]),
        (["absent", AWAY, "absent", "absent"], "absent", "absent", [15.0, 20.0, 25.0, 30.0]),
        (["unclear"], "unknown", "unknown", [15.0, 20.0, 30.0]),
        ([AWAY, QuotaSpent("spent"), "applied"], "applied", "done", [15.0, 20.0, 30.0]),
    ],
)
def test_what_was_read_decides(readings: list[Any], verdict: str, state: str, at: list[float]) -> None:
    async def main() -> None:
        async with bench() as here:
            found = await here.settle(*readings)
            assert (found[0], found[1], found[2].state) == (verdict, at, state)
            assert found[2].result["because"] == "no answer came"
            assert (found[2].verify_until is not None) == (state == "done")

    run(main())


@pytest.mark.parametrize(("since", "first"), [(990.0, 5.0), (100.0, 0.0)])
def test_the_quiet_time_counts_from_when_it_had_left(since: float, first: float) -> None:
    async def main() -> None:
        async with bench() as here:
            assert (await here.settle("applied", since=since))[1] == [first]

    run(main())


def test_a_target_that_cannot_be_read_for_a_day_is_given_to_a_person() -> None:
    async def main() -> None:
        async with bench() as here:
            verdict, at, row = await here.settle(AWAY)
            assert (verdict, row.state, row.outcome) == ("unknown", "unknown", "unknown")
            assert 86_400 < at[-1] < 86_800

    run(main())


def test_while_it_is_read_back_the_firing_says_so_and_afterwards_goes_on() -> None:
    async def main() -> None:
        async with bench() as here:
            states = []

            class Watching(Told):
                async def probe(self, *_: Any) -> Any:
                    firing = await here.store.read(lambda tx: journal.firing_of(tx, "fi_1"))
                    assert firing
                    states.append((firing.state, firing.reason))
                    return "applied"

            step = cast(Step, Watching(deque(), here.clock))
            await here.settler.settle(step, WRITE, here.intent, Open("no answer came", 1000.0))
            firing = await here.store.read(lambda tx: journal.firing_of(tx, "fi_1"))
            assert states == [("settling", "reading back act_1: no answer came")]
            assert firing
            assert (firing.state, firing.reason) == ("running", "")

    run(main())


@pytest.mark.parametrize("spent", [QuotaSpent("the day is spent"), Transient("GetPhysicalInstance", "busy", "later")])
def test_a_firing_that_waits_until_its_target_can_be_read_says_why(spent: Exception) -> None:
    """Whether a lost answer is read back, or what was accepted is followed."""

    async def main() -> None:
        async with bench() as here:
            states = []

            class Watching(Told):
                def _next(self) -> Any:
                    self.at.append(0)
                    if len(self.at) == 1:
                        raise spent
                    return self.readings[0]

            async def seen(*_: Any) -> Any:
                firing = await here.store.read(lambda tx: journal.firing_of(tx, "fi_1"))
                assert firing
                states.append((firing.state, firing.reason))

            async def watch() -> None:
                while len(states) < 200:
                    await seen()
                    await anyio.sleep(1.0)

            async with anyio.create_task_group() as group:
                group.start_soon(watch)
                back = cast(Step, Watching(deque(["applied"]), here.clock))
                await here.settler.settle(back, WRITE, here.intent, Open("no answer came", 1000.0))
                follows = cast(Step, Watching(deque(["verified"]), here.clock))
                until = here.clock.now() + timedelta(seconds=100)
                await here.settler.verify(follows, WRITE, here.intent, until)
                group.cancel_scope.cancel()
            assert ("settling", f"reading back act_1: the target could not be read: {spent}") in states
            assert ("running", f"step s0 is followed once its target can be read: {spent}") in states

    run(main())


@pytest.mark.parametrize(
    ("readings", "outcome", "at"),
    [
        (["verified"], "verified", [5.0]),
        (["pending", "failed"], "failed", [5.0, 20.0]),
        (["pending"], "timed_out", [5.0, 20.0, 40.0, 80.0, 100.0]),
        ([AWAY, QuotaSpent("spent"), "verified"], "verified", [5.0, 20.0, 40.0]),
    ],
)
def test_a_verification_reads_ever_more_rarely_until_its_end(
    readings: list[Any], outcome: str, at: list[float]
) -> None:
    async def main() -> None:
        async with bench() as here:
            await here.store.write(lambda tx: journal.settle(tx, "act_1", "done", "accepted", result={}))
            assert await here.verify(100.0, *readings) == (outcome, at)
            assert (await here.row()).outcome == outcome

    run(main())
