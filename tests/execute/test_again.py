"""Steps that are repeated: how often, after which pauses, and what is never repeated."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Any

import anyio
import pytest

from phinops.clock import LoopClock
from phinops.event import JsonObject
from phinops.execute.again import FIRST, LONGEST, pause
from phinops.execute.stop import Stop, Stopped
from phinops.firing import Firing, Intent
from phinops.record import journal
from phinops.record.sqlite import Store
from phinops.virtual import run
from worlds import START, Fault, Stage, World, failed_event, firing_of, stage

RERUN: JsonObject = {"kind": "rerun_instance", "retry": 2}
NOTICE: JsonObject = {"kind": "notify", "params": {"to": "oncall", "message": "m"}}


async def _over(shown: Stage, *steps: JsonObject, **changes: Any) -> Firing:
    event = failed_event(shown.world.add_failed("t_1"))
    firing = firing_of(event, steps, **changes)
    await shown.add(firing, event)
    (ended,) = await shown.ended(firing.id)
    return ended


async def _rows(store: Store, firing: Firing) -> list[Intent]:
    sql = "SELECT * FROM step WHERE firing_id = ? ORDER BY n, attempt"
    return await store.read(lambda tx: journal.intents(map(dict, tx._connection.execute(sql, (firing.id,)))))


def test_the_pauses_double_up_to_the_longest() -> None:
    pauses = [pause(tries) for tries in range(1, 30)]
    assert pauses[:3] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert all(before <= after for before, after in pairwise(pauses))
    assert pauses[-1] == LONGEST


@pytest.mark.parametrize(("faults", "outcome", "state"), [(1, "accepted", "done"), (3, "refused", "failed")])
def test_what_was_refused_is_done_again_so_often_and_no_oftener(faults: int, outcome: str, state: str) -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.faults = deque(["refused"] * faults)
            ended = await _over(shown, RERUN)
            assert (ended.results["s0"].outcome, ended.state) == (outcome, state)
            rows = await _rows(shown.store, ended)
            assert [row.outcome for row in rows] == (["refused"] * faults + [outcome])[:3]
            assert [row.attempt for row in rows] == list(range(1, len(rows) + 1))
            # Each try is an action of its own, and told as one.
            assert [event.caused_by for event in shown.events] == [row.action_id for row in rows]
            assert shown.world.reruns["t_1"] == (outcome == "accepted")

    run(main())


def test_a_rerun_that_failed_is_done_again_on_the_run_that_failed() -> None:
    """With an intent and a baseline of its own: another run is there by now, which is what the rule wants repeated."""

    async def main() -> None:
        async with stage() as shown:
            shown.world.ends = "FAILED"
            ended = await _over(shown, {**RERUN, "verify_s": 1800}, NOTICE)
            assert [result.outcome for result in ended.results.values()] == ["failed", "accepted"]
            assert shown.world.reruns == {"t_1": 3}
            rows = [row for row in await _rows(shown.store, ended) if row.kind == "rerun_instance"]
            assert [row.outcome for row in rows] == ["failed"] * 3
            assert len({row.probe["started_at"] for row in rows}) == 3
            gaps = [after.t_intent - before.t_done for before, after in pairwise(rows)]  # type: ignore[operator]
            assert gaps[0] >= FIRST
            assert gaps[1] >= 2 * FIRST

    run(main())


def test_a_rerun_that_timed_out_is_followed_anew() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.lasts = 900
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [{**RERUN, "verify_s": 600}])
            await shown.add(firing, event)
            await anyio.sleep(5)
            shown.world.faults.append("running")
            (ended,) = await shown.ended(firing.id)
            assert ended.results["s0"].outcome == "verified"
            assert [row.outcome for row in await _rows(shown.store, ended)] == ["timed_out", "verified"]
            assert shown.world.reruns == {"t_1": 1}

    run(main())


def test_a_write_of_unknown_outcome_is_never_done_again() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.read_faults = 10_000
            shown.world.faults = deque(["lost after"])
            ended = await _over(shown, RERUN)
            assert (ended.results["s0"].outcome, ended.state) == ("unknown", "needs_decision")
            assert shown.world.reruns == {"t_1": 1}

    run(main())


def test_a_refusal_before_anything_left_is_tried_again_as_well() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.below = 9
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [{**RERUN, "retry": 9}], plan={"limits": {"downstream": {"max": 5}}})
            await shown.add(firing, event)
            await anyio.sleep(5)
            shown.world.below = 2
            (ended,) = await shown.ended(firing.id)
            assert ended.results["s0"].outcome == "accepted"
            # What hangs below is taken to stay so for ten minutes: after so many tries it is asked for once more.
            outcomes = [row.outcome for row in await _rows(shown.store, ended)]
            assert outcomes == ["refused"] * (len(outcomes) - 1) + ["accepted"]
            assert 1 < len(outcomes) < 10

    run(main())


def test_a_read_that_was_refused_is_made_again_and_on_error_speaks_of_the_last() -> None:
    async def main() -> None:
        async with stage() as shown:
            call = {"kind": "call", "params": {"call": "ListInstances", "with": {}}, "retry": 1, "on_error": "continue"}
            shown.world.read_faults = 1
            ended = await _over(shown, {**call, "params": {"call": "GetAlertEvent", "with": {"Id": 5}}})
            assert ended.results["s0"].outcome == "accepted"
            shown.world.read_faults = 2
            event = failed_event(shown.world.add_failed("t_2"))
            firing = firing_of(event, [{**call, "params": {"call": "GetAlertEvent", "with": {"Id": 5}}}, NOTICE])
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert [result.outcome for result in ended.results.values()] == ["refused", "accepted"]

    run(main())


def test_what_is_skipped_or_in_shadow_is_not_repeated() -> None:
    async def main() -> None:
        async with stage() as shown:
            ended = await _over(shown, {**RERUN, "if": "False"}, {**NOTICE, "retry": 3}, RERUN, mode="shadow")
            assert [result.outcome for result in ended.results.values()] == ["skipped", "shadow", "shadow"]
            assert len(await _rows(shown.store, ended)) == 2

    run(main())


def test_a_wait_that_timed_out_has_its_answer() -> None:
    async def main() -> None:
        async with stage() as shown:
            wait = {"kind": "wait", "params": {"until": "False", "timeout": "10m"}, "retry": 2}
            ended = await _over(shown, wait)
            assert ended.results["s0"].outcome == "timed_out"
            assert len(await _rows(shown.store, ended)) == 1

    run(main())


async def _look_and_ask(shown: Stage, firing: Firing, stop: Stop) -> None:
    await anyio.sleep(100)
    waiting = await shown.firing(firing.id)
    assert "step s0 is repeated at" in waiting.reason
    assert waiting.wake_at
    stop.ask()


def test_a_firing_that_is_to_stop_is_not_kept_by_a_pause() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.faults = deque(["refused"] * 9)
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [{**RERUN, "retry": 9}])
            await shown.record(firing, event)
            stop = Stop()
            async with anyio.create_task_group() as group:
                group.start_soon(_look_and_ask, shown, firing, stop)
                with pytest.raises(Stopped):
                    await shown.actor.walk(firing, event, stop=stop)
            assert shown.world.clock.monotonic() < 1000 + 102

    run(main())


@pytest.mark.parametrize("faults", [["refused", "refused"], ["refused", "lost after"], ["lost before", "refused"]])
@pytest.mark.parametrize("at", [0.005, 0.03, 0.08, 4.0, 10.07, 10.09, 11.0, 20.0, 35.0])
def test_killed_at_any_moment_it_is_repeated_as_often_as_it_says(faults: list[Fault], at: float) -> None:
    async def main() -> None:
        clock = LoopClock(START)
        world = World(clock, faults=deque(faults), shows_after=1.5)
        event = failed_event(world.add_failed("t_1"))
        firing = firing_of(event, [{**RERUN, "verify_s": 600}])
        async with Store.open(":memory:", clock) as store:
            async with stage(store, world) as shown:
                await shown.add(firing, event)
                await anyio.sleep(at)
            async with stage(store, world) as shown:
                await shown.courses.resume(await shown.courses.left_open())
                (ended,) = await shown.ended(firing.id)
                assert ended.results["s0"].outcome == "verified"
                assert world.reruns == {"t_1": 1}
                rows = await _rows(store, ended)
                assert sum(row.outcome == "refused" for row in rows) <= 2
                assert (await store.read(lambda tx: tx.one("open_intents"))) == {"n": 0}

    run(main())


def test_a_kill_within_the_pause_does_not_make_it_longer() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        world = World(clock, faults=deque(["refused", "refused"]))
        event = failed_event(world.add_failed("t_1"))
        firing = firing_of(event, [RERUN])
        async with Store.open(":memory:", clock) as store:
            async with stage(store, world) as shown:
                await shown.add(firing, event)
                await anyio.sleep(25)
            async with stage(store, world) as shown:
                await shown.courses.resume(await shown.courses.left_open())
                await shown.ended(firing.id)
                assert clock.monotonic() - 1000 < 33

    run(main())
