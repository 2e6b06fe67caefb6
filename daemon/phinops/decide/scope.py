"""What a rule may speak of when a condition is evaluated or a text is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from phinops.decide.inputs import Inputs
from phinops.errors import PhinopsError
from phinops.event import ADDS, ALWAYS, Event, parts_of
from phinops.firing import StepResult
from phinops.problem import Severity


class CannotEvaluate(PhinopsError):
    """An expression or a template has no value for this event; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The names of rules with their values: `steps` are the results so far, by step id, `inputs` a blueprint's.

    `events` are those of a rule over several, oldest first, `event` among them; other rules have none.
    """

    event: Event
    now: datetime
    steps: Mapping[str, StepResult] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    inputs: Inputs = field(default_factory=dict)
    events: Sequence[Event] = ()


ROOTS = frozenset({"event", "events", "steps", "vars", "now", "inputs"})
"""The names that everything else is reached by; `events` only in rules over several, `inputs` only in blueprints."""


@dataclass(frozen=True, slots=True)
class Names:
    """What may be spoken of, as `check` knows it: events of the types in `on`, the steps before, the vars,
    and the inputs of a blueprint with values of their types.

    `events`: whether the rule is over several, so that there is a list of them.
    `within_plan` says that the firing is under way, and its event may have been read anew.
    """

    types: tuple[str, ...]
    steps: tuple[str, ...] = ()
    vars: frozenset[str] = frozenset()
    inputs: Inputs = field(default_factory=dict)
    events: bool = False
    within_plan: bool = False

    def parts(self) -> frozenset[str]:
        """The parts that an event of any of the types has."""
        return frozenset(part for kind in self.types for part in parts_of(kind) or ())

    def roots(self) -> frozenset[str]:
        """Those of ROOTS that may be spoken of."""
        lacking = {name for name, there in (("events", self.events), ("inputs", self.inputs)) if not there}
        return ROOTS - lacking

    def event_fields(self) -> tuple[str, ...]:
        """The fields of `event` that may be spoken of."""
        return (*ALWAYS, *sorted(self.parts()))


PARTS = frozenset({part for parts in ADDS.values() for part in parts} | {"body", "data"})
"""Every field that only events of some types have."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """A mistake in an expression or a template, or a doubt about it, `offset` characters into it."""

    code: str
    offset: int
    message: str
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class Truth:
    """Whether a condition holds, and if not, why: it is false, or, where it is not `known`, what has no value."""

    holds: bool
    reason: str = ""
    known: bool = True
