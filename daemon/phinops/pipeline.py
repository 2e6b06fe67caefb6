"""The way of every event: matched, permitted, recorded with what follows from it in one transaction, begun."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime

import anyio.lowlevel
import structlog

from phinops.arrive.arrival import Arrival
from phinops.cause import cause_of, target_of
from phinops.clock import Clock
from phinops.course import Courses
from phinops.decide.decision import Facts, decide
from phinops.decide.language import Language
from phinops.decide.match import Match, match
from phinops.decide.permit import History
from phinops.event import Event
from phinops.record import history, journal, rulesets, seen
from phinops.record.changes import put_changes
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot, Tx
from phinops.recording import DAY, InForce, Outcome, past_of, record_firing, settle_in
from phinops.several import Several
from phinops.sluice import Sluice

log = structlog.get_logger(__name__)

AT_A_TIME = 50
"""Events matched before other tasks get their turn."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What an arrival brought: the events that were new, and how many firings began or were skipped.

    `found` counts the new events that some rule listens to and that a poll was the first to tell of.
    """

    new: tuple[Event, ...]
    begun: int
    skipped: int
    found: int = 0


@dataclass(frozen=True, slots=True)
class _Matched:
    """What the rules said of each event, by its id, and when they were asked."""

    at: datetime
    by_event: Mapping[str, Sequence[Match]]


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
        self._several = Several(language.twin())
        self._sluice = Sluice()
        self._kept: set[str] = set()

    async def take(self, arrival: Arrival, *, also: Callable[[Tx], None] | None = None) -> Taken:
        """Make the arrival durable with all that follows from it, then let its firings begin.

        `also` runs in the same transaction, for what must not be recorded without the events.

        Raises:
            StoreError: nothing was recorded; the same arrival may be brought again.
        """
        async with self._sluice.passing():
            taken, outcome = await self._take(arrival, also)
        self.go_on(outcome)
        return taken

    def halted(self) -> AbstractAsyncContextManager[None]:
        """While inside, nothing is decided and recorded; what arrives waits. For putting other rules in force."""
        return self._sluice.closed()

    async def _take(self, arrival: Arrival, also: Callable[[Tx], None] | None) -> tuple[Taken, Outcome]:
        if any(map(_asks_for_cause, arrival.events)):
            found = await self._store.read(lambda tx: tuple(_with_cause(tx, event) for event in arrival.events))
            arrival = replace(arrival, events=found)
        in_force, now = self._in_force(), self._clock.now()
        matches = await self._match(in_force, arrival.events, now)
        new, outcome = await self._store.write(
            lambda tx: self._record(tx, in_force, arrival, _Matched(now, matches), also)
        )
        self._kept.add(in_force.hash)
        self._tell(new)
        skipped = sum(firing.state == "skipped" for firing, _ in outcome.firings)
        begun = len(outcome.firings) - skipped
        return Taken(tuple(new), begun, skipped, sum(_found(in_force, arrival, new).values())), outcome

    def forget_sets(self) -> None:
        """Keep the set of rules anew with the next arrival. May be called from within an op of the store."""
        self._kept.clear()

    def go_on(self, outcome: Outcome) -> None:
        """Let what was recorded take its course."""
        for firing, event in outcome.firings:
            if firing.state == "skipped":
                log.info("rule.skipped", rule=firing.rule, event_id=event.id, reason=firing.reason)
            else:
                log.info(
                    "rule.fired", rule=firing.rule, event_id=event.id, firing=firing.id, mode=firing.mode,
                    state=firing.state,
                )  # fmt: skip
                self._courses.begin(firing, event)
        for firing_id in outcome.disturbed:
            self._courses.disturb(firing_id)

    async def _match(self, in_force: InForce, events: Sequence[Event], now: datetime) -> dict[str, list[Match]]:
        matches: dict[str, list[Match]] = {}
        for number, event in enumerate(events):
            matches[event.id] = match(self._language, in_force.rules, event, now)
            if number % AT_A_TIME == AT_A_TIME - 1:
                await anyio.lowlevel.checkpoint()
        return matches

    def _record(
        self,
        tx: Tx,
        in_force: InForce,
        arrival: Arrival,
        matched: _Matched,
        also: Callable[[Tx], None] | None,
    ) -> tuple[list[Event], Outcome]:
        new: list[Event] = []
        outcome = Outcome()
        if in_force.hash not in self._kept:
            versions = [(rule.hash, rule.id, rule.to_json()) for rule in in_force.rules]
            rulesets.put_set(tx, in_force.hash, versions, shadow=in_force.shadow)
        for event in arrival.events:
            if not journal.put_event(tx, event, rule_set=in_force.hash, at=matched.at):
                continue
            new.append(event)
            for found in matched.by_event[event.id]:
                self._decide(tx, in_force, found, event, outcome)
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
        return new, outcome

    def _decide(self, tx: Tx, in_force: InForce, found: Match, event: Event, outcome: Outcome) -> None:
        """Record what the rule of the match makes of the event."""
        if found.rule.pattern is not None and found.verdict.holds:
            self._several.take(tx, in_force, found, event, outcome)
            return
        # The past is read for what may fire only: it takes queries, and an event is looked at by many rules.
        past = past_of(tx, found.rule, found.key, [event]) if found.verdict.holds else History()
        facts = Facts(tx.now, past)
        decision = decide(found, event, facts)
        if decision.state != "no":
            settle_in(tx, record_firing(tx, in_force, found.rule, event, decision, facts), event, outcome)


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


def _asks_for_cause(event: Event) -> bool:
    return not event.caused_by and bool(target_of(event))


def _with_cause(tx: Snapshot, event: Event) -> Event:
    """The event with the action of ours that it follows from, if there was one within a day."""
    if not _asks_for_cause(event):
        return event
    return replace(
        event, caused_by=cause_of(event, history.writes_on(tx, event.tenant, target_of(event), tx.now - DAY))
    )
