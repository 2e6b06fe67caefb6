"""What a simulated tenant consists of. Times are seconds since the epoch on the tenant's clock.

These refer to each other in circles, and so have no repr that shows their fields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

Kind = Literal["NORMAL", "MANUAL", "SUPPLEMENT"]
State = Literal["WAITING", "RUNNING", "SUCCESS", "FAILED"]
Origin = Literal["schedule", "rerun", "auto", "fix"]

ALWAYS = -1
"""As `Instance.fails`: every run fails."""

LIVE: frozenset[str] = frozenset({"RUNNING", "FAILED"})
"""The states of `Project.live`. An instance that shows one of them is in one, also while it is masked."""


@dataclass(frozen=True, slots=True)
class User:
    """A person of the tenant; `id` is the number as text."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When a node's failure alerts: `every` repeats it while it stays failed, 0 alerts once.

    After `limit` times (0: never) it is not repeated any more, and `silence_after` the latest time it is SILENCING.
    """

    every: float = 0.0
    limit: int = 0
    silence_after: float = 0.0
    channel: str = "DINGTALK_ROBOT"
    receivers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of a node's operation log."""

    at: float
    type: str
    user: User
    context: str


@dataclass(slots=True, eq=False, repr=False)
class Project:
    """A project of the development side. Where `permitted` is false the key's owner has no role in it.

    `live` are those of its instances that run or failed, by id: most lists ask for these few.
    """

    id: int
    name: str
    mode: Literal["BASIC", "DEV_PROD"]
    biz_unit: str
    biz_unit_id: int
    owner: User
    description: str
    created: float
    permitted: bool
    nodes: list[Node] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    live: dict[str, Instance] = field(default_factory=dict)


@dataclass(slots=True, eq=False, repr=False)
class Node:
    """`at` is the second of the day of the first instance, `every` the period of those that run more often."""

    id: str
    serial: int
    name: str
    project: Project
    sub_type: str
    biz_type: Literal["SCRIPT", "LOGICAL_TABLE"]
    schedule: Literal["NORMAL", "MANUAL"]
    owner: User
    priority: str
    period: str
    at: float
    every: float
    duration: float
    created: float
    alert: AlertRule | None
    fields: int = 1
    paused: bool = False
    upstream: list[Node] = field(default_factory=list)
    downstream: list[Node] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)

    @property
    def type(self) -> str:
        """Its type in lineage and in records."""
        return "DATA_PROCESS" if self.biz_type == "SCRIPT" else "BBOX_LOGIC_TABLE_NODE"

    @property
    def output(self) -> str:
        """The name of the table that it writes."""
        return f"{self.project.name}.{self.name}"


@dataclass(slots=True, eq=False, repr=False)
class Run:
    """One taskrun. `end` is None while it runs; `log` is its whole text."""

    id: str
    start: float
    origin: Origin
    end: float | None = None
    state: State = "RUNNING"
    log: str = ""


@dataclass(slots=True, eq=False, repr=False)
class Instance:
    """One instance of a node.

    `number` is its place among the instances of its project. `fails` counts the runs still to fail (`ALWAYS`: all of
    them), `again` the accepted reruns that wait for the present run to end, `auto_left` the reruns that the platform
    itself still makes. `stuck` keeps the next run from ending, `blocked_until` keeps it from starting. While `mask` is
    set it is shown instead of the state.
    """

    id: str
    node: Node
    biz_date: date
    index: int
    due: float
    created: float
    number: int = 0
    kind: Kind = "NORMAL"
    flow_id: str = ""
    state: State = "WAITING"
    paused: bool = False
    ended: float | None = None
    fails: int = 0
    takes: float | None = None
    failure_log: str = ""
    stuck: bool = False
    blocked_until: float = 0.0
    again: int = 0
    auto_left: int = 0
    mask: State | None = None
    upstream: list[Instance] = field(default_factory=list)
    downstream: list[Instance] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    @property
    def project(self) -> Project:
        """The project of its node."""
        return self.node.project

    def enter(self, state: State) -> None:
        """Be in that state from now on."""
        self.state = state
        if state in LIVE:
            self.project.live[self.id] = self
        else:
            self.project.live.pop(self.id, None)

    def held(self) -> bool:
        """Whether something upstream keeps it from running."""
        return any(each.state != "SUCCESS" for each in self.upstream)

    def ready(self, now: float) -> bool:
        """Whether nothing keeps it from running."""
        if self.state != "WAITING" or self.paused or self.node.paused:
            return False
        return self.due <= now and self.blocked_until <= now and not self.held()

    def status(self, now: float) -> str:
        """The state in the words that ListInstances documents for `RunStatusList`."""
        if self.mask or self.state != "WAITING":
            return self.mask or self.state
        if self.due > now:
            return "INIT"
        if self.blocked_until > now:
            return "DISPATCH_BLOCKED"
        if self.held():
            return "WAIT_SUBMISSION"
        return "WAIT_SCHEDULE" if self.paused or self.node.paused else "WAIT_RESOURCE"


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that a call really did: `operation` on `target`, at the tenant's time `at`."""

    at: float
    api: str
    operation: str
    project_id: int
    target: str


@dataclass(slots=True, eq=False, repr=False)
class Alert:
    """One alert event: it lives on while its cause repeats."""

    id: int
    unique_key: str
    reason: str
    system: str
    object_name: str
    object_type: str
    project_name: str
    biz_name: str
    biz_date: date | None
    params: tuple[tuple[str, str], ...]
    rule: AlertRule
    first: float
    latest: float
    times: int = 1
    status: str = "ALERTING"
    quiet_until: float | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """What was sent about an alert, through one channel."""

    alert: Alert
    at: float
    channel: str
    receiver: str
    delivered: bool


@dataclass(slots=True, eq=False, repr=False)
class Dagrun:
    """The part of a backfill that makes one business date."""

    id: str
    flow_id: str
    biz_date: date
    created: float
    instances: list[Instance] = field(default_factory=list)
    begun: float | None = None

    def state(self, now: float) -> str:
        """One of the states that GetSupplementDagrun documents."""
        if self.begun is None or self.begun > now:
            return "INIT" if now < self.created + 1.0 else "READY"
        states = [each.state for each in self.instances]
        if "RUNNING" in states:
            return "RUNNING"
        if "FAILED" in states:
            return "FAILED"
        return "SUCCESS" if all(state == "SUCCESS" for state in states) else "RUNNING"

    def ended(self) -> float | None:
        """When the last of its instances ended, or None while one has not."""
        if any(each.ended is None for each in self.instances):
            return None
        return max((each.ended or 0.0 for each in self.instances), default=None)


@dataclass(slots=True, eq=False, repr=False)
class Flow:
    """A submitted backfill, fix or manual run. `job_id` is what GetOperationSubmitStatus asks for."""

    id: str
    job_id: str
    operation: str
    env: str
    created: float
    operator: User
    dagruns: list[Dagrun] = field(default_factory=list)
    parallelism: int = 1


Listener = Callable[[Instance, Run | None], None]
"""Told whenever an instance reaches SUCCESS or FAILED."""
