"""Storms of calls over HTTP: nobody is refused, and hardly anything of the rate is left unused.

The storms run side by side in one loop, those of one account in one limiter. Both figures are of the arrivals at the
simulator, which counts as the server does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest

from phinops.catalog.catalog import Edition, load_catalog
from phinops.catalog.quotas import PLANS
from phinops.clock import SystemClock
from phinops.execute.limit import Limiter, Priority
from phinops.execute.send import Client, Endpoint
from phinops.record.ledger import StoreLedger
from phinops.record.sqlite import Store
from phinops.simulate import Simulator, serve
from simulated import SERVICE

LONG = bool(os.environ.get("PHINOPS_LONG"))
LEAST_USED = 0.95
SHANGHAI = ZoneInfo("Asia/Shanghai")

WEEK = {"StartTime": "2026-01-05 00:00:00", "EndTime": "2026-01-12 00:00:00"}

CALLS: Mapping[int, tuple[str, dict[str, Any]]] = {
    1: ("GetMyTenants", {}),
    2: ("ListDataServicePublishedApis", {"ProjectId": SERVICE}),
    3: ("ListDataServiceApiCallStatistics", {"ProjectId": SERVICE, "ListQuery": WEEK}),
}
"""A call that reads for each level."""


@dataclass(frozen=True, slots=True)
class Storm:
    """So many calls of one level at the same moment; the sample takes a dozen seconds."""

    level: int
    calls: int
    sample: int

    @property
    def count(self) -> int:
        return self.calls if LONG else self.sample


STORMS: Mapping[Edition, tuple[Storm, ...]] = {
    "basic": (Storm(1, 500, 500), Storm(2, 500, 220), Storm(3, 500, 60)),
    "personal": (Storm(1, 90, 60),),
    "agile": (Storm(1, 500, 60),),
}


@dataclass(slots=True)
class Keys:
    simulator: Simulator

    def read(self) -> tuple[str, str]:
        return self.simulator.access_key_id, self.simulator.access_key_secret

    write = read


@dataclass(slots=True)
class Seen:
    """What the simulator of one edition saw of its storms: the times of arrival by level."""

    refused: int = 0
    times: dict[int, list[float]] = field(default_factory=dict)


async def storms(edition: Edition, folder: Path) -> Seen:
    """All storms of an edition at once, by one client with a ledger on disk."""
    clock = SystemClock()
    async with serve("quiet", clock=clock, edition=edition) as simulator, Store.open(folder / edition, clock) as store:
        limiter = Limiter("main", PLANS[edition], StoreLedger(store), clock, timeout=10.0, zone=SHANGHAI)
        endpoint = Endpoint(url=simulator.url, op_tenant_id=simulator.op_tenant_id, edition=edition, timeout_s=10.0)
        await limiter.open()
        async with (
            Client(endpoint, Keys(simulator), limiter, load_catalog(), clock) as client,
            anyio.create_task_group() as tasks,
        ):
            for storm in STORMS[edition]:
                api, params = CALLS[storm.level]
                for _ in range(storm.count):
                    tasks.start_soon(ask, client, api, params)
        await limiter.close()
        seen = Seen(simulator.refused)
        for each in simulator.arrivals:
            assert each.accepted, each
            seen.times.setdefault(each.level, []).append(each.at)
        return seen


async def ask(client: Client, api: str, params: dict[str, Any]) -> None:
    reply = await client.read(api, params, priority=Priority.OPERATOR)
    assert reply.body["Success"]


def used(times: list[float], quota: int) -> float:
    """The part of the quota that was used after the first second: its arrivals a second, from the first to the last."""
    rest = [at for at in times if at >= times[0] + 1]
    return (len(rest) - 1) / (rest[-1] - rest[0]) / quota


def most_in_a_second(times: list[float]) -> int:
    """The most arrivals within any second."""
    first, most = 0, 0
    for last, at in enumerate(times):
        while at - times[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.long
@pytest.mark.serial
async def test_storms_use_the_rate_and_never_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found: dict[Edition, Seen] = {}

    async def run(edition: Edition) -> None:
        found[edition] = await storms(edition, tmp_path)

    async with anyio.create_task_group() as tasks:
        for edition in STORMS:
            tasks.start_soon(run, edition)

    lines, lazy, above = [], [], []
    for edition, wanted in STORMS.items():
        for storm in wanted:
            times, quota = found[edition].times[storm.level], quota_of(edition, storm.level)
            name = f"{edition} level {storm.level}"
            part, most = used(times, quota), most_in_a_second(times)
            lines.append(f"{name:17}{len(times):6}{quota:7}{most:13}{part:10.3f}{found[edition].refused:9}")
            assert len(times) == storm.count
            lazy += [name] if part < LEAST_USED else []
            above += [name] if most > quota else []
    with capsys.disabled():
        print(f"\n{'storm':17}{'calls':>6}{'quota':>7}{'most in 1 s':>13}{'used':>10}{'refused':>9}", *lines, sep="\n")
    assert {edition: seen.refused for edition, seen in found.items() if seen.refused} == {}
    assert above == []
    assert lazy == []


def quota_of(edition: Edition, level: int) -> int:
    plan = PLANS[edition]
    pool = plan.rate_pool(level)
    assert pool is not None
    return int(plan.rates[pool])
