"""Backfills, manual runs and fixes: what is sent, and what reading makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from phinops.errors import Refused, Transient
from phinops.event import Instance
from phinops.execute.steps.backfill import (
    backfill_probe,
    dagrun_progress,
    lost_progress,
    times_made,
)
from phinops.execute.steps.fix import run_since
from phinops.execute.steps.flow import Dagrun, Submission
from phinops.execute.steps.kind import BadStep, ItemAnswer, Target, Taskrun, Write, checked
from phinops.execute.steps.submit import MOST, end_of, ids_of, new_since
from phinops.execute.steps.table import STEPS
from phinops.execute.steps.verdict import Record
from stillness import NOON, Checked, StillFlows, StillLook, after, event_of, failure

BACKFILL, FIX, MANUAL = STEPS["backfill"], STEPS["fix_data"], STEPS["run_manual_node"]
DAYS = ["2026-01-01", "2026-01-02"]
SPAN = {"start": DAYS[0], "end": DAYS[1]}


def made(*ids: str, day: str = DAYS[0], status: str = "SUCCESS", **fields: Any) -> list[Instance]:
    return [Instance(id=each, biz_date=day, status=status, **fields) for each in ids]


def both(status: str = "SUCCESS") -> list[Instance]:
    """One new instance for each of the days."""
    return [*made("t_1", day=DAYS[0], status=status), *made("t_2", day=DAYS[1])]


async def backfill(**params: object) -> Write:
    return await BACKFILL.write(checked(BACKFILL, {**SPAN, **params}), failure(), StillLook())


@pytest.mark.parametrize(
    ("params", "more"),
    [
        ({}, {}),
        ({"downstream": "all"}, {"ContainAllDownStream": True}),
        ({"downstream": ["n_2", 3]}, {"DownStreamNodeIdList": [{"Id": "n_2"}, {"Id": "3"}]}),
        ({"parallelism": "12"}, {"Parallelism": 12}),
    ],
)
async def test_a_backfill_is_one_command_with_dates_as_the_tenant_writes_them(
    params: dict[str, object], more: dict[str, object]
) -> None:
    write = await backfill(**params)
    assert (write.api, write.target, write.batch) == ("CreateNodeSupplement", Target("node", "n_1", "7"), "")
    assert write.params["CreateCommand"] == {
        "ProjectId": 7,
        "NodeIdList": [{"Id": "n_1"}],
        "StartBizDate": "20260101",
        "EndBizDate": "20260102",
        "Parallelism": 1,
        "RunImmediately": True,
        **more,
    }
    assert BACKFILL.merge([write]) == write.params
    with pytest.raises(ValueError, match="2 writes in a call for one"):
        BACKFILL.merge([write, write])


async def test_the_other_two_say_what_runs_and_for_when() -> None:
    look = StillLook()
    manual = await MANUAL.write(checked(MANUAL, {"biz_date": DAYS[0]}), failure(), look)
    days = {"StartBizDate": "20260101", "EndBizDate": "20260101"}
    assert manual.params == {"ExecuteCommand": {"ProjectId": 7, "NodeId": "n_1", **days}}
    fix = await FIX.write(checked(FIX, {"range": "final", "force": True}), failure(), look)
    assert fix.target == Target("instance", "t_1", "7")
    assert fix.params["FixDataCommand"] == {
        "ProjectId": 7,
        "RootInstanceId": {"Id": "t_1"},
        "ContainRootInstance": True,
        "DownstreamRange": "ALL_FINAL_INSTANCE",
        "ForceRerun": True,
    }
    assert FIX.marked(fix, "fi/s/1") == fix
    marked = MANUAL.marked(manual, "fi/s/1").params["ExecuteCommand"]
    assert marked["FlowName"] == "[phinops fi/s/1]"


async def test_dates_in_the_wrong_order_are_found_by_check_and_when_they_were_rendered() -> None:
    wrong = checked(BACKFILL, {"start": DAYS[1], "end": DAYS[0]})
    assert BACKFILL.problems(wrong, Checked()) == [(("end",), "2026-01-01 is before the start, 2026-01-02")]
    with pytest.raises(BadStep, match="end: 2026-01-01 is before the start, 2026-01-02"):
        await BACKFILL.write(wrong, failure(), StillLook())
    templates = checked(BACKFILL, {"start": "{{ event.instance.biz_date }}", "end": DAYS[0]})
    assert BACKFILL.problems(templates, Checked()) == []


@pytest.mark.parametrize(
    ("step", "given", "reason"),
    [
        (
            "backfill",
            {**SPAN, "start": NOON},
            "start: Value error, must be a business date such as 2026-01-31, not 2026",
        ),
        ("backfill", {**SPAN, "start": None}, "start: Value error, must be a business date"),
        (
            "backfill",
            {**SPAN, "parallelism": True},
            "parallelism: Value error, must be a number from 1 to 12, not True",
        ),
        (
            "backfill",
            {**SPAN, "downstream": [True]},
            "downstream: Value error, must be ids of nodes, which True is not",
        ),
        ("fix_data", {"range": "none"}, "range: Value error, cannot be «none»: it is one of failed, all, final"),
        ("fix_data", {"force": 1}, "force: Value error, must be true or false, not 1"),
        ("run_manual_node", {}, "biz_date: Field required"),
    ],
)
def test_a_value_that_was_rendered_wrong_is_refused_with_the_reason(
    step: str, given: dict[str, object], reason: str
) -> None:
    with pytest.raises(BadStep) as caught:
        checked(STEPS[step], given)
    assert f"{step}: {reason}" in str(caught.value)


async def test_an_event_without_a_node_needs_one_that_is_named() -> None:
    hook = event_of(type="hook.deploy", source="hooks")
    with pytest.raises(BadStep, match="name one with project_id"):
        await MANUAL.write(checked(MANUAL, {"biz_date": DAYS[0], "node_id": "n_1"}), hook, StillLook())


def test_the_id_that_a_reply_gives_is_kept() -> None:
    assert BACKFILL.result({"SubmitId": "f_1"}) == {"submitted": "f_1"}
    assert FIX.result({"SubmitId": 12}) == {"submitted": "12"}
    assert MANUAL.result({"FlowId": None}) == {}
    assert MANUAL.items({}, ["n_1"]) == {"n_1": ItemAnswer(True)}
    assert not MANUAL.met(Refused("ExecuteManualNode", "DPN.TaskScheduler.Task.TaskRunning", "it runs"))


@pytest.mark.parametrize(
    ("new", "found"),
    [
        (None, "unclear"),
        ([], "unclear"),
        (made("t_1"), "unclear"),
        (both(), "applied"),
        ([*both(), *made("t_3")], "applied"),
    ],
)
def test_a_backfill_is_applied_when_every_day_has_a_new_instance_and_never_absent(
    new: Sequence[Instance] | None, found: str
) -> None:
    assert backfill_probe(new, DAYS) == found


@pytest.mark.parametrize(
    ("states", "found"),
    [
        ([], "pending"),
        (["SUCCESS"], "pending"),
        (["SUCCESS", "SUCCESS"], "verified"),
        (["SUCCESS", "RUNNING"], "pending"),
        (["FAILED", "RUNNING"], "failed"),
        (["SUCCESS", "KILLED"], "failed"),
        (["CREATE_FAILED", "INIT"], "failed"),
        (["SUCCESS", "SOMETHING_NEW"], "pending"),
    ],
)
def test_a_backfill_ends_with_its_last_day_or_with_the_first_that_fails(states: list[str], found: str) -> None:
    dagruns = [Dagrun(day, state) for day, state in zip(DAYS, states, strict=False)]
    assert dagrun_progress(dagruns, DAYS) == found


def test_two_dagruns_of_one_day_are_not_two_days() -> None:
    assert dagrun_progress([Dagrun(DAYS[0], "SUCCESS"), Dagrun(DAYS[0], "SUCCESS")], DAYS) == "pending"


@pytest.mark.parametrize(
    ("new", "alone", "found"),
    [
        (None, True, "pending"),
        ([], True, "pending"),
        (made("t_1"), True, "pending"),
        (both(), True, "verified"),
        (both(), False, "pending"),
        (both("FAILED"), False, "failed"),
        (both("RUNNING"), True, "pending"),
    ],
)
def test_without_an_answer_only_the_node_s_own_end_can_be_told(
    new: Sequence[Instance] | None, alone: bool, found: str
) -> None:
    assert lost_progress(new, DAYS, alone=alone) == found


def test_backfills_are_counted_by_the_moments_that_they_run_for() -> None:
    hours = [replace(made(f"t_{n}")[0], due_time=after(60 * n)) for n in range(3)]
    assert times_made(None) is None
    assert times_made([]) == 0
    assert times_made(hours) == 1
    assert times_made([*hours, replace(hours[0], id="t_9")]) == 2
    assert times_made(made("t_1")) is None


def test_what_was_there_before_is_not_new() -> None:
    before = ids_of(made("t_2", "t_1"))
    assert before == {"there": ["t_1", "t_2"]}
    assert new_since(before, made("t_1", "t_3")) == made("t_3")
    assert new_since(ids_of(None), made("t_1")) is None
    assert new_since(before, None) is None
    assert new_since({}, made("t_1")) is None


def test_instances_end_together() -> None:
    assert end_of([]) == "pending"
    assert end_of(made("t_1", "t_2")) == "verified"
    assert end_of([*made("t_1"), *made("t_2", status="UNKNOWN")]) == "pending"
    assert end_of([*made("t_1", status="RUNNING"), *made("t_2", status="FAILED")]) == "failed"


@pytest.mark.parametrize("step", [BACKFILL, MANUAL])
async def test_where_dataphin_has_no_such_list_nothing_is_claimed(step: Any) -> None:
    look = StillLook(flows=StillFlows(refused=True))
    params = SPAN if step is BACKFILL else {"biz_date": DAYS[0]}
    write = await step.write(checked(step, params), failure(), look)
    before = await step.baseline(look, write, None)
    assert before == {"there": None}
    assert await step.probe(look, write, before) == "unclear"
    assert await step.progress(look, write, before) == "pending"
    assert await step.effects(look, write, before) is None


async def test_more_instances_than_can_be_compared_are_not() -> None:
    look = StillLook(flows=StillFlows(of_nodes=made(*(f"t_{n}" for n in range(MOST + 1)))))
    assert await BACKFILL.baseline(look, await backfill(), None) == {"there": None}


@pytest.mark.parametrize(
    ("job", "found"),
    [
        (Submission("RUNNING"), "pending"),
        (Submission("FAILED"), "failed"),
        (Submission("SUCCESS", "f_9"), "verified"),
    ],
)
async def test_a_job_leads_to_its_flow_or_to_nothing(job: Submission, found: str) -> None:
    dagruns = [Dagrun(day, "SUCCESS") for day in DAYS]
    look = StillLook(flows=StillFlows(jobs={"12": job}, dagruns_of={"f_9": dagruns}))
    write = await backfill(downstream="all")
    assert await BACKFILL.progress(look, write, {"submitted": "12"}) == found


async def test_a_manual_run_that_shows_no_instance_yet_is_pending() -> None:
    look = StillLook()
    write = await MANUAL.write(checked(MANUAL, {"biz_date": DAYS[0]}), failure(), look)
    assert await MANUAL.progress(look, write, {"submitted": "f_1"}) == "pending"
    look.flows.flows["f_1"] = ["t_1", "t_2"]
    look.shown_instances["t_1"] = made("t_1")[0]
    assert await MANUAL.progress(look, write, {"submitted": "f_1"}) == "pending"
    look.shown_instances["t_2"] = made("t_2")[0]
    assert await MANUAL.progress(look, write, {"submitted": "f_1"}) == "verified"


OLD = Taskrun("r_1", "FAILED", NOON, after(5))


async def fixed(look: StillLook, wanted: str = "all") -> tuple[Write, dict[str, Any]]:
    look.shown_instances["t_1"] = Instance(id="t_1", status="FAILED", started_at=NOON, ended_at=after(5))
    look.runs["t_1"] = [OLD]
    write = await FIX.write(checked(FIX, {"range": wanted}), failure(), look)
    return write, await FIX.baseline(look, write, None)


@pytest.mark.parametrize(
    ("wanted", "ids"), [("failed", ["t_2"]), ("final", ["t_2", "t_3"]), ("all", ["t_2", "t_3", "t_4"])]
)
async def test_a_fix_knows_beforehand_what_is_in_its_range(wanted: str, ids: list[str]) -> None:
    states = {"t_2": "FAILED", "t_3": "SUCCESS", "t_4": "WAITING"}
    look = StillLook(flows=StillFlows(below_it=[Instance(id=each, status=state) for each, state in states.items()]))
    _, before = await fixed(look, wanted)
    assert before["below"] == ids
    assert before["runs"] == {"number": 1, "newest": "r_1"}


async def test_a_fix_whose_range_is_not_to_be_had_is_never_verified() -> None:
    look = StillLook(flows=StillFlows(refused=True))
    write, before = await fixed(look)
    assert before["below"] is None
    look.shown_instances["t_1"] = Instance(id="t_1", status="SUCCESS", started_at=after(9), ended_at=after(10))
    assert await FIX.progress(look, write, before) == "pending"


async def test_a_fix_is_told_by_one_more_run_of_the_instance() -> None:
    look = StillLook()
    write, before = await fixed(look)
    assert await FIX.probe(look, write, before) == "absent"
    assert await FIX.effects(look, write, before) == 0
    assert await FIX.progress(look, write, before) == "pending"
    look.runs["t_1"] = [OLD, Taskrun("r_2", "RUNNING", after(9))]
    assert await FIX.probe(look, write, before) == "applied"
    assert await FIX.effects(look, write, before) == 1
    assert await FIX.progress(look, write, before) == "pending"
    look.runs["t_1"] = [OLD, Taskrun("r_2", "SUCCESS", after(9), after(10))]
    assert await FIX.progress(look, write, before) == "verified"
    assert await FIX.probe(look, write, {}) == "unclear"


async def test_without_a_log_a_record_that_stands_still_proves_nothing() -> None:
    look = StillLook(log_refused=True)
    write, before = await fixed(look)
    assert "runs" not in before
    assert await FIX.probe(look, write, before) == "unclear"
    assert await FIX.effects(look, write, before) is None
    assert await FIX.progress(look, write, before) == "pending"
    look.shown_instances["t_1"] = Instance(id="t_1", status="SUCCESS", started_at=after(9), ended_at=after(10))
    assert await FIX.probe(look, write, before) == "applied"
    assert await FIX.progress(look, write, before) == "verified"


async def test_an_instance_that_is_gone_is_not_fixed() -> None:
    look = StillLook()
    write, before = await fixed(look)
    standing = FIX.standing(write, before, {})
    assert (standing.kind, standing.words) == ("changed", "project 7 has no such instance (any more)")
    assert FIX.standing(write, before, before).kind == "wanted"
    del look.shown_instances["t_1"]
    assert await FIX.baseline(look, write, None) == {}
    assert await FIX.probe(look, write, before) == "unclear"
    assert await FIX.progress(look, write, before) == "pending"


async def test_what_hangs_below_a_fix_is_looked_for_in_its_log_only_where_its_record_stands_still() -> None:
    look = StillLook(flows=StillFlows(below_it=made("t_2", "t_3")))
    write, before = await fixed(look)
    look.shown_instances["t_1"] = Instance(id="t_1", status="SUCCESS", started_at=after(9), ended_at=after(10))
    look.shown_instances["t_2"] = Instance(id="t_2", status="SUCCESS", started_at=after(11), ended_at=after(12))
    look.shown_instances["t_3"] = Instance(id="t_3", status="SUCCESS", started_at=after(-60), ended_at=after(-50))
    look.asked.clear()
    assert await FIX.progress(look, write, before) == "pending"
    look.runs["t_3"] = [Taskrun("r_1", "SUCCESS", after(-60)), Taskrun("r_2", "FAILED", after(13), after(14))]
    assert await FIX.progress(look, write, before) == "failed"
    look.runs["t_3"][1:] = [Taskrun("r_2", "SUCCESS", after(13), after(14))]  # type: ignore[index]
    assert await FIX.progress(look, write, before) == "verified"
    assert {each for each in look.asked if each.startswith("runs")} == {"runs of t_3"}


@pytest.mark.parametrize(
    ("run", "found"),
    [
        (Record("RUNNING", after(-5)), "pending"),
        (Record("SUCCESS", after(-5)), "unmoved"),
        (Record("SUCCESS", None), "unmoved"),
        (Record("SUCCESS", NOON), "verified"),
        (Record("FAILED", after(1)), "failed"),
        (Record("UNKNOWN", after(1)), "pending"),
    ],
)
def test_a_run_that_began_before_is_not_the_one_that_is_followed(run: Record, found: str) -> None:
    assert run_since(run, NOON + timedelta(milliseconds=700)) == found


async def test_what_cannot_be_read_is_asked_again_later() -> None:
    look = StillLook(broken=True)
    write = await FIX.write(checked(FIX, {}), failure(), look)
    with pytest.raises(Transient):
        await FIX.baseline(look, write, None)
