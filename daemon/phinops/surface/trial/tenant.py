"""The tenant of a trial: what the last event said of each object, until something else is said of it.

Writes change nothing here: what comes of one is said by who tries a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, Generic, TypeVar

from phinops.decide.defaults import FLOWS, PARTS
from phinops.event import Alert, Event, Instance, Node
from phinops.surface.trial.values import fitted

Item = TypeVar("Item")

ENDED = ("SUCCESS", "FAILED")

_OPERATIONS = {True: "PAUSE_TASK", False: "RESUME_TASK"}

UNSEEN = timedelta(minutes=1)
"""How long a run took whose beginning nobody saw."""


@dataclass(slots=True)
class Run:
    """An instance as it is, with its node and the raw record that the last event had. `rerun_at`: it was told to run
    again then, and nobody has said yet what came of it. `failures` counts its failed runs.
    """

    instance: Instance
    node: str = ""
    project: str = ""
    raw: Any = None
    rerun_at: datetime | None = None
    failures: int = 0


@dataclass(slots=True)
class Known(Generic[Item]):
    """An object of another kind; `project` is its id, of an alert the name, "" where it is not known."""

    item: Item
    project: str = ""
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a node's operation log. `by` is phinops or somebody else."""

    type: str
    at: datetime
    by: str


@dataclass(slots=True)
class Flow:
    """A backfill or a manual run of a node for the business dates `days`; its `status` is that of all its instances, ""
    while nobody has said whether it came to be.
    """

    number: int
    kind: str
    node: str
    days: tuple[date, ...]
    status: str

    @property
    def id(self) -> str:
        """What Dataphin calls it."""
        return f"f_{self.number}"


@dataclass(slots=True)
class Tenant:
    """What Dataphin knows, by id; `errors` are those of an API within a window, `logs` the operation logs of nodes,
    oldest line first. `last` is the id of each kind that was spoken of last.
    """

    zone: tzinfo
    runs: dict[str, Run] = field(default_factory=dict)
    nodes: dict[str, Known[Node]] = field(default_factory=dict)
    alerts: dict[str, Known[Alert]] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    below: dict[str, int] = field(default_factory=dict)
    logs: dict[str, list[Line]] = field(default_factory=dict)
    flows: list[Flow] = field(default_factory=list)
    last: dict[str, str] = field(default_factory=dict)

    def happened(self, event: Event) -> None:
        """Take over what the event says of its object."""
        if event.instance is not None:
            self._ran(event, event.instance)
        if event.node is not None:
            known = self.nodes.get(event.node.id)
            paused = event.node.paused if event.node.paused is not None else (known.item.paused if known else False)
            self.nodes[event.node.id] = Known(replace(event.node, paused=paused), event.project.id)
            self.last["node"] = event.node.id
        if event.alert is not None:
            self.alerts[event.alert.id] = Known(event.alert, event.project.name, event.raw)
            self.last["alert"] = event.alert.id
        if event.api is not None and event.impact is not None:
            self.errors[event.api.id] = 0 if event.type == "impact.closed" else (event.impact.errors or 0)
            self.last["api"] = event.api.id

    def _ran(self, event: Event, instance: Instance) -> None:
        known = self.runs.get(instance.id)
        failures = known.failures if known else 0
        self.runs[instance.id] = Run(
            instance=instance,
            node=event.node.id if event.node else "",
            project=event.project.id,
            raw=event.raw,
            failures=failures if instance.attempts is None else instance.attempts,
        )
        self.last["instance"] = instance.id

    def told_to_rerun(self, instance_id: str, at: datetime) -> None:
        """A run was asked for: what is said of the instance next, without a start, is said of that run."""
        if instance_id in self.runs:
            self.runs[instance_id].rerun_at = at

    def told_to_pause(self, node_id: str, at: datetime, *, paused: bool) -> None:
        """A node is to be paused or resumed, which its log says; its flag shows it when somebody says so."""
        self.logs.setdefault(node_id, []).append(Line(_OPERATIONS[paused], at, "phinops"))

    def submitted(self, kind: str, node: str, first: date, last: date, status: str) -> Flow:
        """A node was told to run for the business dates from the first to the last."""
        days = tuple(first + timedelta(days=n) for n in range((last - first).days + 1))
        self.flows.append(Flow(len(self.flows) + 1, kind, node, days, status))
        return self.flows[-1]

    def become(self, parts: Mapping[str, Mapping[str, Any]], now: datetime) -> str:
        """Be as a `state` step says. An object that it does not name is the one that was spoken of last.

        What cannot be so is said, "" if all can.
        """
        for part, given in parts.items():
            if part in ("instance", "node", "alert"):
                self._one(part, str(given.get("id") or self.last.get(part) or PARTS[part]["id"]), given, now)
        if "impact" in parts or "api" in parts:
            api = str((parts.get("api") or {}).get("id") or self.last.get("api") or PARTS["api"]["id"])
            errors = (parts.get("impact") or {}).get("errors")
            self.errors[api] = self.errors.get(api, 0) if errors is None else errors
            self.last["api"] = api
        return self._flow(self.last.get("node", ""), parts.get("node") or {})

    def _flow(self, node: str, given: Mapping[str, Any]) -> str:
        """What is said of the node's newest backfill or manual run."""
        for kind in (each for each in FLOWS if each in given):
            newest = next((each for each in reversed(self.flows) if (each.kind, each.node) == (kind, node)), None)
            if newest is None:
                return f"node {node} has had no {kind}: nothing can be said of it"
            newest.status = given[kind]
        return ""

    def _one(self, part: str, id: str, given: Mapping[str, Any], now: datetime) -> None:
        self.last[part] = id
        if "downstream" in given:
            self.below[id] = given["downstream"]
        if given.get("gone"):
            tables: dict[str, dict[str, Any]] = {"instance": self.runs, "node": self.nodes, "alert": self.alerts}
            tables[part].pop(id, None)
        elif part == "instance":
            self._instance(id, given, now)
        elif part == "node":
            self._touched(id, given, now)
            known = self.nodes.get(id) or Known(Node(id, PARTS["node"]["name"], paused=False))
            self.nodes[id] = replace(known, item=replace(known.item, **fitted(Node, {**given, "id": id}, self.zone)))
        else:
            alert = self.alerts.get(id) or Known(Alert(id))
            self.alerts[id] = replace(alert, item=replace(alert.item, **fitted(Alert, {**given, "id": id}, self.zone)))

    def _touched(self, id: str, given: Mapping[str, Any], now: datetime) -> None:
        """Whatever is said of a node's flag that phinops has not made so was made so by somebody else."""
        log = self.logs.setdefault(id, [])
        paused = given.get("paused")
        said = next((line.type for line in reversed(log) if line.type in _OPERATIONS.values()), _OPERATIONS[False])
        if paused is not None and said != _OPERATIONS[paused]:
            log.append(Line(_OPERATIONS[paused], now, "somebody"))
        if given.get("touched"):
            log.append(Line("UPDATE_NODE", now, "somebody"))

    def _instance(self, id: str, given: Mapping[str, Any], now: datetime) -> None:
        run = self.runs.get(id) or Run(Instance(id), self.last.get("node", ""))
        values = fitted(Instance, {**given, "id": id}, self.zone)
        if "status" in values:
            values = {**timed(run, values["status"], now), **values}
            run.rerun_at = None
        run.instance = replace(run.instance, **values)
        self.runs[id] = run


def timed(run: Run | None, status: str, now: datetime) -> dict[str, Any]:
    """When the run began and ended that is in this state now, and how long it took.

    A run that was asked for began then, one that is under way began when it was said to. Of another one that has ended
    already, nobody saw the beginning: it ran for a minute, or since the end of the one before.
    """
    if status in ("WAITING", "BLOCKED", "UNKNOWN"):
        return {"started_at": None, "ended_at": None, "duration_s": None}
    before = run.instance if run else Instance()
    if run and run.rerun_at is not None:
        began = run.rerun_at.astimezone(now.tzinfo)
    elif before.status not in ENDED and before.started_at is not None:
        began = before.started_at
    elif status in ENDED:
        began = max(now - UNSEEN, before.ended_at or now - UNSEEN)
    else:
        began = now
    if status not in ENDED:
        return {"started_at": began, "ended_at": None, "duration_s": None}
    began = min(began, now)  # what is told late may have ended before what was told of first
    return {"started_at": began, "ended_at": now, "duration_s": int((now - began).total_seconds())}
