"""The Dataphin of a trial shows what was said last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from phinops.event import Instance
from phinops.surface.trial.answers import answer
from phinops.surface.trial.made import Maker
from phinops.surface.trial.question import Question, Unknown
from phinops.surface.trial.tenant import Tenant, timed
from phinops.surface.trial.values import shown
from phinops.vendor import read_alert, read_instance, read_node

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)


@pytest.fixture
def tenant() -> Tenant:
    return Tenant(UTC)


def happen(tenant: Tenant, **fields: Any) -> Any:
    event = Maker("t", tenant, {}).make(fields, NOW, "place")
    tenant.happened(event)
    return event


def ask(tenant: Tenant, api: str, **params: Any) -> Any:
    return answer(api, Question(tenant, params, NOW, "%Y%m%d"))


def test_an_instance_is_read_back_as_the_event_has_it(tenant: Tenant) -> None:
    event = happen(
        tenant,
        type="instance.failed",
        instance={"id": 7, "due_time": "2026-01-05T06:00:00", "paused": True},
        node={"owners": [{"id": 5, "name": "li"}], "priority": "HIGH", "schedule_period": "DAILY", "sub_type": "SQL"},
        raw={"NodeInfo": {"DryRun": True}, "StatusList": ["RUNNING"], "Own": 1},
    )
    record = ask(tenant, "GetPhysicalInstance", InstanceId="7", ProjectId=1)["Instance"]
    found = read_instance(record, UTC)
    assert (found.id, found.status, found.paused) == ("7", "FAILED", True)
    assert (found.started_at, found.ended_at) == (event.instance.started_at, NOW)
    assert found.due_time == datetime(2026, 1, 5, 6, tzinfo=UTC)
    node = read_node(record["NodeInfo"])
    assert (node.owners, node.priority, node.sub_type) == (event.node.owners, "HIGH", "SQL")
    assert (record["Own"], record["NodeInfo"]["DryRun"]) == (1, True)


def test_lists_show_what_they_are_asked_for(tenant: Tenant) -> None:
    for number in range(3):
        happen(tenant, type="instance.failed", instance={"id": f"t_{number}"}, node={"id": f"n_{number}"})
    happen(tenant, type="instance.running", instance={"id": "t_9"}, node={"id": "n_9"}, project={"id": 2})
    tenant.become({"instance": {"id": "t_8", "status": "FAILED"}}, NOW)

    def listed(**query: Any) -> list[str]:
        rows = ask(tenant, "ListInstances", ListQuery=query)["PageResult"]
        return [row["Id"] for row in rows["Data"]]

    assert listed(ProjectId=1, MinBizDate="20260104", MaxBizDate="20260104") == ["t_0", "t_1", "t_2"]
    assert listed(ProjectId=1, MinBizDate="20260105") == []
    assert listed(RunStatusList=["RUNNING"]) == ["t_9"]
    assert listed(ProjectId=1, Page=2, PageSize=2) == ["t_2"]

    def nodes(**query: Any) -> list[str]:
        return [row["Id"] for row in ask(tenant, "ListNodes", ListQuery=query)["PageResult"]["NodeList"]]

    assert nodes(ProjectId=1) == ["n_0", "n_1", "n_2"]
    assert nodes(NodeSubBizTypeList=["SHELL"], SearchText="n_1") == ["n_1"]
    assert nodes(NodeSubBizTypeList=["SQL"]) == []


def test_what_is_not_known_is_refused_as_dataphin_refuses_it(tenant: Tenant) -> None:
    happen(tenant, type="instance.failed")
    for api, params in (
        ("GetPhysicalInstance", {"InstanceId": "t_1", "ProjectId": 2}),
        ("GetPhysicalInstance", {"InstanceId": "t_2"}),
        ("GetPhysicalNode", {"NodeId": "n_2"}),
        ("GetAlertEvent", {"Id": 4}),
        ("OperateInstance", {"OperateCommand": {}}),
    ):
        with pytest.raises(Unknown):
            ask(tenant, api, **params)
    assert ask(tenant, "CreateAdHocFile", Anything=1) == {}


def test_an_alert_is_read_back_as_the_event_has_it(tenant: Tenant) -> None:
    event = happen(tenant, type="alert.opened", alert={"id": 4, "reason": "A", "params": {"n": 3}, "unique_key": "t_1"})
    assert event.alert.first_time == event.alert.latest_time == NOW
    again = happen(tenant, type="alert.repeated", time="2026-01-05T09:00:00", alert={"id": 4, "times": 2})
    assert (again.alert.first_time, again.alert.latest_time) == (NOW, datetime(2026, 1, 5, 9, tzinfo=UTC))
    tenant.become({"alert": {"status": "FINISH"}}, NOW)
    found = read_alert(ask(tenant, "GetAlertEvent", Id="4")["AlertEventInfo"], UTC)
    assert (found.status, found.times, found.id) == ("FINISH", 2, "4")


def test_what_hangs_below_is_as_many_as_was_said(tenant: Tenant) -> None:
    tenant.become({"node": {"id": "n_1", "downstream": 2}, "instance": {"id": "t_1", "downstream": 1}}, NOW)
    query = {"NodeIdList": [{"Id": "n_1"}]}
    assert len(ask(tenant, "ListNodeDownStream", ListQuery=query)["NodeInfoList"]) == 2
    get = {"InstanceId": "t_1"}
    assert len(ask(tenant, "GetInstanceDownStream", InstanceGet=get)["InstanceRelationList"]) == 1


def test_impacts_are_counted_by_api(tenant: Tenant) -> None:
    happen(tenant, type="impact.opened", api={"id": 5}, impact={"errors": 3})
    tenant.become({"api": {"id": "6"}, "impact": {"errors": 2}}, NOW)
    tenant.become({"api": {"id": "7"}}, NOW)
    rows = ask(tenant, "GetDataServiceApiErrorImpact")["Data"]["ErrorApiList"]
    assert [(row["AppId"], row["ErrorCount"]) for row in rows] == [("5", 3), ("6", 2)]
    happen(tenant, type="impact.closed", api={"id": 5})
    tenant.become({"impact": {"errors": 0}}, NOW)
    assert [row["AppId"] for row in ask(tenant, "GetDataServiceApiErrorImpact")["Data"]["ErrorApiList"]] == ["6"]


def test_runs_follow_each_other(tenant: Tenant) -> None:
    later = NOW + timedelta(minutes=10)
    happen(tenant, type="instance.running")
    run = tenant.runs["t_1"]
    assert timed(run, "FAILED", later) == {"started_at": NOW, "ended_at": later, "duration_s": 600}
    tenant.become({"instance": {"status": "FAILED"}}, later)
    tenant.told_to_rerun("t_1", later)
    tenant.told_to_rerun("t_2", later)
    tenant.become({"instance": {"biz_date": "2026-01-01"}}, later)
    tenant.become({"instance": {"status": "SUCCESS"}}, later + timedelta(seconds=5))
    assert run.instance == Instance(
        "t_1",
        "SUCCESS",
        biz_date="2026-01-01",
        started_at=later,
        ended_at=later + timedelta(seconds=5),
        duration_s=5,
        attempts=0,
    )
    tenant.become({"instance": {"status": "WAITING"}}, later)
    assert (run.instance.started_at, run.instance.ended_at) == (None, None)


def test_a_test_may_say_everything_of_an_event(tenant: Tenant) -> None:
    event = happen(
        tenant,
        type="instance.succeeded",
        id="ev_own",
        source="elsewhere",
        caused_by="act_7",
        project={"id": 9},
        instance={"status": "SUCCESS", "started_at": "2026-01-05T06:00:00Z", "attempts": None, "duration_s": 4},
    )
    assert (event.id, event.source, event.caused_by, event.tenant) == ("ev_own", "elsewhere", "act_7", "t")
    assert (event.project.id, event.project.name) == ("9", "project 9")
    assert (event.instance.attempts, event.instance.duration_s) == (None, 4)
    assert tenant.runs["t_1"].failures == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [({"a": [1, None, True]}, "{a: [1, null, true]}"), ("x", "x"), (1.5, "1.5"), ((1, 2), "[1, 2]")],
)
def test_values_are_shown_as_they_are_written(value: Any, text: str) -> None:
    assert shown(value) == text
