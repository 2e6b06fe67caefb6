"""Which action of ours an event follows from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from phinops.cause import cause_of, target_of
from phinops.event import Alert, Event, Instance, JsonObject
from phinops.execute.steps.verdict import record_of, to_json
from phinops.firing import Intent

SENT = datetime(2026, 1, 5, 12, 0, 0, 500_000, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BEFORE = Instance(id="t_1", status="FAILED", started_at=SENT - 10 * MINUTE, ended_at=SENT - 5 * MINUTE)


def _action(name: str = "act_1", before: Instance | None = BEFORE, sent: datetime = SENT) -> Intent:
    probe: JsonObject = to_json(record_of(before)) if before else {}
    return Intent(
        action_id=name,
        firing_id="fi",
        n=0,
        step_id="s0",
        attempt=1,
        kind="rerun_instance",
        api="OperateInstance",
        tenant="t",
        target_kind="instance",
        target_id="t_1",
        project_id="7",
        request={},
        probe=probe,
        t_intent=sent,
    )


def _seen(instance: Instance, time: datetime = SENT + MINUTE) -> Event:
    return Event(id="ev_1", type="instance.failed", time=time, tenant="t", source="instances", instance=instance)


def test_a_new_run_follows_from_the_rerun_whatever_the_clocks_say() -> None:
    event = _seen(replace(BEFORE, started_at=SENT - MINUTE), SENT - MINUTE)
    assert cause_of(event, [_action()]) == "act_1"


@pytest.mark.parametrize("started", [BEFORE.started_at, SENT - 20 * MINUTE])
def test_what_was_so_before_the_action_is_not_its_doing(started: datetime) -> None:
    assert cause_of(_seen(replace(BEFORE, started_at=started)), [_action()]) == ""


def test_fractions_of_a_second_make_no_other_run() -> None:
    assert BEFORE.started_at
    assert cause_of(_seen(replace(BEFORE, started_at=BEFORE.started_at.replace(microsecond=0))), [_action()]) == ""


@pytest.mark.parametrize("now", [replace(BEFORE, status="SUCCESS"), replace(BEFORE, paused=True)])
def test_another_state_of_the_same_run_follows(now: Instance) -> None:
    assert cause_of(_seen(now), [_action()]) == "act_1"


def test_a_rerun_instance_that_waits_again_follows_and_one_that_never_ran_does_not() -> None:
    waiting = replace(BEFORE, status="WAITING", started_at=None, ended_at=None)
    assert cause_of(_seen(waiting), [_action()]) == "act_1"
    assert cause_of(_seen(waiting), [_action(before=waiting)]) == ""


@pytest.mark.parametrize(("after", "cause"), [(-MINUTE, ""), (timedelta(), "act_1"), (MINUTE, "act_1")])
def test_of_an_alert_the_times_are_compared(after: timedelta, cause: str) -> None:
    alert = Alert(id="a", unique_key="t_1")
    event = Event(id="e", type="alert.opened", time=(SENT + after).replace(microsecond=0), tenant="t", source="alerts")
    assert cause_of(replace(event, alert=alert), [_action()]) == cause


def test_without_a_baseline_the_times_are_compared() -> None:
    assert cause_of(_seen(BEFORE), [_action(before=None)]) == "act_1"
    assert cause_of(_seen(BEFORE, SENT - MINUTE), [_action(before=None)]) == ""
    assert cause_of(_seen(BEFORE, SENT - MINUTE), [replace(_action(before=None), t_intent=None)]) == "act_1"


def test_an_event_that_is_older_than_the_newest_action_follows_from_the_one_before() -> None:
    second = replace(BEFORE, started_at=SENT + MINUTE)
    actions = [_action("act_2", second, SENT + 3 * MINUTE), _action()]
    assert cause_of(_seen(second), actions) == "act_1"
    assert cause_of(_seen(second), []) == ""


def test_only_instances_and_alerts_have_a_target() -> None:
    event = Event(id="e", type="x", time=SENT, tenant="t", source="s")
    assert target_of(event) == ""
    assert target_of(replace(event, alert=Alert(unique_key="t_2"))) == "t_2"
    assert target_of(_seen(BEFORE)) == "t_1"
