"""The tenant itself, its projects, and the caller's roles."""

from __future__ import annotations

from collections.abc import Mapping

from phinops.simulate.answers.call import Answerer, Call, Payload, page, permitted_project
from phinops.simulate.model import Project
from phinops.simulate.refusal import Refusal


def _tenants(call: Call) -> Payload:
    row = {
        "DeleteTime": None,
        "Deleted": False,
        "Description": "a simulated tenant",
        "Id": call.tenant.id,
        "Name": call.tenant.name,
        "OpsTenant": False,
        "OwnerId": call.user.id,
        "ResourceLimited": False,
        "TenantTypeList": ["NORMAL"],
        "TitleType": "icon",
        "Visible": True,
    }
    return {"TenantList": [row]}


def _roles(call: Call) -> Payload:
    return {"RoleList": [{"Description": "operations engineer", "Id": 300047957, "Name": "opsEngineer"}]}


def _list(call: Call) -> Payload:
    query = call.struct("ListQuery")
    keyword = query.get("Keyword", "")
    rows = [
        project
        for project in call.tenant.projects.values()
        if project.permitted
        and keyword in project.name
        and query.get("Mode") in (None, project.mode)
        and not query.get("TagList")
    ]
    shown, total = page(call, rows, query, "PageNo")
    return {"PageResult": {"ProjectList": [_row(call, each) for each in shown], "TotalCount": total}}


def _row(call: Call, project: Project) -> Payload:
    created = call.tenant.calendar.text(project.created)
    return {
        "BizUnitId": project.biz_unit_id,
        "DataSourceId": project.id + 700_000,
        "DataSourceName": f"{project.name}_source",
        "Description": project.description,
        "DisplayName": project.name,
        "Env": call.struct("ListQuery").get("Env", "PROD"),
        "GmtCreate": created,
        "GmtModified": created,
        "Id": project.id,
        "Mode": project.mode,
        "Name": project.name,
        "Owner": project.owner.id,
        "OwnerName": project.owner.name,
        "RealtimeDataSourceId": None,
        "RealtimeDataSourceName": None,
        "Type": "GENERAL",
    }


def _info(call: Call, project: Project) -> Payload:
    created = call.tenant.calendar.text(project.created)
    return {
        "ProjectInfo": {
            "BizUnitDisplayName": project.biz_unit,
            "BizUnitId": project.biz_unit_id,
            "ComputeSourceId": project.id + 700_000,
            "ComputeSourceName": f"{project.name}_source",
            "Description": project.description,
            "DisplayName": project.name,
            "Env": call.env,
            "GmtCreate": created,
            "GmtModified": created,
            "Id": project.id,
            "Mode": project.mode,
            "Name": project.name,
            "NameSpaceTag": "BASE",
            "Owner": project.owner.id,
            "OwnerName": project.owner.name,
            "StreamComputeSourceId": None,
            "StreamComputeSourceName": None,
            "Type": "GENERAL",
            "WhiteLists": [],
        }
    }


def _get(call: Call) -> Payload:
    return _info(call, permitted_project(call, call.arguments["Id"]))


def _get_by_name(call: Call) -> Payload:
    name = call.arguments["Name"]
    found = next((each for each in call.tenant.projects.values() if each.name == name), None)
    if found is None:
        raise Refusal("DPN.Filter.ProjectNotFound", f"project {name} is not in tenant {call.tenant.id}")
    return _info(call, permitted_project(call, found.id))


PROJECTS: Mapping[str, Answerer] = {
    "GetMyTenants": _tenants,
    "GetMyRoles": _roles,
    "ListProjects": _list,
    "GetProject": _get,
    "GetProjectByName": _get_by_name,
}
