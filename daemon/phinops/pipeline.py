"""The way of every event: matched, permitted, recorded with what follows from it in one transaction, begun."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import anyio.lowlevel
import structlog

from phinops.arrive.arrival import Arrival
from phinops.cause import cause_of, target_of
from phinops.clock import Clock
from phinops.course import Courses
from phinops.decide.language import FALSE, Language
from phinops.decide.match import Match, match
from phinops.decide.permit import History, Verdict, permit
from phinops.decide.rule import Rule, RuleSet
from phinops.event import Event
from phinops.firing import Firing, FiringState, Mode
from phinops.record import history, journal, seen
from phinops.record.changes import put_changes
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot, Tx

log = structlog.get_logger(__name__)

DAY = timedelta(hours=24)
AT_A_TIME = 50
"""Events matched before other tasks get their turn."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The rules in force, and whether none of them is armed, whatever it says."""

    rules: RuleSet
    shadow: bool = False

    def mode_of(self, rule: Rule) -> Mode:
        """What the rule may do now: what it says, and never more than shadow where nothing is armed."""
        return "shadow" if self.shadow and rule.mode == "armed" else rule.mode


@dataclass(frozen=True, slots=True)
class Taken:
    """What an arrival brought: the events that were new, and how many firings began or were skipped.

    `found` counts the new events that some rule listens to and that a poll was the first to tell of.
    """

    new: tuple[Event, ...]
    begun: int
    skipped: int
    found: int = 0


class Pipeline:
    """What arrives goes through here, whoever brought it: polls, hooks, schedules, the daemon itself."""

    def __init__(
        self,
        store: Store,
        language: Language,
        in_force: Callable[[], InForce],
        courses: Courses,
        clock: Clock,
        tell: Callable[[Sequence[Event]], None],
    ) -> None:
        self._store = store
        self._language = language
        self._in_force = in_force
        self._courses = courses
        self._clock = clock
        self._tell = tell

    async def take(self, arrival: Arrival, *, also: Callable[[Tx], None] | None = None) -> Taken:
        """Make the arrival durable with all that follows from it, then let its firings begin.

        `also` runs in the same transaction, for what must not be recorded without the events.

        Raises:
            StoreError: nothing was recorded; the same arrival may be brought again.
        """
        if any(map(_asks_for_cause, arrival.events)):
            found = await self._store.read(lambda tx: tuple(_with_cause(tx, event) for event in arrival.events))
            arrival = replace(arrival, events=found)
        in_force = self._in_force()
        matches = await self._match(in_force, arrival.events)
        new, firings = await self._store.write(lambda tx: self._record(tx, in_force, arrival, matches, also))
        self._tell(new)
        for firing, event in firings:
            if firing.state == "skipped":
                log.info("rule.skipped", rule=firing.rule, event_id=event.id, reason=firing.reason)
            else:
                log.info(
                    "rule.fired", rule=firing.rule, event_id=event.id, firing=firing.id, mode=firing.mode,
                    state=firing.state,
                )  # fmt: skip
                self._courses.begin(firing, event)
        skipped = sum(firing.state == "skipped" for firing, _ in firings)
        return Taken(tuple(new), len(firings) - skipped, skipped, sum(_found(in_force, arrival, new).values()))

    async def _match(self, in_force: InForce, events: Sequence[Event]) -> dict[str, list[Match]]:
        matches: dict[str, list[Match]] = {}
        for number, event in enumerate(events):
            matches[event.id] = match(self._language, in_force.rules, event, self._clock.now())
            if number % AT_A_TIME == AT_A_TIME - 1:
                await anyio.lowlevel.checkpoint()
        return matches

    def _record(
        self,
        tx: Tx,
        in_force: InForce,
        arrival: Arrival,
        matches: dict[str, list[Match]],
        also: Callable[[Tx], None] | None,
    ) -> tuple[list[Event], list[tuple[Firing, Event]]]:
        new: list[Event] = []
        firings: list[tuple[Firing, Event]] = []
        for event in arrival.events:
            if not journal.put_event(tx, event):
                continue
            new.append(event)
            for found in matches[event.id]:
                firing = _decide(tx, in_force, found, event)
                if firing is not None:
                    journal.put_firing(tx, firing)
                    firings.append((firing, event))
        seen.put_arrival(
            tx,
            arrival.tenant,
            arrival.source,
            arrival.seen,
            arrival.cursor,
            place=arrival.place,
            forget_before=arrival.forget_before,
        )
        put_changes(tx, arrival.tenant, arrival.source, _found(in_force, arrival, new))
        if also:
            also(tx)
        return new, firings


def _found(in_force: InForce, arrival: Arrival, new: Sequence[Event]) -> Mapping[tuple[str, datetime], int]:
    """What a poll was the first to tell of, and some rule listens to, by part and time: what pacing learns from."""
    if arrival.part is None:
        return {}
    part = arrival.part
    return Counter(
        (part, event.time)
        for event in new
        if in_force.rules.of_type(event.type) and not (event.instance and event.instance.id in arrival.hinted)
    )


def permit_again(tx: Tx, firing: Firing, event: Event) -> str:
    """Why a firing that waited may not begin now, or "": the guards of its rule as it was when the firing was born."""
    rule = Rule.from_json(firing.plan)
    verdict = permit(rule, event, _history(tx, rule, firing.key, event, besides=firing.id), tx.now)
    return verdict.reason


def _decide(tx: Tx, in_force: InForce, found: Match, event: Event) -> Firing | None:
    """The firing of a match, permitted or skipped with its reason; None where the condition is plainly false."""
    rule = found.rule
    if found.verdict == FALSE:
        return None
    firing = Firing(
        id=f"fi_{uuid.uuid4().hex[:20]}",
        event_id=event.id,
        tenant=event.tenant,
        rule=rule.id,
        rule_hash=rule.hash,
        mode=in_force.mode_of(rule),
        key=found.key,
        plan=rule.to_json(),
        state="ready",
        created_at=tx.now,
    )
    if not found.verdict.holds:
        return replace(firing, state="skipped", reason=found.verdict.reason, ended_at=tx.now)
    verdict = permit(rule, event, _history(tx, rule, found.key, event), tx.now)
    state = _state(rule, verdict)
    if state == "queued":
        journal.supersede_queued(tx, event.tenant, rule.id, found.key, firing.id)
    return replace(
        firing,
        state=state,
        reason=verdict.reason,
        wake_at=tx.now + rule.hold if state == "waiting" and rule.hold else None,
        started_at=tx.now if state == "ready" else None,
        ended_at=tx.now if state == "skipped" else None,
    )


def _state(rule: Rule, verdict: Verdict) -> FiringState:
    if verdict.queue:
        return "queued"
    if not verdict.allowed:
        return "skipped"
    return "waiting" if rule.hold else "ready"


def _history(tx: Tx, rule: Rule, key: str, event: Event, *, besides: str = "") -> History:
    window = rule.limits.firings.per if rule.limits.firings else timedelta()
    past = history.past(tx, event.tenant, rule.id, key, window=window, besides=besides)
    own = rule.id in history.rules_behind(tx, event.caused_by)
    return History(
        last_started=past.last_started,
        busy=past.busy > 0,
        own_firings=(
            history.own_firings(tx, event.tenant, rule.id, key, since=tx.now - DAY, besides=besides) if own else 0
        ),
        caused_by_own=own,
        firings_in_window=past.started_in_window,
    )


def _asks_for_cause(event: Event) -> bool:
    return not event.caused_by and bool(target_of(event))


def _with_cause(tx: Snapshot, event: Event) -> Event:
    """The event with the action of ours that it follows from, if there was one within a day."""
    if not _asks_for_cause(event):
        return event
    return replace(
        event, caused_by=cause_of(event, history.writes_on(tx, event.tenant, target_of(event), tx.now - DAY))
    )
