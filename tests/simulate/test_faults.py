"""Every way in which a call can go wrong on purpose, and every way in which an installation may differ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from phinops.errors import ConfigError
from phinops.simulate import Fault, serve
from phinops.simulate.faults import AFTER, KINDS, Kind
from simulated import FINANCE, RETAIL, UNHURRIED, Desk, HandClock, desk


def rerun(front: Desk, *ids: str) -> Any:
    command = {"ProjectId": RETAIL, "Operation": "RERUN", "InstanceIdList": [{"Id": each} for each in ids]}
    return front.ask("OperateInstance", OperateCommand=command)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("throttle", 400, "Throttling.User"),
        ("refuse", 400, "DPN.Commons.InternalError"),
        ("error", 500, "InternalError"),
        ("unavailable", 503, "ServiceUnavailable"),
        ("bad_gateway", 502, "Dataphin.OpenAPI.BadGateway"),
        ("bad_gateway_after", 502, "Dataphin.OpenAPI.BadGateway"),
    ],
)
def test_a_fault_answers_in_its_own_words_and_does_the_work_or_not(kind: Kind, status: int, code: str) -> None:
    front = desk()
    failed = front.simulator.tenant.fail_instance("dws_orders_1d")
    front.simulator.faults.add(Fault(kind, api="OperateInstance", count=1))
    answer = rerun(front, failed.id)
    assert (answer.status, answer.code) == (status, code)
    assert answer.body.get("Success") is (False if code.startswith("D") else None)
    assert front.simulator.tenant.reruns[failed.id] == (1 if kind in AFTER else 0)
    assert front.simulator.faults.struck == {kind: 1}
    assert rerun(front, failed.id).code == "OK"


@pytest.mark.parametrize("kind", ["html", "html_after"])
def test_a_gateway_may_speak_html(kind: Kind) -> None:
    front = desk()
    front.simulator.faults.add(Fault(kind))
    answer = front.ask("GetMyTenants")
    assert (answer.status, answer.headers["content-type"]) == (502, "text/html")
    assert answer.body.startswith("<html>")


@pytest.mark.parametrize(("kind", "cut"), [("hang", "silent"), ("reset", "reset")])
def test_a_connection_may_hang_or_be_reset_before_and_after_the_work(kind: str, cut: str) -> None:
    front = desk()
    failed = front.simulator.tenant.fail_instance("dws_orders_1d")
    kinds: list[Kind] = ["hang", "hang_after"] if kind == "hang" else ["reset", "reset_after"]
    for each in kinds:
        front.simulator.faults.add(Fault(each, api="OperateInstance", count=1))
    assert rerun(front, failed.id).cut == cut
    assert front.simulator.tenant.reruns == {}
    assert rerun(front, failed.id).cut == cut
    assert front.simulator.tenant.reruns == {failed.id: 1}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("acs", ("2500", None)),
        ("ratelimit", (None, "Limit:1,Remain:0,TimeLeft:2500,Reset:2500")),
        ("none", (None, None)),
    ],
)
def test_a_fault_throttles_with_either_header_or_none(headers: Any, expected: tuple[str | None, str | None]) -> None:
    front = desk()
    front.simulator.faults.add(Fault("throttle", seconds=2.5, headers=headers, code="Throttling.Api", status=429))
    answer = front.ask("GetMyTenants")
    assert (answer.status, answer.code) == (429, "Throttling.Api")
    found = (answer.headers.get("x-acs-retry-after"), answer.headers.get("x-ratelimit-user-api"))
    assert found == expected
    assert front.simulator.refused == 0


def test_a_fault_may_refuse_with_any_code() -> None:
    front = desk()
    front.simulator.faults.add(Fault("refuse", code="DataphinOpenApiForbidden", message="no", status=403))
    answer = front.ask("GetMyTenants")
    assert (answer.status, answer.code, answer.body["Message"]) == (403, "DataphinOpenApiForbidden", "no")


def test_faults_choose_by_name_kind_of_call_count_and_time() -> None:
    front = desk()
    faults = front.simulator.faults
    failed = front.simulator.tenant.fail_instance("dws_orders_1d")
    writes = faults.add(Fault("error", api="*Instance", only="writes"))
    assert front.ask("GetPhysicalInstance", ProjectId=RETAIL, InstanceId=failed.id).code == "OK"
    assert rerun(front, failed.id).code == "InternalError"
    faults.remove(writes)
    faults.remove(writes)
    faults.add(Fault("error", only="reads", after=10, until=20, count=2))
    codes = []
    for _ in range(5):
        codes.append(front.ask("GetMyTenants").code)
        front.clock.turn(5)
    assert codes == ["OK", "OK", "InternalError", "InternalError", "OK"]
    faults.add(Fault("error"))
    faults.clear()
    assert front.ask("GetMyTenants").code == "OK"


def test_chance_follows_the_seed() -> None:
    def codes(seed: int) -> list[str]:
        front = desk(seed=seed, overrides=UNHURRIED)
        front.simulator.faults.add(Fault("error", probability=0.5))
        return [front.ask("GetMyTenants").code for _ in range(40)]

    assert codes(1) == codes(1) != codes(2)
    assert 5 < codes(1).count("OK") < 35


def test_a_call_that_is_refused_for_itself_spends_no_fault_after_the_work() -> None:
    front = desk()
    fault = front.simulator.faults.add(Fault("bad_gateway_after", count=1))
    assert front.ask("GetProject", Id=1).code == "DPN.Filter.ProjectNotFound"
    assert fault.struck == 0


def test_an_unknown_kind_of_fault_is_an_error() -> None:
    kind: Any = "gremlins"
    with pytest.raises(ConfigError, match="bad_gateway_after"):
        desk().simulator.faults.add(Fault(kind))


def test_a_scenario_brings_its_faults() -> None:
    front = desk(overrides={"faults": {"flaky": {"kind": "error", "api": "List*", "count": 1}}})
    assert front.ask("ListProjects", ListQuery={}).code == "InternalError"
    assert front.ask("ListProjects", ListQuery={}).code == "OK"
    assert {"hang", "reset_after"} < KINDS


def test_business_errors_come_as_400_or_as_200_with_failure() -> None:
    front = desk()
    assert front.ask("GetProject", Id=1).status == 400
    front.simulator.tenant.quirks.errors = "body"
    answer = front.ask("GetProject", Id=1)
    assert (answer.status, answer.code, answer.body["Success"]) == (200, "DPN.Filter.ProjectNotFound", False)
    front.simulator.faults.add(Fault("refuse"))
    assert front.ask("GetMyTenants").status == 200
    assert front.ask("ListMiracles").status == 404


def test_pages_are_clamped_and_rows_shift_between_them() -> None:
    front = desk("old-failures", overrides=UNHURRIED)
    quirks = front.simulator.tenant.quirks
    whole = sweep(front, 50)
    assert len(whole) == len(set(whole)) == 1010
    quirks.page_limit = 100
    first = front.ask("ListInstances", ListQuery={**OLD, "Page": 1, "PageSize": 500})
    assert len(first.body["PageResult"]["Data"]) == 100
    assert first.body["PageResult"]["TotalCount"] == 1010
    quirks.shift_pages = 3
    sweeps = [sweep(front, 100), sweep(front, 100)]
    twice, missed = sorted(sweeps, key=len, reverse=True)
    assert len(twice) == 1010 + 30
    assert set(twice) == set(whole)
    assert len(missed) == len(set(missed)) == 1010 - 27


OLD = {"ProjectId": 133001, "ScheduleType": "NORMAL", "RunStatusList": ["FAILED"]}


def sweep(front: Desk, size: int) -> list[str]:
    """The ids of all pages until an empty one."""
    ids: list[str] = []
    for number in range(1, 100):
        body = front.ask("ListInstances", ListQuery={**OLD, "Page": number, "PageSize": size}).body
        rows = body["PageResult"]["Data"]
        if not rows:
            break
        ids += [each["Id"] for each in rows]
    return ids


def test_times_come_as_milliseconds_or_as_text() -> None:
    front = desk()
    failed = front.simulator.tenant.fail_instance("dws_orders_1d", takes=60)
    record = front.ask("GetPhysicalInstance", ProjectId=RETAIL, InstanceId=failed.id).body["Instance"]
    end = 1_767_576_600_000
    assert (record["EndExecuteTime"], record["StartExecuteTime"], record["Duration"]) == (end, end - 60_000, 60)
    assert (record["BizDate"], record["DueTime"]) == (1_767_456_000_000, end - 60_000)
    front.simulator.tenant.quirks.times = "text"
    record = front.ask("GetPhysicalInstance", ProjectId=RETAIL, InstanceId=failed.id).body["Instance"]
    assert (record["EndExecuteTime"], record["Duration"]) == ("2026-01-05 09:30:00", "60s")
    assert (record["BizDate"], record["DueTime"]) == ("2026-01-04", "2026-01-05 09:29:00")


def test_states_may_be_spelled_as_the_vendor_does() -> None:
    front = desk()
    tenant = front.simulator.tenant
    later = tenant.add_instance("dws_orders_1d", due=tenant.now + 60)
    held = tenant.add_instance("dws_orders_1d")
    held.paused = True

    def shown() -> list[str]:
        ask = [front.ask("GetPhysicalInstance", ProjectId=RETAIL, InstanceId=each.id) for each in (later, held)]
        return [each.body["Instance"]["StatusList"][0] for each in ask]

    assert shown() == ["INIT", "WAIT_SCHEDULE"]
    tenant.quirks.spellings = "vendor"
    assert shown() == ["NIT", "WATING"]


def test_an_accepted_rerun_shows_late_and_a_second_one_counts() -> None:
    front = desk()
    tenant = front.simulator.tenant
    tenant.quirks.state_delay = 2
    failed = tenant.fail_instance("dws_orders_1d", takes=5)
    assert rerun(front, failed.id).body["InstanceStatusList"][0]["Status"] == "SUCCESS"
    front.clock.turn(1.9)
    assert tenant.status(failed.id) == "FAILED"
    front.clock.turn(0.2)
    assert tenant.status(failed.id) == "RUNNING"
    again = tenant.fail_instance("dws_orders_1d", takes=5)
    rerun(front, again.id)
    rerun(front, again.id)
    front.clock.turn(20)
    assert tenant.status(again.id) == "SUCCESS"
    assert (tenant.reruns[again.id], len(again.runs)) == (2, 3)


def test_the_platform_reruns_by_itself() -> None:
    front = desk(overrides={"quirks": {"auto_rerun": 2, "auto_rerun_every": "1m"}})
    tenant = front.simulator.tenant
    failed = tenant.fail_instance("dws_orders_1d", fails=3, takes=5)
    front.clock.turn(61)
    assert tenant.status(failed.id) == "RUNNING"
    front.clock.turn(300)
    assert tenant.status(failed.id) == "FAILED"
    assert tenant.lives.auto_reruns == {failed.id: 2}
    assert tenant.reruns == {}
    rerun(front, failed.id)
    front.clock.turn(5)
    assert tenant.status(failed.id) == "SUCCESS"


def test_our_rerun_in_between_takes_the_place_of_the_platform_s() -> None:
    front = desk(overrides={"quirks": {"auto_rerun": 1, "auto_rerun_every": "1m"}})
    tenant = front.simulator.tenant
    failed = tenant.fail_instance("dws_orders_1d", fails=1, takes=5)
    rerun(front, failed.id)
    front.clock.turn(600)
    assert (tenant.status(failed.id), len(failed.runs)) == ("SUCCESS", 2)


def test_items_are_refused_one_by_one_or_all_together() -> None:
    front = desk()
    tenant = front.simulator.tenant
    good, running = tenant.fail_instance("dws_orders_1d"), tenant.fail_instance("dws_orders_1d")
    elsewhere = tenant.fail_instance("dws_ledger_1d")
    rerun(front, running.id)
    body = rerun(front, good.id, running.id, elsewhere.id, "t_1", "x").body
    errors = [each["ErrorMessage"].partition(":")[0] for each in body["InstanceStatusList"]]
    assert errors == [
        "",
        "DPN.TaskScheduler.Task.TaskRunning",
        "DPN.OP.ProjectNotExist",
        "DPN.TaskScheduler.Task.TaskNotFoundByTaskId",
        "DPN.TaskScheduler.Task.IllegalTaskIdFormat",
    ]
    assert tenant.reruns == {running.id: 1, good.id: 1}
    tenant.quirks.items = "refused"
    third = tenant.fail_instance("dws_orders_1d")
    assert rerun(front, third.id, running.id).code == "DPN.TaskScheduler.Task.TaskRunning"
    assert tenant.reruns[third.id] == 0
    assert rerun(front, third.id).code == "OK"
    nodes = {"ProjectId": RETAIL, "NodeIdList": [tenant.node("dws_orders_1d").id, tenant.node("ods_ledger").id]}
    assert front.ask("PausePhysicalNode", PauseCommand=nodes).code == "DPN.OP.ProjectNotExist"
    assert tenant.paused_nodes() == []


@pytest.fixture
async def served() -> AsyncIterator[Desk]:
    clock = HandClock()
    async with serve("quiet", clock=clock) as simulator:
        yield Desk(simulator, clock)


async def post(served: Desk, *, timeout: float = 5.0) -> httpx.Response:
    request = served.request("GetMyTenants", {})
    async with httpx.AsyncClient(timeout=timeout) as client:
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        return await client.post(f"{served.simulator.url}/?{request.query}", headers={**headers, "host": "127.0.0.1"})


async def test_a_reset_reaches_the_client_as_one(served: Desk) -> None:
    served.simulator.faults.add(Fault("reset", count=1))
    with pytest.raises(httpx.ReadError):
        await post(served)
    assert (await post(served)).status_code == 200


async def test_a_hang_lasts_as_long_as_the_client_waits(served: Desk) -> None:
    served.simulator.faults.add(Fault("hang_after", count=1))
    with pytest.raises(httpx.ReadTimeout):
        await post(served, timeout=0.1)
    assert (await post(served)).status_code == 200


async def test_a_slow_answer_comes_late_in_the_machine_s_time(served: Desk) -> None:
    served.simulator.faults.add(Fault("slow", seconds=0.2, count=2))
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (await post(served)).status_code == 200
    assert loop.time() - began >= 0.2
    with pytest.raises(httpx.ReadTimeout):
        await post(served, timeout=0.05)


def test_a_mistake_of_the_simulator_is_an_internal_error_and_is_kept() -> None:
    front = desk()
    del front.simulator.tenant.projects[FINANCE].nodes
    query = {"ProjectId": FINANCE, "NodeBizType": "SCRIPT", "NodeSubBizTypeList": ["SHELL"]}
    answer = front.ask("ListNodes", ListQuery=query)
    assert (answer.status, answer.code) == (500, "InternalError")
    assert [type(each) for each in front.simulator.crashes] == [AttributeError]
