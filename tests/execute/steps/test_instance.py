from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from phinops.errors import Refused, Transient
from phinops.event import Event, Instance, Project
from phinops.execute.steps.instance import InstanceParams
from phinops.execute.steps.kind import BATCH_LIMIT, BadStep, ItemAnswer, Step, Target, Write, checked
from phinops.execute.steps.table import STEPS
from stillness import NOON, Checked, StillLook, after, alert, event_of, failure

RERUN = STEPS["rerun_instance"]
OPERATIONS = {
    "rerun_instance": "RERUN",
    "terminate_instance": "TERMINATE",
    "set_instance_success": "SET_SUCCESS",
    "pause_instance": "PAUSE",
    "resume_instance": "RESUME",
}
ALL = [pytest.param(STEPS[name], operation, id=name) for name, operation in OPERATIONS.items()]
OWN = InstanceParams()


def rerun_of(instance_id: str) -> Write:
    return Write(
        "rerun_instance", "OperateInstance", Target("instance", instance_id, "7"), {}, "OperateInstance|RERUN|7"
    )


@pytest.mark.parametrize(("step", "operation"), ALL)
async def test_each_operation_acts_on_the_event_s_instance(step: Step, operation: str) -> None:
    write = await step.write(OWN, failure("t_9"), StillLook())
    assert write == Write(
        step=step.name,
        api="OperateInstance",
        target=Target("instance", "t_9", "7"),
        params={"OperateCommand": {"ProjectId": 7, "Operation": operation, "InstanceIdList": [{"Id": "t_9"}]}},
        batch=f"OperateInstance|{operation}|7",
    )
    assert step.writes(OWN)
    assert step.problems(OWN, Checked()) == []


async def test_an_alert_s_instance_is_its_unique_key() -> None:
    write = await RERUN.write(OWN, alert("t_5_20260104_6"), StillLook())
    assert write.target == Target("instance", "t_5_20260104_6", "7")


async def test_named_ids_go_before_the_event_s() -> None:
    params = checked(RERUN, {"instance_id": 12345678901234567890, "project_id": 9})
    write = await RERUN.write(params, failure(), StillLook())
    assert write.target == Target("instance", "12345678901234567890", "9")


async def test_an_event_without_a_project_needs_both_ids() -> None:
    hook = event_of(type="hook.deploy", source="hook", project=Project())
    params = checked(RERUN, {"instance_id": "t_1", "project_id": "9"})
    assert (await RERUN.write(params, hook, StillLook())).target == Target("instance", "t_1", "9")
    with pytest.raises(BadStep, match="name one with project_id"):
        await RERUN.write(checked(RERUN, {"instance_id": "t_1"}), hook, StillLook())
    with pytest.raises(BadStep, match="name one with instance_id"):
        await RERUN.write(OWN, hook, StillLook())


async def test_an_impact_s_project_is_not_taken_for_one_of_instances() -> None:
    impact = event_of(type="impact.opened", source="impacts")
    with pytest.raises(BadStep, match="has no project of nodes"):
        await RERUN.write(checked(RERUN, {"instance_id": "t_1"}), impact, StillLook())


async def test_an_alert_that_is_not_about_an_instance_is_refused_with_its_key() -> None:
    with pytest.raises(BadStep, match="'quality-77' is no instance"):
        await RERUN.write(OWN, alert("quality-77"), StillLook())


async def test_a_project_whose_number_is_not_known_is_refused_with_its_name() -> None:
    with pytest.raises(BadStep, match="project 'sales' is not known"):
        await RERUN.write(OWN, replace(alert(), project=Project("", "sales")), StillLook())


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"instance_id": ""}, "rerun_instance: instance_id: Value error, must not be empty"),
        ({"instance_id": 1.5}, "rerun_instance: instance_id: Input should be a valid string"),
        ({"instance_id": True}, "rerun_instance: instance_id: Input should be a valid string"),
        ({"project_id": "sales"}, "rerun_instance: project_id: Value error, must be a project's number, not 'sales'"),
        ({"instance": "t_1"}, "rerun_instance: instance: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_rendered_value_is_refused_with_the_reason(given: dict[str, object], reason: str) -> None:
    with pytest.raises(BadStep) as caught:
        checked(RERUN, given)
    assert str(caught.value) == reason


def test_templates_pass_where_ids_are_wanted() -> None:
    params = InstanceParams.model_validate({"instance_id": "{{ event.body.id }}", "project_id": "{{ vars.project }}"})
    assert params.project_id == "{{ vars.project }}"
    with pytest.raises(ValidationError):
        InstanceParams.model_validate({"project_id": "sales"})


def test_writes_of_one_batch_travel_in_one_call() -> None:
    merged = RERUN.merge([rerun_of("t_1"), rerun_of("t_2"), rerun_of("t_1")])
    assert merged == {
        "OperateCommand": {"ProjectId": 7, "Operation": "RERUN", "InstanceIdList": [{"Id": "t_1"}, {"Id": "t_2"}]}
    }


def test_writes_that_do_not_belong_together_are_not_merged() -> None:
    with pytest.raises(ValueError, match="one batch"):
        RERUN.merge([rerun_of("t_1"), replace(rerun_of("t_2"), batch="OperateInstance|RERUN|8")])
    with pytest.raises(ValueError, match="one batch"):
        RERUN.merge([replace(rerun_of("t_1"), batch="")])
    with pytest.raises(ValueError, match="51 targets"):
        RERUN.merge([rerun_of(f"t_{n}") for n in range(BATCH_LIMIT + 1)])


def test_items_are_judged_one_by_one() -> None:
    body = {
        "InstanceStatusList": [
            {"Id": "t_1", "Status": "SUCCESS", "ErrorMessage": ""},
            {"Id": "t_2", "Status": "SUCCESS", "ErrorMessage": "no permission"},
            {"Id": "t_3", "Status": "OPERATE_FAILED"},
            {"Id": "t_4", "Status": "SUBMITTED", "ErrorMessage": None},
            {"Status": "SUCCESS"},
            "junk",
        ]
    }
    assert RERUN.items(body, ["t_1", "t_2", "t_3", "t_4", "t_5"]) == {
        "t_1": ItemAnswer(True),
        "t_2": ItemAnswer(False, "no permission"),
        "t_3": ItemAnswer(False, "OPERATE_FAILED"),
        "t_4": ItemAnswer(True),
    }
    assert RERUN.items({}, ["t_1"]) == {}
    assert RERUN.items({"InstanceStatusList": None}, ["t_1"]) == {}
    assert RERUN.result(body) == {}


@pytest.mark.parametrize(
    ("name", "code", "met"),
    [
        ("rerun_instance", "DPN.TaskScheduler.Task.TaskRunning", True),
        ("rerun_instance", "DPN.TaskScheduler.Task.TaskToRerunNotFinished", True),
        ("rerun_instance", "DPN.TaskScheduler.Task.TaskNotFoundByTaskId", False),
        ("terminate_instance", "DPN.TaskScheduler.Task.TaskToKillHasFinished", True),
        ("terminate_instance", "DPN.TaskScheduler.Task.TaskRunning", False),
        ("resume_instance", "DPN.TaskScheduler.Task.TaskToResumeNotPaused", True),
        ("pause_instance", "DPN.TaskScheduler.Task.TaskToResumeNotPaused", False),
        ("set_instance_success", "DPN.TaskScheduler.Task.TaskRunning", False),
    ],
)
def test_some_refusals_mean_that_the_goal_is_met(name: str, code: str, met: bool) -> None:
    assert STEPS[name].met(Refused("OperateInstance", code, "")) is met
    # An item of a batch bears its code within its text.
    assert STEPS[name].met(Refused("OperateInstance", "", f"{code}: not possible")) is met


async def test_the_event_s_own_record_saves_a_look() -> None:
    look = StillLook()
    baseline = await RERUN.baseline(look, rerun_of("t_1"), failure("t_1"))
    assert look.asked == []
    assert baseline == {
        "status": "FAILED",
        "started_at": NOON.isoformat(),
        "ended_at": after(5).isoformat(),
        "paused": False,
    }


@pytest.mark.parametrize("event", [None, failure("t_other"), alert("t_1")])
async def test_any_other_target_is_read_before_the_write(event: Event | None) -> None:
    look = StillLook({"t_1": Instance(id="t_1", status="FAILED", started_at=NOON, ended_at=after(5))})
    baseline = await RERUN.baseline(look, rerun_of("t_1"), event)
    assert look.asked == ["t_1"]
    assert baseline["started_at"] == NOON.isoformat()


async def test_a_write_is_read_back_against_its_baseline() -> None:
    look = StillLook({"t_1": Instance(id="t_1", status="FAILED", started_at=NOON, ended_at=after(5))})
    write, baseline = rerun_of("t_1"), await RERUN.baseline(look, rerun_of("t_1"), None)
    assert await RERUN.probe(look, write, baseline) == "absent"
    assert await RERUN.progress(look, write, baseline) == "pending"
    look.shown_instances["t_1"] = Instance(id="t_1", status="SUCCESS", started_at=after(9), ended_at=after(10))
    assert await RERUN.probe(look, write, baseline) == "applied"
    assert await RERUN.progress(look, write, baseline) == "verified"


async def test_a_target_that_is_gone_is_unclear_and_pending() -> None:
    look = StillLook()
    assert await RERUN.baseline(look, rerun_of("t_1"), None) == {}
    assert await RERUN.probe(look, rerun_of("t_1"), {"status": "FAILED"}) == "unclear"
    assert await RERUN.progress(look, rerun_of("t_1"), {"status": "FAILED"}) == "pending"


async def test_without_a_baseline_nothing_is_called_absent() -> None:
    look = StillLook({"t_1": Instance(id="t_1", status="FAILED", started_at=NOON)})
    assert await RERUN.probe(look, rerun_of("t_1"), {}) == "unclear"


async def test_a_failed_look_is_passed_on() -> None:
    with pytest.raises(Transient):
        await RERUN.probe(StillLook(broken=True), rerun_of("t_1"), {"status": "FAILED"})


WAITS = Instance(id="t_1", status="WAITING", paused=False)
HELD = replace(WAITS, paused=True)


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (WAITS, HELD, ""),
        (WAITS, WAITS, "the instance is not paused any more"),
        (WAITS, None, "Dataphin does not know the instance any more"),
        (HELD, HELD, "the instance was paused before"),
        (WAITS, replace(HELD, status="FAILED"), "the instance is FAILED now and was WAITING"),
        (WAITS, replace(HELD, started_at=NOON), "another run of the instance has begun"),
    ],
)
async def test_a_pause_is_taken_back_only_while_the_instance_is_as_it_left_it(
    before: Instance, now: Instance | None, said: str
) -> None:
    step = STEPS["pause_instance"]
    write = replace(rerun_of("t_1"), step=step.name)
    baseline = await step.baseline(StillLook({"t_1": before}), write, None)
    found = await step.reverse.altered(StillLook({"t_1": now} if now else {}), write, baseline, 1)
    assert said in found if said else found == ""


async def test_a_resumption_is_taken_back_only_while_the_instance_has_not_begun() -> None:
    step = STEPS["resume_instance"]
    baseline = await step.baseline(StillLook({"t_1": HELD}), rerun_of("t_1"), None)
    for now, said in ((WAITS, ""), (HELD, "paused again"), (replace(WAITS, status="RUNNING"), "is RUNNING now")):
        found = await step.reverse.altered(StillLook({"t_1": now}), rerun_of("t_1"), baseline, 1)
        assert said in found if said else found == ""
    assert "not known" in await step.reverse.altered(StillLook({"t_1": WAITS}), rerun_of("t_1"), {}, 1)


def test_every_step_has_a_reverse_that_there_is_or_says_why_not() -> None:
    for step in STEPS.values():
        back = STEPS.get(step.reverse.step)
        assert bool(back) is not bool(step.reverse.why), step.name
        assert back is None or back.reverse.step == step.name
