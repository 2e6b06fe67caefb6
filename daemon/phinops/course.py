"""Every open firing on its way, one task each: its `for`, its turn on its key, its steps, its end.

What a course knows is in the journal before it matters, so a course that is cut off anywhere is taken up at the next
start by what its rows say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from phinops.clock import Clock
from phinops.errors import StoreError, StoreLost
from phinops.event import Event
from phinops.execute.act import Actor
from phinops.execute.desk import Starter
from phinops.execute.fresh import Glass, object_of
from phinops.execute.patience import patiently
from phinops.execute.steps.kind import BadStep
from phinops.execute.walk import Scene, Words
from phinops.firing import Firing, FiringState
from phinops.record import journal
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot, Tx
from phinops.spending import Spender, spending

log = structlog.get_logger(__name__)

Permit = Callable[[Tx, Firing, Event], str]
"""Why a firing may not begin now, or "": the guards of its rule as the firing keeps them."""

_LOOK_AT_THE_CLOCK = 60.0
"""Seconds after which a wait for a wall-clock moment looks again: the clock may have jumped."""


class Courses:
    """Carries firings from their birth to their end."""

    def __init__(
        self,
        store: Store,
        actor: Actor,
        words: Words,
        glasses: Mapping[str, Glass],
        clock: Clock,
        group: Starter,
        permit: Permit,
    ) -> None:
        self._store = store
        self._actor = actor
        self._words = words
        self._glasses = glasses
        self._clock = clock
        self._group = group
        self._permit = permit

    async def left_open(self) -> list[tuple[Firing, Event]]:
        """What earlier processes left open, oldest first: to be asked before anything new can be recorded."""
        return await self._store.read(_left_open)

    async def resume(self, left: Sequence[tuple[Firing, Event]]) -> None:
        """Take up what `left_open` gave. What was recorded since then is on its way already."""
        for firing, event in left:
            if firing.tenant not in self._glasses:
                log.warning("firing.orphaned", firing=firing.id, tenant=firing.tenant)
            elif firing.state == "queued":
                await self._promote(firing)
            else:
                self.begin(firing, event)

    def begin(self, firing: Firing, event: Event) -> None:
        """Let a recorded firing go on from its state; one that is queued waits for its key."""
        if firing.state != "queued":
            self._group.start_soon(self._keep_on, firing, event)

    async def _keep_on(self, firing: Firing, event: Event) -> None:
        """Go on; when the store fails, from what it says once it works again. What is called meanwhile is its doing."""
        with spending(Spender("rules", firing.rule, firing.id)):
            await self._go_on(firing, event)

    async def _go_on(self, firing: Firing, event: Event) -> None:
        pause = 1.0
        known: Firing | None = firing
        broken = ""
        while True:
            try:
                known = known or await self._reread(firing)
                if broken:
                    await self._end(known, "needs_decision", broken)
                else:
                    await self._run(known, event)
            except StoreLost:
                raise
            except StoreError as error:
                log.error("firing.stalled", firing=firing.id, reason=str(error), wait_s=pause)
                await self._clock.sleep(pause)
                pause = min(pause * 2, 60.0)
                known = None
            except Exception as error:
                # What one firing trips over must not stop the others; a person has to look at it.
                log.exception("firing.broken", firing=firing.id, rule=firing.rule)
                broken = f"phinops failed: {type(error).__name__}: {error}"
            else:
                return

    async def _reread(self, firing: Firing) -> Firing:
        return await self._store.read(lambda tx: journal.firing_of(tx, firing.id)) or firing

    async def _run(self, firing: Firing, event: Event) -> None:
        if firing.state not in ("waiting", "ready", "running", "settling"):
            return  # ended before the store failed
        if firing.state == "waiting":
            now = await self._outwait(firing, event)
            if now is None:
                return
            event = now
            firing = replace(firing, started_at=self._clock.now())
        elif firing.state == "ready":
            await self._store.write(lambda tx: journal.start(tx, firing.id))
        state, reason = await self._actor.walk(firing, event)
        await self._end(firing, state, reason)

    async def _outwait(self, firing: Firing, event: Event) -> Event | None:
        """Wait for the moment, read the object, decide anew; the event as it is now, or None when it ended here."""
        await self._until(firing.wake_at)
        try:
            now = await patiently(
                self._clock,
                lambda: self._glasses[event.tenant].again(event),
                "the event's object",
                lambda reason: self._store.write(
                    lambda tx: journal.move(tx, firing.id, "waiting", reason, firing.wake_at)
                ),
            )
        except BadStep as error:
            await self._end(firing, "failed", str(error))
            return None
        if now is None:
            await self._end(firing, "skipped", f"the object has left the state of {event.type}")
            return None
        scene = Scene(now, {}, firing.plan.get("vars", {}), inputs=firing.plan.get("inputs", {}))
        holds, why = self._words.holds(firing.plan.get("if") or "", scene)
        if not holds:
            await self._end(firing, "skipped", f"of the fresh record, {why}")
            return None
        reason = await self._store.write(lambda tx: self._start_if_permitted(tx, firing, now))
        if reason:
            await self._end(firing, "skipped", reason)
            return None
        return now

    def _start_if_permitted(self, tx: Tx, firing: Firing, event: Event) -> str:
        reason = self._permit(tx, firing, event)
        if not reason:
            journal.start(tx, firing.id)
            if object_of(event):
                journal.keep_now(tx, firing.id, event)  # what every step sees, after a restart too
        return reason

    async def _until(self, moment: datetime | None) -> None:
        while moment is not None and (left := (moment - self._clock.now()).total_seconds()) > 0:
            await self._clock.sleep(min(left, _LOOK_AT_THE_CLOCK))

    async def _end(self, firing: Firing, state: FiringState, reason: str) -> None:
        """The firing is over, and in the same transaction the one that waits for its key has its turn."""

        def op(tx: Tx) -> tuple[Firing, Event] | None:
            if state == "needs_decision":
                journal.abandon(tx, firing.id, reason)
            else:
                journal.end(tx, firing.id, state, reason)
            return _take_queued(tx, firing)

        found = await self._store.write(op)
        log.info("firing.ended", firing=firing.id, rule=firing.rule, state=state, reason=reason)
        if found:
            self.begin(*found)

    async def _promote(self, firing: Firing) -> None:
        """The newest firing that waits for this key is decided anew now, if the key is free."""
        found = await self._store.write(lambda tx: _take_queued(tx, firing))
        if found:
            self.begin(*found)


def _left_open(tx: Snapshot) -> list[tuple[Firing, Event]]:
    found = []
    for firing in journal.open_firings(tx):
        event = journal.event_of(tx, firing.event_id)
        if event is not None:
            found.append((firing, event))
    return found


def _take_queued(tx: Tx, over: Firing) -> tuple[Firing, Event] | None:
    """The firing that waits for the key of one that is over, on its way now."""
    firing = journal.next_queued(tx, over.tenant, over.rule, over.key)
    event = journal.event_of(tx, firing.event_id) if firing else None
    if firing is None or event is None:
        return None
    born = firing.created_at or tx.now
    wake_at = max(tx.now, born + timedelta(seconds=firing.plan.get("for_s") or 0))
    journal.move(tx, firing.id, "waiting", "its turn on its key has come", wake_at)
    return replace(firing, state="waiting", wake_at=wake_at), event
