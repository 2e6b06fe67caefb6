"""How the tenant lives: instances, commands, lineage, alerts, backfills, calls of its data service."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phinops.simulate.alerts import Cause
from phinops.simulate.lives import Agenda
from phinops.simulate.model import ALWAYS, AlertRule, Instance
from phinops.simulate.traffic import App, Stream, Trouble
from simulated import FINANCE, RETAIL, SERVICE, UNHURRIED, Desk, desk

DAY = 86_400.0


def operate(front: Desk, operation: str, instance: Instance) -> str:
    """The error of operating one instance, or ""."""
    command = {
        "ProjectId": instance.project.id,
        "Operation": operation,
        "InstanceIdList": [{"Id": instance.id}],
    }
    (item,) = front.ask("OperateInstance", OperateCommand=command).body["InstanceStatusList"]
    assert (item["Status"] == "SUCCESS") is (item["ErrorMessage"] == "")
    return str(item["ErrorMessage"]).partition(":")[0]


def instances(front: Desk, **query: Any) -> list[str]:
    """The names of the nodes of the instances that ListInstances finds, newest first."""
    whole = {"ProjectId": RETAIL, "ScheduleType": "NORMAL", "Page": 1, "PageSize": 1000, **query}
    answer = front.ask("ListInstances", ListQuery=whole)
    assert answer.code == "OK", answer.body
    return [each["NodeInfo"]["Name"] for each in answer.body["PageResult"]["Data"]]


def nodes(front: Desk, **query: Any) -> list[str]:
    whole = {"ProjectId": RETAIL, "NodeBizType": "SCRIPT", "PageSize": 100, **query}
    whole.setdefault("NodeSubBizTypeList", ["MAX_COMPUTE_SQL", "SHELL", "PYTHON"])
    answer = front.ask("ListNodes", ListQuery=whole)
    assert answer.code == "OK", answer.body
    return [each["Name"] for each in answer.body["PageResult"]["NodeList"]]


def test_things_happen_in_the_order_of_their_time_and_never_backwards() -> None:
    agenda = Agenda()
    seen: list[tuple[float, float]] = []

    def see(at: float) -> None:
        seen.append((at, agenda.now))

    for at in (3.0, 1.0, 2.0, 1.0):
        agenda.at(at, partial(see, at))
    agenda.advance(2.0)
    assert seen == [(1.0, 1.0), (1.0, 1.0), (2.0, 2.0)]
    agenda.advance(0.0)
    assert agenda.now == 2.0


def test_the_days_behind_went_well_and_the_next_day_is_generated_at_midnight() -> None:
    front = desk(overrides={"history": 2})
    tenant = front.simulator.tenant
    node = tenant.node("dws_orders_1d")
    assert [each.state for each in node.instances] == ["SUCCESS"] * 3
    front.clock.turn(DAY)
    assert [tenant.status(each.id) for each in node.instances] == ["SUCCESS"] * 4
    assert [each.isoformat() for each in {one.biz_date: None for one in node.instances}] == [
        "2026-01-02",
        "2026-01-03",
        "2026-01-04",
        "2026-01-05",
    ]
    front.clock.turn(7 * DAY)
    assert len(tenant.node("dws_orders_1d").instances) == 11


def test_downstream_waits_for_upstream_and_goes_on_when_it_succeeds() -> None:
    front = desk()
    tenant = front.simulator.tenant
    root = tenant.node("dwd_orders")
    front.clock.turn(14.5 * 3600 + 1)  # a second after midnight in Shanghai: the day is there, and nothing runs
    tenant.settle()
    today = root.instances[-1]
    today.fails = 1
    front.clock.turn(8 * 3600)
    below = today.downstream[0]
    assert (tenant.status(today.id), tenant.status(below.id)) == ("FAILED", "WAIT_SUBMISSION")
    assert operate(front, "RERUN", below) == "DPN.TaskScheduler.Task.TaskToRerunNotFinished"
    assert operate(front, "SET_SUCCESS", today) == ""
    assert tenant.status(below.id) == "RUNNING"


@pytest.mark.parametrize(
    ("state", "allowed"),
    [
        ("FAILED", {"RERUN", "SET_SUCCESS", "PAUSE"}),
        ("SUCCESS", {"RERUN", "PAUSE"}),
        ("RUNNING", {"TERMINATE", "PAUSE"}),
        ("WAITING", {"TERMINATE", "PAUSE"}),
        ("PAUSED", {"TERMINATE", "RESUME"}),
    ],
)
def test_each_command_has_the_states_it_is_allowed_from(state: str, allowed: set[str]) -> None:
    found = set()
    for operation in ("RERUN", "TERMINATE", "SET_SUCCESS", "PAUSE", "RESUME"):
        front = desk()
        tenant = front.simulator.tenant
        instance = tenant.fail_instance("dws_orders_1d")
        if state in ("SUCCESS", "RUNNING"):
            operate(front, "RERUN", instance)
            front.clock.turn(0 if state == "RUNNING" else 10)
        elif state != "FAILED":
            instance = tenant.add_instance("dws_orders_1d")
            instance.paused = state == "PAUSED"
        before = len(tenant.effects)
        if not operate(front, operation, instance):
            found.add(operation)
        assert len(tenant.effects) == before + (operation in found)
    assert found == allowed


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("TERMINATE", "DPN.TaskScheduler.Task.TaskToKillHasFinished"),
        ("RESUME", "DPN.TaskScheduler.Task.TaskToResumeNotPaused"),
    ],
)
def test_a_goal_that_is_met_already_has_its_own_code(operation: str, code: str) -> None:
    front = desk()
    assert operate(front, operation, front.simulator.tenant.fail_instance("dws_orders_1d")) == code


def test_a_terminated_wait_is_a_failure_that_downstream_does_not_pass() -> None:
    front = desk()
    tenant = front.simulator.tenant
    waiting = tenant.add_instance("dws_orders_1d")
    operate(front, "TERMINATE", waiting)
    record = front.ask("GetPhysicalInstance", ProjectId=RETAIL, InstanceId=waiting.id).body["Instance"]
    assert (record["StatusList"], record["StartExecuteTime"]) == (["FAILED"], None)
    assert record["EndExecuteTime"] == 1_767_576_600_000


def test_a_terminated_run_is_not_ended_a_second_time() -> None:
    front = desk()
    tenant = front.simulator.tenant
    failed = tenant.fail_instance("dws_orders_1d", takes=10)
    operate(front, "RERUN", failed)
    front.clock.turn(5)
    operate(front, "TERMINATE", failed)
    front.clock.turn(60)
    assert (tenant.status(failed.id), failed.runs[-1].end) == ("FAILED", tenant.now - 60)


def test_commands_that_come_too_late_change_nothing() -> None:
    front = desk(overrides={"quirks": {"state_delay": "5s"}})
    tenant = front.simulator.tenant
    failed = tenant.fail_instance("dws_orders_1d", fails=ALWAYS, takes=3)
    operate(front, "SET_SUCCESS", failed)
    tenant.quirks.state_delay = 0
    operate(front, "RERUN", failed)
    front.clock.turn(2)
    tenant.quirks.state_delay = 5
    operate(front, "TERMINATE", failed)
    front.clock.turn(20)
    assert (tenant.status(failed.id), len(failed.runs)) == ("SUCCESS", 2)


def test_a_repeated_pause_is_refused_or_passes() -> None:
    front = desk()
    tenant = front.simulator.tenant
    instance, node = tenant.fail_instance("dws_orders_1d"), tenant.node("dws_orders_1d")
    command = {"ProjectId": RETAIL, "NodeIdList": [node.id]}

    def both() -> list[str]:
        items = front.ask("PausePhysicalNode", PauseCommand=command).body["NodeOperateResultList"]
        return [operate(front, "PAUSE", instance), items[0]["Status"]]

    assert both() == ["", "SUCCESS"]
    assert both() == ["DPN.Commons.InvalidParam", "FAILED"]
    tenant.quirks.repeat_pause = "success"
    assert both() == ["", "SUCCESS"]
    assert len(node.operations) == 1


def test_logical_tables_cannot_be_paused_and_show_a_state_for_each_field() -> None:
    front = desk()
    tenant = front.simulator.tenant
    failed = tenant.fail_instance("dim_goods")
    command = {"ProjectId": RETAIL, "NodeIdList": [failed.node.id]}
    (item,) = front.ask("PausePhysicalNode", PauseCommand=command).body["NodeOperateResultList"]
    assert item["Status"] == "FAILED"
    record = front.ask("GetPhysicalInstance", ProjectId=RETAIL, InstanceId=failed.id).body["Instance"]
    assert record["StatusList"] == ["FAILED", "SUCCESS", "SUCCESS"]


def test_a_paused_node_gets_its_instances_and_runs_them_when_resumed() -> None:
    front = desk()
    tenant = front.simulator.tenant
    node = tenant.node("dws_orders_1d")
    command = {"ProjectId": RETAIL, "NodeIdList": [node.id]}
    front.ask("PausePhysicalNode", PauseCommand=command)
    front.clock.turn(DAY)
    front.ask("GetMyTenants")
    assert tenant.status(node.instances[-1].id) == "WAIT_SCHEDULE"
    front.ask("ResumePhysicalNode", ResumeCommand=command)
    assert tenant.status(node.instances[-1].id) == "RUNNING"


def test_instances_are_found_by_every_filter() -> None:
    front = desk(overrides=UNHURRIED)
    tenant = front.simulator.tenant
    tenant.fail_instance("dws_orders_1d")
    tenant.add_instance("dim_goods").paused = True
    node = tenant.node("dws_orders_1d")
    assert len(instances(front)) == 14
    assert instances(front, RunStatusList=["FAILED"]) == ["dws_orders_1d"]
    assert instances(front, NodeId=node.id) == ["dws_orders_1d"] * 3
    assert instances(front, SearchText="dim_") == ["dim_goods"] * 3
    assert instances(front, SearchText=node.id) == ["dws_orders_1d"] * 3
    assert instances(front, SchedulePaused=True) == ["dim_goods"]
    assert instances(front, BizType="LOGICAL_TABLE", PriorityList=["MIDDLE"]) == ["dim_goods"] * 3
    assert set(instances(front, OwnerList=[tenant.user("li_na").id])) == {"ods_orders", "dwd_orders"}
    assert set(instances(front, SubBizTypeList=["SHELL"], SchedulePeriodList=["DAILY"])) == {"ods_orders"}
    assert len(instances(front, MinBizDate="2026-01-04", MaxBizDate="20260104")) == 8
    assert len(instances(front, MinRunDate="2026-01-05", MaxRunDate="2026-01-05")) == 7
    assert instances(front, MinRunDate="2026-01-06") == []
    assert instances(front, TagList=["x"]) == instances(front, BizUnitId=1) == instances(front, FlowId="f_1") == []
    assert len(instances(front, BizUnitId=RETAIL + 500_000)) == 14
    assert instances(front, ScheduleType="MANUAL") == []
    query = {"ProjectId": RETAIL, "ScheduleType": "NORMAL", "Page": 1, "PageSize": 10}
    assert front.ask("ListInstances", Env="DEV", ListQuery=query).body["PageResult"]["TotalCount"] == 0


@pytest.mark.parametrize("wanted", [["FAILED"], ["RUNNING"], ["RUNNING", "FAILED"], ["FAILED", "SUCCESS"], ["INIT"]])
def test_a_list_by_status_is_what_reading_every_instance_finds(wanted: list[str]) -> None:
    front = desk(overrides={"quirks": {"fix_data_hidden": True}})
    tenant = front.simulator.tenant
    names = ["dws_orders_1d", "dws_users_1d", "ods_orders"]
    for number in range(12):
        failed = tenant.fail_instance(names[number % 3], fails=number % 3, takes=30)
        if number % 2:
            operate(front, "RERUN", failed)
        if number == 7:
            command = {"ProjectId": RETAIL, "RootInstanceId": {"Id": failed.id}}
            front.ask("FixData", FixDataCommand={**command, "ForceRerun": True})
        front.clock.turn(11)
        tenant.settle()
        everything = reversed([each for each in tenant.instances.values() if each.project.id == RETAIL])
        expected = [each.node.name for each in everything if each.status(tenant.now) in wanted]
        assert instances(front, RunStatusList=wanted) == expected


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"ScheduleType": "SOMETIMES"}, "DPN.Commons.InvalidParam"),
        ({"MinBizDate": "yesterday"}, "DPN.Commons.InvalidParam"),
        ({"PageSize": 0}, "DPN.Commons.InvalidParam"),
        ({"ProjectId": 5}, "DPN.Filter.ProjectNotFound"),
    ],
)
def test_a_list_that_cannot_be_is_refused(query: dict[str, Any], code: str) -> None:
    whole = {"ProjectId": RETAIL, "ScheduleType": "NORMAL", "Page": 1, "PageSize": 10, **query}
    assert desk().ask("ListInstances", ListQuery=whole).code == code


def test_nodes_are_found_by_every_filter() -> None:
    front = desk(overrides=UNHURRIED)
    tenant = front.simulator.tenant
    assert nodes(front, NodeBizType="LOGICAL_TABLE", NodeSubBizTypeList=["ONE_SERVICE_SQL"]) == ["dim_goods"]
    assert nodes(front, SearchText="_1d") == ["dws_orders_1d", "dws_users_1d"]
    assert nodes(front, SearchText=tenant.node("dwd_orders").id) == ["dwd_orders"]
    assert nodes(front, PriorityList=["HIGH"], SchedulePeriodList=["DAILY"]) == ["dws_orders_1d"]
    assert nodes(front, OwnerList=[tenant.user("wang_fang").id]) == ["ads_orders_board"]
    assert nodes(front, ScheduleType="MANUAL") == ["clean_up"]
    assert nodes(front, DryRun=True) == []
    query = {"ProjectId": FINANCE, "NodeBizType": "SCRIPT", "NodeSubBizTypeList": ["SHELL"]}
    assert front.ask("ListNodes", ListQuery=query).body["PageResult"]["TotalCount"] == 1
    assert front.ask("ListNodes", Env="DEV", ListQuery=query).body["PageResult"]["TotalCount"] == 0
    query["NodeSubBizTypeList"] = []
    assert front.ask("ListNodes", ListQuery=query).code == "DPN.Commons.InvalidParam"


def test_what_does_not_exist_says_so_in_the_service_s_words() -> None:
    front = desk(overrides=UNHURRIED)
    tenant = front.simulator.tenant
    basic = tenant.node("ods_ledger").id
    assert front.ask("GetPhysicalNode", NodeId="orders").code == "DPN.TaskScheduler.Node.IllegalNodeIdFormat"
    assert front.ask("GetPhysicalNode", NodeId="n_1").code == "DPN.OP.NodeNotFound"
    assert front.ask("GetPhysicalNode", NodeId=basic, Env="DEV").code == "DPN.OP.NodeNotFound"
    assert front.ask("GetPhysicalNode", NodeId=tenant.node("dwd_orders").id, Env="DEV").code == "OK"
    assert front.ask("GetPhysicalNodeByOutputName", OutputName="nothing").code == "DPN.OP.NodeNotFound"
    assert front.ask("GetProjectByName", Name="nothing").code == "DPN.Filter.ProjectNotFound"
    assert front.ask("GetAlertEvent", Id=1).code == "DPN.Commons.InvalidParam"
    assert front.ask("GetOperationSubmitStatus", JobId="1").code == "DPN.OP.FlowNotExist"
    assert front.ask("GetSupplementDagrunInstance", DagrunId="dr_1").code == "DPN.OP.FlowNotExist"
    for name in ("nothing", "ops"):
        with pytest.raises(KeyError):
            tenant.node(name)
        with pytest.raises(KeyError):
            tenant.project(name)
    assert tenant.node(basic).name == "ods_ledger"
    assert tenant.project("retail_dw").id == RETAIL


def test_commands_on_nothing_are_refused() -> None:
    front = desk(overrides=UNHURRIED)
    empty = {"ProjectId": RETAIL, "Operation": "RERUN", "InstanceIdList": []}
    assert front.ask("OperateInstance", OperateCommand=empty).code == "DPN.Commons.InvalidParam"
    assert front.ask("PausePhysicalNode", PauseCommand={"ProjectId": RETAIL, "NodeIdList": []}).status == 400
    assert front.ask("ListNodeDownStream", ListQuery={"NodeIdList": [{}]}).code == "DPN.Commons.InvalidParam"


def test_lineage_is_followed_as_deep_as_asked() -> None:
    front = desk(overrides=UNHURRIED)
    tenant = front.simulator.tenant
    root = tenant.node("dwd_orders")

    def down(**query: Any) -> list[tuple[str, int]]:
        body = front.ask("ListNodeDownStream", ListQuery={"NodeIdList": [{"Id": root.id}], **query}).body
        return [(each["Name"], each["Depth"]) for each in body["NodeInfoList"]]

    near = [("dws_orders_1d", 1), ("dws_users_1d", 1)]
    far = [("ads_orders_board", 2), ("dws_ledger_1d", 2)]
    assert down(DownStreamDepth=1) == near
    assert down() == near + far
    only = {"Key": "PROJECT", "ValueList": [str(FINANCE)]}
    assert down(FilterList=[only]) == [("dws_ledger_1d", 2)]
    assert down(FilterList=[{**only, "Exclude": True}]) == [*near, ("ads_orders_board", 2)]
    one = {"Key": "PHYSICAL_NODE_ID", "ValueList": [tenant.node("dws_users_1d").id]}
    assert down(FilterList=[one]) == [("dws_users_1d", 1)]
    deep = {"NodeIdList": [{"Id": root.id}], "DownStreamDepth": 7}
    assert front.ask("ListNodeDownStream", ListQuery=deep).code == "DPN.Commons.InvalidParam"
    dag = front.ask("GetNodeUpDownStream", NodeId={"Id": root.id}).body["NodeDagInfo"]
    assert [each["Name"] for each in dag["UpStreamNodeList"]] == ["ods_orders"]


def test_the_lineage_of_instances_shows_their_states() -> None:
    front = desk(overrides=UNHURRIED)
    root = front.simulator.tenant.node("dwd_orders").instances[-1]

    def down(**parameters: Any) -> Any:
        get = {"InstanceId": root.id, "NodeType": parameters.pop("node_type", "DATA_PROCESS")}
        return front.ask("GetInstanceDownStream", DownStreamDepth=6, InstanceGet=get, **parameters)

    rows = down().body["InstanceRelationList"]
    assert [(each["InstanceInfo"]["Name"], each["DownStreamDepth"], each["RunStatus"]) for each in rows] == [
        ("dws_orders_1d", 1, "SUCCESS"),
        ("dws_users_1d", 1, "SUCCESS"),
        ("ads_orders_board", 2, "SUCCESS"),
        ("dws_ledger_1d", 2, "SUCCESS"),
    ]
    assert down(RunStatus="FAILED").body["InstanceRelationList"] == []
    assert down(node_type="STREAM_TASK_NODE").code == "DPN.Commons.InvalidParam"
    dag = front.ask("GetInstanceUpDownStream", ProjectId=RETAIL, InstanceId={"Id": root.id}).body["InstanceDagInfo"]
    assert [each["Name"] for each in dag["UpInstanceList"]] == ["ods_orders"]
    assert len(dag["DownInstanceList"]) == 2


def alerts(front: Desk, **query: Any) -> list[dict[str, Any]]:
    times = {"AlertStartTime": "2025-01-01 00:00:00", "AlertEndTime": "2027-01-01 00:00:00"}
    whole = {"Page": 1, "PageSize": 100, "SourceSystem": "ALL", **times, **query}
    answer = front.ask("ListAlertEvents", ListQuery=whole)
    assert answer.code == "OK", answer.body
    rows: list[dict[str, Any]] = answer.body["ListResult"]["Data"]
    return rows


def test_an_alert_repeats_until_its_limit_and_falls_silent() -> None:
    front = desk(overrides=UNHURRIED)
    rule = AlertRule(every=60, limit=3, silence_after=90)
    alert = front.simulator.tenant.add_alert(Cause("k", "DQE_TABLE", "DQE", "orders", "DQE_PHYSICAL_TABLE"), rule)
    seen = []
    for _ in range(5):
        (row,) = alerts(front)
        seen.append((row["TotalAlertTimes"], row["Status"], row["AlertFrequency"]))
        front.clock.turn(60)
    assert seen[:3] == [(1, "ALERTING", "PERIOD"), (2, "ALERTING", "PERIOD"), (3, "ALERTING", "PERIOD")]
    assert seen[4] == (3, "SILENCING", "PERIOD")
    front.simulator.tenant.add_alert(Cause("k", "DQE_TABLE", "DQE", "orders", "DQE_PHYSICAL_TABLE"), rule)
    assert (alert.times, alert.status) == (4, "ALERTING")


def test_a_muted_alert_counts_on_and_sends_nothing() -> None:
    front = desk(overrides=UNHURRIED)
    tenant = front.simulator.tenant
    cause = Cause("k", "DQE_TABLE", "DQE", "orders", "DQE_PHYSICAL_TABLE")
    alert = tenant.add_alert(cause)
    tenant.alerts.do_not_disturb(alert, tenant.now + 60)
    tenant.add_alert(cause)
    (row,) = alerts(front, StatusList=["DO_NOT_DISTURB"])
    assert (row["TotalAlertTimes"], row["DoNotDisturbEndTime"]) == (2, "2026-01-05 09:31:00")
    assert len(tenant.alerts.notifications) == 1
    front.clock.turn(60)
    assert alerts(front, StatusList=["ALERTING"])[0]["DoNotDisturbEndTime"] == ""
    tenant.alerts.do_not_disturb(alert, tenant.now + 60)
    tenant.alerts.finish("k", "DQE_TABLE")
    tenant.alerts.finish("k", "DQE_TABLE")
    front.clock.turn(60)
    assert alerts(front)[0]["Status"] == "FINISH"
    assert tenant.add_alert(cause).id != alert.id


def test_alerts_are_found_by_every_filter() -> None:
    front = desk(overrides=UNHURRIED)
    front.simulator.tenant.fail_instance("dws_orders_1d")
    front.simulator.tenant.add_alert(Cause("k", "KGB_EARLY_WARNING", "KGB", "board", "BASELINE", "finance_dw", "LD_f"))
    board, job = ["board"], ["dws_orders_1d"]
    for query, expected in (
        ({}, board + job),
        ({"SourceSystem": "KGB"}, board),
        ({"AlertReasonList": ["VDM_BATCH_ERROR"]}, job),
        ({"AlertObjectTypeList": ["BASELINE"]}, board),
        ({"ProjectNameList": ["finance_dw"]}, board),
        ({"BizNameList": ["LD_retail"]}, job),
        ({"MonitoredItemIdList": ["k"]}, board),
        ({"UserIdList": ["zhang_wei"]}, job),
        ({"Keyword": "dws"}, job),
        ({"AlertStartTime": "2026-01-05 09:30:01"}, []),
        ({"AlertEndTime": "2026-01-05 09:30:00"}, board + job),
    ):
        assert [each["AlertObject"]["Name"] for each in alerts(front, **query)] == expected, query


@pytest.mark.parametrize(
    "query", [{"SourceSystem": "NONE"}, {"AlertStartTime": "2026-01-05"}, {"AlertEndTime": "2020-01-01 00:00:00"}]
)
def test_an_alert_query_that_cannot_be_is_refused(query: dict[str, Any]) -> None:
    times = {"AlertStartTime": "2025-01-01 00:00:00", "AlertEndTime": "2027-01-01 00:00:00"}
    whole = {"Page": 1, "PageSize": 100, "SourceSystem": "ALL", **times, **query}
    assert desk().ask("ListAlertEvents", ListQuery=whole).code == "DPN.Commons.InvalidParam"


def test_notifications_are_under_way_sent_or_failed() -> None:
    front = desk(overrides=UNHURRIED)
    tenant = front.simulator.tenant
    cause = Cause("k", "DQE_TABLE", "DQE", "orders", "DQE_PHYSICAL_TABLE")
    for _ in range(7):
        tenant.add_alert(cause)
    query = {
        "NotifyStartTime": "2026-01-05 00:00:00",
        "NotifyEndTime": "2026-01-06 00:00:00",
        "Page": 1,
        "PageSize": 100,
        "SourceSystem": "ALL",
    }

    def states(**more: Any) -> list[str]:
        body = front.ask("ListAlertNotifications", ListQuery={**query, **more}).body
        return [each["AlertSend"]["Status"] for each in body["ListResult"]["Data"]]

    assert states() == ["SENDING"] * 7
    front.clock.turn(1)
    assert states() == ["FAILE", *["SUCCESS"] * 6]
    assert states(StatusList=["FAILE"], ChannelTypeList=["DINGTALK_ROBOT"]) == ["FAILE"]
    assert states(CustomChannelIdList=["1"]) == []


def backfill(front: Desk, **command: Any) -> Any:
    node = front.simulator.tenant.node("dwd_orders")
    whole = {
        "ProjectId": RETAIL,
        "NodeIdList": [{"Id": node.id}],
        "StartBizDate": "2025-12-01",
        "EndBizDate": "2025-12-03",
        **command,
    }
    return front.ask("CreateNodeSupplement", CreateCommand=whole)


def dagruns(front: Desk, flow: str) -> list[str]:
    rows = front.ask("GetSupplementDagrun", SupplementId=flow).body["DagrunList"]
    return [each["Status"] for each in rows]


def test_the_days_of_a_backfill_run_one_after_the_other() -> None:
    front = desk(overrides=UNHURRIED)
    flow = backfill(front).body["SubmitId"]
    assert dagruns(front, flow) == ["INIT"] * 3
    front.clock.turn(1)
    assert dagruns(front, flow) == ["RUNNING", "READY", "READY"]
    front.clock.turn(30)
    assert dagruns(front, flow) == ["SUCCESS", "RUNNING", "READY"]
    front.clock.turn(120)
    assert dagruns(front, flow) == ["SUCCESS"] * 3
    assert front.ask("GetSupplementDagrun", SupplementId=flow, Env="DEV").code == "DPN.OP.FlowNotExist"


def test_a_day_that_fails_does_not_hold_the_next() -> None:
    front = desk(overrides=UNHURRIED)
    tenant = front.simulator.tenant
    below = {"Id": tenant.node("dws_orders_1d").id}
    flow = backfill(front, DownStreamNodeIdList=[below], EndBizDate="2025-12-02").body["SubmitId"]
    tenant.flows[flow].dagruns[0].instances[0].fails = 1
    front.clock.turn(200)
    assert dagruns(front, flow) == ["FAILED", "SUCCESS"]


def test_what_is_submitted_takes_effect_as_late_as_a_command() -> None:
    front = desk(overrides={**UNHURRIED, "quirks": {"state_delay": 30}})
    tenant = front.simulator.tenant
    flow, job = (backfill(front, ContainAllDownStream=bulk).body["SubmitId"] for bulk in (False, True))
    days = {"StartBizDate": "2025-12-01", "EndBizDate": "2025-12-01"}
    command = {"ProjectId": RETAIL, "NodeId": tenant.node("clean_up").id, **days}
    manual = front.ask("ExecuteManualNode", ExecuteCommand=command).body["FlowId"]
    failed = tenant.fail_instance("dws_orders_1d", takes=5)
    fix(front, failed)

    def seen() -> tuple[int, int, str, str]:
        query = {"ProjectId": RETAIL, "ScheduleType": "MANUAL", "FlowId": manual, "Page": 1, "PageSize": 10}
        listed = front.ask("ListInstances", ListQuery=query).body["PageResult"]["TotalCount"]
        status = front.ask("GetOperationSubmitStatus", JobId=job).body["OperationSubmitJob"]["OperationStatus"]
        return len(dagruns(front, flow)), listed, status, tenant.status(failed.id)

    front.clock.turn(29)
    assert seen() == (0, 0, "RUNNING", "FAILED")
    front.clock.turn(2)
    assert seen() == (3, 1, "SUCCESS", "RUNNING")


def test_a_backfill_may_wait_for_the_hour_of_its_node() -> None:
    front = desk(overrides=UNHURRIED)
    flow = backfill(front, RunImmediately=False, Parallelism=3).body["SubmitId"]
    front.clock.turn(16 * 3600)
    assert dagruns(front, flow) == ["READY"] * 3
    front.clock.turn(1800 + 60)
    assert dagruns(front, flow) == ["SUCCESS"] * 3
    late = backfill(front, RunImmediately=False).body["SubmitId"]
    front.clock.turn(23 * 3600)
    assert dagruns(front, late) == ["READY"] * 3


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"NodeIdList": []}, "DPN.Commons.InvalidParam"),
        ({"ProjectId": FINANCE}, "DPN.OP.ProjectNotExist"),
        ({"EndBizDate": "2025-11-30"}, "DPN.Commons.InvalidParam"),
        ({"EndBizDate": "2027-12-31"}, "DPN.Commons.InvalidParam"),
        ({"Parallelism": 13}, "DPN.Commons.InvalidParam"),
        ({"ContainAllDownStream": True, "FilterList": [{"Key": "TARGETS"}]}, "DPN.Commons.InvalidParam"),
    ],
)
def test_a_backfill_that_cannot_be_is_refused_and_makes_nothing(command: dict[str, Any], code: str) -> None:
    front = desk()
    before = len(front.simulator.tenant.instances)
    assert backfill(front, **command).code == code
    assert len(front.simulator.tenant.instances) == before
    assert front.simulator.tenant.flows == {}


@pytest.mark.parametrize(
    ("api", "struct", "command", "code"),
    [
        ("ExecuteManualNode", "ExecuteCommand", {"ProjectId": RETAIL}, "DPN.Commons.InvalidParam"),
        ("ExecuteManualNode", "ExecuteCommand", {"ProjectId": FINANCE}, "DPN.OP.ProjectNotExist"),
    ],
)
def test_only_manual_nodes_of_the_project_run_by_hand(
    api: str, struct: str, command: dict[str, Any], code: str
) -> None:
    front = desk()
    days = {"StartBizDate": "2025-12-01", "EndBizDate": "2025-12-01"}
    node = front.simulator.tenant.node("dwd_orders").id
    assert front.ask(api, **{struct: {**days, "NodeId": node, **command}}).code == code
    assert front.ask("ExecuteTriggerNode", ProjectId=FINANCE, NodeId=node, BizDate="2025-12-01").status == 400


def fix(front: Desk, root: Instance, **command: Any) -> Any:
    whole = {"ProjectId": root.project.id, "RootInstanceId": {"Id": root.id}, **command}
    return front.ask("FixData", FixDataCommand=whole)


def test_fixed_data_run_down_the_lineage_in_order() -> None:
    front = desk(overrides=UNHURRIED)
    tenant = front.simulator.tenant
    root = tenant.node("dwd_orders").instances[-1]
    below = list(root.downstream)
    fix(front, root, DownstreamRange="ALL_FINAL_INSTANCE")
    assert [tenant.status(each.id) for each in (root, *below)] == ["RUNNING", "SUCCESS", "SUCCESS"]
    front.clock.turn(25)
    assert [tenant.status(each.id) for each in (root, *below)] == ["SUCCESS", "RUNNING", "RUNNING"]
    front.clock.turn(100)
    assert [len(each.runs) for each in (root, *below)] == [2, 2, 2]
    assert len(tenant.node("ads_orders_board").instances[-1].runs) == 2
    assert len(tenant.lives.listeners) == 1


def test_fixed_data_may_be_listed_or_failed_only_and_may_leave_the_root_out() -> None:
    front = desk(overrides=UNHURRIED)
    tenant = front.simulator.tenant
    root = tenant.node("dwd_orders").instances[-1]
    chosen, other = root.downstream
    listed = [{"Id": chosen.id}]
    assert fix(front, root, ContainRootInstance=False, DownStreamInstanceIdList=listed).code == "OK"
    assert [len(each.runs) for each in (root, chosen, other)] == [1, 2, 1]
    assert fix(front, root, DownStreamInstanceIdList=listed).code == "DPN.TaskScheduler.Task.TaskRunning"
    assert fix(front, root, ForceRerun=True, DownStreamInstanceIdList=listed).code == "OK"
    front.clock.turn(200)
    tenant.settle()
    assert [len(each.runs) for each in (root, chosen, other)] == [2, 3, 1]
    fix(front, root, ContainRootInstance=False, DownstreamRange="ALL_FAILED_INSTANCE")
    assert [len(each.runs) for each in (root, chosen, other)] == [2, 3, 1]


def test_a_fix_may_hide_behind_the_last_state() -> None:
    front = desk(overrides={"quirks": {"fix_data_hidden": True}})
    tenant = front.simulator.tenant
    failed = tenant.fail_instance("dws_orders_1d", takes=5)
    before = front.ask("GetPhysicalInstance", ProjectId=RETAIL, InstanceId=failed.id).body["Instance"]
    fix(front, failed)
    hidden = front.ask("GetPhysicalInstance", ProjectId=RETAIL, InstanceId=failed.id).body["Instance"]
    assert hidden == before
    front.clock.turn(5)
    assert tenant.status(failed.id) == "SUCCESS"


def test_a_run_that_still_runs_has_no_log_yet() -> None:
    front = desk()
    failed = front.simulator.tenant.fail_instance("dws_orders_1d", log="disk full")
    operate(front, "RERUN", failed)
    rows = front.ask("GetPhysicalInstanceLog", ProjectId=RETAIL, InstanceId=failed.id).body["TaskrunLogList"]
    assert [(each["Status"], each["EndTime"] == "") for each in rows] == [("FAILED", False), ("RUNNING", True)]
    assert "disk full" in rows[0]["LogContent"]
    assert rows[1]["LogContent"] == ""


@given(
    interval=st.sampled_from([0.5, 1.0, 7.0]),
    rate=st.sampled_from([0.0, 0.1, 0.4, 1.0]),
    begin=st.integers(0, 40),
    length=st.integers(1, 40),
    start=st.integers(0, 60),
    size=st.integers(0, 60),
)
def test_the_arithmetic_of_calls_agrees_with_their_log(
    interval: float, rate: float, begin: int, length: int, start: int, size: int
) -> None:
    stream = Stream(App(1, 1, "shop", "10.0.0.1"), 0.25, interval)
    stream.add(Trouble(0.0, 1000.0, 0.5))
    stream.add(Trouble(begin, begin + length, rate, offline=True))
    log = list(stream.log(start, start + size))
    tally = stream.tally(start, start + size)
    assert (tally.calls, tally.errors) == (len(log), sum(each.failed for each in log))
    assert tally.offline == sum(each.offline for each in log)
    assert tally.last == (log[0].at if log else None)
    assert all(start <= each.at < start + size for each in log)


def data_service(front: Desk, api: str, query: dict[str, Any] | None = None, **parameters: Any) -> Any:
    window = {"StartTime": "2026-01-05 09:20:00", "EndTime": "2026-01-05 09:30:00"}
    if query is None:
        return front.ask(api, **{"ProjectId": SERVICE, **window, **parameters})
    return front.ask(api, ProjectId=SERVICE, ListQuery={**window, **query})


def test_calls_that_went_well_are_counted_too() -> None:
    front = desk(overrides=UNHURRIED)
    summary = data_service(front, "GetDataServiceApiCallSummary").body["Data"]
    assert summary == {
        "CallCount": 1020,
        "ErrorApiCount": 0,
        "ErrorAppCount": 0,
        "ErrorCount": 0,
        "ErrorRate": 0.0,
        "OfflineRate": 0.0,
    }
    trend = data_service(front, "GetDataServiceApiCallTrend").body["Data"]["CallErrorTrendList"]
    assert [each["CallCount"] for each in trend] == [102] * 10
    assert trend[0]["Minute"] == "2026-01-05 09:20"


def test_an_api_that_is_offline_fails_as_such() -> None:
    changes: dict[str, Any] = {"incidents": {"down": {"api": "get_stock", "after": "-60s", "offline": True}}}
    front = desk(overrides={**UNHURRIED, **changes})
    summary = data_service(front, "GetDataServiceApiCallSummary").body["Data"]
    assert (summary["ErrorCount"], summary["OfflineRate"]) == (30, 2.94)
    rows = data_service(front, "ListDataServiceApiCalls", {"Successful": False, "PageSize": 1}).body["PageResult"]
    assert rows["CallLogList"][0]["BizCode"] == "API_OFFLINE"


def test_calls_are_listed_newest_first_and_found_by_every_filter() -> None:
    front = desk(overrides=UNHURRIED)

    def total(**query: Any) -> int:
        return int(data_service(front, "ListDataServiceApiCalls", query).body["PageResult"]["TotalCount"])

    assert total() == total(Successful=True) == 1020
    assert total(ApiId=2002) == total(ApiName="stock") == 300
    crm = 200_000_000 + SERVICE * 100 + 1
    assert total(AppKey=crm) == total(AppKeyStr=f"APP_{crm}") == total(ClientIp="10.20.1.15") == 120
    assert total(Successful=False) == 0
    starts: list[str] = []
    for number in (1, 2):
        body = data_service(front, "ListDataServiceApiCalls", {"PageNo": number, "PageSize": 50}).body
        starts += [each["StartTime"] for each in body["PageResult"]["CallLogList"]]
    assert len(starts) == 100
    assert starts == sorted(starts, reverse=True)


def test_statistics_and_impacts_come_in_the_order_asked_for() -> None:
    front = desk(overrides=UNHURRIED)
    front.simulator.tenant.fail_api("get_stock")
    front.simulator.tenant.fail_api("get_orders", rate=0.1, app="crm")
    front.clock.turn(600)
    window = {"StartTime": "2026-01-05 09:30:00", "EndTime": "2026-01-05 09:40:00"}

    def names(**query: Any) -> list[str]:
        body = data_service(front, "ListDataServiceApiCallStatistics", {**window, **query}).body
        return [each["ApiName"] for each in body["PageResult"]["CallStatisticsList"]]

    assert names() == ["get_stock", "get_orders"]
    assert names(OrderType=2) == ["get_orders", "get_stock"]
    assert names(OrderColumn="ERROR_RATE", OrderType=2) == ["get_stock", "get_orders"]
    assert names(OrderColumn="ERROR_COUNT", Keyword="orders") == ["get_orders"]
    body = data_service(front, "ListDataServiceApiImpacts", {**window, "ApiId": 2001, "OrderType": 2}).body
    rows = body["PageResult"]["ImpactList"]
    assert [(each["AppName"], each["ErrorCount"], each["ErrorRate"]) for each in rows] == [
        ("shop", 0, "0.0"),
        ("crm", 12, "10.0"),
    ]
    assert rows[0]["Minute"] == "2026_0105_0939"
    published = front.ask("ListDataServicePublishedApis", ProjectId=SERVICE, ListQuery={"ApiName": "stock"})
    assert [each["ApiName"] for each in published.body["PageResult"]["ApiList"]] == ["get_stock"]


@pytest.mark.parametrize(
    ("api", "query", "code"),
    [
        ("ListDataServiceApiImpacts", {"ApiId": 1}, "DPN.Oltp.MgmtSys.ParamError"),
        ("ListDataServiceApiImpacts", {"ApiId": 2001, "OrderColumn": "MOOD"}, "DPN.Oltp.MgmtSys.ParamError"),
        ("ListDataServiceApiCalls", {"EndTime": "2020-01-01 00:00:00"}, "DPN.Commons.InvalidParam"),
        ("ListDataServiceApiCalls", {"PageNo": 0}, "DPN.Commons.InvalidParam"),
    ],
)
def test_a_data_service_query_that_cannot_be_is_refused(api: str, query: dict[str, Any], code: str) -> None:
    assert data_service(desk(), api, query).code == code


def test_data_service_projects_need_to_exist_and_to_be_permitted() -> None:
    changes = {"data_services": {"secret_api": {"id": 9, "permitted": False}, "other_api": {"id": 10, "mine": False}}}
    front = desk(overrides=changes)
    assert data_service(front, "GetDataServiceApiCallSummary", ProjectId=1).code == "DPN.Oltp.MgmtSys.ParamError"
    assert data_service(front, "GetDataServiceApiCallSummary", ProjectId=9).code == "DPN.Oltp.MgmtSys.NoAuthorized"
    mine = front.ask("GetDataServiceMyProjects").body["ProjectList"]
    assert [each["ProjectId"] for each in mine] == [SERVICE, 9]
    others = front.ask("GetDataServiceAuthorizedProjects").body["ProjectList"]
    assert [each["ProjectName"] for each in others] == ["other_api"]
    with pytest.raises(KeyError):
        front.simulator.tenant.fail_api("nothing")
    assert front.simulator.tenant.find_api("retail_api/get_stock")[1].id == 2002


def test_other_writes_are_recorded_and_answer_their_top_level_names() -> None:
    front = desk()
    answer = front.ask("CreateDirectory", CreateCommand={})
    assert answer.code == "OK"
    assert [(each.api, each.operation) for each in front.simulator.tenant.effects] == [("CreateDirectory", "")]
    assert front.ask("ListDataSourceWithConfig", ListQuery={}).code == "OK"
    assert len(front.simulator.tenant.effects) == 1
