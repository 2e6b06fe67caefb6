"""Locks by name."""

from __future__ import annotations

import anyio

from phinops.execute.hold import Holds


async def test_one_at_a_time_holds_a_name_and_learns_whether_another_did() -> None:
    holds = Holds()
    heard: list[tuple[str, bool]] = []
    inside = 0

    async def hold(who: str, name: str) -> None:
        nonlocal inside
        async with holds(name) as shared:
            inside += name == "a"
            assert inside <= 1
            heard.append((who, shared))
            await anyio.lowlevel.checkpoint()
            inside -= name == "a"

    async with anyio.create_task_group() as group:
        for who, name in (("first", "a"), ("second", "a"), ("third", "b")):
            group.start_soon(hold, who, name)
    assert sorted(heard) == [("first", False), ("second", True), ("third", False)]


async def test_a_name_that_nobody_holds_or_wants_is_forgotten_also_after_a_cancellation() -> None:
    holds = Holds()
    async with holds("a"), anyio.create_task_group() as group:
        group.start_soon(_hold_for_ever, holds)
        await anyio.wait_all_tasks_blocked()
        assert len(holds) == 1
        group.cancel_scope.cancel()
    assert len(holds) == 0


async def _hold_for_ever(holds: Holds) -> None:
    async with holds("a"):
        await anyio.sleep_forever()
