"""Pausing and resuming nodes: offline code and integration nodes only (SDK, PausePhysicalNode)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from phinops.errors import Refused
from phinops.event import Event, JsonObject
from phinops.execute.steps.answers import item_answers, merged_ids
from phinops.execute.steps.kind import (
    ItemAnswer,
    Look,
    NodeOperation,
    Path,
    Probe,
    Progress,
    Setting,
    Step,
    Target,
    Write,
)
from phinops.execute.steps.target import node_of
from phinops.execute.steps.values import Id, Params, ProjectId
from phinops.execute.steps.verdict import flag_probe

PAUSED_BY, RESUMED_BY = "PAUSE_TASK", "RESUME_TASK"
"""The lines of a node's operation log that tell a pause from a resume."""


class NodeParams(Params):
    """Which node; without them that of the event's instance."""

    node_id: Id | None = None
    project_id: ProjectId | None = None


class PauseNodeParams(NodeParams):
    """`lease` is known, so that `check` can say that this version does not have it."""

    lease: Any = None


@dataclass(frozen=True, slots=True)
class NodeStep:
    """PausePhysicalNode or ResumePhysicalNode.

    The baseline is the pause flag and the newest pause or resume of the operation log where the flag is not
    shown; a pause that is there already counts as applied, whoever made it.
    """

    name: str
    api: str
    command: str
    pauses: bool
    params: type[NodeParams]
    target: Literal["instance", "node"] | None = "node"
    scalar: str = ""
    beside: frozenset[str] = frozenset()
    conditions: frozenset[str] = frozenset()
    verifiable: bool = True
    idempotent: bool = True
    overlaps: bool = False

    def writes(self, params: NodeParams) -> bool:
        return True

    def apis(self, params: NodeParams) -> tuple[str, ...]:
        return (self.api,)

    def problems(self, params: NodeParams, setting: Setting) -> list[tuple[Path, str]]:
        if isinstance(params, PauseNodeParams) and params.lease is not None:
            return [(("lease",), "«lease» is not in this version yet: resume the node with a resume_node step")]
        return []

    async def write(self, params: NodeParams, event: Event, look: Look) -> Write:
        target = await node_of(params.node_id, params.project_id, event, look)
        return Write(
            step=self.name,
            api=self.api,
            target=target,
            params=self._command(target.project_id, [target.id]),
            batch=f"{self.api}|{target.project_id}",
        )

    def marked(self, write: Write, mark: str) -> Write:
        return write

    def merge(self, writes: Sequence[Write]) -> JsonObject:
        project_id, ids = merged_ids(writes)
        return self._command(project_id, ids)

    def items(self, body: Mapping[str, Any], ids: Sequence[str]) -> Mapping[str, ItemAnswer]:
        return item_answers(body.get("NodeOperateResultList"), "NodeId")

    def result(self, body: Mapping[str, Any]) -> JsonObject:
        return {}

    def met(self, error: Refused) -> bool:
        return False  # no code is known for a node that is as wanted already

    async def baseline(self, look: Look, write: Write, event: Event | None) -> JsonObject:
        return {"paused": await self._paused(look, write.target)}

    async def probe(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Probe:
        return flag_probe(self.pauses, await self._paused(look, write.target))

    async def progress(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Progress:
        return "verified" if await self._paused(look, write.target) is self.pauses else "pending"

    async def _paused(self, look: Look, target: Target) -> bool | None:
        """The flag that the service's list of nodes shows, else what was done to the node last."""
        view = await look.node(target.project_id, target.id)
        if view is None:
            return None
        if view.node.paused is not None:
            return view.node.paused
        return paused_by_log(await look.operations(target.id))

    def _command(self, project_id: str, ids: Sequence[str]) -> JsonObject:
        return {self.command: {"ProjectId": int(project_id), "NodeIdList": list(ids)}}


def paused_by_log(operations: Sequence[NodeOperation]) -> bool | None:
    """The pause flag after the newest pause or resume of the log; None when it has neither."""
    newest = next((line.type for line in operations if line.type in (PAUSED_BY, RESUMED_BY)), None)
    return None if newest is None else newest == PAUSED_BY


NODE_STEPS: tuple[Step, ...] = (
    NodeStep("pause_node", "PausePhysicalNode", "PauseCommand", True, PauseNodeParams),
    NodeStep("resume_node", "ResumePhysicalNode", "ResumeCommand", False, NodeParams),
)
