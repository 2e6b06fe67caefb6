"""Live state that stands still, for tests of steps: a look that shows what it was given, and events to begin with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from phinops.catalog.catalog import Edition
from phinops.errors import Refused, Transient
from phinops.event import Alert, Event, Instance, JsonObject, Node, Project
from phinops.execute.steps.flow import Dagrun, Days, Schedule, Submission
from phinops.execute.steps.kind import InstanceView, NodeOperation, NodeView, Taskrun

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def after(minutes: float) -> datetime:
    """So many minutes after noon."""
    return NOON + timedelta(minutes=minutes)


@dataclass(slots=True)
class StillFlows:
    """Shows what was submitted; with `refused` the lists of a node's instances are not to be had."""

    of_nodes: list[Instance] = field(default_factory=list)
    flows: dict[str, list[str]] = field(default_factory=dict)
    below_it: list[Instance] = field(default_factory=list)
    jobs: dict[str, Submission] = field(default_factory=dict)
    dagruns_of: dict[str, list[Dagrun]] = field(default_factory=dict)
    refused: bool = False

    def dated(self, biz_date: str) -> str:
        return biz_date.replace("-", "")

    async def of_node(
        self, project_id: str, node_id: str, schedule: Schedule, days: Days, most: int
    ) -> Sequence[Instance] | None:
        self._check("ListInstances")
        found = [each for each in self.of_nodes if days.first <= each.biz_date <= days.last]
        return found if len(found) <= most else None

    async def of_flow(self, project_id: str, schedule: Schedule, flow_id: str) -> Sequence[str]:
        return self.flows.get(flow_id, [])

    async def below(self, instance_id: str, node_type: str) -> Sequence[Instance]:
        self._check("GetInstanceDownStream")
        return self.below_it

    async def submission(self, job_id: str) -> Submission:
        return self.jobs[job_id]

    async def dagruns(self, flow_id: str) -> Sequence[Dagrun]:
        return self.dagruns_of.get(flow_id, [])

    def _check(self, api: str) -> None:
        if self.refused:
            raise Refused(api, "DPN.Commons.InvalidParam", "there is no such list")


@dataclass(slots=True)
class StillLook:
    """Shows `instances`, `nodes`, `logs`, `runs` and `flows`; `asked` counts the looks, `broken` makes each fail."""

    shown_instances: dict[str, Instance] = field(default_factory=dict)
    shown_nodes: dict[str, Node] = field(default_factory=dict)
    logs: dict[str, list[NodeOperation]] = field(default_factory=dict)
    runs: dict[str, Sequence[Taskrun]] = field(default_factory=dict)
    shown: tuple[bool | None, str] = (None, "")
    asked: list[str] = field(default_factory=list)
    broken: bool = False
    log_refused: bool = False
    flows: StillFlows = field(default_factory=StillFlows)

    async def instance(self, project_id: str, instance_id: str) -> InstanceView | None:
        return (await self.instances(project_id, [instance_id])).get(instance_id)

    async def instances(self, project_id: str, ids: Collection[str]) -> Mapping[str, InstanceView]:
        self._ask(*ids)
        node = next(iter(self.shown_nodes.values()), Node())
        found = {each: self.shown_instances[each] for each in ids if each in self.shown_instances}
        return {each: InstanceView(instance, node, project_id) for each, instance in found.items()}

    async def node(self, project_id: str, node_id: str) -> NodeView | None:
        self._ask(node_id)
        node = self.shown_nodes.get(node_id)
        return NodeView(node, project_id) if node else None

    async def operations(self, node_id: str) -> Sequence[NodeOperation]:
        self._ask(f"log of {node_id}")
        return self.logs.get(node_id, [])

    async def shows(
        self, api: str, params: JsonObject, condition: str, sent: Mapping[str, Any]
    ) -> tuple[bool | None, str]:
        self._ask(api)
        return self.shown

    async def taskruns(self, project_id: str, instance_id: str) -> Sequence[Taskrun]:
        self._ask(f"runs of {instance_id}")
        if self.log_refused:
            raise Refused("GetPhysicalInstanceLog", "DPN.Filter.NoPermission", "no")
        return self.runs.get(instance_id, [])

    def _ask(self, *what: str) -> None:
        self.asked.extend(what)
        if self.broken:
            raise Transient("GetPhysicalInstance", "ServiceUnavailable", "come back later")


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check` knows of the config; nothing unless it is said."""

    edition: Edition | None = None
    notifiers: tuple[str, ...] | None = None


def event_of(**parts: Any) -> Event:
    """An event of project 7, a failure unless `parts` says otherwise."""
    given = {"id": "ev_1", "type": "instance.failed", "time": NOON, "tenant": "prod", "source": "instances"}
    return Event(**{**given, "project": Project("7", "sales"), **parts})


def failure(instance_id: str = "t_1", **parts: Any) -> Event:
    """The event of an instance that ran from noon to five past and failed."""
    instance = Instance(id=instance_id, status="FAILED", started_at=NOON, ended_at=after(5), paused=False)
    return event_of(instance=instance, node=Node(id="n_1", name="dws_orders"), **parts)


def alert(unique_key: str = "t_1", **parts: Any) -> Event:
    return event_of(type="alert.opened", source="alerts", alert=Alert(id="a_1", unique_key=unique_key), **parts)
