"""Instances: reading, operating, and what hangs below them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from phinops.simulate.answers.call import (
    Answerer,
    Call,
    Payload,
    depth,
    page,
    permitted_project,
    read_day,
)
from phinops.simulate.answers.records import (
    coarse_status,
    instance_record,
    taskrun_record,
)
from phinops.simulate.arguments import Arguments
from phinops.simulate.model import LIVE, Instance, Node, Project
from phinops.simulate.operate import OPERATIONS, operate
from phinops.simulate.refusal import Refusal, invalid

SCHEDULE_TYPES = ("NORMAL", "MANUAL", "SUPPLEMENT")

_Test = Callable[[Instance], bool]


def find_instance(call: Call, instance_id: str) -> Instance:
    """The instance of that id.

    Raises:
        Refusal: the id cannot be one, or there is none in this environment.
    """
    if not instance_id.startswith("t_") or not instance_id[2:].replace("_", "").isdecimal():
        raise Refusal("DPN.TaskScheduler.Task.IllegalTaskIdFormat", f"{instance_id} is not the id of a task")
    found = call.tenant.instances.get(instance_id)
    if found is None or call.env != "PROD":
        raise Refusal("DPN.TaskScheduler.Task.TaskNotFoundByTaskId", f"task {instance_id} does not exist in {call.env}")
    return found


def instance_of(call: Call, project_id: int, instance_id: str) -> Instance:
    """The instance of that id in that project. Raises Refusal when either does not exist or they do not match."""
    project = permitted_project(call, project_id)
    instance = find_instance(call, instance_id)
    if instance.project is not project:
        raise Refusal("DPN.OP.ProjectNotExist", f"task {instance_id} is not of project {project_id}")
    return instance


def _list(call: Call) -> Payload:
    if "ListQuery" not in call.arguments:
        raise Refusal("Dataphin.OpenAPI.BadRequest", "Missing required argument: ListQuery", reason="parameters")
    query = call.struct("ListQuery")
    project = permitted_project(call, query["ProjectId"])
    if query["ScheduleType"] not in SCHEDULE_TYPES:
        raise invalid(f"ScheduleType must be one of {', '.join(SCHEDULE_TYPES)}")
    rows = _candidates(project, query)
    for test in _tests(call, project, query):
        rows = list(filter(test, rows))
    shown, total = page(call, rows, query)
    data = [instance_record(call.tenant, each) for each in shown]
    return {"PageResult": {"Data": data, "TotalCount": total}}


def _candidates(project: Project, query: Arguments) -> list[Instance]:
    """All that may have one of the statuses that are asked for, newest first."""
    statuses = query.get("RunStatusList")
    if statuses and LIVE.issuperset(statuses):
        return sorted(project.live.values(), key=lambda each: -each.number)
    return project.instances[::-1]


def _tests(call: Call, project: Project, query: Arguments) -> list[_Test]:
    """The cheap and most telling ones first."""
    tests: list[_Test] = [] if call.env == "PROD" else [lambda _: False]
    kind = query["ScheduleType"]
    tests.append(lambda each: each.kind == kind)
    tests += _status_tests(call, query)
    tests += _date_tests(call, query)
    if flow := query.get("FlowId"):
        tests.append(lambda each: each.flow_id == flow)
    if (unit := query.get("BizUnitId")) is not None and unit != project.biz_unit_id:
        tests.append(lambda _: False)
    if query.get("TagList"):
        tests.append(lambda _: False)  # nothing in a simulated tenant bears a tag
    return tests + _node_tests(query)


def _status_tests(call: Call, query: Arguments) -> list[_Test]:
    tests: list[_Test] = []
    now = call.tenant.now
    if statuses := frozenset(query.get("RunStatusList", ())):
        tests.append(lambda each: each.status(now) in statuses)
    if (paused := query.get("SchedulePaused")) is not None:
        tests.append(lambda each: each.paused == paused)
    return tests


def _date_tests(call: Call, query: Arguments) -> list[_Test]:
    tests: list[_Test] = []
    calendar = call.tenant.calendar
    if text := query.get("MinBizDate"):
        first_biz = read_day(text, "MinBizDate")
        tests.append(lambda each: each.biz_date >= first_biz)
    if text := query.get("MaxBizDate"):
        last_biz = read_day(text, "MaxBizDate")
        tests.append(lambda each: each.biz_date <= last_biz)
    if text := query.get("MinRunDate"):
        first_run = calendar.midnight(read_day(text, "MinRunDate"))
        tests.append(lambda each: bool(each.runs) and each.runs[-1].start >= first_run)
    if text := query.get("MaxRunDate"):
        last_run = calendar.midnight(read_day(text, "MaxRunDate")) + 86_400
        tests.append(lambda each: bool(each.runs) and each.runs[-1].start < last_run)
    return tests


_OF_NODE: Mapping[str, Callable[[Node, Any], bool]] = {
    "NodeId": lambda node, wanted: node.id == wanted,
    "SearchText": lambda node, wanted: wanted in node.name or node.id == wanted,
    "OwnerList": lambda node, wanted: node.owner.id in wanted,
    "PriorityList": lambda node, wanted: node.priority in wanted,
    "SchedulePeriodList": lambda node, wanted: node.period in wanted,
    "SubBizTypeList": lambda node, wanted: node.sub_type in wanted,
    "BizType": lambda node, wanted: node.biz_type == wanted,
}


def _node_tests(query: Arguments) -> list[_Test]:
    """Only those that are asked for: a list is read over thousands of instances."""
    return [partial(_fits, fits, query[name]) for name, fits in _OF_NODE.items() if query.get(name)]


def _fits(fits: Callable[[Node, Any], bool], wanted: Any, instance: Instance) -> bool:
    return fits(instance.node, wanted)


def _get(call: Call) -> Payload:
    instance = instance_of(call, call.arguments["ProjectId"], call.arguments["InstanceId"])
    return {"Instance": instance_record(call.tenant, instance)}


def _log(call: Call) -> Payload:
    instance = instance_of(call, call.arguments["ProjectId"], call.arguments["InstanceId"])
    return {"TaskrunLogList": [taskrun_record(call.tenant, run) for run in instance.runs]}


def _operate(call: Call) -> Payload:
    command = call.struct("OperateCommand")
    project = permitted_project(call, command["ProjectId"])
    ids = [each["Id"] for each in command["InstanceIdList"]]
    if not ids:
        raise invalid("InstanceIdList is empty")
    if call.tenant.quirks.items == "refused":
        _check_all(call, command["Operation"], project, ids)
    return {"InstanceStatusList": [_operate_one(call, command["Operation"], project, each) for each in ids]}


def _check_all(call: Call, operation: str, project: Project, ids: Iterable[str]) -> None:
    """Refuse the whole call for the first item that cannot be done."""
    check, _ = OPERATIONS[operation]
    for instance_id in ids:
        refusal = check(call.tenant, instance_of(call, project.id, instance_id))
        if refusal is not None:
            raise refusal


def _operate_one(call: Call, operation: str, project: Project, instance_id: str) -> Payload:
    item = {"Id": instance_id, "DisplayName": "", "Name": "", "OwnerId": "", "OwnerName": ""}
    try:
        instance = instance_of(call, project.id, instance_id)
        item.update(DisplayName=instance.node.name, Name=instance.node.name)
        item.update(OwnerId=instance.node.owner.id, OwnerName=instance.node.owner.name)
        operate(call.tenant, operation, instance)
    except Refusal as refusal:
        return {**item, "Status": "FAILED", "ErrorMessage": f"{refusal.code}: {refusal.message}"}
    return {**item, "Status": "SUCCESS", "ErrorMessage": ""}


def below(instance: Instance, levels: int) -> list[tuple[int, Instance]]:
    """What hangs below, breadth first, each once, with its distance."""
    return _walk(instance, levels, lambda each: each.downstream)


def _walk(
    root: Instance, levels: int, neighbours: Callable[[Instance], Iterable[Instance]]
) -> list[tuple[int, Instance]]:
    seen, found, edge = {root.id}, [], [root]
    for distance in range(1, levels + 1):
        edge = [each for above in edge for each in neighbours(above) if each.id not in seen]
        edge = list({each.id: each for each in edge}.values())
        seen.update(each.id for each in edge)
        found += [(distance, each) for each in edge]
    return found


def _downstream(call: Call) -> Payload:
    wanted = call.struct("InstanceGet")
    instance = find_instance(call, wanted["InstanceId"])
    permitted_project(call, instance.project.id)
    if wanted["NodeType"] != instance.node.type:
        raise invalid(f"InstanceGet.NodeType of {instance.id} is {instance.node.type}")
    levels = depth(call.arguments, "DownStreamDepth", 1)
    status, now = call.arguments.get("RunStatus"), call.tenant.now
    rows = [
        {
            "DownStreamDepth": distance,
            "ExtendInfo": "{}",
            "FieldInstanceList": [],
            "InstanceInfo": {"Id": each.id, "Name": each.node.name, "Type": each.node.type},
            "RunStatus": coarse_status(each, now),
            "SelectStatus": "OPTIONAL",
            "SelectStatusCause": "",
        }
        for distance, each in below(instance, levels)
        if status in (None, coarse_status(each, now))
    ]
    return {"InstanceRelationList": rows}


def _up_down(call: Call) -> Payload:
    instance = instance_of(call, call.arguments["ProjectId"], call.struct("InstanceId")["Id"])
    up = _walk(instance, depth(call.arguments, "UpStreamDepth", 1), lambda each: each.upstream)
    down = below(instance, depth(call.arguments, "DownStreamDepth", 1))
    return {
        "InstanceDagInfo": {
            "UpInstanceList": [_dag_record(each) for _, each in up],
            "StartInstanceList": [_dag_record(instance)],
            "DownInstanceList": [_dag_record(each) for _, each in down],
        }
    }


def _dag_record(instance: Instance) -> Payload:
    node = instance.node
    return {
        "FieldInstanceIdList": [],
        "Id": instance.id,
        "Name": node.name,
        "NodeId": node.id,
        "NodeType": node.type,
    }


INSTANCES: Mapping[str, Answerer] = {
    "ListInstances": _list,
    "GetPhysicalInstance": _get,
    "GetPhysicalInstanceLog": _log,
    "OperateInstance": _operate,
    "GetInstanceDownStream": _downstream,
    "GetInstanceUpDownStream": _up_down,
}
