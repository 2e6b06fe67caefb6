"""Scenario files: what a simulated tenant consists of and what befalls it.

Everything that has a name stands under it in a mapping, never in a list, so that `overrides` can reach in and change
a number: `{"incidents": {"storm": {"takes": "2s"}}}`. A null in the overrides removes what it stands for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from phinops.durations import parse_duration
from phinops.simulate.faults import Kind as FaultKind

Edition = Literal["personal", "agile", "basic", "intelligent", "private"]


def _seconds(value: object) -> object:
    """Durations as people write them, and plain numbers of seconds; a minus in front is before the start."""
    if not isinstance(value, str):
        return value
    sign, text = (-1.0, value[1:]) if value.startswith("-") else (1.0, value)
    return sign * parse_duration(text).total_seconds()


def _second_of_day(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError('write the time of day in quotes, such as "02:30"')  # noqa: TRY004 - pydantic's way
    moment = time.fromisoformat(value)
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def _as_time_of_day(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _repeats(value: object) -> object:
    return -1 if value == "always" else value


Seconds = Annotated[float, BeforeValidator(_seconds)]
Positive = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]
Wait = Annotated[float, BeforeValidator(_seconds), Field(ge=0)]
SecondOfDay = Annotated[int, BeforeValidator(_second_of_day), PlainSerializer(_as_time_of_day), Field(ge=0, lt=86_400)]
Fails = Annotated[int, BeforeValidator(_repeats), Field(ge=-1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """A mapping of a scenario: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AlertRuleSpec(Part):
    """How failures of a node alert."""

    every: Wait = 0.0
    limit: int = Field(default=0, ge=0)
    silence_after: Wait = 0.0
    channel: Literal["VOICE", "SMS", "MAIL", "DINGTALK_ROBOT", "DINGDING", "CUSTOM", "WECHAT", "FEISHU"] = (
        "DINGTALK_ROBOT"
    )


class NodeSpec(Part):
    """A node, or `count` alike nodes whose names bear numbers."""

    type: str = "MAX_COMPUTE_SQL"
    kind: Literal["SCRIPT", "LOGICAL_TABLE"] = "SCRIPT"
    schedule: Literal["NORMAL", "MANUAL"] = "NORMAL"
    owner: str = "ops"
    priority: Literal["HIGHEST", "HIGH", "MIDDLE", "LOW", "LOWEST"] = "MIDDLE"
    period: Literal["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"] = "DAILY"
    at: SecondOfDay = 7200
    every: Positive | None = None
    duration: Positive = 20.0
    upstream: tuple[str, ...] = ()
    alert: AlertRuleSpec | bool = False
    count: int = Field(default=1, ge=1)
    fields: int = Field(default=1, ge=1)
    paused: bool = False

    @property
    def alert_rule(self) -> AlertRuleSpec | None:
        """How its failures alert, or None; `alert: true` means as a rule with nothing set."""
        if isinstance(self.alert, AlertRuleSpec):
            return self.alert
        return AlertRuleSpec() if self.alert else None


class ProjectSpec(Part):
    """A project and its nodes by name; `permitted: false` takes the key's owner out of it."""

    id: int
    mode: Literal["BASIC", "DEV_PROD"] = "DEV_PROD"
    biz_unit: str = "LD_default"
    owner: str = "ops"
    description: str = ""
    permitted: bool = True
    nodes: dict[str, NodeSpec] = Field(default_factory=dict)


class IncidentSpec(Part):
    """Something that goes wrong: runs of a node, or calls of a data service API.

    `fails` runs fail in all, or until somebody has `mended` the cause so long after, and runs the instance again.
    `after` the start (before it, with a minus) the first one shows; with `every` there are `times` of them. A node
    that stands for many is hit as a whole, `spread` evenly; with `every` they are hit one after the other.
    """

    node: str = ""
    what: Literal["fail", "stick", "block"] = "fail"
    fails: Fails = 1
    takes: Positive = 3.0
    cascade: bool = False
    log: str = ""
    mended: Positive | None = None
    api: str = ""
    app: str = ""
    rate: Share = 1.0
    offline: bool = False
    after: Seconds = 0.0
    lasts: Positive | None = None
    spread: Wait = 0.0
    every: Positive | None = None
    times: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_target(self) -> IncidentSpec:
        if bool(self.node) == bool(self.api):
            raise ValueError("an incident names either a node or an api")
        if self.what == "block" and self.lasts is None:
            raise ValueError("an incident that blocks says how long it lasts")
        return self


class AlertSpec(Part):
    """An alert that has no run behind it: data quality, baselines, streams."""

    system: Literal["DQE", "OS", "STREAM", "VDM_BATCH", "SOP", "REAL_TIME_PIPELINE", "KGB"]
    reason: str
    object: str
    object_type: str
    project: str
    after: Seconds = 0.0
    ends: Positive | None = None
    every: Wait = 0.0
    limit: int = Field(default=0, ge=0)
    silence_after: Wait = 0.0
    params: dict[str, str] = Field(default_factory=dict)


class AppSpec(Part):
    """An application, and how often it calls the API."""

    per_minute: Positive = 30.0


class ApiSpec(Part):
    """An API of a data service project, with the applications that call it by name."""

    id: int
    group: str = "default"
    apps: dict[str, AppSpec] = Field(default_factory=dict)
    sql: str = "select * from t where id = ${id}"
    response_ms: int = Field(default=40, ge=1)
    alert: AlertRuleSpec | None = None


class DataServiceSpec(Part):
    """A data service project; `mine` says that it is the key's owner's, and not one that he may only use."""

    id: int
    owner: str = "ops"
    permitted: bool = True
    mine: bool = True
    apis: dict[str, ApiSpec] = Field(default_factory=dict)


class FaultSpec(Part):
    """See `faults.Fault`."""

    kind: FaultKind
    api: str = "*"
    only: Literal["reads", "writes"] | None = None
    count: int | None = Field(default=None, ge=1)
    probability: Share = 1.0
    after: Wait = 0.0
    until: Positive | None = None
    seconds: Wait = 0.0
    code: str = ""
    message: str = ""
    status: int = 0
    headers: Literal["acs", "ratelimit", "none"] | None = None


class QuirksSpec(Part):
    """See `quirks.Quirks`."""

    times: Literal["ms", "text"] = "ms"
    errors: Literal["status", "body"] = "status"
    items: Literal["listed", "refused"] = "listed"
    spellings: Literal["documented", "vendor"] = "documented"
    page_limit: int = Field(default=0, ge=0)
    shift_pages: int = Field(default=0, ge=0)
    state_delay: Wait = 0.0
    auto_rerun: int = Field(default=0, ge=0)
    auto_rerun_every: Positive = 300.0
    repeat_pause: Literal["error", "success"] = "error"
    fix_data_hidden: bool = False
    throttle_headers: Literal["acs", "ratelimit", "none"] = "acs"


class QuotaSpec(Part):
    """Tables in place of the edition's, by pool: "1+2" is one that levels 1 and 2 draw on together."""

    qps: dict[str, int] | None = None
    daily: dict[str, int] | None = None
    levels: dict[str, int] = Field(default_factory=dict)


class TenantSpec(Part):
    """The tenant itself; `zone` is that of its days and texts."""

    id: int = 30001011
    name: str = "demo"
    zone: str = "Asia/Shanghai"


class Scenario(Part):
    """A whole tenant. `history` days of instances that went well lie behind it."""

    name: str = ""
    description: str = ""
    edition: Edition = "basic"
    tenant: TenantSpec = TenantSpec()
    history: int = Field(default=1, ge=0, le=60)
    projects: dict[str, ProjectSpec] = Field(default_factory=dict)
    incidents: dict[str, IncidentSpec] = Field(default_factory=dict)
    alerts: dict[str, AlertSpec] = Field(default_factory=dict)
    data_services: dict[str, DataServiceSpec] = Field(default_factory=dict)
    faults: dict[str, FaultSpec] = Field(default_factory=dict)
    quirks: QuirksSpec = QuirksSpec()
    quotas: QuotaSpec = QuotaSpec()


def overridden(document: Any, changes: Mapping[str, Any]) -> Any:
    """`document` with `changes` merged in, mapping by mapping; a null removes."""
    merged = dict(document) if isinstance(document, Mapping) else {}
    for key, change in changes.items():
        if change is None:
            merged.pop(key, None)
        elif isinstance(change, Mapping):
            merged[key] = overridden(merged.get(key), change)
        else:
            merged[key] = change
    return merged
