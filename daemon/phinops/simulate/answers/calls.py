"""One line of the log of calls to data service APIs."""

from __future__ import annotations

import json

from phinops.simulate.answers.call import Call, Payload
from phinops.simulate.traffic import DataService, Served, ServedApi, Stream


def call_record(call: Call, service: DataService, api: ServedApi, stream: Stream, served: Served) -> Payload:
    """One row of ListDataServiceApiCalls."""
    calendar = call.tenant.calendar
    failed, offline = served.failed, served.offline
    code = "API_OFFLINE" if offline else "SQL_EXECUTE_ERROR" if failed else "OK"
    end = served.at + api.response_ms / 1000
    return {
        "ApiId": api.id,
        "ApiName": api.name,
        "AppKey": stream.app.key,
        "AppKeyStr": f"APP_{stream.app.key}",
        "AppName": stream.app.name,
        "BizCode": code,
        "BizCodeDescription": code,
        "ClientIp": stream.app.ip,
        "CostTime": api.response_ms,
        "EndTime": f"{calendar.text(end)}.000",
        "Env": 1,
        "ExecuteCostTime": api.response_ms - 1,
        "ExecuteMode": 1,
        "HttpStatusCode": "500" if failed else "200",
        "HttpStatusDescription": "Internal Server Error" if failed else "OK",
        "JobId": f"{api.id}{served.number}",
        "ProjectId": service.id,
        "ProjectName": service.name,
        "RequestId": f"{stream.app.key}-{served.number}",
        "RequestParameter": json.dumps({"id": served.number}),
        "RequestSize": 64,
        "ResponseParameter": json.dumps({"code": code}),
        "ResponseSize": 256,
        "ResultCount": 0 if failed else 1,
        "Sql": api.sql,
        "StartTime": f"{calendar.text(served.at)}.000",
        "Status": 0 if failed else 1,
        "Successful": not failed,
    }
