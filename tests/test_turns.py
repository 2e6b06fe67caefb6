"""Four ways to share a key, and stopping what runs on it where that does no harm."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from phinops.clock import LoopClock
from phinops.event import Event, JsonObject
from phinops.firing import Firing
from phinops.record import turns
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from phinops.virtual import run
from test_pipeline import belt, failed, rule
from worlds import START, Stage, World, failed_event, firing_of, stage

RERUN: JsonObject = {"kind": "rerun_instance"}
NOTIFY: JsonObject = {"kind": "notify", "params": {"to": "oncall", "message": "m"}}
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("concurrency", "states"),
    [
        ("single", ["ready", "skipped", "skipped", "ready"]),
        ("queued", ["ready", "skipped", "queued", "ready"]),
        ("restart", ["ready", "skipped", "queued", "ready"]),
        ("parallel", ["ready", "ready", "ready", "ready"]),
    ],
)
def test_each_way_is_kept_per_key_and_every_start_that_is_skipped_says_why(
    tmp_path: Path, concurrency: str, states: list[str]
) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, f"    concurrency: {concurrency}")) as here:
            await here.take(failed(), failed(run=1), failed(run=2), failed(2))
            firings = await here.firings()
            assert [firing.state for firing in firings] == states
            assert all(firing.reason for firing in firings if firing.state in ("skipped", "queued"))
            stopped = [firing.stop for firing in firings if firing.stop]
            assert stopped == ([f"restarted by {firings[2].id}"] if concurrency == "restart" else [])
            assert here.begun.disturbed == ([firings[0].id] * 2 if concurrency == "restart" else [])

    run(main())


def test_a_restart_ends_a_wait_at_once_and_the_newer_one_waits_its_own_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with belt(rule(tmp_path, "    concurrency: restart\n    for: 6m")) as here:
            await here.take(failed())
            await anyio.sleep(300)
            await here.take(failed(run=1))
            first, second = await here.firings()
            assert (first.state, first.reason) == ("skipped", f"restarted by {second.id}")
            assert (second.state, here.begun.disturbed) == ("waiting", [first.id])
            assert second.wake_at
            assert abs(second.wake_at - here.clock.now() - 6 * MINUTE) < timedelta(seconds=1)

    run(main())


async def _two(shown: Stage, steps: Sequence[JsonObject], **changes: Any) -> tuple[Firing, Firing]:
    """A firing that begins, and one that will want its key."""
    events: list[Event] = [failed_event(shown.world.add_failed(f"t_{n}")) for n in (1, 2)]
    plan = {"concurrency": "restart"}
    first = firing_of(events[0], steps, key="k", plan=plan, **changes)
    await shown.add(first, events[0])
    second = firing_of(events[1], [NOTIFY], key="k", plan=plan, state="queued", started_at=None)
    return first, second


async def _want(shown: Stage, second: Firing) -> None:
    """The second wants the key, as the pipeline has it."""
    event = failed_event(shown.world.instances["t_2"])
    await shown.add(second, event)
    for each in await shown.store.write(lambda tx: turns.queue_up(tx, second, "the key is busy")):
        shown.courses.disturb(each)


@pytest.mark.parametrize("after", [0.2, 30.0])
def test_a_verification_is_cut_off_and_what_was_done_stays_done(after: float) -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.lasts = 3000
            first, second = await _two(shown, [{**RERUN, "verify_s": 600}, NOTIFY])
            await anyio.sleep(after)
            await _want(shown, second)
            begun = shown.world.clock.monotonic()
            ended, newer = await shown.ended(first.id, second.id)
            assert (ended.state, ended.reason) == ("skipped", f"restarted by {second.id}")
            assert (newer.state, shown.world.reruns) == ("done", {"t_1": 1})
            assert shown.world.clock.monotonic() - begun < 5
            assert (await shown.last_step(first.id)).outcome == "accepted"
            assert ended.ended_at
            assert newer.started_at
            assert newer.started_at >= ended.ended_at

    run(main())


@pytest.mark.parametrize("fault", ["", "lost after", "lost before"])
def test_a_write_that_was_begun_is_settled_before_anything_ends(fault: Any) -> None:
    async def main() -> None:
        clock = LoopClock(START)
        world = World(clock, faults=deque([fault] if fault else []))
        async with Store.open(":memory:", clock) as store, stage(store, world) as shown:
            first, second = await _two(shown, [RERUN, NOTIFY])
            await anyio.sleep(0.04)
            await _want(shown, second)
            ended, newer = await shown.ended(first.id, second.id)
            assert (ended.state, newer.state) == ("skipped", "done")
            assert world.reruns == ({} if fault == "lost before" else {"t_1": 1})
            assert (await shown.last_step(first.id)).state == ("absent" if fault == "lost before" else "done")
            assert (await store.read(lambda tx: tx.one("open_intents"))) == {"n": 0}
            assert ended.ended_at
            assert newer.started_at
            assert newer.started_at >= ended.ended_at

    run(main())


def test_a_write_that_waits_to_be_tried_again_is_not_tried_again() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.spent_until = shown.world.clock.monotonic() + 50_000
            first, second = await _two(shown, [RERUN])
            await anyio.sleep(700)
            await _want(shown, second)
            (ended,) = await shown.ended(first.id, within=20)
            assert ended.reason == f"restarted by {second.id}"
            assert shown.world.reruns == {}

    run(main())


@pytest.mark.parametrize("after", [0.04, 0.2, 20.0])
def test_who_is_to_stop_stops_in_the_next_life_as_well(after: float) -> None:
    async def main() -> None:
        clock = LoopClock(START)
        world = World(clock, lasts=3000.0)
        async with Store.open(":memory:", clock) as store:
            async with stage(store, world) as shown:
                first, second = await _two(shown, [{**RERUN, "verify_s": 600}, NOTIFY])
                await anyio.sleep(after)

                def op(tx: Tx) -> None:
                    turns.give_way(tx, "t", "r", "k", second.id)

                await store.write(op)
            async with stage(store, world) as shown:
                await shown.courses.resume(await shown.courses.left_open())
                (ended,) = await shown.ended(first.id)
                assert (ended.state, ended.reason) == ("skipped", f"restarted by {second.id}")
                assert world.reruns == {"t_1": 1}
                assert (await store.read(lambda tx: tx.one("open_intents"))) == {"n": 0}

    run(main())


def test_one_that_was_disturbed_for_nothing_goes_on() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.lasts = 100
            first, _ = await _two(shown, [{**RERUN, "verify_s": 600}])
            await anyio.sleep(20)
            shown.courses.disturb(first.id)
            shown.courses.disturb("fi_unknown")
            (ended,) = await shown.ended(first.id)
            assert (ended.state, ended.results["s0"].outcome) == ("done", "verified")
            assert shown.world.reruns == {"t_1": 1}

    run(main())
