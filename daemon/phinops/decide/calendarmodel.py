"""The keys of calendars: hours of the day, days, and the time zone they are told in."""

from __future__ import annotations

import re
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from phinops.decide.calendar import DAY, HOLIDAYS, WEEKDAYS, WHOLE_DAY, WORKDAYS, Hours
from phinops.decide.findings import did_you_mean
from phinops.decide.strict import Given, Model, shown


def _hours(value: object) -> object:
    found = _HOURS.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise _bad_calendar(f"must be like 08:00-20:00, not {shown(value)}{_in_quotes(value)}")
    hour, minute, to_hour, to_minute = map(int, found.groups())
    begin, end = 60 * hour + minute, 60 * to_hour + to_minute
    if max(minute, to_minute) > 59 or begin >= DAY or end > DAY:
        raise _bad_calendar(f"{shown(value)}: a day has the times from 00:00 to 23:59, and ends at 24:00")
    if begin == end:
        raise _bad_calendar(f"{shown(value)} begins and ends at the same time: the whole day is 00:00-24:00")
    return Hours(begin, end if begin < end else end + DAY)


def _in_quotes(value: object) -> str:
    return "" if isinstance(value, str | dict | list) else ": put it in quotes"


def _days(value: object) -> object:
    text = value.lower() if isinstance(value, str) else ""
    if text == "all":
        return WEEKDAYS
    if text in (WORKDAYS, HOLIDAYS):
        return (text,)
    first, dash, last = text.partition("-")
    if first in WEEKDAYS and (last in WEEKDAYS or not dash):
        begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        return tuple(WEEKDAYS[(begin + step) % 7] for step in range((end - begin) % 7 + 1))
    near = did_you_mean(text, (*WEEKDAYS, WORKDAYS, HOLIDAYS, "all"))
    known = "all, workdays, holidays, weekdays such as mon, and spans such as mon-fri"
    raise _bad_calendar(f"cannot be {shown(value)}{near or f': there are {known}; several make a list'}")


def _zone(value: object) -> object:
    if not isinstance(value, str):
        raise _bad_calendar(f"must be a time zone such as Asia/Shanghai, not {shown(value)}")
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones
        near = did_you_mean(value, available_timezones()) or ": write one such as Asia/Shanghai or UTC"
        raise _bad_calendar(f"{shown(value)} is not a time zone{near}") from None
    return value


def _bad_calendar(text: str) -> PydanticCustomError:
    return PydanticCustomError("bad-calendar", "{text}", {"text": text})


def _listed(value: object) -> object:
    return value if isinstance(value, list) or value is None else [value]


_HOURS = re.compile(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s*")
_DAY_NAMES = "|".join(WEEKDAYS)
_HOURS_SCHEMA = {"type": "string", "pattern": r"^\s*\d{1,2}:\d{2}\s*-\s*\d{1,2}:\d{2}\s*$", "examples": ["22:00-08:00"]}
_DAYS_SCHEMA = {
    "type": "string",
    "pattern": f"^(all|{WORKDAYS}|{HOLIDAYS}|({_DAY_NAMES})(-({_DAY_NAMES}))?)$",
    "examples": ["workdays", "mon-fri", "sat"],
}


def _one_or_more(item: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})


_NotEmpty = Field(min_length=1)

ZoneName = Annotated[
    str, BeforeValidator(_zone), WithJsonSchema({"type": "string", "examples": ["Asia/Shanghai", "UTC"]})
]
"""The name of a time zone."""


class CalendarModel(Model):
    """Hours on some days. Leave out `hours` for whole days, `days` for every day."""

    hours: Annotated[
        list[Annotated[Hours, BeforeValidator(_hours)]],
        BeforeValidator(_listed),
        Given,
        _NotEmpty,
        _one_or_more(_HOURS_SCHEMA),
    ] = Field(
        default=[WHOLE_DAY],
        description="From one time of the day to another, or a list of such spans: `08:00-20:00`. `22:00-08:00` passes "
        "midnight and belongs to the day on which it begins. Without it the whole day.",
    )
    days: Annotated[
        list[Annotated[tuple[str, ...], BeforeValidator(_days)]],
        BeforeValidator(_listed),
        Given,
        _NotEmpty,
        _one_or_more(_DAYS_SCHEMA),
    ] = Field(
        default=[WEEKDAYS],
        description="`workdays` or `holidays` (China's, with the weekends that are worked to make up for holidays), "
        "`all`, a weekday such as `mon`, a span of them such as `mon-fri`, or a list. Without it every day.",
    )
    zone: Annotated[ZoneName | None, Given] = Field(
        None, description="The time zone of the hours, such as `Europe/Berlin`; without it the config's `timezone`."
    )


_CALENDAR_SCHEMA = {
    key: value for key, value in CalendarModel.model_json_schema().items() if key not in ("title", "description")
}

ACTIVE = (
    "When the rule is active: the name of one of the file's calendars, hours and days written out, or a list of them, "
    "any of which will do. What happens outside of them is recorded as skipped."
)

ACTIVE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "description": "the name of a calendar of this file"},
        _CALENDAR_SCHEMA,
        {"type": "array", "items": {"anyOf": [{"type": "string"}, _CALENDAR_SCHEMA]}, "minItems": 1},
    ]
}
