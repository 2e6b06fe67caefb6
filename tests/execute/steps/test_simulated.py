"""Every step against the simulated tenant: what is written is found by reading, and what is not there is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import anyio
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

    async def send(self, *writes: Write) -> JsonObject:
        """What the steps keep of the reply."""
        step = STEPS[writes[0].step]
        ids = [write.target.id for write in writes]
        body = await self.ask(writes[0].api, step.merge(writes))
        assert {each: item.ok for each, item in step.items(body, ids).items()} == dict.fromkeys(ids, True)
        return step.result(body)

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


DAYS = {"start": "2025-12-01", "end": "2025-12-02"}


async def submitted_node(tenant: Tenant, step: str, node: str, **params: object) -> tuple[Write, JsonObject]:
    """A write on the node, marked, and what there was before."""
    found = tenant.desk.simulator.tenant.node(node)
    event = event_of(project=Project(str(RETAIL), "retail"))
    write = await tenant.write_of(step, event, node_id=found.id, project_id=str(RETAIL), **params)
    write = STEPS[step].marked(write, "fi_1/s0/1")
    return write, await STEPS[step].baseline(tenant.look, write, None)


@pytest.mark.parametrize("downstream", ["none", "all"])
@pytest.mark.parametrize("fails", [False, True])
async def test_a_backfill_is_followed_to_its_last_day(tenant: Tenant, downstream: str, fails: bool) -> None:
    write, before = await submitted_node(tenant, "backfill", "dwd_orders", downstream=downstream, **DAYS)
    kept, backfill = await tenant.send(write), STEPS["backfill"]
    assert kept["submitted"].startswith("f_") is (downstream == "none")
    known = {**before, **kept}
    assert await backfill.progress(tenant.look, write, known) == "pending"
    assert await backfill.probe(tenant.look, write, before) == "applied"
    (flow,) = tenant.desk.simulator.tenant.flows.values()
    flow.dagruns[1].instances[-1].fails = int(fails)
    tenant.desk.clock.turn(30)
    assert await backfill.progress(tenant.look, write, known) == "pending"
    tenant.desk.clock.turn(400)
    assert await backfill.progress(tenant.look, write, known) == ("failed" if fails else "verified")


async def test_a_backfill_is_named_in_dataphin_by_the_attempt_that_made_it(tenant: Tenant) -> None:
    write, _ = await submitted_node(tenant, "backfill", "dwd_orders", name="december", **DAYS)
    assert write.params["CreateCommand"]["Name"] == "december [phinops fi_1/s0/1]"
    again = STEPS["backfill"].marked(write, "fi_1/s0/2")
    assert again.params["CreateCommand"]["Name"] == "december [phinops fi_1/s0/2]"
    await tenant.send(write)
    assert tenant.desk.simulator.tenant.effects[-1].operation == "december [phinops fi_1/s0/1]"


@pytest.mark.parametrize(("downstream", "end"), [("none", "verified"), ("listed", "pending")])
async def test_a_backfill_whose_answer_was_lost_is_followed_by_the_node_s_instances(
    tenant: Tenant, downstream: str, end: str
) -> None:
    below = [tenant.desk.simulator.tenant.node("dws_orders_1d").id] if downstream == "listed" else "none"
    write, before = await submitted_node(tenant, "backfill", "dwd_orders", downstream=below, **DAYS)
    backfill = STEPS["backfill"]
    assert await backfill.probe(tenant.look, write, before) == "unclear"
    await tenant.send(write)
    assert await backfill.probe(tenant.look, write, before) == "applied"
    assert await backfill.progress(tenant.look, write, before) == "pending"
    tenant.desk.clock.turn(400)
    assert await backfill.progress(tenant.look, write, before) == end
    there = await backfill.baseline(tenant.look, write, None)
    assert await backfill.probe(tenant.look, write, there) == "unclear"  # it was there before the next one


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("fails", [False, True])
async def test_a_manual_run_is_followed_to_its_end(tenant: Tenant, lost: bool, fails: bool) -> None:
    await tenant.send((await submitted_node(tenant, "run_manual_node", "clean_up", biz_date="2026-01-04"))[0])
    tenant.desk.clock.turn(60)
    write, before = await submitted_node(tenant, "run_manual_node", "clean_up", biz_date="2026-01-04")
    manual = STEPS["run_manual_node"]
    assert len(before["there"]) == 1
    assert await manual.probe(tenant.look, write, before) == "absent"
    kept = await tenant.send(write)
    known = before if lost else {**before, **kept}
    assert await manual.probe(tenant.look, write, before) == "applied"
    assert await manual.progress(tenant.look, write, known) == "pending"
    *_, flow = tenant.desk.simulator.tenant.flows.values()
    flow.dagruns[0].instances[0].fails = int(fails)
    tenant.desk.clock.turn(10)
    assert await manual.progress(tenant.look, write, known) == ("failed" if fails else "verified")


async def test_manual_runs_that_are_followed_at_once_share_a_list(tenant: Tenant) -> None:
    manual, look = STEPS["run_manual_node"], tenant.look
    runs = []
    for _ in range(4):
        write, before = await submitted_node(tenant, "run_manual_node", "clean_up", biz_date="2026-01-04")
        runs.append((write, {**before, **await tenant.send(write)}))
    for write, known in runs:
        assert await manual.progress(look, write, known) == "pending"
    tenant.calls.clear()
    together = Look(tenant.ask, ZONE, moment=0.01)
    for write, known in runs:
        await together.flows.of_flow(write.target.project_id, "MANUAL", known["submitted"])
    tenant.calls.clear()
    tenant.desk.clock.turn(60)
    ends: list[str] = []

    async def follow(write: Write, known: JsonObject) -> None:
        ends.append(await manual.progress(together, write, known))

    async with anyio.create_task_group() as group:
        for run in runs:
            group.start_soon(follow, *run)
    assert (ends, tenant.calls) == (["verified"] * 4, ["ListInstances"])


async def fixed(tenant: Tenant, wanted: str) -> tuple[Write, JsonObject]:
    """A fix of an instance with two below it, and what there was before."""
    root = tenant.desk.simulator.tenant.node("dwd_orders").instances[-1]
    write = await tenant.write_of("fix_data", await tenant.event(root.id), range=wanted)
    return write, await STEPS["fix_data"].baseline(tenant.look, write, None)


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("fails", ["", "root", "below"])
async def test_a_fix_is_followed_until_all_of_its_range_have_run(tenant: Tenant, hidden: bool, fails: str) -> None:
    tenant.desk.simulator.tenant.quirks.fix_data_hidden = hidden
    write, before = await fixed(tenant, "all")
    fix = STEPS["fix_data"]
    root = tenant.desk.simulator.tenant.instances[write.target.id]
    assert (before["runs"]["number"], set(before["below"])) == (1, {each.id for each in below(root)})
    assert await fix.probe(tenant.look, write, before) == "absent"
    known = {**before, **await tenant.send(write)}
    assert await fix.probe(tenant.look, write, before) == "applied"
    assert await fix.progress(tenant.look, write, known) == "pending"
    if fails:
        (root if fails == "root" else root.downstream[0]).fails = 1
    tenant.desk.clock.turn(25)
    assert await fix.progress(tenant.look, write, known) == ("failed" if fails == "root" else "pending")
    tenant.desk.clock.turn(300)
    assert await fix.progress(tenant.look, write, known) == ("failed" if fails else "verified")
    assert await fix.probe(tenant.look, write, before) == "applied"


def below(root: Any) -> list[Any]:
    found = {each.id: each for each in root.downstream}
    return list({**found, **{low.id: low for each in root.downstream for low in below(each)}}.values())


async def test_a_fix_of_what_failed_runs_no_more_than_that(tenant: Tenant) -> None:
    model = tenant.desk.simulator.tenant
    failed = model.fail_instance("dwd_orders", takes=5)
    write = await tenant.write_of("fix_data", await tenant.event(failed.id))
    assert write.params["FixDataCommand"]["DownstreamRange"] == "ALL_FAILED_INSTANCE"
    before = await STEPS["fix_data"].baseline(tenant.look, write, None)
    assert before["below"] == []
    known = {**before, **await tenant.send(write)}
    tenant.desk.clock.turn(5)
    assert await STEPS["fix_data"].progress(tenant.look, write, known) == "verified"


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
