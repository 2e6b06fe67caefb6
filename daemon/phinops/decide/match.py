"""Which rules an event speaks to, on which key, and whether their conditions hold of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from phinops.decide.language import Language
from phinops.decide.rule import Rule, RuleSet
from phinops.decide.scope import CannotEvaluate, Scope, Truth
from phinops.event import Event


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that looks at the event. `key` is "" where the verdict is no."""

    rule: Rule
    key: str
    verdict: Truth


def match(language: Language, rules: RuleSet, event: Event, now: datetime) -> list[Match]:
    """One match for each rule that looks at events of this type, in the order of the files, true or not.

    The event is made ready for conditions once, whatever the number of rules.
    """
    return [judge(language, rule, event, now) for rule in rules.of_type(event.type) if _is_its_own(rule, event)]


def judge(language: Language, rule: Rule, event: Event, now: datetime) -> Match:
    """What the rule says of the event now."""
    scope = Scope(event, now, vars=rule.vars, inputs=rule.inputs)
    verdict = language.holds(rule.condition, scope)
    if not verdict.holds:
        return Match(rule, "", verdict)
    try:
        return Match(rule, language.value(rule.key, scope) if rule.key else default_key(rule, event), verdict)
    except CannotEvaluate as error:
        return Match(rule, "", Truth(False, f"key cannot be evaluated: {error}"))


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
    """What a rule without `key` is keyed on: the event's object; for a schedule, and where there is none, the rule.

    So is an event that a rule emitted: what rules cause themselves is counted by key.
    """
    if event.instance is not None:
        return event.instance.id
    if event.alert is not None:
        return event.alert.id
    if event.api is not None:
        return f"{event.project.id}/{event.api.id}"
    if event.type.startswith("hook."):
        return event.id
    return rule.id
