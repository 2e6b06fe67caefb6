"""An event's object read again when its `for` is over: still in the event's state, or gone on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from phinops import vendor
from phinops.clock import Clock
from phinops.event import STATE_EVENTS, Event, Instance
from phinops.execute.steps.kind import Look
from phinops.execute.steps.target import INSTANCE_PREFIX

_ALERT_EVENTS = {
    "ALERTING": frozenset({"alert.opened", "alert.repeated"}),
    "SILENCING": frozenset({"alert.silenced"}),
    "DO_NOT_DISTURB": frozenset({"alert.silenced"}),
    "FINISH": frozenset({"alert.closed"}),
}
"""The events of which each status of an alert is still the state."""


@dataclass(frozen=True, slots=True)
class Glass:
    """Reads one tenant's objects again: instances batched, alerts and impacts one by one."""

    look: Look
    read: Callable[[str, dict[str, Any]], Awaitable[Mapping[str, Any]]]
    clock: Clock
    zone: ZoneInfo
    impact_window: timedelta

    async def again(self, event: Event) -> Event | None:
        """The event with its object as it is now, or None when the object has left the event's state.

        Events without an object in Dataphin are as they were.

        Raises:
            ApiError, QuotaSpent: the object could not be read; ask again later.
        """
        family = event.type.partition(".")[0]
        if family == "instance":
            return await self._instance(event)
        if family == "alert":
            return await self._alert(event)
        if family == "impact":
            return await self._impact(event)
        return event

    async def meanwhile(self, event: Event, awaited: str) -> tuple[Event, str]:
        """The event with its object as it is now, and why the awaited type of event has come about, or "".

        Asked is the event's own object, for events of its kind; of an alert also the instance that it is about. What
        cannot be asked is as it was.

        Raises:
            ApiError, QuotaSpent: the object could not be read; ask again later.
        """
        wanted = awaited.partition(".")[0]
        if event.instance is not None:
            return await self._instance_meanwhile(event, awaited)
        if event.alert is not None and wanted == "instance":
            return event, await self._of_alert_meanwhile(event, awaited)
        if event.alert is not None:
            return await self._alert_meanwhile(event, awaited)
        if event.api is not None and wanted == "impact":
            errors = await self._errors(event, event.api.id)
            come = (errors == 0) == (awaited == "impact.closed")
            return event, f"the API has {errors} errors in its last window" if come else ""
        return event, ""

    async def _instance_meanwhile(self, event: Event, awaited: str) -> tuple[Event, str]:
        before = event.instance
        view = await self.look.instance(event.project.id, before.id) if before else None
        if before is None or view is None:
            return event, ""
        now = replace(view.instance, previous_status=before.previous_status, attempts=before.attempts)
        fresh = replace(event, instance=now, node=view.node, raw=view.raw)
        return fresh, _state_reached(now, awaited)

    async def _of_alert_meanwhile(self, event: Event, awaited: str) -> str:
        assert event.alert
        if not event.alert.unique_key.startswith(INSTANCE_PREFIX):
            return ""
        view = await self.look.instance(event.project.id, event.alert.unique_key)
        return _state_reached(view.instance, awaited) if view else ""

    async def _alert_meanwhile(self, event: Event, awaited: str) -> tuple[Event, str]:
        assert event.alert
        record = await self._alert_record(event.alert.id)
        now = vendor.read_alert(record, self.zone)
        come = awaited in _ALERT_EVENTS.get(now.status, frozenset())
        if awaited in ("alert.opened", "alert.repeated"):  # it is open as it was: has it been raised again?
            come = come and (now.times or 0) > (event.alert.times or 0)
        return replace(event, alert=now, raw=record), f"the alert is {now.status}" if come else ""

    async def _instance(self, event: Event) -> Event | None:
        before = event.instance
        if before is None:
            return None
        view = await self.look.instance(event.project.id, before.id)
        if view is None or STATE_EVENTS.get(view.instance.status) != event.type:
            return None
        if _second(view.instance.started_at) != _second(before.started_at):
            return None  # another run: its state is another event
        now = replace(view.instance, previous_status=before.previous_status, attempts=before.attempts)
        return replace(event, instance=now, node=view.node, raw=view.raw)

    async def _alert(self, event: Event) -> Event | None:
        if event.alert is None:
            return None
        record = await self._alert_record(event.alert.id)
        alert = vendor.read_alert(record, self.zone)
        if event.type not in _ALERT_EVENTS.get(alert.status, frozenset()):
            return None
        return replace(event, alert=alert, raw=record)

    async def _alert_record(self, alert_id: str) -> vendor.Record:
        body = await self.read("GetAlertEvent", {"Id": alert_id})
        return vendor.read_payload("GetAlertEvent", body, "AlertEventInfo")

    async def _impact(self, event: Event) -> Event | None:
        """An API fails still when the last whole window has errors of it; it is well still when that has none."""
        if event.api is None or event.impact is None:
            return None
        errors = await self._errors(event, event.api.id)
        if (errors > 0) == (event.type == "impact.closed"):
            return None
        return replace(event, impact=replace(event.impact, errors=errors) if errors else event.impact)

    async def _errors(self, event: Event, api_id: str) -> int:
        """The errors of the API in the last whole window."""
        end = self.clock.now()
        span = {
            "StartTime": vendor.write_time(end - self.impact_window, self.zone),
            "EndTime": vendor.write_time(end, self.zone),
        }
        api = "GetDataServiceApiErrorImpact"
        body = await self.read(api, {"ProjectId": event.project.id, **span})
        rows = vendor.read_list(vendor.read_payload(api, body, "Data").get("ErrorApiList"), "Data.ErrorApiList")
        return sum(_errors_of(row, api_id) for row in rows)


def _state_reached(now: Instance, awaited: str) -> str:
    return f"the instance is {now.status}" if STATE_EVENTS.get(now.status) == awaited else ""


def _second(moment: datetime | None) -> datetime | None:
    """Not every API tells fractions of a second."""
    return moment and moment.replace(microsecond=0)


def _errors_of(row: object, api_id: str) -> int:
    """The errors that a row of ErrorApiList counts for the API; it names the API's id `AppId`."""
    record = vendor.read_object(row, "ErrorApiList")
    if vendor.read_text(record.get("AppId"), "ErrorApiList.AppId") != api_id:
        return 0
    return vendor.read_count(record.get("ErrorCount"), "ErrorApiList.ErrorCount") or 0
