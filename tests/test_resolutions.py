"""A person decides what became of a write: it is closed once, its target is free, its firing goes on or ends."""

from __future__ import annotations

from collections import deque
from typing import Any

import anyio
import pytest

from phinops.event import JsonObject
from phinops.execute.steps.table import STEPS
from phinops.firing import Firing
from phinops.record import journal, lists
from phinops.record.audit import entries_of
from phinops.resolutions import NotUnknown, Resolutions
from phinops.virtual import run
from worlds import Stage, failed_event, firing_of, stage

RERUN: JsonObject = {"kind": "rerun_instance"}
NEXT: JsonObject = {**RERUN, "if": "steps.s0.outcome == 'accepted'", "params": {"instance_id": "t_2"}}


async def unknown(shown: Stage, *more: JsonObject, id: str = "fi_1", **step: Any) -> str:
    """An action whose answer was lost and whose target shows nowhere for a while; its id."""
    shown.world.faults = deque(["lost after"])
    event = failed_event(shown.world.add_failed("t_1"))
    shown.world.add_failed("t_2")
    hidden = shown.world.instances.pop("t_1")
    await shown.add(firing_of(event, [{**RERUN, **step}, *more], id=id, key=id), event)
    await shown.ended(id)
    shown.world.instances["t_1"] = hidden
    row = await shown.last_step(id)
    assert row.state == "unknown"
    return row.action_id


def persons(shown: Stage) -> Resolutions:
    return Resolutions(shown.store, shown.hands, STEPS, shown.courses.begin)


async def over(shown: Stage, firing_id: str = "fi_1") -> Firing:
    (ended,) = await shown.ended(firing_id)
    return ended


def test_what_was_done_lets_the_firing_go_on_with_its_next_step() -> None:
    async def main() -> None:
        async with stage() as shown:
            action = await unknown(shown, NEXT)
            told = await persons(shown).resolve(action, "done", "maria", "seen in the console")
            assert told is not None
            assert (told["outcome"], told["firing"]) == ("accepted", "running")
            ended = await over(shown)
            assert (ended.state, ended.reason) == ("done", "")
            assert [each.outcome for each in ended.results.values()] == ["accepted", "accepted"]
            assert ended.results["s0"].reason == "maria decided: it was done: seen in the console"
            assert shown.world.reruns == {"t_1": 1, "t_2": 1}
            (line,) = [each for each in await trail(shown) if each.what == "action.resolved"]
            assert (line.detail["by"], line.detail["answer"], line.detail["before"]["status"]) == (
                "maria", "done", "FAILED",
            )  # fmt: skip

    run(main())


def test_what_was_not_done_is_tried_again_after_a_look() -> None:
    async def main() -> None:
        async with stage() as shown:
            action = await unknown(shown)
            shown.world._runs.clear()  # whatever it was, it was not ours
            await persons(shown).resolve(action, "absent", "maria", "")
            ended = await over(shown)
            assert (ended.state, ended.results["s0"].outcome) == ("done", "accepted")
            row = await shown.last_step("fi_1")
            assert (row.attempt, shown.world.reruns) == (2, {"t_1": 2})

    run(main())


def test_what_was_said_not_to_be_done_and_shows_all_the_same_is_not_done_twice() -> None:
    async def main() -> None:
        async with stage() as shown:
            action = await unknown(shown)
            await persons(shown).resolve(action, "absent", "maria", "")
            ended = await over(shown)
            assert ended.state == "failed"
            assert "another run of it has begun" in ended.reason
            assert shown.world.reruns == {"t_1": 1}

    run(main())


def test_what_nobody_will_know_ends_the_firing_and_frees_the_target() -> None:
    async def main() -> None:
        async with stage() as shown:
            action = await unknown(shown, NEXT)
            told = await persons(shown).resolve(action, "abandon", "maria", "")
            assert told is not None
            assert (told["outcome"], told["firing"]) == ("abandoned", "failed")
            ended = await over(shown)
            assert ended.reason == "step s0: maria decided: it is left at that"
            event = failed_event(shown.world._now("t_1"))
            await shown.add(firing_of(event, [RERUN], id="fi_2", key="other"), event)
            assert (await over(shown, "fi_2")).results["s0"].outcome == "accepted"
            rows = await shown.store.read(lambda tx: lists.list_actions(tx, 9))
            assert [each["outcome"] for each in rows] == ["accepted", "abandoned"]

    run(main())


@pytest.mark.parametrize("answers", [("done", "done"), ("done", "absent"), ("absent", "abandon")])
def test_of_several_who_decide_one_does(answers: tuple[Any, Any]) -> None:
    async def main() -> None:
        async with stage() as shown:
            action = await unknown(shown)
            refused: list[str] = []

            async def decide(answer: Any, by: str) -> None:
                try:
                    await persons(shown).resolve(action, answer, by, "")
                except NotUnknown as error:
                    refused.append(str(error))

            async with anyio.create_task_group() as group:
                for answer, by in zip(answers, ("maria", "li"), strict=True):
                    group.start_soon(decide, answer, by)
            assert len(refused) == 1
            assert "only what is unknown has to be decided" in refused[0]
            decided = [each for each in await trail(shown) if each.what == "action.resolved"]
            assert len(decided) == 1

    run(main())


def test_a_firing_that_went_on_by_itself_is_not_touched() -> None:
    async def main() -> None:
        async with stage() as shown:
            action = await unknown(shown, {**RERUN, "params": {"instance_id": "t_2"}}, on_error="continue")
            before = await over(shown)
            assert before.state == "done"
            told = await persons(shown).resolve(action, "absent", "maria", "")
            assert told is not None
            assert (told["outcome"], await over(shown)) == ("absent", before)
            assert shown.world.reruns == {"t_1": 1, "t_2": 1}

    run(main())


def test_what_was_done_is_verified_as_the_rule_asks() -> None:
    async def main() -> None:
        async with stage() as shown:
            action = await unknown(shown, verify_s=600)
            await persons(shown).resolve(action, "done", "maria", "")
            ended = await over(shown)
            assert ended.results["s0"].outcome == "verified"

    run(main())


@pytest.mark.parametrize(("answer", "reruns"), [("done", 1), ("absent", 2)])
def test_what_is_decided_while_no_daemon_runs_goes_on_at_the_next_start(answer: Any, reruns: int) -> None:
    async def main() -> None:
        async with stage() as shown:
            action = await unknown(shown)
            shown.world._runs.clear()
            await persons(shown).resolve(action, answer, "maria", "", begin=False)
            await anyio.sleep(100)
            assert (await shown.firing("fi_1")).state == "running"
            async with stage(shown.store, shown.world) as again:
                await again.courses.resume(await again.courses.left_open())
                assert (await over(again)).results["s0"].outcome == "accepted"
            assert shown.world.reruns == {"t_1": reruns}

    run(main())


def test_a_look_shows_what_was_known_and_what_is_so_now() -> None:
    async def main() -> None:
        async with stage() as shown:
            action = await unknown(shown)
            await anyio.sleep(100)
            told = await persons(shown).look(action)
            assert told is not None
            assert (told["rule"], told["step"], told["target"], told["firing"]) == (
                "r", "rerun_instance", "t_1", "needs_decision",
            )  # fmt: skip
            assert (told["before"]["status"], told["now"]["status"], told["found"]) == ("FAILED", "SUCCESS", "applied")
            shown.world.read_faults = 9
            unread = await persons(shown).look(action)
            assert unread is not None
            assert (unread["now"], unread["found"]) == ({}, "unclear")
            assert "InternalError" in unread["unread"]
            await persons(shown).resolve(action, "abandon", "maria", "")
            reads = shown.world.reads
            known = await persons(shown).look(action)
            assert known is not None
            assert ("now" in known, shown.world.reads) == (False, reads)

    run(main())


def test_what_there_is_not_is_not_there() -> None:
    async def main() -> None:
        async with stage() as shown:
            assert await persons(shown).look("act_9") is None
            assert await persons(shown).resolve("act_9", "done", "maria", "") is None

    run(main())


def test_a_persons_own_call_is_decided_as_well() -> None:
    async def main() -> None:
        async with stage() as shown:
            action = await unknown(shown)
            row = await shown.last_step("fi_1")
            own = firing_of(failed_event(shown.world.instances["t_1"]), [], id="fi_own", event_id="", plan={})

            def op(tx: Any) -> None:
                journal.put_firing(tx, own)
                tx._connection.execute(
                    "UPDATE step SET firing_id = 'fi_own', kind = 'call' WHERE action_id = ?", (row.action_id,)
                )
                journal.end(tx, "fi_own", "needs_decision", "lost")

            await shown.store.write(op)
            told = await persons(shown).resolve(action, "done", "maria", "")
            assert told is not None
            assert (told["outcome"], (await shown.firing("fi_own")).state) == ("accepted", "done")

    run(main())


async def trail(shown: Stage) -> Any:
    return await shown.store.read(lambda tx: entries_of(tx, "fi_1"))
