"""The step `emit`: one event, however often the step is taken up."""

from __future__ import annotations

from dataclasses import replace

import anyio

from phinops.clock import LoopClock
from phinops.event import JsonObject
from phinops.record import journal
from phinops.record.book import Book
from phinops.record.sqlite import Store
from phinops.virtual import run
from worlds import START, World, failed_event, firing_of, stage

EMIT: JsonObject = {"kind": "emit", "params": {"type": "custom.mended", "data": {"n": 1, "none": None}}}


def test_an_event_of_ones_own_is_told_with_what_caused_it() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [EMIT, EMIT])
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert [result.outcome for result in ended.results.values()] == ["accepted", "accepted"]
            first, second = shown.events
            assert first.id != second.id
            assert (first.type, first.data, first.project) == ("custom.mended", {"n": 1, "none": None}, event.project)
            row = await shown.last_step(firing.id)
            assert (first.caused_by, row.target_id, row.outcome) == (row.action_id, "custom.mended", "accepted")

    run(main())


def test_in_shadow_nothing_is_told() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [EMIT], mode="shadow")
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert (ended.results["s0"].outcome, shown.events) == ("shadow", [])

    run(main())


def test_data_that_is_too_large_is_refused() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [{**EMIT, "params": {"type": "custom.x", "data": {"x": "a" * 70_000}}}])
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert (ended.state, shown.events) == ("failed", [])

    run(main())


def test_killed_before_it_was_told_it_is_told_at_the_next_start_as_the_same_event() -> None:
    """What the journal holds then: the row, and a firing that has not gone on."""

    async def main() -> None:
        world = World(LoopClock(START))
        event = failed_event(world.add_failed("t_1"))
        firing = firing_of(event, [EMIT])
        async with Store.open(":memory:", world.clock) as store:
            async with stage(store, world) as shown:
                await shown.add(firing, event)
                await shown.ended(firing.id)
                row = await shown.last_step(firing.id)
            born = firing_of(event, [EMIT], state="running", id="fi_2", key="k2")
            await store.write(lambda tx: journal.put_firing(tx, born))
            await Book(store).put_step(replace(row, action_id="act_2", firing_id="fi_2"))
            told = []
            for _ in range(2):
                async with stage(store, world) as shown:
                    await shown.courses.resume([(born, event)])
                    await anyio.sleep(1)
                    told += shown.events
            assert [each.caused_by for each in told] == ["act_2", "act_2"]
            assert len({each.id for each in told}) == 1

    run(main())
