"""Carries out `wait`: the end is fixed when it begins, and the journal knows it, so that a restart changes nothing.

`until` is asked at the beginning, on every event of the same object, and of what is read at growing pauses: what polls
see costs nothing, and the reads between are few.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from phinops.clock import Clock
from phinops.durations import format_duration
from phinops.errors import ApiError, QuotaSpent
from phinops.event import Event
from phinops.execute import rhythm
from phinops.execute.bells import Bell, Bells, rest
from phinops.execute.carry import Hands
from phinops.execute.fresh import Eyes, object_of, refreshed
from phinops.execute.journal import Journal
from phinops.execute.patience import patiently
from phinops.execute.steps.bare import bare_write
from phinops.execute.steps.kind import BadStep
from phinops.execute.steps.wait import WaitParams
from phinops.execute.walk import Walk, Words, recorded, result_of
from phinops.firing import Intent, Outcome, StepResult

log = structlog.get_logger(__name__)

SHARE = 16.0
"""A pause between two reads is a sixteenth of the time waited so far at least, `LONGEST` at most: who waits for hours
need not know to the second."""

LONGEST = 600.0

_OF_EVENT = re.compile(r"\bevent\b")


@dataclass(slots=True)
class _Wait:
    """One wait under way. `event` is as it was last known, `fresh` if that was learnt here."""

    walk: Walk
    row: Intent
    began: datetime
    end: datetime
    until: str
    event: Event
    reads: bool
    bell: Bell
    fresh: bool = False
    made: int = 0
    pause: float | None = None
    due: float = field(default=math.inf)
    why: str = ""
    trouble: str = ""


class Waiter:
    """The step `wait`. `hands` are by tenant."""

    def __init__(self, journal: Journal, words: Words, hands: Mapping[str, Hands], clock: Clock, bells: Bells) -> None:
        self._journal = journal
        self._words = words
        self._hands = hands
        self._clock = clock
        self._bells = bells

    async def do(self, walk: Walk, params: WaitParams, attempt: int) -> StepResult:
        write = bare_write("wait", params)
        if walk.firing.mode == "shadow":
            return await recorded(self._journal, walk.row(attempt, write, outcome="shadow"))
        now = self._clock.now()
        row = replace(walk.row(attempt, write, state="waiting"), t_intent=now, verify_until=now + params.longest)
        await self._journal.open_wait(row)
        return await self._wait(walk, row)

    async def take_up(self, walk: Walk, earlier: Intent) -> StepResult:
        return await self._wait(walk, earlier) if earlier.state == "waiting" else result_of(earlier)

    async def _wait(self, walk: Walk, row: Intent) -> StepResult:
        now = self._clock.now()
        end, until, event = row.verify_until or now, row.request["params"].get("until", ""), walk.scene.event
        what = f"step {walk.planned.id} waits until {end.isoformat()}" + (f" for {until}" if until else "")
        await self._journal.move(walk.firing.id, "running", what, end)
        about = object_of(event) if until else None
        with self._bells.hung(about) as bell, walk.stop.safe():
            reads = about is not None and _OF_EVENT.search(until) is not None
            wait = _Wait(walk, row, row.t_intent or now, end, until, event, reads, bell)
            outcome = await self._over(wait)
            if not wait.reads:
                await self._look_once(wait)
        reason = self._reason(wait, outcome)
        await self._journal.close_wait(row.action_id, outcome, reason, wait.event if wait.fresh else None)
        return StepResult(outcome, reason, row.action_id)

    async def _over(self, wait: _Wait) -> Outcome:
        """Wait; how it ended."""
        self._plan(wait)
        if self._holds(wait):
            return "verified"
        while (left := self._left(wait)) > 0:
            await rest(self._clock, min(left, wait.due - self._clock.monotonic()), wait.bell)
            if self._hears(wait):
                return "verified"
            if self._clock.monotonic() >= wait.due:
                await self._read(wait)
                self._plan(wait)
            if self._holds(wait):
                return "verified"
        if not wait.until:
            return "accepted"
        await self._read(wait)
        return "verified" if self._holds(wait) else "timed_out"

    def _hears(self, wait: _Wait) -> bool:
        """Whether the condition was true of any of the news."""
        for event in wait.bell.take():
            wait.event, wait.fresh = refreshed(wait.event, event), True
            if self._holds(wait):
                return True
        return False

    def _holds(self, wait: _Wait) -> bool:
        if not wait.until:
            return False
        holds, wait.why = self._words.holds(wait.until, replace(wait.walk.scene, event=wait.event), "until")
        return holds

    async def _read(self, wait: _Wait) -> None:
        """Look at the object, if it can be read now."""
        if not wait.reads:
            return
        try:
            found = await self._eyes(wait).watching.now(wait.event)
        except (ApiError, QuotaSpent) as error:
            wait.made += isinstance(error, ApiError)
            wait.trouble = str(error)
            log.warning("wait.unread", firing=wait.walk.firing.id, reason=wait.trouble)
            return
        wait.made += 1
        wait.trouble = "" if found else "there is no such object any more"
        if found:
            wait.event, wait.fresh = found, True

    def _plan(self, wait: _Wait) -> None:
        """When the object is read next; at the end it is in any case."""
        if not wait.reads:
            return
        left, waited = self._left(wait), (self._clock.now() - wait.began).total_seconds()
        pause = rhythm.pause(wait.pause, left, rhythm.reads_left(self._eyes(wait).calls_left(), wait.made))
        wait.pause = max(pause, min(waited / SHARE, LONGEST))
        now = self._clock.monotonic()
        wait.due = now + rhythm.aligned(now, wait.pause) if wait.pause < left else math.inf

    async def _look_once(self, wait: _Wait) -> None:
        """What later steps see: the object as it is now, asked for until it can be read; gone, it stays as it was."""
        if object_of(wait.event) is None:
            return
        walk = wait.walk
        try:
            found = await patiently(
                self._clock,
                lambda: self._eyes(wait).glass.now(wait.event),
                "the event's object",
                lambda reason: self._journal.move(walk.firing.id, "running", f"step {walk.planned.id}: {reason}"),
            )
        except BadStep as error:
            log.warning("wait.unread", firing=walk.firing.id, reason=str(error))
            return
        if found:
            wait.event, wait.fresh = found, True

    def _reason(self, wait: _Wait, outcome: Outcome) -> str:
        if outcome == "verified":
            return "until holds"
        if outcome == "accepted":
            return ""
        trouble = f"; {wait.trouble}" if wait.trouble else ""
        return f"not within {format_duration(wait.end - wait.began)}: {wait.why}{trouble}"

    def _eyes(self, wait: _Wait) -> Eyes:
        return self._hands[wait.walk.firing.tenant].eyes

    def _left(self, wait: _Wait) -> float:
        return (wait.end - self._clock.now()).total_seconds()
