"""The source `alerts`: one list for the whole tenant.

Whether the service's window tests an alert's first time or its latest is not documented. A window that reaches back to
the first time of the oldest open alert is right either way: its next firing and its end are then always in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from phinops.arrive.arrival import WHOLE, Arrival, Memory, Part, ReadApi
from phinops.arrive.paging import PAGE_SIZE, ListApi, Listing, read_all
from phinops.arrive.progress import Forgetting, Progress, in_order, read_progress
from phinops.arrive.projects import ProjectList
from phinops.arrive.sift import AlertSeen, Sifted, Sight, recall, sift_alert
from phinops.event import Alert, JsonObject, Project
from phinops.vendor import Message, read_alert, read_alert_project, read_object, write_time

OVERLAP = timedelta(hours=2)
"""How far each window reaches back behind the last good poll."""

FAR = timedelta(days=7)
"""How far a window reaches back for alerts that are still open, and when stock is taken. The end of an alert that has
been open for longer is seen only if the service lists it by its latest time."""

FAR_EVERY = timedelta(minutes=10)
"""How often a window reaches that far when it then has more than one page."""

DATA_SERVICE = "OS"
"""The source system of alerts that belong to a project of the data service."""

_SINCE = "alerts"


@dataclass(frozen=True, slots=True)
class _Row:
    alert: Alert
    project: str
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Window:
    start: datetime
    end: datetime
    far: bool


class AlertSource:
    """All alert events of a tenant, in every source system.

    `served` are the projects of the data service, to which the alerts of its APIs belong. `lookback` bounds the
    age of what is news to an empty store; `zone` is that of the service's texts.
    """

    name = "alerts"

    def __init__(
        self,
        tenant: str,
        reader: ReadApi,
        memory: Memory,
        projects: ProjectList,
        *,
        zone: tzinfo,
        lookback: timedelta = timedelta(hours=1),
        served: ProjectList | None = None,
    ) -> None:
        self._tenant = tenant
        self._reader = reader
        self._memory = memory
        self._projects = projects
        self._served = served
        self._zone = zone
        self._lookback = lookback
        self._forgetting = Forgetting()

    async def parts(self, now: datetime) -> Sequence[Part]:
        """One list has the whole tenant."""
        return (WHOLE,)

    async def poll(self, now: datetime, part: Part = WHOLE) -> Arrival:
        """What changed since the last poll that was committed.

        Raises:
            ApiError: the list was not answered, or its envelope cannot be read; nothing has moved.
            QuotaSpent: the day has no call left for polls.
        """
        progress = read_progress(await self._memory.cursor(self.name))
        window = self._window(now, progress, await self._memory.tracked(self.name))
        listing = await read_all(self._reader, self._list(window))
        since = progress.since[_SINCE] if progress else now - self._lookback
        sight = Sight(self._tenant, now.astimezone(self._zone), since, stock=progress is None)
        sifted = await self._sift(sight, listing)
        far_at, far_rows = now, listing.total
        if progress and not window.far:
            far_at, far_rows = progress.far_at, progress.far_rows
        return Arrival(
            source=self.name,
            tenant=self._tenant,
            events=in_order(sifted.values()),
            seen={key: one.state for key, one in sifted.items() if one.state is not None},
            cursor=Progress(now, {_SINCE: since}, far_at, far_rows).to_json(),
            forget_before=self._forgetting.before(progress.good if progress else None, now),
            faults=tuple(listing.faults),
            calls=listing.calls,
            part=part.id,
        )

    async def told(self, now: datetime, message: Message) -> Arrival:
        """What a pushed message says that is new. It moves no cursor: the next poll looks as far back as before.

        Raises:
            ApiError, QuotaSpent: the name of the message's project is not known and cannot be asked for.
        """
        alert = message.alert
        if alert.latest_time is None:
            alert = replace(alert, latest_time=now.astimezone(self._zone))
        progress = read_progress(await self._memory.cursor(self.name))
        since = progress.since[_SINCE] if progress else now - self._lookback
        sight = Sight(self._tenant, now.astimezone(self._zone), since, stock=False)
        project = Project(message.project_id, message.project_name)
        if not project.id:
            row = _Row(alert, message.project_name, {})
            project = await self._project(row, sight.now)
        before = await self._memory.seen(self.name, [alert.id])
        sifted = sift_alert(sight, alert, project, None, before.get(alert.id))
        states = {alert.id: sifted.state} if sifted.state is not None else {}
        return Arrival(self.name, self._tenant, sifted.events, states)

    def _window(self, now: datetime, progress: Progress | None, tracked: Mapping[str, JsonObject]) -> _Window:
        # The list's times are whole seconds: an alert of this very second belongs to it.
        end = now + timedelta(seconds=1)
        if progress is None:
            return _Window(now - max(FAR, self._lookback + OVERLAP), end, far=True)
        near = min(progress.good, now) - OVERLAP
        oldest = self._oldest_open(tracked)
        if oldest is None or oldest >= near or not progress.far_is_due(now, FAR_EVERY, PAGE_SIZE):
            return _Window(near, end, far=False)
        return _Window(min(near, max(oldest, now - FAR)), end, far=True)

    def _oldest_open(self, tracked: Mapping[str, JsonObject]) -> datetime | None:
        states = (recall(AlertSeen, state) for state in tracked.values())
        times = [moment for state in states if state and (moment := state.first or state.latest)]
        return datetime.fromtimestamp(min(times), UTC) if times else None

    def _list(self, window: _Window) -> ListApi:
        start, end = write_time(window.start, self._zone), write_time(window.end, self._zone)

        def query(page: int, size: int) -> Mapping[str, Any]:
            asked = {"AlertStartTime": start, "AlertEndTime": end, "SourceSystem": "ALL"}
            return {"ListQuery": {**asked, "Page": page, "PageSize": size}}

        def read(row: object) -> tuple[str, _Row]:
            record = read_object(row, "AlertEvent")
            alert = read_alert(record, self._zone)
            return alert.id, _Row(alert, read_alert_project(record), record)

        return ListApi("ListAlertEvents", "ListResult", "Data", query, read)

    async def _sift(self, sight: Sight, listing: Listing) -> Mapping[str, Sifted]:
        before = await self._memory.seen(self.name, list(listing.values))
        sifted = {}
        for key, row in listing.values.items():
            project = await self._project(row, sight.now)
            sifted[key] = sift_alert(sight, row.alert, project, row.raw, before.get(key))
        return sifted

    async def _project(self, row: _Row, now: datetime) -> Project:
        if self._served and row.alert.object.system == DATA_SERVICE:
            return await self._served.named(row.project, now)
        return await self._projects.named(row.project, now)
