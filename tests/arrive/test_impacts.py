"""The source `impacts` against a scripted service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_dataphin import START, ZONE, FakeDataphin, FakeMemory, kinds, paged, text
from phinops.arrive.arrival import Arrival
from phinops.arrive.poll.impacts import ImpactSource, windows_at
from phinops.arrive.projects import data_service_projects
from phinops.errors import Malformed, Refused, Transient
from phinops.event import Event

MINUTE = timedelta(minutes=1)
WINDOW = timedelta(minutes=10)


@dataclass
class Serving:
    """The calls of a data service project: when which API was called by which application, and failed."""

    failures: list[tuple[datetime, int]] = field(default_factory=list)

    def fail(self, when: datetime, api: int, count: int = 1) -> None:
        self.failures += [(when, api)] * count

    def within(self, query: Mapping[str, Any]) -> dict[int, int]:
        found: dict[int, int] = {}
        for when, api in self.failures:
            if query["StartTime"] <= text(when) <= query["EndTime"]:
                found[api] = found.get(api, 0) + 1
        return found

    def summary(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        errors = sum(self.within(params).values())
        return {"Data": {"CallCount": 1000, "ErrorCount": errors, "ErrorRate": errors / 10}}

    def impact(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        rows = [{"AppId": api, "ApiName": f"api_{api}", "ErrorCount": n} for api, n in self.within(params).items()]
        return {"Data": {"ErrorApiList": rows, "ErrorAppList": []}}

    def detail(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        query = params["ListQuery"]
        api = int(query["ApiId"])
        mine = [when for when, failed in self.failures if failed == api]
        errors = self.within(query).get(api, 0)
        row = {"ApiId": api, "AppKey": 900719925474099312, "AppName": "shop", "ClientIp": "10.0.0.1"}
        row |= {
            "CallCount": errors * 4,
            "ErrorCount": errors,
            "LastCallTime": text(max(mine, default=START)),
            "Minute": "2026_0105_1200",
        }
        other = {"ApiId": api, "AppKey": 2, "AppName": "calm", "CallCount": 4 * errors, "ErrorCount": "0"}
        found, total = paged([row, other], query, page="PageNo")
        return {"PageResult": {"ImpactList": found, "TotalCount": total}}


@dataclass
class Tenant:
    serving: Serving = field(default_factory=Serving)
    memory: FakeMemory = field(default_factory=FakeMemory)
    service: FakeDataphin = field(default_factory=FakeDataphin)

    def __post_init__(self) -> None:
        self.service.scripts |= {
            "GetDataServiceApiCallSummary": self.serving.summary,
            "GetDataServiceApiErrorImpact": self.serving.impact,
            "ListDataServiceApiImpacts": self.serving.detail,
            "GetDataServiceMyProjects": lambda _: {"ProjectList": [{"ProjectId": 501, "ProjectName": "shop"}]},
            "GetDataServiceAuthorizedProjects": lambda _: {"ProjectList": None},
        }

    async def look(self, now: datetime) -> Arrival:
        listed = data_service_projects(self.service, "all")
        source = ImpactSource("prod", self.service, self.memory, listed, zone=ZONE, window=WINDOW)
        (part,) = await source.parts(now)
        return await source.poll(now, part)

    async def poll(self, now: datetime) -> list[Event]:
        return self.memory.commit(await self.look(now))


@pytest.fixture
async def tenant() -> Tenant:
    """One that was polled before, without errors."""
    tenant = Tenant()
    await tenant.poll(START)
    return tenant


async def test_an_api_that_starts_failing_is_told_before_its_window_is_over(tenant: Tenant) -> None:
    tenant.serving.fail(START + MINUTE, 11, count=3)
    (event,) = await tenant.poll(START + 2 * MINUTE)
    assert (event.type, event.time) == ("impact.opened", START + MINUTE)
    assert event.api is not None
    assert event.impact is not None
    assert (event.api.id, event.api.name, event.project.id) == ("11", "api_11", "501")
    assert (event.impact.errors, event.impact.calls, event.impact.error_rate) == (3, 24, 0.125)
    assert [(app.key, app.name, app.errors) for app in event.impact.apps] == [("900719925474099312", "shop", 3)]
    assert (event.impact.window_start, event.impact.window_end) == (START, START + 2 * MINUTE)
    assert "10.0.0.1" not in str(event.raw)


async def test_more_errors_are_told_once_a_window_when_it_is_over(tenant: Tenant) -> None:
    tenant.serving.fail(START + MINUTE, 11)
    assert kinds(await tenant.poll(START + 2 * MINUTE)) == ["impact.opened"]
    tenant.serving.fail(START + 3 * MINUTE, 11, count=4)
    assert await tenant.poll(START + 4 * MINUTE) == []
    (event,) = await tenant.poll(START + 12 * MINUTE)
    assert event.impact is not None
    assert (event.type, event.impact.errors) == ("impact.changed", 5)
    tenant.serving.fail(START + 13 * MINUTE, 11)
    assert await tenant.poll(START + 14 * MINUTE) == []
    assert kinds(await tenant.poll(START + 22 * MINUTE)) == ["impact.changed"]


async def test_one_whole_window_without_errors_closes_it(tenant: Tenant) -> None:
    tenant.serving.fail(START + MINUTE, 11)
    await tenant.poll(START + 2 * MINUTE)
    assert await tenant.poll(START + 12 * MINUTE) == []
    # The window is over, and the service may still be counting.
    assert await tenant.poll(START + 20 * MINUTE) == []
    (event,) = await tenant.poll(START + 22 * MINUTE)
    assert event.impact is not None
    assert event.api is not None
    assert (event.type, event.impact.errors, event.api.name) == ("impact.closed", 0, "api_11")
    assert (event.impact.window_start, event.impact.window_end) == (START + WINDOW, START + 2 * WINDOW)
    assert await tenant.memory.tracked("impacts") == {}
    tenant.serving.fail(START + 23 * MINUTE, 11)
    assert kinds(await tenant.poll(START + 24 * MINUTE)) == ["impact.opened"]


async def test_without_errors_only_the_summary_is_asked_for(tenant: Tenant) -> None:
    await tenant.poll(START + 2 * MINUTE)
    before = len(tenant.service.asked)
    arrival = await tenant.look(START + 5 * MINUTE)
    assert [name for name, _ in tenant.service.asked[before:]][-1] == "GetDataServiceApiCallSummary"
    assert arrival.calls == 1


async def test_the_first_start_tells_of_bad_calls_within_lookback() -> None:
    tenant = Tenant()
    tenant.serving.fail(START - 70 * MINUTE, 10)
    tenant.serving.fail(START - 50 * MINUTE, 11)
    (event,) = await tenant.poll(START)
    assert event.api is not None
    assert (event.type, event.api.id) == ("impact.opened", "11")


async def test_after_downtime_the_whole_gap_is_one_window(tenant: Tenant) -> None:
    tenant.serving.fail(START + 2 * MINUTE, 11)
    later = START + timedelta(days=2)
    before = len(tenant.service.calls("GetDataServiceApiCallSummary"))
    assert kinds(await tenant.poll(later)) == ["impact.opened"]
    assert len(tenant.service.calls("GetDataServiceApiCallSummary")) == before + 2


async def test_of_many_failing_apis_only_the_worst_are_read_in_detail(tenant: Tenant) -> None:
    for api in range(30):
        tenant.serving.fail(START + MINUTE, api + 1, count=1 + api // 10)
    events = await tenant.poll(START + 2 * MINUTE)
    detailed = [event.impact.errors for event in events if event.impact and event.impact.apps]
    assert len(events) == 30
    assert sorted(detailed, key=lambda errors: errors or 0) == [2] * 10 + [3] * 10


async def test_an_api_whose_applications_cannot_be_read_is_told_without_them(tenant: Tenant) -> None:
    tenant.service.scripts["ListDataServiceApiImpacts"] = lambda _: Refused("ListDataServiceApiImpacts", "No", "no")
    tenant.serving.fail(START + MINUTE, 11)
    arrival = await tenant.look(START + 2 * MINUTE)
    (event,) = arrival.events
    assert event.impact is not None
    assert (event.impact.errors, event.impact.calls, event.impact.apps) == (1, None, ())
    assert len(arrival.faults) == 1


async def test_a_row_that_cannot_be_read_neither_opens_nor_closes_anything(tenant: Tenant) -> None:
    tenant.serving.fail(START + MINUTE, 11)
    await tenant.poll(START + 12 * MINUTE)
    tenant.serving.fail(START + 13 * MINUTE, 11)
    rows = [{"ApiName": "nameless", "ErrorCount": 1}, {"ApiId": 12, "ErrorCount": "2"}, {"ApiId": 13, "ErrorCount": 0}]
    tenant.service.scripts["GetDataServiceApiErrorImpact"] = lambda _: {"Data": {"ErrorApiList": rows}}
    arrival = await tenant.look(START + 22 * MINUTE)
    assert [(event.type, event.api.id) for event in arrival.events if event.api] == [("impact.opened", "12")]
    assert "AppId is missing" in arrival.faults[0].reason


@pytest.mark.parametrize(
    ("api", "answer", "message"),
    [
        ("GetDataServiceApiCallSummary", {}, "Data is missing"),
        ("GetDataServiceApiCallSummary", {"Data": {"ErrorCount": "lots"}}, "«lots» is not a count"),
        ("GetDataServiceApiErrorImpact", {"Data": {"ErrorApiList": "x"}}, "a text where a list was expected"),
    ],
)
async def test_a_malformed_reply_names_its_api_and_field(tenant: Tenant, api: str, answer: Any, message: str) -> None:
    tenant.serving.fail(START + MINUTE, 11)
    tenant.service.scripts[api] = lambda _: answer
    with pytest.raises(Malformed, match=f"{api}: Malformed: .*{message}"):
        await tenant.look(START + 2 * MINUTE)


async def test_a_summary_without_a_count_goes_by_its_rate(tenant: Tenant) -> None:
    tenant.serving.fail(START + MINUTE, 11)
    tenant.service.scripts["GetDataServiceApiCallSummary"] = lambda _: {"Data": {"ErrorRate": "0.1%"}}
    assert kinds(await tenant.poll(START + 2 * MINUTE)) == ["impact.opened"]
    tenant.service.scripts["GetDataServiceApiCallSummary"] = lambda _: {"Data": {}}
    assert (await tenant.look(START + 3 * MINUTE)).calls == 1


async def test_a_project_that_is_not_answered_is_caught_up_with(tenant: Tenant) -> None:
    tenant.serving.fail(START + MINUTE, 11)
    tenant.service.scripts["GetDataServiceApiCallSummary"] = lambda _: Transient("X", "ServiceUnavailable", "later")
    with pytest.raises(Transient):
        await tenant.look(START + 2 * MINUTE)
    tenant.service.scripts["GetDataServiceApiCallSummary"] = tenant.serving.summary
    assert kinds(await tenant.poll(START + 25 * MINUTE)) == ["impact.opened", "impact.closed"]


def test_windows_are_laid_end_to_end_and_do_not_go_back_with_the_clock() -> None:
    windows, over = windows_at(START + 25 * MINUTE, START, WINDOW, START)
    assert [(one.start, one.end, one.whole) for one in windows] == [
        (START, START + WINDOW, True),
        (START + WINDOW, START + 2 * WINDOW, True),
        (START + 2 * WINDOW, START + 25 * MINUTE, False),
    ]
    assert over == START + 2 * WINDOW
    assert windows_at(START - WINDOW, over, WINDOW, START) == ([], over)


def test_the_present_window_is_read_while_the_one_before_it_settles() -> None:
    now = START + timedelta(seconds=630)
    windows, over = windows_at(now, START, WINDOW, START)
    assert [(one.start, one.end, one.whole) for one in windows] == [
        (START, START + WINDOW, False),
        (START + WINDOW, now, False),
    ]
    assert over == START


def test_windows_shorter_than_settling_takes_are_read_up_to_the_present() -> None:
    now = START + timedelta(seconds=73)
    windows, _ = windows_at(now, START + timedelta(seconds=10), timedelta(seconds=5), START)
    assert [(one.end, one.whole) for one in windows[-2:]] == [(START + timedelta(seconds=70), False), (now, False)]


def test_no_window_is_longer_than_a_week() -> None:
    windows, over = windows_at(START, START - timedelta(days=40), WINDOW, START)
    assert over - windows[0].start == timedelta(days=7)
    windows, over = windows_at(START, None, WINDOW, START - timedelta(days=40))
    assert over - windows[0].start == timedelta(days=7)


@given(
    bad=st.lists(st.tuples(st.integers(0, 239), st.integers(1, 3)), max_size=40),
    polls=st.lists(st.tuples(st.integers(1, 25), st.booleans()), min_size=3, max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_every_api_opens_and_closes_in_turn_and_changes_once_a_window(
    bad: list[tuple[int, int]], polls: list[tuple[int, bool]]
) -> None:
    tenant = Tenant()
    for minute, api in bad:
        tenant.serving.fail(START + minute * MINUTE + timedelta(seconds=5), api)

    async def play() -> None:
        now = START
        await tenant.poll(now)
        for minutes, lost in polls:
            now += minutes * MINUTE
            await (tenant.look(now) if lost else tenant.poll(now))
        end = START + 300 * MINUTE
        while now < end:
            now += 5 * MINUTE
            await tenant.poll(now)

    # What has not happened yet is not told: the list is asked for times up to now only.
    asyncio.run(play())
    for key in {str(api) for _, api in bad}:
        mine = [event for event in tenant.memory.events if event.api and event.api.id == key]
        told = [event.type for event in mine if event.type != "impact.changed"]
        assert told == ["impact.opened", "impact.closed"] * (len(told) // 2)
        assert told
        changed = [event.impact.window_start for event in mine if event.impact and event.type == "impact.changed"]
        assert len(changed) == len(set(changed))
