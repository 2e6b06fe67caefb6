"""Which projects are watched."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import anyio
import pytest

from fake_dataphin import START, FakeDataphin, projects
from phinops.arrive.projects import ProjectList, data_service_projects, tenant_projects
from phinops.errors import Forbidden, Malformed
from phinops.event import JsonObject, Project

REFUSED = Forbidden("ListProjects", "Forbidden.RAM", "no right")


def listed(wanted: Literal["all"] | Sequence[str], answer: Any) -> tuple[ProjectList, FakeDataphin]:
    service = FakeDataphin({"ListProjects": answer})
    return tenant_projects(service, wanted, "PROD"), service


async def ids(watched: ProjectList) -> list[str]:
    return [project.id for project in await watched.watched(START)]


async def test_all_projects_are_watched_and_read_once_a_day() -> None:
    watched, service = listed("all", projects("orders", "stock"))
    assert await watched.watched(START) == (Project("101", "orders"), Project("102", "stock"))
    await watched.watched(START + timedelta(hours=23))
    assert len(service.asked) == 1
    await watched.watched(START + timedelta(hours=24))
    assert len(service.asked) == 2


async def test_projects_are_named_by_id_name_or_display_name() -> None:
    rows = [
        {"Id": 1030111021000000001, "Name": "orders", "DisplayName": "订单"},
        {"Id": "2", "Name": "stock", "DisplayName": None},
        {"Id": 3, "Name": "2"},
        {"Id": 4, "Name": "other"},
    ]
    watched, _ = listed(
        ["订单", "stock", "stock", "2", "77", "nowhere"],
        lambda _: {"PageResult": {"ProjectList": rows, "TotalCount": 4}},
    )
    assert await ids(watched) == ["1030111021000000001", "2", "77"]


async def test_of_a_pair_only_the_project_of_the_tenants_environment_is_watched() -> None:
    rows = [
        {"Id": 1, "Name": "orders", "Mode": "DEV_PROD", "Env": "PROD"},
        {"Id": 2, "Name": "orders_dev", "Mode": "DEV_PROD", "Env": "DEV"},
        {"Id": 3, "Name": "lab", "Mode": "BASIC", "Env": "DEV"},
        {"Id": 4, "Name": "old", "Mode": "DEV_PROD"},
    ]
    watched, _ = listed("all", lambda _: {"PageResult": {"ProjectList": rows, "TotalCount": 4}})
    assert await ids(watched) == ["1", "3", "4"]


async def test_projects_given_by_id_are_watched_without_a_right_to_the_list() -> None:
    watched, service = listed(["7", "8"], lambda _: REFUSED)
    assert await ids(watched) == ["7", "8"]
    assert await ids(watched) == ["7", "8"]
    assert len(service.asked) == 1


async def test_a_list_that_is_needed_and_not_answered_is_an_error_at_first_and_old_later() -> None:
    watched, service = listed("all", lambda _: REFUSED)
    with pytest.raises(Forbidden):
        await watched.watched(START)
    service.scripts["ListProjects"] = projects("orders")
    assert await ids(watched) == ["101"]
    service.scripts["ListProjects"] = lambda _: REFUSED
    assert len(await watched.watched(START + timedelta(days=2))) == 1


async def test_an_unknown_name_is_asked_for_now_and_then() -> None:
    watched, service = listed("all", projects("orders"))
    assert await watched.named("stock", START) == Project("", "stock")
    assert await watched.named("stock", START + timedelta(minutes=9)) == Project("", "stock")
    assert await watched.named("", START + timedelta(minutes=20)) == Project("", "")
    assert len(service.asked) == 1
    service.scripts["ListProjects"] = projects("orders", "stock")
    assert await watched.named("stock", START + timedelta(minutes=10)) == Project("102", "stock")


def members(*rows: Any) -> Mapping[str, Any]:
    return {"ProjectList": list(rows)}


async def test_data_service_projects_are_ones_own_and_those_one_is_authorized_for() -> None:
    service = FakeDataphin(
        {
            "GetDataServiceMyProjects": lambda _: members({"ProjectId": 1, "ProjectName": "a"}, {"ProjectName": "x"}),
            "GetDataServiceAuthorizedProjects": lambda _: members({"ProjectId": 2, "ProjectName": "b"}),
        }
    )
    watched = data_service_projects(service, "all")
    assert await watched.watched(START) == (Project("1", "a"), Project("2", "b"))


async def test_those_one_is_authorized_for_may_be_refused() -> None:
    service = FakeDataphin(
        {
            "GetDataServiceMyProjects": lambda _: members({"ProjectId": 1, "ProjectName": "a"}),
            "GetDataServiceAuthorizedProjects": lambda _: REFUSED,
        }
    )
    assert await ids(data_service_projects(service, ["a"])) == ["1"]
    service.scripts["GetDataServiceMyProjects"] = lambda _: {"ProjectList": "many"}
    with pytest.raises(Malformed, match="ProjectList: a text where a list was expected"):
        await data_service_projects(service, "all").watched(START)


async def test_a_name_that_another_source_is_asking_for_is_waited_for() -> None:
    answered = anyio.Event()

    async def fetch() -> Mapping[str, Project]:
        await answered.wait()
        return {"101": Project("101", "orders"), "orders": Project("101", "orders")}

    watched = ProjectList(fetch, "all")
    found: list[Project] = []

    async def look() -> None:
        found.append(await watched.named("orders", START))

    async with anyio.create_task_group() as group:
        group.start_soon(watched.watched, START)
        group.start_soon(look)
        await anyio.wait_all_tasks_blocked()
        answered.set()
    assert found == [Project("101", "orders")]


@dataclass
class Shelf:
    """Keeps a document as the store does."""

    text: str = ""

    async def load(self) -> JsonObject | None:
        return json.loads(self.text) if self.text else None

    async def save(self, document: JsonObject) -> None:
        self.text = json.dumps(document)


async def test_a_list_that_an_earlier_process_read_costs_no_call_until_a_day_is_over() -> None:
    shelf, service = Shelf(), FakeDataphin({"ListProjects": projects("orders", "stock")})
    first = await tenant_projects(service, "all", "PROD", shelf).watched(START)
    later = tenant_projects(service, "all", "PROD", shelf)
    assert await later.watched(START + timedelta(hours=23)) == first
    assert (await later.named("stock", START + timedelta(hours=23))).id == "102"
    assert len(service.asked) == 1
    await later.watched(START + timedelta(hours=25))
    assert len(service.asked) == 2


async def test_a_name_is_known_from_the_kept_list_though_nobody_asked_for_the_projects() -> None:
    shelf, service = Shelf(), FakeDataphin({"ListProjects": projects("orders")})
    await tenant_projects(service, "all", "PROD", shelf).watched(START)
    assert (await tenant_projects(service, "all", "PROD", shelf).named("orders", START)).id == "101"
    assert len(service.asked) == 1
