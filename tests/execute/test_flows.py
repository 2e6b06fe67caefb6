"""Reading what was submitted: in few calls, and never more than can be compared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from phinops.errors import Malformed
from phinops.event import JsonObject
from phinops.execute.flows import FlowReader
from phinops.execute.steps.flow import Dagrun, Days, Submission

ZONE = ZoneInfo("Asia/Shanghai")
DAYS = Days("2026-01-01", "2026-01-31")


@dataclass(slots=True)
class Service:
    """Answers `replies` by API, and ListInstances from `rows`, at most `clamp` a page; `asked` is every call."""

    rows: list[JsonObject] = field(default_factory=list)
    replies: dict[str, JsonObject] = field(default_factory=dict)
    clamp: int = 100
    tells_total: bool = True
    asked: list[tuple[str, JsonObject]] = field(default_factory=list)

    async def read(self, api: str, params: JsonObject) -> Mapping[str, Any]:
        self.asked.append((api, params))
        if api != "ListInstances":
            return self.replies[api]
        query = params["ListQuery"]
        size = min(self.clamp, query["PageSize"])
        first = (query["Page"] - 1) * size
        page: JsonObject = {"Data": self.rows[first : first + size]}
        return {"PageResult": {**page, "TotalCount": len(self.rows)} if self.tells_total else page}

    @property
    def reader(self) -> FlowReader:
        return FlowReader(self.read, ZONE, "%Y%m%d")


def rows(number: int) -> list[JsonObject]:
    return [{"Id": f"t_{n}", "BizDate": "2026-01-02", "StatusList": ["RUNNING"]} for n in range(number)]


async def test_the_instances_of_a_node_are_asked_for_by_kind_and_days() -> None:
    service = Service(rows(2))
    reader = service.reader
    found = await reader.of_node("7", "n_1", "SUPPLEMENT", DAYS, 500)
    assert found is not None
    assert [(each.id, each.biz_date, each.status) for each in found] == [
        ("t_0", "2026-01-02", "RUNNING"),
        ("t_1", "2026-01-02", "RUNNING"),
    ]
    dates = {"MinBizDate": "20260101", "MaxBizDate": "20260131"}
    page = {"Page": 1, "PageSize": 100}
    query = {"ProjectId": 7, "ScheduleType": "SUPPLEMENT", **dates, "NodeId": "n_1", **page}
    assert service.asked == [("ListInstances", {"ListQuery": query})]
    assert (reader.schedule_of("t_0"), reader.schedule_of("t_9")) == ("SUPPLEMENT", "NORMAL")


@pytest.mark.parametrize("tells_total", [True, False])
@pytest.mark.parametrize(("number", "calls"), [(0, 1), (99, 1), (250, 3)])
async def test_all_pages_are_read(number: int, calls: int, tells_total: bool) -> None:
    service = Service(rows(number), tells_total=tells_total)
    found = await service.reader.of_node("7", "n_1", "MANUAL", DAYS, 500)
    assert found is not None
    assert (len(found), len(service.asked)) == (number, calls)


async def test_pages_that_are_shorter_than_asked_for_are_read_to_the_end() -> None:
    service = Service(rows(120), clamp=50)
    found = await service.reader.of_node("7", "n_1", "MANUAL", DAYS, 500)
    assert found is not None
    assert (len(found), len(service.asked)) == (120, 3)


async def test_too_many_instances_cost_one_call() -> None:
    service = Service(rows(501))
    assert await service.reader.of_node("7", "n_1", "SUPPLEMENT", DAYS, 500) is None
    assert len(service.asked) == 1
    assert await Service(rows(501), tells_total=False).reader.of_node("7", "n_1", "MANUAL", DAYS, 500) is None


async def test_the_instances_of_a_flow_are_asked_for_until_there_are_some() -> None:
    service = Service()
    reader = service.reader
    assert await reader.of_flow("7", "MANUAL", "f_1") == ()
    service.rows = rows(1)
    assert await reader.of_flow("7", "MANUAL", "f_1") == ("t_0",)
    assert await reader.of_flow("7", "MANUAL", "f_1") == ("t_0",)
    assert [params["ListQuery"]["FlowId"] for _, params in service.asked] == ["f_1", "f_1"]
    assert reader.schedule_of("t_0") == "MANUAL"


async def test_a_job_is_asked_until_it_has_made_a_flow() -> None:
    service = Service(
        replies={
            "GetOperationSubmitStatus": {"OperationSubmitJob": {"OperationStatus": "running", "ExternalBizId": ""}}
        }
    )
    reader = service.reader
    assert await reader.submission("12") == Submission("RUNNING")
    done = {"OperationSubmitJob": {"OperationStatus": "SUCCESS", "ExternalBizId": "f_1"}}
    service.replies["GetOperationSubmitStatus"] = done
    assert await reader.submission("12") == Submission("SUCCESS", "f_1")
    assert await reader.submission("12") == Submission("SUCCESS", "f_1")
    assert service.asked == [("GetOperationSubmitStatus", {"JobId": "12"})] * 2


async def test_the_days_of_a_backfill_are_read_in_any_form() -> None:
    listed = [{"BizDate": "20260101", "Status": "success"}, {"BizDate": 1767283200000, "Status": "RUNNING"}]
    service = Service(replies={"GetSupplementDagrun": {"DagrunList": listed}})
    assert await service.reader.dagruns("f_1") == [Dagrun("2026-01-01", "SUCCESS"), Dagrun("2026-01-02", "RUNNING")]


async def test_what_hangs_below_comes_nearest_first_and_once() -> None:
    related = [
        {"DownStreamDepth": 2, "InstanceInfo": {"Id": "t_3"}, "RunStatus": "WATING"},
        {"DownStreamDepth": 1, "InstanceInfo": {"Id": "t_2"}, "RunStatus": "FAILED"},
        {"DownStreamDepth": 3, "InstanceInfo": {"Id": "t_2"}, "RunStatus": "FAILED"},
        {"DownStreamDepth": 1, "InstanceInfo": {"Id": "t_1"}, "RunStatus": "FAILED"},
    ]
    service = Service(replies={"GetInstanceDownStream": {"InstanceRelationList": related}})
    found = await service.reader.below("t_1", "LOGICAL_TABLE")
    assert [(each.id, each.status) for each in found] == [("t_2", "FAILED"), ("t_3", "WAITING")]
    get = {"InstanceId": "t_1", "NodeType": "BBOX_LOGIC_TABLE_NODE"}
    assert service.asked == [("GetInstanceDownStream", {"DownStreamDepth": 6, "InstanceGet": get})]


@pytest.mark.parametrize(
    ("api", "reply"),
    [
        ("GetSupplementDagrun", {"DagrunList": "many"}),
        ("GetSupplementDagrun", {"DagrunList": [{"BizDate": "soon"}]}),
        ("GetOperationSubmitStatus", {}),
        ("GetInstanceDownStream", {"InstanceRelationList": [{"InstanceInfo": {}}]}),
    ],
)
async def test_a_reply_that_cannot_be_read_is_dataphin_s_error(api: str, reply: JsonObject) -> None:
    reader = Service(replies={api: reply}).reader
    asks: Mapping[str, Callable[[], Awaitable[object]]] = {
        "GetSupplementDagrun": lambda: reader.dagruns("f_1"),
        "GetOperationSubmitStatus": lambda: reader.submission("1"),
        "GetInstanceDownStream": lambda: reader.below("t_1", ""),
    }
    with pytest.raises(Malformed):
        await asks[api]()
