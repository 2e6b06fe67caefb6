"""Rules that wake each other without end: what a rule's steps cause is looked up in what rules listen to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from phinops.decide.permit import OWN_FIRINGS
from phinops.decide.rule import Rule, RuleStep, StepKind
from phinops.event import STATE_EVENTS
from phinops.problem import Problem

SETTLED, LEASE_ENDED = "action.settled", "lease.ended"

_RUN_AGAIN = frozenset(STATE_EVENTS.values())
CAUSES: Mapping[str, frozenset[str]] = {
    "rerun_instance": _RUN_AGAIN,
    "fix_data": _RUN_AGAIN,
    "resume_instance": _RUN_AGAIN,
    "terminate_instance": frozenset({"instance.failed"}),
    "set_instance_success": frozenset({"instance.succeeded"}),
}
"""The events that follow when a step has done its work."""

_ENDS = frozenset({"terminate_instance", "set_instance_success"})
"""Steps that bring an instance to a state that it cannot enter again: one that is there already stays as it is."""

_TEXT = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")
_READ = re.compile(r"\b(?:event(?:\s*\.\s*\w+)*|now|steps)\b")
_STEADY = re.compile(
    r"event\.(?:tenant|source|project|api|node\.(?:id|name|type|sub_type|priority|owners|schedule_period)"
    r"|instance\.(?:id|status|biz_date|due_time)|alert\.(?:id|object|unique_key|biz_date))\b"
)
"""What is the same of each event of a loop, so that a condition on it lets all of them pass or none."""


@dataclass(frozen=True, slots=True)
class _Wake:
    """That a rule can wake another by an event of this type."""

    event: str
    rule: Rule


def endless_loops(rules: Iterable[Rule], kinds: Mapping[str, StepKind]) -> Iterator[Problem]:
    """A warning for each circle of rules that can go on for ever, where its first rule stands.

    Rules that are off do nothing, and one over several events, or one that has a cooldown, `limits.firings` or a
    condition that what happens can make false, ends a circle.
    """
    going_on = [rule for rule in rules if rule.mode != "off" and not _ends(rule)]
    listening: dict[str, list[Rule]] = {}
    for rule in going_on:
        for kind in rule.types:
            listening.setdefault(kind, []).append(rule)
    wakes = {
        rule.id: [_Wake(event, other) for event in _causes(rule, kinds) for other in listening.get(event, ())]
        for rule in going_on
    }
    told: set[str] = set()
    for rule in going_on:
        circle = [] if rule.id in told else _circle(rule, wakes)
        if circle:
            told |= {wake.rule.id for wake in circle}
            yield Problem(rule.file, rule.line, rule.column, "endless-loop", _told(rule, circle), "warning")


def _ends(rule: Rule) -> bool:
    """Whether something of the rule's own bounds how often it fires, or must come from elsewhere too."""
    return bool(rule.cooldown or rule.limits.firings or rule.pattern or _may_change(rule.condition, rule.types))


def _may_change(condition: str, types: tuple[str, ...]) -> bool:
    """Whether the condition speaks of something that may differ from one event of a loop to the next."""
    for found in _READ.findall(_TEXT.sub('""', condition)):
        path = re.sub(r"\s", "", found)
        if not _STEADY.match(path) and not (path == "event.type" and len(types) == 1):
            return True
    return False


def _causes(rule: Rule, kinds: Mapping[str, StepKind]) -> list[str]:
    """The types of events that the rule's steps bring about whenever it fires, in the order of the steps."""
    found: dict[str, None] = {}
    for step in rule.steps:
        if step.kind == "approve" and not step.condition:
            break  # what people are asked for each time does not go on by itself
        if not _may_change(step.condition, rule.types):
            found |= dict.fromkeys(sorted(_caused_by(step, rule, kinds)))
    return list(found)


def _caused_by(step: RuleStep, rule: Rule, kinds: Mapping[str, StepKind]) -> set[str]:
    if step.kind == "emit":
        return {step.params["type"]}
    events = set(CAUSES.get(step.kind, ()))
    if step.kind in _ENDS:
        events -= set(rule.types)
    if step.params.get("lease"):
        events.add(LEASE_ENDED)
    return events | ({SETTLED} if _writes(step, kinds) else set())


def _writes(step: RuleStep, kinds: Mapping[str, StepKind]) -> bool:
    kind = kinds.get(step.kind)
    params: Any = kind.params.model_validate(step.params) if kind else None
    return kind is not None and kind.writes(params)


def _circle(first: Rule, wakes: Mapping[str, list[_Wake]]) -> list[_Wake]:
    """The shortest way from the rule back to itself, or []."""
    ways: list[list[_Wake]] = [[]]
    seen: set[str] = set()
    for way in ways:  # grows while it is gone through
        here = way[-1].rule.id if way else first.id
        for wake in wakes[here]:
            if wake.rule.id == first.id:
                return [*way, wake]
            if wake.rule.id not in seen:
                seen.add(wake.rule.id)
                ways.append([*way, wake])
    return []


def _told(first: Rule, circle: list[_Wake]) -> str:
    bound = f"nothing but the {OWN_FIRINGS} firings that a rule may cause itself a key and day"
    attempts = " such as `event.instance.attempts < 3`" if circle[-1].event.startswith("instance.") else ""
    cure = f"give {'it' if len(circle) == 1 else 'one of them'} a «cooldown», «limits.firings» or an «if» that ends it"
    if len(circle) == 1:
        return f"«{first.id}» wakes itself by {circle[0].event}, and {bound} ends that: {cure}{attempts}"
    way = ", which ".join(f"wakes «{wake.rule.id}» by {wake.event}" for wake in circle)
    return f"«{first.id}» {way}, and {bound} ends that: {cure}{attempts}"
