from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import anyio.lowlevel
import pytest

from phinops.errors import Forbidden, Malformed, QuotaSpent, Refused, Transient
from phinops.event import JsonObject
from phinops.execute.look import MANY, Look
from phinops.execute.memory import MEMORY, remember
from phinops.execute.steps.kind import BadStep, NodeOperation, Target

ZONE = ZoneInfo("Asia/Shanghai")


def record(number: int, biz_date: str = "2026-01-04", **fields: Any) -> JsonObject:
    node = {"Id": f"n_{number}", "Name": f"dws_{number}", "Type": "DATA_PROCESS", "SubDetailType": "SHELL"}
    return {
        "Id": f"t_{number}",
        "BizDate": biz_date,
        "StatusList": ["FAILED"],
        "StartExecuteTime": "2026-01-05 01:00:00",
        "NodeInfo": {**node, "SchedulePaused": False},
        **fields,
    }


def node_row(number: int, *, paused: bool = False, **fields: Any) -> JsonObject:
    row = {"Id": f"n_{number}", "Name": f"dws_{number}", "Type": "DATA_PROCESS", "SubDetailType": "SHELL"}
    return {**row, "SchedulePaused": paused, **fields}


@dataclass(slots=True)
class Service:
    """Answers the reads that a look makes, as the documents have it; `calls` counts them, `asked` keeps them.

    `clamp` is the page size that it never passes, `hidden` what its lists leave out, `refusals` errors by API.
    """

    instances: dict[str, Any] = field(default_factory=dict)
    nodes: dict[str, JsonObject] = field(default_factory=dict)
    log: list[JsonObject] = field(default_factory=list)
    below: JsonObject = field(default_factory=dict)
    clamp: int = 100
    tells_total: bool = True
    hidden: set[str] = field(default_factory=set)
    refusals: dict[str, Exception] = field(default_factory=dict)
    asked: list[tuple[str, JsonObject]] = field(default_factory=list)

    @property
    def calls(self) -> Counter[str]:
        return Counter(api for api, _ in self.asked)

    async def read(self, api: str, params: JsonObject) -> Mapping[str, Any]:
        self.asked.append((api, params))
        await anyio.lowlevel.checkpoint()
        if api in self.refusals:
            raise self.refusals[api]
        match api:
            case "GetPhysicalInstance":
                return {"Instance": self._known(self.instances, params["InstanceId"], "Task.TaskNotFoundByTaskId")}
            case "GetPhysicalNode":
                return {"NodeInfo": self._node_info(params["NodeId"])}
            case "ListInstances":
                query = params["ListQuery"]
                states = query.get("RunStatusList")
                rows = [row for row in self.instances.values() if row["BizDate"] == query["MinBizDate"]]
                rows = [row for row in rows if states is None or row["StatusList"][0] in states]
                return {"PageResult": self._page(rows, query, "Data")}
            case "ListNodes":
                query = params["ListQuery"]
                text = query.get("SearchText", "")
                rows = [row for row in self.nodes.values() if row["SubDetailType"] in query["NodeSubBizTypeList"]]
                found = [row for row in rows if text in ("", row["Id"])]
                return {"PageResult": self._page(found, query, "NodeList")}
            case "GetPhysicalNodeOperationLog":
                return {"OperationLogList": self.log}
            case _:
                return self.below

    def _known(self, records: Mapping[str, JsonObject], each: str, code: str) -> JsonObject:
        if each not in records:
            raise Refused("Get", f"DPN.TaskScheduler.{code}", "not there")
        return records[each]

    def _node_info(self, node_id: str) -> JsonObject:
        if node_id not in self.nodes:
            raise Refused("GetPhysicalNode", "DPN.OP.NodeNotFound", "not there")
        row = self.nodes[node_id]
        return {"Id": node_id, "Name": row["Name"], "From": row["Type"], "OperatorType": row["SubDetailType"]}

    def _page(self, rows: list[JsonObject], query: JsonObject, name: str) -> JsonObject:
        size = min(self.clamp, query["PageSize"])
        first = (query["Page"] - 1) * size
        page: JsonObject = {name: [row for row in rows[first : first + size] if row["Id"] not in self.hidden]}
        return {**page, "TotalCount": len(rows)} if self.tells_total else page


def tenant(count: int, **fields: Any) -> Service:
    return Service(instances={f"t_{n}": record(n) for n in range(count)}, **fields)


def look_at(service: Service, **settings: Any) -> Look:
    return Look(service.read, ZONE, moment=0.001, **settings)


async def acquainted(service: Service, **settings: Any) -> Look:
    """A look that has seen every instance once; what that cost is not counted."""
    look = look_at(service, **settings)
    await look.instances("7", list(service.instances))
    service.asked.clear()
    return look


async def test_one_instance_is_one_get() -> None:
    service = tenant(3)
    view = await look_at(service).instance("7", "t_1")
    assert view is not None
    assert (view.instance.id, view.instance.status, view.node.name, view.project_id) == ("t_1", "FAILED", "dws_1", "7")
    assert view.instance.started_at == datetime(2026, 1, 5, 1, tzinfo=ZONE)
    assert service.asked == [("GetPhysicalInstance", {"ProjectId": 7, "InstanceId": "t_1"})]


async def test_many_whose_date_is_known_are_one_page() -> None:
    service = tenant(60)
    look = await acquainted(service)
    views = await look.instances("7", list(service.instances))
    assert len(views) == 60
    assert service.asked == [
        (
            "ListInstances",
            {
                "ListQuery": {
                    "ProjectId": 7,
                    "ScheduleType": "NORMAL",
                    "MinBizDate": "2026-01-04",
                    "MaxBizDate": "2026-01-04",
                    "Page": 1,
                    "PageSize": 100,
                }
            },
        )
    ]


async def test_the_business_unit_s_date_format_is_used() -> None:
    service = Service(instances={f"t_{n}": record(n, biz_date="20260104") for n in range(2)})
    look = await acquainted(service, biz_date_format="%Y%m%d")
    assert len(await look.instances("7", ["t_0", "t_1"])) == 2
    assert service.calls == {"ListInstances": 1}


def dated(count: int, within: str, biz_date: str) -> Service:
    return Service(
        instances={f"t_{n}_{within}_9": record(n, Id=f"t_{n}_{within}_9", biz_date=biz_date) for n in range(count)}
    )


async def test_an_id_that_bears_its_business_date_spares_asking_for_it() -> None:
    service = dated(40, "20260104", "2026-01-04")
    assert len(await look_at(service).instances("7", list(service.instances))) == 40
    assert service.calls == {"ListInstances": 1}


async def test_a_date_in_an_id_that_is_no_business_date_costs_one_call() -> None:
    service = dated(40, "20260105", "2026-01-04")
    service.instances["t_x"] = record(99, Id="t_x", biz_date="2026-01-05")
    look = look_at(service)
    wanted = [each for each in service.instances if each != "t_x"]
    assert len(await look.instances("7", wanted)) == 40
    assert service.calls == {"ListInstances": 1, "GetPhysicalInstance": 40}
    service.asked.clear()
    assert len(await look.instances("7", wanted)) == 40
    assert service.calls == {"ListInstances": 1}


async def test_a_number_in_an_id_that_is_no_date_is_none() -> None:
    service = dated(2, "20269999", "2026-01-04")
    assert len(await look_at(service).instances("7", list(service.instances))) == 2
    assert service.calls == {"GetPhysicalInstance": 2}


async def test_concurrent_looks_share_their_calls() -> None:
    service = tenant(30)
    look = await acquainted(service)
    async with anyio.create_task_group() as group:
        for each in service.instances:
            group.start_soon(look.instance, "7", each)
            group.start_soon(look.instance, "7", each)
    assert service.calls == {"ListInstances": 1}


async def test_paging_stops_where_gets_are_cheaper() -> None:
    """Three instances among a thousand: one page tells that nine follow, so the three are asked for by themselves."""
    service = tenant(1000)
    look = await acquainted(service)
    service.asked.clear()
    assert len(await look.instances("7", ["t_997", "t_998", "t_999"])) == 3
    assert service.calls["ListInstances"] <= 1
    assert service.calls["GetPhysicalInstance"] == 3
    service.asked.clear()
    await look.instances("7", ["t_997", "t_998", "t_999"])
    assert service.calls == {"GetPhysicalInstance": 3}  # the number of pages is remembered


async def test_a_clamped_page_is_counted_as_it_came() -> None:
    service = tenant(120, clamp=50)
    look = await acquainted(service)
    assert len(await look.instances("7", list(service.instances))) == 120
    assert service.calls == {"ListInstances": 3}


@pytest.mark.parametrize(("count", "pages"), [(150, 2), (200, 2)])
async def test_a_list_without_a_total_is_read_until_all_are_found(count: int, pages: int) -> None:
    service = tenant(count, tells_total=False)
    look = await acquainted(service)
    assert len(await look.instances("7", list(service.instances))) == count
    assert service.calls == {"ListInstances": pages}


async def test_several_among_thousands_are_in_the_short_list_of_the_unsettled() -> None:
    service = tenant(10_000)
    for number in range(10_000):
        state = "RUNNING" if number % 500 == 0 else "FAILED" if number % 500 == 1 else "SUCCESS"
        service.instances[f"t_{number}"]["StatusList"] = [state]
    look = await acquainted(service)
    await look.instances("7", ["t_2", "t_3"])  # tells how long the list is
    service.asked.clear()
    wanted = [f"t_{number}" for number in range(10_000) if number % 500 < 2] + ["t_5", "t_6"]
    found = await look.instances("7", wanted)
    assert len(found) == len(wanted) == 42
    assert {view.instance.status for view in found.values()} == {"RUNNING", "FAILED", "SUCCESS"}
    assert service.calls == {"ListInstances": 1, "GetPhysicalInstance": 2}
    service.asked.clear()
    await look.instances("7", wanted[: MANY - 1])
    assert service.calls == {"GetPhysicalInstance": MANY - 1}


async def test_an_empty_page_ends_a_list() -> None:
    service = tenant(3, hidden={"t_0", "t_1", "t_2"})
    look = await acquainted(service)
    assert len(await look.instances("7", list(service.instances))) == 3
    assert service.calls == {"ListInstances": 1, "GetPhysicalInstance": 3}


async def test_what_a_list_does_not_show_is_asked_for_by_itself() -> None:
    service = tenant(5, hidden={"t_3"})
    look = await acquainted(service)
    views = await look.instances("7", list(service.instances))
    assert len(views) == 5
    assert service.calls == {"ListInstances": 1, "GetPhysicalInstance": 1}


async def test_an_instance_that_is_not_known_is_left_out() -> None:
    look = look_at(tenant(1))
    assert await look.instance("7", "t_99") is None
    assert set(await look.instances("7", ["t_0", "t_99"])) == {"t_0"}
    assert await look.instances("7", []) == {}


async def test_an_answer_without_an_instance_means_the_same() -> None:
    assert await look_at(Service(instances={"t_1": None})).instance("7", "t_1") is None


@pytest.mark.parametrize("error", [QuotaSpent("spent"), Transient("X", "busy", ""), Forbidden("X", "no", "")])
async def test_a_refused_look_is_passed_on(error: Exception) -> None:
    service = tenant(3, refusals={"GetPhysicalInstance": error})
    with pytest.raises(type(error)):
        await look_at(service).instance("7", "t_1")


async def test_a_list_that_cannot_be_read_is_not_replaced_by_many_gets() -> None:
    service = tenant(30)
    look = await acquainted(service)
    service.refusals["ListInstances"] = QuotaSpent("spent")
    with pytest.raises(QuotaSpent):
        await look.instances("7", list(service.instances))
    assert service.calls == {"ListInstances": 1}


async def test_one_unreadable_record_is_its_own_trouble() -> None:
    service = tenant(3)
    look = await acquainted(service)
    service.instances["t_1"]["StartExecuteTime"] = "yesterday"
    async with anyio.create_task_group() as group:
        group.start_soon(look.instances, "7", ["t_0", "t_2"])
        with pytest.raises(Malformed, match="StartExecuteTime"):
            await look.instance("7", "t_1")


async def test_a_node_s_pause_flag_is_in_the_list_of_its_type() -> None:
    service = Service(nodes={"n_1": node_row(1, paused=True), "n_2": node_row(2)})
    look = look_at(service)
    view = await look.node("7", "n_1")
    assert view is not None
    assert (view.node.id, view.node.name, view.node.paused) == ("n_1", "dws_1", True)
    assert service.asked == [
        ("GetPhysicalNode", {"NodeId": "n_1"}),
        (
            "ListNodes",
            {
                "ListQuery": {
                    "ProjectId": 7,
                    "NodeBizType": "SCRIPT",
                    "NodeSubBizTypeList": ["SHELL"],
                    "SearchText": "n_1",
                    "Page": 1,
                    "PageSize": 100,
                }
            },
        ),
    ]
    service.asked.clear()
    await look.node("7", "n_1")
    assert service.calls == {"ListNodes": 1}


async def test_an_instance_seen_before_spares_asking_for_its_node_s_type() -> None:
    service = Service(instances={"t_1": record(1)}, nodes={"n_1": node_row(1)})
    look = await acquainted(service)
    view = await look.node("7", "n_1")
    assert view is not None
    assert view.node.paused is False
    assert service.calls == {"ListNodes": 1}


async def test_many_nodes_are_one_page() -> None:
    service = Service(nodes={f"n_{n}": node_row(n, paused=n % 2 == 0) for n in range(40)})
    look = look_at(service)
    async with anyio.create_task_group() as group:
        for each in service.nodes:
            group.start_soon(look.node, "7", each)
    assert service.calls == {"GetPhysicalNode": 40, "ListNodes": 1}


@pytest.mark.parametrize(
    ("kind", "listed"),
    [("BBOX_LOGIC_TABLE_NODE", "LOGICAL_TABLE"), ("BLACK_BOX", "LOGICAL_TABLE"), ("PIPELINE_NODE", "SCRIPT")],
)
async def test_logical_tables_are_listed_as_such(kind: str, listed: str) -> None:
    service = Service(nodes={"n_1": node_row(1, Type=kind)})
    await look_at(service).node("7", "n_1")
    assert service.asked[-1][1]["ListQuery"]["NodeBizType"] == listed


async def test_a_node_that_no_list_shows_has_no_flag() -> None:
    service = Service(nodes={"n_1": node_row(1)}, instances={"t_1": record(1)}, hidden={"n_1"})
    view = await look_at(service).node("7", "n_1")
    assert view is not None
    assert view.node.paused is None
    look = await acquainted(service)
    view = await look.node("7", "n_1")
    assert view is not None
    assert view.node.paused is None
    assert service.calls == {"ListNodes": 1, "GetPhysicalNode": 1}


async def test_a_node_without_a_type_cannot_be_listed() -> None:
    service = Service(nodes={"n_1": node_row(1, SubDetailType="")})
    view = await look_at(service).node("7", "n_1")
    assert view is not None
    assert view.node.paused is None
    assert service.calls == {"GetPhysicalNode": 1}


async def test_a_node_that_is_not_known_is_none() -> None:
    assert await look_at(Service()).node("7", "n_1") is None


async def test_the_operation_log_is_newest_first() -> None:
    service = Service(
        log=[
            {"OperationType": "CREATE_NODE", "OperationTime": "2026-01-01 10:00:00", "Operator": 12},
            {"OperationType": "RESUME_TASK", "OperationTime": "2026-01-03 10:00:00", "Operator": "12"},
            {"OperationType": "UPDATE_NODE"},
            {"OperationType": "PAUSE_TASK", "OperationTime": "2026-01-02 10:00:00", "Operator": "12"},
        ]
    )
    lines = await look_at(service).operations("n_1")
    assert [line.type for line in lines] == ["RESUME_TASK", "PAUSE_TASK", "CREATE_NODE", "UPDATE_NODE"]
    assert lines[0] == NodeOperation("RESUME_TASK", datetime(2026, 1, 3, 10, tzinfo=ZONE), "12")


async def test_an_unreadable_log_is_dataphin_s_error() -> None:
    with pytest.raises(Malformed, match="OperationTime"):
        await look_at(Service(log=[{"OperationTime": "soon"}])).operations("n_1")


async def test_what_hangs_below_an_instance_is_counted_once_each() -> None:
    ids = ["t_1", "t_2", "t_3", "t_2"]
    service = tenant(2, below={"InstanceRelationList": [{"InstanceInfo": {"Id": each}} for each in ids] + [{}]})
    look = look_at(service)
    assert await look.downstream(Target("instance", "t_1", "7")) == 2
    assert await look.downstream(Target("instance", "t_1", "7")) == 2
    assert service.calls == {"GetPhysicalInstance": 1, "GetInstanceDownStream": 2}
    assert service.asked[-1][1] == {
        "DownStreamDepth": 6,
        "InstanceGet": {"InstanceId": "t_1", "NodeType": "DATA_PROCESS"},
    }


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("SCRIPT", "DATA_PROCESS"),
        ("", "DATA_PROCESS"),
        ("LOGICAL_TABLE", "BBOX_LOGIC_TABLE_NODE"),
        ("FLINK_BATCH", "FLINK_BATCH"),
    ],
)
async def test_the_lineage_is_asked_for_by_the_finer_type(kind: str, asked: str) -> None:
    service = Service(instances={"t_1": record(1, NodeInfo={"Id": "n_1", "Type": kind})})
    assert await look_at(service).downstream(Target("instance", "t_1", "7")) == 0
    assert service.asked[-1][1]["InstanceGet"]["NodeType"] == asked


async def test_what_hangs_below_a_node_is_one_call() -> None:
    service = Service(below={"NodeInfoList": [{"Id": "n_2"}, {"Id": "n_3"}, {"Id": "n_2"}, {"Id": "n_1"}]})
    assert await look_at(service).downstream(Target("node", "n_1", "7")) == 2
    query = {"NodeIdList": [{"Id": "n_1"}], "DownStreamDepth": 6, "ProjectId": 7}
    assert service.asked == [("ListNodeDownStream", {"ListQuery": query})]
    assert await look_at(service).downstream(Target("node", "n_1")) == 2
    assert "ProjectId" not in service.asked[-1][1]["ListQuery"]


async def test_the_lineage_of_what_is_unknown_is_refused() -> None:
    look = look_at(Service())
    with pytest.raises(BadStep, match="instance t_1 is unknown"):
        await look.downstream(Target("instance", "t_1", "7"))
    with pytest.raises(BadStep, match="neither an instance nor a node"):
        await look.downstream(Target("api", "FixData"))
    with pytest.raises(Malformed):
        await look_at(Service(below={"NodeInfoList": "many"})).downstream(Target("node", "n_1", "7"))


async def test_the_oldest_facts_are_forgotten() -> None:
    memory: dict[Any, str] = dict.fromkeys(range(MEMORY), "x")
    remember(memory, 0, "again")
    remember(memory, "new", "y")
    assert len(memory) == MEMORY
    assert 0 not in memory
