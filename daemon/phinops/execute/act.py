"""Walking a firing's plan: one step after the other, from where the journal says it stands.

Whatever was under way when an earlier process died is taken up by what its last row says: an open intent is settled
by reading, a done write is verified for the time that it has left, an absent one is attempted anew.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

import structlog
from pydantic import BaseModel

from phinops.clock import Clock
from phinops.errors import ApiError, QuotaSpent
from phinops.event import Action, Event, JsonObject, Project, event_id
from phinops.execute.desk import Desk, Fate, Order
from phinops.execute.journal import Journal
from phinops.execute.notify.note import note_payload
from phinops.execute.settle import Open, Settler
from phinops.execute.steps.kind import BadStep, Look, Step, Target, Write, checked
from phinops.firing import Ask, Firing, FiringState, Intent, Notice, Outcome, StepResult

log = structlog.get_logger(__name__)

ATTEMPTS = 20
"""How often a write that is known not to have happened is attempted before the step is refused."""

PATIENCE = timedelta(hours=24)
"""How long a write waits for its turn, over all attempts, before the step is refused."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What conditions and templates of a step may speak of."""

    event: Event
    results: Mapping[str, StepResult]
    variables: JsonObject


class Words(Protocol):
    """Evaluates what rules say: their conditions and their templates."""

    def holds(self, condition: str, scene: Scene) -> tuple[bool, str]:
        """Whether the condition ("" always is) is true, and if not, why."""
        ...

    def render(self, value: Any, scene: Scene) -> Any:
        """The value with every template in it filled in.

        Raises:
            BadStep: a template cannot be rendered for this event.
        """
        ...


class Downstream(Protocol):
    async def downstream(self, target: Target) -> int:
        """How many nodes hang below the target, by one call that is not cached."""
        ...


class Reader(Look, Downstream, Protocol):
    """What acting reads of live state."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What acts on one tenant."""

    desk: Desk
    settler: Settler
    look: Reader
    read: Callable[[str, JsonObject], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Planned:
    """One step of a plan as the firing keeps it."""

    n: int
    id: str
    kind: str
    params: JsonObject
    condition: str
    on_error: str
    within: timedelta | None


@dataclass(frozen=True, slots=True)
class Walk:
    """One step of one firing while it is being done."""

    firing: Firing
    planned: Planned
    step: Step
    scene: Scene

    def row(self, attempt: int, write: Write, *, outcome: Outcome | None = None, state: str = "done") -> Intent:
        """The journal's row for this step."""
        return Intent(
            action_id=f"act_{uuid.uuid4().hex[:20]}",
            firing_id=self.firing.id,
            n=self.planned.n,
            step_id=self.planned.id,
            attempt=attempt,
            kind=self.planned.kind,
            api=write.api,
            tenant=self.firing.tenant,
            target_kind=write.target.kind,
            target_id=write.target.id,
            project_id=write.target.project_id,
            request={"params": write.params, "batch": write.batch},
            probe={},
            state=state,
            outcome=outcome or "",
        )


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
        held: Callable[[tuple[str, str, str]], AbstractAsyncContextManager[None]],
        tell: Callable[[Event], Awaitable[object]],
    ) -> None:
        self._journal = journal
        self._steps = steps
        self._words = words
        self._hands = hands
        self._clock = clock
        self._held = held
        self._tell = tell

    async def walk(self, firing: Firing, event: Event) -> tuple[FiringState, str]:
        """Do the firing's steps from its cursor on; the state that it ends in, with the reason."""
        results = dict(firing.results)
        for n in range(firing.cursor, len(firing.plan["steps"])):
            planned = planned_step(n, firing.plan["steps"][n])
            scene = Scene(event, results, firing.plan.get("vars", {}))
            try:
                result = await self._do(Walk(firing, planned, self._steps[planned.kind], scene))
            except BadStep as error:
                result = await self._refuse(firing, planned, str(error))
            if result.action_id:
                await self._report(firing, n, result)
            results = {**results, planned.id: result}
            await self._journal.advance(firing.id, n + 1, results)
            log.info(
                "step.done", firing=firing.id, rule=firing.rule, step=planned.id, outcome=result.outcome,
                reason=result.reason, action=result.action_id,
            )  # fmt: skip
            if planned.on_error == "stop" and result.outcome in ("refused", "unknown"):
                state: FiringState = "needs_decision" if result.outcome == "unknown" else "failed"
                return state, f"step {planned.id}: {result.outcome}: {result.reason}"
        return "done", ""

    async def _do(self, walk: Walk) -> StepResult:
        earlier = await self._journal.last_step(walk.firing.id, walk.planned.n)
        if earlier and earlier.state != "absent":
            return await self._take_up(walk, earlier)
        if walk.planned.condition:
            holds, reason = self._words.holds(walk.planned.condition, walk.scene)
            if not holds:
                return StepResult("skipped", reason)
        params = checked(walk.step, self._words.render(walk.planned.params, walk.scene))
        if walk.planned.kind == "notify":
            return await self._notify(walk, params)
        return await self._call(walk, params, earlier.attempt + 1 if earlier else 1)

    async def _call(self, walk: Walk, params: BaseModel, attempt: int) -> StepResult:
        hands = self._hands[walk.firing.tenant]
        event = walk.scene.event if not walk.scene.results else None
        try:
            write = await walk.step.write(params, walk.scene.event, hands.look)
            if not walk.step.writes(params):
                return await self._read(walk, write)
            if walk.firing.mode == "shadow":
                row = walk.row(1, write, outcome="shadow")
                await self._journal.put_step(row)
                return StepResult("shadow", "", row.action_id)
            reason = await self._too_far_down(walk, write)
            baseline = {} if reason else await walk.step.baseline(hands.look, write, event)
        except (ApiError, QuotaSpent) as error:
            raise BadStep(f"what the step needs to know could not be read: {error}") from error
        if reason:
            raise BadStep(reason)
        return await self._write(walk, write, baseline, attempt)

    async def _take_up(self, walk: Walk, earlier: Intent) -> StepResult:
        """Go on with a step that an earlier process began."""
        write = write_of(earlier)
        if earlier.state == "intent":
            async with self._held(_target_key(earlier)):
                opened = Open("it was under way when the daemon stopped", within=walk.planned.within)
                verdict = await self._hands[walk.firing.tenant].settler.settle(walk.step, write, earlier, opened)
            if verdict == "absent":
                return await self._write(walk, write, earlier.probe, earlier.attempt + 1)
            return await self._after(walk, write, earlier, verdict == "applied")
        if earlier.state == "done" and earlier.outcome == "accepted" and earlier.verify_until:
            settler = self._hands[walk.firing.tenant].settler
            return await settler.verify(walk.step, write, earlier, earlier.verify_until)
        outcome: Any = earlier.outcome or earlier.state
        return StepResult(outcome, str(earlier.result.get("reason", "")), earlier.action_id)

    async def _write(self, walk: Walk, write: Write, baseline: JsonObject, attempt: int) -> StepResult:
        """Have the write sent until it is done, refused or unknown; then verify it where that is asked."""
        hands = self._hands[walk.firing.tenant]
        began = self._clock.monotonic()
        alone = attempt > 1
        pause = 1.0
        while True:
            intent = replace(walk.row(attempt, write, state="intent"), probe=baseline)
            async with self._held(_target_key(intent)):
                fate = await hands.desk.submit(self._order(walk, write, intent, alone=alone))
                if fate.kind == "open":
                    opened = Open(fate.reason, self._clock.monotonic(), fate.request_id, walk.planned.within)
                    verdict = await hands.settler.settle(walk.step, write, intent, opened)
                    if verdict != "absent":
                        return await self._after(walk, write, intent, verdict == "applied")
            if fate.kind == "done":
                return await self._after(walk, write, intent, True)
            if fate.kind == "refused":
                return StepResult("refused", fate.reason, intent.action_id)
            attempt += fate.kind != "unsent"
            alone = fate.alone
            spent = self._clock.monotonic() - began
            if attempt > ATTEMPTS or spent > PATIENCE.total_seconds():
                raise BadStep(f"not done after {attempt - 1} attempts in {spent:.0f} s: {fate.reason}")
            pause = await self._pause(walk, fate, pause)

    async def _pause(self, walk: Walk, fate: Fate, pause: float) -> float:
        wait = max(pause, fate.retry_after or 0.0)
        log.info("action.again", firing=walk.firing.id, step=walk.planned.id, reason=fate.reason, wait_s=wait)
        await self._clock.sleep(wait)
        return min(pause * 2, 900.0)

    def _order(self, walk: Walk, write: Write, intent: Intent, *, alone: bool) -> Order:
        limit = walk.firing.plan.get("limits", {}).get("targets")
        ask = Ask(intent, walk.firing.rule, timedelta(seconds=limit["per_s"]) if limit else None)
        return Order(walk.step, write, ask, limit["max"] if limit else None, walk.planned.within, alone)

    async def _after(self, walk: Walk, write: Write, intent: Intent, applied: bool) -> StepResult:
        if not applied:
            return StepResult("unknown", "reading back could not tell whether it was done", intent.action_id)
        if walk.planned.within is None:
            return StepResult("accepted", "", intent.action_id)
        until = self._clock.now() + walk.planned.within
        return await self._hands[walk.firing.tenant].settler.verify(walk.step, write, intent, until)

    async def _too_far_down(self, walk: Walk, write: Write) -> str:
        """Why `limits.downstream` refuses the target, or ""."""
        limit = walk.firing.plan.get("limits", {}).get("downstream")
        if not limit or write.target.kind not in ("instance", "node"):
            return ""
        below = await self._hands[walk.firing.tenant].look.downstream(write.target)
        if below <= limit["max"]:
            return ""
        return f"limits.downstream: {below} nodes hang below {write.target.id}, {limit['max']} are allowed"

    async def _read(self, walk: Walk, write: Write) -> StepResult:
        row = replace(walk.row(1, write, outcome="accepted"), kind="read")
        try:
            body = await self._hands[walk.firing.tenant].read(write.api, write.params)
        except (ApiError, QuotaSpent) as error:
            row = replace(row, outcome="refused", state="failed", result={"reason": str(error)})
            await self._journal.put_step(row)
            return StepResult("refused", str(error), row.action_id)
        await self._journal.put_step(replace(row, result=walk.step.result(body)))
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
        """`action.settled`, for what was written to Dataphin; told again after a crash, it is the same event."""
        row = await self._journal.last_step(firing.id, n)
        if row is None or row.kind in ("notify", "read") or result.outcome == "shadow":
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

    async def _refuse(self, firing: Firing, planned: Planned, reason: str) -> StepResult:
        """A step that never left is recorded as well: somebody will ask why nothing happened."""
        log.warning("step.refused", firing=firing.id, rule=firing.rule, step=planned.id, reason=reason)
        return StepResult("refused", reason)


def planned_step(n: int, document: Mapping[str, Any]) -> Planned:
    """A step of a plan from the JSON that the firing keeps."""
    within = document.get("verify_s")
    return Planned(
        n=n,
        id=document["id"],
        kind=document["kind"],
        params=document["params"],
        condition=document.get("if") or "",
        on_error=document.get("on_error", "stop"),
        within=None if within is None else timedelta(seconds=within),
    )


def write_of(intent: Intent) -> Write:
    """The write that an intent recorded."""
    target: Any = Target(intent.target_kind, intent.target_id, intent.project_id)  # type: ignore[arg-type]
    return Write(intent.kind, intent.api, target, intent.request["params"], intent.request.get("batch", ""))


def _target_key(intent: Intent) -> tuple[str, str, str]:
    """What only one write at a time may touch; an untargeted call shares nothing with any other."""
    return intent.tenant, intent.target_kind, intent.target_id or intent.action_id
