"""An account's polls on their plan, in virtual time."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest

from fake_dataphin import START, ZONE
from phinops import virtual
from phinops.arrive.arrival import Part
from phinops.arrive.planner import (
    CALM_AFTER,
    FOLLOW_UP,
    LEFT_TO_POLLS,
    LONGEST,
    SHORTEST,
    Care,
    Left,
    Others,
    Planner,
    Unit,
    stretches,
)
from phinops.clock import LoopClock

CHANCE = random.Random(1)
NOBODY_ELSE = 10**9
"""So many changes were found, and nobody called because of them."""


def planner(calls: float | None, seconds: float = 43_200) -> Planner:
    left = Left({} if calls is None else {"1+2": calls}, seconds)
    return Planner(lambda: left, LoopClock(START), ZONE, others=Others(found=NOBODY_ELSE))


def entered(plans: Planner, *units: Unit) -> list[float]:
    for unit in units:
        plans.enter(unit)
    plans.look()
    return [unit.interval for unit in units]


def unit(name: str = "", **more: object) -> Unit:
    found = Unit(Part(name), (1,))
    for key, value in more.items():
        setattr(found, key, value)
    return found


async def test_all_that_is_polled_divides_what_is_left() -> None:
    assert entered(planner(720), unit("a"), unit("b")) == pytest.approx([120, 120], rel=1e-3)


async def test_without_a_limit_everything_is_polled_at_the_shortest_interval() -> None:
    assert entered(planner(None), unit("a")) == [SHORTEST]


async def test_a_rule_that_wants_to_hear_soon_is_served_sooner_and_bounds_the_interval() -> None:
    eager, other = unit("a", care=Care(timedelta(minutes=5))), unit("b")
    soon, late = entered(planner(720), eager, other)
    assert late / soon == pytest.approx(3**0.5, rel=1e-3)
    quiet = unit("a", care=Care(timedelta(minutes=5)), rates=(1e-6,) * 24)
    assert entered(planner(200), quiet, unit("b")) == pytest.approx([300, 43_200 / 56], rel=1e-2)


async def test_what_cannot_be_had_is_stretched_beyond_the_longest() -> None:
    (interval,) = entered(planner(2), unit("a"))
    assert interval == pytest.approx(21_600, rel=1e-2)
    assert interval > LONGEST


async def test_where_calls_are_few_what_hardly_ever_changes_may_wait_for_three_times_the_equal_interval() -> None:
    often, never = unit("a"), unit("b", rates=(1e-9,) * 24)
    # 24 calls for two: equal would be an hour, and the longest three hours.
    assert entered(planner(24), often, never)[1] == pytest.approx(10_800)
    assert entered(planner(240), unit("a"), unit("b", rates=(1e-9,) * 24))[1] == LONGEST


async def test_a_change_lets_more_be_expected_for_a_while() -> None:
    shaken, calm = unit("a"), unit("b")
    plans = planner(720)
    entered(plans, shaken, calm)
    shaken.shaken(1, plans.clock.monotonic())
    plans.changed()
    plans.look()
    assert shaken.interval < calm.interval / 2
    later = plans.clock.monotonic() + 5 * CALM_AFTER
    assert shaken.excess_now(later) < shaken.excess / 100


async def test_too_few_calls_for_one_poll_are_none() -> None:
    plans, dear, cheap = planner(3), unit("a", cost=4.0), unit("b")
    entered(plans, dear, cheap)
    assert plans.is_spent(dear)
    assert not plans.is_spent(cheap)
    assert not plans.is_spent(unit("c", cost=4.0, every=30.0))


async def test_what_is_no_limit_is_planned_with_and_never_spent() -> None:
    left = Left({"1": 0.5}, 30.0, endless=frozenset({"1"}))
    plans, one = Planner(lambda: left, LoopClock(START), ZONE, others=Others(found=NOBODY_ELSE)), unit("a")
    entered(plans, one)
    assert not plans.is_spent(one)
    assert one.interval > SHORTEST


def test_calls_that_polls_did_not_make_are_expected_to_be_made_again_for_each_change() -> None:
    others = Others()
    assert others.expected("1", 10) == 10 * FOLLOW_UP
    others.look({"1": 100})
    for _ in range(50):
        others.polled(calls=2, found=1)
    others.look({"1": 100 + 50 * 2 + 50 * 8})
    assert others.expected("1", 10) == pytest.approx(80, rel=0.05)
    # A new day counts from nothing.
    others.look({"1": 3})
    assert others.expected("1", 10) == pytest.approx(80, rel=0.05)


async def test_what_actions_will_cost_is_not_spent_on_polls_before() -> None:
    rates = (10 / 24,) * 24
    alone, beside = unit("a", rates=rates), unit("a", rates=rates)
    entered(planner(200), alone)
    left = Left({"1": 200.0}, 43_200)
    entered(Planner(lambda: left, LoopClock(START), ZONE), beside)
    # Five changes are expected until the day ends, at four calls each.
    assert beside.interval / alone.interval == pytest.approx(200 / 180, rel=1e-3)
    left = Left({"1": 10.0}, 43_200)
    entered(Planner(lambda: left, LoopClock(START), ZONE), beside)
    assert beside.interval == pytest.approx(43_200 / (10 * LEFT_TO_POLLS), rel=1e-3)


def test_a_shorter_interval_counts_the_way_that_was_come() -> None:
    async def main() -> None:
        left = [Left({"1": 12.0}, 43_200)]
        plans = Planner(lambda: left[0], LoopClock(START), ZONE, others=Others(found=NOBODY_ELSE))
        one = unit("a")
        plans.enter(one)
        plans.look()
        one.polled(plans.clock.monotonic(), 1, CHANCE)
        one.goal = 1.0
        assert one.due_in(plans.clock.monotonic()) == pytest.approx(3600, rel=1e-3)
        await asyncio.sleep(1800)
        left[0] = Left({"1": 1200.0}, 43_200)
        plans.changed()
        plans.look()
        assert one.due_in(plans.clock.monotonic()) == pytest.approx(18, rel=1e-2)

    virtual.run(main())


def test_the_plan_is_made_anew_each_minute_and_each_hour() -> None:
    async def main() -> None:
        asked = 0

        def left() -> Left:
            nonlocal asked
            asked += 1
            return Left({"1": 100.0}, 43_200)

        plans = Planner(left, LoopClock(START), ZONE)
        plans.enter(unit("a"))
        for _ in range(120):
            plans.look()
            await asyncio.sleep(1)
        assert asked == 2

    virtual.run(main())


def test_what_is_left_of_a_day_is_told_by_its_hours() -> None:
    evening = START.replace(hour=22, minute=30)
    assert [(each.hour, each.seconds) for each in stretches(evening, 5400)] == [(22, 1800), (23, 3600)]
    assert stretches(evening, 0) == []
