"""A tenant out of a scenario: projects, nodes, lineage, data services, and the days behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import date, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from phinops.clock import Clock
from phinops.errors import ConfigError
from phinops.simulate.calendar import DAY, RUNS_A_DAY, runs_on
from phinops.simulate.incidents import plan_alerts, plan_incidents
from phinops.simulate.model import AlertRule, Instance, Node, Project
from phinops.simulate.scenario import AlertRuleSpec, DataServiceSpec, NodeSpec, ProjectSpec, Scenario
from phinops.simulate.tenant import Tenant
from phinops.simulate.traffic import App, DataService, ServedApi, Stream


def build_tenant(scenario: Scenario, clock: Clock, seed: int) -> Tenant:
    """The tenant that `scenario` describes, at the present time of `clock`. The same seed gives the same tenant.

    Raises:
        ConfigError: the scenario names a zone, node or API that does not exist.
    """
    tenant = Tenant(scenario.tenant.id, scenario.tenant.name, _zone(scenario.tenant.zone), clock, seed)
    for item in fields(tenant.quirks):
        setattr(tenant.quirks, item.name, getattr(scenario.quirks, item.name))
    for name, project in scenario.projects.items():
        _add_project(tenant, name, project)
    for name, project in scenario.projects.items():
        _link(tenant, name, project)
    for name, service in scenario.data_services.items():
        _add_service(tenant, name, service)
    today = tenant.calendar.date_of(tenant.started)
    for age in range(scenario.history, -1, -1):
        generate(tenant, today - timedelta(days=age))
    plan_incidents(tenant, scenario.incidents)
    plan_alerts(tenant, scenario.alerts)
    _promise_next_day(tenant, today + timedelta(days=1))
    tenant.settle()
    return tenant


def generate(tenant: Tenant, day: date) -> None:
    """The instances that run on `day`, for the business date before it; what lies in the past went well."""
    midnight = tenant.calendar.midnight(day)
    made: dict[str, list[Instance]] = {}
    for node in tenant.nodes.values():
        if node.schedule == "NORMAL" and runs_on(node.period, day):
            made[node.id] = [
                tenant.new_instance(node, day - timedelta(days=1), due, created=midnight)
                for due in _due_times(node, midnight)
            ]
    for node_id, instances in made.items():
        for upstream in tenant.nodes[node_id].upstream:
            _connect_all(made.get(upstream.id, ()), instances)
    for instances in made.values():
        for instance in instances:
            _begin(tenant, instance)


def _connect_all(upstream: Sequence[Instance], downstream: Sequence[Instance]) -> None:
    """Let each of a day wait for the one of its own number, or for the day's last."""
    if upstream:
        for index, instance in enumerate(downstream):
            connect(upstream[min(index, len(upstream) - 1)], instance)


def connect(upstream: Instance, downstream: Instance) -> None:
    """Let `downstream` wait for `upstream`."""
    upstream.downstream.append(downstream)
    downstream.upstream.append(upstream)


def _begin(tenant: Tenant, instance: Instance) -> None:
    if instance.due + instance.node.duration < tenant.started and not instance.node.paused:
        tenant.lives.ran(instance, instance.due, instance.due + instance.node.duration)
    else:
        tenant.lives.expect(instance)


def _due_times(node: Node, midnight: float) -> Iterator[float]:
    due = midnight + node.at
    while due < midnight + DAY:
        yield due
        if not node.every:
            return
        due += node.every


def _promise_next_day(tenant: Tenant, day: date) -> None:
    def begin() -> None:
        generate(tenant, day)
        _promise_next_day(tenant, day + timedelta(days=1))

    tenant.agenda.at(tenant.calendar.midnight(day), begin)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f"the scenario's zone «{name}» does not exist") from error


def _add_project(tenant: Tenant, name: str, spec: ProjectSpec) -> None:
    if spec.id in tenant.projects:
        raise ConfigError(f"the scenario has two projects with the id {spec.id}")
    project = Project(
        id=spec.id,
        name=name,
        mode=spec.mode,
        biz_unit=spec.biz_unit,
        biz_unit_id=spec.id + 500_000,
        owner=tenant.user(spec.owner),
        description=spec.description,
        created=tenant.started - 400 * DAY,
        permitted=spec.permitted,
    )
    tenant.projects[project.id] = project
    for base, node in spec.nodes.items():
        members = [_add_node(tenant, project, each, node) for each in _names(base, node.count)]
        tenant.groups[f"{name}/{base}"] = members
        tenant.groups.setdefault(base, members)
        for member in members:
            tenant.groups.setdefault(member.name, [member])
            tenant.groups[f"{name}/{member.name}"] = [member]


def _names(base: str, count: int) -> list[str]:
    return [base] if count == 1 else [f"{base}_{number:03d}" for number in range(1, count + 1)]


def _add_node(tenant: Tenant, project: Project, name: str, spec: NodeSpec) -> Node:
    serial = tenant.node_serial()
    node = Node(
        id=f"n_{serial}",
        serial=serial,
        name=name,
        project=project,
        sub_type=spec.type,
        biz_type=spec.kind,
        schedule=spec.schedule,
        owner=tenant.user(spec.owner),
        priority=spec.priority,
        period=spec.period,
        at=spec.at,
        every=spec.every or RUNS_A_DAY.get(spec.period, 0.0),
        duration=spec.duration,
        created=tenant.started - 300 * DAY,
        alert=alert_rule(spec.alert_rule, spec.owner),
        fields=spec.fields,
        paused=spec.paused,
    )
    tenant.nodes[node.id] = node
    project.nodes.append(node)
    return node


def alert_rule(spec: AlertRuleSpec | None, receiver: str) -> AlertRule | None:
    """The monitoring rule that `spec` describes."""
    if spec is None:
        return None
    return AlertRule(spec.every, spec.limit, spec.silence_after, spec.channel, (receiver,))


def _link(tenant: Tenant, project: str, spec: ProjectSpec) -> None:
    for base, node in spec.nodes.items():
        for name in node.upstream:
            others = tenant.groups.get(f"{project}/{name}") or tenant.groups.get(name)
            if not others:
                raise ConfigError(f"projects.{project}.nodes.{base}.upstream: there is no node «{name}»")
            for number, member in enumerate(tenant.groups[f"{project}/{base}"]):
                other = others[number % len(others)]
                other.downstream.append(member)
                member.upstream.append(other)


def _add_service(tenant: Tenant, name: str, spec: DataServiceSpec) -> None:
    owner = tenant.user(spec.owner)
    service = DataService(
        id=spec.id,
        name=name,
        since=tenant.started - 30 * DAY,
        owner=owner.name,
        permitted=spec.permitted,
        mine=spec.mine,
    )
    tenant.services[service.id] = service
    apps: dict[str, App] = {}
    for api_name, api in spec.apis.items():
        rule = alert_rule(api.alert, spec.owner)
        served = ServedApi(api.id, api_name, api.group, api.sql, api.response_ms, rule)
        service.apis.append(served)
        for app_name, app in api.apps.items():
            known = apps.setdefault(app_name, _app(service, len(apps), app_name))
            offset = tenant.random.random() * 60.0 / app.per_minute
            served.streams.append(Stream(known, service.since + offset, 60.0 / app.per_minute))
    service.apps.extend(apps.values())


def _app(service: DataService, number: int, name: str) -> App:
    return App(service.id * 100 + number, 200_000_000 + service.id * 100 + number, name, f"10.20.{number}.15")
