"""An event's object read again when its `for` is over: still in the event's state, or gone on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from phinops import vendor
from phinops.clock import Clock
from phinops.event import NOT_STARTED, STATE_EVENTS, Event
from phinops.execute.steps.kind import Look

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

    async def _instance(self, event: Event) -> Event | None:
        before = event.instance
        if before is None:
            return None
        view = await self.look.instance(event.project.id, before.id)
        if view is None or not _is_still(event, view.instance.status):
            return None
        if _second(view.instance.started_at) != _second(before.started_at):
            return None  # another run: its state is another event
        now = replace(view.instance, previous_status=before.previous_status, attempts=before.attempts)
        return replace(event, instance=now, node=view.node, raw=view.raw)

    async def _alert(self, event: Event) -> Event | None:
        if event.alert is None:
            return None
        body = await self.read("GetAlertEvent", {"Id": event.alert.id})
        record = vendor.read_payload("GetAlertEvent", body, "AlertEventInfo")
        alert = vendor.read_alert(record, self.zone)
        if event.type not in _ALERT_EVENTS.get(alert.status, frozenset()):
            return None
        return replace(event, alert=alert, raw=record)

    async def _impact(self, event: Event) -> Event | None:
        """An API fails still when the last whole window has errors of it; it is well still when that has none."""
        if event.api is None or event.impact is None:
            return None
        end = self.clock.now()
        span = {
            "StartTime": vendor.write_time(end - self.impact_window, self.zone),
            "EndTime": vendor.write_time(end, self.zone),
        }
        api = "GetDataServiceApiErrorImpact"
        body = await self.read(api, {"ProjectId": event.project.id, **span})
        rows = vendor.read_list(vendor.read_payload(api, body, "Data").get("ErrorApiList"), "Data.ErrorApiList")
        errors = sum(_errors_of(row, event.api.id) for row in rows)
        if (errors > 0) == (event.type == "impact.closed"):
            return None
        return replace(event, impact=replace(event.impact, errors=errors) if errors else event.impact)


def _is_still(event: Event, status: str) -> bool:
    """Whether an instance of that status is in the state that the event tells of."""
    if event.type == "instance.overdue":
        return status in NOT_STARTED
    if event.type == "instance.stuck":
        before = event.instance.status if event.instance else ""
        return status == (event.lasting.state if event.lasting else before)
    return STATE_EVENTS.get(status) == event.type


def _second(moment: datetime | None) -> datetime | None:
    """Not every API tells fractions of a second."""
    return moment and moment.replace(microsecond=0)


def _errors_of(row: object, api_id: str) -> int:
    """The errors that a row of ErrorApiList counts for the API; it names the API's id `AppId`."""
    record = vendor.read_object(row, "ErrorApiList")
    if vendor.read_text(record.get("AppId"), "ErrorApiList.AppId") != api_id:
        return 0
    return vendor.read_count(record.get("ErrorCount"), "ErrorApiList.ErrorCount") or 0
