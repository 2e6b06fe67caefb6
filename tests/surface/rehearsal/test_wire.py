"""The wire without sockets behaves as the one with sockets: every test runs over both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import httpx
import pytest

from counting import MemoryLedger
from phinops.catalog.catalog import load_catalog
from phinops.catalog.quotas import QuotaPlan
from phinops.clock import Clock, LoopClock, ScaledClock
from phinops.errors import ApiError
from phinops.execute.limit import Limiter, Priority
from phinops.execute.send import Client, Endpoint, Transport
from phinops.simulate import Fault, Simulator, make_simulator, serve
from phinops.simulate.faults import KINDS, Kind
from phinops.simulate.signature import Request
from phinops.surface.rehearsal.wire import InProcess
from phinops.virtual import run
from simulated import MORNING, RETAIL, Desk, HandClock

Way = Literal["socket", "process"]
WAYS: tuple[Way, ...] = ("socket", "process")


@asynccontextmanager
async def reached(way: Way, clock: Clock, **options: Any) -> AsyncIterator[tuple[Simulator, Transport | None]]:
    """A simulator and the transport to it, None where it listens."""
    async with AsyncExitStack() as stack:
        if way == "socket":
            yield await stack.enter_async_context(serve("quiet", clock=clock, **options)), None
        else:
            simulator = make_simulator("quiet", clock=clock, **options)
            simulator.url = "http://127.0.0.1:9"
            yield simulator, InProcess(simulator, clock)


# As bytes: the same requests get the same replies


async def exchange(way: Way, requests: list[tuple[str, Mapping[str, Any], Mapping[str, str]]]) -> list[Any]:
    clock = HandClock()
    async with reached(way, clock) as (simulator, transport), httpx.AsyncClient(transport=transport) as client:
        desk = Desk(simulator, clock)
        return [await _said(client, simulator, desk.request(api, given, **headers)) for api, given, headers in requests]


async def _said(client: httpx.AsyncClient, simulator: Simulator, request: Request) -> Any:
    response = await client.post(
        f"{simulator.url}{request.path}?{request.query}", headers=request.headers, content=request.body
    )
    body = response.content.replace(simulator.endpoint.encode(), b"HOST")
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    assert response.headers["content-length"] == str(len(response.content))
    return response.status_code, headers, body


LIST = {
    "ListQuery": {"ProjectId": RETAIL, "ScheduleType": "NORMAL", "SearchText": "订单 & +%", "Page": 1, "PageSize": 3}
}


async def test_replies_and_refusals_are_the_same_to_the_byte() -> None:
    requests: list[tuple[str, Mapping[str, Any], Mapping[str, str]]] = [
        ("GetMyTenants", {}, {}),
        ("ListInstances", {"ListQuery": {**LIST["ListQuery"], "SearchText": ""}}, {}),
        ("ListInstances", LIST, {}),
        ("ListInstances", {}, {}),
        ("GetPhysicalInstance", {"ProjectId": RETAIL, "InstanceId": "t_1"}, {}),
        ("NoSuchApi", {}, {}),
        ("GetMyTenants", {}, {"x_acs_date": "2020-01-01T00:00:00Z"}),
        ("GetMyTenants", {}, {"authorization": "ACS3-HMAC-SHA256 Credential=x,SignedHeaders=host,Signature=00"}),
        *[("GetMyTenants", {}, {})] * 60,
    ]
    over_socket, in_process = [await exchange(way, requests) for way in WAYS]
    assert in_process == over_socket
    assert [status for status, _, _ in in_process[:8]] == [200, 200, 200, 400, 400, 404, 400, 400]
    assert in_process[-1][0] == 400
    assert b"Throttling.User" in in_process[-1][2]


# As the client sees it: the same faults become the same errors, and count the same


@dataclass
class Called:
    """What became of a call: its error or "", what was counted, and what was done."""

    outcome: str
    counted: int
    reruns: int


async def call(way: Way, kind: Kind | None, *, write: bool) -> Called:
    clock = ScaledClock(20.0, MORNING)
    async with reached(way, clock) as (simulator, transport):
        failed = simulator.tenant.fail_instance("dws_orders_1d")
        if kind is not None:
            simulator.faults.add(Fault(kind, seconds=0.01, headers="none"))
        ledger = MemoryLedger()
        plan = QuotaPlan({"1+2+3": 50}, {"1+2+3": 1000})
        limiter = Limiter("a", plan, ledger, clock, timeout=0.1, zone=ZoneInfo("Asia/Shanghai"))
        await limiter.open()
        endpoint = Endpoint(url=simulator.url, op_tenant_id=simulator.op_tenant_id, edition="basic", timeout_s=0.1)
        keys = _Keys(simulator)
        async with Client(endpoint, keys, limiter, load_catalog(), clock, transport) as client:
            outcome = await _outcome(client, failed.id, write=write)
        await limiter.close()
        counted = sum(sum(levels.values()) for levels in ledger.counts.values())
        return Called(outcome, counted, simulator.tenant.reruns[failed.id])


@dataclass
class _Keys:
    simulator: Simulator

    def read(self) -> tuple[str, str]:
        return self.simulator.access_key_id, self.simulator.access_key_secret

    write = read


async def _outcome(client: Client, instance: str, *, write: bool) -> str:
    command = {"ProjectId": RETAIL, "Operation": "RERUN", "InstanceIdList": [{"Id": instance}]}

    async def prepare() -> Mapping[str, Any]:
        return {"OperateCommand": command}

    try:
        if write:
            await client.write("OperateInstance", prepare)
        else:
            params = {"ProjectId": RETAIL, "InstanceId": instance}
            await client.read("GetPhysicalInstance", params, priority=Priority.POLL)
    except ApiError as error:
        return f"{type(error).__name__} {error.code}"
    return ""


@pytest.mark.parametrize("kind", [None, *sorted(KINDS)])
@pytest.mark.parametrize("write", [False, True])
async def test_every_fault_is_the_same_error_and_is_counted_alike(kind: Kind | None, write: bool) -> None:
    over_socket, in_process = [await call(way, kind, write=write) for way in WAYS]
    assert in_process == over_socket
    assert in_process.counted >= 1
    assert (in_process.outcome == "") is (kind in (None, "slow"))


# Time


def test_half_of_a_round_trip_lies_before_the_arrival_and_half_after() -> None:
    async def main() -> tuple[float, float, list[tuple[str, str]]]:
        clock = LoopClock(datetime(2026, 1, 5, tzinfo=MORNING.tzinfo))
        told: list[tuple[str, str]] = []
        simulator = make_simulator("quiet", clock=clock)
        transport = InProcess(simulator, clock, 0.08, lambda api, priority: told.append((api, priority)))
        limiter = Limiter("a", QuotaPlan({}, {}), MemoryLedger(), clock, timeout=5, zone=ZoneInfo("Asia/Shanghai"))
        await limiter.open()
        endpoint = Endpoint(url="http://127.0.0.1:9", op_tenant_id=simulator.op_tenant_id, edition="basic")
        async with Client(endpoint, _Keys(simulator), limiter, load_catalog(), clock, transport) as client:
            await clock.sleep(5)
            began = clock.monotonic()
            reply = await client.read("GetMyTenants", {}, priority=Priority.VERIFY)
            return simulator.arrivals[0].at - began, reply.elapsed_s, told

    arrived, elapsed, told = run(main())
    assert arrived == pytest.approx(0.04, abs=1e-4)
    assert elapsed == pytest.approx(0.08, abs=1e-4)
    assert told == [("GetMyTenants", "VERIFY")]
