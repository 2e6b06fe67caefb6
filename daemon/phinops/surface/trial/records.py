"""Objects of a trial's tenant as Dataphin's answers show them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from phinops.event import Alert, JsonObject, Node
from phinops.surface.trial.tenant import Known, Run

SUB_TYPE = "SHELL"
"""Of a node whose kind nobody said: the list of nodes is asked for by kind."""


def instance_record(run: Run, node: Node) -> JsonObject:
    """`Instance` of GetPhysicalInstance and a row of ListInstances, over the raw record of the last event."""
    instance = run.instance
    record: JsonObject = {
        "Id": instance.id,
        "StatusList": [instance.status],
        "BizDate": instance.biz_date,
        "DueTime": _millis(instance.due_time),
        "StartExecuteTime": _millis(instance.started_at),
        "EndExecuteTime": _millis(instance.ended_at),
        "Duration": instance.duration_s,
        "NodeInfo": {**node_record(node), "SchedulePaused": instance.paused},
    }
    return _over(run.raw, record)


def node_record(node: Node) -> JsonObject:
    """`NodeInfo`, and a row of ListNodes."""
    return {
        "Id": node.id,
        "Name": node.name,
        "Type": node.type,
        "SubDetailType": node.sub_type,
        "PriorityList": [node.priority] if node.priority else [],
        "SchedulePeriodList": [node.schedule_period] if node.schedule_period else [],
        "OwnerList": [{"Id": owner.id, "Name": owner.name} for owner in node.owners],
        "SchedulePaused": node.paused,
    }


def listed_node(node: Node) -> JsonObject:
    """A node as it is shown by itself, of some kind in any case."""
    return {**node_record(node), "SubDetailType": node.sub_type or SUB_TYPE}


def alert_record(known: Known[Alert]) -> JsonObject:
    """`AlertEventInfo` of GetAlertEvent, over the raw record of the last event."""
    alert = known.item
    record: JsonObject = {
        "Id": alert.id,
        "Status": alert.status,
        "AlertReason": {
            "Type": alert.reason,
            "UniqueKey": alert.unique_key,
            "BizDate": alert.biz_date,
            "AlertReasonParamList": [{"Key": key, "Value": value} for key, value in alert.params.items()],
        },
        "AlertObject": {
            "Name": alert.object.name,
            "Type": alert.object.type,
            "SourceSystemType": alert.object.system,
        },
        "TotalAlertTimes": alert.times,
        "FirstAlertTime": _millis(alert.first_time),
        "LatestAlertTime": _millis(alert.latest_time),
        "UrlConfig": {
            "LogUrl": alert.urls.log,
            "ObjectUrl": alert.urls.object,
            "AlertConfigUrl": alert.urls.config,
        },
        "BelongProject": {"ProjectName": known.project},
    }
    return _over(known.raw, record)


def _millis(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)


def _over(below: Any, record: JsonObject) -> JsonObject:
    """The record, with whatever else the one below has."""
    if not isinstance(below, Mapping):
        return record
    found = dict(below)
    for name, value in record.items():
        inner = below.get(name)
        both = isinstance(value, dict) and isinstance(inner, Mapping)
        found[name] = _over(inner, value) if both else value
    return found
