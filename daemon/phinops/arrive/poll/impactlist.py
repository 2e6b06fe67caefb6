"""How the failing APIs of one data service project are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any

from phinops.arrive.arrival import Fault, ReadApi
from phinops.arrive.paging import ListApi, read_all
from phinops.arrive.sift import Impacted
from phinops.errors import Malformed
from phinops.event import Api, App, Impact
from phinops.vendor import (
    Record,
    read_count,
    read_id,
    read_list,
    read_object,
    read_payload,
    read_rate,
    read_text,
    read_time,
    write_time,
)

KEPT_ROWS = 50
"""So many of the service's own rows are kept in an event's `raw`."""


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time; `whole` when nothing more will be counted in it."""

    start: datetime
    end: datetime
    whole: bool


@dataclass(frozen=True, slots=True)
class Failing:
    """An API with errors in a window."""

    api: Api
    errors: int
    raw: Record


@dataclass(frozen=True, slots=True)
class _Calls:
    """What one application, at one address and in one minute, called."""

    app: App
    calls: int | None
    last: datetime | None
    raw: Record


class ImpactList:
    """The calls of one data service project, counted by the service.

    Every method raises `ApiError` when it was not answered or its answer cannot be read, and `QuotaSpent`.
    """

    def __init__(self, reader: ReadApi, project_id: str, zone: tzinfo) -> None:
        self._reader = reader
        self._project_id = project_id
        self._zone = zone
        self.calls = 0
        self.faults: list[Fault] = []

    async def errors(self, window: Window) -> int:
        """How many calls failed in the whole project, by the summary."""
        api = "GetDataServiceApiCallSummary"
        data = await self._data(api, window)
        try:
            count = read_count(data.get("ErrorCount"), "Data.ErrorCount")
            if count is not None:
                return count
            # Errors without a count are some: the detail has them.
            return 1 if read_rate(data.get("ErrorRate"), "Data.ErrorRate") else 0
        except ValueError as error:
            raise Malformed(api, "Malformed", str(error)) from error

    async def failing(self, window: Window) -> list[Failing]:
        """The APIs with errors, those with most first."""
        api = "GetDataServiceApiErrorImpact"
        data = await self._data(api, window)
        try:
            rows = read_list(data.get("ErrorApiList"), "Data.ErrorApiList")
        except ValueError as error:
            raise Malformed(api, "Malformed", str(error)) from error
        found: dict[str, Failing] = {}
        for row in rows:
            try:
                one = _read_failing(row)
            except ValueError as error:
                self.faults.append(Fault(api, str(error)))
                continue
            if one.errors:
                found[one.api.id] = one
        return sorted(found.values(), key=lambda one: -one.errors)

    async def detail(self, failing: Failing, window: Window) -> Impacted:
        """The applications behind an API's errors, and its calls in all."""
        asked = {"ApiId": failing.api.id, **self._times(window)}

        def query(page: int, size: int) -> Mapping[str, Any]:
            return {"ProjectId": self._project_id, "ListQuery": {**asked, "PageNo": page, "PageSize": size}}

        source = ListApi("ListDataServiceApiImpacts", "PageResult", "ImpactList", query, self._read_calls)
        listing = await read_all(self._reader, source)
        self.calls += listing.calls
        self.faults += listing.faults
        rows: list[_Calls] = list(listing.values.values())
        counted = [row.calls for row in rows if row.calls is not None]
        bad = [row for row in rows if row.app.errors]
        plain = self.plain(failing, window)
        calls = sum(counted) if counted else None
        return replace(
            plain,
            impact=replace(
                plain.impact,
                calls=calls,
                error_rate=min(1.0, failing.errors / calls) if calls else None,
                apps=_by_app(bad),
            ),
            last_bad=_last(bad, window),
            raw={**plain.raw, "Impacts": [row.raw for row in rows[:KEPT_ROWS]]},
        )

    def plain(self, failing: Failing, window: Window) -> Impacted:
        """The same without applications and calls."""
        impact = Impact(errors=failing.errors, window_start=window.start, window_end=window.end)
        return Impacted(impact, window.whole, raw={"Api": failing.raw})

    async def _data(self, api: str, window: Window) -> Record:
        self.calls += 1
        body = await self._reader.read(api, {"ProjectId": self._project_id, **self._times(window)})
        return read_payload(api, body, "Data")

    def _times(self, window: Window) -> Mapping[str, str]:
        return {
            "StartTime": write_time(window.start, self._zone),
            "EndTime": write_time(window.end, self._zone),
        }

    def _read_calls(self, row: object) -> tuple[str, _Calls]:
        record = read_object(row, "Impact")
        # Who called from where is nobody's business outside the data service.
        kept = {name: value for name, value in record.items() if name != "ClientIp"}
        app = App(
            key=read_text(record.get("AppKey"), "AppKey"),
            name=read_text(record.get("AppName"), "AppName"),
            errors=read_count(record.get("ErrorCount"), "ErrorCount"),
        )
        calls = read_count(record.get("CallCount", record.get("TotalCount")), "CallCount")
        last = read_time(record.get("LastCallTime"), self._zone, "LastCallTime")
        identity = (app.key, app.name, str(record.get("ClientIp")), str(record.get("Minute")))
        return "|".join(identity), _Calls(app, calls, last, kept)


def _read_failing(row: object) -> Failing:
    record = read_object(row, "ErrorApiList")
    # The service names the API's id AppId here.
    key = read_id(record, "ApiId") if record.get("ApiId") else read_id(record, "AppId")
    name = read_text(record.get("ApiName"), "ApiName")
    return Failing(Api(key, name), read_count(record.get("ErrorCount"), "ErrorCount") or 0, record)


def _last(bad: Sequence[_Calls], window: Window) -> datetime | None:
    # The last call is told, good or bad and whenever it was: what the window counted was not after its end.
    times = [row.last for row in bad if row.last and row.last >= window.start]
    return min(max(times), window.end) if times else None


def _by_app(rows: Sequence[_Calls]) -> tuple[App, ...]:
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row.app.key, row.app.name)
        found[key] = found.get(key, 0) + (row.app.errors or 0)
    apps = (App(key, name, errors) for (key, name), errors in found.items())
    return tuple(sorted(apps, key=lambda app: (-(app.errors or 0), app.key)))
