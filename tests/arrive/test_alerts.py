"""The source `alerts` against a scripted service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_dataphin import START, ZONE, FakeDataphin, FakeMemory, kinds, millis, paged, projects, text
from phinops.arrive.arrival import Arrival
from phinops.arrive.poll.alerts import AlertSource
from phinops.arrive.projects import tenant_projects
from phinops.errors import Malformed, Transient
from phinops.event import Alert, Event
from phinops.vendor import Message

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass
class Alerting:
    """The alert list of a tenant: which rows a window holds is decided by the latest or by the first time."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    by: str = "LatestAlertTime"
    clamp: int = 10_000
    turned: int = 0
    turn: int = 0

    def put(self, key: str, latest: datetime, times: int = 1, status: str = "ALERTING", **more: Any) -> None:
        row = self.rows.setdefault(key, {"Id": key, "FirstAlertTime": text(latest)})
        row |= {"LatestAlertTime": text(latest), "TotalAlertTimes": times, "Status": status}
        row |= {"BelongProject": {"ProjectName": "orders"}, **more}

    def answer(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        query = params["ListQuery"]
        assert query["SourceSystem"] == "ALL"
        held = [
            row for row in self.rows.values() if query["AlertStartTime"] <= str(row[self.by]) <= query["AlertEndTime"]
        ]
        self.turned += self.turn
        at = self.turned % len(held) if held else 0
        found, total = paged(held[at:] + held[:at], query, clamp=self.clamp)
        return {"ListResult": {"Data": found, "TotalCount": total}}


@dataclass
class Tenant:
    alerting: Alerting = field(default_factory=Alerting)
    memory: FakeMemory = field(default_factory=FakeMemory)
    service: FakeDataphin = field(default_factory=FakeDataphin)

    def __post_init__(self) -> None:
        self.service.scripts |= {
            "ListAlertEvents": self.alerting.answer,
            "ListProjects": projects("orders", "stock"),
        }

    async def look(self, now: datetime) -> Arrival:
        """A poll of a process that has just started."""
        listed = tenant_projects(self.service, "all", "PROD")
        return await AlertSource("prod", self.service, self.memory, listed, zone=ZONE).poll(now)

    async def poll(self, now: datetime) -> list[Event]:
        return self.memory.commit(await self.look(now))


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


async def test_an_alert_is_opened_with_all_that_the_service_tells(tenant: Tenant) -> None:
    await tenant.poll(START)
    tenant.alerting.put(
        "7",
        START + MINUTE,
        AlertReason={
            "Type": "VDM_BATCH_ERROR",
            "UniqueKey": "t_1",
            "BizDate": "20260104",
            "AlertReasonParamList": [{"Key": "node_name", "Value": "dws_orders"}],
        },
        AlertObject={"Name": "dws_orders", "Type": "VDM_BATCH_SHELL", "SourceSystemType": "VDM_BATCH"},
        UrlConfig={"LogUrl": "https://log"},
    )
    (event,) = await tenant.poll(START + 2 * MINUTE)
    assert event.type == "alert.opened"
    assert event.time == START + MINUTE
    assert (event.project.id, event.project.name) == ("101", "orders")
    assert event.alert is not None
    assert event.alert.params == {"node_name": "dws_orders"}
    assert (event.alert.unique_key, event.alert.biz_date) == ("t_1", "2026-01-04")
    assert event.raw["Id"] == "7"


async def test_the_same_alert_in_the_next_window_is_nothing_new(tenant: Tenant) -> None:
    tenant.alerting.put("7", START)
    assert kinds(await tenant.poll(START)) == ["alert.opened"]
    arrival = await tenant.look(START + MINUTE)
    assert (arrival.events, dict(arrival.seen)) == ((), {})


async def test_first_start_fires_what_is_within_lookback_and_records_the_rest(tenant: Tenant) -> None:
    tenant.alerting.put("old", START - 2 * HOUR)
    tenant.alerting.put("new", START - 50 * MINUTE)
    (event,) = await tenant.poll(START)
    assert event.alert is not None
    assert event.alert.id == "new"
    tenant.alerting.put("old", START + MINUTE, times=2)
    assert kinds(await tenant.poll(START + 2 * MINUTE)) == ["alert.repeated"]


async def test_an_alert_without_a_date_is_old_at_first_and_news_later(tenant: Tenant) -> None:
    def undated(*keys: str) -> Mapping[str, Any]:
        rows = [{"Id": key, "Status": "ALERTING"} for key in keys]
        return {"ListResult": {"Data": rows, "TotalCount": len(rows)}}

    tenant.service.scripts["ListAlertEvents"] = lambda _: undated("1")
    assert await tenant.poll(START) == []
    tenant.service.scripts["ListAlertEvents"] = lambda _: undated("1", "2")
    (event,) = await tenant.poll(START + MINUTE)
    assert (event.type, event.time) == ("alert.opened", START + MINUTE)


async def test_a_count_that_rose_by_three_is_one_repetition(tenant: Tenant) -> None:
    tenant.alerting.put("7", START)
    await tenant.poll(START)
    tenant.alerting.put("7", START + MINUTE, times=4)
    assert kinds(await tenant.poll(START + MINUTE)) == ["alert.repeated"]


async def test_an_alert_that_came_and_went_between_two_polls_is_opened_and_closed(tenant: Tenant) -> None:
    await tenant.poll(START)
    tenant.alerting.put("7", START + MINUTE, status="FINISH")
    assert kinds(await tenant.poll(START + 2 * MINUTE)) == ["alert.opened", "alert.closed"]


async def test_muting_twice_is_two_events_and_changing_the_way_of_it_none(tenant: Tenant) -> None:
    tenant.alerting.put("7", START)
    await tenant.poll(START)
    seen = []
    for place, status in enumerate(("SILENCING", "DO_NOT_DISTURB", "ALERTING", "SILENCING")):
        tenant.alerting.put("7", START, status=status)
        seen += kinds(await tenant.poll(START + (place + 1) * MINUTE))
    assert seen == ["alert.silenced", "alert.silenced"]


async def test_an_alert_that_is_open_again_after_its_end_is_opened_again(tenant: Tenant) -> None:
    tenant.alerting.put("7", START)
    await tenant.poll(START)
    tenant.alerting.put("7", START, status="FINISH")
    assert kinds(await tenant.poll(START + MINUTE)) == ["alert.closed"]
    tenant.alerting.put("7", START + 2 * MINUTE, times=1)
    assert kinds(await tenant.poll(START + 2 * MINUTE)) == ["alert.opened"]
    tenant.alerting.put("7", START + 2 * MINUTE, status="FINISH")
    assert kinds(await tenant.poll(START + 3 * MINUTE)) == ["alert.closed"]


async def test_an_older_copy_of_an_alert_tells_nothing(tenant: Tenant) -> None:
    tenant.alerting.put("7", START, times=3)
    await tenant.poll(START)
    tenant.alerting.put("7", START - MINUTE, times=2, status="FINISH")
    assert await tenant.poll(START + MINUTE) == []
    tenant.alerting.put("7", START, times=2)
    assert await tenant.poll(START + MINUTE) == []


async def test_after_downtime_everything_since_the_last_poll_is_an_event(tenant: Tenant) -> None:
    await tenant.poll(START)
    tenant.alerting.put("7", START + MINUTE)
    tenant.alerting.put("8", START + 30 * HOUR)
    events = await tenant.poll(START + 60 * HOUR)
    assert [event.alert.id for event in events if event.alert] == ["7", "8"]


@pytest.mark.parametrize("by", ["LatestAlertTime", "FirstAlertTime"])
async def test_the_end_of_a_long_lived_alert_is_seen_however_the_window_works(by: str) -> None:
    tenant = Tenant(Alerting(by=by))
    tenant.alerting.put("7", START)
    await tenant.poll(START)
    for hours in range(1, 30, 2):
        await tenant.poll(START + hours * HOUR)
    tenant.alerting.put("7", START, status="FINISH")
    assert kinds(await tenant.poll(START + 31 * HOUR)) == ["alert.closed"]


async def test_a_far_window_of_many_pages_is_read_every_ten_minutes(tenant: Tenant) -> None:
    tenant.alerting.put("open", START - 30 * HOUR)
    for place in range(150):
        tenant.alerting.put(f"f{place}", START - 20 * HOUR, status="FINISH")
    for minute in range(11):
        await tenant.poll(START + minute * MINUTE)
    asked = [params["ListQuery"] for params in tenant.service.calls("ListAlertEvents")]
    far = [query for query in asked if query["AlertStartTime"] <= text(START - 30 * HOUR)]
    assert len(far) == 4
    assert len(asked) == 4 + 9


async def test_no_window_reaches_back_more_than_a_week_for_open_alerts(tenant: Tenant) -> None:
    tenant.alerting.put("open", START)
    await tenant.poll(START)
    for days in range(1, 20):
        await tenant.poll(START + days * 24 * HOUR)
    asked = tenant.service.calls("ListAlertEvents")[-1]["ListQuery"]
    assert asked["AlertStartTime"] == text(START + 12 * 24 * HOUR)


async def test_a_row_that_cannot_be_read_costs_none_of_the_others(tenant: Tenant) -> None:
    tenant.alerting.put("7", START)
    tenant.alerting.put("8", START)
    tenant.alerting.rows["8"]["TotalAlertTimes"] = "many"
    arrival = await tenant.look(START)
    assert [event.alert.id for event in arrival.events if event.alert] == ["7"]
    assert not arrival.complete
    assert arrival.faults[0].reason == "TotalAlertTimes: «many» is not a count (Id 8)"


async def test_a_reply_without_its_payload_moves_nothing(tenant: Tenant) -> None:
    tenant.service.scripts["ListAlertEvents"] = lambda _: {}
    with pytest.raises(Malformed, match="ListAlertEvents: Malformed: ListResult is missing"):
        await tenant.look(START)


async def test_a_project_that_is_not_listed_is_known_by_name_only(tenant: Tenant) -> None:
    tenant.service.scripts["ListProjects"] = lambda _: Transient("ListProjects", "ServiceUnavailable", "later")
    tenant.alerting.put("7", START)
    (event,) = await tenant.poll(START)
    assert (event.project.id, event.project.name) == ("", "orders")


async def test_what_has_ended_may_be_forgotten_a_month_after_the_last_good_poll(tenant: Tenant) -> None:
    first = await tenant.look(START)
    assert first.forget_before is None
    tenant.memory.commit(first)
    second = await tenant.look(START + 90 * 24 * HOUR)
    assert second.forget_before == START - timedelta(days=30)


steps = st.lists(
    st.tuples(
        st.sampled_from(["open", "repeat", "mute", "unmute", "close", "poll", "lose"]),
        st.integers(0, 400),
        st.integers(1, 240),
    ),
    min_size=5,
    max_size=60,
)


@given(
    steps=steps,
    clamp=st.sampled_from([10_000, 100, 40]),
    turn=st.sampled_from([0, 0, 1, 7]),
    by=st.sampled_from(["LatestAlertTime", "FirstAlertTime"]),
    crowd=st.integers(0, 230),
)
@settings(max_examples=60, deadline=None)
def test_every_change_of_every_alert_is_seen_once(
    steps: list[tuple[str, int, int]], clamp: int, turn: int, by: str, crowd: int
) -> None:
    """Over windows that overlap, pages that are cut and turn round while they are read, restarts and lost commits."""
    tenant = Tenant(Alerting(by=by, clamp=clamp, turn=turn))

    async def play() -> None:
        now = START
        await tenant.poll(now)
        for place in range(crowd):
            tenant.alerting.put(f"crowd{place}", now + MINUTE)
        for what, which, minutes in steps:
            now += minutes * MINUTE
            await _play(tenant, what, which, now)
        tenant.alerting.turn = 0
        # The last far window may have been a few minutes ago.
        await tenant.poll(now + MINUTE)
        await tenant.poll(now + 12 * MINUTE)
        await tenant.poll(now + 13 * MINUTE)

    asyncio.run(play())
    for key, row in tenant.alerting.rows.items():
        mine = [event for event in tenant.memory.events if event.alert and event.alert.id == key]
        told = kinds(mine)
        assert told.count("alert.opened") == 1
        assert told.count("alert.closed") == (row["Status"] == "FINISH")
        counts = [
            event.alert.times for event in mine if event.alert and event.type in ("alert.opened", "alert.repeated")
        ]
        assert counts == sorted(set(counts), key=lambda times: times or 0)
        assert counts[-1] == row["TotalAlertTimes"]


async def _play(tenant: Tenant, what: str, which: int, now: datetime) -> None:
    if what == "poll":
        await tenant.poll(now)
    elif what == "lose":
        await tenant.look(now)
    elif what == "open":
        tenant.alerting.put(f"a{len(tenant.alerting.rows)}", now)
    elif alive := [key for key, row in tenant.alerting.rows.items() if row["Status"] != "FINISH"]:
        row = tenant.alerting.rows[alive[which % len(alive)]]
        if what == "repeat":
            row |= {"LatestAlertTime": text(now), "TotalAlertTimes": row["TotalAlertTimes"] + 1}
        else:
            row["Status"] = {"mute": "SILENCING", "unmute": "ALERTING", "close": "FINISH"}[what]


def test_times_in_milliseconds_are_the_same_times() -> None:
    tenant = Tenant()
    tenant.alerting.put("7", START)
    asyncio.run(tenant.poll(START))
    row = tenant.alerting.rows["7"] | {"FirstAlertTime": millis(START), "LatestAlertTime": str(millis(START))}
    tenant.service.scripts["ListAlertEvents"] = lambda _: {"ListResult": {"Data": [row], "TotalCount": 1}}
    assert asyncio.run(tenant.poll(START + MINUTE)) == []


def pushed(key: str, at: datetime, project: str = "orders") -> Message:
    return Message(Alert(id=key, status="ALERTING", reason="VDM_BATCH_ERROR", latest_time=at), project_name=project)


async def told(tenant: Tenant, message: Message, now: datetime) -> list[str]:
    listed = tenant_projects(tenant.service, "all", "PROD")
    source = AlertSource("prod", tenant.service, tenant.memory, listed, zone=ZONE)
    return kinds(tenant.memory.commit(await source.told(now, message)))


@pytest.mark.parametrize("late", [-5, 0, 3, 45])
@pytest.mark.parametrize("first", ["push", "poll"])
async def test_a_pushed_alert_and_its_listed_twin_are_one_event_whichever_comes_first(
    tenant: Tenant, first: str, late: int
) -> None:
    await tenant.poll(START)
    fired = START + MINUTE
    told_at = fired + timedelta(seconds=late)
    now = START + 2 * MINUTE
    tenant.alerting.put("a", fired)
    found: list[str] = []
    for way in ("push", "poll", "push", "poll") if first == "push" else ("poll", "push", "poll", "push"):
        found += await told(tenant, pushed("a", told_at), now) if way == "push" else kinds(await tenant.poll(now))
    assert found == ["alert.opened"]
    tenant.alerting.put("a", fired, status="FINISH")
    assert kinds(await tenant.poll(now + MINUTE)) == ["alert.closed"]
    assert await told(tenant, pushed("a", told_at), now + MINUTE) == []


@pytest.mark.parametrize("first", ["push", "poll"])
async def test_a_repetition_is_told_once_whichever_tells_of_it_first(tenant: Tenant, first: str) -> None:
    await tenant.poll(START)
    fired = START + MINUTE
    tenant.alerting.put("a", fired)
    assert await told(tenant, pushed("a", fired + timedelta(seconds=3)), fired) == ["alert.opened"]
    again = fired + 5 * MINUTE
    tenant.alerting.put("a", again, times=2)
    found: list[str] = []
    for way in ("push", "poll", "push", "poll") if first == "push" else ("poll", "push", "poll", "push"):
        message = pushed("a", again + timedelta(seconds=2))
        found += await told(tenant, message, again) if way == "push" else kinds(await tenant.poll(again + MINUTE))
    assert found == ["alert.repeated"]


async def test_a_pushed_alert_without_a_time_is_of_now_and_its_project_is_asked_for(tenant: Tenant) -> None:
    await tenant.poll(START)
    listed = tenant_projects(tenant.service, "all", "PROD")
    source = AlertSource("prod", tenant.service, tenant.memory, listed, zone=ZONE)
    message = Message(Alert(id="a", status="ALERTING"), project_name="stock")
    (event,) = (await source.told(START + MINUTE, message)).events
    assert (event.time, event.project.name) == (START + MINUTE, "stock")
    assert event.project.id
