"""Every step against the simulated tenant: what is written is found by reading, and what is not there is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from phinops import vendor
from phinops.catalog.catalog import load_catalog
from phinops.catalog.check import convert, problems_of
from phinops.errors import Refused
from phinops.event import Event, JsonObject, Project
from phinops.execute.look import Look
from phinops.execute.steps.kind import Target, Write, checked
from phinops.execute.steps.table import STEPS
from simulated import RETAIL, UNHURRIED, Desk, desk
from stillness import event_of

ZONE = ZoneInfo("Asia/Shanghai")
NODE = "dws_orders_1d"


@dataclass(slots=True)
class Tenant:
    """The simulated tenant as steps see it: reads through a look, writes as the client would send them."""

    desk: Desk
    calls: list[str] = field(default_factory=list)

    @property
    def look(self) -> Look:
        return Look(self.ask, ZONE, moment=0.0)

    async def ask(self, api: str, params: JsonObject) -> Mapping[str, Any]:
        self.calls.append(api)
        spec = load_catalog().require(api)
        assert problems_of(spec, params) == []
        said = self.desk.ask(api, **convert(spec, params))
        if said.code != "OK":
            raise Refused(api, said.code, str(said.body.get("Message")))
        body: Mapping[str, Any] = said.body
        return body

    async def write_of(self, step: str, event: Event, **params: object) -> Write:
        return await STEPS[step].write(checked(STEPS[step], params), event, self.look)

    async def send(self, *writes: Write) -> None:
        step = STEPS[writes[0].step]
        ids = [write.target.id for write in writes]
        items = step.items(await self.ask(writes[0].api, step.merge(writes)), ids)
        assert {each: item.ok for each, item in items.items()} == dict.fromkeys(ids, True)

    async def event(self, instance_id: str) -> Event:
        body = await self.ask("GetPhysicalInstance", {"ProjectId": RETAIL, "InstanceId": instance_id})
        record = body["Instance"]
        return event_of(
            project=Project(str(RETAIL), "retail"),
            instance=vendor.read_instance(record, ZONE),
            node=vendor.read_node(record["NodeInfo"]),
        )


@pytest.fixture
def tenant() -> Tenant:
    return Tenant(desk(overrides=UNHURRIED))


async def test_a_rerun_is_absent_then_applied_then_verified(tenant: Tenant) -> None:
    failed = tenant.desk.simulator.tenant.fail_instance(NODE, takes=5)
    tenant.desk.clock.turn(30)
    event, rerun = await tenant.event(failed.id), STEPS["rerun_instance"]
    write = await tenant.write_of("rerun_instance", event)
    before = await rerun.baseline(tenant.look, write, event)
    assert before == await rerun.baseline(tenant.look, write, None)
    assert await rerun.probe(tenant.look, write, before) == "absent"
    await tenant.send(write)
    assert await rerun.probe(tenant.look, write, before) == "applied"
    assert await rerun.progress(tenant.look, write, before) == "pending"
    (again,) = rerun.items(await tenant.ask(write.api, rerun.merge([write])), [failed.id]).values()
    assert not again.ok
    assert rerun.met(Refused(write.api, "", again.message))
    tenant.desk.clock.turn(5)
    assert await rerun.probe(tenant.look, write, before) == "applied"
    assert await rerun.progress(tenant.look, write, before) == "verified"


async def test_a_rerun_that_fails_again_came_to_another_end(tenant: Tenant) -> None:
    failed = tenant.desk.simulator.tenant.fail_instance(NODE, fails=3, takes=5)
    tenant.desk.clock.turn(30)
    event, rerun = await tenant.event(failed.id), STEPS["rerun_instance"]
    write = await tenant.write_of("rerun_instance", event)
    before = await rerun.baseline(tenant.look, write, event)
    await tenant.send(write)
    tenant.desk.clock.turn(5)
    assert await rerun.progress(tenant.look, write, before) == "failed"
    assert await rerun.probe(tenant.look, write, before) == "applied"


async def test_a_running_instance_is_terminated_and_set_to_success(tenant: Tenant) -> None:
    failed = tenant.desk.simulator.tenant.fail_instance(NODE, takes=600)
    tenant.desk.clock.turn(30)
    await tenant.send(await tenant.write_of("rerun_instance", await tenant.event(failed.id)))
    tenant.desk.clock.turn(1)
    for name, outcome in (("terminate_instance", "FAILED"), ("set_instance_success", "SUCCESS")):
        step, event = STEPS[name], await tenant.event(failed.id)
        write = await tenant.write_of(name, event)
        before = await step.baseline(tenant.look, write, event)
        assert await step.probe(tenant.look, write, before) == "absent"
        assert await step.progress(tenant.look, write, before) == "pending"
        await tenant.send(write)
        assert await step.probe(tenant.look, write, before) == "applied"
        assert await step.progress(tenant.look, write, before) == "verified"
        assert tenant.desk.simulator.tenant.status(failed.id) == outcome


async def test_a_waiting_instance_is_paused_and_resumed(tenant: Tenant) -> None:
    model = tenant.desk.simulator.tenant
    waiting = model.add_instance(NODE, due=model.now + 600)
    model.lives.expect(waiting)
    for name in ("pause_instance", "resume_instance"):
        step, event = STEPS[name], await tenant.event(waiting.id)
        write = await tenant.write_of(name, event)
        before = await step.baseline(tenant.look, write, event)
        assert await step.probe(tenant.look, write, before) == "absent"
        await tenant.send(write)
        assert await step.probe(tenant.look, write, before) == "applied"
        assert await step.progress(tenant.look, write, before) == "verified"


async def test_a_node_is_paused_and_resumed(tenant: Tenant) -> None:
    event = await tenant.event(tenant.desk.simulator.tenant.fail_instance(NODE).id)
    for name, paused in (("pause_node", True), ("resume_node", False)):
        step = STEPS[name]
        write = await tenant.write_of(name, event)
        before = await step.baseline(tenant.look, write, event)
        assert before["paused"] is not paused
        assert await step.probe(tenant.look, write, {}) == "absent"
        await tenant.send(write)
        assert await step.probe(tenant.look, write, {}) == "applied"
        assert await step.progress(tenant.look, write, {}) == "verified"
        assert tenant.desk.simulator.tenant.node(NODE).paused is paused


async def test_instances_of_one_project_travel_and_are_read_together(tenant: Tenant) -> None:
    model = tenant.desk.simulator.tenant
    names = [node.name for node in model.nodes.values() if node.project.id == RETAIL][:4]
    failed = [model.fail_instance(name, takes=5).id for name in names]
    tenant.desk.clock.turn(30)
    writes = [await tenant.write_of("rerun_instance", await tenant.event(each)) for each in failed]
    assert len({write.batch for write in writes}) == 1
    tenant.calls.clear()
    await tenant.send(*writes)
    assert set(await tenant.look.instances(str(RETAIL), failed)) == set(failed)
    assert tenant.calls == ["OperateInstance", "ListInstances"]
    assert model.reruns == dict.fromkeys(failed, 1)


async def test_a_call_reads_and_keeps_its_reply(tenant: Tenant) -> None:
    failed = tenant.desk.simulator.tenant.fail_instance(NODE)
    event, call = await tenant.event(failed.id), STEPS["call"]
    write = await tenant.write_of(
        "call", event, call="GetPhysicalInstance", **{"with": {"InstanceId": failed.id, "ProjectId": str(RETAIL)}}
    )
    assert call.result(await tenant.ask(write.api, write.params))["reply"]["Instance"]["Id"] == failed.id


async def test_what_hangs_below_is_counted(tenant: Tenant) -> None:
    model = tenant.desk.simulator.tenant
    top = next(node for node in model.nodes.values() if node.project.id == RETAIL and node.downstream)
    below, layer = set[str](), {top.id}
    while layer:
        layer = {each.id for name in layer for each in model.nodes[name].downstream} - below
        below |= layer
    assert await tenant.look.downstream(Target("node", top.id, str(RETAIL))) == len(below) > 0
    instance = next(each for each in model.instances.values() if each.node is top)
    assert await tenant.look.downstream(Target("instance", instance.id, str(RETAIL))) == len(below)


async def test_what_is_not_there_is_none(tenant: Tenant) -> None:
    assert await tenant.look.instance(str(RETAIL), "t_1_20260101_1") is None
    assert await tenant.look.node(str(RETAIL), "n_1") is None
