"""One write, carried from the decision to its end: sent until it is done, refused or unknown, then verified.

What the target looked like before (the baseline) is what a lost answer is judged by, and tells whether the write is
still what the rule decided on: it is read anew whenever something may have happened meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from phinops.clock import Clock
from phinops.errors import ApiError, QuotaSpent, Throttled, Transient
from phinops.event import JsonObject
from phinops.execute.brake import Brake
from phinops.execute.desk import Desk
from phinops.execute.fresh import Eyes
from phinops.execute.journal import Journal
from phinops.execute.lineage import Lineage
from phinops.execute.order import Fate, Order
from phinops.execute.own_reruns import OwnReruns
from phinops.execute.patience import PATIENCE
from phinops.execute.settle import Open, Settler
from phinops.execute.steps.kind import BadStep, Look, Needless, Step, Write
from phinops.execute.steps.verdict import Record, another_run, from_json, record_of, to_json
from phinops.execute.walk import Walk, result_of, write_of
from phinops.firing import Intent, StepResult

log = structlog.get_logger(__name__)

ATTEMPTS = 20
"""How often a write that is known not to have happened is attempted before the step is refused."""

FRESH = 60.0
"""Seconds for which what is known of a target is taken to be so still, where nobody of ours writes to it."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 900.0

_NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Hands:
    """What acts on one tenant; `eyes` are for steps that wait, `own_reruns` are Dataphin's."""

    desk: Desk
    settler: Settler
    look: Look
    read: Callable[[str, JsonObject], Awaitable[Mapping[str, Any]]]
    eyes: Eyes
    lineage: Lineage
    own_reruns: OwnReruns | None = None


Held = Callable[[tuple[str, str, str]], AbstractAsyncContextManager[bool]]
"""Keeps writes to one target apart; gives whether somebody else held it meanwhile."""


@dataclass(slots=True)
class _Errand:
    """A write on its way. `before` is the baseline, as of `seen_at` on the clock's monotonic seconds.

    `decided_on` is what the target looked like when that was decided, a baseline as well; empty where it is not known.
    `seen_all`: what we did to the target before shows in the baseline.
    """

    walk: Walk
    write: Write
    attempt: int
    before: JsonObject
    seen_at: float
    decided_on: JsonObject
    alone: bool = False
    seen_all: bool = True

    @property
    def known_since(self) -> datetime:
        """What was written before is part of what the rule decided on."""
        return self.walk.firing.created_at or datetime.max.replace(tzinfo=UTC)


class Carrier:
    """Carries writes. One for the whole daemon; `hands` are by tenant, `steps` all that writes may have come from,
    `brake` holds them all.
    """

    def __init__(
        self,
        journal: Journal,
        hands: Mapping[str, Hands],
        clock: Clock,
        held: Held,
        steps: Mapping[str, Step],
        brake: Brake,
    ) -> None:
        self._journal = journal
        self._steps = steps
        self._hands = hands
        self._clock = clock
        self._held = held
        self._brake = brake

    async def carry(self, walk: Walk, write: Write, attempt: int) -> StepResult:
        """Have the write sent, and verified where that is asked.

        Raises:
            BadStep: it is not wanted any more, or was not done in all its attempts.
        """
        event = walk.scene.event
        own = event.instance if event.instance and event.instance.id == write.target.id else None
        known: JsonObject = {}
        seen_at = _NEVER
        decided_on: JsonObject = {}
        if own and not walk.wrote_before():
            decided_on = to_json(record_of(own))
            age = self._clock.now() - (walk.firing.started_at or self._clock.now())
            if attempt == 1 and age < timedelta(seconds=FRESH):
                with suppress(ApiError, QuotaSpent):  # it is read again before the write leaves
                    known = await walk.step.baseline(self._hands[walk.firing.tenant].look, write, event)
                    seen_at = self._clock.monotonic()
        return await self._send(_Errand(walk, write, attempt, known, seen_at, decided_on, alone=attempt > 1))

    async def take_up(self, walk: Walk, earlier: Intent) -> StepResult:
        """Go on with a step that was begun: by an earlier process, or before the store failed.

        Raises:
            BadStep: as `carry`.
        """
        write = write_of(earlier)
        settler = self._hands[walk.firing.tenant].settler
        if earlier.state == "intent":
            async with self._held(_target_key(earlier)):
                # Whoever sent it is dead by now: what was on its way began before this moment.
                opened = Open(
                    "it was under way when the daemon stopped", self._clock.monotonic(), within=walk.planned.within
                )
                verdict = await settler.settle(walk.step, write, earlier, opened)
            if verdict != "absent":
                return await self._after(walk, write, earlier, verdict == "applied")
            return await self._send(_Errand(walk, write, earlier.attempt + 1, {}, _NEVER, earlier.probe, alone=True))
        if earlier.state == "done" and earlier.outcome == "accepted" and earlier.verify_until:
            with walk.stop.safe():
                return await settler.verify(walk.step, write, earlier, earlier.verify_until)
        return result_of(earlier)

    async def _send(self, errand: _Errand) -> StepResult:
        """Attempt it until it is done, refused or unknown; then verify it where that is asked."""
        began = self._clock.monotonic()
        pause = FIRST_PAUSE
        while True:
            began += await self._held_back(errand)
            errand.write = errand.walk.marked(errand.attempt, errand.write)
            intent = errand.walk.row(errand.attempt, errand.write, state="intent")
            async with self._held(_target_key(intent)) as shared:
                fate, verdict = await self._attempt(errand, intent, shared=shared)
            if fate.kind == "done" or verdict == "applied":
                return await self._after(errand.walk, errand.write, intent, True)
            if verdict == "unknown":
                return await self._after(errand.walk, errand.write, intent, False)
            if fate.kind == "refused":
                return StepResult("refused", fate.reason, intent.action_id)
            errand.attempt += fate.kind != "unsent"
            errand.alone = fate.alone
            if verdict == "absent":
                errand.seen_at = _NEVER  # one more look before it is sent again: the state may show late
            spent = self._clock.monotonic() - began
            if errand.attempt > ATTEMPTS + errand.walk.planned.retry or spent > PATIENCE.total_seconds():
                raise BadStep(f"not done after {errand.attempt - 1} attempts in {spent:.0f} s: {fate.reason}")
            wait = max(pause, fate.retry_after or 0.0)
            log.info("action.again", firing=intent.firing_id, step=intent.step_id, reason=fate.reason, wait_s=wait)
            await self._journal.move(intent.firing_id, "running", f"step {intent.step_id} waits: {fate.reason}")
            with errand.walk.stop.safe():
                await self._clock.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _held_back(self, errand: _Errand) -> float:
        """Wait while no write may leave at all, and have the target looked at anew then; how many seconds that took."""
        began = self._clock.monotonic()
        walk = errand.walk
        if await self._brake.clear(walk, lambda why: self._journal.move(walk.firing.id, "running", why)):
            errand.seen_at = _NEVER
        return self._clock.monotonic() - began

    async def _attempt(self, errand: _Errand, intent: Intent, *, shared: bool) -> tuple[Fate, str]:
        """One attempt, with the verdict of reading back where the answer was lost."""
        try:
            await self._look(errand, shared=shared)
        except (Throttled, Transient, QuotaSpent) as error:
            return Fate("unsent", f"the target could not be read: {error}"), ""
        except ApiError as error:
            raise BadStep(f"the target could not be read: {error}") from error
        walk, write = errand.walk, errand.write
        hands = self._hands[walk.firing.tenant]
        intent = replace(intent, probe=errand.before)
        order = Order(walk.step, write, walk.ask(intent), walk.planned.within, errand.alone, walk.scene.event)
        fate = await hands.desk.submit(order)
        if fate.kind != "open":
            return fate, ""
        opened = Open(fate.reason, self._clock.monotonic(), fate.request_id, walk.planned.within)
        return fate, await hands.settler.settle(walk.step, write, intent, opened)

    async def _look(self, errand: _Errand, *, shared: bool) -> None:
        """Make sure that the baseline is fresh, and that it still shows what the rule decided on."""
        latest = await self._latest(errand)
        written = shared or any(each.t_intent and each.t_intent >= errand.known_since for each in latest)
        if written or self._clock.monotonic() - errand.seen_at >= FRESH:
            errand.seen_all = await self._outwait(errand.walk, latest)
            look = self._hands[errand.walk.firing.tenant].look
            errand.before = await errand.walk.step.baseline(look, errand.write, None)
            if errand.walk.wanted and (reason := await errand.walk.wanted(look)):
                raise Needless(f"nothing was sent to {errand.write.target.id}: {reason}")
            errand.seen_at = self._clock.monotonic()
        if errand.walk.wanted is None:
            self._check_standing(errand, latest)

    def _check_standing(self, errand: _Errand, latest: Sequence[Intent]) -> None:
        """Raises Needless or BadStep when the target is not as the rule decided that it should be written to."""
        step, write = errand.walk.step, errand.write
        standing = step.standing(write, errand.decided_on, errand.before)
        if standing.kind == "met" and errand.seen_all:
            raise Needless(f"nothing was sent to {write.target.id}: {standing.words}")
        if standing.kind == "changed":
            raise BadStep(f"{write.target.id} was left alone: {standing.words}")
        errand.decided_on = errand.decided_on or errand.before
        if not step.idempotent and (done := _done_to(from_json(errand.before), write, latest)):
            raise BadStep(f"{done.action_id} did the same to this run of {done.target_id} a moment ago; it shows late")

    async def _outwait(self, walk: Walk, latest: Sequence[Intent]) -> bool:
        """Let the newest write on the target take hold, if it was another one: late it would undo what follows it.

        False when it does not show, though it was accepted: what the target looks like is not to be relied on then.
        """
        newest = next((each for each in latest if each.state == "done"), None)
        step = self._steps.get(newest.kind) if newest else None
        if newest and step and newest.kind != walk.planned.kind and newest.outcome == "accepted":
            return await self._hands[walk.firing.tenant].settler.outwait(step, write_of(newest), newest)
        return True

    async def _latest(self, errand: _Errand) -> Sequence[Intent]:
        """Our writes on the target whose effects may not show yet."""
        target = errand.write.target
        if target.kind not in ("instance", "node"):
            return ()
        since = self._clock.now() - timedelta(seconds=FRESH)
        return await self._journal.writes_on(errand.walk.firing.tenant, target.id, since)

    async def _after(self, walk: Walk, write: Write, intent: Intent, applied: bool) -> StepResult:
        if not applied:
            return StepResult("unknown", "reading back could not tell whether it was done", intent.action_id)
        if walk.planned.within is None:
            return StepResult("accepted", "", intent.action_id)
        until = self._clock.now() + walk.planned.within
        done = await self._journal.last_step(walk.firing.id, walk.planned.n) or intent
        with walk.stop.safe():
            return await self._hands[walk.firing.tenant].settler.verify(
                walk.step, write, done, done.verify_until or until
            )


def _done_to(run: Record, write: Write, latest: Sequence[Intent]) -> Intent | None:
    """The same write to the very run that still shows."""
    if run.started_at is None:
        return None
    same = (each for each in latest if each.kind == write.step and each.target_kind == write.target.kind)
    return next((each for each in same if _same_run(from_json(each.probe), run)), None)


def _same_run(one: Record, other: Record) -> bool:
    return one.started_at is not None and not another_run(one, other)


def _target_key(intent: Intent) -> tuple[str, str, str]:
    """What only one write at a time may touch; an untargeted call shares nothing with any other."""
    return intent.tenant, intent.target_kind, intent.target_id or intent.action_id
