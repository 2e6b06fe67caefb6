"""Why a rule did what it did: the decision taken apart, by the very functions that took it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phinops.decide.clauses import Clause, parse
from phinops.decide.decision import Decision, Facts, decide
from phinops.decide.inputs import inputs_text
from phinops.decide.language import Language
from phinops.decide.match import judge
from phinops.decide.permit import GUARDS, Case
from phinops.decide.rule import Rule
from phinops.decide.scope import Scope
from phinops.event import Event, JsonObject, plain

LONGEST_VALUE = 200
"""Characters of a value that are shown; longer ones are cut."""


@dataclass(frozen=True, slots=True)
class ToldClause:
    """A part of a condition with what came of it: `holds` is None where it cannot be evaluated, and `reason` says why.

    `values` are what it reads, by name; what the event does not have is not among them. `parts` are those of an «and»
    (`all`) or an «or» (`any`).
    """

    kind: str
    text: str
    offset: int
    holds: bool | None
    reason: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[ToldClause, ...] = ()

    def to_json(self, decided: ToldClause | None = None) -> JsonObject:
        """The clause as JSON; `decides` says of the one that is `decided`, wherever in it that stands, that it is."""
        own = {"kind": self.kind, "text": self.text, "holds": self.holds, "reason": self.reason}
        parts = [part.to_json(decided) for part in self.parts]
        return {**own, "decides": self is decided, "values": dict(self.values), "parts": parts}


@dataclass(frozen=True, slots=True)
class Told:
    """A decision, explained. `condition` is None for a rule that has none, `objections` are of guards by their name."""

    decision: Decision
    condition: ToldClause | None
    objections: Mapping[str, str]

    @property
    def first_false(self) -> ToldClause | None:
        """The first clause that did not hold and was needed, None where all that was needed held."""
        return _first_false(self.condition) if self.condition else None


def explain(language: Language, rule: Rule, event: Event, facts: Facts, events: Sequence[Event] = ()) -> Told:
    """What the rule decides about the event, judged by the facts, and all that led to it.

    `events` are those that counted together with it, for a condition that speaks of them; the event alone, unless told.
    """
    events = events or (event,)
    decision = decide(judge(language, rule, event, facts.now, events), event, facts)
    condition = None
    if rule.condition and not (rule.pattern and event.type == rule.pattern.awaited):
        scope = Scope(event, facts.now, vars=rule.vars, inputs=rule.inputs, events=events)
        condition = _told(language, parse(rule.condition), scope)
    case = Case(rule, event, facts.history, facts.now)
    asked = GUARDS if decision.state != "no" else {}
    objections = {name: said for name, guard in asked.items() if (said := guard(case))}
    return Told(decision, condition, objections)


def _told(language: Language, clause: Clause, scope: Scope) -> ToldClause:
    truth = language.holds(clause.text, scope)
    reason = "" if truth.known else truth.reason.partition(": ")[2]
    parts = tuple(_told(language, part, scope) for part in clause.parts)
    values = {} if parts else _values(language, clause.text, scope)
    holds = truth.holds if truth.known else None
    return ToldClause(clause.kind, clause.text, clause.offset, holds, reason, values, parts)


def _first_false(clause: ToldClause) -> ToldClause | None:
    if clause.holds:
        return None
    if clause.kind == "all":
        # CEL lets a plain no win over what cannot be evaluated, wherever they stand.
        return next((_first_false(part) for part in clause.parts if part.holds is clause.holds), clause)
    return clause


def _values(language: Language, text: str, scope: Scope) -> dict[str, Any]:
    found = {}
    for path in language.reads(text, scope.inputs):
        there, value = _at(scope, path)
        if there:
            found[path] = _short(plain(value))
    return found


def _at(scope: Scope, path: str) -> tuple[bool, Any]:
    """Whether there is a value under the name, and the value."""
    root, *rest = path.split(".")
    value: Any = {
        "event": scope.event,
        "events": _so_many(scope.events),
        "steps": scope.steps,
        "vars": scope.vars,
        "now": scope.now,
        "inputs": inputs_text(scope.inputs),
    }[root]
    for name in rest:
        if isinstance(value, Mapping):
            if name not in value:
                return False, None
            value = value[name]
        else:
            value = getattr(value, name, None)
            if value is None:
                return False, None
    return True, value


def _so_many(events: Sequence[Event]) -> str:
    """How many they were: what one of them has is told of that one."""
    return "1 event" if len(events) == 1 else f"{len(events)} events"


def _short(value: Any) -> Any:
    text = value if isinstance(value, str) else str(value)
    if len(text) <= LONGEST_VALUE or isinstance(value, bool | int | float):
        return value
    return text[: LONGEST_VALUE - 1] + "…"
