"""What a reload, or a start with other rules, makes of what waits: kept, decided anew, or dropped.

What runs is left alone: it ends on the version that it began with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from phinops.clock import Clock
from phinops.decide.decision import Facts, holds_off
from phinops.decide.language import Language
from phinops.decide.match import Match, judge, looks_at
from phinops.decide.permit import History, may_count, permit
from phinops.decide.rule import Rule
from phinops.decide.window import company, completed, standing, waits_for, words
from phinops.event import Event, JsonObject
from phinops.firing import Firing, Seen
from phinops.record import journal, turns, windows
from phinops.record.sqlite import Store
from phinops.record.tx import Snapshot, Tx
from phinops.recording import InForce, Outcome, past_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Carried:
    """How much was kept, decided anew and dropped: of the firings that waited, and of the windows that were open."""

    firings: Mapping[str, int]
    windows: Mapping[str, int]

    def to_json(self) -> JsonObject:
        """The counts, those that are 0 left out."""
        return {name: dict(each) for name, each in (("waiting", self.firings), ("windows", self.windows)) if each}


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A firing that waits, with its events, and what the rule that is to be in force says of it, if there is one."""

    firing: Firing
    event: Event
    events: tuple[Event, ...]
    match: Match | None = None


async def carry_over(store: Store, language: Language, in_force: InForce, clock: Clock) -> tuple[Carried, Outcome]:
    """Make what waits fit the rules that are to be in force, in one transaction; nothing may be recorded meanwhile.

    Raises:
        StoreError: nothing was changed.
    """
    waiting = [_judged(language, in_force, each, clock.now()) for each in await store.read(_waiting)]
    carried, outcome = await store.write(lambda tx: _carry(tx, in_force, waiting))
    if carried.firings or carried.windows:
        log.info("rules.carried_over", waiting=dict(carried.firings), windows=dict(carried.windows))
    return carried, outcome


def _waiting(tx: Snapshot) -> list[_Waiting]:
    found = []
    for firing in journal.open_firings(tx):
        event = journal.event_of(tx, firing.event_id)
        if firing.state in ("waiting", "queued") and event is not None:
            found.append(_Waiting(firing, event, windows.events_of(tx, firing.id)))
    return found


def _judged(language: Language, in_force: InForce, each: _Waiting, now: datetime) -> _Waiting:
    rule = in_force.rules.get(each.firing.rule)
    if rule is None or _same(in_force, rule, each.firing) or not looks_at(rule, each.event):
        return each
    return replace(each, match=judge(language, rule, each.event, now, each.events or (each.event,)))


def _same(in_force: InForce, rule: Rule, firing: Firing) -> bool:
    return rule.hash == firing.rule_hash and in_force.mode_of(rule) == firing.mode


def _carry(tx: Tx, in_force: InForce, waiting: Sequence[_Waiting]) -> tuple[Carried, Outcome]:
    firings: Counter[str] = Counter()
    outcome = Outcome()
    freed: dict[tuple[str, str, str], None] = {}
    for each in waiting:
        now = journal.firing_of(tx, each.firing.id)
        if now is None or now.state not in ("waiting", "queued"):
            continue  # it has begun, or ended, since it was judged
        each = replace(each, firing=now)
        what = _carry_one(tx, in_force, each, outcome)
        firings[what] += 1
        if what != "kept":
            outcome.disturbed.append(now.id)
            freed[now.tenant, now.rule, now.key] = None
    for key in freed:
        turn = turns.take_turn(tx, *key)
        if turn:
            outcome.firings.append(turn)
    return Carried(firings, _carry_windows(tx, in_force)), outcome


def _carry_one(tx: Tx, in_force: InForce, each: _Waiting, outcome: Outcome) -> str:
    rule = in_force.rules.get(each.firing.rule)
    if rule is not None and _same(in_force, rule, each.firing):
        return "kept"
    reason = "its rule is not in force any more" if rule is None else _obstacle(tx, rule, each)
    if rule is None or reason:
        journal.end(tx, each.firing.id, "skipped", reason)
        return "dropped"
    return _decide_anew(tx, in_force, rule, each, outcome)


def _obstacle(tx: Tx, rule: Rule, each: _Waiting) -> str:
    """Why the new version of the rule would not have made the firing, or ""."""
    before = Rule.from_json(each.firing.plan).pattern
    if each.match is None:
        return f"its rule no longer looks at {each.event.type}"
    if (before and (before.kind, before.types)) != (rule.pattern and (rule.pattern.kind, rule.pattern.types)):
        return "its rule waits for other events now"
    if not each.match.verdict.holds:
        return f"of its rule's new version, {each.match.verdict.reason}"
    if rule.pattern is None or rule.pattern.awaited:
        return ""
    seen = _seen(tx, each.firing)
    if completed(rule.pattern, seen):
        return ""
    group = company(rule.pattern, seen, each.event.id)
    return f"of its rule's new version, {words(rule.pattern, standing(rule.pattern, group), tx.now)}"


def _decide_anew(tx: Tx, in_force: InForce, rule: Rule, each: _Waiting, outcome: Outcome) -> str:
    """By the new version, with the time that it has waited counted."""
    assert each.match
    key = each.match.key
    events = each.events or (each.event,)
    absent = rule.pattern is not None and bool(rule.pattern.awaited)
    if absent and rule.pattern:  # the past is asked when its time is over
        past, queue, reason = History(), False, waits_for(rule.pattern)
        objection = may_count(rule, each.event, tx.now)
    else:
        past = past_of(tx, rule, key, events, besides=each.firing.id)
        verdict = permit(rule, each.event, past, tx.now)
        queue, reason = verdict.queue, verdict.reason or (holds_off(rule.hold) if rule.hold else "")
        objection = "" if verdict.allowed or queue else verdict.reason
    if objection:
        journal.end(tx, each.firing.id, "skipped", objection)
        return "dropped"
    firing = replace(
        each.firing,
        rule_hash=rule.hash,
        mode=in_force.mode_of(rule),
        key=key,
        plan=rule.to_json(),
        state="waiting",
        reason=reason,
        facts=Facts(tx.now, past).to_json(),
    )
    seen = min((one.came for one in _seen(tx, firing)), default=tx.now) if absent else firing.created_at or tx.now
    firing = replace(firing, wake_at=max(tx.now, turns.due(firing, seen)))
    journal.put_again(tx, firing)
    if queue:
        outcome.disturbed.extend(turns.queue_up(tx, firing, reason))
    else:
        outcome.firings.append((firing, each.event))
    return "anew"


def _seen(tx: Snapshot, firing: Firing) -> list[Seen]:
    return windows.counted_of(tx, firing.id)


def _carry_windows(tx: Tx, in_force: InForce) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for (rule_id, pattern), number in windows.open_windows(tx).items():
        rule = in_force.rules.get(rule_id)
        if rule is not None and rule.window == pattern:
            counts["kept"] += number
        else:
            windows.drop_windows(tx, rule_id, pattern)
            counts["dropped"] += number
    return counts
