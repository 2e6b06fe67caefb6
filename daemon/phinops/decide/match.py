"""Which rules an event speaks to, on which key, and whether their conditions hold of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from phinops.decide.conditions import speaks_of_events
from phinops.decide.language import TRUE, Language
from phinops.decide.rule import Rule, RuleSet
from phinops.decide.scope import CannotEvaluate, Scope, Truth
from phinops.event import Event


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that looks at the event. `key` is "" where the verdict is no.

    `asks`: the condition speaks of the events that counted before, so the verdict is not its own yet.
    """

    rule: Rule
    key: str
    verdict: Truth
    asks: bool = False


def match(language: Language, rules: RuleSet, event: Event, now: datetime) -> list[Match]:
    """One match for each rule that looks at events of this type, in the order of the files, true or not.

    The event is made ready for conditions once, whatever the number of rules.
    """
    return [judge(language, rule, event, now) for rule in rules.of_type(event.type) if _is_its_own(rule, event)]


def judge(language: Language, rule: Rule, event: Event, now: datetime, events: Sequence[Event] | None = None) -> Match:
    """What the rule says of the event now.

    `events` are those that count together for a rule over several, this one among them. Where its condition speaks of
    them and they are not given, the match asks for them.
    """
    scope = Scope(event, now, vars=rule.vars, inputs=rule.inputs, events=events or ())
    asks = events is None and rule.pattern is not None and speaks_of_events(rule.condition)
    # What is to stay away is known by its key alone.
    awaited = rule.pattern is not None and event.type == rule.pattern.awaited
    verdict = TRUE if asks or awaited else language.holds(rule.condition, scope)
    if not verdict.holds:
        return Match(rule, "", verdict)
    try:
        key = language.value(rule.key, scope) if rule.key else default_key(rule, event)
        return Match(rule, key, verdict, asks=asks and not awaited)
    except CannotEvaluate as error:
        alone = language.holds(rule.condition, replace(scope, events=(event,))) if asks and not awaited else TRUE
        keyless = Truth(False, f"key cannot be evaluated: {error}", known=False)
        return Match(rule, "", keyless if alone.holds else alone)


def looks_at(rule: Rule, event: Event) -> bool:
    """Whether the rule looks at the event at all."""
    return event.type in rule.types and _is_its_own(rule, event)


def _is_its_own(rule: Rule, event: Event) -> bool:
    """A rule looks at no schedule but its own, nor at what lasts too long for another.

    A schedule's event names its rule; one that names none goes by the cron.
    """
    if rule.lasting is not None:
        return rule.lasting.is_of(event)
    if not rule.cron or event.schedule is None:
        return True
    owner = event.raw.get("rule") if isinstance(event.raw, dict) else None
    return owner == rule.id if owner else event.schedule.cron == rule.cron


def default_key(rule: Rule, event: Event) -> str:
    """What a rule without `key` is keyed on: the event's object; the rule where there is none, as for a schedule, and
    where several events must come together.

    So is an event that a rule emitted: what rules cause themselves is counted by key.
    """
    if rule.pattern is not None:
        return rule.id
    if event.instance is not None:
        return event.instance.id
    if event.alert is not None:
        return event.alert.id
    if event.api is not None:
        return f"{event.project.id}/{event.api.id}"
    if event.type.startswith("hook."):
        return event.id
    return rule.id
