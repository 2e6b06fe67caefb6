"""What an event of a test is where the test does not say: the values that JSON Schema states as defaults."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from phinops.decide.shape import item_type
from phinops.event import ADDS, STATE_EVENTS, Event, JsonObject, field_types

PROJECT: JsonObject = {"id": "1", "name": "project"}

PARTS: Mapping[str, JsonObject] = {
    "alert": {
        "id": "1",
        "object": {"name": "object", "type": "VDM_BATCH_TASK", "system": "DATAPHIN"},
        "times": 1,
    },
    "instance": {"id": "t_1"},
    "node": {"id": "n_1", "name": "node"},
    "lasting": {},
    "api": {"id": "1", "name": "api"},
    "impact": {},
    "schedule": {},
    "action": {
        "id": "act_1",
        "step": "rerun_instance",
        "api": "OperateInstance",
        "target": "t_1",
        "outcome": "verified",
    },
    "health": {"name": "instances"},
    "quota": {"pool": "1+2"},
    "rule": {"id": "rule", "file": "rules/rule.rules.yaml", "reason": "a mistake"},
    "body": {},
    "data": {},
}
"""Of each part what is so in every event; of the others what follows from the type and the time is in `FOLLOWS`."""

ALERT_STATUS: Mapping[str, str] = {
    "alert.opened": "ALERTING",
    "alert.repeated": "ALERTING",
    "alert.silenced": "SILENCING",
    "alert.closed": "FINISH",
}
INSTANCE_STATUS: Mapping[str, str] = {
    **{event: state for state, event in STATE_EVENTS.items()},
    "instance.overdue": "WAITING",
    "instance.stuck": "RUNNING",
}

FOLLOWS: Mapping[str, str] = {
    "event.id": "made from the test and the step's place in it, so that the same event twice is two events",
    "event.time": "the clock's",
    "event.tenant": "the first of the config, without one «test»",
    "alert.status": "that of the type: ALERTING, SILENCING or FINISH",
    "alert.first_time": "the event's time, or that of the alert's first event in the test",
    "alert.latest_time": "the event's time",
    "instance.status": "that of the type; of what lasts that of `lasting`, else WAITING of overdue, RUNNING of stuck",
    "instance.previous_status": "what the test last said of the instance",
    "instance.biz_date": "the day before the event's time",
    "instance.started_at": "that of the run under way; else a minute before a run's end, or the event's time",
    "instance.ended_at": "the event's time, where the instance has failed or succeeded",
    "instance.duration_s": "from the one to the other",
    "instance.attempts": "the failures of the instance in the test so far, this one included",
    "lasting": "none: every rule on what lasts too long looks at the event",
    "impact.errors": "1, of impact.closed 0",
    "schedule.cron": "that of the only rule with a schedule",
    "schedule.due": "the event's time",
    "health.state": "stale or ok, after the type",
    "quota.day": "the day of the event's time",
}
"""What the other fields are, in words."""


FLOWS = ("backfill", "manual_run")
"""What a node may have been told to run."""

Course = Literal["RUNNING", "SUCCESS", "FAILED"]
"""What has become of one of `FLOWS`."""

BESIDE: Mapping[str, tuple[str, ...]] = {
    "instance": ("downstream", "gone"),
    "node": ("downstream", "gone", "touched", *FLOWS),
    "alert": ("gone",),
}
"""What the state of a part may say beside the fields of the event model."""

_BESIDE: Mapping[str, JsonObject] = {
    "downstream": {"type": "integer", "minimum": 0, "default": 0, "description": "how many nodes hang below it"},
    "gone": {"type": "boolean", "description": "true: Dataphin does not know it any more"},
    "touched": {
        "type": "boolean",
        "description": "true: somebody has changed it just now, which its operation log shows",
    },
    "backfill": {"enum": [*typing.get_args(Course)], "description": "what has become of its newest backfill"},
    "manual_run": {"enum": [*typing.get_args(Course)], "description": "what has become of its newest manual run"},
}


def event_schema() -> JsonObject:
    """What stands below `event` in a test: every field, described, with its default."""
    kinds = [*ADDS]
    fields = {name: _described(f"event.{name}", _schema(kind)) for name, kind in field_types(Event).items()}
    fields["type"] = {"anyOf": [{"enum": kinds}, {"type": "string", "pattern": r"^(hook|custom)\..+$"}]}
    fields["project"] |= {"default": PROJECT}
    for part, kind in field_types(Event).items():
        if part in PARTS:
            fields[part] = _described(part, {**_part(part, kind), **({"default": PARTS[part]} if PARTS[part] else {})})
    return {"type": "object", "properties": fields, "required": ["type"], "additionalProperties": False}


def state_schema(parts: Sequence[str]) -> JsonObject:
    """What stands below `state` in a test."""
    kinds = field_types(Event)
    fields = {part: _part(part, kinds[part]) for part in parts}
    for part, names in BESIDE.items():
        fields[part]["properties"] |= {name: _BESIDE[name] for name in names}
    return {"type": "object", "properties": fields, "additionalProperties": False}


def _part(name: str, kind: Any) -> JsonObject:
    schema = _schema(kind)
    for field, inner in schema.get("properties", {}).items():
        schema["properties"][field] = _described(f"{name}.{field}", inner)
        if field in PARTS[name]:
            schema["properties"][field] |= {"default": PARTS[name][field]}
    return schema


def _described(name: str, schema: JsonObject) -> JsonObject:
    return {**schema, "description": f"without it: {FOLLOWS[name]}"} if name in FOLLOWS else schema


def _schema(kind: Any) -> JsonObject:
    options = [each for each in typing.get_args(kind) if each is not types.NoneType]
    inner = options[0] if isinstance(kind, types.UnionType) else kind
    part = item_type(inner)
    if typing.get_origin(inner) is tuple:
        return {"type": "array", "items": _schema(part)}
    if part is not None:
        fields = {name: _schema(each) for name, each in field_types(part).items()}
        return {"type": "object", "properties": fields, "additionalProperties": False}
    return dict(_PLAIN.get(typing.get_origin(inner) or inner, {}))


_PLAIN: Mapping[Any, JsonObject] = {
    str: {"type": ["string", "integer"]},
    int: {"type": ["integer", "null"]},
    float: {"type": ["number", "null"]},
    bool: {"type": ["boolean", "null"]},
    datetime: {"type": ["string", "null"], "examples": ["2026-01-05T06:00:00+08:00"]},
    Mapping: {"type": "object"},
}
