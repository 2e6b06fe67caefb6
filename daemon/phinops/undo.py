"""`phinops undo`: an action of ours, taken back by a person, as long as its target is as the action left it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from phinops.arrive.arrival import Arrival
from phinops.course import Courses
from phinops.errors import NotUndone
from phinops.event import Event, JsonObject
from phinops.execute import reverse
from phinops.execute.steps.kind import BadStep, Step, Write, checked
from phinops.execute.steps.table import STEPS
from phinops.firing import INWARD, Aftermath, Intent
from phinops.operator_call import OPERATOR
from phinops.pipeline import Pipeline
from phinops.record import journal, lists, reversals
from phinops.record.reversals import Reversal
from phinops.record.tx import Snapshot, Tx
from phinops.reversal import event_of, firing_of
from phinops.spending import Spender, spending
from phinops.tenant import Common, Serving

log = structlog.get_logger(__name__)

LOOK_EVERY = 0.2
"""Seconds between two looks at how far it has come."""


@dataclass(frozen=True, slots=True)
class _Case:
    """An action that may be taken back, with its firing's rule and the step that does it."""

    past: Aftermath
    rule: str
    by: Step


class Undoing:
    """Takes actions back for persons. `servings` are by tenant."""

    def __init__(self, common: Common, servings: Mapping[str, Serving], pipeline: Pipeline, courses: Courses) -> None:
        self._common = common
        self._servings = servings
        self._pipeline = pipeline
        self._courses = courses

    async def preview(self, action_id: str) -> JsonObject:
        """What would be sent: `{action, step, api, params, target, project_id, tenant, rule}`, with the target read.

        Raises:
            LookupError: no such action is on record.
            NotUndone: it cannot be taken back; the text says why.
            ApiError, QuotaSpent: the target cannot be read.
            StoreError: the store cannot be read.
        """
        case = await self._common.store.read(lambda tx: _case(tx, action_id))
        action = case.past.action
        look = self._serving(action).hands.look
        with spending(Spender(OPERATOR)):
            try:
                write = await self._write(case)
                reason = await reverse.altered(case.past, STEPS, look)
            except BadStep as error:
                raise NotUndone(str(error)) from error
        if reason:
            raise NotUndone(f"{action_id} cannot be taken back: {reason}")
        return {
            "action": action_id,
            "step": case.by.name,
            "api": write.api,
            "params": write.params,
            "target": action.target_id,
            "project_id": action.project_id,
            "tenant": action.tenant,
            "rule": case.rule,
        }

    async def undo(self, action_id: str, who: str, why: str, wait: timedelta) -> JsonObject:
        """Take the action back, and wait so long for what comes of it.

        `{action, firing_id, state, reason, undone_by, outcome}`: `undone_by` is the action that does it, `outcome`
        what became of that, "" while it is under way.

        Raises:
            LookupError, NotUndone, StoreError: as `preview`.
        """
        case = await self._common.store.read(lambda tx: _case(tx, action_id))
        self._serving(case.past.action)
        now = self._common.clock.now().astimezone(self._common.zone)
        event = event_of(case.past.action, case.rule, "undo.asked", now, uuid.uuid4().hex)
        firing = firing_of(event, case.past.action, case.by.name, OPERATOR)

        def also(tx: Tx) -> None:
            _case(tx, action_id)  # nobody has been faster
            journal.put_firing(tx, firing)
            reversals.put_reversal(tx, firing.id, action_id, "undo", who=who, why=why)

        await self._pipeline.take(Arrival(event.source, event.tenant, (event,)), also=also)
        log.info("undo.asked", action=action_id, firing=firing.id, who=who, why=why)
        self._courses.begin(firing, event)
        return await self._came(action_id, firing.id, wait)

    async def _came(self, action_id: str, firing_id: str, wait: timedelta) -> JsonObject:
        clock = self._common.clock
        end = clock.monotonic() + wait.total_seconds()
        while True:
            found = await self._common.store.read(lambda tx: _outcome(tx, firing_id))
            if found["over"] or clock.monotonic() >= end:
                del found["over"]
                return {"action": action_id, "firing_id": firing_id, **found}
            await clock.sleep(LOOK_EVERY)

    async def _write(self, case: _Case) -> Write:
        action, by = case.past.action, case.by
        nobody = Event(id="", type="", time=self._common.clock.now(), tenant=action.tenant, source=OPERATOR)
        params = {f"{action.target_kind}_id": action.target_id, "project_id": action.project_id}
        return await by.write(checked(by, params), nobody, self._serving(action).hands.look)

    def _serving(self, action: Intent) -> Serving:
        if action.tenant not in self._servings:
            raise NotUndone(f"{action.action_id} is of the tenant «{action.tenant}», which the config does not have")
        return self._servings[action.tenant]


def _case(tx: Snapshot, action_id: str) -> _Case:
    past = reversals.aftermath(tx, action_id)
    firing = journal.firing_of(tx, past.action.firing_id) if past else None
    if past is None or firing is None:
        raise LookupError(f"no action «{action_id}» is on record")
    step = STEPS.get(past.action.kind)
    reason = objection(past, step, reversals.reversals_of(tx, action_id))
    if reason:
        raise NotUndone(f"{action_id} cannot be taken back: {reason}")
    assert step
    return _Case(past, firing.rule, STEPS[step.reverse.step])


def objection(past: Aftermath, step: Step | None, before: Sequence[Reversal]) -> str:
    """What the journal has against taking an action back, "" if nothing; `before` is what was to take it back."""
    action = past.action
    done = next((each for each in before if each.done), None)
    if done is not None:
        return f"it was taken back already, by {done.by_action}"
    running = next((each for each in before if not each.over), None)
    if running is not None:
        return f"it is being taken back already, by {running.firing_id}"
    if action.kind in INWARD:
        return "it changed nothing in Dataphin"
    if action.outcome == "shadow":
        return "it was never sent: its rule was in shadow"
    if action.state != "done":
        return _UNDONE.get(action.state, "it was never done")
    if step is None or not step.reverse.step:
        return step.reverse.why if step else f"this version does not know the step «{action.kind}»"
    return reverse.superseded(past, leased=False)


_UNDONE = {
    "intent": "it is under way, and what became of it is not known yet",
    "unknown": "nobody knows whether it was done: say so with `phinops actions resolve` first",
    "abandoned": "nobody knows whether it was done",
}


def _outcome(tx: Snapshot, firing_id: str) -> JsonObject:
    firing = journal.firing_of(tx, firing_id)
    actions = lists.actions_of(tx, firing_id)
    last = actions[-1] if actions else {"id": "", "outcome": "", "reason": ""}
    over = firing is None or firing.ended_at is not None
    state, reason = (firing.state, firing.reason) if firing else ("", "")
    return {
        "over": over,
        "state": state,
        "reason": last["reason"] or reason,
        "undone_by": last["id"],
        "outcome": last["outcome"],
    }
