"""Alert events and what was sent about them."""

from __future__ import annotations

from collections.abc import Mapping

from phinops.simulate.answers.call import Answerer, Call, Payload, chosen, page, read_moment
from phinops.simulate.arguments import Arguments
from phinops.simulate.model import Alert, Notification
from phinops.simulate.refusal import invalid, missing

SYSTEMS = ("ALL", "DQE", "OS", "STREAM", "VDM_BATCH", "SOP", "REAL_TIME_PIPELINE", "KGB")

_SENDING = 1.0
"""Seconds that a notification is under way."""

_BASE = "https://dataphin.example.com/ops"


def _list(call: Call) -> Payload:
    query = call.struct("ListQuery")
    start, end = _window(call, query, "AlertStartTime", "AlertEndTime")
    names = query.get("ProjectNameList")
    rows = [
        alert
        for alert in reversed(call.tenant.alerts.rows.values())
        # Whether the service tests the first or the latest time is not documented; the latest is assumed.
        if start <= int(alert.latest) <= end
        and _matches(alert, query)
        and chosen(alert.status, query.get("StatusList"))
        and chosen(alert.object_type, query.get("AlertObjectTypeList"))
        and chosen(alert.project_name, names)
        and chosen(alert.biz_name, query.get("BizNameList"))
    ]
    shown, total = page(call, rows, query)
    data = [{**_record(call, alert), "Id": str(alert.id)} for alert in shown]
    return {"ListResult": {"Data": data, "TotalCount": total}}


def _window(call: Call, query: Arguments, first: str, last: str) -> tuple[float, float]:
    if query["SourceSystem"] not in SYSTEMS:
        raise invalid(f"SourceSystem must be one of {', '.join(SYSTEMS)}")
    calendar = call.tenant.calendar
    start, end = read_moment(calendar, query[first], first), read_moment(calendar, query[last], last)
    if end < start:
        raise invalid(f"{last} is before {first}")
    return start, end


def _matches(alert: Alert, query: Arguments) -> bool:
    """The filters that alerts and notifications share."""
    return (
        query["SourceSystem"] in ("ALL", alert.system)
        and query.get("Keyword", "") in alert.object_name
        and chosen(alert.reason, query.get("AlertReasonList"))
        and chosen(alert.unique_key, query.get("MonitoredItemIdList"))
        and chosen(next(iter(alert.rule.receivers), ""), query.get("UserIdList"))
    )


def _get(call: Call) -> Payload:
    alert = call.tenant.alerts.rows.get(call.arguments["Id"])
    if alert is None:
        raise invalid(f"there is no alert event {call.arguments['Id']}")
    return {"AlertEventInfo": {**_record(call, alert), "Id": alert.id}}


def _record(call: Call, alert: Alert) -> Payload:
    calendar = call.tenant.calendar
    quiet = alert.quiet_until
    return {
        "AlertFrequency": "PERIOD" if alert.rule.every else "ONCE",
        "AlertObject": _object(alert),
        "AlertReason": _reason(call, alert, compact=False),
        "AlertReceiverList": [
            {
                "AlertChannelTypeList": [alert.rule.channel],
                "CustomAlertChannelIdList": [],
                "OnCallTableName": "",
                "Type": "OWNER",
                "UserList": [{"Name": name} for name in alert.rule.receivers],
            }
        ],
        "BelongProject": {"BizName": alert.biz_name, "ProjectName": alert.project_name},
        "DoNotDisturbEndTime": "" if quiet is None else calendar.text(quiet),
        "FirstAlertTime": calendar.text(alert.first),
        "LatestAlertTime": calendar.text(alert.latest),
        "Status": alert.status,
        "TotalAlertTimes": alert.times,
        "UrlConfig": {
            "AlertConfigUrl": f"{_BASE}/alert/config/{alert.id}",
            "LogUrl": f"{_BASE}/log/{alert.unique_key}",
            "ObjectUrl": f"{_BASE}/object/{alert.unique_key}",
        },
    }


def _object(alert: Alert) -> Payload:
    return {"Name": alert.object_name, "SourceSystemType": alert.system, "Type": alert.object_type}


def _reason(call: Call, alert: Alert, *, compact: bool) -> Payload:
    """The documents show both `20241125` and a time as BizDate: notifications have the one, events the other."""
    biz_date = ""
    if alert.biz_date is not None:
        biz_date = f"{alert.biz_date:%Y%m%d}" if compact else f"{alert.biz_date:%Y-%m-%d} 00:00:00"
    return {
        "AlertReasonParamList": [{"Key": key, "Value": value} for key, value in alert.params],
        "BizDate": biz_date,
        "Type": alert.reason,
        "UniqueKey": alert.unique_key,
    }


def _notifications(call: Call) -> Payload:
    if "ListQuery" not in call.arguments:
        raise missing("ListQuery")
    query = call.struct("ListQuery")
    start, end = _window(call, query, "NotifyStartTime", "NotifyEndTime")
    rows = [
        each
        for each in reversed(call.tenant.alerts.notifications)
        if start <= int(each.at) <= end
        and _matches(each.alert, query)
        and chosen(each.channel, query.get("ChannelTypeList"))
        and chosen(_send_status(call, each), query.get("StatusList"))
        and not query.get("CustomChannelIdList")
    ]
    shown, total = page(call, rows, query)
    data = [_notification(call, each) for each in shown]
    return {"ListResult": {"Data": data, "TotalCount": total}}


def _send_status(call: Call, notification: Notification) -> str:
    if call.tenant.now < notification.at + _SENDING:
        return "SENDING"
    return "SUCCESS" if notification.delivered else "FAILE"  # as the service spells it


def _notification(call: Call, notification: Notification) -> Payload:
    alert = notification.alert
    status = _send_status(call, notification)
    return {
        "AlertEventId": str(alert.id),
        "AlertObject": _object(alert),
        "AlertReason": _reason(call, alert, compact=True),
        "AlertReceiver": {
            "AlertChannelType": notification.channel,
            "CustomAlertChannelId": "",
            "OnCallTableId": "",
            "OnCallTableName": "",
            "Type": "OWNER",
            "User": {"Name": notification.receiver},
        },
        "AlertSend": {
            "FailReason": "the channel did not answer" if status == "FAILE" else "",
            "SendContent": f"{alert.object_name}: {alert.reason}",
            "SendTime": call.tenant.calendar.text(notification.at),
            "Status": status,
        },
    }


ALERTS: Mapping[str, Answerer] = {
    "ListAlertEvents": _list,
    "GetAlertEvent": _get,
    "ListAlertNotifications": _notifications,
}
