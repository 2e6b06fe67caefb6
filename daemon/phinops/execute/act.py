"""Walking a firing's plan: one step after the other, from where the journal says it stands.

Whatever was under way when an earlier process died is taken up by what its last row says: an open intent is settled
by reading, a done write is verified for the time that it has left, an absent one is attempted anew.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog
from pydantic import BaseModel

from phinops.clock import Clock
from phinops.errors import ApiError, QuotaSpent
from phinops.event import Action, Event, Project, event_id
from phinops.execute.carry import Carrier, Hands, Held
from phinops.execute.journal import Journal
from phinops.execute.notify.note import note_payload
from phinops.execute.patience import patiently
from phinops.execute.steps.kind import BadStep, Step, Target, Write, checked
from phinops.execute.walk import Scene, Walk, Words, planned_step, result_of, write_of
from phinops.firing import Firing, FiringState, Notice, StepResult

log = structlog.get_logger(__name__)


class Actor:
    """Carries out firings. One for the whole daemon.

    `hands` are by tenant, `held` keeps writes to one target apart, `tell` takes `action.settled`.
    """

    def __init__(
        self,
        journal: Journal,
        steps: Mapping[str, Step],
        words: Words,
        hands: Mapping[str, Hands],
        clock: Clock,
        held: Held,
        tell: Callable[[Event], Awaitable[object]],
    ) -> None:
        self._journal = journal
        self._steps = steps
        self._words = words
        self._hands = hands
        self._clock = clock
        self._tell = tell
        self._carrier = Carrier(journal, hands, clock, held)

    async def walk(self, firing: Firing, event: Event) -> tuple[FiringState, str]:
        """Do the firing's steps from its cursor on; the state that it ends in, with the reason."""
        results = dict(firing.results)
        for n in range(firing.cursor, len(firing.plan["steps"])):
            planned = planned_step(n, firing.plan["steps"][n])
            step = self._steps.get(planned.kind)
            if step is None:
                return "needs_decision", f"step {planned.id}: this version does not know the step «{planned.kind}»"
            scene = Scene(event, results, firing.plan.get("vars", {}), firing.plan.get("inputs", {}))
            result = await self._do(Walk(firing, planned, step, scene))
            await self._report(firing, n, result)
            results = {**results, planned.id: result}
            await self._journal.advance(firing.id, n + 1, results)
            log.info(
                "step.done", firing=firing.id, rule=firing.rule, step=planned.id, outcome=result.outcome,
                reason=result.reason, action=result.action_id,
            )  # fmt: skip
            if planned.on_error == "stop" and result.outcome in ("refused", "unknown"):
                return _stopped(result), f"step {planned.id}: {result.outcome}: {result.reason}"
        return "done", ""

    async def _do(self, walk: Walk) -> StepResult:
        earlier = await self._journal.last_step(walk.firing.id, walk.planned.n)
        try:
            if earlier and earlier.state != "absent":
                return await self._carrier.take_up(walk, earlier)
            if walk.planned.condition:
                holds, reason = self._words.holds(walk.planned.condition, walk.scene)
                if not holds:
                    return StepResult("skipped", reason)
            params = checked(walk.step, self._words.render(walk.planned.params, walk.scene))
            if walk.planned.kind == "notify":
                return await self._notify(walk, params)
            return await self._call(walk, params, earlier.attempt + 1 if earlier else 1)
        except BadStep as error:
            return await self._refuse(walk, str(error))

    async def _call(self, walk: Walk, params: BaseModel, attempt: int) -> StepResult:
        look = self._hands[walk.firing.tenant].look
        write = await patiently(
            self._clock,
            lambda: walk.step.write(params, walk.scene.event, look),
            "what the step needs to know",
            lambda reason: self._waits(walk, reason),
        )
        if not walk.step.writes(params):
            return await self._read(walk, write)
        try:
            await self._check_downstream(walk, write)
            if walk.firing.mode == "shadow":
                row = walk.row(attempt, write, outcome="shadow")
                await self._journal.put_step(row)
                return StepResult("shadow", "", row.action_id)
            return await self._carrier.carry(walk, write, attempt)
        except BadStep as error:
            return await self._refuse(walk, str(error), write)

    async def _check_downstream(self, walk: Walk, write: Write) -> None:
        """Raises BadStep when `limits.downstream` refuses the target."""
        limit = walk.limits.get("downstream")
        if not limit or write.target.kind not in ("instance", "node"):
            return
        look = self._hands[walk.firing.tenant].look
        below = await patiently(
            self._clock,
            lambda: look.downstream(write.target),
            "what hangs below the target",
            lambda reason: self._waits(walk, reason),
        )
        if below > limit["max"]:
            raise BadStep(f"limits.downstream: {below} nodes hang below {write.target.id}, {limit['max']} are allowed")

    async def _waits(self, walk: Walk, reason: str) -> None:
        """Say in the firing what it waits for."""
        await self._journal.move(walk.firing.id, "running", f"step {walk.planned.id} waits: {reason}")

    async def _read(self, walk: Walk, write: Write) -> StepResult:
        row = replace(walk.row(1, write, outcome="accepted"), kind="read")
        try:
            body = await self._hands[walk.firing.tenant].read(write.api, write.params)
        except (ApiError, QuotaSpent) as error:
            row = replace(row, outcome="refused", state="failed", result={"reason": str(error)})
            await self._journal.put_step(row)
            return StepResult("refused", str(error), row.action_id)
        request_id = str(body.get("RequestId") or "")
        await self._journal.put_step(replace(row, result=walk.step.result(body), request_id=request_id))
        return StepResult("accepted", "", row.action_id)

    async def _notify(self, walk: Walk, params: Any) -> StepResult:
        shadow = walk.firing.mode == "shadow"
        names = list(params.to)
        rendered = {"title": params.title, "message": params.message, "severity": params.severity}
        firing = walk.firing
        payload = note_payload(rendered, rule=firing.rule, firing_id=firing.id, event=walk.scene.event)
        write = Write("notify", "", Target("", ", ".join(names)), payload)
        row = walk.row(1, write, outcome="shadow" if shadow else "accepted")
        notices = [Notice(f"msg_{uuid.uuid4().hex}", name, payload) for name in names]
        await self._journal.put_step(row, [] if shadow else notices)
        return StepResult("shadow" if shadow else "accepted", "", row.action_id)

    async def _report(self, firing: Firing, n: int, result: StepResult) -> None:
        """`action.settled`, for what was to be written to Dataphin; told again after a crash, it is the same event."""
        if not result.action_id or firing.mode == "shadow":
            return
        row = await self._journal.last_step(firing.id, n)
        if row is None or row.kind in ("notify", "read"):
            return
        action = Action(row.action_id, row.kind, row.api, row.target_id, result.outcome, firing.rule)
        await self._tell(
            Event(
                id=event_id("actions", firing.tenant, row.action_id, result.outcome, "settled"),
                type="action.settled",
                time=self._clock.now(),
                tenant=firing.tenant,
                source="actions",
                project=Project(id=row.project_id),
                caused_by=row.action_id,
                action=action,
            )
        )

    async def _refuse(self, walk: Walk, reason: str, write: Write | None = None) -> StepResult:
        """A step that never left is recorded as well: somebody will ask why nothing happened."""
        planned = walk.planned
        log.warning("step.refused", firing=walk.firing.id, rule=walk.firing.rule, step=planned.id, reason=reason)
        earlier = await self._journal.last_step(walk.firing.id, planned.n)
        known = write or (write_of(earlier) if earlier else Write(planned.kind, "", Target("", ""), planned.params))
        attempt = earlier.attempt + 1 if earlier else 1
        row = walk.row(attempt, known, outcome="refused", state="failed", reason=reason)
        await self._journal.put_step(row)
        return result_of(row)


def _stopped(result: StepResult) -> FiringState:
    return "needs_decision" if result.outcome == "unknown" else "failed"
