"""The keys of test files as models: what is allowed where, and the JSON Schema for editors."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from phinops.decide.defaults import event_schema, state_schema
from phinops.decide.model import Span
from phinops.decide.strict import Given, Model, shown
from phinops.firing import FiringState, Outcome

_ANYTHING: dict[str, Any] = {"type": "object"}

STATES = ("instance", "node", "alert", "api", "impact")
"""What a `state` step may speak of."""

Kind = Literal["for", "wait", "absent", "count", "all", "queued", "verify", "retry", "lease", "approve"]
"""What something may be waiting for."""


def _moment(value: object) -> object:
    try:
        datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f'must be a time such as "2026-01-05T06:00", not {shown(value)}') from None
    return value


Moment = Annotated[
    str,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "examples": ["2026-01-05T06:00"], "description": "without zone: the config's"}),
]
"""A time as text; one without zone is on the clocks of the config."""


class ToldModel(Model):
    """A text that is looked for: `is` all of it, or it `contains` a piece, or a regular expression `matches` in it."""

    is_: str | None = Field(None, alias="is")
    contains: str | None = None
    matches: str | None = None

    @model_validator(mode="after")
    def _says_one(self) -> ToldModel:
        if sum(each is not None for each in (self.is_, self.contains, self.matches)) != 1:
            raise ValueError("says one of `contains` and `matches`, or is the text itself")
        try:
            re.compile(self.matches or "")
        except re.error as error:
            raise ValueError(f"has no regular expression in `matches`: {error}") from None
        return self


def _one_text(value: object) -> object:
    return {"is": value} if isinstance(value, str) else value


def _one_is_a_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _only(name: str) -> dict[str, Any]:
    text = {name: {"type": "string"}}
    return {"type": "object", "properties": text, "required": [name], "additionalProperties": False}


Told = Annotated[
    ToldModel,
    BeforeValidator(_one_text),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "description": "the whole text"}, _only("contains"), _only("matches")]}
    ),
]
"""A text to be found: all of it, or what tells it."""

Names = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    BeforeValidator(_one_is_a_list),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
"""One name or several."""


def _times(value: object) -> object:
    return 0 if value == "always" else value if value != 0 or isinstance(value, bool) else -1


Times = Annotated[
    int,
    BeforeValidator(_times),
    Field(ge=0),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "always"}]}),
]
"""How often; 0 stands for always."""


def _calls(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"": value}
    if isinstance(value, dict) and not value.keys() <= {"1", "2", "3"}:
        raise ValueError("says a number, or numbers by level, such as { 1: 2, 2: 0 }")
    return value


_NUMBER = {"type": "integer", "minimum": 0}
Calls = Annotated[
    dict[str, Annotated[int, Field(ge=0)]],
    BeforeValidator(_calls),
    WithJsonSchema(
        {
            "anyOf": [
                _NUMBER,
                {"type": "object", "properties": dict.fromkeys("123", _NUMBER), "additionalProperties": False},
            ]
        }
    ),
]
"""How many calls, by level; those of all levels under ""."""


class NotificationModel(Model):
    """A notice: `to` one notifier or several, which stands for one notice each."""

    to: Annotated[Names | None, Given] = None
    title: Annotated[Told | None, Given] = None
    message: Annotated[Told | None, Given] = None
    severity: Annotated[Literal["info", "warning", "critical"] | None, Given] = None


class FiringModel(Model):
    """A firing: its rule, and what it is like when it is looked at. `reason` is a piece of its reason, `steps` the
    outcomes of its steps so far, by id."""

    rule: str
    event: Annotated[str | None, Given] = None
    key: Annotated[str | None, Given] = None
    mode: Annotated[Literal["armed", "shadow"] | None, Given] = None
    state: Annotated[FiringState | None, Given] = None
    reason: Annotated[str | None, Given] = None
    steps: Annotated[dict[str, Outcome] | None, Given] = None


class SkippedModel(Model):
    """A rule that looked at an event and did not fire, or was stopped later; `reason` is a piece of the reason."""

    rule: str
    reason: Annotated[str | None, Given] = None
    event: Annotated[str | None, Given] = None


class PendingModel(Model):
    """Something that waits: `until` a time, which lies `in` so long."""

    rule: str
    kind: Annotated[Kind | None, Given] = None
    until: Annotated[Moment | None, Given] = None
    in_: Annotated[Span | None, Given] = Field(None, alias="in")
    key: Annotated[str | None, Given] = None


class ExpectModel(Model):
    """What must have happened since the last `expect`: these and no others, in this order."""

    actions: Annotated[list[Annotated[dict[str, Any], WithJsonSchema(_ANYTHING)]] | None, Given] = None
    notifications: Annotated[list[NotificationModel] | None, Given] = None
    firings: Annotated[list[FiringModel] | None, Given] = None
    ended: Annotated[list[FiringModel] | None, Given] = None
    skipped: Annotated[list[SkippedModel] | None, Given] = None
    pending: Annotated[list[PendingModel] | None, Given] = None
    calls: Annotated[Calls | None, Given] = None


class ErrorModel(Model):
    """Dataphin says no."""

    code: Annotated[str, Field(min_length=1)]
    message: str = ""
    status: Annotated[int, Field(ge=200, le=599)] = 200


Fault = Literal["timeout", "reset", "throttle", "unavailable"]


class AnswerModel(Model):
    """How calls of an API of Dataphin, or requests of the step `http` to an address, are answered from here on: with an
    error, with a body of their own, with another status, or not as they should.
    """

    api: Annotated[str | None, Given] = None
    http: Annotated[str | None, Given] = None
    error: Annotated[ErrorModel | None, Given] = None
    status: Annotated[Annotated[int, Field(ge=100, le=599)] | None, Given] = None
    body: Annotated[Any, Given] = None
    fault: Annotated[Fault | None, Given] = None
    times: Times = 1

    @model_validator(mode="after")
    def _hangs_together(self) -> AnswerModel:
        if (self.api is None) == (self.http is None):
            raise ValueError("names either an `api` or the address of a step `http`")
        said = [name for name in ("error", "status", "body", "fault") if getattr(self, name) is not None]
        if self.api is not None and said not in (["error"], ["body"], ["fault"]):
            raise ValueError("says one of error, body and fault")
        if self.api is not None and not isinstance(self.body, dict | None):
            raise ValueError("has fields of the answer as its body")
        if self.http is not None and said not in (["status"], ["body"], ["status", "body"], ["fault"]):
            raise ValueError("says status and body, or a fault")
        if self.http is not None and self.fault not in (None, "timeout", "reset"):
            raise ValueError("has the faults timeout and reset")
        return self


class SaidModel(Model):
    """What people say to a question that is open: the one of that `rule` and `step`, or the only one there is."""

    rule: Annotated[str | None, Given] = None
    step: Annotated[str | None, Given] = None
    by: str = "somebody"
    reason: str = ""


def _any(value: object) -> object:
    return {} if value is True else value


Said = Annotated[
    SaidModel,
    BeforeValidator(_any),
    WithJsonSchema({"anyOf": [{"const": True}, SaidModel.model_json_schema()]}),
]
"""`true` answers the only question that is open."""


class TestStepModel(Model):
    """One of: an event that arrives, time that passes, the tenant's state, an answer of its own, people's yes or no, a
    restart, a reload, what is expected."""

    event: Annotated[dict[str, Any] | None, Given, WithJsonSchema(event_schema())] = None
    advance: Annotated[Span | None, Given] = None
    at: Annotated[Moment | None, Given] = None
    state: Annotated[dict[str, Any] | None, Given, WithJsonSchema(state_schema(STATES))] = None
    answer: Annotated[AnswerModel | None, Given] = None
    approve: Annotated[Said | None, Given] = None
    deny: Annotated[Said | None, Given] = None
    restart: Annotated[Literal[True] | None, Given] = None
    reload: Annotated[Names | None, Given] = None
    expect: Annotated[ExpectModel | None, Given] = None


class TestModel(Model):
    """One test. `rules` names the rule file or files, relative to the test's; `start` is what the clock shows first;
    `mode` is that of all its rules but those that are off."""

    name: Annotated[str, Field(min_length=1)]
    rules: Names
    mode: Annotated[Literal["armed", "shadow"] | None, Given] = None
    start: Annotated[Moment | None, Given] = None
    steps: Annotated[list[TestStepModel], Field(min_length=1)]


class TestFileModel(Model):
    """The outermost level of a test file."""

    tests: list[TestModel]
