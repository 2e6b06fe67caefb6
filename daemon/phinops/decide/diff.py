"""What a reload changes in what rules mean, key by key, in the words of rule files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from phinops.decide.calendar import Calendar
from phinops.decide.inputs import written
from phinops.decide.printing import written_on
from phinops.decide.rule import Rule, RuleSet
from phinops.durations import exact_duration
from phinops.event import JsonObject

_APART = frozenset({"id", "on", "cron", "lasting", "pattern", "writes", "steps", "active", "inputs", "vars"})
"""Keys of a rule's JSON that are told in another way, or follow from the rest."""

_SHORT = 60
"""Characters of a value that is shown; of a longer one it is only said that it changed."""


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One key: `old` and `new` are as they would be written, None where the rule does not say it."""

    key: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        if any(value is not None and (len(value) > _SHORT or "\n" in value) for value in (self.old, self.new)):
            return f"{self.key} changed"
        return f"{self.key}: {_shown(self.old)} -> {_shown(self.new)}"


@dataclass(frozen=True, slots=True)
class RuleChange:
    """One rule; the keys are those that changed, none of one that was added or removed."""

    rule: str
    change: Literal["added", "removed", "changed"]
    keys: tuple[KeyChange, ...] = ()

    def to_json(self) -> JsonObject:
        """The change as JSON."""
        keys = [{"key": each.key, "old": each.old, "new": each.new} for each in self.keys]
        return {"rule": self.rule, "change": self.change, "keys": keys}

    def __str__(self) -> str:
        return f"{self.rule}: {', '.join(map(str, self.keys)) or self.change}"


def differences(before: RuleSet, after: RuleSet) -> list[RuleChange]:
    """What differs, by the rules' ids."""
    old, new = {rule.id: rule for rule in before}, {rule.id: rule for rule in after}
    found = []
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            found.append(RuleChange(name, "added" if name in new else "removed"))
        elif keys := tuple(_keys(old[name], new[name])):
            found.append(RuleChange(name, "changed", keys))
    return found


def _keys(old: Rule, new: Rule) -> Iterator[KeyChange]:
    alike = [step.kind for step in old.steps] == [step.kind for step in new.steps]
    before, after = dict(_said(old, whole=not alike)), dict(_said(new, whole=not alike))
    for key in dict.fromkeys([*before, *after]):
        if before.get(key) != after.get(key):
            yield KeyChange(key, before.get(key), after.get(key))


def _said(rule: Rule, *, whole: bool) -> Iterator[tuple[str, str]]:
    """Every key that the rule says with its value; the steps one by one, or as a `whole` by their kinds only."""
    yield "on", _on(rule)
    document = {**rule.to_json(), "within_s": rule.within and rule.within.total_seconds()}
    for key, value in document.items():
        if key not in _APART:
            yield from _spans(key, value)
    for number, calendar in enumerate(rule.active, 1):
        yield from _flat("active" if len(rule.active) == 1 else f"active[{number}]", _calendar(calendar))
    yield from _flat("inputs", {name: written(value) for name, value in rule.inputs.items()})
    yield from _flat("vars", rule.vars)
    if rule.description:
        yield "description", rule.description
    if whole:
        yield "do", ", ".join(step.kind for step in rule.steps)
    else:
        for number, step in enumerate(rule.steps, 1):
            yield from _step(f"do[{number}]", step.to_json(), number)


def _on(rule: Rule) -> str:
    on = written_on(rule)
    if not isinstance(on, dict):
        return ", ".join(rule.types)
    entries = (
        f"{key}: [{', '.join(item)}]" if isinstance(item, list) else f"{key}: {item}" for key, item in on.items()
    )
    return f"{{ {', '.join(entries)} }}"


def _calendar(calendar: Calendar) -> JsonObject:
    hours, days = ", ".join(map(str, calendar.hours)), ", ".join(calendar.days)
    return {"name": calendar.name, "hours": hours, "days": days, "zone": calendar.zone}


def _step(name: str, document: JsonObject, number: int) -> Iterator[tuple[str, str]]:
    kind = document["kind"]
    for key, value in document.items():
        if key == "params":
            yield from _flat(f"{name} {kind}", value)
        elif key == "verify_s":
            yield from _spans(f"{name} verify.within_s", value)
        elif key != "kind" and (key, value) != ("id", f"{kind}-{number}"):
            yield from _flat(f"{name} {key}", value)


def _spans(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """What is ours: a key that ends in `_s` has seconds there. In what users wrote it is a name like any other."""
    for name, text in _flat(key, value):
        span = name.endswith("_s")
        yield (name.removesuffix("_s"), exact_duration(timedelta(seconds=float(text)))) if span else (name, text)


def _flat(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if value is None or value in ("", {}, []):
        return
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}", inner)
    else:
        yield key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown(value: str | None) -> str:
    return "none" if value is None else value
