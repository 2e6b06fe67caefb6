"""The keys of rule files as models: what is allowed where, and the JSON Schema for editors.

A step's own parameters have their models beside the step; expressions and templates are checked after these.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from phinops.decide.calendarmodel import ACTIVE, ACTIVE_SCHEMA
from phinops.decide.lasting import OVERDUE, STATES, STUCK
from phinops.decide.strict import Given, Model, shown
from phinops.durations import format_duration, parse_duration

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RULE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
# Words that CEL keeps for itself cannot follow `steps.`.
RESERVED = frozenset(
    ["true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
     "let", "loop", "package", "namespace", "return", "var", "void", "while"]
)  # fmt: skip


def _span(value: object) -> timedelta:
    try:
        span = parse_duration(str(value))
    except ValueError:
        unit = _with_unit(value)
        raise ValueError(f"must be a duration, a number with a unit such as {unit}, not {shown(value)}") from None
    except OverflowError:
        raise ValueError(f"«{value}» is longer than any calendar") from None
    if span <= timedelta():
        raise ValueError("must be longer than nothing")
    return span


def _with_unit(value: object) -> str:
    return f"{value}s or {value}m" if isinstance(value, int) and not isinstance(value, bool) else "90s, 15m or 2d"


_SPAN_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"

Span = Annotated[
    timedelta,
    BeforeValidator(_span),
    WithJsonSchema({"type": "string", "pattern": _SPAN_PATTERN, "examples": ["90s", "1h30m"]}),
]
"""A duration such as 90s or 1h30m."""


SOONEST, LATEST = timedelta(seconds=10), timedelta(hours=24)
"""The least and the most that `within` may say."""

MOST_RETRIES = 20

WITHIN = (
    "How soon after a change in Dataphin the rule would like to hear of it, from 10s to 24h. Polls are paced by it as "
    "far as the day's calls allow: a wish, not a guarantee."
)


def _wish(value: object) -> timedelta:
    span = _span(value)
    if not SOONEST <= span <= LATEST:
        raise ValueError(f"must be from {format_duration(SOONEST)} to 24h, not {shown(value)}")
    return span


Wish = Annotated[
    timedelta,
    BeforeValidator(_wish),
    WithJsonSchema({"type": "string", "pattern": _SPAN_PATTERN, "examples": ["5m", "1h"]}),
]
"""How soon a rule would like to hear of a change."""


def _expression(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()  # `if: true` is a bool to YAML and an expression to us
    if isinstance(value, str) and not value.strip():
        raise ValueError("is empty: leave the key out")
    return value


Expression = Annotated[str, BeforeValidator(_expression), WithJsonSchema({"type": "string", "description": "CEL"})]
"""A CEL expression."""


def _rule_id(value: object) -> object:
    if isinstance(value, str) and not _RULE_ID.fullmatch(value):
        raise ValueError("must be letters, digits, `-`, `_` and `.`, at most 100, beginning with a letter or digit")
    return value


RuleId = Annotated[str, BeforeValidator(_rule_id)]
"""The name of a rule or a blueprint."""


def _step_id(value: object) -> object:
    if isinstance(value, str) and not IDENTIFIER.fullmatch(value):
        raise ValueError("must be letters, digits and `_`, not beginning with a digit: conditions say steps.ID.outcome")
    if isinstance(value, str) and value in RESERVED:
        raise ValueError(f"«{value}» is a word of CEL: conditions could not say steps.{value}.outcome")
    return value


class WindowModel(Model):
    """At most `max` in any span of `per`."""

    max: int = Field(ge=1)
    per: Span


class DownstreamModel(Model):
    """At most `max` nodes below the target."""

    max: int = Field(ge=0)


class LimitsModel(Model):
    """What a rule may do at most, over all its keys."""

    firings: Annotated[WindowModel | None, Given] = None
    targets: Annotated[WindowModel | None, Given] = None
    downstream: Annotated[DownstreamModel | None, Given] = None


class VerifyModel(Model):
    """How long the target may take to come to the step's end."""

    within: Span


def _several(value: object) -> object:
    if isinstance(value, list) and len(value) < 2:
        raise ValueError("names two event types or more: of one, every event is enough")
    return value


class CountModel(Model):
    """So many events of one type."""

    event: str
    count: int = Field(ge=2)
    within: Span


class AllModel(Model):
    """One event of each of several types."""

    all: Annotated[list[str], BeforeValidator(_several), Field(json_schema_extra={"minItems": 2})]
    within: Span


class AbsentModel(Model):
    """An event that no other follows."""

    event: str
    absent: str
    within: Span


def _mapping_schema(key: str, description: str) -> dict[str, Any]:
    value = {"type": "string", "description": description}
    return {"type": "object", "properties": {key: value}, "required": [key], "additionalProperties": False}


def _correlation_schema(model: type[Model], description: str) -> dict[str, Any]:
    return {**model.model_json_schema(), "description": f"{description} within `within`"}


def _lasting_schema(event: str, description: str, states: Sequence[str] = ()) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "event": {"const": event, "description": description},
        "after": {"type": "string", "pattern": _SPAN_PATTERN, "description": description, "examples": ["30m", "2h"]},
    }
    if states:
        properties["state"] = {"enum": list(states), "description": "the state that it must not be in for so long"}
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


_ON_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "description": "an event type"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        _mapping_schema("schedule", "a cron expression of five fields"),
        _mapping_schema("hook", "the name of a hook in the config"),
        _correlation_schema(CountModel, "fires when `event` has come `count` times"),
        _correlation_schema(AllModel, "fires when one of each of `all` has come"),
        _correlation_schema(AbsentModel, "fires when `event` came and `absent` did not follow"),
        _lasting_schema(OVERDUE, "not started so long past its due time"),
        _lasting_schema(STUCK, "so long in one state", STATES),
    ]
}


class Outcome(Model):
    """What becomes of a step that does not end well; a file may have defaults for it."""

    on_error: Literal["stop", "continue"] = "stop"
    retry: int = Field(0, ge=0, le=MOST_RETRIES)
    verify: Annotated[VerifyModel | None, Given] = None


class StepModel(Outcome):
    """The keys that every step takes beside the one that names its kind."""

    id: Annotated[str | None, BeforeValidator(_step_id), Given] = None
    if_: Annotated[Expression | None, Given] = Field(None, alias="if")


class Bounds(Model):
    """When and how often a rule may act: what a file may have defaults for, and a rule say over its blueprint."""

    mode: Annotated[Literal["off", "shadow", "armed"] | None, Given] = None
    active: Annotated[Any, Given, WithJsonSchema(ACTIVE_SCHEMA)] = Field(None, description=ACTIVE)
    cooldown: Annotated[Span | None, Given] = None
    concurrency: Literal["single", "queued", "restart", "parallel"] = "queued"
    limits: Annotated[LimitsModel | None, Given] = None
    max_age: Annotated[Span | None, Given] = None
    within: Annotated[Wish | None, Given] = Field(None, description=WITHIN)


class RuleModel(Bounds):
    """One rule. `on` and the items of `do` are read apart from it, with their own places."""

    id: RuleId
    description: str = ""
    on: Annotated[Any, WithJsonSchema(_ON_SCHEMA)]
    if_: Annotated[Expression | None, Given] = Field(None, alias="if")
    for_: Annotated[Span | None, Given] = Field(None, alias="for")
    key: Annotated[Expression | None, Given] = None
    do: Annotated[list[Any], Field(min_length=1)]
