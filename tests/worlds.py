"""A tenant of a few instances in memory, for tests of acting: it applies writes, loses answers and can be read."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import anyio

from phinops.clock import LoopClock
from phinops.course import Courses
from phinops.decide.permit import Verdict
from phinops.decide.replies import Replies
from phinops.errors import Ambiguous, Forbidden, QuotaSpent, Refused, StoreUnwritable, Throttled, Transient
from phinops.event import Event, Instance, JsonObject, Node, Project, event_id
from phinops.execute.act import Actor, Kit
from phinops.execute.bells import Bells
from phinops.execute.brake import Brake
from phinops.execute.carry import Hands
from phinops.execute.desk import Alarm, Desk
from phinops.execute.fresh import Eyes, Glass
from phinops.execute.guard import Rails
from phinops.execute.hold import Holds
from phinops.execute.identity import Identities
from phinops.execute.lineage import Lineage
from phinops.execute.own_reruns import OwnReruns
from phinops.execute.settle import Settler
from phinops.execute.steps.kind import InstanceView, NodeOperation, NodeView, Target, Taskrun
from phinops.execute.steps.table import STEPS
from phinops.execute.walk import Scene
from phinops.execute.web import Web
from phinops.firing import Firing, Intent
from phinops.record import journal, pausing
from phinops.record.book import Book
from phinops.record.sqlite import Store
from phinops.safeguards import KillSwitch, tell_if_open
from stillness import StillFlows

START = datetime(2026, 1, 5, tzinfo=UTC)
_UTC = ZoneInfo("UTC")
_REPLIES = Replies()

Fault = Literal[
    "lost before", "lost after", "throttled", "transient", "refused", "forbidden", "running", "unspoken", "spent",
    "item refused",
]  # fmt: skip


@dataclass(slots=True)
class World:
    """`faults` are met one a call, in order; `reruns` counts what was really done; `calls` the targets of each call.

    The flags of nodes change as late as `flag_delays` says, one a call; `logs` are their operation logs, newest first.
    A rerun shows `shows_after` seconds late, runs `lasts` seconds and ends as `ends` says. Until the monotonic time
    `spent_until` no call has a turn.
    """

    clock: LoopClock
    faults: deque[Fault] = field(default_factory=deque)
    instances: dict[str, Instance] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    reruns: Counter[str] = field(default_factory=Counter)
    calls: list[list[str]] = field(default_factory=list)
    read_faults: int = 0
    reads: int = 0
    spent_until: float = 0.0
    read_refused: bool = False
    log_refused: bool = False
    flag_delays: deque[float] = field(default_factory=deque)
    logs: defaultdict[str, list[NodeOperation]] = field(default_factory=lambda: defaultdict(list))
    below: int = 0
    lineage_refused: bool = False
    shows_after: float = 0.0
    lasts: float = 60.0
    ends: str = "SUCCESS"
    calls_left: int | None = None
    ran: defaultdict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    web: Web = field(default_factory=Web)
    flows: StillFlows = field(default_factory=StillFlows)
    _runs: dict[str, datetime] = field(default_factory=dict)
    _flags: list[tuple[float, str, bool]] = field(default_factory=list)

    def add_failed(self, instance_id: str) -> Instance:
        self.instances[instance_id] = Instance(
            id=instance_id,
            status="FAILED",
            started_at=START - timedelta(minutes=10),
            ended_at=START - timedelta(minutes=5),
        )
        return self.instances[instance_id]

    async def write(
        self, api: str, prepare: Callable[[], Awaitable[JsonObject | None]], *, deadline: float | None = None
    ) -> Answer | None:
        await anyio.sleep(0.01)
        fault = self.faults.popleft() if self.faults else None
        if fault == "spent" or self.clock.monotonic() < self.spent_until:
            raise QuotaSpent("the day is spent")
        params = await prepare()
        if params is None:
            return None
        command = next(iter(params.values()))
        ids = [item["Id"] if isinstance(item, dict) else item for item in next(_lists(command))]
        self.calls.append(ids)
        self._arrived(ids, fault)
        await anyio.sleep(0.05)
        _raise_before(api, fault)
        if fault != "item refused":
            for target in ids:
                self._apply(api, target, command)
        if fault == "lost after":
            raise Ambiguous(api, "reset", "the connection was reset")
        status = {"Status": "FAILED", "ErrorMessage": "no"} if fault == "item refused" else {"Status": "SUCCESS"}
        spoken = [] if fault == "unspoken" else [{"Id": target, "NodeId": target, **status} for target in ids]
        return Answer({"InstanceStatusList": spoken, "NodeOperateResultList": spoken}, f"R{len(self.calls)}")

    def _arrived(self, ids: Sequence[str], fault: Fault | None) -> None:
        """The call is here; it is done while its caller waits."""

    def _apply(self, api: str, target: str, command: Mapping[str, Any]) -> None:
        if api == "OperateInstance":
            self.reruns[target] += 1
            self._runs[target] = self.clock.now()
            self.ran[target].append(self.clock.now())
        else:
            paused = api.startswith("Pause")
            late = self.flag_delays.popleft() if self.flag_delays else 0.0
            self._flags.append((self.clock.monotonic() + late, target, paused))
            self._show_flags()
            self.logs[target].insert(0, NodeOperation("PAUSE_TASK" if paused else "RESUME_TASK", self.clock.now()))

    def _show_flags(self) -> None:
        due = sorted(each for each in self._flags if each[0] <= self.clock.monotonic())
        self._flags = [each for each in self._flags if each not in due]
        for _, target, paused in due:
            self.nodes[target] = replace(self.nodes[target], paused=paused)

    def _now(self, instance_id: str) -> Instance:
        record, began = self.instances[instance_id], self._runs.get(instance_id)
        if began is None or (age := (self.clock.now() - began).total_seconds()) < self.shows_after:
            return record
        running = replace(record, status="RUNNING", started_at=began, ended_at=None)
        if age < self.lasts:
            return running
        return replace(running, status=self.ends, ended_at=began + timedelta(seconds=self.lasts))

    async def read(self, api: str, params: JsonObject) -> Mapping[str, Any]:
        self._count_read(api)
        return {"PageResult": {"Data": []}}

    async def instance(self, project_id: str, instance_id: str) -> InstanceView | None:
        self._count_read("GetPhysicalInstance")
        known = instance_id in self.instances
        return InstanceView(self._now(instance_id), Node(id="n_1", name="dws"), project_id) if known else None

    async def instances_of(self, project_id: str, ids: Collection[str]) -> Mapping[str, InstanceView]:
        found = {name: await self.instance(project_id, name) for name in ids}
        return {name: view for name, view in found.items() if view}

    async def node(self, project_id: str, node_id: str) -> NodeView | None:
        self._count_read("ListNodes")
        self._show_flags()
        return NodeView(self.nodes[node_id], project_id) if node_id in self.nodes else None

    async def operations(self, node_id: str) -> Sequence[NodeOperation]:
        self._count_read("GetPhysicalNodeOperationLog")
        return self.logs[node_id]

    async def shows(
        self, api: str, params: JsonObject, condition: str, sent: Mapping[str, Any]
    ) -> tuple[bool | None, str]:
        self._count_read(api)
        self._show_flags()
        paused = [name for name, node in self.nodes.items() if node.paused]
        return _REPLIES.holds(condition, {"Paused": paused}, sent)

    async def taskruns(self, project_id: str, instance_id: str) -> Sequence[Taskrun]:
        self._count_read("GetPhysicalInstanceLog")
        if self.log_refused:
            raise Refused("GetPhysicalInstanceLog", "DPN.Filter.NoPermission", "no")
        first = self.instances[instance_id]
        runs = [Taskrun("run_0", first.status, first.started_at, first.ended_at)]
        for number, began in enumerate(self.ran[instance_id], 1):
            over = self.clock.now() >= began + timedelta(seconds=self.lasts)
            ended = began + timedelta(seconds=self.lasts) if over else None
            runs.append(Taskrun(f"run_{number}", self.ends if over else "RUNNING", began, ended))
        return runs

    async def downstream(self, target: Target) -> int:
        if self.lineage_refused:
            raise Refused("GetInstanceDownStream", "DPN.NoPermission", "no")
        return self.below

    def _count_read(self, api: str) -> None:
        self.reads += 1
        if self.clock.monotonic() < self.spent_until:
            raise QuotaSpent("the day is spent")
        if self.read_refused:
            raise Refused(api, "DPN.NotFound", "there is no such thing")
        if self.read_faults:
            self.read_faults -= 1
            raise Transient(api, "InternalError", "not now")


@dataclass(slots=True)
class FailingStore:
    """A store that cannot be written in some spans of time, nor read then; what it does not fail is done.

    A span is its beginning, counted from the loop's, and its length. `unreadable` are spans in which only reads fail.
    """

    store: Store
    clock: LoopClock
    outages: list[tuple[float, float]] = field(default_factory=list)
    unreadable: list[tuple[float, float]] = field(default_factory=list)

    def _check(self, spans: Sequence[tuple[float, float]]) -> None:
        now = self.clock.monotonic() - 1000
        if any(start <= now < start + lasts for start, lasts in spans):
            raise StoreUnwritable("the disk is full")

    async def write(self, op: Any) -> Any:
        self._check(self.outages)
        return await self.store.write(op)

    async def read(self, op: Any) -> Any:
        self._check([*self.outages, *self.unreadable])
        return await self.store.read(op)


@dataclass(frozen=True, slots=True)
class Answer:
    body: Mapping[str, Any]
    request_id: str


class Reading:
    """The world as `Look` has it: its `instances` is a method there and a table here."""

    def __init__(self, world: World) -> None:
        self.instance = world.instance
        self.instances = world.instances_of
        self.node = world.node
        self.operations = world.operations
        self.taskruns = world.taskruns
        self.shows = world.shows
        self.downstream = world.downstream
        self.flows = world.flows


class PlainWords:
    """Conditions are `True`, `False` or a results test in Python's words; templates are left as they are."""

    def holds(self, condition: str, scene: Scene, name: str = "if") -> tuple[bool, str]:
        wanted = re.fullmatch(r"steps\.(\w+)\.outcome == '(\w+)'", condition)
        if wanted:
            return scene.results[wanted[1]].outcome == wanted[2], ""
        opposite = re.fullmatch(r"!\(\n(True|False)\n\)", condition)
        if condition in ("", "True") or (opposite and opposite[1] == "False"):
            return True, ""
        shown = re.fullmatch(r"event.instance.status == '(\w+)'", condition)
        if shown:
            instance = scene.event.instance
            return instance is not None and instance.status == shown[1], f"{name} is false"
        return False, f"{name} is false" if condition == "False" else "cannot be evaluated"

    def render(self, value: Any, scene: Scene) -> Any:
        return value


@dataclass(slots=True)
class Stage:
    """Everything that acting needs, on an in-memory store; `permit_reason` is what the guards of rules say."""

    store: Store
    world: World
    courses: Courses
    desk: Desk
    bells: Bells
    actor: Actor
    alarms: list[Alarm]
    events: list[Event]
    switch: KillSwitch
    permit_reason: str = ""
    hands: Mapping[str, Hands] = field(default_factory=dict)

    async def firing(self, firing_id: str) -> Firing:
        found = await self.store.read(lambda tx: journal.firing_of(tx, firing_id))
        assert found
        return found

    async def add(self, firing: Firing, event: Event) -> None:
        """Record a firing with its event as the pipeline does, and let it begin; one that is ready starts now."""
        if firing.state == "ready":
            firing = replace(firing, started_at=self.world.clock.now())
        await self.record(firing, event)
        self.courses.begin(firing, event)

    async def record(self, firing: Firing, event: Event) -> None:
        """Put a firing into the store with its event, and no more."""

        def op(tx: Any) -> None:
            journal.put_event(tx, event)
            journal.put_firing(tx, firing)

        await self.store.write(op)

    async def ended(self, *firing_ids: str, within: float = 90_000.0) -> list[Firing]:
        """The firings once all of them are over, in virtual time."""
        deadline = self.world.clock.monotonic() + within
        while True:
            found = [await self.firing(firing_id) for firing_id in firing_ids]
            if all(one.state in ("done", "failed", "skipped", "needs_decision") for one in found):
                return found
            assert self.world.clock.monotonic() < deadline, [(one.id, one.state, one.reason) for one in found]
            await anyio.sleep(1.0)

    async def last_step(self, firing_id: str, n: int = 0) -> Intent:
        found = await self.store.read(lambda tx: journal.last_step(tx, firing_id, n))
        assert found
        return found


@asynccontextmanager
async def stage(
    store: Store | None = None,
    world: World | None = None,
    *,
    most: int = 500,
    rails: Rails | None = None,
    own_reruns: OwnReruns | None = None,
) -> AsyncGenerator[Stage]:
    """A stage in virtual time; pass a store and a world to play a restart."""
    rails = rails or Rails(most)
    clock = world.clock if world else LoopClock(START)
    world = world or World(clock)
    if store is None:
        async with (
            Store.open(":memory:", clock) as opened,
            stage(opened, world, rails=rails, own_reruns=own_reruns) as inner,
        ):
            yield inner
        return
    reading = Reading(world)
    alarms: list[Alarm] = []

    async def tell(alarm: Alarm) -> None:
        alarms.append(alarm)

    events: list[Event] = []

    async def told(event: Event) -> None:
        events.append(event)

    async with anyio.create_task_group() as group:

        async def alarmed(tenant: str, alarm: Alarm) -> None:
            alarms.append(alarm)

        book = Book(store, failed=lambda failed: tell_if_open(failed, rails, group, alarmed))
        identities = Identities(rails.protected, reading, (), clock)
        desk = Desk(world, book, rails, clock, group, tell, identify=identities.of)
        settler = Settler(reading, book, clock, 15.0)
        glass = Glass(reading, world.read, clock, zone=_UTC, impact_window=timedelta(minutes=10))
        eyes = Eyes(glass, glass, lambda: world.calls_left)
        hands = {"t": Hands(desk, settler, reading, world.read, eyes, Lineage(reading, clock), own_reruns)}
        bells = Bells()
        sound = store.store if isinstance(store, FailingStore) else store
        brake = Brake(await sound.read(pausing.pause_of))
        switch = KillSwitch(store, brake, UTC)
        kit = Kit(
            book, PlainWords(), hands, clock, Holds(), bells, world.web, rails, brake, told, alarmed, lambda: ["oncall"]
        )
        actor = Actor(kit, STEPS)
        shown = Stage(store, world, None, desk, bells, actor, alarms, events, switch, hands=hands)  # type: ignore[arg-type]
        shown.courses = Courses(
            store,
            actor,
            PlainWords(),
            {"t": glass},
            clock,
            group,
            lambda tx, firing, event: Verdict(not shown.permit_reason, shown.permit_reason),
        )
        yield shown
        group.cancel_scope.cancel()


def failed_event(instance: Instance) -> Event:
    return Event(
        id=event_id("test", instance.id, str(instance.started_at)),
        type="instance.failed",
        time=START,
        tenant="t",
        source="instances",
        project=Project(id="7"),
        instance=instance,
        node=Node(id="n_1", name="dws"),
    )


def firing_of(event: Event, steps: Sequence[JsonObject], **changes: Any) -> Firing:
    """A ready firing; steps get ids s0, s1, ... and the defaults that the loader gives."""
    given: JsonObject = {"params": {}, "if": "", "on_error": "stop", "verify_s": None}
    plan = {"if": "", "for_s": 0, "vars": {}, "limits": {}, "concurrency": "queued", **changes.pop("plan", {})}
    plan["steps"] = [{**given, "id": f"s{n}", **step} for n, step in enumerate(steps)]
    firing_id = changes.pop("id", f"fi_{event.id[3:]}")
    key = changes.pop("key", event.id)
    rule = changes.pop("rule", "r")
    base = Firing(firing_id, event.id, "t", rule, "h", "armed", key, plan, "ready", created_at=START, started_at=START)
    return replace(base, **changes)


def _lists(command: Mapping[str, Any]) -> Any:
    return (value for value in command.values() if isinstance(value, list))


def _raise_before(api: str, fault: Fault | None) -> None:
    if fault == "lost before":
        raise Ambiguous(api, "timeout", "no answer came")
    if fault == "throttled":
        raise Throttled(api, "Throttling.User", "too many", retry_after=7.0)
    if fault == "transient":
        raise Transient(api, "connect", "no connection")
    if fault == "refused":
        raise Refused(api, "DPN.OP.NoPermission", "no")
    if fault == "forbidden":
        raise Forbidden(api, "Forbidden.RAM", "no")
    if fault == "running":
        raise Refused(api, "DPN.TaskScheduler.Task.TaskRunning", "runs")
