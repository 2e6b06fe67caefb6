"""From a decision to a firing, within the transaction that records what was decided on."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import Any

from phinops.decide.decision import Decision, Facts
from phinops.decide.permit import History, Verdict, permit
from phinops.decide.rule import Rule, RuleSet
from phinops.event import Event
from phinops.firing import Firing, Mode
from phinops.record import history, journal, silences, turns, windows
from phinops.record.tx import Snapshot, Tx

DAY = timedelta(hours=24)


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
class Outcome:
    """What follows from what was recorded, once that is committed.

    `firings` are new, each with its event; the rows of `disturbed` have changed under those who carry them.
    """

    firings: list[tuple[Firing, Event]] = field(default_factory=list)
    disturbed: list[str] = field(default_factory=list)


def record_firing(tx: Tx, in_force: InForce, rule: Rule, event: Event, decision: Decision, facts: Facts) -> Firing:
    """The firing of a decision that is more than a place among others, recorded."""
    state: Any = decision.state
    firing = Firing(
        id=f"fi_{uuid.uuid4().hex[:20]}",
        event_id=event.id,
        tenant=event.tenant,
        rule=rule.id,
        rule_hash=rule.hash,
        mode=in_force.mode_of(rule),
        key=decision.key,
        plan=rule.to_json(),
        state=state,
        reason=decision.reason,
        wake_at=decision.wake_at,
        created_at=tx.now,
        started_at=tx.now if state == "ready" else None,
        ended_at=tx.now if state == "skipped" else None,
        facts=facts.to_json(),
    )
    journal.put_firing(tx, firing)
    return firing


def settle_in(tx: Tx, firing: Firing, event: Event, outcome: Outcome) -> None:
    """Give a recorded firing its place on its key: where it waits, an older one that waited gives way to it, and under
    `restart` also what holds the key.
    """
    if firing.state == "queued":
        outcome.disturbed.extend(turns.queue_up(tx, firing, firing.reason))
        firing, event = turns.take_turn(tx, firing.tenant, firing.rule, firing.key) or (firing, event)
    outcome.firings.append((firing, event))


def past_of(tx: Snapshot, rule: Rule, key: str, events: Iterable[Event], *, besides: str = "") -> History:
    """What the guards of a rule over one event or several read of its past on the key, `besides` one firing."""
    window = rule.limits.firings.per if rule.limits.firings else timedelta()
    events = tuple(events)
    tenant = events[0].tenant
    past = history.past(tx, tenant, rule.id, key, window=window, besides=besides)
    own = any(rule.id in history.rules_behind(tx, event.caused_by) for event in events)
    since = tx.now - DAY
    return History(
        last_started=past.last_started,
        busy=past.busy > 0,
        own_firings=history.own_firings(tx, tenant, rule.id, key, since=since, besides=besides) if own else 0,
        caused_by_own=own,
        firings_in_window=past.started_in_window,
        silenced=_silenced(tx, rule.id, events),
    )


def _silenced(tx: Snapshot, rule: str, events: Iterable[Event]) -> str:
    """Which silence covers the rule on any of these events, in words, or ""."""
    running = silences.running_silences(tx, tx.now)
    for event in events if running else ():
        for each in running:
            if each.covers(rule, event):
                return each.words(event.time.tzinfo or UTC)
    return ""


def permit_again(tx: Tx, firing: Firing, event: Event) -> Verdict:
    """Whether a firing that waited may begin now: the guards of its rule as the firing keeps it."""
    rule = Rule.from_json(firing.plan)
    events = (event, *(windows.events_of(tx, firing.id) if rule.pattern else ()))
    return permit(rule, event, past_of(tx, rule, firing.key, events, besides=firing.id), tx.now)
