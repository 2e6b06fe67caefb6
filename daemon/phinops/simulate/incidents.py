"""What befalls a tenant: the incidents and alerts of its scenario, put on the agenda."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from phinops.errors import ConfigError
from phinops.simulate.alerts import Cause
from phinops.simulate.model import AlertRule, Instance, Node
from phinops.simulate.scenario import AlertSpec, IncidentSpec
from phinops.simulate.tenant import Tenant
from phinops.simulate.traffic import DataService, ServedApi, Trouble

_FOR_GOOD = 10 * 365 * 86_400.0


def plan_incidents(tenant: Tenant, incidents: Mapping[str, IncidentSpec]) -> None:
    """Put every incident on the agenda; those before the start happen with the first look at the clock.

    Raises:
        ConfigError: an incident names a node or API that does not exist.
    """
    for name, spec in incidents.items():
        if spec.api:
            _plan_api(tenant, name, spec)
        else:
            _plan_node(tenant, name, spec)


def plan_alerts(tenant: Tenant, alerts: Mapping[str, AlertSpec]) -> None:
    """Put the alerts that have no run behind them on the agenda."""
    for name, spec in alerts.items():
        cause = Cause(
            unique_key=f"{spec.system.lower()}_{spec.object}",
            reason=spec.reason,
            system=spec.system,
            object_name=spec.object,
            object_type=spec.object_type,
            project_name=spec.project,
            params=(("item", name), *spec.params.items()),
        )
        rule = AlertRule(spec.every, spec.limit, spec.silence_after)
        begin = tenant.started + spec.after
        tenant.agenda.at(begin, _raising(tenant, cause, rule))
        if spec.ends is not None:
            tenant.agenda.at(begin + spec.ends, partial(tenant.alerts.finish, cause.unique_key, cause.reason))


def _raising(tenant: Tenant, cause: Cause, rule: AlertRule) -> Callable[[], None]:
    def raise_() -> None:
        tenant.alerts.raise_(cause, rule)

    return raise_


def _plan_node(tenant: Tenant, name: str, spec: IncidentSpec) -> None:
    nodes = tenant.groups.get(spec.node)
    if not nodes:
        raise ConfigError(f"incidents.{name}.node: there is no node «{spec.node}»")
    lead = spec.takes if spec.what == "fail" else 0.0
    first = tenant.started + spec.after - lead
    if spec.every is not None:
        tenant.agenda.at(first, partial(_hit_next, tenant, spec, nodes, 0))
        return
    for number, node in enumerate(nodes):
        at = first + spec.spread * number / len(nodes)
        tenant.agenda.at(at, partial(_hit, tenant, spec, node))


def _hit_next(tenant: Tenant, spec: IncidentSpec, nodes: Sequence[Node], number: int) -> None:
    at = tenant.agenda.now
    _hit(tenant, spec, nodes[number % len(nodes)])
    if spec.every is not None and (spec.times is None or number + 1 < spec.times):
        tenant.agenda.at(at + spec.every, partial(_hit_next, tenant, spec, nodes, number + 1))


def _hit(tenant: Tenant, spec: IncidentSpec, node: Node) -> None:
    """The incident at `node`, now: a new instance that starts and fails, sticks, or is blocked."""
    now = tenant.agenda.now
    instance = tenant.new_instance(node, tenant.calendar.biz_date(now), now, created=now)
    instance.failure_log = spec.log
    if spec.what == "fail":
        instance.fails, instance.takes = spec.fails, spec.takes
    elif spec.what == "stick":
        instance.stuck = True
    else:
        instance.blocked_until = now + (spec.lasts or 0.0)
        tenant.agenda.at(instance.blocked_until, partial(tenant.lives.try_start, instance))
    if spec.mended is not None:
        tenant.agenda.at(now + spec.mended, partial(_mend, tenant, instance))
    if spec.cascade:
        _hold_downstream(tenant, instance)
    tenant.lives.try_start(instance)


def _mend(tenant: Tenant, instance: Instance) -> None:
    """Somebody found the cause: runs succeed from now on, and a failed one gets its rerun from that somebody."""
    instance.fails = 0
    if instance.state == "FAILED":
        tenant.lives.start(instance, "rerun")


def _hold_downstream(tenant: Tenant, root: Instance) -> None:
    """Instances of everything below `root`, which wait for it."""
    made: dict[str, Instance] = {root.node.id: root}
    waiting = [root]
    while waiting:
        above = waiting.pop()
        for node in above.node.downstream:
            below = made.get(node.id)
            if below is None:
                below = tenant.new_instance(node, root.biz_date, root.due, created=root.created)
                made[node.id] = below
                waiting.append(below)
            above.downstream.append(below)
            below.upstream.append(above)


def _plan_api(tenant: Tenant, name: str, spec: IncidentSpec) -> None:
    try:
        service, api = tenant.find_api(spec.api)
    except KeyError as error:
        raise ConfigError(f"incidents.{name}.api: there is no data service API «{spec.api}»") from error
    known = [stream.app.name for stream in api.streams]
    if spec.app and spec.app not in known:
        raise ConfigError(f"incidents.{name}.app: «{spec.app}» does not call «{spec.api}»")
    tenant.agenda.at(tenant.started + spec.after, partial(_trouble, tenant, spec, service, api, 1))


def _trouble(tenant: Tenant, spec: IncidentSpec, service: DataService, api: ServedApi, number: int) -> None:
    now = tenant.agenda.now
    end = now + (spec.lasts or _FOR_GOOD)
    for stream in api.streams:
        if spec.app in ("", stream.app.name):
            stream.add(Trouble(now, end, spec.rate, spec.offline))
    if api.alert is not None:
        cause = _api_cause(service, api, spec.rate)
        tenant.alerts.raise_(cause, api.alert)
        tenant.agenda.at(end, partial(tenant.alerts.finish, cause.unique_key, cause.reason))
    if spec.every is not None and (spec.times is None or number < spec.times):
        tenant.agenda.at(now + spec.every, partial(_trouble, tenant, spec, service, api, number + 1))


def _api_cause(service: DataService, api: ServedApi, rate: float) -> Cause:
    return Cause(
        unique_key=str(api.id),
        reason="OS_ERROR_RATE",
        system="OS",
        object_name=api.name,
        object_type="OS_API",
        project_name=service.name,
        params=(("api_id", str(api.id)), ("error_rate", f"{100 * rate:.1f}%")),
    )
