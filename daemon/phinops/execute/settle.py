"""Finding out what a write did: by reading, after a quiet time, never by sending again.

A write of unknown fate is *applied*, *absent* (said twice, some seconds apart) or stays *unknown*. An accepted write
whose step asks for it is followed until its target reaches the goal or another end; `rhythm` says when it is read.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

import anyio
import structlog

from phinops.clock import LOOK_AGAIN, Clock
from phinops.errors import ApiError, QuotaSpent
from phinops.event import JsonObject
from phinops.execute import rhythm
from phinops.execute.bells import Bell, Bells
from phinops.execute.journal import Journal
from phinops.execute.runtimes import RunTimes
from phinops.execute.steps.kind import Look, Probe, Progress, Step, Write
from phinops.execute.witness import Witness
from phinops.firing import Intent, Outcome, StepResult

log = structlog.get_logger(__name__)

Verdict = Literal["applied", "absent", "unknown"]

GIVE_UP_AFTER = timedelta(hours=24)
"""How long a target that cannot be read is asked for before a person must decide: longer than any quota day."""

CallsLeft = Callable[[], int | None]
"""How many calls the day has left for reading back; None: no limit."""

SECOND_LOOK = timedelta(minutes=10)
"""How long after a write was settled by reading its target is read once more: what was lost may arrive late."""

UNCLEAR_READS = 3
"""How many readings may be unclear before reading on is pointless."""


@dataclass(frozen=True, slots=True)
class Open:
    """Why a write's fate is open: `since` is the monotonic time by which it had left, or its sender was dead.

    `within` is the time its verification will have once it is known to be done; `saw` what was last read of its target.
    """

    reason: str
    since: float
    request_id: str = ""
    within: timedelta | None = None
    saw: JsonObject = field(default_factory=dict)


class Settler:
    """Reads back the writes of one tenant. `look` reads with the priority of verification.

    `settle_after` is the quiet time in real seconds: it spans the network's delays. `calls_left` is what verifications
    are paced by and, where that is little, `run_times`.
    """

    def __init__(
        self,
        look: Look,
        journal: Journal,
        clock: Clock,
        settle_after: float,
        calls_left: CallsLeft = lambda: None,
        run_times: RunTimes | None = None,
    ) -> None:
        self._look = look
        self._journal = journal
        self._clock = clock
        self._settle_after = settle_after
        self._calls_left = calls_left
        self._run_times = run_times or RunTimes()
        self._ends: dict[str, list[datetime]] = defaultdict(list)
        self._followed: dict[str, list[str]] = defaultdict(list)
        self._bells = Bells()

    def followed(self, project_id: str) -> frozenset[str]:
        """The targets of that project which are being verified: nobody else need look after them."""
        return frozenset(self._followed.get(project_id, ()))

    def heard(self, project_id: str, target_id: str) -> None:
        """Somebody saw that the target came to an end: who verifies it reads it now."""
        self._bells.ring((project_id, target_id))

    async def settle(self, step: Step, write: Write, intent: Intent, open_: Open) -> Verdict:
        """What became of an open intent, recorded.

        The quiet time counts from when it had left for certain: whatever was on its way then has arrived by its end.
        """
        quiet = self._settle_after * self._clock.speed
        wait = max(0.0, open_.since + quiet - self._clock.monotonic())
        wake_at = self._clock.now() + timedelta(seconds=wait)
        await self._journal.move(
            intent.firing_id, "settling", f"reading back {intent.action_id}: {open_.reason}", wake_at
        )
        log.info("action.settling", action=intent.action_id, reason=open_.reason, quiet_s=round(wait, 3))
        await self._clock.sleep(wait)
        verdict, why = await self._read_back(step, write, intent, open_, gap=max(1.0, quiet / 3))
        log.info("action.settled", action=intent.action_id, verdict=verdict, reason=why)
        await self._journal.start(intent.firing_id)
        return verdict

    async def _read_back(
        self, step: Step, write: Write, intent: Intent, open_: Open, *, gap: float
    ) -> tuple[Verdict, str]:
        give_up = self._clock.monotonic() + GIVE_UP_AFTER.total_seconds()
        absent = unclear = 0
        pauses = _growing(gap)
        while True:
            witness = Witness(self._look)
            probe, why = await self._probe(step, write, intent, witness)
            open_ = replace(open_, saw=witness.saw)
            if probe == "applied":
                await self._close(step, intent, open_, "done", "accepted", "found by reading back")
                return "applied", why
            if probe == "unread":
                await self._journal.move(intent.firing_id, "settling", f"reading back {intent.action_id}: {why}")
            absent = absent + 1 if probe == "absent" else 0
            unclear += probe == "unclear"
            if absent == 2:
                await self._close(step, intent, open_, "absent", None, "not there, said twice")
                return "absent", why
            if unclear == UNCLEAR_READS or self._clock.monotonic() > give_up:
                await self._close(step, intent, open_, "unknown", "unknown", why)
                return "unknown", why
            await self._clock.sleep(gap if probe == "absent" else next(pauses))

    async def _probe(
        self, step: Step, write: Write, intent: Intent, look: Look | None = None
    ) -> tuple[Probe | Literal["unread"], str]:
        try:
            probe = await step.probe(look or self._look, write, intent.probe)
        except (ApiError, QuotaSpent) as error:
            log.warning("action.unread", action=intent.action_id, reason=str(error))
            return "unread", f"the target could not be read: {error}"
        return probe, f"reading the target found the write {probe}"

    async def outwait(self, step: Step, write: Write, intent: Intent) -> bool:
        """Wait until an accepted write shows in its target, or the quiet time since it was answered is over; whether it
        shows. What cannot be read is waited for no longer than that.
        """
        quiet = self._settle_after * self._clock.speed
        end = (intent.t_done or self._clock.now()) + timedelta(seconds=quiet)
        while True:
            probe, _ = await self._probe(step, write, intent)
            left = self._left(end)
            if probe == "applied" or left <= 0:
                return probe == "applied"
            log.info("action.outwaited", action=intent.action_id, left_s=round(left, 3))
            await self._clock.sleep(min(left, max(1.0, quiet / 5)))

    async def effects(self, step: Step, write: Write, intent: Intent) -> int | None:
        """How often what the write does was done since it was to leave; None: its target does not tell.

        Raises:
            ApiError, QuotaSpent: the target could not be read.
        """
        return await step.effects(self._look, write, intent.probe)

    async def _close(
        self, step: Step, intent: Intent, open_: Open, state: str, outcome: Outcome | None, reason: str
    ) -> None:
        known = state != "unknown" and step.countable
        until = self._clock.now() + open_.within if state == "done" and open_.within else None
        await self._journal.settle(
            intent.action_id,
            state,
            outcome,
            result={"settled": reason, "because": open_.reason, **({"saw": open_.saw} if open_.saw else {})},
            request_id=open_.request_id,
            verify_until=until,
            look_at=self._clock.now() + SECOND_LOOK if known else None,
        )

    async def verify(self, step: Step, write: Write, intent: Intent, until: datetime) -> StepResult:
        """Follow an accepted write until its goal, another end, or `until`; recorded.

        The last read is made at `until`, or some seconds later together with others of the project that end then.
        """
        ends, followed = self._ends[intent.project_id], self._followed[intent.project_id]
        ends.append(until)
        followed.append(intent.target_id)
        witness = Witness(self._look)
        try:
            with self._bells.hung((intent.project_id, intent.target_id)) as bell:
                progress = await self._follow(step, write, intent, until, witness, bell)
        finally:
            ends.remove(until)
            followed.remove(intent.target_id)
        outcome: Outcome = "timed_out" if progress == "pending" else progress
        reason = {"verified": "the target reached its goal", "failed": "the target came to another end"}.get(
            outcome, f"not there by {until.isoformat()}"
        )
        await self._journal.judge(intent.action_id, outcome, reason, witness.saw)
        log.info("action.verified", action=intent.action_id, outcome=outcome, reason=reason)
        return StepResult(outcome, reason, intent.action_id)

    async def _follow(
        self, step: Step, write: Write, intent: Intent, until: datetime, look: Look, bell: Bell
    ) -> Progress:
        within = self._left(until)
        made, pause = 0, None
        sent = self._clock.monotonic() - self._ago(intent)
        while True:
            left = self._left(until)
            reads = rhythm.reads_left(self._calls_left(), made)
            pause, coarsest = rhythm.pause(pause, left, reads), math.inf
            if rhythm.are_few(reads) and not step.idempotent:  # what may be done twice begins no run
                likely = self._run_times.likely(intent.target_id, intent.probe)
                pause = min(left, max(pause, rhythm.until_over(self._clock.monotonic() - sent, likely)))
                coarsest = rhythm.LONGEST
            wait = rhythm.aligned(self._clock.monotonic(), pause, coarsest)
            if pause < left and wait < left:
                await self._rest(wait, until, bell)
            else:
                await self._rest_to_the_end(intent.project_id, until, within)
            progress, cost = await self._progress(step, write, intent, look)
            made += cost
            if progress != "pending" or self._clock.now() >= until:
                return progress

    async def _progress(self, step: Step, write: Write, intent: Intent, look: Look) -> tuple[Progress, int]:
        """How far it has come, and whether asking was a read: what the day refuses costs nothing."""
        try:
            return await step.progress(look, write, {**intent.probe, **intent.result}), 1
        except (ApiError, QuotaSpent) as error:
            log.warning("action.unread", action=intent.action_id, reason=str(error))
            why = f"step {intent.step_id} is followed once its target can be read: {error}"
            await self._journal.move(intent.firing_id, "running", why)
            return "pending", int(isinstance(error, ApiError))

    def _ago(self, intent: Intent) -> float:
        """Seconds since the write was about to leave."""
        return max(0.0, (self._clock.now() - intent.t_intent).total_seconds()) if intent.t_intent else 0.0

    def _left(self, until: datetime) -> float:
        return (until - self._clock.now()).total_seconds()

    async def _rest(self, wait: float, until: datetime, bell: Bell) -> None:
        """Wait so many seconds, or until the wall clock has passed `until`, or the bell rings."""
        wake = self._clock.monotonic() + wait
        while (left := wake - self._clock.monotonic()) > 0 and self._left(until) > 0 and not bell.rung.is_set():
            with anyio.move_on_after(self._clock.real(min(left, LOOK_AGAIN))):
                await bell.rung.wait()
        bell.rung = anyio.Event()

    async def _rest_to_the_end(self, project: str, until: datetime, within: float) -> None:
        """Wait until `until`, and on for the others whose ends share a cell with it, so that one read serves all."""
        mine = rhythm.cell(until.timestamp(), within)
        while True:
            end = max(each for each in self._ends[project] if rhythm.cell(each.timestamp(), within) == mine)
            if (left := self._left(end)) <= 0:
                return
            await self._clock.sleep(min(left, LOOK_AGAIN))


def _growing(first: float, most: float = 300.0) -> Iterator[float]:
    """Pauses that double up to a limit."""
    pause = first
    while True:
        yield pause
        pause = min(pause * 2, most)
