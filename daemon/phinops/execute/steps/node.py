"""Pausing and resuming nodes: offline code and integration nodes only (SDK, PausePhysicalNode)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Literal

from phinops.errors import Malformed, Refused
from phinops.event import Event, JsonObject
from phinops.execute.steps.answers import item_answers, merged_ids
from phinops.execute.steps.kind import (
    NO_GOOD,
    ItemAnswer,
    Look,
    NodeOperation,
    Path,
    Probe,
    Progress,
    Setting,
    Standing,
    Step,
    Target,
    Write,
)
from phinops.execute.steps.target import node_of
from phinops.execute.steps.values import Id, Params, ProjectId
from phinops.execute.steps.verdict import flag_probe, flag_standing

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

    The baseline is the pause flag, by the newest pause or resume of the operation log where the flag is not shown. A
    node that is as wanted already is left alone, and the log then tells whose doing that is.
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
    repeatable: frozenset[str] = NO_GOOD
    countable: bool = True

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
        paused = await self._paused(look, write.target)
        by = _said(await self._newest(look, write.target)) if paused is self.pauses else ""
        return {"paused": paused, "by": by} if by else {"paused": paused}

    def standing(self, write: Write, decided: Mapping[str, Any], now: Mapping[str, Any]) -> Standing:
        found = flag_standing(self.pauses, now.get("paused"))
        by = now.get("by") or ""
        return replace(found, words=f"{found.words}{by}") if found.kind == "met" else found

    async def probe(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Probe:
        return flag_probe(self.pauses, await self._paused(look, write.target))

    async def progress(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> Progress:
        return "verified" if await self._paused(look, write.target) is self.pauses else "pending"

    async def effects(self, look: Look, write: Write, baseline: Mapping[str, Any]) -> int | None:
        lines = flag_lines(await look.operations(write.target.id))
        mine = PAUSED_BY if self.pauses else RESUMED_BY
        return len(list(takewhile(lambda line: line.type == mine, lines)))

    async def _newest(self, look: Look, target: Target) -> NodeOperation | None:
        """The newest pause or resume; None where the log has none, or Dataphin will not show it."""
        try:
            return next(iter(flag_lines(await look.operations(target.id))), None)
        except (Refused, Malformed):
            return None

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
    newest = next(iter(flag_lines(operations)), None)
    return None if newest is None else newest.type == PAUSED_BY


def flag_lines(operations: Sequence[NodeOperation]) -> list[NodeOperation]:
    """The pauses and resumes of an operation log, newest first."""
    return [line for line in operations if line.type in (PAUSED_BY, RESUMED_BY)]


def _said(line: NodeOperation | None) -> str:
    """Whose doing a flag is and since when, for people; "" where that is not known."""
    if line is None:
        return ""
    by = f", by {line.operator}" if line.operator else ""
    return by + (f", since {line.time.isoformat()}" if line.time else "")


NODE_STEPS: tuple[Step, ...] = (
    NodeStep("pause_node", "PausePhysicalNode", "PauseCommand", True, PauseNodeParams),
    NodeStep("resume_node", "ResumePhysicalNode", "ResumeCommand", False, NodeParams),
)
