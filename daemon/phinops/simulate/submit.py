"""Backfills, fixes and manual runs: what is submitted once and then lives on by itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial

from phinops.simulate.build import connect
from phinops.simulate.calendar import DAY
from phinops.simulate.model import Dagrun, Flow, Instance, Kind, Node, Run, User
from phinops.simulate.refusal import invalid
from phinops.simulate.tenant import Tenant

PREPARING = 1.0
"""Seconds until a submission has been turned into runs."""

_LONGEST = 366
_MOST_PARALLEL = 12


def days_between(start: date, end: date) -> list[date]:
    """The dates from `start` to `end`, both included.

    Raises:
        Refusal: there are none, or more than a year of them.
    """
    count = (end - start).days + 1
    if not 0 < count <= _LONGEST:
        raise invalid(f"the business dates from {start} to {end} are {count} days")
    return [start + timedelta(days=number) for number in range(count)]


def backfill(
    tenant: Tenant,
    nodes: Sequence[Node],
    days: Sequence[date],
    env: str,
    user: User,
    *,
    parallelism: int = 1,
    at_once: bool = True,
) -> Flow:
    """Run `nodes` in the order of their lineage for each of `days`, at most `parallelism` days at a time."""
    if not 1 <= parallelism <= _MOST_PARALLEL:
        raise invalid(f"Parallelism must be from 1 to {_MOST_PARALLEL}")
    flow = _new_flow(tenant, "SUPPLY_DATA", env, user, f"{days[0]:%Y%m%d}")
    flow.parallelism = parallelism

    def take_effect() -> None:
        _make(tenant, flow, nodes, days, "SUPPLEMENT")
        begin = tenant.now + PREPARING if at_once else _next_due(tenant, nodes[0])
        tenant.agenda.at(begin, partial(_fill, tenant, flow))

    tenant.later(take_effect)
    return flow


def run_manually(tenant: Tenant, node: Node, days: Sequence[date], env: str, user: User) -> Flow:
    """Run a manual node for each of `days`, one after the other."""
    flow = _new_flow(tenant, "MANUAL", env, user, str(node.serial))

    def take_effect() -> None:
        _make(tenant, flow, [node], days, "MANUAL")
        tenant.agenda.at(tenant.now, partial(_fill, tenant, flow))

    tenant.later(take_effect)
    return flow


def fix(tenant: Tenant, instances: Sequence[Instance], env: str, user: User) -> Flow:
    """Run existing instances again, each after those above it: no new instances, one more taskrun in each."""
    flow = _new_flow(tenant, "FIX_DATA", env, user, "")
    chosen = {each.id: each for each in instances}
    waits = {each.id: {up.id for up in each.upstream if up.id in chosen} for each in instances}
    tenant.later(_FixRun(tenant, chosen, waits).begin)
    return flow


class _FixRun:
    """The order in which the instances of one FixData run."""

    def __init__(self, tenant: Tenant, chosen: dict[str, Instance], waits: dict[str, set[str]]) -> None:
        self.tenant = tenant
        self.chosen = chosen
        self.waits = waits
        self.started: set[str] = set()

    def begin(self) -> None:
        self.tenant.lives.listeners.append(self._ended)
        self._go_on()

    def _go_on(self) -> None:
        for instance_id, waits in self.waits.items():
            if not waits and instance_id not in self.started:
                self.started.add(instance_id)
                self.tenant.lives.start(self.chosen[instance_id], "fix")

    def _ended(self, instance: Instance, run: Run | None) -> None:
        if instance.id not in self.started or instance.state != "SUCCESS":
            return
        for waits in self.waits.values():
            waits.discard(instance.id)
        self._go_on()
        if len(self.started) == len(self.chosen):
            self.tenant.agenda.at(self.tenant.now, self._forget)

    def _forget(self) -> None:
        if self._ended in self.tenant.lives.listeners:
            self.tenant.lives.listeners.remove(self._ended)


def _new_flow(tenant: Tenant, operation: str, env: str, user: User, middle: str) -> Flow:
    number = tenant.flow_serial()
    flow = Flow(
        id=f"f_{number}_{middle}_{number + 1}" if middle else f"f_{number}_{number + 1}",
        job_id=str(10**12 + number),
        operation=operation,
        env=env,
        created=tenant.now,
        operator=user,
    )
    tenant.flows[flow.id] = flow
    tenant.jobs[flow.job_id] = flow
    return flow


def _make(tenant: Tenant, flow: Flow, nodes: Sequence[Node], days: Sequence[date], kind: Kind) -> None:
    """Bring the dagruns of the flow into being, one for each day."""
    for day in days:
        flow.dagruns.append(_dagrun(tenant, flow, nodes, day, kind))


def _dagrun(tenant: Tenant, flow: Flow, nodes: Sequence[Node], day: date, kind: Kind) -> Dagrun:
    dagrun = Dagrun(f"dr_{tenant.flow_serial()}_{len(flow.dagruns) + 1}", flow.id, day, tenant.now)
    by_node: dict[str, Instance] = {}
    for node in nodes:
        due = tenant.calendar.midnight(day) + DAY + node.at
        instance = tenant.new_instance(node, day, due, kind=kind, flow_id=flow.id, created=tenant.now)
        by_node[node.id] = instance
        dagrun.instances.append(instance)
    for instance in dagrun.instances:
        for upstream in instance.node.upstream:
            if upstream.id in by_node:
                connect(by_node[upstream.id], instance)
    return dagrun


def _fill(tenant: Tenant, flow: Flow) -> None:
    """Begin as many dagruns as may run at once, and come back when one ends."""
    running = [each for each in flow.dagruns if each.state(tenant.now) == "RUNNING"]
    waiting = [each for each in flow.dagruns if each.begun is None]
    for dagrun in waiting[: max(0, flow.parallelism - len(running))]:
        dagrun.begun = tenant.now
        for instance in dagrun.instances:
            instance.due = min(instance.due, tenant.now)
            tenant.lives.try_start(instance)
    if waiting:
        tenant.agenda.at(tenant.now + PREPARING, partial(_fill, tenant, flow))


def _next_due(tenant: Tenant, node: Node) -> float:
    today = tenant.calendar.midnight(tenant.calendar.date_of(tenant.now)) + node.at
    return today if today > tenant.now else today + DAY
