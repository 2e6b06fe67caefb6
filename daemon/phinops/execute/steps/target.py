"""Which instance or node a step means: the one its parameters name, else the event's own."""

from __future__ import annotations

from phinops.event import Alert, Event
from phinops.execute.steps.kind import BadStep, Look, Target

INSTANCE_PREFIX = "t_"
"""How every instance's id begins: Dataphin's IllegalTaskIdFormat refuses anything else."""


def instance_of(instance_id: str | None, project_id: str | None, event: Event) -> Target:
    """The instance that is named, or the event's own; an alert's is its unique key.

    Raises:
        BadStep: neither names one.
    """
    chosen = instance_id or _own_instance(event)
    return Target("instance", chosen, project_id or _own_project(event))


async def node_of(node_id: str | None, project_id: str | None, event: Event, look: Look) -> Target:
    """The node that is named, or that of the event's instance; for an alert the instance is read.

    Raises:
        BadStep: neither names one, or the alert's instance is not known any more.
        ApiError, QuotaSpent: the alert's instance could not be read.
    """
    project = project_id or _own_project(event)
    chosen = node_id or (event.node.id if event.node else "") or await _node_behind(event, project, look)
    return Target("node", chosen, project)


def _own_instance(event: Event) -> str:
    if event.instance is not None and event.instance.id:
        return event.instance.id
    if event.alert is not None:
        return _alert_instance(event.alert)
    raise BadStep(f"an event of type {event.type} has no instance: name one with instance_id")


def _alert_instance(alert: Alert) -> str:
    if not alert.unique_key.startswith(INSTANCE_PREFIX):
        raise BadStep(
            f"the alert's unique key {alert.unique_key!r} is no instance: only offline tasks' alerts name one"
        )
    return alert.unique_key


def _own_project(event: Event) -> str:
    """The event's project where that is a project of instances; an impact's is one of the data service."""
    if event.instance is None and event.alert is None:
        raise BadStep(f"an event of type {event.type} has no project of nodes: name one with project_id")
    if not event.project.id.isdecimal():
        raise BadStep(f"the number of the event's project {event.project.name!r} is not known: name it with project_id")
    return event.project.id


async def _node_behind(event: Event, project_id: str, look: Look) -> str:
    if event.alert is None:
        raise BadStep(f"an event of type {event.type} has no node: name one with node_id")
    instance_id = _alert_instance(event.alert)
    view = await look.instance(project_id, instance_id)
    if view is None or not view.node.id:
        raise BadStep(f"the alert's instance {instance_id} is unknown in project {project_id}, and so is its node")
    return view.node.id
