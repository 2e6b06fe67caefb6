"""Virtual time."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from phinops.clock import LoopClock
from phinops.virtual import FastLoop, run


def test_a_day_passes_at_once_and_to_the_microsecond() -> None:
    async def main() -> tuple[datetime, float]:
        clock = LoopClock(datetime(2026, 1, 5, tzinfo=UTC))
        began, at = clock.now(), clock.monotonic()
        await asyncio.gather(*(clock.sleep(each) for each in (3600.0, 86_400.0, 60.0)))
        return began, clock.monotonic() - at

    real = time.monotonic()
    began, passed = run(main())
    assert passed == pytest.approx(86_400, abs=1e-5)
    assert time.monotonic() - real < 5
    assert began == datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=1000)


def test_what_goes_to_a_thread_is_done_before_time_moves() -> None:
    async def main() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, FastLoop)
        at = loop.time()
        timer = asyncio.create_task(asyncio.sleep(1000))
        result = await asyncio.to_thread(sum, (1, 2, 3))
        timer.cancel()
        return result, round(loop.time() - at)

    assert run(main()) == (6, 0)


def test_what_fails_in_a_thread_fails_for_who_awaits_it() -> None:
    async def main() -> None:
        waiting = asyncio.get_running_loop().run_in_executor(None, int, "x")
        with pytest.raises(ValueError, match="invalid literal"):
            await waiting

    run(main())


def test_what_waits_for_ever_is_an_error_and_not_a_standstill() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="waits for ever"):
        run(main())


def test_stillness_comes_when_the_next_timer_is_far() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, FastLoop)
        at, done = loop.time(), []

        async def work() -> None:
            for pause in (0.0, 0.1, 0.15, 10.0):
                await asyncio.sleep(pause)
                done.append(pause)

        task = asyncio.create_task(work())
        await loop.still(0.2)
        assert done == [0.0, 0.1, 0.15]
        assert loop.time() - at == pytest.approx(0.25, abs=1e-5)
        await loop.still(0.2)
        assert len(done) == 3
        await loop.still(10.0)
        assert task.done()
        # Nothing is set at all.
        await loop.still(1000.0)

    run(main())


def test_who_no_longer_waits_for_stillness_is_forgotten() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, FastLoop)
        waiting = asyncio.create_task(loop.still(5.0))
        await asyncio.sleep(1.0)
        waiting.cancel()
        await asyncio.sleep(100.0)
        assert waiting.cancelled()

    run(main())
