"""The sources against the simulated tenant, whose ways of being odd are not of our making."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from fake_dataphin import ZONE, FakeMemory, kinds
from phinops.arrive.arrival import ReadApi
from phinops.arrive.poll.alerts import AlertSource
from phinops.arrive.poll.impacts import ImpactSource
from phinops.arrive.poll.instances import InstanceSource
from phinops.arrive.projects import data_service_projects, tenant_projects
from phinops.errors import Refused
from phinops.event import Event
from phinops.tenant import Source
from simulated import UNHURRIED, Desk, desk

RETAIL = 131001


@dataclass
class Asking:
    """Reads at a simulator's desk."""

    front: Desk

    async def read(self, api: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        said = self.front.ask(api, **params)
        if said.code != "OK":
            raise Refused(api, said.code, str(said.body.get("Message")))
        body: Mapping[str, Any] = said.body
        return body


async def poll_all(front: Desk, memory: FakeMemory) -> list[Event]:
    """One poll of each source by a process that has just started."""
    reader: ReadApi = Asking(front)
    now = front.clock.now()
    projects = tenant_projects(reader, "all", "PROD")
    served = data_service_projects(reader, "all")
    sources: list[Source] = [
        AlertSource("t", reader, memory, projects, zone=ZONE, served=served),
        InstanceSource("t", reader, memory, projects, frozenset, zone=ZONE),
        ImpactSource("t", reader, memory, served, zone=ZONE),
    ]
    arrivals = [await source.poll(now, part) for source in sources for part in await source.parts(now)]
    return [event for arrival in arrivals for event in memory.commit(arrival)]


def of_instance(memory: FakeMemory, kind: str) -> Counter[str]:
    return Counter(event.instance.id for event in memory.events if event.instance and event.type == kind)


async def test_a_first_start_on_a_neglected_tenant_tells_of_the_last_half_hour_only() -> None:
    front, memory = desk("old-failures", overrides=UNHURRIED), FakeMemory()
    events = await poll_all(front, memory)
    assert len(front.simulator.tenant.failed()) == 1010
    assert kinds(events) == ["instance.failed"] * 10
    front.clock.turn(60)
    assert await poll_all(front, memory) == []


@pytest.mark.parametrize("times", ["ms", "text"])
async def test_every_failed_run_is_told_once_on_an_odd_installation(times: str) -> None:
    """Times in either style, vendor spellings, pages cut to 30 rows that shift, effects that show late, auto-reruns."""
    quirks = {"times": times, "spellings": "vendor", "page_limit": 30, "shift_pages": 2, "state_delay": 7}
    changes = {**UNHURRIED, "quirks": quirks, "incidents": None, "alerts": None, "history": 1}
    front, memory, chance = desk("default", overrides=changes), FakeMemory(), Random(7)
    tenant = front.simulator.tenant
    await poll_all(front, memory)
    ours: set[str] = set()
    for step in range(60):
        if step < 45:
            name = chance.choice(["dws_orders_1d", "ads_stock_feed", "dws_customers_1d"])
            ours |= {tenant.fail_instance(name, fails=chance.randint(1, 3)).id for _ in range(chance.randint(0, 4))}
        front.clock.turn(20)
        await poll_all(front, memory)
        told = of_instance(memory, "instance.failed")
        again = [key for key in ours if tenant.status(key) == "FAILED" and told[key] == failed_runs(front, key)]
        for key in chance.sample(again, min(len(again), 3) if step < 45 else len(again)):
            target = {"ProjectId": RETAIL, "Operation": "RERUN", "InstanceIdList": [{"Id": key}]}
            assert front.ask("OperateInstance", OperateCommand=target).code == "OK"
    front.simulator.tenant.quirks.shift_pages = 0
    for _ in range(3):
        front.clock.turn(60)
        await poll_all(front, memory)
    told = of_instance(memory, "instance.failed")
    assert len(ours) > 60
    assert {key: told[key] for key in ours} == {key: failed_runs(front, key) for key in ours}
    assert {tenant.status(key) for key in ours} == {"SUCCESS"}
    assert of_instance(memory, "instance.succeeded").keys() >= ours


def failed_runs(front: Desk, key: str) -> int:
    return sum(run.state == "FAILED" for run in front.simulator.tenant.instance(key).runs)


async def test_a_bad_morning_is_told_without_a_contradiction() -> None:
    front, memory = desk("default", overrides=UNHURRIED), FakeMemory()
    for _ in range(120):
        front.clock.turn(30)
        await poll_all(front, memory)
    told = Counter(event.type for event in memory.events)
    assert {"alert.opened", "alert.repeated", "instance.failed", "impact.opened"} <= told.keys()
    for event in memory.events:
        assert event.project.id
        assert event.time.tzinfo is not None
    for key, row in ((alert.id, alert) for alert in front.simulator.tenant.alerts.rows.values()):
        mine = [event for event in memory.events if event.alert and event.alert.id == str(key)]
        assert Counter(kinds(mine))["alert.opened"] <= 1
        if mine:
            assert mine[-1].alert is not None
            assert (row.status == "FINISH") == (mine[-1].type == "alert.closed")
