"""Firings begin by the priority of their node, so many a second, and none starves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import pytest

from phinops.clock import LoopClock
from phinops.event import Event, Node
from phinops.starts import A_SECOND, OLDEST, Starts, urgency_of
from phinops.virtual import run
from worlds import START


def _with(test: Callable[[Starts, LoopClock], Awaitable[None]]) -> None:
    async def main() -> None:
        clock = LoopClock(START)
        async with anyio.create_task_group() as group:
            await test(Starts(clock, group), clock)

    run(main())


def test_what_comes_now_and_then_goes_at_once() -> None:
    async def few(starts: Starts, clock: LoopClock) -> None:
        went: list[int] = []
        for number in range(200):
            starts.ask(0, lambda number=number: went.append(number))  # type: ignore[misc]
            assert went[-1] == number
            await clock.sleep(1 / A_SECOND)

    _with(few)


def test_no_second_has_more_than_twice_the_rate_and_the_line_moves_at_it() -> None:
    async def many(starts: Starts, clock: LoopClock) -> None:
        began = clock.monotonic()
        went: list[float] = []
        for _ in range(1000):
            starts.ask(0, lambda: went.append(clock.monotonic() - began))
        assert (len(went), len(starts)) == (A_SECOND, 1000 - A_SECOND)
        while len(starts):
            await clock.sleep(1.0)
        assert max(sum(0 <= at - first < 1 for at in went) for first in went) <= 2 * A_SECOND
        assert went[-1] == pytest.approx((1000 - A_SECOND) / A_SECOND, abs=0.2)

    _with(many)


def test_the_most_urgent_go_first_the_oldest_among_equals_and_now_and_then_whoever_waited_longest() -> None:
    async def mixed(starts: Starts, clock: LoopClock) -> None:
        went: list[tuple[int, int]] = []
        for number in range(A_SECOND + 100):
            urgency = 0 if number < A_SECOND else number % 2
            starts.ask(urgency, lambda each=(urgency, number): went.append(each))  # type: ignore[misc]
        await clock.sleep(10)
        assert len(starts) == 0
        line = went[A_SECOND:]
        assert [each for each in line if each[0] == 1] == sorted(each for each in line if each[0] == 1)
        assert [each for each in line if each[0] == 0] == sorted(each for each in line if each[0] == 0)
        first = line[: 5 * OLDEST]
        assert sum(urgency == 0 for urgency, _ in first) == 5

    _with(mixed)


def test_while_urgent_ones_come_for_ever_others_still_have_their_turn() -> None:
    async def endless(starts: Starts, clock: LoopClock) -> None:
        others: list[float] = []
        for _ in range(A_SECOND):
            starts.ask(0, lambda: None)
        for _ in range(20):
            starts.ask(-2, lambda: others.append(clock.monotonic()))
        for _ in range(40):
            for _ in range(A_SECOND):
                starts.ask(2, lambda: None)
            await clock.sleep(1.0)
        assert len(others) == 20

    _with(endless)


@pytest.mark.parametrize(("priority", "urgency"), [("HIGHEST", 2), ("high", 1), ("MIDDLE", 0), ("LOWEST", -2), ("", 0)])
def test_a_priority_is_as_dataphin_spells_it_and_none_is_in_the_middle(priority: str, urgency: int) -> None:
    event = Event(
        id="e", type="instance.failed", time=START, tenant="t", source="instances", node=Node(priority=priority)
    )
    assert urgency_of(event) == urgency
    assert urgency_of(replace(event, node=None)) == 0
