"""Walking a firing's plan: one step after the other, from where the journal says it stands.

Whatever was under way when an earlier process died is taken up by what its last row says: an open intent is settled
by reading, a done write is verified for the time that it has left, an absent one is attempted anew, a wait goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import structlog

from phinops.clock import Clock, sleep_until
from phinops.event import Action, Event, Project, event_id
from phinops.execute import again
from phinops.execute.announce import Announcer
from phinops.execute.asking import Asker
from phinops.execute.bells import Bells
from phinops.execute.brake import Brake
from phinops.execute.carry import Hands, Held
from phinops.execute.desk import Alarm
from phinops.execute.emitting import Emitter
from phinops.execute.guard import Rails
from phinops.execute.journal import Journal
from phinops.execute.leave import Leave, asked_before, does_something, leave_of
from phinops.execute.operate import Operations
from phinops.execute.reverse import wanted_by
from phinops.execute.steps.kind import BadStep, Step, Target, Write
from phinops.execute.stop import Stop
from phinops.execute.viewing import Viewer
from phinops.execute.visit import Visits
from phinops.execute.waiting import Waiter
from phinops.execute.walk import (
    Doer,
    Unwanted,
    Walk,
    Words,
    is_false,
    params_of,
    planned_step,
    recorded,
    scene_of,
    write_of,
)
from phinops.execute.web import Web
from phinops.firing import INWARD, Firing, FiringState, StepResult

log = structlog.get_logger(__name__)

LOOKING = ("wait", "approve")
"""Steps that may have looked at the event's object: those that follow see it as it was then."""


@dataclass(frozen=True, slots=True)
class Kit:
    """What acting needs. `hands` are by tenant, `held` keeps writes to one target apart, `bells` wake who waits.

    `tell` takes events of the daemon's own, `alarm` what people must know of a tenant; `everyone` are all notifiers.
    """

    journal: Journal
    words: Words
    hands: Mapping[str, Hands]
    clock: Clock
    held: Held
    bells: Bells
    web: Web
    rails: Rails
    brake: Brake
    tell: Callable[[Event], Awaitable[object]]
    alarm: Callable[[str, Alarm], Awaitable[object]]
    everyone: Callable[[], Sequence[str]]


class Actor:
    """Carries out firings. One for the whole daemon."""

    def __init__(self, kit: Kit, steps: Mapping[str, Step]) -> None:
        self._journal = kit.journal
        self._words = kit.words
        self._clock = kit.clock
        self._tell = kit.tell
        self._steps = steps
        self._operations: Doer = Operations(kit.journal, kit.hands, kit.clock, kit.held, steps, kit.brake)
        self._doers: Mapping[str, Doer] = {
            "notify": Announcer(kit.journal),
            "wait": Waiter(kit.journal, kit.words, kit.hands, kit.clock, kit.bells),
            "approve": Asker(kit.journal, Viewer(kit.words, kit.hands, steps), kit.clock, kit.bells, kit.everyone),
            "emit": Emitter(kit.journal, kit.clock, kit.tell),
            "http": Visits(kit.journal, kit.web, kit.rails, kit.brake, kit.alarm),
        }

    async def walk(
        self, firing: Firing, event: Event, events: Sequence[Event] = (), stop: Stop | None = None
    ) -> tuple[FiringState, str]:
        """Do the firing's steps from its cursor on; the state that it ends in, with the reason.

        Raises:
            Stopped: it was asked to stop, and has no write under way.
        """
        event = firing.now or event
        results = dict(firing.results)
        stop = stop or Stop()
        for n in range(firing.cursor, len(firing.plan["steps"])):
            planned = planned_step(n, firing.plan["steps"][n])
            step = self._steps.get(planned.kind)
            if step is None:
                return "needs_decision", f"step {planned.id}: this version does not know the step «{planned.kind}»"
            scene = scene_of(firing, event, results, events)
            wanted = wanted_by(firing, self._journal, self._steps)
            leave = await self._leave(firing, n, results)
            result = await self._do(Walk(firing, planned, step, scene, stop, wanted=wanted, leave=leave))
            results = {**results, planned.id: result}
            await self._journal.advance(firing.id, n + 1, results)
            log.info(
                "step.done", firing=firing.id, rule=firing.rule, step=planned.id, outcome=result.outcome,
                reason=result.reason, action=result.action_id,
            )  # fmt: skip
            if planned.on_error == "stop" and result.outcome in ("refused", "unknown"):
                return _stopped(result), f"step {planned.id}: {result.outcome}: {result.reason}"
            if planned.kind in LOOKING:
                known = await self._journal.firing(firing.id)
                event = (known and known.now) or event
        return "done", ""

    async def _leave(self, firing: Firing, n: int, results: Mapping[str, StepResult]) -> Leave | None:
        """What people said of the step, if they were asked."""
        steps = firing.plan["steps"]
        asked = asked_before(steps[:n], results)
        if asked is None or firing.mode == "shadow":
            return None
        return leave_of(n, results.get(steps[asked]["id"]), await self._journal.approval_at(firing.id, asked))

    async def _do(self, walk: Walk) -> StepResult:
        """The step from where the journal says it stands, as often as it may be tried."""
        tries = await self._tries(walk)
        walk = replace(walk, wrote=_wrote(tries))
        result = await self._told(walk, self._first(walk))
        while walk.planned.retry and again.may_be_repeated(walk.step, result):
            tries = await self._tries(walk)
            if len(tries) > walk.planned.retry:
                break
            attempt = await self._pause(walk, result, len(tries))
            walk = replace(walk, wrote=_wrote(tries))
            result = await self._told(walk, self._begin(walk, attempt))
        return result

    async def _tries(self, walk: Walk) -> tuple[str, ...]:
        if not walk.planned.retry:
            return ()
        return tuple(await self._journal.tries_of(walk.firing.id, walk.planned.n))

    async def _first(self, walk: Walk) -> StepResult:
        earlier = await self._journal.last_step(walk.firing.id, walk.planned.n)
        if earlier is None or earlier.state != "intent":
            walk.stop.check()
        if earlier and earlier.state != "absent":
            return await self._doer(walk).take_up(walk, earlier)
        if walk.planned.condition:
            holds, reason = self._words.holds(walk.planned.condition, walk.scene)
            if not holds and walk.planned.kind == "approve" and not is_false(self._words, walk.planned, walk.scene):
                raise BadStep(f"whether people are to be asked is not known: {reason}")
            if not holds:
                return StepResult("skipped", reason)
        return await self._begin(walk, earlier.attempt + 1 if earlier else 1)

    async def _begin(self, walk: Walk, attempt: int) -> StepResult:
        params = params_of(self._words, walk.step, walk.planned, walk.scene)
        if walk.leave and walk.leave.refusal and does_something(walk.step, params):
            raise BadStep(walk.leave.refusal)
        return await self._doer(walk).do(walk, params, attempt)

    async def _pause(self, walk: Walk, result: StepResult, tries: int) -> int:
        """Wait until the step is due once more; the number of its next attempt. Raises Stopped."""
        last = await self._journal.last_step(walk.firing.id, walk.planned.n)
        ended = (last and last.t_done) or self._clock.now()
        due = ended + again.pause(tries)
        reason = f"step {walk.planned.id} is repeated at {due.isoformat()}: {result.outcome}: {result.reason}"
        log.info("step.again", firing=walk.firing.id, step=walk.planned.id, outcome=result.outcome, due=due.isoformat())
        await self._journal.move(walk.firing.id, "running", reason, due)
        with walk.stop.safe():
            await sleep_until(self._clock, due)
        return last.attempt + 1 if last else 1

    async def _told(self, walk: Walk, doing: Awaitable[StepResult]) -> StepResult:
        """What a try comes to, told as `action.settled`; one that cannot be carried out is refused, or skipped."""
        try:
            result = await doing
        except Unwanted as error:
            result = await self._refuse(walk, str(error), error.write, error.outcome)
        except BadStep as error:
            result = await self._refuse(walk, str(error))
        await self._report(walk.firing, walk.planned.n, result)
        return result

    def _doer(self, walk: Walk) -> Doer:
        return self._doers.get(walk.planned.kind, self._operations)

    async def _report(self, firing: Firing, n: int, result: StepResult) -> None:
        """`action.settled`, for what was to be written; told again after a crash, it is the same event."""
        if not result.action_id or firing.mode == "shadow" or result.outcome == "skipped":
            return
        row = await self._journal.last_step(firing.id, n)
        if row is None or row.kind in INWARD:
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

    async def _refuse(
        self, walk: Walk, reason: str, write: Write | None = None, outcome: Literal["refused", "skipped"] = "refused"
    ) -> StepResult:
        """A step that never left is recorded as well: somebody will ask why nothing happened."""
        planned = walk.planned
        level = log.warning if outcome == "refused" else log.info
        level(f"step.{outcome}", firing=walk.firing.id, rule=walk.firing.rule, step=planned.id, reason=reason)
        earlier = await self._journal.last_step(walk.firing.id, planned.n)
        known = write or (write_of(earlier) if earlier else Write(planned.kind, "", Target("", ""), planned.params))
        attempt = earlier.attempt + 1 if earlier else 1
        state = "failed" if outcome == "refused" else "skipped"
        row = walk.row(attempt, known, outcome=outcome, state=state, reason=reason)
        return await recorded(self._journal, row)


def _wrote(tries: tuple[str, ...]) -> bool:
    """Whether any of the tries was done, if to no avail."""
    return any(outcome != "refused" for outcome in tries)


def _stopped(result: StepResult) -> FiringState:
    return "needs_decision" if result.outcome == "unknown" else "failed"
