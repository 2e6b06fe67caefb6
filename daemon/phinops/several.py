"""Rules over several events: what each event is to its window, recorded with what follows when the pattern is made."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from phinops.decide.decision import Facts, decide
from phinops.decide.language import Language
from phinops.decide.match import Match, judge
from phinops.decide.pattern import Pattern
from phinops.decide.permit import History, may_count
from phinops.decide.window import Standing, answered, company, completed, standing, waits_for
from phinops.event import Event
from phinops.firing import Firing, Seen
from phinops.record import journal, windows
from phinops.record.tx import Tx
from phinops.record.windows import Window
from phinops.recording import InForce, Outcome, past_of, record_firing, settle_in

_EVER = datetime.max.replace(tzinfo=UTC)


class Several:
    """Runs where the store's transactions run: `language` is one of its own, for conditions that ask in there."""

    def __init__(self, language: Language) -> None:
        self._language = language

    def take(self, tx: Tx, in_force: InForce, found: Match, event: Event, outcome: Outcome) -> None:
        """Record what the event is to the rule of the match, which has a pattern, and what follows from that."""
        rule = found.rule
        assert rule.pattern
        window = Window(event.tenant, rule.id, rule.window, found.key)
        if event.type == rule.pattern.awaited:
            _answer(tx, rule.pattern, window, event, outcome)
        elif rule.pattern.kind == "absent":
            self._wait(tx, in_force, found, window, event, outcome)
        else:
            self._count(tx, in_force, found, window, event, outcome)
        windows.lapse(tx, window, rule.pattern.within)

    def _count(self, tx: Tx, in_force: InForce, found: Match, window: Window, event: Event, outcome: Outcome) -> None:
        rule = found.rule
        assert rule.pattern
        within = rule.pattern.within
        seen = windows.open_counted(tx, window, event.time - within, event.time + within)
        seen.append(Seen(event.id, event.type, event.time, tx.now))
        before = company(rule.pattern, seen, event.id)
        found = self._asked(tx, found, event, before)
        members = completed(rule.pattern, seen)
        events = _events(tx, members, event)
        facts = Facts(
            tx.now,
            past_of(tx, rule, found.key, events) if members and found.verdict.holds else History(),
            standing(rule.pattern, members or before, _ids(before) if found.asks else ()),
        )
        decision = decide(found, event, facts)
        if decision.state == "no":
            _note(tx, found, window, event, facts)
            return
        counts = found.verdict.holds and not may_count(rule, event, tx.now)
        if counts:
            windows.put_counted(tx, window, event, facts.to_json())
        if decision.state == "counted":
            return
        about = events[-1] if counts else event
        firing = record_firing(tx, in_force, rule, about, decision, facts)
        if counts:
            windows.claim(tx, window, firing.id, _ids(members), members[-1].at)
        settle_in(tx, firing, about, outcome)

    def _wait(self, tx: Tx, in_force: InForce, found: Match, window: Window, event: Event, outcome: Outcome) -> None:
        """The first of a wait opens a firing; those that follow while it lasts join it."""
        rule = found.rule
        assert rule.pattern
        lasting = [each for each in windows.waiting_for_absence(tx, window) if _lasts(each, tx.now)]
        current = lasting[-1] if lasting else None
        before = (
            *(windows.counted_of(tx, current.id) if current else ()),
            Seen(event.id, event.type, event.time, tx.now),
        )
        found = self._asked(tx, found, event, before)
        answers = [each for each in windows.open_counted(tx, window, event.time, _EVER) if each.at > event.time]
        found_so = Standing(
            seen=len(before),
            until=current.wake_at if current else tx.now + rule.pattern.within,
            firing=current.id if current else "",
            answer=answers[0].event_id if answers else "",
            before=_ids(before) if found.asks else (),
        )
        facts = Facts(tx.now, History(), found_so)
        decision = decide(found, event, facts)
        if decision.state == "counted" and current:
            windows.put_counted(tx, window, event, facts.to_json(), current.id)
            if all(event.time >= each.at for each in before):
                windows.join(tx, current.id, event)
        elif decision.state == "no":
            _note(tx, found, window, event, facts)
        else:
            firing = record_firing(tx, in_force, rule, event, decision, facts)
            if firing.state == "waiting":
                windows.put_counted(tx, window, event, facts.to_json(), firing.id)
            outcome.firings.append((firing, event))

    def _asked(self, tx: Tx, found: Match, event: Event, seen: Sequence[Seen]) -> Match:
        """The match with the verdict of a condition that speaks of the events that count together."""
        if not found.asks:
            return found
        judged = judge(self._language, found.rule, event, tx.now, _events(tx, seen, event))
        return replace(judged, asks=True)


def _note(tx: Tx, found: Match, window: Window, event: Event, facts: Facts) -> None:
    """Remember with which events a condition was asked that did not hold; the event counts for nothing."""
    if found.asks:
        windows.put_counted(tx, window, event, facts.to_json(), "")


def _answer(tx: Tx, pattern: Pattern, window: Window, event: Event, outcome: Outcome) -> None:
    """What must not come has come: the firings that wait for its absence end, as far as they are about what it answers.

    What happened after it has not been answered: it waits on, as if it had been the first.
    """
    ended: list[Firing] = []
    for firing in windows.waiting_for_absence(tx, window):
        done, rest = answered(windows.counted_of(tx, firing.id), event.time)
        if not done:
            continue
        journal.end(tx, firing.id, "skipped", f"{pattern.awaited} came ({event.id})")
        ended.append(firing)
        outcome.disturbed.append(firing.id)
        if rest:
            outcome.firings.append(_wait_on(tx, pattern, firing, rest))
    facts = Facts(tx.now, History(), Standing(firing=ended[0].id if ended else ""))
    windows.put_counted(tx, window, event, facts.to_json())


def _wait_on(tx: Tx, pattern: Pattern, before: Firing, rest: Sequence[Seen]) -> tuple[Firing, Event]:
    came = min(each.came for each in rest)
    event = journal.event_of(tx, rest[-1].event_id)
    assert event
    until = came + pattern.within
    firing = replace(
        before,
        id=f"fi_{uuid.uuid4().hex[:20]}",
        event_id=event.id,
        state="waiting",
        reason=waits_for(pattern),
        wake_at=until,
        created_at=came,
        facts=Facts(tx.now, History(), Standing(seen=len(rest), until=until)).to_json(),
    )
    journal.put_firing(tx, firing)
    windows.hand_over(tx, before.id, firing.id, _ids(rest))
    return firing, event


def _lasts(firing: Firing, now: datetime) -> bool:
    return firing.state == "waiting" and firing.wake_at is not None and firing.wake_at > now


def _events(tx: Tx, seen: Sequence[Seen], event: Event) -> tuple[Event, ...]:
    """The events themselves; `event` alone where none are asked for."""
    found = (event if each.event_id == event.id else journal.event_of(tx, each.event_id) for each in seen)
    return tuple(each for each in found if each is not None) or (event,)


def _ids(seen: Sequence[Seen]) -> tuple[str, ...]:
    return tuple(each.event_id for each in seen)
