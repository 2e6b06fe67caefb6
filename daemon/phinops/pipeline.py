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
from phinops.decide.decision import Facts, decide
from phinops.decide.language import Language
from phinops.decide.match import Match, match
from phinops.decide.permit import History, permit
from phinops.decide.rule import Rule, RuleSet
from phinops.event import Event
from phinops.firing import Firing, Mode
from phinops.record import history, journal, rulesets, seen
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

    @property
    def hash(self) -> str:
        """The name of this very set: what is in force, and whether it may act."""
        return self.rules.hash + ("-shadow" if self.shadow else "")

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
        self._kept: set[str] = set()

    async def take(self, arrival: Arrival, *, also: Callable[[Tx], None] | None = None) -> Taken:
        """Make the arrival durable with all that follows from it, then let its firings begin.

        `also` runs in the same transaction, for what must not be recorded without the events.

        Raises:
            StoreError: nothing was recorded; the same arrival may be brought again.
        """
        if any(map(_asks_for_cause, arrival.events)):
            found = await self._store.read(lambda tx: tuple(_with_cause(tx, event) for event in arrival.events))
            arrival = replace(arrival, events=found)
        in_force, now = self._in_force(), self._clock.now()
        matches = await self._match(in_force, arrival.events, now)
        new, firings = await self._store.write(
            lambda tx: self._record(tx, in_force, arrival, _Matched(now, matches), also)
        )
        self._kept.add(in_force.hash)
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
    ) -> tuple[list[Event], list[tuple[Firing, Event]]]:
        new: list[Event] = []
        firings: list[tuple[Firing, Event]] = []
        if in_force.hash not in self._kept:
            versions = [(rule.hash, rule.id, rule.to_json()) for rule in in_force.rules]
            rulesets.put_set(tx, in_force.hash, versions, shadow=in_force.shadow)
        for event in arrival.events:
            if not journal.put_event(tx, event, rule_set=in_force.hash, at=matched.at):
                continue
            new.append(event)
            for found in matched.by_event[event.id]:
                firing = _firing(tx, in_force, found, event)
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


def _firing(tx: Tx, in_force: InForce, found: Match, event: Event) -> Firing | None:
    """The firing of a match, permitted or skipped with its reason; None where nothing follows from it."""
    rule = found.rule
    # The past is read for what may fire only: it takes queries, and an event is looked at by many rules.
    past = _history(tx, rule, found.key, event) if found.verdict.holds else History()
    facts = Facts(tx.now, past)
    decision = decide(found, event, facts)
    if decision.state == "no":
        return None
    firing = Firing(
        id=f"fi_{uuid.uuid4().hex[:20]}",
        event_id=event.id,
        tenant=event.tenant,
        rule=rule.id,
        rule_hash=rule.hash,
        mode=in_force.mode_of(rule),
        key=decision.key,
        plan=rule.to_json(),
        state=decision.state,
        reason=decision.reason,
        wake_at=decision.wake_at,
        created_at=tx.now,
        started_at=tx.now if decision.state == "ready" else None,
        ended_at=tx.now if decision.state == "skipped" else None,
        facts=facts.to_json(),
    )
    if firing.state == "queued":
        journal.supersede_queued(tx, event.tenant, rule.id, firing.key, firing.id)
    return firing


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
