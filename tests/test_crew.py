"""Tasks that outlive who started them."""

from __future__ import annotations

import anyio
import pytest

from phinops.crew import Crew


async def test_tasks_run_until_the_crew_is_sent_home_and_nothing_starts_after() -> None:
    crew = Crew()
    heard: list[str] = []

    async def work(name: str) -> None:
        heard.append(name)
        try:
            await anyio.sleep_forever()
        finally:
            heard.append(f"{name} ended")

    crew.start_soon(work, "too early")
    async with crew.working():
        crew.start_soon(work, "in time")
        await anyio.wait_all_tasks_blocked()
    crew.start_soon(work, "too late")
    await anyio.wait_all_tasks_blocked()
    assert heard == ["in time", "in time ended"]


async def test_what_fails_in_it_ends_who_opened_it() -> None:
    async def fail() -> None:
        raise RuntimeError("a bug")

    crew = Crew()
    with pytest.RaisesGroup(RuntimeError):
        async with crew.working():
            crew.start_soon(fail)
            await anyio.sleep_forever()
