"""Steps that ask people, in virtual time: what is shown, what an answer comes to, and that no is no."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

from phinops.answering import Answered, Answering, Said
from phinops.approval import Approval, digest_of
from phinops.clock import LoopClock
from phinops.event import Event, JsonObject, Node
from phinops.execute.stop import Stop, Stopped
from phinops.firing import Firing
from phinops.record import approvals, audit, journal, outbox
from phinops.record.documents import to_text
from phinops.record.sqlite import Store
from phinops.virtual import run
from worlds import START, Stage, World, failed_event, firing_of, stage

ASK: JsonObject = {"kind": "approve", "params": {"to": "boss", "message": "please", "expires": "1h"}}
RERUN: JsonObject = {"kind": "rerun_instance"}
NOTICE: JsonObject = {"kind": "notify", "params": {"to": "oncall", "message": "m"}}
HOUR = timedelta(hours=1)


async def _born(shown: Stage, *steps: JsonObject, **changes: Any) -> tuple[Firing, Event]:
    event = failed_event(shown.world.add_failed("t_1"))
    firing = firing_of(event, steps, **changes)
    await shown.add(firing, event)
    return firing, event


async def _asked(shown: Stage, firing: Firing, n: int = 0) -> Approval:
    """What the firing asks, once it does."""
    for _ in range(600):
        found = await shown.store.read(lambda tx: approvals.approval_at(tx, firing.id, n))
        if found:
            return found
        await anyio.sleep(0.1)
    raise AssertionError("nobody was asked")


async def _answer(shown: Stage, approval: Approval, said: Said, **more: Any) -> Answered:
    answering = Answering(shown.store, shown.bells, shown.world.clock, START.tzinfo)  # type: ignore[arg-type]
    return await answering.answer(approval.id, said, by="anna", via="cli", **more)


def _outcomes(firing: Firing) -> dict[str, str]:
    return {name: result.outcome for name, result in firing.results.items()}


async def _notices(shown: Stage) -> list[tuple[str, JsonObject]]:
    def rows(tx: Any) -> Any:
        return [
            (name, letter.payload)
            for name in ("boss", "oncall")
            for letter in outbox.due_notices(tx, name, shown.world.clock.now(), 9)
        ]

    found: list[tuple[str, JsonObject]] = await shown.store.read(rows)
    return found


def test_what_is_approved_is_done_and_nothing_before() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.below = 12
            firing, _ = await _born(shown, ASK, RERUN)
            approval = await _asked(shown, firing)
            await anyio.sleep(600)
            assert shown.world.calls == []
            now = await shown.firing(firing.id)
            assert now.state == "running"
            assert now.wake_at == approval.expires_at == approval.asked_at + HOUR
            assert now.reason == f"step s0 waits for approval {approval.id} until {approval.expires_at.isoformat()}"
            answered = await _answer(shown, approval, "approved", reason="go on")
            assert answered.refusal == ""
            assert answered.approval
            assert answered.approval.outcome == "accepted"
            (ended,) = await shown.ended(firing.id)
            assert (ended.state, _outcomes(ended)) == ("done", {"s0": "accepted", "s1": "accepted"})
            assert ended.results["s0"].reason == "approved by anna (cli): go on"
            assert shown.world.calls == [["t_1"]]

    run(main())


def test_people_are_shown_the_calls_what_hangs_below_and_how_things_are() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.below = 12
            shown.world.nodes["n_9"] = Node(id="n_9", paused=False)
            pause = {"kind": "pause_node", "params": {"node_id": "n_9", "project_id": "7"}, "if": "True"}
            firing, _ = await _born(shown, ASK, RERUN, NOTICE, pause, ASK, RERUN)
            approval = await _asked(shown, firing)
            rerun, paused = approval.shown.calls
            assert (rerun.n, rerun.api, rerun.target_id, rerun.project_id) == (1, "OperateInstance", "t_1", "7")
            command = {"ProjectId": 7, "Operation": "RERUN", "InstanceIdList": [{"Id": "t_1"}]}
            assert rerun.params == {"OperateCommand": command}
            assert (paused.n, paused.api, paused.condition) == (3, "PausePhysicalNode", "True")
            assert [str(each) for each in approval.shown.standings] == [
                "instance t_1: FAILED, run of 2026-01-04T23:50:00+00:00, 12 nodes hang below it",
                "node n_9: not paused, 12 nodes hang below it",
            ]
            ((to, payload),) = await _notices(shown)
            assert to == "boss"
            assert payload["title"] == "r asks for approval"
            assert payload["severity"] == "warning"
            assert payload["approval"]["id"] == approval.id
            assert payload["approval"]["calls"][0]["params"] == rerun.params
            assert payload["message"].startswith("please\n\nTo be done:\n- rerun_instance t_1 in project 7: Operate")
            assert f"phinops approve {approval.id}" in payload["message"]

    run(main())


def test_without_a_name_every_notifier_is_told() -> None:
    async def main() -> None:
        async with stage() as shown:
            firing, _ = await _born(shown, {"kind": "approve"}, RERUN)
            await _asked(shown, firing)
            assert [to for to, _ in await _notices(shown)] == ["oncall"]

    run(main())


def test_lineage_that_cannot_be_read_does_not_keep_people_from_being_asked() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.lineage_refused = True
            firing, _ = await _born(shown, ASK, RERUN)
            approval = await _asked(shown, firing)
            assert "what hangs below is not known" in str(approval.shown.standings[0])

    run(main())


@pytest.mark.parametrize("on_error", ["stop", "continue"])
def test_a_no_lets_nothing_be_written_whatever_on_error_says(on_error: str) -> None:
    async def main() -> None:
        async with stage() as shown:
            rest = [{**RERUN, "on_error": "continue"}, {"kind": "emit", "params": {"type": "custom.x"}}]
            firing, _ = await _born(shown, {**ASK, "on_error": on_error}, NOTICE, *rest)
            approval = await _asked(shown, firing)
            answered = await _answer(shown, approval, "denied", reason="not today")
            assert answered.refusal == ""
            (ended,) = await shown.ended(firing.id)
            assert ended.state == "failed"
            after = {"s1": "accepted", "s2": "refused", "s3": "refused"} if on_error == "continue" else {}
            assert _outcomes(ended) == {"s0": "refused", **after}
            assert "denied by anna (cli): not today" in ended.reason
            assert shown.world.calls == []
            assert {event.type for event in shown.events} <= {"action.settled"}

    run(main())


def test_no_answer_means_no_and_people_may_be_told_so() -> None:
    async def main() -> None:
        async with stage() as shown:
            told = {**NOTICE, "if": "steps.s0.outcome == 'timed_out'"}
            firing, _ = await _born(shown, ASK, told, RERUN)
            (ended,) = await shown.ended(firing.id)
            assert _outcomes(ended) == {"s0": "timed_out", "s1": "accepted", "s2": "refused"}
            assert ended.state == "failed"
            assert ended.reason.startswith("step s2: refused: nobody said yes to it: nobody answered approval ap_")
            assert ended.ended_at
            assert HOUR <= ended.ended_at - START - timedelta(seconds=1000) < HOUR + timedelta(seconds=5)
            assert shown.world.calls == []
            late = await _answer(shown, await _asked(shown, firing), "approved")
            assert "cannot be answered any more: expired at" in late.refusal

    run(main())


def test_an_answer_after_the_instance_recovered_is_refused() -> None:
    async def main() -> None:
        async with stage() as shown:
            firing, _ = await _born(shown, ASK, {**RERUN, "on_error": "continue"})
            approval = await _asked(shown, firing)
            run_again = replace(shown.world.instances["t_1"], status="SUCCESS")
            shown.world.instances["t_1"] = run_again
            answered = await _answer(shown, approval, "approved")
            assert answered.refusal == (
                "state changed: instance t_1 was FAILED and is SUCCESS (approved by anna (cli))"
            )
            (ended,) = await shown.ended(firing.id)
            assert (_outcomes(ended), shown.world.calls) == ({"s0": "refused"}, [])

    run(main())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"started_at": START}, "another run of instance t_1 has begun"),
        ({"paused": True}, "instance t_1 was of unknown pause and is paused"),
        (None, "instance t_1 is gone"),
    ],
)
def test_another_run_a_pause_and_an_object_that_is_gone_void_an_answer(change: JsonObject | None, said: str) -> None:
    async def main() -> None:
        async with stage() as shown:
            firing, _ = await _born(shown, ASK, RERUN)
            approval = await _asked(shown, firing)
            if change is None:
                del shown.world.instances["t_1"]
            else:
                shown.world.instances["t_1"] = replace(shown.world.instances["t_1"], **change)
            answered = await _answer(shown, approval, "approved")
            assert f"state changed: {said} (" in answered.refusal
            assert shown.world.calls == []

    run(main())


def test_a_node_that_somebody_paused_meanwhile_voids_an_answer() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.nodes["n_9"] = Node(id="n_9", paused=False)
            pause = {"kind": "pause_node", "params": {"node_id": "n_9", "project_id": "7"}}
            firing, _ = await _born(shown, ASK, pause)
            approval = await _asked(shown, firing)
            shown.world.nodes["n_9"] = Node(id="n_9", paused=True)
            answered = await _answer(shown, approval, "approved")
            assert "state changed: node n_9 was not paused and is paused" in answered.refusal
            assert shown.world.calls == []

    run(main())


def test_the_first_answer_counts_and_the_second_hears_what_it_was() -> None:
    async def main() -> None:
        async with stage() as shown:
            firing, _ = await _born(shown, ASK, RERUN)
            approval = await _asked(shown, firing)
            first, second = await _answer(shown, approval, "denied"), await _answer(shown, approval, "approved")
            assert first.refusal == ""
            assert "cannot be answered any more: denied by anna (cli) at 2026-01-05T00:16:40" in second.refusal
            trail = await shown.store.read(lambda tx: [each.what for each in audit.entries_of(tx, firing.id)])
            assert [what for what in trail if what.startswith("approval.")] == ["approval.asked", "approval.denied"]

    run(main())


def test_nobody_is_asked_in_shadow() -> None:
    async def main() -> None:
        async with stage() as shown:
            firing, _ = await _born(shown, ASK, RERUN, mode="shadow")
            (ended,) = await shown.ended(firing.id, within=5)
            assert _outcomes(ended) == {"s0": "shadow", "s1": "shadow"}
            assert await _notices(shown) == []

    run(main())


def test_an_approval_that_its_own_condition_leaves_out_stands_in_nobody_s_way() -> None:
    async def main() -> None:
        async with stage() as shown:
            firing, _ = await _born(shown, {**ASK, "if": "False"}, RERUN)
            (ended,) = await shown.ended(firing.id)
            assert _outcomes(ended) == {"s0": "skipped", "s1": "accepted"}

    run(main())


def test_an_approval_whose_condition_has_no_value_is_not_left_out() -> None:
    async def main() -> None:
        async with stage() as shown:
            firing, _ = await _born(shown, {**ASK, "if": "null < 3", "on_error": "continue"}, RERUN)
            (ended,) = await shown.ended(firing.id)
            assert _outcomes(ended) == {"s0": "refused", "s1": "refused"}
            assert "whether people are to be asked is not known" in ended.results["s0"].reason
            assert shown.world.calls == []

    run(main())


def test_a_no_is_a_no_also_for_what_follows_an_approval_that_was_left_out() -> None:
    async def main() -> None:
        async with stage() as shown:
            firing, _ = await _born(shown, {**ASK, "on_error": "continue"}, {**ASK, "if": "False"}, RERUN)
            approval = await _asked(shown, firing)
            assert [call.n for call in approval.shown.calls] == [2]
            await _answer(shown, approval, "denied")
            (ended,) = await shown.ended(firing.id)
            assert _outcomes(ended) == {"s0": "refused", "s1": "skipped", "s2": "refused"}
            assert shown.world.calls == []

    run(main())


def test_a_call_that_is_another_one_by_now_is_not_made() -> None:
    async def main() -> None:
        async with stage() as shown:
            firing, _ = await _born(shown, ASK, RERUN)
            approval = await _asked(shown, firing)
            other = replace(approval.shown.calls[0], digest=digest_of({"another": "call"}))
            changed = replace(approval.shown, calls=[other])

            def forge(tx: Any) -> None:
                tx._connection.execute(
                    "UPDATE approval SET shown = ? WHERE id = ?", (to_text(changed.to_json()), approval.id)
                )

            await shown.store.write(forge)
            await _answer(shown, approval, "approved")
            (ended,) = await shown.ended(firing.id)
            assert _outcomes(ended) == {"s0": "accepted", "s1": "refused"}
            assert "not the call any more that people said yes to" in ended.reason
            assert shown.world.calls == []

    run(main())


def test_a_wait_for_people_goes_on_after_a_restart() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        world = World(clock)
        async with Store.open(":memory:", clock) as store:
            async with stage(store, world) as shown:
                firing, event = await _born(shown, ASK, RERUN)
                approval = await _asked(shown, firing)
            await anyio.sleep(600)
            async with stage(store, world) as again:
                again.courses.begin(await again.firing(firing.id), event)
                await anyio.sleep(60)
                assert (await _asked(again, firing)).id == approval.id
                assert (await _answer(again, approval, "approved")).refusal == ""
                (ended,) = await again.ended(firing.id)
                assert (_outcomes(ended), world.calls) == ({"s0": "accepted", "s1": "accepted"}, [["t_1"]])
                assert len(await _notices(again)) == 1

    run(main())


@pytest.mark.parametrize("said", ["approved", "denied"])
def test_an_answer_given_while_nobody_runs_is_found_at_the_start(said: Said) -> None:
    async def main() -> None:
        clock = LoopClock(START)
        world = World(clock)
        async with Store.open(":memory:", clock) as store:
            async with stage(store, world) as shown:
                firing, event = await _born(shown, ASK, RERUN)
                approval = await _asked(shown, firing)
            answered = await _answer(shown, approval, said, wait=0.0)
            assert (answered.refusal, answered.approval and answered.approval.outcome) == ("", "")
            await anyio.sleep(7200)  # the answer came in time, whenever it is read
            async with stage(store, world) as again:
                again.courses.begin(await again.firing(firing.id), event)
                (ended,) = await again.ended(firing.id)
                assert ended.results["s0"].outcome == ("accepted" if said == "approved" else "refused")
                assert len(world.calls) == (said == "approved")

    run(main())


def test_what_expired_while_nobody_ran_has_expired_at_the_start() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        world = World(clock)
        async with Store.open(":memory:", clock) as store:
            async with stage(store, world) as shown:
                firing, event = await _born(shown, ASK, RERUN)
                approval = await _asked(shown, firing)
            await anyio.sleep(3700)
            late = await _answer(shown, approval, "approved", wait=0.0)
            assert "cannot be answered any more: expired at" in late.refusal
            async with stage(store, world) as again:
                again.courses.begin(await again.firing(firing.id), event)
                (ended,) = await again.ended(firing.id)
                assert (ended.results["s0"].outcome, world.calls) == ("timed_out", [])

    run(main())


def test_a_firing_that_ends_asks_nobody_any_more() -> None:
    async def main() -> None:
        async with stage() as shown:
            firing, event = await _born(shown, ASK, RERUN)
            approval = await _asked(shown, firing)
            stop = Stop()
            stop.ask()
            with pytest.raises(Stopped):
                await shown.actor.walk(await shown.firing(firing.id), event, (), stop)
            await shown.store.write(lambda tx: journal.end(tx, firing.id, "skipped", "a newer one"))
            answered = await _answer(shown, approval, "approved")
            assert "its firing is over" in answered.refusal

    run(main())


def test_a_yes_waits_until_the_state_can_be_read() -> None:
    async def main() -> None:
        async with stage() as shown:
            firing, _ = await _born(shown, ASK, RERUN)
            approval = await _asked(shown, firing)
            shown.world.read_faults = 3
            answered = await _answer(shown, approval, "approved", wait=1.0)
            assert answered.approval
            assert (answered.refusal, answered.approval.outcome) == ("", "")
            (ended,) = await shown.ended(firing.id)
            assert (_outcomes(ended), shown.world.calls) == ({"s0": "accepted", "s1": "accepted"}, [["t_1"]])

    run(main())


def test_a_call_that_cannot_be_shown_is_not_asked_for() -> None:
    async def main() -> None:
        async with stage() as shown:
            post = {"kind": "http", "params": {"url": "http://example.org/x", "method": "POST"}}
            firing, _ = await _born(shown, ASK, post, RERUN)
            (ended,) = await shown.ended(firing.id)
            assert ended.reason.startswith("step s0: refused: what step s1 would do cannot be shown: http: «url»")
            assert (await _notices(shown), shown.world.calls) == ([], [])

    run(main())
