"""Courses of firings: `for`, turns on a key, and taking up what an earlier process left."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import Any

import anyio
import pytest

from fastloop import run
from phinops.clock import LoopClock
from phinops.firing import Firing
from phinops.record import journal
from phinops.record.sqlite import Store
from worlds import START, Stage, World, failed_event, firing_of, stage

RERUN = {"kind": "rerun_instance"}
MINUTES = timedelta(minutes=1)


async def _wait_for(shown: Stage, **changes: Any) -> Firing:
    event = failed_event(shown.world.instances["t_1"])
    firing = firing_of(event, [RERUN], state="waiting", wake_at=START + 6 * MINUTES, started_at=None, **changes)
    await shown.add(firing, event)
    (ended,) = await shown.ended(firing.id)
    return ended


def test_a_failure_that_lasts_is_acted_on_when_its_time_is_over() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.add_failed("t_1")
            ended = await _wait_for(shown)
            assert ended.state == "done"
            assert ended.started_at is not None
            assert ended.started_at - START >= 6 * MINUTES
            assert shown.world.reruns == {"t_1": 1}

    run(main())


def test_a_failure_that_somebody_mended_meanwhile_is_left_alone() -> None:
    async def main() -> None:
        async with stage() as shown:
            failed = shown.world.add_failed("t_1")
            shown.world._runs["t_1"] = START
            ended = await _wait_for(shown)
            assert failed.status == "FAILED"
            assert (ended.state, shown.world.calls) == ("skipped", [])
            assert "left the state of instance.failed" in ended.reason

    run(main())


def test_a_condition_that_no_longer_holds_drops_the_firing() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.add_failed("t_1")
            ended = await _wait_for(shown, plan={"if": "False"})
            assert (ended.state, ended.reason) == ("skipped", "of the fresh record, if is false")
            unclear = await _wait_for(shown, plan={"if": "event.nonsense"}, id="fi_2", key="k2")
            assert unclear.reason == "of the fresh record, cannot be evaluated"

    run(main())


def test_the_guards_are_asked_again_when_the_time_is_over() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.add_failed("t_1")
            shown.permit_reason = "in cooldown"
            ended = await _wait_for(shown)
            assert (ended.state, ended.reason, shown.world.calls) == ("skipped", "in cooldown", [])

    run(main())


def test_an_object_that_cannot_be_read_is_asked_for_again() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.add_failed("t_1")
            shown.world.read_faults = 3
            ended = await _wait_for(shown)
            assert ended.state == "done"

    run(main())


def test_the_one_that_waits_for_its_key_has_its_turn_when_the_key_is_free() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = failed_event(shown.world.add_failed("t_1"))
            first = firing_of(event, [{**RERUN, "verify_s": 600}], key="k")
            shown.world.ends = "FAILED"
            await shown.add(first, event)
            notice = {"kind": "notify", "params": {"to": "oncall", "message": "m"}}
            hook = failed_event(shown.world.add_failed("t_2"))
            second = firing_of(hook, [notice], key="k", state="queued", started_at=None)
            await shown.add(second, hook)
            ended = await shown.ended(first.id, second.id)
            assert [one.state for one in ended] == ["done", "done"]
            assert ended[0].ended_at is not None
            assert ended[1].started_at is not None
            assert ended[1].started_at >= ended[0].ended_at

    run(main())


@pytest.mark.parametrize("fault", ["", "lost before", "lost after", "throttled", "refused"])
@pytest.mark.parametrize("tenths", range(0, 14, 1))
def test_killed_at_any_moment_the_instance_is_rerun_exactly_once(fault: Any, tenths: int) -> None:
    """Cut off every 10 ms through reading, intending, sending and recording, then taken up anew."""

    async def main() -> None:
        clock = LoopClock(START)
        world = World(clock, faults=deque([fault] if fault else []), shows_after=1.5)
        event = failed_event(world.add_failed("t_1"))
        firing = firing_of(event, [{**RERUN, "verify_s": 600}])
        async with Store.open(":memory:", clock) as store:
            async with stage(store, world) as shown:
                await shown.add(firing, event)
                await anyio.sleep(tenths / 100)
            async with stage(store, world) as shown:
                await shown.courses.resume()
                (ended,) = await shown.ended(firing.id)
                outcome = ended.results["s0"].outcome
                if fault == "refused":
                    assert outcome in ("refused", "verified")
                    assert world.reruns["t_1"] == (outcome == "verified")
                else:
                    assert (outcome, world.reruns) == ("verified", {"t_1": 1})
                assert (await store.read(lambda tx: tx.one("open_intents"))) == {"n": 0}

    run(main())


def test_what_is_drained_is_answered_and_recorded_and_nothing_more_leaves() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        world = World(clock)
        events = [failed_event(world.add_failed(f"t_{n}")) for n in range(2)]
        firings = [firing_of(event, [RERUN]) for event in events]
        async with Store.open(":memory:", clock) as store:
            async with stage(store, world) as shown:
                await shown.add(firings[0], events[0])
                await anyio.sleep(0.03)
                await shown.desk.drain()
                await shown.add(firings[1], events[1])
                await anyio.sleep(5)
            assert len(world.calls) == 1
            last = await store.read(lambda tx: journal.last_step(tx, firings[0].id, 0))
            assert last
            assert last.state == "done"
            async with stage(store, world) as shown:
                assert await shown.courses.resume() >= 1
                await shown.ended(firings[1].id)
            assert world.reruns == {"t_0": 1, "t_1": 1}

    run(main())
