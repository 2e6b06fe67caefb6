"""Pausing and resuming nodes: offline code and integration nodes only (SDK, PausePhysicalNode)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import takewhile
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from phinops.durations import parse_duration
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
    Reverse,
    Setting,
    Standing,
    Step,
    Target,
    Write,
)
from phinops.execute.steps.target import node_of
from phinops.execute.steps.values import Duration, Id, Params, ProjectId, is_template
from phinops.execute.steps.verdict import flag_probe, flag_standing

PAUSED_BY, RESUMED_BY = "PAUSE_TASK", "RESUME_TASK"
"""The lines of a node's operation log that tell a pause from a resume."""


class NodeParams(Params):
    """Which node; without them that of the event's instance."""

    node_id: Id | None = None
    project_id: ProjectId | None = None


SHORTEST_LEASE = timedelta(minutes=1)


def _long_enough(value: str) -> str:
    if not is_template(value) and parse_duration(value) < SHORTEST_LEASE:
        raise ValueError("must be 1m at least")
    return value


class PauseNodeParams(NodeParams):
    """`lease`: after so long phinops resumes the node by itself, unless somebody has touched it since."""

    lease: Annotated[Duration, AfterValidator(_long_enough)] | None = None


@dataclass(frozen=True, slots=True)
class NodeStep:
    """PausePhysicalNode or ResumePhysicalNode.

    The baseline is the pause flag, told by the newest pause or resume of the operation log where no list shows it, and
    the newest line of the log: what comes after it was done since. A node that is as wanted already is left alone, and
    the log then tells whose doing that is.
    """

    name: str
    api: str
    command: str
    pauses: bool
    params: type[NodeParams]
    reverse: Reverse
    target: Literal["instance", "node"] | None = "node"
    scalar: str = ""
    beside: frozenset[str] = frozenset()
    conditions: frozenset[str] = frozenset()
    probe_key: str = ""
    verifiable: bool = True
    idempotent: bool = True
    repeatable: frozenset[str] = NO_GOOD
    countable: bool = True

    def writes(self, params: NodeParams) -> bool:
        return True

    def apis(self, params: NodeParams) -> tuple[str, ...]:
        leased = isinstance(params, PauseNodeParams) and params.lease is not None
        return (self.api, "ResumePhysicalNode") if leased else (self.api,)

    def problems(self, params: NodeParams, setting: Setting) -> list[tuple[Path, str]]:
        return []

    async def write(self, params: NodeParams, event: Event, look: Look) -> Write:
        target = await node_of(params.node_id, params.project_id, event, look)
        return Write(
            step=self.name,
            api=self.api,
            target=target,
            params=self._command(target.project_id, [target.id]),
            batch=f"{self.api}|{target.project_id}",
            lease=_lease_of(params),
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
        view = await look.node(write.target.project_id, write.target.id)
        operations = await _operations(look, write.target)
        paused = view.node.paused if view else None
        if view and paused is None and operations is not None:
            paused = paused_by_log(operations)
        if operations is None:
            return {"paused": paused}
        by = _said(next(iter(flag_lines(operations)), None)) if paused is self.pauses else ""
        return {"paused": paused, "log": _newest(operations), **({"by": by} if by else {})}

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


def _lease_of(params: NodeParams) -> timedelta | None:
    return parse_duration(params.lease) if isinstance(params, PauseNodeParams) and params.lease else None


async def _operations(look: Look, target: Target) -> Sequence[NodeOperation] | None:
    """The node's operation log, newest first; None where Dataphin does not show it to us.

    Raises:
        ApiError, QuotaSpent: it could not be read this time.
    """
    try:
        return await look.operations(target.id)
    except (Refused, Malformed):  # an edition or a version without it, or a right that is missing
        return None


def _newest(operations: Sequence[NodeOperation]) -> JsonObject:
    """The newest line as a baseline keeps it, {} of an empty log."""
    return _plain(operations[0]) if operations else {}


def _plain(line: NodeOperation) -> JsonObject:
    return {"type": line.type, "time": line.time.isoformat() if line.time else "", "operator": line.operator}


async def _altered(own: str, look: Look, write: Write, baseline: Mapping[str, Any], sends: int) -> str:
    """What was done to the node beside our own writes of the type `own`, by its operation log."""
    if baseline.get("paused") is (own == PAUSED_BY):
        return f"the node was {'paused' if own == PAUSED_BY else 'not paused'} before: there is nothing to take back"
    operations = await _operations(look, write.target) if "log" in baseline else None
    if operations is None:
        return "its operation log cannot be read, so nobody can tell whether somebody has touched the node since"
    return touched(operations, baseline["log"], own, sends)


def touched(operations: Sequence[NodeOperation], before: Mapping[str, Any], own: str, sends: int) -> str:
    """What somebody else has done to a node since the line `before` of its log, {} when that was empty; "" if nothing.

    `operations` is the log, newest first. Of the lines since then, those of the type `own` are ours: the first one, and
    others of its operator, `sends` of them at most.
    """
    lines = list(operations)
    if before:
        known = next((place for place, line in enumerate(lines) if _plain(line) == before), None)
        if known is None:
            return "its operation log does not show any more what it ended with before"
        lines = lines[:known]
    ours: list[NodeOperation] = []
    for line in reversed(lines):
        if line.type == own and len(ours) < sends and (not ours or line.operator == ours[0].operator):
            ours.append(line)
        else:
            return f"somebody has touched the node since: {_told(line)}"
    return ""


def _told(line: NodeOperation) -> str:
    by = f" by {line.operator}" if line.operator else ""
    return f"{line.type or 'an operation'}{by}{f' at {line.time.isoformat()}' if line.time else ''}"


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
    NodeStep(
        "pause_node",
        "PausePhysicalNode",
        "PauseCommand",
        True,
        PauseNodeParams,
        Reverse("resume_node", partial(_altered, PAUSED_BY)),
    ),
    NodeStep(
        "resume_node",
        "ResumePhysicalNode",
        "ResumeCommand",
        False,
        NodeParams,
        Reverse("pause_node", partial(_altered, RESUMED_BY)),
    ),
)
