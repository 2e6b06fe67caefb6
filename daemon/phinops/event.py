"""What travels: one fact about the tenant, seen once.

The dataclasses here are the event model of rule files. Conditions, templates and the JSON that people see are all
made from their fields, so a field added here is known everywhere. Absent numbers, bools and times are None, absent
texts are "".
"""

from __future__ import annotations

import dataclasses
import hashlib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Project:
    """A project of the tenant, or of its data service. `id` is the number as text, "" where only the name is known."""

    id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who answers for a node; `id` is the number as text."""

    id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """The node of an instance. `paused` is None where the node itself was not read."""

    id: str = ""
    name: str = ""
    type: str = ""
    sub_type: str = ""
    priority: str = ""
    owners: tuple[Owner, ...] = ()
    schedule_period: str = ""
    paused: bool | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """One run record. `status` is one of `INSTANCE_STATES`; `attempts` counts the failed runs that were seen."""

    id: str = ""
    status: str = ""
    previous_status: str = ""
    biz_date: str = ""
    due_time: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_s: int | None = None
    attempts: int | None = None
    paused: bool | None = None


@dataclass(frozen=True, slots=True)
class Lasting:
    """What lasts too long: `state` since `since`, for more than `after_s` seconds.

    Of an instance that is overdue, `since` is its due time and `state` what it waits in.
    """

    state: str = ""
    after_s: int | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class AlertObject:
    """What an alert is about: its name, Dataphin's object type (VDM_BATCH_..., OS_API, ...) and source system."""

    name: str = ""
    type: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True)
class AlertUrls:
    """The addresses of Dataphin's pages that an alert brings along, "" where it has none."""

    log: str = ""
    object: str = ""
    config: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """One long-lived alert event of Dataphin; `times` is its running total."""

    id: str = ""
    status: str = ""
    reason: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    object: AlertObject = field(default_factory=AlertObject)
    times: int | None = None
    first_time: datetime | None = None
    latest_time: datetime | None = None
    biz_date: str = ""
    unique_key: str = ""
    urls: AlertUrls = field(default_factory=AlertUrls)


@dataclass(frozen=True, slots=True)
class Api:
    """An API of a data service project."""

    id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class App:
    """An application that calls a data service API."""

    key: str = ""
    name: str = ""
    errors: int | None = None


@dataclass(frozen=True, slots=True)
class Impact:
    """What an API's errors did within one window; `error_rate` is from 0 to 1."""

    errors: int | None = None
    calls: int | None = None
    error_rate: float | None = None
    apps: tuple[App, ...] = ()
    window_start: datetime | None = None
    window_end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """The cron of a rule, and the moment for which it fired."""

    cron: str = ""
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """An action of ours that was settled, or is taken back."""

    id: str = ""
    step: str = ""
    api: str = ""
    target: str = ""
    outcome: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """How a source is: `state` is one of `arrive.pace.State`, `last_good` is None before its first good poll."""

    name: str = ""
    state: str = ""
    reason: str = ""
    last_good: datetime | None = None


@dataclass(frozen=True, slots=True)
class QuotaState:
    """Calls of one pool of the quota day; polls leave the last `reserve` alone.

    `runs_out` is when none is left at the pace of the last hour, None where they last until the day ends.
    """

    pool: str = ""
    day: str = ""
    used: int | None = None
    limit: int | None = None
    left: int | None = None
    reserve: int | None = None
    runs_out: datetime | None = None


@dataclass(frozen=True, slots=True)
class QuarantinedRule:
    """A rule that is not in force as it is written, with the file that it stands in and why."""

    id: str = ""
    file: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """A change of the tenant or of the daemon itself; the same one however often it is seen.

    `id` follows from the source, the object, the occurrence and the state, so that the same change seen twice is
    the same event. Of the optional parts only those that `ADDS` lists for its type are present.
    """

    id: str
    type: str
    time: datetime
    tenant: str
    source: str
    project: Project = field(default_factory=Project)
    raw: Any = None
    caused_by: str = ""
    alert: Alert | None = None
    instance: Instance | None = None
    node: Node | None = None
    lasting: Lasting | None = None
    api: Api | None = None
    impact: Impact | None = None
    schedule: Schedule | None = None
    action: Action | None = None
    health: SourceHealth | None = None
    quota: QuotaState | None = None
    rule: QuarantinedRule | None = None
    body: Any = None
    data: Any = None


ALWAYS = ("id", "type", "time", "tenant", "source", "project", "raw", "caused_by")
"""The fields that every event has."""

_INSTANCE = ("instance", "node")

ADDS: Mapping[str, tuple[str, ...]] = {
    "alert.opened": ("alert",),
    "alert.repeated": ("alert",),
    "alert.silenced": ("alert",),
    "alert.closed": ("alert",),
    "instance.failed": _INSTANCE,
    "instance.succeeded": _INSTANCE,
    "instance.running": _INSTANCE,
    "instance.waiting": _INSTANCE,
    "instance.blocked": _INSTANCE,
    "instance.overdue": (*_INSTANCE, "lasting"),
    "instance.stuck": (*_INSTANCE, "lasting"),
    "impact.opened": ("api", "impact"),
    "impact.changed": ("api", "impact"),
    "impact.closed": ("api", "impact"),
    "schedule.fired": ("schedule",),
    "action.settled": ("action",),
    "lease.ended": ("action",),
    "undo.asked": ("action",),
    "source.stale": ("health",),
    "source.recovered": ("health",),
    "quota.low": ("quota",),
    "quota.exhausted": ("quota",),
    "rule.quarantined": ("rule",),
}
"""What each type adds to `ALWAYS`. `hook.NAME` adds `body`, `custom.NAME` adds `data`: see `parts_of`."""

SCHEDULE = "schedule.fired"

INSTANCE_STATES = ("WAITING", "BLOCKED", "RUNNING", "SUCCESS", "FAILED", "UNKNOWN")

NOT_STARTED = ("WAITING", "BLOCKED")
"""The states of an instance that has not started."""

STATE_EVENTS: Mapping[str, str] = {
    "FAILED": "instance.failed",
    "SUCCESS": "instance.succeeded",
    "RUNNING": "instance.running",
    "WAITING": "instance.waiting",
    "BLOCKED": "instance.blocked",
}
"""The event of entering each instance state; UNKNOWN has none."""


def parts_of(event_type: str) -> tuple[str, ...] | None:
    """What events of this type add to `ALWAYS`, or None when there is no such type."""
    family, _, name = event_type.partition(".")
    if name and family in ("hook", "custom"):
        return ("body",) if family == "hook" else ("data",)
    return ADDS.get(event_type)


def event_id(*identity: str) -> str:
    """The id of the change that `identity` names: source, tenant, object, occurrence, state."""
    return "ev_" + hashlib.sha256("\x1f".join(identity).encode()).hexdigest()[:24]


def to_json(event: Event) -> JsonObject:
    """The event as people see it: the parts it has, times as RFC 3339, and those that are missing not at all.

    `from_json` reads it back.
    """
    present = {*ALWAYS, *(parts_of(event.type) or ())}
    return {name: _plain(getattr(event, name)) for name in _field_types(Event) if name in present}


def from_json(document: Mapping[str, Any]) -> Event:
    """The event that `to_json` wrote; unknown keys are left out, so that a newer store can be read.

    Raises:
        KeyError: a field that every event has is missing.
        ValueError: a time is not RFC 3339.
    """
    event: Event = _build(Event, document)
    return event


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        values = {name: getattr(value, name) for name in _field_types(type(value))}
        times = _time_fields(type(value))
        return {name: _plain(item) for name, item in values.items() if item is not None or name not in times}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def plain(value: Any) -> Any:
    """Any value of the event model as JSON types."""
    return _plain(value)


@cache
def _field_types(model: type) -> dict[str, Any]:
    hints = typing.get_type_hints(model)
    return {item.name: hints[item.name] for item in dataclasses.fields(model)}


@cache
def _time_fields(model: type) -> frozenset[str]:
    return frozenset(name for name, kind in _field_types(model).items() if datetime in (kind, *typing.get_args(kind)))


def field_types(model: type) -> Mapping[str, Any]:
    """The fields of one of the model's classes with their resolved types, in order."""
    return _field_types(model)


def _build(model: type, document: Mapping[str, Any]) -> Any:
    values = {name: _read(kind, document[name]) for name, kind in _field_types(model).items() if name in document}
    return model(**values)


def _read(kind: Any, value: Any) -> Any:
    if value is None or kind is Any:
        return value
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else ()
    inner = next((option for option in options if option is not types.NoneType), kind)
    if inner is datetime:
        return datetime.fromisoformat(value)
    if dataclasses.is_dataclass(inner) and isinstance(inner, type):
        return _build(inner, value)
    if typing.get_origin(inner) is tuple:
        return _read_all(typing.get_args(inner)[0], value)
    return value


def _read_all(kind: Any, values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(_read(kind, value) for value in values)
