"""The timer wheel, on clocks of every kind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from datetime import datetime, timedelta

import anyio

from fake_dataphin import START, ZONE, FakeMemory
from phinops.arrive.schedule import ScheduleSource
from phinops.arrive.wheel import Wheel
from phinops.clock import LoopClock, ScaledClock, SystemClock
from phinops.virtual import run

HOUR = timedelta(hours=1)


def test_a_cron_fires_at_its_minutes_through_a_virtual_day_that_takes_no_time() -> None:
    async def main() -> FakeMemory:
        clock = LoopClock(START - timedelta(seconds=asyncio.get_running_loop().time()))
        memory = FakeMemory()
        source = ScheduleSource("prod", memory, lambda: {"a": "7,37 * * * *"}, zone=ZONE, clock=clock)

        async def once(now: datetime) -> None:
            for event in memory.commit(await source.poll(now)):
                assert now - event.time < timedelta(seconds=1)

        await _for(source.run(once), clock, 24 * 3600.0)
        return memory

    began = time.monotonic()
    memory = run(main())
    assert time.monotonic() - began < 10  # a third of a second, unless others want the machine
    assert [event.time for event in memory.events] == [START + n * HOUR / 2 + timedelta(minutes=7) for n in range(48)]


def test_the_wheel_goes_on_where_the_wall_clock_jumps() -> None:
    """Back by an hour, and on by a day: it ticks as its wait says, and the wait is asked anew."""

    async def main() -> list[float]:
        clock = LoopClock(START)
        ticks: list[float] = []
        begin = clock.monotonic()

        def tick() -> None:
            ticks.append(round(clock.monotonic() - begin, 3))
            clock.jumped += -HOUR if len(ticks) == 1 else timedelta(days=1)

        async with Wheel(clock, lambda: 60.0, tick):
            await clock.sleep(200.0)
        return ticks

    assert run(main()) == [60.0, 120.0, 180.0]


async def test_on_the_machine_s_clock_it_ticks_in_its_seconds() -> None:
    ticks: list[float] = []
    ticked = anyio.Event()

    def tick() -> None:
        ticks.append(time.monotonic())
        if len(ticks) == 3:
            ticked.set()

    began = time.monotonic()
    async with Wheel(SystemClock(), lambda: 0.05, tick):
        with anyio.fail_after(10):
            await ticked.wait()
    assert ticks[-1] - began >= 0.15


async def test_on_a_fast_clock_it_ticks_in_that_one_s_seconds() -> None:
    clock = ScaledClock(1200)
    ticked = anyio.Event()
    began = clock.monotonic()
    async with Wheel(clock, lambda: 60.0, ticked.set):
        with anyio.fail_after(10):
            await ticked.wait()
    assert clock.monotonic() - began >= 59


async def test_a_wait_that_became_shorter_counts_from_the_turn() -> None:
    waits = [3600.0]
    ticked = anyio.Event()
    async with Wheel(SystemClock(), lambda: waits[0], ticked.set) as wheel:
        waits[0] = 0.01
        wheel.turn()
        with anyio.fail_after(10):
            await ticked.wait()


async def _for(running: Awaitable[None], clock: LoopClock, seconds: float) -> None:
    task = asyncio.ensure_future(running)
    await clock.sleep(seconds)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
