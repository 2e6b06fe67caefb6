"""Every open firing on its way, one task each: its `for`, its turn on its key, its steps, its end.

What a course knows is in the journal before it matters, so a course that is cut off anywhere is taken up at the next
start by what its rows say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import anyio
import structlog

from phinops.clock import Clock, sleep_until
from phinops.decide.permit import Verdict
from phinops.errors import StoreError, StoreLost
from phinops.event import Event
from phinops.execute.act import Actor
from phinops.execute.carry import FRESH
from phinops.execute.desk import Starter
from phinops.execute.fresh import Glass, object_of
from phinops.execute.patience import patiently
from phinops.execute.steps.kind import BadStep
from phinops.execute.stop import Stop, Stopped
from phinops.execute.walk import Words, scene_of
from phinops.firing import Firing, FiringState
from phinops.record import journal, turns, windows
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot, Tx
from phinops.spending import Spender, spending
from phinops.starts import Starts, urgency_of

log = structlog.get_logger(__name__)

Permit = Callable[[Tx, Firing, Event], Verdict]
"""Whether a firing may begin now: the guards of its rule as the firing keeps them."""

OPEN = ("waiting", "ready", "running", "settling")
"""The states of a firing that goes on by itself; one that is queued waits for another."""


@dataclass(frozen=True, slots=True)
class Known:
    """A firing as the store has it, with its event, and all of them where its rule is over several.

    `unsettled`: a write of its is of unknown fate.
    """

    firing: Firing
    event: Event
    events: Sequence[Event] = ()
    unsettled: bool = False

    @property
    def awaited(self) -> str:
        """The type of event that must not have come, or ""."""
        pattern = self.firing.plan.get("pattern") or {}
        return str(pattern["types"][1]) if pattern.get("kind") == "absent" else ""

    def with_event(self, now: Event) -> Known:
        """The same with its event as it is now."""
        events = tuple(now if each.id == now.id else each for each in self.events)
        return replace(self, event=now, events=events)


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
        self._stops: dict[str, Stop] = {}
        self._starts = Starts(clock, group)

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
        if firing.id in self._stops:
            self.disturb(firing.id)
        elif firing.state == "ready":
            self._stops[firing.id] = Stop()
            self._starts.ask(urgency_of(event), lambda: self._group.start_soon(self._keep_on, firing, event))
        elif firing.state != "queued":
            self._stops[firing.id] = Stop()
            self._group.start_soon(self._keep_on, firing, event)

    def disturb(self, firing_id: str) -> None:
        """The firing's row was changed by others: whoever carries it is to look at it at its next safe point."""
        if firing_id in self._stops:
            self._stops[firing_id].ask()

    async def _keep_on(self, firing: Firing, event: Event) -> None:
        """Go on; when the store fails, from what it says once it works again. What is called meanwhile is its doing."""
        try:
            with spending(Spender("rules", firing.rule, firing.id)):
                await self._go_on(firing, event)
        finally:
            del self._stops[firing.id]

    async def _go_on(self, firing: Firing, event: Event) -> None:
        pause, broken = 1.0, ""
        stop = self._stops[firing.id]
        outdated = stop.asked or firing.stop or firing.plan.get("pattern")
        known: Known | None = None if outdated else Known(firing, event)
        while True:
            try:
                await self._once(known or await self._reread(firing, event), stop, broken)
            except Stopped:
                pass  # its row says why
            except StoreLost:
                raise
            except StoreError as error:
                log.error("firing.stalled", firing=firing.id, reason=str(error), wait_s=pause)
                await self._clock.sleep(pause)
                pause = min(pause * 2, 60.0)
            except Exception as error:
                # What one firing trips over must not stop the others; a person has to look at it.
                log.exception("firing.broken", firing=firing.id, rule=firing.rule)
                broken = f"phinops failed: {type(error).__name__}: {error}"
            else:
                if not stop.asked:
                    return  # else its row was changed meanwhile, and others count on somebody's looking at it
            known = None
            stop.clear()

    async def _reread(self, firing: Firing, event: Event) -> Known:
        return await self._store.read(lambda tx: _known(tx, firing, event))

    async def _once(self, known: Known, stop: Stop, broken: str) -> None:
        if broken:
            await self._end(known.firing, "needs_decision", broken)
        else:
            await self._run(known, stop)

    async def _run(self, known: Known, stop: Stop) -> None:
        """Carry it as far as it goes; where its row was changed by others, `stop` has been asked."""
        firing = known.firing
        if firing.state not in OPEN:
            return  # ended, or put back into the queue
        if firing.state == "waiting":
            begun = await self._outwait(known, stop)
            if begun is None:
                return
            known = begun
        elif firing.stop and not known.unsettled:
            await self._end(firing, "skipped", firing.stop)
            return
        elif firing.stop:
            stop.ask()
        elif firing.state == "ready":
            await self._store.write(lambda tx: journal.start(tx, firing.id))
        state, reason = await self._actor.walk(known.firing, known.event, known.events, stop)
        await self._end(known.firing, state, reason)

    async def _outwait(self, known: Known, stop: Stop) -> Known | None:
        """Wait for the moment, look at the object, decide anew; the firing as it begins, or None when it does not."""
        firing = known.firing
        try:
            with stop.safe():
                if firing.wake_at:
                    await sleep_until(self._clock, firing.wake_at)
                fresh, reason = await self._looked(known)
                if not reason and await self._turn(known.event) > FRESH:
                    fresh, reason = await self._looked(known)
        except BadStep as error:
            await self._conclude(known, stop, "failed", str(error))
            return None
        if reason:
            await self._conclude(known, stop, "skipped", reason)
            return None
        return await self._begin_if_permitted(fresh, stop)

    async def _turn(self, event: Event) -> float:
        """Wait until it may begin; how many seconds that took."""
        turn, began = anyio.Event(), self._clock.monotonic()
        self._starts.ask(urgency_of(event), turn.set)
        await turn.wait()
        return self._clock.monotonic() - began

    async def _looked(self, known: Known) -> tuple[Known, str]:
        """As `_look`, asked until there is an answer."""
        firing = known.firing
        return await patiently(
            self._clock,
            lambda: self._look(known),
            "the event's object",
            lambda reason: self._store.write(lambda tx: journal.move(tx, firing.id, "waiting", reason, firing.wake_at)),
        )

    async def _look(self, known: Known) -> tuple[Known, str]:
        """The firing with its event as it is now, and why it must not begin, or ""."""
        event, glass = known.event, self._glasses[known.event.tenant]
        if known.awaited:
            now, reason = await glass.meanwhile(event, known.awaited)
            return known.with_event(now), reason
        found = await glass.again(event)
        if found is None:
            return known, f"the object has left the state of {event.type}"
        known = known.with_event(found)
        scene = scene_of(known.firing, found, {}, known.events)
        holds, why = self._words.holds(known.firing.plan.get("if") or "", scene)
        return known, "" if holds else f"of the fresh record, {why}"

    async def _begin_if_permitted(self, known: Known, stop: Stop) -> Known | None:
        firing = known.firing
        tried = await self._store.write(lambda tx: _try_to_begin(tx, self._permit, firing, known.event))
        if tried is None:
            stop.ask()
            return None
        for each in tried.disturbed:
            self.disturb(each)
        if tried.turn:
            self.begin(*tried.turn)
        return replace(known, firing=replace(firing, started_at=self._clock.now())) if tried.begun else None

    async def _conclude(self, known: Known, stop: Stop, state: FiringState, reason: str) -> None:
        """End a firing that waited, unless its row was changed meanwhile: then that is to be looked at first."""
        if await self._store.read(lambda tx: _unchanged(tx, known.firing)):
            await self._end(known.firing, state, reason)
        else:
            stop.ask()

    async def _end(self, firing: Firing, state: FiringState, reason: str) -> None:
        """The firing is over, and in the same transaction the one that waits for its key has its turn."""

        def op(tx: Tx) -> tuple[Firing, Event] | None:
            if state == "needs_decision":
                journal.abandon(tx, firing.id, reason)
            else:
                journal.end(tx, firing.id, state, reason)
            return turns.take_turn(tx, firing.tenant, firing.rule, firing.key)

        found = await self._store.write(op)
        log.info("firing.ended", firing=firing.id, rule=firing.rule, state=state, reason=reason)
        if found:
            self.begin(*found)

    async def _promote(self, firing: Firing) -> None:
        """The newest firing that waits for this key is decided anew now, if the key is free."""
        found = await self._store.write(lambda tx: turns.take_turn(tx, firing.tenant, firing.rule, firing.key))
        if found:
            self.begin(*found)


@dataclass(frozen=True, slots=True)
class _Tried:
    """What came of a firing's wish to begin: also those whose rows it changed, and the one whose turn it is now."""

    begun: bool = False
    disturbed: Sequence[str] = ()
    turn: tuple[Firing, Event] | None = None


def _try_to_begin(tx: Tx, permit: Permit, firing: Firing, event: Event) -> _Tried | None:
    """Begin a firing that waited, if the guards let it; None when its row is not what its carrier knows any more."""
    if not _unchanged(tx, firing):
        return None
    verdict = permit(tx, firing, event)
    if verdict.allowed:
        journal.start(tx, firing.id)
        if object_of(event):
            journal.keep_now(tx, firing.id, event)  # what every step sees, after a restart too
        return _Tried(begun=True)
    disturbed: Sequence[str] = ()
    if verdict.queue:
        disturbed = turns.queue_up(tx, firing, verdict.reason)
    else:
        journal.end(tx, firing.id, "skipped", verdict.reason)
    return _Tried(disturbed=disturbed, turn=turns.take_turn(tx, firing.tenant, firing.rule, firing.key))


def _left_open(tx: Snapshot) -> list[tuple[Firing, Event]]:
    found = []
    for firing in journal.open_firings(tx):
        event = journal.event_of(tx, firing.event_id)
        if event is not None:
            found.append((firing, event))
    return found


def _known(tx: Snapshot, firing: Firing, event: Event) -> Known:
    """The firing as it stands now."""
    now = journal.firing_of(tx, firing.id) or firing
    return Known(
        firing=now,
        event=journal.event_of(tx, now.event_id) or event,
        events=windows.events_of(tx, now.id) if now.plan.get("pattern") else (),
        unsettled=journal.unsettled(tx, now.id),
    )


def _unchanged(tx: Snapshot, firing: Firing) -> bool:
    """Whether the row of a firing that waits is still what its carrier knows of it."""
    now = journal.firing_of(tx, firing.id)
    same = ("state", "rule_hash", "event_id", "key", "ended_at")
    return now is not None and all(getattr(now, name) == getattr(firing, name) for name in same)
