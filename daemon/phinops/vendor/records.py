"""Whole records: instances, nodes, alerts."""

from __future__ import annotations

from datetime import tzinfo

from phinops.event import Alert, AlertObject, AlertUrls, Instance, Node, Owner
from phinops.vendor.values import (
    Record,
    read_biz_date,
    read_count,
    read_duration,
    read_flag,
    read_id,
    read_list,
    read_object,
    read_params,
    read_state,
    read_text,
    read_time,
)


def read_instance(record: object, zone: tzinfo) -> Instance:
    """The instance of a row of ListInstances or of GetPhysicalInstance's `Instance`.

    `previous_status` and `attempts` are not in the record: the one who remembers fills them in.

    Raises:
        ValueError: it has no id, or a field that cannot be read.
    """
    row = read_object(record, "Instance")
    return Instance(
        id=read_id(row),
        status=read_state(row.get("StatusList", row.get("Status"))),
        biz_date=read_biz_date(row.get("BizDate"), zone),
        due_time=read_time(row.get("DueTime"), zone, "DueTime"),
        started_at=read_time(row.get("StartExecuteTime"), zone, "StartExecuteTime"),
        ended_at=read_time(row.get("EndExecuteTime"), zone, "EndExecuteTime"),
        duration_s=read_duration(row.get("Duration")),
        paused=instance_paused(row),
    )


def instance_paused(record: Record) -> bool | None:
    """Whether an instance's record says that it is paused: pausing leaves its status as it was.

    Raises:
        ValueError: `NodeInfo` is no object or its `SchedulePaused` no flag.
    """
    return read_flag(read_object(record.get("NodeInfo"), "NodeInfo").get("SchedulePaused"), "NodeInfo.SchedulePaused")


def read_node(node_info: object) -> Node:
    """The node of a `NodeInfo`, of ListInstances as of GetPhysicalNode; `paused` is None: nobody read it there.

    Raises:
        ValueError: a field cannot be read.
    """
    info = read_object(node_info, "NodeInfo")
    owners = read_list(info.get("OwnerList"), "NodeInfo.OwnerList") or (info.get("Owner"),)
    return Node(
        id=read_text(info.get("Id"), "NodeInfo.Id"),
        name=read_text(info.get("Name"), "NodeInfo.Name"),
        type=read_text(info.get("Type") or info.get("From"), "NodeInfo.Type"),
        sub_type=read_text(info.get("SubDetailType") or info.get("OperatorType"), "NodeInfo.SubDetailType"),
        priority=_first(info, "PriorityList", "Priority"),
        owners=tuple(_read_owner(owner) for owner in owners if owner),
        schedule_period=_first(info, "SchedulePeriodList", "ScheduleType"),
    )


def read_alert(record: object, zone: tzinfo) -> Alert:
    """The alert of a row of ListAlertEvents or of GetAlertEvent.

    Raises:
        ValueError: it has no id, or a field that cannot be read.
    """
    row = read_object(record, "AlertEvent")
    reason = read_object(row.get("AlertReason"), "AlertReason")
    target = read_object(row.get("AlertObject"), "AlertObject")
    urls = read_object(row.get("UrlConfig"), "UrlConfig")
    return Alert(
        id=read_id(row),
        status=read_text(row.get("Status"), "Status").strip().upper(),
        reason=read_text(reason.get("Type"), "AlertReason.Type"),
        params=read_params(reason.get("AlertReasonParamList"), "AlertReason.AlertReasonParamList"),
        object=AlertObject(
            name=read_text(target.get("Name"), "AlertObject.Name"),
            type=read_text(target.get("Type"), "AlertObject.Type"),
            system=read_text(target.get("SourceSystemType"), "AlertObject.SourceSystemType"),
        ),
        times=read_count(row.get("TotalAlertTimes"), "TotalAlertTimes"),
        first_time=read_time(row.get("FirstAlertTime"), zone, "FirstAlertTime"),
        latest_time=read_time(row.get("LatestAlertTime"), zone, "LatestAlertTime"),
        biz_date=read_biz_date(reason.get("BizDate"), zone, "AlertReason.BizDate"),
        unique_key=read_text(reason.get("UniqueKey"), "AlertReason.UniqueKey"),
        urls=AlertUrls(
            log=read_text(urls.get("LogUrl"), "UrlConfig.LogUrl"),
            object=read_text(urls.get("ObjectUrl"), "UrlConfig.ObjectUrl"),
            config=read_text(urls.get("AlertConfigUrl"), "UrlConfig.AlertConfigUrl"),
        ),
    )


def read_alert_project(record: Record) -> str:
    """The name of the project that an alert belongs to: alerts bear no project id.

    Raises:
        ValueError: the field cannot be read.
    """
    belongs = read_object(record.get("BelongProject"), "BelongProject")
    return read_text(belongs.get("ProjectName"), "BelongProject.ProjectName")


def _read_owner(value: object) -> Owner:
    owner = read_object(value, "NodeInfo.OwnerList")
    return Owner(id=read_text(owner.get("Id"), "OwnerList.Id"), name=read_text(owner.get("Name"), "OwnerList.Name"))


def _first(info: Record, many: str, one: str) -> str:
    listed = read_list(info.get(many), f"NodeInfo.{many}") or (info.get(one),)
    return read_text(listed[0], f"NodeInfo.{many}")
