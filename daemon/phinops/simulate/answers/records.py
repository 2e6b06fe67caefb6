"""Instances, nodes and people as rows of an answer."""

from __future__ import annotations

from datetime import date
from typing import Any

from phinops.simulate.answers.call import Payload
from phinops.simulate.model import Instance, Node, Run, User
from phinops.simulate.tenant import Tenant

_VENDOR_SPELLINGS = {
    "INIT": "NIT",
    "WAIT_SUBMISSION": "WATING",
    "WAIT_SCHEDULE": "WATING",
    "WAIT_RESOURCE": "WATING",
}
_COARSE = {
    "WAIT_SUBMISSION": "WATING",
    "WAIT_SCHEDULE": "WATING",
    "WAIT_RESOURCE": "WATING",
    "DISPATCH_BLOCKED": "WATING",
}


def moment(tenant: Tenant, at: float | None) -> int | str | None:
    """A moment in the style of this installation."""
    if at is None:
        return None
    return int(at * 1000) if tenant.quirks.times == "ms" else tenant.calendar.text(at)


def day(tenant: Tenant, biz_date: date) -> int | str:
    """A business date in the style of this installation."""
    if tenant.quirks.times == "ms":
        return int(tenant.calendar.midnight(biz_date) * 1000)
    return biz_date.isoformat()


def duration(tenant: Tenant, start: float | None, end: float | None) -> int | str | None:
    """How long something took, in whole seconds, in the style of this installation."""
    if start is None:
        return None
    seconds = int((tenant.now if end is None else end) - start)
    return seconds if tenant.quirks.times == "ms" else f"{seconds}s"


def person(user: User) -> Payload:
    """A user as answers show one."""
    return {"Id": user.id, "Name": user.name}


def coarse_status(instance: Instance, now: float) -> str:
    """The status in the five words that lineage queries document (WATING is theirs)."""
    status = instance.status(now)
    return _COARSE.get(status, status)


def status_list(tenant: Tenant, instance: Instance) -> list[str]:
    """One status; of a logical table one for each field, the first of which is the one that fails."""
    status = instance.status(tenant.now)
    if tenant.quirks.spellings == "vendor":
        status = _VENDOR_SPELLINGS.get(status, status)
    others = "SUCCESS" if status == "FAILED" else status
    return [status, *[others] * (instance.node.fields - 1)]


def node_record(tenant: Tenant, node: Node, *, paused: bool) -> Payload:
    """`NodeInfo` of an instance and the rows of ListNodes; in an instance `paused` is the instance's own."""
    return {
        "BizUnitName": node.project.biz_unit,
        "CreateTime": tenant.calendar.text(node.created),
        "Creator": person(node.owner),
        "Description": f"{node.name} of {node.project.name}",
        "DryRun": False,
        "From": "DATA_PROCESS",
        "HasDev": node.project.mode == "DEV_PROD",
        "HasProd": True,
        "Id": node.id,
        "LastModifiedTime": tenant.calendar.text(node.created),
        "Modifier": person(node.owner),
        "Name": node.name,
        "OwnerList": [person(node.owner)],
        "PriorityList": [node.priority],
        "SchedulePaused": paused,
        "SchedulePeriodList": [node.period],
        "SubDetailType": node.sub_type,
        "Type": node.type,
    }


def instance_record(tenant: Tenant, instance: Instance) -> Payload:
    """A row of ListInstances, and `Instance` of GetPhysicalInstance."""
    runs = instance.runs[:-1] if instance.mask and len(instance.runs) > 1 else instance.runs
    run = runs[-1] if runs else None
    start = run.start if run else None
    end = instance.ended if run is None else run.end
    node = node_record(tenant, instance.node, paused=instance.paused)
    node["ResourceGroupList"] = ["default"]
    return {
        "BizDate": day(tenant, instance.biz_date),
        "DueTime": moment(tenant, instance.due),
        "Duration": duration(tenant, start, end),
        "EndExecuteTime": moment(tenant, end),
        "ExtendInfo": "",
        "Id": instance.id,
        "Index": instance.index,
        "NodeInfo": node,
        "StartExecuteTime": moment(tenant, start),
        "StatusList": status_list(tenant, instance),
    }


def taskrun_record(tenant: Tenant, run: Run) -> dict[str, Any]:
    """One entry of GetPhysicalInstanceLog; what still runs has no text yet."""
    return {
        "Duration": f"{int((run.end or tenant.now) - run.start)}s",
        "EndTime": "" if run.end is None else tenant.calendar.text(run.end),
        "LogContent": run.log,
        "StartTime": tenant.calendar.text(run.start),
        "Status": run.state,
        "TaskrunId": run.id,
    }
