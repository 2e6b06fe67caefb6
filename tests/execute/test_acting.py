"""Acting on a small tenant in virtual time: batches, attempts, settling, verification, guards."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import anyio
import pytest

from phinops.clock import LoopClock
from phinops.event import JsonObject, Node
from phinops.firing import Firing
from phinops.record.sqlite import Store
from phinops.record.tx import Tx
from phinops.virtual import run
from worlds import START, Fault, Stage, World, failed_event, firing_of, stage

RERUN: JsonObject = {"kind": "rerun_instance"}


async def _rerun_one(shown: Stage, faults: list[Fault] = [], **step: Any) -> Any:  # noqa: B006 - never changed
    shown.world.faults = deque(faults)
    event = failed_event(shown.world.add_failed("t_1"))
    firing = firing_of(event, [{**RERUN, **step}])
    await shown.add(firing, event)
    (ended,) = await shown.ended(firing.id)
    return ended


def test_a_rerun_is_sent_once_and_accepted() -> None:
    async def main() -> None:
        async with stage() as shown:
            ended = await _rerun_one(shown)
            assert ended.state == "done"
            assert ended.results["s0"].outcome == "accepted"
            assert shown.world.reruns == {"t_1": 1}
            step = await shown.last_step(ended.id)
            assert (step.state, step.request_id, step.probe["status"]) == ("done", "R1", "FAILED")
            (told,) = shown.events
            assert told.action is not None
            assert (told.type, told.action.outcome, told.action.target) == ("action.settled", "accepted", "t_1")

    run(main())


@pytest.mark.parametrize(("ends", "outcome"), [("SUCCESS", "verified"), ("FAILED", "failed")])
def test_verification_follows_the_run_to_its_end(ends: str, outcome: str) -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.ends = ends
            ended = await _rerun_one(shown, verify_s=1800)
            assert ended.results["s0"].outcome == outcome
            assert ended.state == "done"

    run(main())


def test_verification_that_finds_no_end_times_out_at_its_moment() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.lasts = 10_000
            began = shown.world.clock.monotonic()
            ended = await _rerun_one(shown, verify_s=600)
            assert ended.results["s0"].outcome == "timed_out"
            assert 600 <= shown.world.clock.monotonic() - began < 605

    run(main())


@pytest.mark.parametrize(
    ("faults", "attempts"),
    [
        (["lost after"], 1),
        (["lost before"], 2),
        (["throttled"], 2),
        (["transient"], 2),
        (["lost before", "lost after"], 2),
        (["spent"], 1),
        (["unspoken"], 1),
    ],
)
def test_whatever_is_lost_the_instance_is_rerun_exactly_once(faults: list[Fault], attempts: int) -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.shows_after = 1.5
            ended = await _rerun_one(shown, faults)
            assert ended.results["s0"].outcome == "accepted"
            assert shown.world.reruns == {"t_1": 1}
            assert (await shown.last_step(ended.id)).attempt == attempts

    run(main())


def test_a_refusal_ends_the_firing_and_later_steps_do_not_run() -> None:
    async def main() -> None:
        async with stage() as shown:
            ended = await _rerun_one(shown, ["refused"])
            assert ended.state == "failed"
            assert "DPN.OP.NoPermission" in ended.reason
            assert shown.world.reruns == {}

    run(main())


def test_a_refusal_that_says_it_runs_already_is_the_goal() -> None:
    async def main() -> None:
        async with stage() as shown:
            ended = await _rerun_one(shown, ["running"])
            assert ended.results["s0"].outcome == "accepted"

    run(main())


def test_a_refused_item_is_refused_and_its_text_is_kept() -> None:
    async def main() -> None:
        async with stage() as shown:
            ended = await _rerun_one(shown, ["item refused"], on_error="continue")
            assert ended.state == "done"
            assert ended.results["s0"].outcome == "refused"

    run(main())


def test_reading_back_goes_on_while_the_target_cannot_be_read() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.read_faults = 4
            ended = await _rerun_one(shown, ["lost after"])
            assert ended.results["s0"].outcome == "accepted"
            assert shown.world.reruns == {"t_1": 1}

    run(main())


def test_a_write_that_cannot_be_read_back_needs_a_person_and_blocks_its_target() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.read_faults = 10_000
            ended = await _rerun_one(shown, ["lost after"])
            assert ended.state == "needs_decision"
            event = failed_event(shown.world.instances["t_1"])
            other = firing_of(event, [RERUN], id="fi_other", key="other")
            shown.world.read_faults = 0
            await shown.add(other, event)
            (refused,) = await shown.ended("fi_other")
            assert "unknown outcome" in refused.reason
            assert shown.world.reruns == {"t_1": 1}

    run(main())


def test_instances_that_are_due_together_travel_in_one_call() -> None:
    async def main() -> None:
        async with stage() as shown:
            events = [failed_event(shown.world.add_failed(f"t_{n}")) for n in range(60)]
            firings = [firing_of(event, [RERUN]) for event in events]
            for firing, event in zip(firings, events, strict=True):
                await shown.add(firing, event)
            await shown.ended(*(firing.id for firing in firings))
            # Fifty firings begin at once, the others eight at a time.
            assert [len(call) for call in shown.world.calls] == [50, 8, 2]
            assert set(shown.world.reruns.values()) == {1}

    run(main())


def test_a_refused_batch_is_asked_again_one_by_one() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.faults = deque(["refused"])
            events = [failed_event(shown.world.add_failed(f"t_{n}")) for n in range(3)]
            firings = [firing_of(event, [RERUN]) for event in events]
            for firing, event in zip(firings, events, strict=True):
                await shown.add(firing, event)
            await shown.ended(*(firing.id for firing in firings))
            assert [len(call) for call in shown.world.calls] == [3, 1, 1, 1]
            assert shown.world.reruns == {"t_0": 1, "t_1": 1, "t_2": 1}

    run(main())


def test_over_the_ceiling_none_of_the_batch_is_sent_and_it_is_told_once() -> None:
    async def main() -> None:
        async with stage(most=2) as shown:
            events = [failed_event(shown.world.add_failed(f"t_{n}")) for n in range(3)]
            firings = [firing_of(event, [RERUN]) for event in events]
            for firing, event in zip(firings, events, strict=True):
                await shown.add(firing, event)
            ended = await shown.ended(*(firing.id for firing in firings))
            assert shown.world.calls == []
            assert all("max_writes_per_hour" in one.reason for one in ended)
            assert len(shown.alarms) == 1

    run(main())


def test_over_the_targets_of_its_rule_none_of_the_batch_is_sent_and_it_is_told_once() -> None:
    async def main() -> None:
        async with stage() as shown:
            events = [failed_event(shown.world.add_failed(f"t_{n}")) for n in range(3)]
            plan = {"limits": {"targets": {"max": 2, "per_s": 3600}}}
            firings = [firing_of(event, [RERUN], plan=plan) for event in events]
            for firing, event in zip(firings, events, strict=True):
                await shown.add(firing, event)
            ended = await shown.ended(*(firing.id for firing in firings))
            assert [one.state for one in ended] == ["failed"] * 3
            assert not shown.world.reruns
            assert [(alarm.about, "limits.targets" in alarm.message) for alarm in shown.alarms] == [
                (f"targets of {firings[0].rule}", True)
            ]

    run(main())


def test_instances_and_nodes_count_alike_over_firings_side_by_side_and_one_after_the_other() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.nodes["n_1"] = Node(id="n_1", paused=False)
            plan = {"limits": {"targets": {"max": 2, "per_s": 3600}}, "concurrency": "parallel"}
            steps = [[RERUN], [{"kind": "pause_node"}], [RERUN], [{"kind": "resume_node"}]]
            events = [failed_event(shown.world.add_failed(f"t_{n}")) for n in range(4)]
            firings = [firing_of(event, step, plan=plan, key="k") for event, step in zip(events, steps, strict=True)]
            for firing, event in zip(firings[:2], events, strict=False):
                await shown.add(firing, event)
            await anyio.sleep(600)
            for firing, event in zip(firings[2:], events[2:], strict=True):
                await shown.add(firing, event)
            ended = await shown.ended(*(firing.id for firing in firings))
            # The node was written to before: it is not a third target.
            assert [one.state for one in ended] == ["done", "done", "failed", "done"]
            assert "limits.targets: the rule has written to 2 targets" in ended[2].reason
            assert shown.world.reruns == {"t_0": 1}

    run(main())


def test_a_target_with_too_much_below_it_is_refused_before_anything_is_sent() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.below = 51
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [RERUN], plan={"limits": {"downstream": {"max": 50}}})
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert "51 nodes hang below t_1, 50 are allowed" in ended.reason
            assert shown.world.calls == []

    run(main())


def test_in_shadow_the_write_is_rendered_and_recorded_and_not_sent() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = failed_event(shown.world.add_failed("t_1"))
            notice: JsonObject = {"kind": "notify", "params": {"to": "oncall", "message": "m"}}
            firing = firing_of(event, [RERUN, notice], mode="shadow")
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert [result.outcome for result in ended.results.values()] == ["shadow", "shadow"]
            step = await shown.last_step(firing.id)
            assert step.request["params"]["OperateCommand"]["InstanceIdList"] == [{"Id": "t_1"}]
            assert shown.world.calls == []
            assert (await shown.store.read(lambda tx: tx.all("notice_counts"))) == []

    run(main())


def test_a_notice_waits_in_the_outbox_with_the_rules_id_for_a_title() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [{"kind": "notify", "params": {"to": ["a", "b"], "message": "m"}}])
            await shown.add(firing, event)
            await shown.ended(firing.id)
            due = await shown.store.read(lambda tx: tx.all("due_notices", notifier="b", now=tx.now, limit=5))
            assert len(due) == 1
            assert '"title":"r"' in due[0]["payload"]
            row = await shown.last_step(firing.id)
            assert (row.target_kind, row.target_id) == ("", "a, b")
            kept = {name: row.request["params"][name] for name in ("title", "message", "severity")}
            assert kept == {"title": "r", "message": "m", "severity": "warning"}

    run(main())


def test_a_step_whose_if_is_false_is_skipped_and_the_next_one_sees_it() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = failed_event(shown.world.add_failed("t_1"))
            second = {**RERUN, "if": "steps.s0.outcome == 'skipped'"}
            firing = firing_of(event, [{**RERUN, "if": "False"}, second])
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert [result.outcome for result in ended.results.values()] == ["skipped", "accepted"]

    run(main())


def test_an_unlucky_write_is_given_up_after_its_attempts() -> None:
    async def main() -> None:
        async with stage() as shown:
            ended = await _rerun_one(shown, ["transient"] * 50)
            assert ended.state == "failed"
            assert "not done after 20 attempts" in ended.reason

    run(main())


def test_a_spent_day_delays_the_write_and_all_that_it_needs_to_know() -> None:
    async def main() -> None:
        async with stage() as shown:
            hours = 10 * 3600.0
            shown.world.spent_until = shown.world.clock.monotonic() + hours
            shown.world.nodes["n_1"] = Node(id="n_1", paused=False)
            event = failed_event(shown.world.add_failed("t_1"))
            plan = {"limits": {"downstream": {"max": 5}}}
            firing = firing_of(event, [{"kind": "pause_node"}, RERUN], plan=plan)
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert [result.outcome for result in ended.results.values()] == ["accepted", "accepted"]
            assert shown.world.nodes["n_1"].paused
            assert shown.world.reruns == {"t_1": 1}

    run(main())


def test_a_write_that_waited_while_another_run_began_is_not_wanted_any_more() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.spent_until = shown.world.clock.monotonic() + 600
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [RERUN])
            await shown.add(firing, event)
            await anyio.sleep(300)
            shown.world._runs["t_1"] = shown.world.clock.now()
            (ended,) = await shown.ended(firing.id)
            assert "another run of it has begun" in ended.reason
            assert shown.world.calls == []
            step = await shown.last_step(firing.id)
            assert (step.state, step.outcome, step.target_id) == ("failed", "refused", "t_1")

    run(main())


def test_an_old_decision_looks_at_its_target_first() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = failed_event(shown.world.add_failed("t_1"))
            late = firing_of(event, [RERUN], state="running", started_at=START)
            await shown.add(late, event)
            (ended,) = await shown.ended(late.id)
            assert ended.results["s0"].outcome == "accepted"
            assert shown.world.reads == 1
            young = failed_event(shown.world.add_failed("t_2"))
            await shown.add(firing_of(young, [RERUN]), young)
            await shown.ended(firing_of(young, [RERUN]).id)
            assert shown.world.reads == 1

    run(main())


def test_of_two_rules_that_want_the_same_rerun_the_second_sees_that_it_was_done() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = failed_event(shown.world.add_failed("t_1"))
            firings = [firing_of(event, [RERUN], id=f"fi_{n}", rule=f"r{n}", key=f"k{n}") for n in range(2)]
            for firing in firings:
                await shown.add(firing, event)
            ended = await shown.ended("fi_0", "fi_1")
            assert [one.results["s0"].outcome for one in ended] == ["accepted", "refused"]
            assert "another run of it has begun" in ended[1].reason
            assert shown.world.reruns == {"t_1": 1}

    run(main())


def test_a_rerun_that_shows_late_is_not_done_again_by_a_second_rule() -> None:
    """Whether it comes at the same moment or a little later: until the new run shows, the journal knows of it."""

    async def main() -> None:
        async with stage() as shown:
            shown.world.shows_after = 20.0
            event = failed_event(shown.world.add_failed("t_1"))
            firings = [firing_of(event, [RERUN], id=f"fi_{n}", rule=f"r{n}", key=f"k{n}") for n in range(4)]
            for firing in firings[:3]:
                await shown.add(firing, event)
            await anyio.sleep(5)
            await shown.add(firings[3], event)
            ended = await shown.ended(*(firing.id for firing in firings))
            assert [one.results["s0"].outcome for one in ended] == ["accepted", "refused", "refused", "refused"]
            assert all("did the same to this run of t_1" in one.reason for one in ended[1:])
            assert shown.world.reruns == {"t_1": 1}
            shown.world.shows_after = 1e6
            await anyio.sleep(100)
            again = firing_of(event, [RERUN], id="fi_9", rule="r9", key="k9")
            await shown.add(again, event)
            assert (await shown.ended(again.id))[0].results["s0"].outcome == "accepted"  # nothing came of the first

    run(main())


def test_a_write_of_unknown_fate_holds_back_the_later_steps_of_its_own_firing_too() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.faults = deque(["lost after"])
            shown.world.shows_after = 1e9
            shown.world.log_refused = True
            shown.world.instances["t_1"] = replace(shown.world.add_failed("t_1"), started_at=None, ended_at=None)
            event = failed_event(shown.world.instances["t_1"])
            firing = firing_of(event, [{**RERUN, "on_error": "continue"}, {**RERUN, "on_error": "continue"}])
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert [result.outcome for result in ended.results.values()] == ["unknown", "refused"]
            assert "unknown outcome" in ended.results["s1"].reason
            assert shown.world.reruns == {"t_1": 1}

    run(main())


def test_a_step_that_this_version_does_not_know_waits_for_a_person() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [{"kind": "teleport"}])
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert ended.state == "needs_decision"
            assert "does not know the step «teleport»" in ended.reason

    run(main())


def test_what_is_refused_before_sending_is_recorded_and_told() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = replace(failed_event(shown.world.add_failed("t_1")), instance=None)
            firing = firing_of(event, [RERUN])
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert ended.state == "failed"
            step = await shown.last_step(firing.id)
            assert (step.kind, step.state, step.outcome) == ("rerun_instance", "failed", "refused")
            assert step.result["reason"] in ended.reason
            (told,) = shown.events
            assert told.action
            assert (told.action.id, told.action.outcome) == (step.action_id, "refused")

    run(main())


def test_shadow_refuses_what_armed_would_refuse_and_tells_nobody_of_actions() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.below = 51
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [RERUN], mode="shadow", plan={"limits": {"downstream": {"max": 50}}})
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert "limits.downstream" in ended.reason
            assert shown.events == []

    run(main())


def test_a_read_is_made_and_its_reply_kept_and_a_refused_one_is_a_result() -> None:
    async def main() -> None:
        async with stage() as shown:
            event = failed_event(shown.world.add_failed("t_1"))
            look = {"kind": "call", "params": {"call": "GetMyTenants", "with": {}}, "on_error": "continue"}
            firing = firing_of(event, [look, look])
            shown.world.read_faults = 1
            await shown.add(firing, event)
            (ended,) = await shown.ended(firing.id)
            assert [result.outcome for result in ended.results.values()] == ["refused", "accepted"]
            kept = await shown.last_step(firing.id, 1)
            assert (kept.kind, kept.result) == ("read", {"reply": {"PageResult": {"Data": []}}})
            assert shown.events == []

    run(main())


@pytest.mark.parametrize(("ends_after", "outcome"), [(60.0, "verified"), (1e6, "timed_out")])
def test_a_verification_whose_time_ran_out_while_nobody_looked_looks_once(ends_after: float, outcome: str) -> None:
    async def main() -> None:
        clock = LoopClock(START)
        world = World(clock, lasts=ends_after)
        event = failed_event(world.add_failed("t_1"))
        firing = firing_of(event, [{**RERUN, "verify_s": 600}])
        async with Store.open(":memory:", clock) as store:
            async with stage(store, world) as shown:
                await shown.add(firing, event)
                await anyio.sleep(1)
            await anyio.sleep(5000)
            async with stage(store, world) as shown:
                await shown.courses.resume(await shown.courses.left_open())
                (ended,) = await shown.ended(firing.id)
                assert ended.results["s0"].outcome == outcome

    run(main())


@pytest.mark.parametrize("outcome", ["refused", "shadow", "notified"])
def test_a_step_that_was_recorded_and_not_counted_is_not_done_again(outcome: str) -> None:
    """Killed between the record of a step and the move of the cursor."""

    async def main() -> None:
        clock = LoopClock(START)
        world = World(clock, faults=deque(["refused"] if outcome == "refused" else []))
        event = failed_event(world.add_failed("t_1"))
        notice: JsonObject = {"kind": "notify", "params": {"to": "oncall", "message": "m"}}
        mode = "shadow" if outcome == "shadow" else "armed"
        firing = firing_of(event, [notice if outcome == "notified" else RERUN], mode=mode)
        async with Store.open(":memory:", clock) as store:
            async with stage(store, world) as shown:
                await shown.add(firing, event)
                (first,) = await shown.ended(firing.id)
            await store.write(lambda tx: _rewind(tx, firing))
            async with stage(store, world) as shown:
                await shown.courses.resume(await shown.courses.left_open())
                (again,) = await shown.ended(firing.id)
                assert again.results == first.results
                assert (await shown.last_step(firing.id)).attempt == 1
            notices = await store.read(lambda tx: tx.all("notice_counts"))
            assert [row["n"] for row in notices] == ([1] if outcome == "notified" else [])

    run(main())


def _rewind(tx: Tx, firing: Firing) -> None:
    query = "UPDATE firing SET cursor = 0, ctx = '{}', state = 'running', ended_at = NULL WHERE id = ?"
    tx._connection.execute(query, (firing.id,))


def test_a_firing_that_waits_for_its_turn_says_what_it_waits_for() -> None:
    async def main() -> None:
        async with stage() as shown:
            shown.world.faults = deque(["spent"])
            event = failed_event(shown.world.add_failed("t_1"))
            firing = firing_of(event, [RERUN])
            await shown.add(firing, event)
            await anyio.sleep(0.5)
            waiting = await shown.firing(firing.id)
            assert waiting.state == "running"
            assert waiting.reason == "step s0 waits: the day is spent"
            (ended,) = await shown.ended(firing.id)
            assert (ended.state, ended.reason) == ("done", "")

    run(main())
