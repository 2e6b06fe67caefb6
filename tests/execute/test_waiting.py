"""Steps that wait, in virtual time: for so long, until something is so, over kills, jumps of the clock and outages."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import anyio
import pytest

from phinops.clock import LoopClock
from phinops.event import Event, JsonObject
from phinops.execute.stop import Stop, Stopped
from phinops.firing import Firing
from phinops.record import journal
from phinops.record.sqlite import Store
from phinops.virtual import run
from worlds import START, Stage, World, failed_event, firing_of, stage

MINUTE = timedelta(minutes=1)
BEGIN = START + timedelta(seconds=1000)
"""What the clock of a stage shows when its loop begins."""

WELL = "event.instance.status == 'SUCCESS'"
NOTICE: JsonObject = {"kind": "notify", "params": {"to": "oncall", "message": "m"}}
IF_WELL: JsonObject = {**NOTICE, "if": WELL}
TEN: JsonObject = {"kind": "wait", "params": {"duration": "10m"}}
UNTIL_WELL: JsonObject = {"kind": "wait", "params": {"until": WELL, "timeout": "2h"}}


async def _born(shown: Stage, *steps: JsonObject, **changes: Any) -> tuple[Firing, Event]:
    event = failed_event(shown.world.add_failed("t_1"))
    firing = firing_of(event, steps, **changes)
    await shown.add(firing, event)
    return firing, event


async def _over(shown: Stage, *steps: JsonObject, **changes: Any) -> tuple[Firing, float]:
    """The firing when it is over, and how many seconds it took."""
    began = shown.world.clock.monotonic()
    firing, _ = await _born(shown, *steps, **changes)
    (ended,) = await shown.ended(firing.id)
    assert ended.ended_at
    return ended, shown.world.clock.monotonic() - began


def _well_after(world: World, wait: timedelta) -> None:
    """Let the instance begin to run then, and succeed a minute later."""
    world._runs["t_1"] = world.clock.now() + wait


def _second(moment: datetime | None) -> datetime | None:
    """Virtual time moves by a millionth of a second whenever something is done."""
    return moment and moment.replace(microsecond=0)


def _outcomes(firing: Firing) -> list[str]:
    return [result.outcome for result in firing.results.values()]


def test_a_wait_takes_as_long_as_it_says_and_later_steps_see_the_object_as_it_is_then() -> None:
    async def main() -> None:
        async with stage() as shown:
            _well_after(shown.world, 3 * MINUTE)
            ended, took = await _over(shown, TEN, IF_WELL)
            assert 600 <= took < 602
            assert _outcomes(ended) == ["accepted", "accepted"]
            assert shown.world.reads == 1
            assert ended.now
            assert ended.now.instance
            assert (ended.now.type, ended.now.instance.status) == ("instance.failed", "SUCCESS")
            row = await shown.last_step(ended.id)
            assert (row.kind, row.state, _second(row.verify_until)) == ("wait", "done", BEGIN + 10 * MINUTE)
            assert shown.events == []

    run(main())


def test_what_it_waits_for_is_told_while_it_does() -> None:
    async def main() -> None:
        async with stage() as shown:
            firing, _ = await _born(shown, UNTIL_WELL)
            await anyio.sleep(1)
            now = await shown.firing(firing.id)
            assert now.state == "running"
            assert now.wake_at
            assert _second(now.wake_at) == BEGIN + 120 * MINUTE
            assert now.reason == f"step s0 waits until {now.wake_at.isoformat()} for {WELL}"

    run(main())


def test_until_is_asked_of_live_reads_that_grow_rare() -> None:
    async def main() -> None:
        async with stage() as shown:
            _well_after(shown.world, 30 * MINUTE)
            ended, took = await _over(shown, UNTIL_WELL, IF_WELL)
            assert ended.results["s0"].outcome == "verified"
            assert ended.results["s0"].reason == "until holds"
            assert ended.results["s1"].outcome == "accepted"
            assert 31 * 60 <= took < 36 * 60
            assert shown.world.reads < 40

    run(main())


def test_a_condition_that_is_true_at_the_beginning_costs_no_read() -> None:
    async def main() -> None:
        async with stage() as shown:
            wait = {"kind": "wait", "params": {"until": "event.instance.status == 'FAILED'", "timeout": "1h"}}
            ended, took = await _over(shown, wait)
            assert (_outcomes(ended), shown.world.reads) == (["verified"], 0)
            assert took < 2

    run(main())


def test_an_event_of_the_object_ends_the_wait_at_once_and_without_a_call() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.calls_left = 0  # three reads in two hours: not the reads notice it
            firing, event = await _born(shown, UNTIL_WELL, IF_WELL)
            await anyio.sleep(70)
            assert event.instance
            running = replace(event, type="instance.running", instance=replace(event.instance, status="RUNNING"))
            done = replace(event, type="instance.succeeded", instance=replace(event.instance, status="SUCCESS"))
            other = replace(done, instance=replace(event.instance, id="t_2", status="SUCCESS"))
            shown.bells.saw([other, replace(done, instance=None)])
            await anyio.sleep(1)
            assert (await shown.firing(firing.id)).state == "running"
            shown.bells.saw([running, done, replace(done, instance=replace(event.instance, status="FAILED"))])
            await anyio.sleep(1)
            ended = await shown.firing(firing.id)
            assert (ended.state, _outcomes(ended)) == ("done", ["verified", "accepted"])
            assert shown.world.reads <= 1
            shown.bells.saw([done])  # nobody waits any more

    run(main())


def test_what_does_not_come_about_times_out_at_its_moment_and_says_why() -> None:
    async def main() -> None:
        async with stage() as shown:
            ended, took = await _over(shown, UNTIL_WELL)
            assert 7200 <= took < 7202
            assert ended.results["s0"].outcome == "timed_out"
            assert ended.results["s0"].reason == "not within 2h: until is false"
            assert ended.state == "done"
            assert shown.world.reads < 60

    run(main())


@pytest.mark.parametrize("calls", [0, 400])
def test_a_day_with_few_calls_pays_for_few_reads_the_last_at_the_end(calls: int) -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.calls_left = calls
            _well_after(shown.world, 118 * MINUTE)
            ended, _ = await _over(shown, UNTIL_WELL)
            assert ended.results["s0"].outcome == "verified"
            assert shown.world.reads <= max(3, calls // 20) + 1

    run(main())


def test_an_outage_is_waited_through_and_named_when_it_lasts() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.read_faults = 5
            _well_after(shown.world, MINUTE)
            ended, _ = await _over(shown, UNTIL_WELL)
            assert ended.results["s0"].outcome == "verified"
        async with stage() as shown:
            shown.world.spent_until = 1e9
            ended, _ = await _over(shown, UNTIL_WELL)
            assert ended.results["s0"].reason == "not within 2h: until is false; the day is spent"

    run(main())


def test_an_object_that_is_gone_leaves_the_event_as_it_was() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = failed_event(shown.world.add_failed("t_1"))
            shown.world.instances.clear()
            for number, steps in enumerate(([TEN], [UNTIL_WELL])):
                firing = firing_of(event, steps, id=f"fi_{number}", key=str(number))
                await shown.add(firing, event)
                (ended,) = await shown.ended(firing.id)
                assert ended.now is None
            assert ended.results["s0"].reason.endswith("until is false; there is no such object any more")

    run(main())


def test_a_read_that_is_refused_for_good_leaves_the_event_as_it_was() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.read_refused = True
            ended, _ = await _over(shown, TEN, {**NOTICE, "if": "event.instance.status == 'FAILED'"})
            assert (_outcomes(ended), ended.now) == (["accepted", "accepted"], None)

    run(main())


def test_after_a_wait_the_object_is_asked_for_until_it_can_be_read() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.read_faults = 3
            ended, took = await _over(shown, TEN)
            assert ended.state == "done"
            assert 630 < took < 700

    run(main())


def test_an_event_without_an_object_costs_no_read_and_its_condition_is_asked_by_the_clock() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = Event(id="ev_s", type="schedule.fired", time=START, tenant="t", source="schedule")
            for number, step in enumerate((TEN, UNTIL_WELL)):
                firing = firing_of(event, [step], id=f"fi_{number}", key=str(number))
                await shown.add(firing, event)
                (ended,) = await shown.ended(firing.id)
                assert ended.now is None
            assert ended.results["s0"].outcome == "timed_out"
            assert shown.world.reads == 0

    run(main())


def test_a_condition_that_does_not_speak_of_the_event_is_read_for_once_at_the_end() -> None:
    async def main() -> None:
        async with stage() as shown:
            wait = {"kind": "wait", "params": {"until": "False", "timeout": "1h"}}
            ended, _ = await _over(shown, wait)
            assert (_outcomes(ended), shown.world.reads) == (["timed_out"], 1)

    run(main())


def test_in_shadow_waits_pass_at_once() -> None:
    async def main() -> None:
        async with stage() as shown:
            ended, took = await _over(shown, TEN, UNTIL_WELL, NOTICE, mode="shadow")
            assert took < 2
            assert _outcomes(ended) == ["shadow", "shadow", "shadow"]
            assert shown.world.reads == 0

    run(main())


@pytest.mark.parametrize("jump", [timedelta(hours=3), -timedelta(minutes=5)])
def test_the_end_is_a_moment_of_the_wall_clock_whichever_way_that_jumps(jump: timedelta) -> None:
    async def main() -> None:
        async with stage() as shown:
            clock = shown.world.clock
            firing, _ = await _born(shown, TEN)
            await anyio.sleep(100)
            clock.jumped += jump
            (ended,) = await shown.ended(firing.id)
            assert ended.ended_at
            late = ended.ended_at - max(BEGIN + 10 * MINUTE, BEGIN + timedelta(seconds=100) + jump)
            assert timedelta() <= late <= timedelta(seconds=62)

    run(main())


@pytest.mark.parametrize("step", [TEN, UNTIL_WELL])
def test_who_is_asked_to_stop_does_so_out_of_the_wait(step: JsonObject) -> None:
    async def main() -> None:
        async with stage() as shown:
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [step, NOTICE])
            await shown.record(firing, event)
            stop = Stop()
            async with anyio.create_task_group() as group:
                group.start_soon(_ask_after, 100, stop)
                with pytest.raises(Stopped):
                    await shown.actor.walk(firing, event, stop=stop)
            assert shown.world.clock.now() - BEGIN < timedelta(seconds=102)
            assert (await shown.last_step(firing.id)).state == "waiting"
            await shown.store.write(lambda tx: journal.end(tx, firing.id, "skipped", "restarted"))
            row = await shown.last_step(firing.id)
            assert (row.state, row.outcome) == ("done", "skipped")

    run(main())


async def _ask_after(seconds: float, stop: Stop) -> None:
    await anyio.sleep(seconds)
    stop.ask()


@pytest.mark.parametrize("kills", [(1.0,), (599.99,), (600.01, 600.02), (30.0, 300.0, 590.0), (900.0,)])
@pytest.mark.parametrize("step", [TEN, UNTIL_WELL])
def test_killed_at_any_moment_the_wait_ends_when_it_would_have(kills: tuple[float, ...], step: JsonObject) -> None:
    """Cut off while it waits or reads, or down over its end: the outcome is that of a run without a kill."""

    async def main() -> None:
        clock = LoopClock(START)
        world = World(clock)
        _well_after(world, 8 * MINUTE)
        event = failed_event(world.add_failed("t_1"))
        firing = firing_of(event, [step, IF_WELL])
        async with Store.open(":memory:", clock) as store:
            async with stage(store, world) as shown:
                await shown.add(firing, event)
                await anyio.sleep(kills[0])
            for before, after in pairwise(kills):
                async with stage(store, world) as shown:
                    await shown.courses.resume(await shown.courses.left_open())
                    await anyio.sleep(after - before)
            async with stage(store, world) as shown:
                await shown.courses.resume(await shown.courses.left_open())
                (ended,) = await shown.ended(firing.id)
            assert _outcomes(ended) == ["verified" if step is UNTIL_WELL else "accepted", "accepted"]
            assert ended.ended_at
            if step is TEN:
                assert timedelta() <= ended.ended_at - (BEGIN + 10 * MINUTE) < timedelta(seconds=310)

    run(main())


def test_what_was_read_after_for_is_what_the_steps_see_after_a_kill_as_well() -> None:
    """The record of the event says nothing of a pause that was read when `for` was over."""

    async def main() -> None:
        clock = LoopClock(START)
        world = World(clock)
        failed = world.add_failed("t_1")
        event = failed_event(failed)
        world.instances["t_1"] = replace(failed, biz_date="2026-01-04")
        firing = firing_of(event, [TEN, NOTICE], state="waiting", wake_at=BEGIN + MINUTE, started_at=None)
        async with Store.open(":memory:", clock) as store:
            async with stage(store, world) as shown:
                await shown.add(firing, event)
                await anyio.sleep(120)
                began = await shown.firing(firing.id)
                assert began.now
                assert began.now.instance
                assert began.now.instance.biz_date == "2026-01-04"
            world.instances.clear()  # what is gone cannot be read again: only the store knows
            async with stage(store, world) as shown:
                await shown.courses.resume(await shown.courses.left_open())
                await shown.ended(firing.id)
                due = await store.read(lambda tx: tx.all("due_notices", notifier="oncall", now=tx.now, limit=5))
                assert '"biz_date":"2026-01-04"' in due[0]["payload"]

    run(main())
