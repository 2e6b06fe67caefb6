"""What the Dataphin of a trial answers: reads from the tenant's state, and to every write that it was taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

from phinops.event import JsonObject, Node
from phinops.surface.trial import submitted
from phinops.surface.trial.question import Question, Unknown, page
from phinops.surface.trial.records import alert_record, instance_record, listed_node
from phinops.surface.trial.tenant import Run, Tenant


def answer(api: str, question: Question) -> JsonObject:
    """What the answer carries beside the envelope. Of an API that the state says nothing of, nothing.

    Raises:
        Unknown: it asks for an object that is not there.
    """
    answerer = _ANSWERERS.get(api)
    try:
        return answerer(question) if answerer else {}
    except (KeyError, TypeError, ValueError) as error:
        raise Unknown("DPN.Commons.InvalidParameter", f"the parameters are not to be understood: {error}") from error


def _instance(question: Question) -> JsonObject:
    id = str(question.params["InstanceId"])
    run = question.tenant.runs.get(id) or submitted.instance(question, id)
    if run is None or not _in_project(run.project, question.params.get("ProjectId")):
        raise Unknown("DPN.TaskScheduler.Task.TaskNotFoundByTaskId", f"there is no instance {id}")
    return {"Instance": instance_record(run, _node_of(question.tenant, run))}


def _instances(question: Question) -> JsonObject:
    query = question.params["ListQuery"]
    statuses = query.get("RunStatusList")
    normal = query.get("ScheduleType", "NORMAL") == "NORMAL"
    runs = [
        run
        for run in (question.tenant.runs.values() if normal else submitted.instances(question, query))
        if _in_project(run.project, query.get("ProjectId"))
        and query.get("NodeId") in (None, run.node)
        and (not statuses or run.instance.status in statuses)
        and _within(run.instance.biz_date, query, question.dates)
    ]
    return page([instance_record(run, _node_of(question.tenant, run)) for run in runs], query, "Data")


def _within(biz_date: str, query: Mapping[str, Any], dates: str) -> bool:
    if not biz_date:
        return False
    day = date.fromisoformat(biz_date).strftime(dates)
    return bool(query.get("MinBizDate", day) <= day <= query.get("MaxBizDate", day))


def _node(question: Question) -> JsonObject:
    id = str(question.params["NodeId"])
    known = question.tenant.nodes.get(id)
    if known is None:
        raise Unknown("DPN.OP.NodeNotFound", f"there is no node {id}")
    return {"NodeInfo": listed_node(known.item)}


def _nodes(question: Question) -> JsonObject:
    query = question.params["ListQuery"]
    kinds, text = query.get("NodeSubBizTypeList") or [], str(query.get("SearchText") or "")
    rows = [
        listed_node(known.item)
        for known in question.tenant.nodes.values()
        if _in_project(known.project, query.get("ProjectId")) and text in (known.item.id, "")
    ]
    return page([row for row in rows if not kinds or row["SubDetailType"] in kinds], query, "NodeList")


def _alert(question: Question) -> JsonObject:
    id = str(question.params["Id"])
    known = question.tenant.alerts.get(id)
    if known is None:
        raise Unknown("DPN.Commons.InvalidParameter", f"there is no alert event {id}")
    return {"AlertEventInfo": alert_record(known)}


def _impact(question: Question) -> JsonObject:
    rows = [
        {"AppId": api, "ApiName": "", "ErrorCount": errors} for api, errors in question.tenant.errors.items() if errors
    ]
    return {"Data": {"ErrorApiList": rows}}


def _below_instance(question: Question) -> JsonObject:
    id = str(question.params["InstanceGet"]["InstanceId"])
    return {"InstanceRelationList": [{"InstanceInfo": {"Id": each}} for each in _below(question.tenant, id)]}


def _below_node(question: Question) -> JsonObject:
    ids = [str(each["Id"]) for each in question.params["ListQuery"]["NodeIdList"]]
    return {"NodeInfoList": [{"Id": each} for id in ids for each in _below(question.tenant, id)]}


def _below(tenant: Tenant, id: str) -> Iterable[str]:
    return (f"{id}_below_{number}" for number in range(1, tenant.below.get(id, 0) + 1))


def _operate(question: Question) -> JsonObject:
    command = question.params["OperateCommand"]
    ids = [str(each["Id"]) for each in command["InstanceIdList"]]
    if command["Operation"] == "RERUN":
        for id in ids:
            question.tenant.told_to_rerun(id, question.now)
    return {"InstanceStatusList": [{"Id": id, "Status": "SUCCESS"} for id in ids]}


def _operate_nodes(question: Question) -> JsonObject:
    command = question.params.get("PauseCommand") or question.params["ResumeCommand"]
    for id in command["NodeIdList"]:
        question.tenant.told_to_pause(str(id), question.now, paused="PauseCommand" in question.params)
    return {"NodeOperateResultList": [{"NodeId": str(id), "Status": "SUCCESS"} for id in command["NodeIdList"]]}


def _operation_log(question: Question) -> JsonObject:
    lines = question.tenant.logs.get(str(question.params["NodeId"]), ())
    rows = [
        {"OperationType": line.type, "OperationTime": f"{line.at:%Y-%m-%d %H:%M:%S}", "Operator": line.by}
        for line in reversed(lines)
    ]
    return {"OperationLogList": rows}


def _node_of(tenant: Tenant, run: Run) -> Node:
    known = tenant.nodes.get(run.node)
    return known.item if known else Node(run.node)


def _in_project(mine: str, asked: Any) -> bool:
    """Whether an object is shown for a project; one whose project nobody said is in each."""
    return not mine or asked is None or str(asked) == mine


_ANSWERERS: Mapping[str, Callable[[Question], JsonObject]] = {
    "GetPhysicalInstance": _instance,
    "ListInstances": _instances,
    "GetPhysicalNode": _node,
    "ListNodes": _nodes,
    "GetPhysicalNodeOperationLog": _operation_log,
    "GetAlertEvent": _alert,
    "GetDataServiceApiErrorImpact": _impact,
    "GetInstanceDownStream": _below_instance,
    "ListNodeDownStream": _below_node,
    "OperateInstance": _operate,
    "PausePhysicalNode": _operate_nodes,
    "ResumePhysicalNode": _operate_nodes,
    **submitted.SUBMISSIONS,
}
