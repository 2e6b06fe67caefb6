"""Data service projects: their APIs, who calls them, and what fails."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from phinops.simulate.answers.call import Answerer, Call, Payload, page, read_moment
from phinops.simulate.answers.calls import call_record
from phinops.simulate.arguments import Arguments
from phinops.simulate.refusal import Refusal, invalid
from phinops.simulate.traffic import App, DataService, Served, ServedApi, Stream, Tally

_DESCENDING = 2

Logged = tuple[float, ServedApi, Stream, Served]


def _service(call: Call) -> DataService:
    found = call.tenant.services.get(call.arguments["ProjectId"])
    if found is None:
        raise _bad(f"there is no data service project {call.arguments['ProjectId']}")
    if not found.permitted:
        raise Refusal("DPN.Oltp.MgmtSys.NoAuthorized", f"no role in data service project {found.name}")
    return found


def _bad(message: str) -> Refusal:
    return Refusal("DPN.Oltp.MgmtSys.ParamError", message, reason="parameters")


def _window(call: Call, times: Arguments) -> tuple[float, float]:
    """The window that is asked for, half open, cut at the present."""
    calendar = call.tenant.calendar
    start = read_moment(calendar, times["StartTime"], "StartTime")
    end = read_moment(calendar, times["EndTime"], "EndTime")
    if end < start:
        raise invalid("EndTime is before StartTime")
    return start, min(end, call.tenant.now)


def _my_projects(call: Call) -> Payload:
    rows = [
        {"ProjectId": each.id, "ProjectName": each.name, "Role": 4}
        for each in call.tenant.services.values()
        if each.mine
    ]
    return {"ProjectList": rows}


def _authorized_projects(call: Call) -> Payload:
    """The rest: those in which the caller has a role without owning them."""
    rows = [
        {"ProjectId": each.id, "ProjectName": each.name, "Role": 2}
        for each in call.tenant.services.values()
        if each.permitted and not each.mine
    ]
    return {"ProjectList": rows}


def _summary(call: Call) -> Payload:
    service = _service(call)
    start, end = _window(call, call.arguments)
    total = service.tally(start, end)
    failing = [each for each in service.apis if each.tally(start, end).errors]
    apps = {stream.app.id for each in failing for stream in each.streams if stream.tally(start, end).errors}
    return {
        "Data": {
            "CallCount": total.calls,
            "ErrorApiCount": len(failing),
            "ErrorAppCount": len(apps),
            "ErrorCount": total.errors,
            "ErrorRate": total.error_rate,
            "OfflineRate": total.offline_rate,
        }
    }


def _trend(call: Call) -> Payload:
    service = _service(call)
    start, end = _window(call, call.arguments)
    impacts, errors = [], []
    for begin, past in _minutes(start, end):
        minute = call.tenant.calendar.text(begin)[:-3]
        tally = service.tally(begin, past)
        errors.append({"CallCount": tally.calls, "ErrorCount": tally.errors, "Minute": minute})
        failing = [each for each in service.apis if tally.errors and each.tally(begin, past).errors]
        apps = {stream.app.id for each in failing for stream in each.streams if stream.tally(begin, past).errors}
        impacts.append(
            {
                "ApiIdList": [each.id for each in failing],
                "ErrorApiCount": len(failing),
                "ErrorAppCount": len(apps),
                "Minute": minute,
            }
        )
    return {"Data": {"CallErrorImpactTrendList": impacts, "CallErrorTrendList": errors}}


def _minutes(start: float, end: float) -> Iterator[tuple[float, float]]:
    begin = start - start % 60
    while begin < end:
        yield max(begin, start), min(begin + 60, end)
        begin += 60


def _error_impact(call: Call) -> Payload:
    service = _service(call)
    start, end = _window(call, call.arguments)
    apis = [(each, each.tally(start, end).errors) for each in service.apis]
    apps: Counter[App] = Counter()
    for api in service.apis:
        for stream in api.streams:
            apps[stream.app] += stream.tally(start, end).errors
    return {
        "Data": {
            # The documents do call the API's id AppId here.
            "ErrorApiList": [
                {"ApiName": each.name, "AppId": each.id, "ErrorCount": errors} for each, errors in apis if errors
            ],
            "ErrorAppList": [
                {"AppId": app.id, "AppKey": app.key, "AppName": app.name, "ErrorCount": errors}
                for app, errors in apps.items()
                if errors
            ],
        }
    }


def _impacts(call: Call) -> Payload:
    service, query = _service(call), call.struct("ListQuery")
    api = service.api(query["ApiId"])
    if api is None:
        raise _bad(f"there is no API {query['ApiId']} in data service project {service.name}")
    start, end = _window(call, query)
    name = query.get("AppName", "")
    rows = [
        _impact(call, api, stream, tally)
        for stream in api.streams
        if name in stream.app.name and (tally := stream.tally(start, end)).calls
    ]
    shown, total = page(call, _ordered(rows, query), query, "PageNo")
    return {"PageResult": {"ImpactList": shown, "TotalCount": total}}


def _impact(call: Call, api: ServedApi, stream: Stream, tally: Tally) -> Payload:
    last = call.tenant.calendar.text(tally.last or 0.0)
    return {
        "ApiId": api.id,
        "AppKey": stream.app.key,
        "AppName": stream.app.name,
        "CallCount": tally.calls,
        "ClientFailCount": 0,
        "ClientIp": stream.app.ip,
        "ErrorApiCount": 1 if tally.errors else 0,
        "ErrorCount": tally.errors,
        "ErrorRate": f"{tally.error_rate:.1f}",
        "LastCallTime": last,
        "Minute": f"{last[:4]}_{last[5:7]}{last[8:10]}_{last[11:13]}{last[14:16]}",
        "OfflineCount": tally.offline,
        "SuccessTimeCost": str(api.response_ms * (tally.calls - tally.errors)),
        "TotalCount": tally.calls,
        "TotalTimeCost": str(api.response_ms * tally.calls),
    }


_COLUMNS: Mapping[str, Callable[[Payload], Any]] = {
    "CALL_COUNT": lambda row: row["CallCount"],
    "ERROR_COUNT": lambda row: int(row["ErrorCount"]),
    "ERROR_RATE": lambda row: float(row["ErrorRate"].rstrip("%")),
}


def _ordered(rows: list[Payload], query: Arguments) -> list[Payload]:
    column = query.get("OrderColumn", "CALL_COUNT")
    if column not in _COLUMNS:
        raise _bad(f"OrderColumn must be one of {', '.join(_COLUMNS)}")
    return sorted(rows, key=_COLUMNS[column], reverse=query.get("OrderType", 1) == _DESCENDING)


def _statistics(call: Call) -> Payload:
    service, query = _service(call), call.struct("ListQuery")
    start, end = _window(call, query)
    rows = [
        _statistic(call, service, api, api.tally(start, end))
        for api in service.apis
        if query.get("Keyword", "") in api.name
    ]
    shown, total = page(call, _ordered(rows, query), query, "PageNo")
    return {"PageResult": {"CallStatisticsList": shown, "TotalCount": total}}


def _statistic(call: Call, service: DataService, api: ServedApi, tally: Tally) -> Payload:
    return {
        "ApiId": api.id,
        "ApiName": api.name,
        "AppNameList": [stream.app.name for stream in api.streams],
        "AuthorizedAppCount": len(api.streams),
        "AvgResponseTime": float(api.response_ms),
        "CallCount": tally.calls,
        "Creator": service.owner,
        "ErrorCount": str(tally.errors),
        "ErrorRate": f"{tally.error_rate}%",
        "LastCallTime": "" if tally.last is None else call.tenant.calendar.text(tally.last),
        "OfflineRate": f"{tally.offline_rate}%",
        "ProjectId": service.id,
        "ProjectName": service.name,
        "SqlId": api.id + 1_000,
    }


def _calls(call: Call) -> Payload:
    service, query = _service(call), call.struct("ListQuery")
    start, end = _window(call, query)
    wanted = query.get("Successful")
    streams = [(api, stream) for api in service.apis for stream in api.streams if _asked(api, stream.app, query)]
    total = sum(_counted(stream.tally(start, end), wanted) for _, stream in streams)
    logs = [_logged(api, stream, start, end, wanted) for api, stream in streams]
    newest = heapq.merge(*logs, key=lambda each: -each[0])
    number, size = query.get("PageNo", 1), query.get("PageSize", 20)
    rows = list(islice(newest, number * size)) if number > 0 and size > 0 else []
    shown, _ = page(call, rows, query, "PageNo")
    return {
        "PageResult": {
            "CallLogList": [call_record(call, service, *each[1:]) for each in shown],
            "TotalCount": total,
        }
    }


def _asked(api: ServedApi, app: App, query: Arguments) -> bool:
    return (
        query.get("ApiId") in (None, api.id)
        and query.get("ApiName", "") in api.name
        and query.get("AppKey") in (None, app.key)
        and query.get("AppKeyStr") in (None, f"APP_{app.key}")
        and query.get("ClientIp") in (None, app.ip)
    )


def _counted(tally: Tally, successful: bool | None) -> int:
    if successful is None:
        return tally.calls
    return tally.calls - tally.errors if successful else tally.errors


def _logged(api: ServedApi, stream: Stream, start: float, end: float, successful: bool | None) -> Iterator[Logged]:
    for served in stream.log(start, end):
        if successful is None or served.failed is not successful:
            yield served.at, api, stream, served


def _published(call: Call) -> Payload:
    service, query = _service(call), call.struct("ListQuery")
    rows = [each for each in service.apis if query.get("ApiName", "") in each.name]
    shown, total = page(call, rows, query, "PageNo")
    return {"PageResult": {"ApiList": [_published_record(call, service, each) for each in shown], "TotalCount": total}}


def _published_record(call: Call, service: DataService, api: ServedApi) -> Payload:
    since = call.tenant.calendar.text(service.since)
    apps = [
        {
            "AppId": stream.app.id,
            "AppKey": stream.app.key,
            "AppKeyStr": f"APP_{stream.app.key}",
            "AppName": stream.app.name,
        }
        for stream in api.streams
    ]
    return {
        "ApiId": api.id,
        "ApiName": api.name,
        "AppCount": len(apps),
        "AppInfoList": apps,
        "ApplyStatus": 1,
        "CallCount": api.tally(service.since, call.tenant.now).calls,
        "CreateType": 1,
        "CustomUpdateRate": "",
        "DeployTime": since,
        "Description": api.name,
        "ExecuteMode": 1,
        "GroupId": service.id * 10,
        "GroupName": api.group,
        "LogicUnitNo": api.id + 2_000,
        "Mode": 1,
        "Owner": service.owner,
        "OwnerUserName": service.owner,
        "ProjectId": service.id,
        "ProjectName": service.name,
        "UpdateRate": 1,
        "UpdateTime": since,
        "Version": "1.0",
    }


DATA_SERVICE: Mapping[str, Answerer] = {
    "GetDataServiceMyProjects": _my_projects,
    "GetDataServiceAuthorizedProjects": _authorized_projects,
    "GetDataServiceApiCallSummary": _summary,
    "GetDataServiceApiCallTrend": _trend,
    "GetDataServiceApiErrorImpact": _error_impact,
    "ListDataServiceApiImpacts": _impacts,
    "ListDataServiceApiCallStatistics": _statistics,
    "ListDataServiceApiCalls": _calls,
    "ListDataServicePublishedApis": _published,
}
