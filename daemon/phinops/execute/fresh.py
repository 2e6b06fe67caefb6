"""An event's object read again: whether it is still in the event's state when `for` is over, and how it is now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from phinops import vendor
from phinops.clock import Clock
from phinops.event import NOT_STARTED, STATE_EVENTS, Alert, Api, Event, Instance
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

    async def now(self, event: Event) -> Event | None:
        """The event with its object as it is now, in whatever state; None when there is no such object any more.

        Raises:
            ApiError, QuotaSpent: the object could not be read; ask again later.
        """
        if event.instance is not None:
            return await self._read_instance(event, event.instance)
        if event.alert is not None:
            return await self._read_alert(event, event.alert)
        if event.api is not None and event.impact is not None:
            errors = await self._errors(event, event.api)
            return replace(event, impact=replace(event.impact, errors=errors))
        return event

    async def meanwhile(self, event: Event, awaited: str) -> tuple[Event, str]:
        """The event with its object as it is now, and why the awaited type of event has come about, or "".

        Asked is the event's own object, for events of its kind; of an alert also the instance that it is about. What
        is gone or cannot be asked is as it was.

        Raises:
            ApiError, QuotaSpent: the object could not be read; ask again later.
        """
        if event.alert is not None and awaited.startswith("instance."):
            return event, await self._of_instance(event, event.alert, awaited)
        now = await self.now(event)
        return now or event, _come(event, now, awaited) if now else ""

    async def _of_instance(self, event: Event, alert: Alert, awaited: str) -> str:
        if not alert.unique_key.startswith(INSTANCE_PREFIX):
            return ""
        view = await self.look.instance(event.project.id, alert.unique_key)
        return _state_reached(view.instance, awaited) if view else ""

    async def _instance(self, event: Event) -> Event | None:
        before = event.instance
        found = await self._read_instance(event, before) if before else None
        if before is None or found is None or found.instance is None:
            return None
        if not _is_still(event, found.instance.status):
            return None
        # Another run: its state is another event.
        return found if _second(found.instance.started_at) == _second(before.started_at) else None

    async def _read_instance(self, event: Event, before: Instance) -> Event | None:
        view = await self.look.instance(event.project.id, before.id)
        if view is None:
            return None
        now = replace(view.instance, previous_status=before.previous_status, attempts=before.attempts)
        return replace(event, instance=now, node=view.node, raw=view.raw)

    async def _alert(self, event: Event) -> Event | None:
        found = await self._read_alert(event, event.alert) if event.alert else None
        if found is None or found.alert is None:
            return None
        return found if event.type in _ALERT_EVENTS.get(found.alert.status, frozenset()) else None

    async def _read_alert(self, event: Event, before: Alert) -> Event:
        body = await self.read("GetAlertEvent", {"Id": before.id})
        record = vendor.read_payload("GetAlertEvent", body, "AlertEventInfo")
        return replace(event, alert=vendor.read_alert(record, self.zone), raw=record)

    async def _impact(self, event: Event) -> Event | None:
        """An API fails still when the last whole window has errors of it; it is well still when that has none."""
        if event.api is None or event.impact is None:
            return None
        errors = await self._errors(event, event.api)
        if (errors > 0) == (event.type == "impact.closed"):
            return None
        return replace(event, impact=replace(event.impact, errors=errors) if errors else event.impact)

    async def _errors(self, event: Event, of: Api) -> int:
        """How many errors the API had in the last whole window."""
        end = self.clock.now()
        span = {
            "StartTime": vendor.write_time(end - self.impact_window, self.zone),
            "EndTime": vendor.write_time(end, self.zone),
        }
        api = "GetDataServiceApiErrorImpact"
        body = await self.read(api, {"ProjectId": event.project.id, **span})
        rows = vendor.read_list(vendor.read_payload(api, body, "Data").get("ErrorApiList"), "Data.ErrorApiList")
        return sum(_errors_of(row, of.id) for row in rows)


@dataclass(frozen=True, slots=True)
class Eyes:
    """What a step that waits looks through: `glass` when it must know, `watching` now and then, as `calls_left` of
    the day allow (None: no limit).
    """

    glass: Glass
    watching: Glass
    calls_left: Callable[[], int | None]


def object_of(event: Event) -> tuple[str, ...] | None:
    """What names the event's object in Dataphin over all its events; None where there is none."""
    if event.instance is not None:
        return event.tenant, "instance", event.instance.id
    if event.alert is not None:
        return event.tenant, "alert", event.alert.id
    if event.api is not None:
        return event.tenant, "api", event.project.id, event.api.id
    return None


def refreshed(event: Event, newer: Event) -> Event:
    """The event with its object as a newer event of the same object shows it."""
    parts = {name: getattr(newer, name) for name in ("instance", "node", "alert", "api", "impact", "raw")}
    return replace(event, **{name: part for name, part in parts.items() if part is not None})


def _is_still(event: Event, status: str) -> bool:
    """Whether an instance of that status is in the state that the event tells of."""
    if event.type == "instance.overdue":
        return status in NOT_STARTED
    if event.type == "instance.stuck":
        before = event.instance.status if event.instance else ""
        return status == (event.lasting.state if event.lasting else before)
    return STATE_EVENTS.get(status) == event.type


def _come(before: Event, now: Event, awaited: str) -> str:
    """What of the object shows that the awaited type of event has come about, or ""."""
    if now.instance is not None:
        return _state_reached(now.instance, awaited)
    if before.alert is not None and now.alert is not None:
        come = awaited in _ALERT_EVENTS.get(now.alert.status, frozenset())
        if awaited in ("alert.opened", "alert.repeated"):  # it is open as it was: has it been raised again?
            come = come and (now.alert.times or 0) > (before.alert.times or 0)
        return f"the alert is {now.alert.status}" if come else ""
    if now.impact is not None and awaited.startswith("impact."):
        come = (now.impact.errors == 0) == (awaited == "impact.closed")
        return f"the API has {now.impact.errors} errors in its last window" if come else ""
    return ""


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
