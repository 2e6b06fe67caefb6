"""What the Dataphin of a trial answers about backfills, fixes and manual runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Any

from phinops.event import Instance, JsonObject, Node
from phinops.surface.trial.question import Question, Unknown
from phinops.surface.trial.records import instance_record
from phinops.surface.trial.tenant import Flow, Run


def submit(api: str, question: Question, *, lost: bool) -> Flow | None:
    """The flow that the call makes, if it is one that makes one. Where its answer is `lost` nobody knows whether it
    does, until a state says so.
    """
    if api not in _COMMANDS:
        return None
    field, kind = _COMMANDS[api]
    command = question.params[field]
    nodes = command["NodeIdList"] if kind == "backfill" else [{"Id": command["NodeId"]}]
    first, last = (_day(command[name], question) for name in ("StartBizDate", "EndBizDate"))
    return question.tenant.submitted(kind, str(nodes[0]["Id"]), first, last, "" if lost else "RUNNING")


def instances(question: Question, query: Mapping[str, Any]) -> Iterable[Run]:
    """The instances of flows that a list of instances is asked for."""
    kind = {"SUPPLEMENT": "backfill", "MANUAL": "manual_run"}[query["ScheduleType"]]
    for flow in question.tenant.flows:
        if flow.kind == kind and flow.status and query.get("FlowId") in (None, flow.id):
            yield from _runs(flow)


def instance(question: Question, instance_id: str) -> Run | None:
    """The instance of a flow that has this id."""
    runs = (run for flow in question.tenant.flows if flow.status for run in _runs(flow))
    return next((run for run in runs if run.instance.id == instance_id), None)


def _runs(flow: Flow) -> Iterable[Run]:
    return (
        Run(Instance(f"t_{flow.number}_{day:%Y%m%d}_1", status=flow.status, biz_date=day.isoformat()), flow.node)
        for day in flow.days
    )


def _backfill(question: Question) -> JsonObject:
    flow = submit("CreateNodeSupplement", question, lost=False)
    assert flow
    bulk = bool(question.params["CreateCommand"].get("ContainAllDownStream"))
    return {"SubmitId": str(flow.number) if bulk else flow.id}


def _manual(question: Question) -> JsonObject:
    flow = submit("ExecuteManualNode", question, lost=False)
    assert flow
    return {"FlowId": flow.id}


def _fix(question: Question) -> JsonObject:
    question.tenant.told_to_rerun(str(question.params["FixDataCommand"]["RootInstanceId"]["Id"]), question.now)
    return {"SubmitId": "1"}


def _job(question: Question) -> JsonObject:
    found = _flow(question, "JobId", lambda flow: str(flow.number))
    return {"OperationSubmitJob": {"JobId": str(found.number), "ExternalBizId": found.id, "OperationStatus": "SUCCESS"}}


def _dagruns(question: Question) -> JsonObject:
    found = _flow(question, "SupplementId", lambda flow: flow.id)
    return {"DagrunList": [{"BizDate": day.isoformat(), "Status": found.status} for day in found.days]}


def _flow(question: Question, name: str, told_by: Callable[[Flow], str]) -> Flow:
    asked = str(question.params[name])
    found = next((each for each in question.tenant.flows if told_by(each) == asked), None)
    if found is None:
        raise Unknown("DPN.OP.FlowNotExist", f"there is no flow {asked}")
    return found


def _taskruns(question: Question) -> JsonObject:
    run = question.tenant.runs.get(str(question.params["InstanceId"]))
    if run is None or run.instance.started_at is None:
        return {"TaskrunLogList": []}
    row = instance_record(run, Node())
    return {"TaskrunLogList": [{"Status": run.instance.status, "StartTime": str(row["StartExecuteTime"])}]}


def _day(text: str, question: Question) -> date:
    return datetime.strptime(text, question.dates).date()  # noqa: DTZ007 - a date has no zone


_COMMANDS: Mapping[str, tuple[str, str]] = {
    "CreateNodeSupplement": ("CreateCommand", "backfill"),
    "ExecuteManualNode": ("ExecuteCommand", "manual_run"),
}

SUBMISSIONS: Mapping[str, Callable[[Question], JsonObject]] = {
    "CreateNodeSupplement": _backfill,
    "ExecuteManualNode": _manual,
    "FixData": _fix,
    "GetOperationSubmitStatus": _job,
    "GetSupplementDagrun": _dagruns,
    "GetPhysicalInstanceLog": _taskruns,
}
