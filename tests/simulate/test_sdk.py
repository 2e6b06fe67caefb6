"""The official SDK drives the simulator over HTTP: every API with a full tree, each effect seen by a later read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from alibabacloud_dataphin_public20230630 import models
from alibabacloud_dataphin_public20230630.client import Client
from alibabacloud_tea_openapi.exceptions._throttling import ThrottlingException
from alibabacloud_tea_openapi.utils_models._config import Config
from darabonba.exceptions import DaraException

from phinops.catalog.catalog import ENVELOPE, Field, load_catalog
from phinops.clock import SystemClock
from phinops.simulate import Simulator, serve
from simulated import FINANCE, RETAIL, SERVICE, UNHURRIED, HandClock

SCRIPTS = ["MAX_COMPUTE_SQL", "SHELL", "PYTHON"]


@dataclass(slots=True)
class Sdk:
    """The SDK's client against a simulator whose clock is turned by hand."""

    simulator: Simulator
    clock: HandClock
    client: Client

    async def ask(self, api: str, **parameters: Any) -> dict[str, Any]:
        """One call with wire names, through the SDK's own models there and back."""
        request = model(api)()
        request.from_map({"OpTenantId": self.simulator.op_tenant_id, **parameters})
        method: Callable[[Any], Any] = getattr(self.client, METHODS[f"{api.lower()}async"])
        reply = await method(request)
        body: dict[str, Any] = reply.body.to_map()
        assert (body["Code"], body["Success"], body["HttpStatusCode"]) == ("OK", True, 200)
        return body

    async def operate(self, operation: str, *instance_ids: str, project: int = RETAIL) -> list[dict[str, Any]]:
        ids = [{"Id": each} for each in instance_ids]
        command = {"ProjectId": project, "Operation": operation, "InstanceIdList": ids}
        items: list[dict[str, Any]] = (await self.ask("OperateInstance", OperateCommand=command))["InstanceStatusList"]
        return items

    async def instance(self, instance_id: str, project: int = RETAIL) -> dict[str, Any]:
        body = await self.ask("GetPhysicalInstance", ProjectId=project, InstanceId=instance_id)
        record: dict[str, Any] = body["Instance"]
        return record

    async def status(self, instance_id: str) -> str:
        return str((await self.instance(instance_id))["StatusList"][0])


def model(api: str) -> Any:
    """The SDK's class for an API's request."""
    return getattr(models, f"{api}Request")


METHODS = {name.replace("_", "").lower(): name for name in dir(Client) if name.endswith("_async")}


def client_of(simulator: Simulator, **settings: Any) -> Client:
    config = Config(
        access_key_id=simulator.access_key_id,
        access_key_secret=simulator.access_key_secret,
        endpoint=simulator.endpoint,
        protocol="HTTP",
        **settings,
    )
    return Client(config)


@asynccontextmanager
async def driven(scenario: str = "quiet", **settings: Any) -> AsyncIterator[Sdk]:
    """The SDK signs with the machine's date, so that the clock starts there."""
    clock = HandClock(SystemClock().now())
    async with serve(scenario, clock=clock, edition="intelligent", overrides=UNHURRIED) as simulator:
        yield Sdk(simulator, clock, client_of(simulator, **settings))
        assert simulator.crashes == []


@pytest.fixture
async def sdk() -> AsyncIterator[Sdk]:
    async with driven() as sdk:
        yield sdk


async def test_a_failed_instance_is_listed_rerun_and_succeeds(sdk: Sdk) -> None:
    failed = sdk.simulator.tenant.fail_instance("dws_orders_1d", takes=5)
    query = {"ProjectId": RETAIL, "ScheduleType": "NORMAL", "Page": 1, "PageSize": 100, "RunStatusList": ["FAILED"]}
    body = await sdk.ask("ListInstances", ListQuery=query)
    assert [each["Id"] for each in body["PageResult"]["Data"]] == [failed.id]
    (item,) = await sdk.operate("RERUN", failed.id)
    assert (item["Id"], item["Status"], item["ErrorMessage"]) == (failed.id, "SUCCESS", "")
    assert await sdk.status(failed.id) == "RUNNING"
    sdk.clock.turn(5)
    assert await sdk.status(failed.id) == "SUCCESS"
    assert sdk.simulator.tenant.reruns == {failed.id: 1}
    log = await sdk.ask("GetPhysicalInstanceLog", ProjectId=RETAIL, InstanceId=failed.id)
    assert [each["Status"] for each in log["TaskrunLogList"]] == ["FAILED", "SUCCESS"]


async def test_a_running_instance_is_terminated_and_then_set_to_success(sdk: Sdk) -> None:
    failed = sdk.simulator.tenant.fail_instance("dws_orders_1d")
    await sdk.operate("RERUN", failed.id)
    assert (await sdk.operate("TERMINATE", failed.id))[0]["Status"] == "SUCCESS"
    assert await sdk.status(failed.id) == "FAILED"
    assert (await sdk.operate("SET_SUCCESS", failed.id))[0]["Status"] == "SUCCESS"
    assert await sdk.status(failed.id) == "SUCCESS"


async def test_a_waiting_instance_is_paused_and_resumed(sdk: Sdk) -> None:
    tenant = sdk.simulator.tenant
    waiting = tenant.add_instance("dws_orders_1d", due=tenant.now + 10)
    tenant.lives.expect(waiting)
    await sdk.operate("PAUSE", waiting.id)
    assert (await sdk.instance(waiting.id))["NodeInfo"]["SchedulePaused"] is True
    sdk.clock.turn(60)
    assert await sdk.status(waiting.id) == "WAIT_SCHEDULE"
    await sdk.operate("RESUME", waiting.id)
    assert (await sdk.instance(waiting.id))["NodeInfo"]["SchedulePaused"] is False
    assert await sdk.status(waiting.id) == "RUNNING"


async def test_a_node_is_paused_and_resumed_and_its_log_says_by_whom(sdk: Sdk) -> None:
    node = sdk.simulator.tenant.node("dws_orders_1d")
    query = {
        "ProjectId": RETAIL,
        "NodeBizType": "SCRIPT",
        "NodeSubBizTypeList": SCRIPTS,
        "SchedulePaused": True,
    }
    command = {"ProjectId": RETAIL, "NodeIdList": [node.id]}
    assert (await sdk.ask("ListNodes", ListQuery=query))["PageResult"]["NodeList"] == []
    body = await sdk.ask("PausePhysicalNode", PauseCommand=command)
    assert body["NodeOperateResultList"] == [{"ErrorMessage": "", "NodeId": node.id, "Status": "SUCCESS"}]
    (row,) = (await sdk.ask("ListNodes", ListQuery=query))["PageResult"]["NodeList"]
    assert (row["Id"], row["SchedulePaused"]) == (node.id, True)
    await sdk.ask("ResumePhysicalNode", ResumeCommand=command)
    assert (await sdk.ask("ListNodes", ListQuery=query))["PageResult"]["TotalCount"] == 0
    log = (await sdk.ask("GetPhysicalNodeOperationLog", NodeId=node.id))["OperationLogList"]
    assert [each["OperationType"] for each in log] == ["RESUME_TASK", "PAUSE_TASK", "CREATE_NODE"]
    assert log[0]["OperatorName"] == "phinops"


async def test_a_listed_backfill_makes_one_dagrun_a_day(sdk: Sdk) -> None:
    tenant = sdk.simulator.tenant
    node, below = tenant.node("dwd_orders"), tenant.node("dws_orders_1d")
    command = {
        "ProjectId": RETAIL,
        "NodeIdList": [{"Id": node.id}],
        "DownStreamNodeIdList": [{"Id": below.id}],
        "StartBizDate": "2025-12-01",
        "EndBizDate": "2025-12-02",
        "Parallelism": 2,
    }
    flow = (await sdk.ask("CreateNodeSupplement", CreateCommand=command))["SubmitId"]
    assert flow.startswith("f_")
    sdk.clock.turn(120)
    dagruns = (await sdk.ask("GetSupplementDagrun", SupplementId=flow))["DagrunList"]
    assert [(each["BizDate"], each["Status"]) for each in dagruns] == [
        ("2025-12-01", "SUCCESS"),
        ("2025-12-02", "SUCCESS"),
    ]
    rows = (await sdk.ask("GetSupplementDagrunInstance", DagrunId=dagruns[0]["Id"]))["InstanceList"]
    assert [each["NodeInfo"]["Name"] for each in rows] == ["dwd_orders", "dws_orders_1d"]
    query = {"ProjectId": RETAIL, "ScheduleType": "SUPPLEMENT", "FlowId": flow, "Page": 1, "PageSize": 100}
    assert (await sdk.ask("ListInstances", ListQuery=query))["PageResult"]["TotalCount"] == 4


async def test_a_bulk_backfill_gives_a_job_first(sdk: Sdk) -> None:
    node = sdk.simulator.tenant.node("dws_orders_1d")
    command = {
        "ProjectId": RETAIL,
        "NodeIdList": [{"Id": node.id}],
        "StartBizDate": "2025-12-01",
        "EndBizDate": "2025-12-01",
        "ContainAllDownStream": True,
        "FilterList": [{"Key": "PROJECT", "ValueList": [str(RETAIL)]}],
    }
    job = (await sdk.ask("CreateNodeSupplement", CreateCommand=command))["SubmitId"]
    with pytest.raises(DaraException, match="FlowNotExist"):
        await sdk.ask("GetSupplementDagrun", SupplementId=job)
    status = (await sdk.ask("GetOperationSubmitStatus", JobId=job))["OperationSubmitJob"]
    assert (status["OperationStatus"], status["ExternalBizId"]) == ("RUNNING", "")
    sdk.clock.turn(120)
    status = (await sdk.ask("GetOperationSubmitStatus", JobId=job))["OperationSubmitJob"]
    (dagrun,) = (await sdk.ask("GetSupplementDagrun", SupplementId=status["ExternalBizId"]))["DagrunList"]
    rows = (await sdk.ask("GetSupplementDagrunInstance", DagrunId=dagrun["Id"]))["InstanceList"]
    assert [each["NodeInfo"]["Name"] for each in rows] == ["dws_orders_1d", "ads_orders_board"]


async def test_fix_data_runs_what_failed_again_without_new_instances(sdk: Sdk) -> None:
    tenant = sdk.simulator.tenant
    failed = tenant.fail_instance("dws_orders_1d", takes=5)
    command = {"ProjectId": RETAIL, "RootInstanceId": {"Id": failed.id}, "DownstreamRange": "ALL_INSTANCE"}
    before = len(tenant.instances)
    job = (await sdk.ask("FixData", FixDataCommand=command))["SubmitId"]
    assert await sdk.status(failed.id) == "RUNNING"
    sdk.clock.turn(5)
    assert await sdk.status(failed.id) == "SUCCESS"
    assert len(tenant.instances) == before
    status = (await sdk.ask("GetOperationSubmitStatus", JobId=job))["OperationSubmitJob"]
    assert (status["Operation"], status["OperationStatus"]) == ("FIX_DATA", "SUCCESS")


async def test_a_manual_node_runs_when_told_to(sdk: Sdk) -> None:
    node = sdk.simulator.tenant.node("clean_up")
    command = {
        "ProjectId": RETAIL,
        "NodeId": node.id,
        "StartBizDate": "2025-12-01",
        "EndBizDate": "2025-12-01",
    }
    flow = (await sdk.ask("ExecuteManualNode", ExecuteCommand=command))["FlowId"]
    query = {"ProjectId": RETAIL, "ScheduleType": "MANUAL", "FlowId": flow, "Page": 1, "PageSize": 10}
    (row,) = (await sdk.ask("ListInstances", ListQuery=query))["PageResult"]["Data"]
    assert row["StatusList"] == ["RUNNING"]
    sdk.clock.turn(10)
    (row,) = (await sdk.ask("ListInstances", ListQuery=query))["PageResult"]["Data"]
    assert row["StatusList"] == ["SUCCESS"]


async def test_a_node_is_triggered_for_a_business_date(sdk: Sdk) -> None:
    node = sdk.simulator.tenant.node("dws_users_1d")
    await sdk.ask("ExecuteTriggerNode", ProjectId=RETAIL, NodeId=node.id, BizDate="2025-06-01", Env="PROD")
    query = {
        "ProjectId": RETAIL,
        "ScheduleType": "NORMAL",
        "NodeId": node.id,
        "MaxBizDate": "2025-06-01",
        "Page": 1,
        "PageSize": 10,
    }
    (row,) = (await sdk.ask("ListInstances", ListQuery=query))["PageResult"]["Data"]
    assert row["StatusList"] == ["RUNNING"]


async def test_an_alert_rises_repeats_and_ends_with_its_cause(sdk: Sdk) -> None:
    failed = sdk.simulator.tenant.fail_instance("dws_orders_1d", fails=2, takes=5)
    (alert,) = await alerts(sdk)
    assert (alert["Status"], alert["TotalAlertTimes"]) == ("ALERTING", 1)
    assert alert["AlertReason"]["UniqueKey"] == failed.id
    for times in (2, 2):
        await sdk.operate("RERUN", failed.id)
        sdk.clock.turn(5)
        (alert,) = await alerts(sdk)
        assert alert["TotalAlertTimes"] == times
    assert alert["Status"] == "FINISH"
    one = (await sdk.ask("GetAlertEvent", Id=int(alert["Id"])))["AlertEventInfo"]
    assert {**one, "Id": alert["Id"]} == alert
    query = {
        "NotifyStartTime": "2020-01-01 00:00:00",
        "NotifyEndTime": "2120-01-01 00:00:00",
        "Page": 1,
        "PageSize": 10,
        "SourceSystem": "ALL",
    }
    sent = (await sdk.ask("ListAlertNotifications", ListQuery=query))["ListResult"]["Data"]
    assert [each["AlertSend"]["Status"] for each in sent] == ["SUCCESS", "SUCCESS"]


async def alerts(sdk: Sdk) -> list[dict[str, Any]]:
    query = {
        "AlertStartTime": "2020-01-01 00:00:00",
        "AlertEndTime": "2120-01-01 00:00:00",
        "Page": 1,
        "PageSize": 100,
        "SourceSystem": "VDM_BATCH",
    }
    rows: list[dict[str, Any]] = (await sdk.ask("ListAlertEvents", ListQuery=query))["ListResult"]["Data"]
    return rows


async def test_errors_of_a_data_service_api_show_in_every_view(sdk: Sdk) -> None:
    sdk.simulator.tenant.fail_api("get_orders", rate=0.5, seconds=600)
    calendar = sdk.simulator.tenant.calendar
    start = sdk.clock.now().timestamp()
    sdk.clock.turn(600)
    window = {"StartTime": calendar.text(start), "EndTime": calendar.text(start + 601)}
    project = {"ProjectId": SERVICE}
    summary = (await sdk.ask("GetDataServiceApiCallSummary", **project, **window))["Data"]
    assert summary["ErrorApiCount"] == 1
    assert summary["ErrorAppCount"] == 2
    assert summary["ErrorCount"] == pytest.approx(360, abs=4)
    impact = (await sdk.ask("GetDataServiceApiErrorImpact", **project, **window))["Data"]
    assert [(each["ApiName"], each["AppId"]) for each in impact["ErrorApiList"]] == [("get_orders", 2001)]
    assert sum(each["ErrorCount"] for each in impact["ErrorAppList"]) == summary["ErrorCount"]
    query = {"ApiId": 2001, **window}
    rows = (await sdk.ask("ListDataServiceApiImpacts", **project, ListQuery=query))["PageResult"]["ImpactList"]
    assert sum(each["ErrorCount"] for each in rows) == summary["ErrorCount"]
    query = {"Successful": False, "PageSize": 5, **window}
    page = (await sdk.ask("ListDataServiceApiCalls", **project, ListQuery=query))["PageResult"]
    assert page["TotalCount"] == summary["ErrorCount"]
    assert {each["ApiName"] for each in page["CallLogList"]} == {"get_orders"}
    trend = (await sdk.ask("GetDataServiceApiCallTrend", **project, **window))["Data"]
    assert sum(each["ErrorCount"] for each in trend["CallErrorTrendList"]) == summary["ErrorCount"]


def below(answer: object, tree: tuple[Field, ...], path: str) -> list[str]:
    """Where `answer` lacks a documented field or has one that is not documented."""
    if isinstance(answer, list):
        return [each for item in answer for each in below(item, tree, f"{path}[]")]
    if not tree or not isinstance(answer, Mapping):
        return []
    names = {field.name: field for field in tree}
    wrong = [f"{path}.{name}" for name in answer.keys() ^ names.keys()]
    return wrong + [
        each
        for name in answer.keys() & names.keys()
        for each in below(answer[name], names[name].children, f"{path}.{name}")
    ]


async def answered(sdk: Sdk) -> dict[str, dict[str, Any]]:
    """One answer of every API with a full tree, none of them empty."""
    tenant = sdk.simulator.tenant
    node, root = tenant.node("dws_orders_1d"), tenant.node("dwd_orders")
    failed = tenant.fail_instance("dws_orders_1d")
    old = next(each for each in root.instances if each.downstream)
    tenant.fail_api("get_orders")
    sdk.clock.turn(30)
    text = tenant.calendar.text
    window = {
        "StartTime": text(sdk.clock.now().timestamp() - 60),
        "EndTime": text(sdk.clock.now().timestamp() + 1),
    }
    paged, project, service = {"Page": 1, "PageSize": 5}, {"ProjectId": RETAIL}, {"ProjectId": SERVICE}
    alert_times = {"AlertStartTime": "2020-01-01 00:00:00", "AlertEndTime": "2120-01-01 00:00:00"}
    notice_times = {"NotifyStartTime": "2020-01-01 00:00:00", "NotifyEndTime": "2120-01-01 00:00:00"}
    days = {"StartBizDate": "2025-12-01", "EndBizDate": "2025-12-01"}
    nodes = {"NodeBizType": "SCRIPT", "NodeSubBizTypeList": SCRIPTS}
    answers: dict[str, dict[str, Any]] = {}

    async def ask(api: str, **parameters: Any) -> dict[str, Any]:
        answers[api] = await sdk.ask(api, **parameters)
        return answers[api]

    await ask("GetMyTenants")
    await ask("GetMyRoles")
    await ask("ListProjects", ListQuery={"Mode": "DEV_PROD", "PageNo": 1})
    await ask("GetProject", Id=FINANCE)
    await ask("GetProjectByName", Name="retail_dw")
    await ask("ListNodes", ListQuery={**paged, **project, **nodes})
    await ask("GetPhysicalNode", NodeId=node.id)
    await ask("GetPhysicalNodeByOutputName", OutputName=node.output)
    await ask("GetPhysicalNodeContent", NodeId=node.id)
    await ask("PausePhysicalNode", PauseCommand={**project, "NodeIdList": [node.id]})
    await ask("ResumePhysicalNode", ResumeCommand={**project, "NodeIdList": [node.id]})
    await ask("GetPhysicalNodeOperationLog", NodeId=node.id)
    await ask("GetNodeUpDownStream", NodeId={"Id": node.id}, **project)
    await ask("ListNodeDownStream", ListQuery={"NodeIdList": [{"Id": root.id}]})
    await ask("ListInstances", ListQuery={**paged, **project, "ScheduleType": "NORMAL"})
    await ask("GetPhysicalInstance", InstanceId=failed.id, **project)
    await ask("GetPhysicalInstanceLog", InstanceId=failed.id, **project)
    get = {"InstanceId": old.id, "NodeType": "DATA_PROCESS"}
    await ask("GetInstanceDownStream", DownStreamDepth=6, InstanceGet=get)
    await ask("GetInstanceUpDownStream", InstanceId={"Id": old.id}, **project)
    command = {**project, "Operation": "RERUN", "InstanceIdList": [{"Id": failed.id}]}
    await ask("OperateInstance", OperateCommand=command)
    await ask("ListAlertEvents", ListQuery={**paged, **alert_times, "SourceSystem": "ALL"})
    alert = answers["ListAlertEvents"]["ListResult"]["Data"][0]["Id"]
    await ask("GetAlertEvent", Id=int(alert))
    await ask("ListAlertNotifications", ListQuery={**paged, **notice_times, "SourceSystem": "ALL"})
    await ask("FixData", FixDataCommand={**project, "RootInstanceId": {"Id": old.id}})
    submit = {**project, **days, "NodeIdList": [{"Id": root.id}]}
    flow = (await ask("CreateNodeSupplement", CreateCommand=submit))["SubmitId"]
    await ask("GetOperationSubmitStatus", JobId=answers["FixData"]["SubmitId"])
    sdk.clock.turn(60)
    dagrun = (await ask("GetSupplementDagrun", SupplementId=flow))["DagrunList"][0]
    await ask("GetSupplementDagrunInstance", DagrunId=dagrun["Id"])
    manual = {**project, **days, "NodeId": tenant.node("clean_up").id}
    await ask("ExecuteManualNode", ExecuteCommand=manual)
    await ask("ExecuteTriggerNode", NodeId=node.id, BizDate="2025-06-01", **project)
    await ask("GetDataServiceMyProjects")
    await ask("GetDataServiceApiCallSummary", **service, **window)
    await ask("GetDataServiceApiCallTrend", **service, **window)
    await ask("GetDataServiceApiErrorImpact", **service, **window)
    await ask("ListDataServiceApiImpacts", **service, ListQuery={"ApiId": 2001, **window})
    await ask("ListDataServiceApiCallStatistics", **service, ListQuery=window)
    await ask("ListDataServiceApiCalls", **service, ListQuery=window)
    await ask("ListDataServicePublishedApis", **service, ListQuery={"PageNo": 1})
    return answers


async def test_every_detailed_api_answers_with_exactly_the_documented_fields(sdk: Sdk) -> None:
    answers = await answered(sdk)
    detailed = {spec.name: spec for spec in load_catalog() if spec.detailed}
    assert answers.keys() == detailed.keys()
    for name, answer in answers.items():
        fields = tuple(each for each in detailed[name].response if each.name not in ENVELOPE)
        payload = {key: value for key, value in answer.items() if key not in ENVELOPE}
        # The SDK leaves out what is null, and trees end where nothing is known.
        wrong = [each for each in below(payload, fields, name) if not each.endswith(tuple(NULLABLE))]
        assert wrong == [], name


NULLABLE = (
    ".DeleteTime",
    ".EndExecuteTime",
    ".StartExecuteTime",
    ".Duration",
    ".StreamComputeSourceId",
    ".StreamComputeSourceName",
    ".RealtimeDataSourceId",
    ".RealtimeDataSourceName",
)


async def test_the_sdk_reads_the_envelope_of_every_other_api(sdk: Sdk) -> None:
    values: Mapping[str, object] = {"string": "x", "integer": 1, "number": 1, "boolean": True, "object": {}}
    others = [spec for spec in load_catalog() if not spec.detailed]
    for spec in others:
        required = {each.name: values.get(each.type, []) for each in spec.parameters if each.required}
        body = await sdk.ask(spec.name, **{**required, "OpTenantId": sdk.simulator.op_tenant_id})
        assert body["RequestId"], spec.name
    assert len(others) == 338


async def test_the_old_signature_opens_the_same_door() -> None:
    async with driven(signature_algorithm="v2") as sdk:
        failed = sdk.simulator.tenant.fail_instance("dws_orders_1d")
        (item,) = await sdk.operate("RERUN", failed.id)
        assert item["Status"] == "SUCCESS"
        assert await sdk.status(failed.id) == "RUNNING"


async def test_a_wrong_secret_is_refused(sdk: Sdk) -> None:
    sdk.client = client_of(sdk.simulator)
    key = sdk.simulator.gate.keys[sdk.simulator.access_key_id]
    key.secret = "another"
    with pytest.raises(DaraException, match="SignatureDoesNotMatch"):
        await sdk.ask("GetMyTenants")
    assert sdk.simulator.refusals == {"signature": 1}


async def test_the_sdk_sees_throttling_with_its_wait(sdk: Sdk) -> None:
    simulator = sdk.simulator
    simulator.gate.quota.plan = type(simulator.gate.quota.plan)({"1+2+3": 1}, {})
    await sdk.ask("GetMyTenants")
    with pytest.raises(ThrottlingException) as caught:
        await sdk.ask("GetMyTenants")
    assert caught.value.retry_after == 1000
    assert simulator.refused == 1


async def test_the_sync_client_works_from_a_thread(sdk: Sdk) -> None:
    request = model("GetMyTenants")(op_tenant_id=sdk.simulator.op_tenant_id)
    reply = await asyncio.to_thread(sdk.client.get_my_tenants, request)
    assert [each.id for each in reply.body.tenant_list] == [sdk.simulator.op_tenant_id]


async def test_the_simulator_s_date_is_its_clock_s(sdk: Sdk) -> None:
    sdk.clock.turn(timedelta(hours=1).total_seconds())
    with pytest.raises(DaraException, match="Expired"):
        await sdk.ask("GetMyTenants")
