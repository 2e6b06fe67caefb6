"""Courses of firings: `for`, turns on a key, and taking up what an earlier process left."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

from phinops.clock import LoopClock
from phinops.errors import StoreLost
from phinops.event import Event, JsonObject
from phinops.firing import Firing
from phinops.record import journal
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from phinops.virtual import run
from worlds import START, FailingStore, Stage, World, failed_event, firing_of, stage

RERUN: JsonObject = {"kind": "rerun_instance"}
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
                await shown.courses.resume(await shown.courses.left_open())
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
                left = await shown.courses.left_open()
                assert left
                await shown.courses.resume(left)
                await shown.ended(firings[1].id)
            assert world.reruns == {"t_0": 1, "t_1": 1}

    run(main())


def _queue_behind(shown: Stage) -> tuple[list[Firing], list[Event]]:
    events = [failed_event(shown.world.add_failed(f"t_{n}")) for n in range(2)]
    first = firing_of(events[0], [RERUN], key="k")
    second = firing_of(events[1], [RERUN], key="k", state="queued", started_at=None)
    return [first, second], events


def test_the_next_has_its_turn_in_the_transaction_that_ends_the_one_before() -> None:
    """Cut off right behind that commit, the next one is on its way already, and only once."""

    async def main() -> None:
        clock = LoopClock(START)
        world = World(clock)
        async with Store.open(":memory:", clock) as store:
            async with stage(store, world) as shown:
                firings, events = _queue_behind(shown)
                for firing, event in reversed(list(zip(firings, events, strict=True))):
                    await shown.add(firing, event)
                while (await shown.firing(firings[0].id)).state != "done":  # noqa: ASYNC110 - rows set no event
                    await anyio.sleep(0.001)
                assert (await shown.firing(firings[1].id)).state != "queued"
            async with stage(store, world) as shown:
                await shown.courses.resume(await shown.courses.left_open())
                await shown.courses.resume(await shown.courses.left_open())
                await shown.ended(firings[1].id)
            assert world.reruns == {"t_0": 1, "t_1": 1}

    run(main())


def test_one_that_waits_for_a_key_that_is_free_at_the_start_has_its_turn() -> None:
    async def main() -> None:
        async with stage() as shown:
            (_, second), events = _queue_behind(shown)
            await shown.add(second, events[1])
            await shown.courses.resume(await shown.courses.left_open())
            (ended,) = await shown.ended(second.id)
            assert ended.state == "done"

    run(main())


def test_one_that_waits_for_its_turn_waits_for_its_own_time_as_well() -> None:
    async def main() -> None:
        async with stage() as shown:
            (first, second), events = _queue_behind(shown)
            born = shown.world.clock.now()
            second = replace(second, created_at=born, plan={**second.plan, "for_s": 360})
            await shown.add(first, events[0])
            await shown.add(second, events[1])
            _, ended = await shown.ended(first.id, second.id)
            assert ended.started_at
            assert ended.started_at >= born + 6 * MINUTES

    run(main())


def test_firings_of_a_tenant_that_is_not_served_any_more_are_left_alone() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = replace(failed_event(shown.world.add_failed("t_1")), tenant="gone")
            firing = replace(firing_of(event, [RERUN]), tenant="gone", state="waiting")
            await shown.store.write(lambda tx: _put(tx, firing, event))
            await shown.courses.resume(await shown.courses.left_open())
            await anyio.sleep(100)
            assert (await shown.firing(firing.id)).state == "waiting"

    run(main())


def test_an_object_that_will_never_be_read_ends_the_firing() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.add_failed("t_1")
            shown.world.read_refused = True
            ended = await _wait_for(shown)
            assert (ended.state, shown.world.calls) == ("failed", [])
            assert "the event's object could not be read" in ended.reason

    run(main())


def test_what_one_firing_trips_over_stops_no_other_and_a_person_is_asked() -> None:
    async def main() -> None:
        async with stage() as shown:
            broken, events = _queue_behind(shown)
            bad = replace(broken[0], plan={"steps": [{"id": "s0"}]})
            good = replace(broken[1], state="ready", key="other")
            await shown.add(bad, events[0])
            await shown.add(good, events[1])
            ended = await shown.ended(bad.id, good.id)
            assert [one.state for one in ended] == ["needs_decision", "done"]
            assert "phinops failed: KeyError" in ended[0].reason

    run(main())


@pytest.mark.parametrize("at", [359.9, 360.0, 360.005, 360.02, 360.07])
@pytest.mark.parametrize("lasts", [0.5, 40.0])
@pytest.mark.parametrize("shows_after", [0.0, 5.0])
def test_a_store_that_fails_stops_no_firing_for_ever_and_none_acts_twice(
    at: float, lasts: float, shows_after: float
) -> None:
    async def main() -> None:
        clock = LoopClock(START - timedelta(seconds=1000))
        world = World(clock, faults=deque(["lost after"]), shows_after=shows_after)
        event = failed_event(world.add_failed("t_1"))
        firing = firing_of(event, [RERUN], state="waiting", wake_at=START + 6 * MINUTES, started_at=None)
        async with Store.open(":memory:", clock) as store:
            failing = FailingStore(store, clock, [(at, lasts)], unreadable=[(at, lasts + 5)])
            async with stage(failing, world) as shown:  # type: ignore[arg-type]
                await shown.add(firing, event)
                shown.store = store
                (ended,) = await shown.ended(firing.id)
                assert ended.results["s0"].outcome == "accepted"
                assert world.reruns == {"t_1": 1}
                assert (await store.read(lambda tx: tx.one("open_intents"))) == {"n": 0}

    run(main())


def test_a_lost_store_ends_what_carries_firings() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        async with Store.open(":memory:", clock) as store:
            with pytest.RaisesGroup(StoreLost, flatten_subgroups=True):
                async with stage(store, World(clock)) as shown:
                    event = failed_event(shown.world.add_failed("t_1"))
                    firing = firing_of(event, [RERUN])
                    await store.write(lambda tx: _put(tx, firing, event))
                    await store.write(lambda tx: tx.run("lease_take", name="main", holder="another"))
                    shown.courses.begin(firing, event)
                    await anyio.sleep_forever()

    run(main())


def _put(tx: Tx, firing: Firing, event: Event) -> None:
    journal.put_event(tx, event)
    journal.put_firing(tx, firing)


def test_a_firing_whose_object_cannot_be_read_says_so_while_it_waits() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.read_faults = 1
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [RERUN], state="waiting", wake_at=START + timedelta(seconds=1), started_at=None)
            await shown.add(firing, event)
            await anyio.sleep(2)
            waiting = await shown.firing(firing.id)
            assert waiting.state == "waiting"
            assert waiting.reason.startswith("the event's object cannot be read yet: ")
            (ended,) = await shown.ended(firing.id)
            assert (ended.state, ended.reason) == ("done", "")

    run(main())
