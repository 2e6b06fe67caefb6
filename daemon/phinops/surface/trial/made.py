"""Events of a test: what it says, and for all else the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from phinops.decide.defaults import ALERT_STATUS, INSTANCE_STATUS, PARTS, PROJECT
from phinops.event import Event, Project, event_id, field_types, parts_of
from phinops.surface.trial.tenant import Tenant, timed
from phinops.surface.trial.values import fit, fitted, moment

_SOURCES: Mapping[str, str] = {
    "alert": "alerts",
    "instance": "instances",
    "impact": "impacts",
    "schedule": "schedule",
    "hook": "hooks",
    "custom": "rules",
    "action": "actions",
    "quota": "quota",
    "rule": "rules",
}
"""Which source brings the events of each family; those of a source's own state are brought by that source."""


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes events as of `now` for a tenant of this name. `crons` are the schedules of the rules by rule."""

    name: str
    tenant: Tenant
    crons: Mapping[str, str]

    def make(self, given: Mapping[str, Any], now: datetime, *identity: str) -> Event:
        """The event; without an id of its own the one that follows from `identity`."""
        kind, zone = given["type"], self.tenant.zone
        time = moment(given["time"], zone) if given.get("time") else now
        values = fitted(Event, {name: value for name, value in given.items() if name not in PARTS}, zone)
        project = {**PROJECT, **(given.get("project") or {})}
        if "name" not in (given.get("project") or {}) and project["id"] != PROJECT["id"]:
            project["name"] = f"project {project['id']}"
        values["project"] = fit(Project, project, zone)
        given = _with_state(given)
        for part in parts_of(kind) or ():
            values[part] = self._part(part, kind, given.get(part), time)
        values.setdefault("id", event_id("test", *identity))
        source = _SOURCES.get(kind.partition(".")[0], "")
        event = Event(**{"tenant": self.name, "source": source, **values, "type": kind, "time": time})
        return event if event.source else replace(event, source=event.health.name if event.health else "")

    def _part(self, part: str, kind: str, given: Any, time: datetime) -> Any:
        declared = field_types(Event)[part]
        if part in ("body", "data"):
            return PARTS[part] if given is None else given
        if part == "lasting" and given is None:
            return None
        said = dict(given or {})
        found = fit(declared, {**PARTS[part], **said}, self.tenant.zone)
        follows = self._follows(part, kind, found, time)
        return replace(found, **{name: value for name, value in follows.items() if name not in said})

    def _follows(self, part: str, kind: str, found: Any, time: datetime) -> dict[str, Any]:
        """What of a part follows from the type and the time, where the test does not say it."""
        match part:
            case "alert":
                return _alert(self.tenant, kind, found, time)
            case "instance":
                return _instance(self.tenant, kind, found, time)
            case "impact":
                return {"errors": 0 if kind == "impact.closed" else 1}
            case "schedule":
                crons = set(self.crons.values())
                return {"cron": crons.pop() if len(crons) == 1 else "", "due": time}
            case "health":
                return {"state": "stale" if kind == "source.stale" else "ok"}
            case "quota":
                return {"day": time.date().isoformat()}
        return {}


def _alert(tenant: Tenant, kind: str, alert: Any, time: datetime) -> dict[str, Any]:
    known = tenant.alerts.get(alert.id)
    first = known.item.first_time if known else None
    return {"status": ALERT_STATUS[kind], "first_time": first or time, "latest_time": time}


def _instance(tenant: Tenant, kind: str, instance: Any, time: datetime) -> dict[str, Any]:
    run = tenant.runs.get(instance.id)
    status = instance.status or INSTANCE_STATUS[kind]
    failures = (run.failures if run else 0) + (kind == "instance.failed")
    return {
        **timed(run, status, time),
        "status": status,
        "previous_status": run.instance.status if run else "",
        "biz_date": (time - timedelta(days=1)).date().isoformat(),
        "attempts": failures,
    }


def _with_state(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What lasts too long is in the state that lasts, unless the test says another."""
    state = (given.get("lasting") or {}).get("state")
    return {**given, "instance": {"status": state, **(given.get("instance") or {})}} if state else given
