"""Nodes: reading, pausing, lineage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from phinops.simulate.answers.call import (
    Answerer,
    Call,
    Payload,
    chosen,
    depth,
    node_of,
    page,
    permitted_project,
)
from phinops.simulate.answers.records import node_record, person
from phinops.simulate.arguments import Arguments
from phinops.simulate.model import Node, Project
from phinops.simulate.operate import set_node_paused
from phinops.simulate.refusal import Refusal, invalid


def _list(call: Call) -> Payload:
    query = call.struct("ListQuery")
    project = permitted_project(call, query["ProjectId"])
    if not query["NodeSubBizTypeList"]:
        raise invalid("ListQuery.NodeSubBizTypeList is empty")
    rows = [] if _absent_in(call, project) else [node for node in project.nodes if _wanted(node, query)]
    shown, total = page(call, rows, {"PageSize": 10, **query})
    return {"PageResult": {"NodeList": [_row(call, node) for node in shown], "TotalCount": total}}


def _absent_in(call: Call, project: Project) -> bool:
    return call.env == "DEV" and project.mode == "BASIC"


def _wanted(node: Node, query: Arguments) -> bool:
    search = query.get("SearchText", "")
    return (
        node.biz_type == query["NodeBizType"]
        and node.sub_type in query["NodeSubBizTypeList"]
        and query.get("ScheduleType", "NORMAL") == node.schedule
        and query.get("SchedulePaused") in (None, node.paused)
        and query.get("DryRun") in (None, False)
        and chosen(node.owner.id, query.get("OwnerList"))
        and chosen(node.priority, query.get("PriorityList"))
        and chosen(node.period, query.get("SchedulePeriodList"))
        and (not search or search in node.name or search == node.id)
    )


def _row(call: Call, node: Node) -> Payload:
    project = {"Id": str(node.project.id), "Name": node.project.name}
    return {**node_record(call.tenant, node, paused=node.paused), "ExtendInfo": "{}", "ProjectInfo": project}


def _node_info(node: Node) -> Payload:
    hour, minute = divmod(int(node.at) // 60, 60)
    return {
        "CreateTime": int(node.created * 1000),
        "Creator": person(node.owner),
        "CronExpression": f"0 {minute} {hour} * * ?",
        "DataSourceId": node.project.id + 700_000,
        "DataSourceSchema": "",
        "Description": f"{node.name} of {node.project.name}",
        "From": "DATA_PROCESS",
        "Id": node.id,
        "LastModifiedTime": int(node.created * 1000),
        "Modifier": person(node.owner),
        "Name": node.name,
        "OperatorType": node.sub_type,
        "OutputNameList": [node.output],
        "Owner": person(node.owner),
        "Priority": node.priority,
        "ProjectInfo": {"Id": str(node.project.id), "Name": node.project.name},
        "ScheduleType": node.period,
        "Status": "normal",
        "TriggerConfig": "",
    }


def _get(call: Call) -> Payload:
    return {"NodeInfo": _node_info(node_of(call, call.arguments["NodeId"]))}


def _get_by_output(call: Call) -> Payload:
    name = call.arguments["OutputName"]
    found = next((node for node in call.tenant.nodes.values() if name in (node.output, node.name)), None)
    if found is None:
        raise Refusal("DPN.OP.NodeNotFound", f"no node has the output {name} in {call.env}")
    info = _node_info(node_of(call, found.id))
    for name in ("CronExpression", "DataSourceId", "DataSourceSchema", "OutputNameList"):
        del info[name]
    return {"NodeInfo": info}


def _content(call: Call) -> Payload:
    node = node_of(call, call.arguments["NodeId"])
    sources = ", ".join(each.name for each in node.upstream) or "source"
    code = f"insert overwrite table {node.name} select * from {sources} where ds = '${{bizdate}}';"
    return {"Data": {"CodeContent": code, "NodeId": node.id, "NodeName": node.name}}


def _operation_log(call: Call) -> Payload:
    node = node_of(call, call.arguments["NodeId"])
    rows = [
        {
            "Context": each.context,
            "OperationTime": call.tenant.calendar.text(each.at),
            "OperationType": each.type,
            "Operator": each.user.id,
            "OperatorName": each.user.name,
        }
        for each in reversed(node.operations)
    ]
    created = {
        "Context": node.name,
        "OperationTime": call.tenant.calendar.text(node.created),
        "OperationType": "CREATE_NODE",
        "Operator": node.owner.id,
        "OperatorName": node.owner.name,
    }
    return {"OperationLogList": [*rows, created]}


def _set_paused(struct: str, paused: bool, call: Call) -> Payload:
    command = call.struct(struct)
    project = permitted_project(call, command["ProjectId"])
    ids: list[str] = command["NodeIdList"]
    if not ids:
        raise invalid(f"{struct}.NodeIdList is empty")
    if call.tenant.quirks.items == "refused":
        for node_id in ids:
            _of_project(call, project, node_id)
    return {"NodeOperateResultList": [_set_one(call, project, each, paused) for each in ids]}


def _set_one(call: Call, project: Project, node_id: str, paused: bool) -> Payload:
    try:
        set_node_paused(call.tenant, _of_project(call, project, node_id), call.user, paused=paused)
    except Refusal as refusal:
        error = f"{refusal.code}: {refusal.message}"
        return {"ErrorMessage": error, "NodeId": node_id, "Status": "FAILED"}
    return {"ErrorMessage": "", "NodeId": node_id, "Status": "SUCCESS"}


def _of_project(call: Call, project: Project, node_id: str) -> Node:
    node = node_of(call, node_id)
    if node.project is not project:
        raise Refusal("DPN.OP.ProjectNotExist", f"node {node_id} is not of project {project.id}")
    return node


def below(roots: Iterable[Node], levels: int) -> list[tuple[int, Node]]:
    """What hangs below, breadth first, each once, with its distance."""
    return _walk(roots, levels, lambda node: node.downstream)


def _walk(roots: Iterable[Node], levels: int, neighbours: Callable[[Node], Iterable[Node]]) -> list[tuple[int, Node]]:
    edge = list(roots)
    seen, found = {node.id for node in edge}, []
    for distance in range(1, levels + 1):
        fresh = {each.id: each for node in edge for each in neighbours(node) if each.id not in seen}
        edge = list(fresh.values())
        seen.update(fresh)
        found += [(distance, node) for node in edge]
    return found


def _up_down(call: Call) -> Payload:
    node = node_of(call, call.struct("NodeId")["Id"])
    up = _walk([node], depth(call.arguments, "UpStreamDepth", 1), lambda each: each.upstream)
    down = below([node], depth(call.arguments, "DownStreamDepth", 1))
    return {
        "NodeDagInfo": {
            "UpStreamNodeList": [_dag_record(each) for _, each in up],
            "StartNodeList": [_dag_record(node)],
            "DownStreamNodeList": [_dag_record(each) for _, each in down],
        }
    }


def _dag_record(node: Node) -> Payload:
    return {"FieldIdList": [], "Id": node.id, "Name": node.name, "Type": node.type}


def _downstream(call: Call) -> Payload:
    query = call.struct("ListQuery")
    roots = [node_of(call, each["Id"]) for each in query["NodeIdList"] if each.get("Id")]
    if not roots:
        raise invalid("ListQuery.NodeIdList names no node")
    found = below(roots, depth(query, "DownStreamDepth", 3))
    rows = [
        {"Depth": distance, **_dag_record(node)}
        for distance, node in found
        if all(_passes(node, each) for each in query.get("FilterList", ()))
    ]
    return {"NodeInfoList": rows}


def _passes(node: Node, condition: Arguments) -> bool:
    values = condition.get("ValueList", ())
    key = condition.get("Key")
    named = str(node.project.id) in values or node.project.name in values if key == "PROJECT" else node.id in values
    return named is not bool(condition.get("Exclude", False))


NODES: Mapping[str, Answerer] = {
    "ListNodes": _list,
    "GetPhysicalNode": _get,
    "GetPhysicalNodeByOutputName": _get_by_output,
    "GetPhysicalNodeContent": _content,
    "GetPhysicalNodeOperationLog": _operation_log,
    "PausePhysicalNode": partial(_set_paused, "PauseCommand", True),
    "ResumePhysicalNode": partial(_set_paused, "ResumeCommand", False),
    "GetNodeUpDownStream": _up_down,
    "ListNodeDownStream": _downstream,
}
