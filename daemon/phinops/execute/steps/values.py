"""The values that parameters of steps take, before and after their templates are rendered."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from phinops.durations import parse_duration
from phinops.event import plain


class Params(BaseModel):
    """The base of every step's parameters: unknown keys are errors, values are never changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def is_template(value: object) -> bool:
    """Whether the value is text that still has to be rendered."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def _id(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _given(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value.strip()


def _number(value: str) -> str:
    if not is_template(value) and not (value.isascii() and value.isdigit()):
        raise ValueError(f"must be a project's number, not {value!r}")
    return value


def _text(value: object) -> object:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    return json.dumps(plain(value), ensure_ascii=False, default=str)


def _or_empty(value: object) -> object:
    return {} if value is None else value


def _day(value: object) -> object:
    if is_template(value):
        return value
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        day = None
    if day is None or day.isoformat() != value:
        raise ValueError(f"must be a business date such as 2026-01-31, not {value!s:.40}")
    return value


def _flag(value: object) -> object:
    if isinstance(value, bool) or is_template(value):
        return value
    raise ValueError(f"must be true or false, not {value!r}")


LONGEST = timedelta(days=366)


def _duration(value: object) -> object:
    if is_template(value):
        return value
    try:
        span = parse_duration(value)  # type: ignore[arg-type]  # refuses all but texts
    except (ValueError, OverflowError):
        raise ValueError(f"must be a duration, a number with a unit such as 90s, 15m or 2d, not {value!r}") from None
    if not timedelta() < span <= LONGEST:
        raise ValueError(f"must be longer than nothing and no longer than {LONGEST.days} days")
    return value


Id = Annotated[str, BeforeValidator(_id), AfterValidator(_given)]
"""An id: text or a whole number, kept as text because 19 digits do not survive a float."""

ProjectId = Annotated[Id, AfterValidator(_number)]
"""A project's number, as text."""

Text = Annotated[str, BeforeValidator(_text)]
"""Text for people; a template that gives another type is printed (times as RFC 3339, the rest as JSON)."""

OR_EMPTY = BeforeValidator(_or_empty)
"""For a mapping: a key without a value, which YAML reads as null, is an empty one."""

Duration = Annotated[
    str,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "examples": ["90s", "1h30m"]}),
]
"""A duration such as 90s or 1h30m, kept as text; a template until it is rendered."""

Day = Annotated[
    str,
    BeforeValidator(_day),
    WithJsonSchema({"type": "string", "examples": ["2026-01-31", "{{ event.instance.biz_date }}"]}),
]
"""A business date as YYYY-MM-DD; a template until it is rendered."""

Flag = Annotated[bool | str, BeforeValidator(_flag), WithJsonSchema({"type": "boolean"})]
"""True or false; a template until it is rendered."""
