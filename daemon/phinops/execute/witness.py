"""Remembers what was read of a write's target, so that what a verdict was given on can be told."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from phinops.event import JsonObject, plain
from phinops.execute.steps.flow import Flows
from phinops.execute.steps.kind import InstanceView, Look, NodeOperation, NodeView, Taskrun
from phinops.execute.steps.verdict import record_of, to_json

RUNS = 3
"""The newest lines of a log that are remembered."""


class Witness:
    """A look, that remembers what it last saw of each kind: `saw` is JSON, empty while nothing was read."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self.saw: JsonObject = {}

    @property
    def flows(self) -> Flows:
        return self._look.flows

    async def instance(self, project_id: str, instance_id: str) -> InstanceView | None:
        found = await self._look.instance(project_id, instance_id)
        self._see("instance", to_json(record_of(found.instance)) if found else None)
        return found

    async def instances(self, project_id: str, ids: Collection[str]) -> Mapping[str, InstanceView]:
        found = await self._look.instances(project_id, ids)
        self._see("instances", {name: to_json(record_of(view.instance)) for name, view in found.items()})
        return found

    async def node(self, project_id: str, node_id: str) -> NodeView | None:
        found = await self._look.node(project_id, node_id)
        self._see("node", {"paused": found.node.paused} if found else None)
        return found

    async def operations(self, node_id: str) -> Sequence[NodeOperation]:
        found = await self._look.operations(node_id)
        self._see("operations", plain(list(found[:RUNS])))
        return found

    async def taskruns(self, project_id: str, instance_id: str) -> Sequence[Taskrun]:
        found = await self._look.taskruns(project_id, instance_id)
        self._see("taskruns", plain(list(found[-RUNS:])))
        return found

    async def shows(
        self, api: str, params: JsonObject, condition: str, sent: Mapping[str, Any]
    ) -> tuple[bool | None, str]:
        found = await self._look.shows(api, params, condition, sent)
        self._see(api, {"shows": found[0], "reason": found[1]})
        return found

    def _see(self, what: str, value: Any) -> None:
        self.saw = {**self.saw, what: value}
