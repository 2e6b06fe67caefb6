"""A gate that many pass at once, and that may be closed."""

from __future__ import annotations

import anyio
import anyio.lowlevel

from phinops.sluice import Sluice


async def test_it_closes_when_the_last_has_left_and_lets_nobody_in_meanwhile() -> None:
    sluice, said = Sluice(), list[str]()
    inside, leave = anyio.Event(), anyio.Event()

    async def stay() -> None:
        async with sluice.passing():
            inside.set()
            await leave.wait()
            said.append("left")

    async def close() -> None:
        async with sluice.closed():
            said.append("closed")
            await anyio.lowlevel.checkpoint()
            said.append("opens")

    async def pass_by() -> None:
        async with sluice.passing():
            said.append("passed")

    async with anyio.create_task_group() as group:
        group.start_soon(stay)
        await inside.wait()
        group.start_soon(close)
        await anyio.lowlevel.checkpoint()
        group.start_soon(pass_by)
        await anyio.lowlevel.checkpoint()
        assert said == []
        leave.set()
    assert said == ["left", "closed", "opens", "passed"]


async def test_many_are_inside_at_once() -> None:
    sluice = Sluice()
    async with sluice.passing(), sluice.passing():
        pass
    async with sluice.closed():
        pass
