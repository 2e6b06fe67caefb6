"""An event's object read again: still so, or gone on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from phinops.event import Alert, Api, Event, Impact, Instance, JsonObject, Lasting, Node, Project
from phinops.execute.fresh import Glass, object_of, refreshed
from simulated import HandClock
from stillness import NOON, StillLook, after

ZONE = ZoneInfo("Asia/Shanghai")


@dataclass(slots=True)
class Replies:
    """Answers every read with `body`."""

    body: JsonObject
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    async def read(self, api: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append((api, params))
        return self.body


def _glass(look: StillLook | None = None, replies: Replies | None = None) -> Glass:
    read = (replies or Replies({})).read
    return Glass(look or StillLook(), read, HandClock(NOON), ZONE, timedelta(minutes=10))


def _event(type: str, **parts: Any) -> Event:
    return Event(id="e", type=type, time=NOON, tenant="t", source="s", project=Project(id="7"), **parts)


BEFORE = Instance(id="t_1", status="FAILED", previous_status="RUNNING", started_at=after(-10), attempts=2)
FAILED = _event("instance.failed", instance=BEFORE)


async def test_an_instance_that_still_failed_comes_with_its_fresh_record_and_what_only_we_know() -> None:
    now = replace(BEFORE, previous_status="", attempts=None, paused=True, started_at=after(-10).replace(microsecond=7))
    look = StillLook({"t_1": now}, {"n_1": Node(id="n_1", name="dws")})
    found = await _glass(look).again(FAILED)
    assert found
    assert found.instance == replace(now, previous_status="RUNNING", attempts=2)
    assert found.node == Node(id="n_1", name="dws")


@pytest.mark.parametrize(
    "now",
    [
        replace(BEFORE, status="RUNNING"),
        replace(BEFORE, status="UNKNOWN"),
        replace(BEFORE, started_at=after(-1)),
        replace(BEFORE, id="t_other"),
    ],
)
async def test_an_instance_in_another_state_or_run_has_left(now: Instance) -> None:
    assert await _glass(StillLook({now.id: now})).again(FAILED) is None


async def test_an_instance_that_never_ran_still_waits() -> None:
    waiting = Instance(id="t_1", status="WAITING")
    event = _event("instance.waiting", instance=waiting)
    assert await _glass(StillLook({"t_1": waiting})).again(event) is not None


@pytest.mark.parametrize(
    ("type", "status", "still"),
    [
        ("alert.opened", "ALERTING", True),
        ("alert.repeated", "ALERTING", True),
        ("alert.silenced", "DO_NOT_DISTURB", True),
        ("alert.closed", "FINISH", True),
        ("alert.opened", "FINISH", False),
        ("alert.opened", "SOMETHING_NEW", False),
    ],
)
async def test_an_alert_is_asked_for_its_status(type: str, status: str, still: bool) -> None:
    replies = Replies({"AlertEventInfo": {"Id": 5, "Status": status}})
    found = await _glass(replies=replies).again(_event(type, alert=Alert(id="5", status="ALERTING")))
    assert replies.asked == [("GetAlertEvent", {"Id": "5"})]
    assert (found is not None) == still
    assert found is None or (found.alert is not None and found.alert.status == status)


@pytest.mark.parametrize(
    ("type", "rows", "errors"),
    [
        ("impact.opened", [{"AppId": 11, "ErrorCount": 3}, {"AppId": 12, "ErrorCount": 9}], 3),
        ("impact.changed", [{"AppId": 11, "ErrorCount": "4"}, {"AppId": 11}], 4),
        ("impact.opened", [{"AppId": 12, "ErrorCount": 9}], None),
        ("impact.closed", [], 7),
        ("impact.closed", [{"AppId": 11, "ErrorCount": 1}], None),
    ],
)
async def test_an_impact_goes_by_the_last_whole_window(type: str, rows: list[JsonObject], errors: int | None) -> None:
    replies = Replies({"Data": {"ErrorApiList": rows}})
    event = _event(type, api=Api(id="11"), impact=Impact(errors=7))
    found = await _glass(replies=replies).again(event)
    assert (found.impact.errors if found and found.impact else None) == errors
    ((api, params),) = replies.asked
    assert (api, params["ProjectId"], params["EndTime"]) == ("GetDataServiceApiErrorImpact", "7", "2026-01-05 20:00:00")
    assert params["StartTime"] == "2026-01-05 19:50:00"


async def test_what_has_no_object_in_dataphin_is_as_it_was() -> None:
    hook = _event("hook.deploy", body={"a": 1})
    assert await _glass().again(hook) is hook


@pytest.mark.parametrize("type", ["instance.failed", "alert.opened", "impact.opened"])
async def test_an_event_without_its_object_is_over(type: str) -> None:
    assert await _glass().again(_event(type)) is None


@pytest.mark.parametrize(
    ("kind", "lasting", "status", "still"),
    [
        ("instance.stuck", Lasting("RUNNING", 60, NOON), "RUNNING", True),
        ("instance.stuck", Lasting("RUNNING", 60, NOON), "SUCCESS", False),
        ("instance.stuck", None, "RUNNING", True),
        ("instance.stuck", None, "WAITING", False),
        ("instance.overdue", Lasting("WAITING", 60, NOON), "BLOCKED", True),
        ("instance.overdue", Lasting("WAITING", 60, NOON), "RUNNING", False),
    ],
)
async def test_what_lasted_too_long_may_last_still(
    kind: str, lasting: Lasting | None, status: str, still: bool
) -> None:
    event = _event(kind, instance=Instance(id="t_1", status="RUNNING"), lasting=lasting)
    found = await _glass(StillLook({"t_1": Instance(id="t_1", status=status)})).again(event)
    assert (found is not None) == still


async def test_after_a_wait_an_instance_comes_in_whatever_state_it_is() -> None:
    now = replace(BEFORE, status="SUCCESS", previous_status="", attempts=None, started_at=after(-1))
    found = await _glass(StillLook({"t_1": now})).now(FAILED)
    assert found
    assert found.instance == replace(now, previous_status="RUNNING", attempts=2)
    assert await _glass(StillLook()).now(FAILED) is None


async def test_after_a_wait_an_alert_and_an_impact_are_as_they_are() -> None:
    replies = Replies({"AlertEventInfo": {"Id": 5, "Status": "FINISH"}})
    found = await _glass(replies=replies).now(_event("alert.opened", alert=Alert(id="5", status="ALERTING")))
    assert found
    assert found.alert
    assert found.alert.status == "FINISH"
    quiet = Replies({"Data": {"ErrorApiList": []}})
    found = await _glass(replies=quiet).now(_event("impact.opened", api=Api(id="11"), impact=Impact(errors=7)))
    assert found
    assert found.impact == Impact(errors=0)
    event = _event("schedule.fired")
    assert await _glass().now(event) is event


def test_an_object_is_named_the_same_by_all_its_events_and_a_newer_one_shows_it() -> None:
    assert object_of(FAILED) == ("t", "instance", "t_1")
    assert object_of(_event("alert.opened", alert=Alert(id="5"))) == ("t", "alert", "5")
    assert object_of(_event("impact.opened", api=Api(id="11"))) == ("t", "api", "7", "11")
    assert object_of(_event("schedule.fired")) is None
    newer = _event("instance.succeeded", instance=replace(BEFORE, status="SUCCESS"), raw={"x": 1})
    assert refreshed(replace(FAILED, node=Node(id="n_1")), newer) == replace(
        FAILED, instance=newer.instance, node=Node(id="n_1"), raw={"x": 1}
    )


# What came about meanwhile


@pytest.mark.parametrize(
    ("status", "awaited", "reason"),
    [
        ("SUCCESS", "instance.succeeded", "the instance is SUCCESS"),
        ("RUNNING", "instance.succeeded", ""),
        ("FAILED", "instance.succeeded", ""),
        ("RUNNING", "instance.running", "the instance is RUNNING"),
        ("UNKNOWN", "alert.closed", ""),
    ],
)
async def test_an_instance_tells_what_came_about_meanwhile(status: str, awaited: str, reason: str) -> None:
    now = replace(BEFORE, status=status, attempts=None, previous_status="")
    look = StillLook({"t_1": now}, {"n_1": Node(id="n_1", name="dws")})
    found, said = await _glass(look).meanwhile(FAILED, awaited)
    assert said == reason
    assert found.instance == replace(now, previous_status="RUNNING", attempts=2)


async def test_of_an_instance_that_is_gone_nothing_is_known() -> None:
    assert await _glass().meanwhile(FAILED, "instance.succeeded") == (FAILED, "")


@pytest.mark.parametrize(
    ("status", "times", "awaited", "reason"),
    [
        ("FINISH", 1, "alert.closed", "the alert is FINISH"),
        ("ALERTING", 1, "alert.closed", ""),
        ("SILENCING", 1, "alert.silenced", "the alert is SILENCING"),
        ("ALERTING", 2, "alert.repeated", ""),
        ("ALERTING", 3, "alert.repeated", "the alert is ALERTING"),
    ],
)
async def test_an_alert_tells_what_came_about_meanwhile(status: str, times: int, awaited: str, reason: str) -> None:
    event = _event("alert.opened", alert=Alert(id="5", status="ALERTING", times=2))
    replies = Replies({"AlertEventInfo": {"Id": 5, "Status": status, "TotalAlertTimes": times}})
    found, said = await _glass(replies=replies).meanwhile(event, awaited)
    assert said == reason
    assert found.alert
    assert found.alert.status == status


@pytest.mark.parametrize(("key", "reason"), [("t_1", "the instance is SUCCESS"), ("t_2", ""), ("x", "")])
async def test_an_alert_knows_its_instance(key: str, reason: str) -> None:
    look = StillLook({"t_1": replace(BEFORE, status="SUCCESS")}, {"n_1": Node(id="n_1")})
    event = _event("alert.opened", alert=Alert(id="5", status="ALERTING", unique_key=key))
    assert await _glass(look).meanwhile(event, "instance.succeeded") == (event, reason)


@pytest.mark.parametrize(
    ("errors", "awaited", "reason"),
    [
        (0, "impact.closed", "the API has 0 errors in its last window"),
        (4, "impact.closed", ""),
        (4, "impact.changed", "the API has 4 errors in its last window"),
        (0, "impact.changed", ""),
    ],
)
async def test_an_api_tells_what_came_about_meanwhile(errors: int, awaited: str, reason: str) -> None:
    event = _event("impact.opened", api=Api(id="9"), impact=Impact(errors=1))
    rows = [{"AppId": "9", "ErrorCount": errors}] if errors else []
    replies = Replies({"Data": {"ErrorApiList": rows}})
    found, said = await _glass(replies=replies).meanwhile(event, awaited)
    assert (said, found.impact) == (reason, Impact(errors=errors))


async def test_what_has_no_object_is_as_it_was() -> None:
    event = _event("hook.deploy", body={})
    assert await _glass().meanwhile(event, "hook.done") == (event, "")
