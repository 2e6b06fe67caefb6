"""Acting on a small tenant in virtual time: batches, attempts, settling, verification, guards."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from fastloop import run
from worlds import Fault, Stage, failed_event, firing_of, stage

RERUN = {"kind": "rerun_instance"}


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
            assert [len(call) for call in shown.world.calls] == [50, 10]
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
            assert len(shown.ceilings) == 1

    run(main())


def test_a_rule_writes_to_no_more_targets_than_its_limit() -> None:
    async def main() -> None:
        async with stage() as shown:
            events = [failed_event(shown.world.add_failed(f"t_{n}")) for n in range(3)]
            plan = {"limits": {"targets": {"max": 2, "per_s": 3600}}}
            firings = [firing_of(event, [RERUN], plan=plan) for event in events]
            for firing, event in zip(firings, events, strict=True):
                await shown.add(firing, event)
            ended = await shown.ended(*(firing.id for firing in firings))
            assert [one.state for one in ended].count("failed") == 1
            assert len(shown.world.reruns) == 2

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
            notice = {"kind": "notify", "params": {"to": "oncall", "message": "m"}}
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
