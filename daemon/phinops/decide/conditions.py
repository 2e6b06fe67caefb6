"""Conditions and keys: CEL, typed against the event model, compiled once, evaluated without side effects.

Nothing outside this file and its two neighbours (`shape`, `checked`) knows which CEL runtime is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, tzinfo
from functools import cache
from typing import Any

from cel_expr_python import cel

from phinops.decide import functions
from phinops.decide.celtext import flaws_of, taken_name, unknown_key, unknown_part, without_events
from phinops.decide.checked import constants, guarded, mentions, paths, reads, tree_of
from phinops.decide.inputs import Inputs
from phinops.decide.never import doubts
from phinops.decide.scope import PARTS, ROOTS, CannotEvaluate, Flaw, Names, Scope
from phinops.decide.shape import (
    ABSENT,
    OPTIONAL_TIMES,
    UNTYPED,
    InputTypes,
    environment,
    event_message,
    input_types,
    input_variables,
    step_messages,
    whole_message,
)
from phinops.durations import format_duration
from phinops.event import Event, parts_of

_KEYED = re.compile(r"\b(?:steps|vars)\b")
_OVERLOADS = re.compile(r"No matching overloads found : (\S+?)(?:\((.*)\))?$")
_EVENTS = re.compile(r"\bevents\b")
_TAKEN = re.compile(rf"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*({'|'.join(sorted(ROOTS))})\s*,")
_CONSTANTS = re.compile(r"\b(?:matches|duration|timestamp)\s*\(")
_KEPT = 20_000
"""Expressions that are kept compiled: rules change while the daemon runs, and nobody asks for the old ones again."""
_STATUS = re.compile(r"^[A-Z_]+: ")

Wanted = str
BOOL, SCALAR = "BOOL", "SCALAR"
_SCALAR_TYPES = frozenset({"BOOL", "INT", "UINT", "DOUBLE", "STRING", "TIMESTAMP", "DURATION", "DYN"})


class Conditions:
    """Compiles and evaluates CEL. Expressions are kept compiled by source and by what their event has."""

    def __init__(self, zone: tzinfo, kept: int = _KEPT) -> None:
        self._zone = zone
        self._kept = kept
        self._functions = _functions(zone)
        self._env = environment(self._functions)
        self._with_inputs: dict[InputTypes, Any] = {}
        self._compiled: dict[tuple[str, frozenset[str], InputTypes], _Compiled] = {}
        self._constants = {name: self._env.compile(source) for name, source in _WITH_CONSTANT.items()}
        self._bindings: _Bindings | None = None

    def check(self, source: str, names: Names, wanted: Wanted = BOOL) -> list[Flaw]:
        """Every mistake in the expression for events of `names.types`; nothing but doubts when it can be evaluated.

        `wanted` is BOOL for a condition, SCALAR for a key.
        """
        inputs = _types_of(names.inputs, source)
        try:
            expression = self._environment(inputs).compile(source)
        except (RuntimeError, TypeError) as error:  # TypeError: half a surrogate pair is no text to CEL
            return flaws_of(str(error), source, names)
        flaws = self._check_reads(expression, source, names) + self._check_constants(expression, source)
        flaws += _check_events(expression, source, names)
        kind = expression.return_type().name()
        if wanted == BOOL and kind not in ("BOOL", "DYN"):
            flaws.append(Flaw("expression-type", 0, f"is {_type_text(kind)}, and a condition must be true or false"))
        if wanted == SCALAR and kind not in _SCALAR_TYPES:
            flaws.append(Flaw("expression-type", 0, f"is {_type_text(kind)}, and a key must be one text or number"))
        if flaws:
            return flaws
        for parts in {frozenset(parts_of(kind) or ()) for kind in names.types}:
            self._keep(expression, source, parts, inputs)
        return doubts(tree_of(expression.serialize()), source, names) if wanted == BOOL else []

    def _check_reads(self, expression: Any, source: str, names: Names) -> list[Flaw]:
        parts = names.parts()
        if not _KEYED.search(source) and not any(part in source for part in PARTS - parts):
            return []
        flaws = []
        for read in reads(expression.serialize()):
            if read.owner == "Event" and read.field in PARTS and read.field not in parts:
                flaws.append(unknown_part(read, source, names))
            elif read.owner == "steps" and read.field not in names.steps:
                flaws.append(unknown_key(read, source, "steps", names.steps))
            elif read.owner == "vars" and read.field not in names.vars and not read.tested:
                flaws.append(unknown_key(read, source, "vars", names.vars))
        return flaws

    def _check_constants(self, expression: Any, source: str) -> list[Flaw]:
        """Patterns, durations and times that are written out would fail on every event: they are tried now."""
        if not _CONSTANTS.search(source):
            return []
        flaws = []
        for call in constants(expression.serialize(), frozenset(_WITH_CONSTANT)):
            result = self._constants[call.function].eval(self._env.Activation({"vars": call.text}))
            if result.type() == cel.Type.ERROR:
                reason = _error_text(str(result.value()))
                flaws.append(Flaw("expression-type", call.offset, f"{call.function}({call.text!r}): {reason}"))
        return flaws

    def value(self, source: str, scope: Scope) -> Any:
        """The value of the expression as a bool, int, float, str, datetime, timedelta or None.

        Raises:
            CannotEvaluate: it has no value for this event: something is absent, null, or of the wrong type.
        """
        parts = frozenset(parts_of(scope.event.type) or ())
        inputs = _types_of(scope.inputs, source)
        compiled = self._compiled.get((source, parts, inputs)) or self._compile(source, parts, inputs)
        result = compiled.expression.eval(self._activation(compiled, scope))
        if result.type() == cel.Type.ERROR:
            raise CannotEvaluate(_error_text(str(result.value())))
        return result.value()

    def text(self, source: str, scope: Scope) -> str:
        """The value as the text of a key; times in RFC 3339.

        Raises:
            CannotEvaluate: it has no value for this event, or it is null or a collection.
        """
        value = self.value(source, scope)
        match value:
            case bool():
                return str(value).lower()
            case str():
                return value
            case int() | float():
                return str(value)
            case datetime():
                return value.astimezone(self._zone).isoformat()
            case timedelta():
                return format_duration(value)
            case None:
                raise CannotEvaluate("it is null")
            case _:
                raise CannotEvaluate("it is neither text nor a number")

    def paths(self, source: str, roots: frozenset[str], inputs: Inputs) -> list[str]:
        """The names below `roots` that the expression reads, as they are written; none of what is no expression."""
        try:
            return paths(self._environment(_types_of(inputs, source)).compile(source).serialize(), roots)
        except (RuntimeError, TypeError):
            return []

    def _environment(self, inputs: InputTypes) -> Any:
        """The environment that declares the inputs of a blueprint beside what every rule knows."""
        if not inputs:
            return self._env
        if inputs not in self._with_inputs:
            self._with_inputs[inputs] = environment(self._functions, inputs)
        return self._with_inputs[inputs]

    def _compile(self, source: str, parts: frozenset[str], inputs: InputTypes) -> _Compiled:
        try:
            expression = self._environment(inputs).compile(source)
        except (RuntimeError, TypeError) as error:
            raise CannotEvaluate(f"not a valid expression: {error}") from None
        return self._keep(expression, source, parts, inputs)

    def _keep(self, expression: Any, source: str, parts: frozenset[str], inputs: InputTypes) -> _Compiled:
        several = speaks_of_events(source)
        if _may_be_absent(frozenset() if several else parts).search(source):
            expression = self._environment(inputs).deserialize(guarded(expression.serialize(), PARTS - parts))
        if len(self._compiled) >= self._kept:
            self._compiled.clear()
        compiled = _Compiled(expression, "vars" in source, "steps" in source, several, inputs)
        self._compiled[source, parts, inputs] = compiled
        return compiled

    def _activation(self, compiled: _Compiled, scope: Scope) -> Any:
        bindings = self._bindings
        if bindings is None or bindings.event is not scope.event or bindings.now != scope.now:
            bindings = self._bindings = _Bindings(self._env, scope.event, scope.now)
        if not compiled.speaks_of_more:
            return bindings.shared
        extra: dict[str, Any] = input_variables(scope.inputs) if compiled.inputs else {}
        if compiled.reads_vars:
            extra["vars"] = scope.vars
        if compiled.reads_events:
            extra["events"] = [whole_message(each) for each in scope.events]
        if compiled.reads_steps:
            extra["steps"] = step_messages(scope.steps)
        return bindings.with_names(extra, self._environment(compiled.inputs))


class _Compiled:
    """An expression ready to be evaluated, and whether it speaks of what differs from rule to rule."""

    __slots__ = ("expression", "inputs", "reads_events", "reads_steps", "reads_vars")

    def __init__(
        self, expression: Any, reads_vars: bool, reads_steps: bool, reads_events: bool, inputs: InputTypes
    ) -> None:
        self.expression = expression
        self.inputs = inputs
        self.reads_vars = reads_vars
        self.reads_steps = reads_steps
        self.reads_events = reads_events

    @property
    def speaks_of_more(self) -> bool:
        """Whether the event alone, which its rules share, is not enough."""
        return bool(self.inputs or self.reads_vars or self.reads_steps or self.reads_events)


class _Bindings:
    """The values of one event, made once and shared by every rule that looks at it."""

    __slots__ = ("_values", "event", "now", "shared")

    def __init__(self, env: Any, event: Event, now: datetime) -> None:
        self.event = event
        self.now = now
        untyped = {f"@{name}": getattr(event, name) for name in UNTYPED}
        self._values: Mapping[str, Any] = {"event": event_message(event), "now": now, **untyped}
        self.shared = env.Activation(self._values)

    def with_names(self, extra: Mapping[str, Any], env: Any) -> Any:
        """An activation that knows more than the event, all of which `env` declares."""
        return env.Activation({**self._values, **extra})


def _types_of(inputs: Inputs, source: str) -> InputTypes:
    """The types of the inputs for an expression that may speak of them; others share what they are compiled to."""
    return input_types(inputs) if inputs and "inputs" in source else ()


def speaks_of_events(source: str) -> bool:
    """Whether the expression asks for the other events of a rule over several."""
    return _EVENTS.search(source) is not None


def _check_events(expression: Any, source: str, names: Names) -> list[Flaw]:
    """`events` where there are none, and a name of the language taken for the items of a list."""
    flaws = [Flaw("expression-name", found.start(1), taken_name(found[1])) for found in _TAKEN.finditer(source)]
    if not names.events and speaks_of_events(source):
        flaws += [
            Flaw("expression-name", offset, without_events()) for offset in mentions(expression.serialize(), "events")
        ]
    return flaws


_WITH_CONSTANT: Mapping[str, str] = {
    "matches": "''.matches(string(vars))",
    "duration": "duration(string(vars))",
    "timestamp": "timestamp(string(vars))",
}
"""Functions that may refuse a text, as expressions that give them one."""


@cache
def _may_be_absent(parts: frozenset[str]) -> re.Pattern[str]:
    """Finds what an event with these parts may lack, and what is not part of its message."""
    names = sorted((PARTS - parts) | OPTIONAL_TIMES | frozenset(UNTYPED))
    return re.compile(rf"\b(?:{'|'.join(names)})\b")


def _functions(zone: tzinfo) -> list[Any]:
    kinds = cel.Type
    return [
        _function("bizdate", [kinds.TIMESTAMP], kinds.STRING, lambda moment: functions.bizdate(moment, zone)),
        _function("days_before", [kinds.STRING, kinds.INT], kinds.STRING, functions.days_before),
        _function(ABSENT, [kinds.STRING], kinds.DYN, _absent),
    ]


def _function(name: str, takes: list[Any], gives: Any, does: Callable[..., Any]) -> Any:
    return cel.FunctionDecl(name, [cel.Overload(name, return_type=gives, parameters=takes, impl=does)])


def _absent(message: str) -> Any:
    raise ValueError(message)


def _error_text(text: str) -> str:
    overloads = _OVERLOADS.search(text)
    if overloads:
        operator, kinds = overloads[1].strip("_@"), overloads[2]
        if kinds is None:  # CEL does not say for signs of one operand
            return f"`{operator}` cannot be applied to its operand, which may be null"
        return f"`{operator}` cannot be applied to ({kinds.replace('null_type', 'null').replace('int64', 'int')})"
    if "Applying SELECT to non-message type" in text:
        return "a field is read of something that has none"
    return _STATUS.sub("", text).replace("Key not found in map :", "there is no key")


def _type_text(kind: str) -> str:
    return kind.removeprefix("phinops.").lower()
