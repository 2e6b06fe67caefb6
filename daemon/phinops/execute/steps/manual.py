"""Running a node by hand, one that has no schedule of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phinops.event import Event, Instance, JsonObject
from phinops.execute.steps.flow import Days
from phinops.execute.steps.kind import REFUSED, Look, Probe, Progress, Step, Write
from phinops.execute.steps.submit import SUBMITTED, SubmitStep, end_of, ids_of, instances_of, new_since
from phinops.execute.steps.target import node_of
from phinops.execute.steps.values import Day, Id, Params, ProjectId


class ManualParams(Params):
    """Which node, and for which business date."""

    node_id: Id | None = None
    project_id: ProjectId | None = None
    biz_date: Day


@dataclass(frozen=True, slots=True)
class ManualStep(SubmitStep):
    """ExecuteManualNode. Where the answer was lost a manual instance of the node and day tells, one that was not there
    before.
    """

    async def write(self, params: ManualParams, event: Event, look: Look) -> Write:
        target = await node_of(params.node_id, params.project_id, event, look)
        day = look.flows.dated(params.biz_date)
        command = {
            "ProjectId": int(target.project_id),
            "NodeId": target.id,
            "StartBizDate": day,
            "EndBizDate": day,
        }
        given = {"biz_date": params.biz_date}
        return Write(self.name, self.api, target, {self.command: command}, given=given)

    async def baseline(self, look: Look, write: Write, event: Event | None) -> JsonObject:
        return ids_of(await _instances(look, write))

    async def probe(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Probe:
        new = new_since(baseline, await _instances(look, write))
        if new is None:
            return "unclear"
        return "applied" if new else "absent"

    async def effects(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> int | None:
        new = new_since(baseline, await _instances(look, write))
        return None if new is None else len(new)

    async def progress(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Progress:
        submitted = baseline.get(SUBMITTED, "")
        if not submitted:
            return end_of(new_since(baseline, await _instances(look, write)) or ())
        project = write.target.project_id
        ids = await look.flows.of_flow(project, "MANUAL", submitted)
        views = await look.instances(project, ids)
        return end_of([view.instance for view in views.values()]) if len(views) == len(ids) else "pending"


async def _instances(look: Look, write: Write) -> Sequence[Instance] | None:
    return await instances_of(look, write, "MANUAL", Days(write.given["biz_date"], write.given["biz_date"]))


RUN_MANUAL_NODE: Step = ManualStep(
    "run_manual_node",
    ManualParams,
    api="ExecuteManualNode",
    target="node",
    field="FlowId",
    command="ExecuteCommand",
    text="FlowName",
    repeatable=REFUSED | {"failed"},  # one instance, and it has ended,
)
