"""Cron: due times, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_dataphin import START, ZONE, FakeMemory
from phinops.arrive.schedule import ScheduleSource, latest_due, next_due
from phinops.clock import ScaledClock, SystemClock
from phinops.errors import StoreError
from phinops.event import Event

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = timedelta(minutes=1)


def berlin(*parts: int, fold: int = 0) -> datetime:
    year, month, day, hour, minute = parts
    return datetime(year, month, day, hour, minute, tzinfo=BERLIN, fold=fold)


@pytest.mark.parametrize(
    ("cron", "after", "due"),
    [
        # The clocks skip from 2 to 3 o'clock, and 0:59:59 UTC is followed by 3 o'clock.
        ("30 2 * * *", berlin(2026, 3, 29, 0, 0), "2026-03-29T01:00"),
        ("30 2 * * *", berlin(2026, 3, 29, 3, 0), "2026-03-30T00:30"),
        ("*/20 * * * *", berlin(2026, 3, 29, 1, 40), "2026-03-29T01:00"),
        # They go back from 3 to 2: half past two comes twice.
        ("30 2 * * *", berlin(2026, 10, 25, 0, 0), "2026-10-25T00:30"),
        ("30 2 * * *", berlin(2026, 10, 25, 2, 30), "2026-10-26T01:30"),
        ("*/30 * * * *", berlin(2026, 10, 25, 2, 30), "2026-10-25T01:00"),
        ("*/30 * * * *", berlin(2026, 10, 25, 2, 30, fold=1), "2026-10-25T02:00"),
        ("0 9 * * 1", berlin(2026, 1, 5, 9, 0), "2026-01-12T08:00"),
    ],
)
def test_a_due_time_is_on_the_clocks_of_the_zone(cron: str, after: datetime, due: str) -> None:
    assert next_due(cron, after, BERLIN) == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_a_cron_that_never_comes_is_never_due_and_one_that_is_none_is_an_error() -> None:
    assert latest_due("0 0 29 2 *", START, START + 10 * MINUTE, ZONE) is None
    with pytest.raises(ValueError, match="«every day» is not a cron expression"):
        next_due("every day", START, ZONE)


@given(
    cron=st.sampled_from(["30 2 * * *", "*/7 * * * *", "0 */3 * * *", "15 1-3 * * 0", "0 0 1 * *", "*/10 2 * * *"]),
    start=st.integers(0, 60 * 24 * 365),
    minutes=st.integers(1, 60 * 24 * 3),
)
@settings(max_examples=150, deadline=None)
def test_the_latest_due_time_is_the_last_of_those_in_between(cron: str, start: int, minutes: int) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC) + start * MINUTE
    end = begin + minutes * MINUTE
    due, last = begin, None
    while (following := next_due(cron, due, BERLIN)) and following <= end:
        due = last = following
    found = latest_due(cron, begin, end, BERLIN)
    assert (found is None) == (last is None)
    # Stepping back may land on the first of two times that the clocks show, never on one that has fired.
    assert found is None or last is None or begin < found <= last
    if last and not cron.startswith(("30 2", "*/10 2", "15 1")):
        assert found == last


@dataclass
class Rules:
    crons: dict[str, str] = field(default_factory=dict)
    memory: FakeMemory = field(default_factory=FakeMemory)

    async def poll(self, now: datetime) -> list[Event]:
        """A poll of a process that has just started."""
        source = ScheduleSource("prod", self.memory, lambda: self.crons, zone=ZONE, clock=SystemClock())
        return self.memory.commit(await source.poll(now))


async def test_a_due_time_is_one_event_for_its_rule() -> None:
    rules = Rules({"a": "*/5 * * * *", "b": "*/5 * * * *", "c": "0 0 1 1 *"})
    assert await rules.poll(START) == []
    events = await rules.poll(START + 5 * MINUTE)
    assert [event.raw for event in events] == [{"rule": "a"}, {"rule": "b"}]
    event = events[0]
    assert event.schedule is not None
    assert (event.type, event.time) == ("schedule.fired", START + 5 * MINUTE)
    assert (event.schedule.cron, event.schedule.due) == ("*/5 * * * *", START + 5 * MINUTE)
    assert event.time.utcoffset() == timedelta(hours=8)
    assert await rules.poll(START + 5 * MINUTE) == []


async def test_what_was_due_while_nobody_looked_is_one_event_for_the_latest() -> None:
    rules = Rules({"a": "*/5 * * * *"})
    await rules.poll(START)
    (event,) = await rules.poll(START + 48 * MINUTE)
    assert event.time == START + 45 * MINUTE
    assert await rules.poll(START + 49 * MINUTE) == []


async def test_a_new_expression_is_due_from_now_on_and_a_broken_one_never() -> None:
    rules = Rules({"a": "*/5 * * * *", "broken": "whenever"})
    await rules.poll(START)
    rules.crons["a"] = "*/2 * * * *"
    assert await rules.poll(START + 9 * MINUTE) == []
    (event,) = await rules.poll(START + 10 * MINUTE)
    assert event.schedule is not None
    assert event.schedule.cron == "*/2 * * * *"


async def test_a_clock_set_back_repeats_nothing() -> None:
    rules = Rules({"a": "*/5 * * * *"})
    await rules.poll(START)
    await rules.poll(START + 10 * MINUTE)
    assert await rules.poll(START + 3 * MINUTE) == []
    assert await rules.poll(START + 10 * MINUTE) == []


@given(steps=st.lists(st.integers(0, 400), min_size=1, max_size=60), cron=st.sampled_from(["* * * * *", "*/7 * * * *"]))
@settings(max_examples=50, deadline=None)
def test_looked_at_often_enough_no_due_time_is_lost_or_repeated(steps: list[int], cron: str) -> None:
    rules = Rules({"a": cron})
    every = 1 if cron == "* * * * *" else 7

    async def play() -> None:
        now = START
        await rules.poll(now)
        for seconds in steps:
            now += timedelta(seconds=min(seconds, 59 if every == 1 else 400))
            await rules.poll(now)

    asyncio.run(play())
    told = [event.time for event in rules.memory.events]
    first = next_due(cron, START, ZONE)
    assert all(later - sooner == every * MINUTE for sooner, later in pairwise(told) if later.minute)
    assert not told or told[0] == first


async def test_the_wheel_turns_with_a_clock_that_runs_faster() -> None:
    """Due times that are half an hour apart, on a clock that takes 1.8 s for each, and looks that are not for one."""
    memory, clock = FakeMemory(), ScaledClock(1000, START)
    source = ScheduleSource("prod", memory, lambda: {"a": "*/30 * * * *"}, zone=ZONE, clock=clock)
    polls = 0
    told = asyncio.Event()

    async def once(now: datetime) -> None:
        nonlocal polls
        polls += 1
        memory.commit(await source.poll(now))
        if len(memory.events) == 2:
            told.set()

    await run_until(source, once, told)
    assert [event.time - START for event in memory.events] == [30 * MINUTE, 60 * MINUTE]
    assert polls > 4


async def test_a_rule_that_comes_while_the_wheel_waits_is_looked_at_at_once() -> None:
    """And one whose due time could not be committed is due still."""
    memory, told = FakeMemory(), asyncio.Event()
    crons: dict[str, str] = {}
    source = ScheduleSource("prod", memory, lambda: crons, zone=ZONE, clock=ScaledClock(20, START))
    failures = 0

    async def once(now: datetime) -> None:
        nonlocal failures
        arrival = await source.poll(now)
        if arrival.events and not failures:
            failures += 1
            raise StoreError("the disk is full")
        memory.commit(arrival)
        if not crons:
            crons.update({"a": "*/10 * * * * *", "broken": "now and then"})
            source.changed()
        if memory.events:
            told.set()

    await run_until(source, once, told)
    assert failures == 1
    assert memory.events[0].time - START <= timedelta(seconds=30)


async def run_until(source: ScheduleSource, once: Callable[[datetime], Awaitable[None]], told: asyncio.Event) -> None:
    running = asyncio.create_task(source.run(once))
    async with asyncio.timeout(20):
        await told.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
