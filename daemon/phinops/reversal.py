"""Taking an action back is a firing like any other, of one step: born with an event of the daemon's own."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Literal

from phinops.decide.rule import Rule, RuleStep
from phinops.event import Action, Event, Project, event_id
from phinops.firing import Firing, Intent

VERIFIED_WITHIN = timedelta(minutes=5)
"""How long what takes an action back is followed."""

STEP = "back"
"""The id of the one step."""


def event_of(action: Intent, rule: str, kind: Literal["lease.ended", "undo.asked"], at: datetime, name: str) -> Event:
    """The event that takes back an action of a rule; `name` tells it from others about the same action."""
    told = Action(action.action_id, action.kind, action.api, action.target_id, action.outcome or action.state, rule)
    return Event(
        id=event_id("actions", action.tenant, action.action_id, kind, name),
        type=kind,
        time=at,
        tenant=action.tenant,
        source="actions",
        project=Project(id=action.project_id),
        caused_by=action.action_id,
        action=told,
    )


def firing_of(event: Event, action: Intent, step: str, rule: str, rule_hash: str = "", *, retry: int = 0) -> Firing:
    """The firing that takes the action back by a step of the kind `step`, on its event and under the name of a rule."""
    params = {f"{action.target_kind}_id": action.target_id, "project_id": action.project_id}
    plan = Rule(
        id=rule, types=(event.type,), steps=(RuleStep(STEP, step, params, verify=VERIFIED_WITHIN, retry=retry),)
    )
    leased = {"lease": True} if event.type == "lease.ended" else {}
    return Firing(
        id=f"fi_{uuid.uuid4().hex[:20]}",
        event_id=event.id,
        tenant=event.tenant,
        rule=rule,
        rule_hash=rule_hash,
        mode="armed",
        key=f"{event.type} {action.action_id}",
        plan={**plan.to_json(), "reverses": action.action_id, **leased},
        state="ready",
        created_at=event.time,
    )
