"""The source `instances` against a scripted service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_dataphin import START, ZONE, FakeDataphin, FakeMemory, kinds, millis, paged, projects, text
from phinops.arrive.arrival import Arrival, Part
from phinops.arrive.lasting import Asked
from phinops.arrive.poll.instancelist import InstanceList
from phinops.arrive.poll.instances import InstanceSource
from phinops.arrive.projects import tenant_projects
from phinops.arrive.ration import Ration
from phinops.errors import Forbidden, Refused, StoreError, Transient
from phinops.event import Event, JsonObject
from phinops.vendor import STATES
from simulated import HandClock

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@dataclass
class Running:
    """The instances of two projects, in the service's words."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    in_millis: bool = False
    clamp: int = 10_000
    turn: int = 0
    turned: int = 0

    def put(
        self,
        key: str,
        status: str,
        started: datetime | None = None,
        ended: datetime | None = None,
        *,
        project: str = "101",
        biz_date: datetime = START - DAY,
    ) -> None:
        self.owners[key] = project
        self.rows[key] = {
            "Id": key,
            "StatusList": [status],
            "started": started,
            "ended": ended,
            "biz_date": biz_date,
            "NodeInfo": {
                "Id": f"n_{key}",
                "Name": f"dws_{key}",
                "Type": "DATA_PROCESS",
                "SubDetailType": "SHELL",
                "PriorityList": ["HIGH"],
                "SchedulePeriodList": ["DAILY"],
                "SchedulePaused": "false",
                "OwnerList": [{"Id": 31234567890123456789, "Name": "li"}],
            },
        }

    def told(self, row: Mapping[str, Any]) -> dict[str, Any]:
        write = millis if self.in_millis else text
        kept = {name: value for name, value in row.items() if name not in ("started", "ended", "biz_date")}
        for name, value in (("StartExecuteTime", row["started"]), ("EndExecuteTime", row["ended"])):
            kept[name] = write(value) if value else None
        day = row["biz_date"].date()
        kept["BizDate"] = millis(row["biz_date"].replace(hour=0)) if self.in_millis else day.isoformat()
        return kept

    def listed(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        query = params["ListQuery"]
        assert query["ScheduleType"] == "NORMAL"
        held = [
            row
            for key, row in self.rows.items()
            if self.owners[key] == query["ProjectId"]
            and query["MinBizDate"] <= row["biz_date"].date().isoformat() <= query["MaxBizDate"]
            and ("RunStatusList" not in query or set(row["StatusList"]) & set(query["RunStatusList"]))
            and query.get("NodeId", _node_of(row)) == _node_of(row)
        ]
        self.turned += self.turn
        at = self.turned % len(held) if held else 0
        found, total = paged(held[at:] + held[:at], query, clamp=self.clamp)
        return {"PageResult": {"Data": [self.told(row) for row in found], "TotalCount": total}}

    def got(self, params: Mapping[str, Any]) -> Mapping[str, Any] | Exception:
        row = self.rows.get(params["InstanceId"])
        if row is None:
            return Refused("GetPhysicalInstance", "DPN.TaskScheduler.Task.TaskNotFoundByTaskId", "no such task")
        return {"Instance": self.told(row)}


@dataclass
class Tenant:
    running: Running = field(default_factory=Running)
    memory: FakeMemory = field(default_factory=FakeMemory)
    service: FakeDataphin = field(default_factory=FakeDataphin)
    wanted: frozenset[str] = frozenset({"instance.failed"})
    names: tuple[str, ...] = ("orders",)

    def __post_init__(self) -> None:
        self.service.scripts |= {
            "ListInstances": self.running.listed,
            "GetPhysicalInstance": self.running.got,
            "ListProjects": projects(*self.names),
        }

    def source(self, **more: Any) -> InstanceSource:
        listed = tenant_projects(self.service, "all", "PROD")
        return InstanceSource("prod", self.service, self.memory, listed, lambda: self.wanted, zone=ZONE, **more)

    async def look(self, now: datetime, **more: Any) -> Arrival:
        source = self.source(**more)
        return await source.poll(now, (await source.parts(now))[0])

    async def recovered(self, now: datetime, key: str, project: str = "101") -> Arrival:
        """What comes of it that somebody else reads the instance now."""
        source = self.source()
        instances = InstanceList(self.service, project, ZONE, "%Y-%m-%d")
        return await source.recovered(now, project, {key: await instances.get(key)})

    async def poll(self, now: datetime) -> list[Event]:
        return self.memory.commit(await self.look(now))

    def told(self, key: str) -> list[str]:
        return kinds([event for event in self.memory.events if event.instance and event.instance.id == key])


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


async def test_a_failure_carries_its_node_and_counts_its_attempts(tenant: Tenant) -> None:
    await tenant.poll(START)
    tenant.running.put("t_1", "FAILED", START, START + MINUTE)
    (event,) = await tenant.poll(START + 2 * MINUTE)
    assert event.instance is not None
    assert event.node is not None
    assert (event.type, event.time) == ("instance.failed", START + MINUTE)
    assert (event.instance.attempts, event.instance.previous_status, event.instance.paused) == (1, "", False)
    assert (event.node.id, event.node.name, event.node.sub_type) == ("n_t_1", "dws_t_1", "SHELL")
    assert event.node.owners[0].id == "31234567890123456789"
    assert (event.project.id, event.project.name) == ("101", "orders")


async def test_a_failure_is_told_once_in_either_style_of_time(tenant: Tenant) -> None:
    tenant.running.put("t_1", "FAILED", START + timedelta(milliseconds=345), START + MINUTE)
    assert kinds(await tenant.poll(START + 2 * MINUTE)) == ["instance.failed"]
    tenant.running.in_millis = True
    arrival = await tenant.look(START + 3 * MINUTE)
    assert (arrival.events, dict(arrival.seen)) == ((), {})


async def test_a_new_start_time_is_a_new_failure_though_it_was_never_seen_running(tenant: Tenant) -> None:
    tenant.running.put("t_1", "FAILED", START, START)
    await tenant.poll(START)
    tenant.running.put("t_1", "FAILED", START + MINUTE, START + 2 * MINUTE)
    (event,) = await tenant.poll(START + 3 * MINUTE)
    assert event.instance is not None
    assert (event.type, event.instance.attempts, event.instance.previous_status) == ("instance.failed", 2, "FAILED")


async def test_what_becomes_of_a_failure_is_followed_to_its_success(tenant: Tenant) -> None:
    tenant.running.put("t_1", "FAILED", START, START)
    await tenant.poll(START)
    tenant.running.put("t_1", "WAIT_RESOURCE", START)
    await tenant.poll(START + MINUTE)
    tenant.running.put("t_1", "RUNNING", START + MINUTE)
    await tenant.poll(START + 2 * MINUTE)
    calls = len(tenant.service.asked)
    await tenant.poll(START + 3 * MINUTE)
    assert [name for name, _ in tenant.service.asked[calls:]] == ["ListProjects", "ListInstances"]
    tenant.running.put("t_1", "SUCCESS", START + MINUTE, START + 3 * MINUTE)
    (event,) = await tenant.poll(START + 4 * MINUTE)
    assert event.instance is not None
    assert (event.instance.previous_status, event.instance.attempts) == ("RUNNING", 1)
    assert tenant.told("t_1") == ["instance.failed", "instance.waiting", "instance.running", "instance.succeeded"]
    calls = len(tenant.service.asked)
    await tenant.poll(START + 5 * MINUTE)
    assert len(tenant.service.asked) == calls + 2


async def test_what_somebody_else_looks_at_is_left_to_him(tenant: Tenant) -> None:
    tenant.running.put("t_1", "FAILED", START, START)
    tenant.running.put("t_2", "FAILED", START, START)
    await tenant.poll(START)
    for key in ("t_1", "t_2"):
        tenant.running.put(key, "SUCCESS", START + MINUTE, START + 2 * MINUTE)
    arrival = await tenant.look(START + 3 * MINUTE, followed=lambda project: {"t_1"} if project == "101" else set())
    assert arrival.follow_ups == 1
    assert [event.instance and event.instance.id for event in tenant.memory.commit(arrival)] == ["t_2"]
    # He went away without a word.
    assert kinds(await tenant.poll(START + 4 * MINUTE)) == ["instance.succeeded"]
    assert tenant.told("t_1") == ["instance.failed", "instance.succeeded"]


async def test_a_recovery_that_somebody_else_saw_is_the_event_that_a_poll_makes_of_it(tenant: Tenant) -> None:
    tenant.running.put("t_1", "FAILED", START, START)
    await tenant.poll(START)
    tenant.running.put("t_1", "SUCCESS", START + MINUTE, START + 2 * MINUTE)
    told = await tenant.recovered(START + 3 * MINUTE, "t_1")
    polled = await tenant.look(START + 3 * MINUTE)
    assert polled.events == told.events
    assert polled.seen == told.seen
    assert (told.part, told.cursor, told.calls) == (None, {}, 0)
    (event,) = tenant.memory.commit(told)
    assert (event.project.name, event.time) == ("orders", START + 2 * MINUTE)
    calls = len(tenant.service.calls("GetPhysicalInstance"))
    assert await tenant.poll(START + 4 * MINUTE) == []
    assert len(tenant.service.calls("GetPhysicalInstance")) == calls


async def test_of_what_the_source_does_not_follow_nothing_is_told(tenant: Tenant) -> None:
    tenant.running.put("t_1", "SUCCESS", START, START)
    await tenant.poll(START)
    assert (await tenant.recovered(START + MINUTE, "t_1")).seen == {}
    tenant.running.put("t_2", "FAILED", START, START)
    await tenant.poll(START + MINUTE)
    assert (await tenant.recovered(START + MINUTE, "t_2")).seen == {}
    tenant.running.put("t_2", "SUCCESS", START + MINUTE, START + MINUTE)
    assert (await tenant.recovered(START + MINUTE, "t_2", project="999")).seen == {}


async def test_a_failure_set_to_success_happens_when_it_is_seen(tenant: Tenant) -> None:
    tenant.running.put("t_1", "FAILED", START, START)
    await tenant.poll(START)
    tenant.running.put("t_1", "SUCCESS", START, START)
    (event,) = await tenant.poll(START + 9 * MINUTE)
    assert (event.type, event.time) == ("instance.succeeded", START + 9 * MINUTE)


async def test_a_run_stopped_while_it_waits_fails_again_without_a_new_attempt(tenant: Tenant) -> None:
    tenant.running.put("t_1", "FAILED", START, START)
    await tenant.poll(START)
    tenant.running.put("t_1", "WATING", START)
    await tenant.poll(START + MINUTE)
    tenant.running.put("t_1", "FAILED", START, START + 2 * MINUTE)
    (event,) = await tenant.poll(START + 2 * MINUTE)
    assert event.instance is not None
    assert (event.type, event.instance.attempts) == ("instance.failed", 1)


async def test_a_copy_of_an_earlier_run_and_an_unknown_status_tell_nothing(tenant: Tenant) -> None:
    tenant.running.put("t_1", "FAILED", START, START)
    await tenant.poll(START)
    tenant.running.put("t_1", "FAILED", START - MINUTE, START - MINUTE)
    assert await tenant.poll(START + MINUTE) == []
    tenant.running.put("t_1", "MYSTERY", START + MINUTE)
    assert await tenant.poll(START + 2 * MINUTE) == []


async def test_a_first_start_on_a_thousand_old_failures_fires_only_the_ten_of_the_last_hour(tenant: Tenant) -> None:
    for place in range(1000):
        tenant.running.put(f"t_{place}", "FAILED", START - DAY, START - DAY, biz_date=START - 3 * DAY)
    for place in range(10):
        tenant.running.put(f"new_{place}", "FAILED", START - 50 * MINUTE, START - 40 * MINUTE)
    tenant.running.put("undated", "FAILED")
    events = await tenant.poll(START)
    assert sorted(event.instance.id for event in events if event.instance) == sorted(f"new_{n}" for n in range(10))
    assert await tenant.poll(START + MINUTE) == []
    tenant.running.put("t_7", "FAILED", START, START + MINUTE, biz_date=START - 3 * DAY)
    (event,) = await tenant.poll(START + 2 * MINUTE)
    assert event.instance is not None
    assert event.instance.attempts == 2


async def test_after_downtime_every_failure_since_the_last_poll_is_an_event(tenant: Tenant) -> None:
    await tenant.poll(START)
    tenant.running.put("t_1", "FAILED", START + DAY, START + DAY, biz_date=START)
    tenant.running.put("t_2", "FAILED", START + 6 * DAY, START + 6 * DAY, biz_date=START + 5 * DAY)
    assert len(await tenant.poll(START + 8 * DAY)) == 2


async def test_the_states_that_rules_name_are_listed_and_news_from_the_last_poll_on(tenant: Tenant) -> None:
    await tenant.poll(START)
    tenant.running.put("early", "SUCCESS", START - MINUTE, START - MINUTE)
    tenant.running.put("late", "SUCCESS", START, START + MINUTE)
    tenant.running.put("waits", "INIT")
    tenant.wanted = frozenset({"instance.succeeded", "instance.waiting"})
    (event,) = await tenant.poll(START + 2 * MINUTE)
    assert event.instance is not None
    assert event.instance.id == "late"
    tenant.running.put("waits_too", "NIT")
    tenant.running.rows["waits_too"]["StatusList"] = ["INIT"]
    assert kinds(await tenant.poll(START + 3 * MINUTE)) == ["instance.waiting"]
    asked = tenant.service.calls("ListInstances")[-1]["ListQuery"]["RunStatusList"]
    assert asked == ["FAILED", "SUCCESS", "INIT", "WAIT_SUBMISSION", "WAIT_SCHEDULE", "WAIT_RESOURCE"]


async def test_of_other_states_than_failures_no_far_window_is_listed(tenant: Tenant) -> None:
    tenant.wanted = frozenset({"instance.succeeded"})
    for place in range(150):
        tenant.running.put(f"s_{place}", "SUCCESS", START - 9 * DAY, START - 9 * DAY, biz_date=START - 10 * DAY)
    tenant.running.put("t_1", "FAILED", START - 9 * DAY, START - 9 * DAY, biz_date=START - 10 * DAY)
    first = await tenant.look(START)
    assert (first.calls, first.events, list(first.seen)) == (2, (), ["t_1"])
    tenant.memory.commit(first)
    tenant.running.put("t_1", "FAILED", START, START, biz_date=START - 10 * DAY)
    tenant.running.put("t_2", "SUCCESS", START, START)
    assert kinds(await tenant.poll(START + MINUTE)) == ["instance.succeeded"]
    assert kinds(await tenant.poll(START + 61 * MINUTE)) == ["instance.failed"]


async def test_others_that_run_are_not_told_when_only_failures_are_listened_to(tenant: Tenant) -> None:
    tenant.running.put("t_1", "FAILED", START, START)
    tenant.running.put("other", "RUNNING", START)
    await tenant.poll(START)
    tenant.running.put("t_1", "RUNNING", START + MINUTE)
    await tenant.poll(START + MINUTE)
    await tenant.poll(START + 2 * MINUTE)
    assert tenant.told("other") == []


async def test_many_that_left_the_list_are_read_in_fewer_calls(tenant: Tenant) -> None:
    for place in range(60):
        tenant.running.put(f"t_{place}", "FAILED", START, START)
    await tenant.poll(START)
    for place in range(60):
        tenant.running.put(f"t_{place}", "SUCCESS", START + MINUTE, START + MINUTE)
    arrival = await tenant.look(START + 2 * MINUTE)
    assert kinds(arrival.events) == ["instance.succeeded"] * 60
    assert arrival.calls == 2


async def test_few_among_very_many_are_read_one_by_one(tenant: Tenant) -> None:
    for place in range(900):
        tenant.running.put(f"s_{place}", "SUCCESS", START, START)
    for place in range(8):
        tenant.running.put(f"t_{place}", "FAILED", START, START)
    await tenant.poll(START)
    for place in range(8):
        tenant.running.put(f"t_{place}", "WAIT_SCHEDULE")
    arrival = await tenant.look(START + MINUTE)
    assert kinds(arrival.events) == ["instance.waiting"] * 8
    assert arrival.calls == 1 + 1 + 8


async def test_a_failure_that_is_gone_is_let_go(tenant: Tenant) -> None:
    tenant.running.put("t_1", "FAILED", START, START)
    await tenant.poll(START)
    del tenant.running.rows["t_1"]
    assert await tenant.poll(START + MINUTE) == []
    assert await tenant.memory.tracked("instances") == {}


async def test_one_that_is_refused_and_of_no_known_node_is_let_go(tenant: Tenant) -> None:
    tenant.running.put("t_1", "FAILED", START, START)
    tenant.running.rows["t_1"]["NodeInfo"] = None
    await tenant.poll(START)
    del tenant.running.rows["t_1"]
    await tenant.poll(START + MINUTE)
    assert await tenant.memory.tracked("instances") == {}


async def test_a_logical_table_is_found_through_its_node(tenant: Tenant) -> None:
    tenant.running.put("t_1", "FAILED", START, START)
    tenant.running.rows["t_1"]["StatusList"] = ["SUCCESS", "FAILED"]
    assert kinds(await tenant.poll(START)) == ["instance.failed"]
    tenant.running.rows["t_1"]["StatusList"] = ["SUCCESS", "SUCCESS"]
    tenant.service.scripts["GetPhysicalInstance"] = lambda _: Refused("GetPhysicalInstance", "No", "not physical")
    assert kinds(await tenant.poll(START + MINUTE)) == ["instance.succeeded"]


@pytest.mark.parametrize(
    "answer",
    [Forbidden("GetPhysicalInstance", "DPN.Filter.NoPermission", "no"), {"Instance": {"Id": ""}}, {}],
)
async def test_a_failure_that_cannot_be_read_now_is_tried_again(tenant: Tenant, answer: Any) -> None:
    tenant.running.put("t_1", "FAILED", START, START)
    await tenant.poll(START)
    tenant.running.put("t_1", "SUCCESS", START, START + MINUTE)
    tenant.service.scripts["GetPhysicalInstance"] = lambda _: answer
    arrival = await tenant.look(START + MINUTE)
    assert len(arrival.faults) == 1
    tenant.memory.commit(arrival)
    tenant.service.scripts["GetPhysicalInstance"] = tenant.running.got
    assert kinds(await tenant.poll(START + 2 * MINUTE)) == ["instance.succeeded"]


async def test_a_failure_older_than_the_service_keeps_is_followed_no_longer(tenant: Tenant) -> None:
    tenant.running.put("t_1", "FAILED", START, START)
    await tenant.poll(START)
    tenant.running.rows.clear()
    await tenant.poll(START + 20 * DAY)
    assert tenant.service.calls("GetPhysicalInstance") == []
    assert await tenant.memory.tracked("instances") == {}


async def test_each_project_goes_on_from_its_own_last_poll() -> None:
    tenant = Tenant(names=("orders", "stock"))
    source = InstanceSource(
        "prod", tenant.service, tenant.memory, tenant_projects(tenant.service, "all", "PROD"), frozenset, zone=ZONE
    )
    orders, stock = await source.parts(START)
    assert (orders, stock) == (Part("101", "orders"), Part("102", "stock"))
    for part in (orders, stock):
        tenant.memory.commit(await source.poll(START, part))
    for number, project in enumerate(("101", "102"), 1):
        tenant.running.put(f"t_{number}", "FAILED", START + MINUTE, START + MINUTE, project=project)
    found = tenant.memory.commit(await source.poll(START + 2 * MINUTE, orders))
    assert [event.instance.id for event in found if event.instance] == ["t_1"]
    # Not polled for three hours: what happened since is news all the same.
    found = tenant.memory.commit(await source.poll(START + 180 * MINUTE, stock))
    assert [event.instance.id for event in found if event.instance] == ["t_2"]
    assert set(tenant.memory.cursors) == {"instances/101", "instances/102"}


async def test_a_project_that_is_not_answered_moves_nothing(tenant: Tenant) -> None:
    before = dict(tenant.memory.cursors)
    tenant.service.scripts["ListInstances"] = lambda _: Transient("ListInstances", "ServiceUnavailable", "later")
    with pytest.raises(Transient):
        await tenant.look(START)
    assert tenant.memory.cursors == before


async def test_a_memory_that_cannot_be_read_is_an_error_though_the_service_answers(tenant: Tenant) -> None:
    class Forgetful(FakeMemory):
        async def seen(self, source: str, ids: Sequence[str]) -> Mapping[str, JsonObject]:
            raise StoreError("the disk is gone")

    tenant.memory = Forgetful()
    with pytest.raises(StoreError):
        await tenant.look(START)


async def test_business_dates_are_asked_for_in_the_units_own_format(tenant: Tenant) -> None:
    tenant.running.rows.clear()
    arrival = await tenant.look(START, biz_date_format="%Y%m%d")
    assert arrival.complete
    query = tenant.service.calls("ListInstances")[0]["ListQuery"]
    assert (query["MinBizDate"], query["MaxBizDate"]) == ("20251221", "20260105")


async def test_a_far_window_of_many_pages_is_read_every_hour(tenant: Tenant) -> None:
    for place in range(150):
        tenant.running.put(f"t_{place}", "FAILED", START - 9 * DAY, START - 9 * DAY, biz_date=START - 10 * DAY)
    for minutes in (0, 1, 2, 62):
        await tenant.poll(START + minutes * MINUTE)
    firsts = [params["ListQuery"]["MinBizDate"] for params in tenant.service.calls("ListInstances")]
    assert firsts == ["2025-12-21"] * 2 + ["2026-01-02"] * 2 + ["2025-12-21"] * 2


life = st.lists(
    st.tuples(st.sampled_from(["fail", "rerun", "end", "poll", "lose", "verify"]), st.integers(0, 400), st.booleans()),
    min_size=5,
    max_size=60,
)


@given(
    life=life,
    clamp=st.sampled_from([10_000, 30]),
    turn=st.sampled_from([0, 0, 1, 7]),
    crowd=st.integers(0, 130),
    in_millis=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_failed_run_and_every_recovery_is_seen_once(
    life: list[tuple[str, int, bool]], clamp: int, turn: int, crowd: int, in_millis: bool
) -> None:
    """Over pages that are cut and turn round while they are read, restarts, lost commits and styles of time."""
    tenant = Tenant(Running(clamp=clamp, turn=turn, in_millis=in_millis))
    runs: dict[str, int] = {}

    async def play() -> None:
        now = START
        await tenant.poll(now)
        for place in range(crowd):
            tenant.running.put(f"crowd{place}", "FAILED", now, now + MINUTE)
            runs[f"crowd{place}"] = 1
        for what, which, odd in life:
            now += MINUTE
            await _live(tenant, runs, what, which, odd, now)
        await _calm(tenant, now + MINUTE)

    asyncio.run(play())
    for key, failed in runs.items():
        attempts = [
            event.instance.attempts
            for event in tenant.memory.events
            if event.instance and event.instance.id == key and event.type == "instance.failed"
        ]
        assert attempts == list(range(1, failed + 1))
        last = STATES[tenant.running.rows[key]["StatusList"][0]]
        known = next(
            event.instance for event in reversed(tenant.memory.events) if event.instance and event.instance.id == key
        )
        assert known.status == last


async def _calm(tenant: Tenant, now: datetime) -> None:
    turn, tenant.running.turn = tenant.running.turn, 0
    await tenant.poll(now)
    tenant.running.turn = turn


async def _live(tenant: Tenant, runs: dict[str, int], what: str, which: int, odd: bool, now: datetime) -> None:
    rows = tenant.running.rows
    # A failure that was run again before anybody looked was seen by nobody.
    failed = [key for key in runs if rows[key]["StatusList"] == ["FAILED"] and _failures(tenant, key) == runs[key]]
    again = [key for key, row in rows.items() if row["StatusList"] == ["RUNNING"]]
    if what == "poll":
        tenant.running.in_millis ^= odd
        await tenant.poll(now)
    elif what == "lose":
        await tenant.look(now)
    elif what == "verify" and rows:
        arrival = await tenant.recovered(now, list(rows)[which % len(rows)])
        if not odd:
            tenant.memory.commit(arrival)
    elif what == "fail":
        key = f"t_{len(rows)}"
        tenant.running.put(key, "FAILED", now, now)
        runs[key] = 1
    elif what == "rerun" and failed:
        tenant.running.put(failed[which % len(failed)], "RUNNING", now)
    elif what == "end" and again:
        key = again[which % len(again)]
        tenant.running.put(key, "FAILED" if odd else "SUCCESS", rows[key]["started"], now)
        runs[key] += odd


def _failures(tenant: Tenant, key: str) -> int:
    return tenant.told(key).count("instance.failed")


def _node_of(row: Mapping[str, Any]) -> Any:
    return (row["NodeInfo"] or {}).get("Id")


# What lasts too long


OVERDUE = Asked("instance.overdue", "", 1800)
RUNS = Asked("instance.stuck", "RUNNING", 1200)


def standing(arrival: Arrival) -> dict[str, str]:
    return {each.instance.id: each.instance.status for each in arrival.standing}


async def test_what_rules_call_too_long_is_listed_and_makes_no_event_of_its_own(tenant: Tenant) -> None:
    tenant.running.put("t_1", "RUNNING", START)
    tenant.running.put("t_2", "DISPATCH_BLOCKED")
    tenant.running.put("t_3", "FAILED", START, START)
    stuck = [RUNS, RUNS._replace(state="BLOCKED"), RUNS._replace(state="FAILED")]
    arrival = await tenant.look(START, lasting=lambda: stuck)
    assert standing(arrival) == {"t_1": "RUNNING", "t_2": "BLOCKED", "t_3": "FAILED"}
    assert (kinds(arrival.events), list(arrival.seen)) == (["instance.failed"], ["t_3"])
    assert arrival.roll is not None
    assert arrival.roll.states == {"RUNNING", "BLOCKED", "FAILED"}
    assert (arrival.roll.first, arrival.roll.last) == ((START - 15 * DAY).date(), START.date())
    assert arrival.old == START - timedelta(hours=1)
    assert arrival.calls == 1


async def test_what_is_known_of_earlier_runs_stands_with_the_instance(tenant: Tenant) -> None:
    tenant.running.put("t_1", "FAILED", START, START)
    await tenant.poll(START)
    tenant.running.put("t_1", "RUNNING", START + MINUTE)
    arrival = await tenant.look(START + 2 * MINUTE, lasting=lambda: [RUNS])
    (found,) = arrival.standing
    assert (found.instance.attempts, found.instance.previous_status, found.raw["Id"]) == (1, "FAILED", "t_1")
    assert (found.project.name, arrival.old) == ("orders", None)


async def test_few_that_wait_come_with_the_others_and_many_by_themselves_as_often_as_the_ration_allows(
    tenant: Tenant,
) -> None:
    clock = HandClock()
    more = {"lasting": lambda: [OVERDUE], "ration": Ration(240, clock)}  # ten an hour

    async def look(minute: int) -> tuple[int, int, bool]:
        arrival = await tenant.look(START + minute * MINUTE, **more)
        tenant.memory.commit(arrival)
        assert arrival.roll is not None
        return arrival.calls, len(arrival.standing), "WAITING" in arrival.roll.states

    tenant.running.put("t_0", "INIT")
    assert await look(0) == (2, 1, True)
    assert await look(1) == (1, 1, True)
    for n in range(1500):
        tenant.running.put(f"t_{n}", "INIT")
    assert (await look(2))[1:] == (1500, True)
    assert await look(3) == (16, 1500, True)
    assert await look(4) == (1, 0, False)
    clock.turn(3600)
    assert await look(5) == (16, 1500, True)
    for n in range(1460):
        del tenant.running.rows[f"t_{n}"]
    clock.turn(36_000)
    assert await look(6) == (2, 40, True)
    assert await look(7) == (1, 40, True)
    more["lasting"] = lambda: [RUNS]
    arrival = await tenant.look(START + 8 * MINUTE, **more)
    assert "waiting" not in arrival.cursor


async def test_where_something_was_not_seen_nothing_is_said_of_who_is_not_there(tenant: Tenant) -> None:
    tenant.running.put("t_1", "RUNNING", START)
    tenant.running.rows["t_1"]["StatusList"] = ["RUNNING"]
    tenant.running.put("t_2", "RUNNING", START)
    tenant.running.rows["t_2"]["DueTime"] = "some day"
    arrival = await tenant.look(START, lasting=lambda: [RUNS])
    assert (standing(arrival), arrival.roll, len(arrival.faults)) == ({"t_1": "RUNNING"}, None, 1)
    tenant.running.rows["t_2"]["StatusList"] = ["INIT"]
    arrival = await tenant.look(START, lasting=lambda: [OVERDUE])
    assert (standing(arrival), arrival.roll, len(arrival.faults)) == ({}, None, 1)


async def test_where_a_rule_listens_to_what_waits_it_is_listed_with_the_others(tenant: Tenant) -> None:
    tenant.wanted = frozenset({"instance.waiting"})
    for n in range(60):
        tenant.running.put(f"t_{n}", "INIT")
    arrival = await tenant.look(START, lasting=lambda: [OVERDUE])
    assert (len(arrival.standing), len(arrival.seen)) == (60, 60)
    assert arrival.roll is not None
    assert arrival.roll.first == (START - 3 * DAY).date()
