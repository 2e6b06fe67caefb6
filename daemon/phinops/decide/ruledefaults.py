"""`defaults` of a file: what each of its rules, and each of their steps, has unless it says otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from phinops.decide.blueprintmodel import DefaultsModel
from phinops.decide.build import POLLED
from phinops.decide.calendarfile import Calendars, read_active
from phinops.decide.document import Node
from phinops.decide.findings import Findings
from phinops.decide.mistakes import InNode, validated
from phinops.decide.model import Bounds, Outcome
from phinops.decide.rule import StepKind, verifiable

BOUNDS = tuple(Bounds.model_fields)
_OF_STEPS = tuple(Outcome.model_fields)

Entry = tuple[Node, Node]
"""A key and its value, each with its place."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """The defaults of a file by key. `broken` has the mistake of each that cannot be used, by its key."""

    sound: Mapping[str, Entry] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)


def read_defaults(node: Node | None, calendars: Calendars, findings: Findings) -> Defaults:
    """The defaults below the key `defaults`, whose value is a mapping. What is wrong with one is reported here, once.

    A key that no rule has is a mistake of the file as a whole: it was meant for all of them.
    """
    if node is None:
        return Defaults()
    sound, broken = {}, {}
    for key, item in node.value.items():
        before = len(findings.problems)
        alone = replace(node, value={key: item}, keys={key: node.keys[key]})
        validated(DefaultsModel, alone.plain(), InNode(alone), findings)
        blamed = read_active(item, calendars, findings).blamed if key == "active" else []
        mistakes = [*map(str, findings.problems[before:]), *blamed]
        if mistakes:
            broken[key] = mistakes[0]
        else:
            sound[key] = (node.keys[key], item)
    return Defaults(sound, broken)


def with_defaults(rule: Node, defaults: Defaults, on: Node | None, blamed: list[str]) -> Node:
    """The rule with the defaults of its file where it says nothing itself; limits are taken one by one.

    `on` is what wakes it: `within` makes sense only where Dataphin is asked. `blamed` takes the mistakes of defaults
    that it would have.
    """
    if not defaults.sound and not defaults.broken:
        return rule
    blamed += [said for key, said in defaults.broken.items() if key in BOUNDS and key not in rule.value]
    fitting = {key: entry for key, entry in defaults.sound.items() if key in BOUNDS and _fits(key, on)}
    return joined(rule, fitting)


def joined(rule: Node, entries: Mapping[str, Entry]) -> Node:
    """The rule with those of the entries that it does not have; of `limits` it may lack some."""
    value, keys = dict(rule.value), dict(rule.keys)
    for key, (key_node, item) in entries.items():
        if key not in value:
            value[key], keys[key] = item, key_node
        elif key == "limits" and isinstance(item.value, dict) and isinstance(value[key].value, dict):
            value[key] = joined(value[key], {name: (item.keys[name], each) for name, each in item.value.items()})
    return replace(rule, value=value, keys=keys)


def with_step_defaults(rule: Node, defaults: Defaults, kinds: Mapping[str, StepKind], blamed: list[str]) -> Node:
    """The rule with the defaults of its file in its steps, each where it has a meaning."""
    do = rule.value.get("do")
    if not (defaults.sound or defaults.broken) or do is None or not isinstance(do.value, list):
        return rule
    steps = [_with_outcome(step, defaults, kinds, blamed) for step in do.value]
    return replace(rule, value={**rule.value, "do": replace(do, value=steps)})


def _with_outcome(step: Node, defaults: Defaults, kinds: Mapping[str, StepKind], blamed: list[str]) -> Node:
    if not isinstance(step.value, dict):
        return step
    kind = next((kinds[key] for key in step.value if key in kinds), None)
    wanted = [key for key in _OF_STEPS if key not in step.value and kind and _suits(key, kind, step)]
    blamed += [defaults.broken[key] for key in wanted if key in defaults.broken]
    return joined(step, {key: defaults.sound[key] for key in wanted if key in defaults.sound})


def _fits(key: str, on: Node | None) -> bool:
    return key != "within" or (on is not None and any(text.startswith(POLLED) for text in _texts(on)))


def _suits(key: str, kind: StepKind, step: Node) -> bool:
    return key != "verify" or verifiable(kind, step.value)


def _texts(node: Node) -> Iterator[str]:
    """Every text of `on`: what wakes a rule stands there, however it is written."""
    if isinstance(node.value, str):
        yield node.value
    elif isinstance(node.value, dict | list):
        for item in node.value.values() if isinstance(node.value, dict) else node.value:
            yield from _texts(item)
