"""Which action of ours, if any, an event follows from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from phinops.event import Event
from phinops.execute.steps.verdict import from_json
from phinops.firing import Intent


def target_of(event: Event) -> str:
    """The instance that an event is about, or ""."""
    if event.instance is not None:
        return event.instance.id
    return event.alert.unique_key if event.alert is not None else ""


def cause_of(event: Event, actions: Sequence[Intent]) -> str:
    """The newest of the actions on the event's instance, given newest first, that the event may follow from, or "".

    What was so before an action is not its doing. Of instances, runs and states are compared with what was read
    before the action, the service's word with the service's. Of what says neither, the service's time is compared with
    ours.
    """
    return next((action.action_id for action in actions if _may_follow(event, action)), "")


def _may_follow(event: Event, action: Intent) -> bool:
    before, now = from_json(action.probe), event.instance
    if now is not None and before.status:
        if before.started_at is not None and now.started_at is not None:
            if _second(before.started_at) != _second(now.started_at):
                return now.started_at > before.started_at
            return (now.status, now.paused) != (before.status, before.paused)
        if now.started_at is None and now.status == before.status:
            return False
    return action.t_intent is None or _second(event.time) >= _second(action.t_intent)


def _second(moment: datetime) -> datetime:
    """Not every API tells fractions of a second."""
    return moment.replace(microsecond=0)
