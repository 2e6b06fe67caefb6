"""How calls are spread over what there is to poll."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phinops.arrive.plan import AUTO_PART, Demand, Plan, Stretch, plan

DAY = [Stretch(hour, 3600.0) for hour in range(24)]
SHORTEST, LONGEST = 10.0, 7200.0


def wanting(a_day: float, cost: float = 1.0, pool: str = "1", fixed: float | None = None) -> Demand:
    return Demand({pool: cost}, (a_day / 24,) * 24, SHORTEST, LONGEST, fixed)


def calls_of(made: Plan, demands: list[Demand], stretches: list[Stretch], pool: str = "1") -> float:
    return sum(
        demand.costs.get(pool, 0.0) * each.seconds / made.interval(demand, each.hour)
        for demand in demands
        for each in stretches
    )


def test_intervals_go_with_the_root_of_cost_over_weight_times_rate() -> None:
    demands = [wanting(1), wanting(4), wanting(1, cost=9)]
    made = plan(demands, {"1": 500}, DAY)
    one, four, dear = (made.interval(demand, 0) for demand in demands)
    assert one / four == pytest.approx(2)
    assert dear / one == pytest.approx(3)
    assert calls_of(made, demands, DAY) == pytest.approx(500, rel=1e-3)


def test_an_hour_in_which_more_happens_is_watched_more_closely() -> None:
    night = Demand({"1": 1.0}, (9.0,) * 6 + (1.0,) * 18, SHORTEST, LONGEST)
    made = plan([night], {"1": 400}, DAY)
    assert made.interval(night, 12) / made.interval(night, 3) == pytest.approx(3)


def test_no_better_spreading_of_the_same_calls_is_found_by_moving_some() -> None:
    demands = [wanting(rate) for rate in (0.2, 1, 3, 20)]
    made = plan(demands, {"1": 600}, DAY)

    def delay(counts: list[float]) -> float:
        return sum(demand.wants[0] * 86_400 / count / 2 for demand, count in zip(demands, counts, strict=True))

    best = [86_400 / made.interval(demand, 0) for demand in demands]
    for giver in range(4):
        for taker in set(range(4)) - {giver}:
            other = list(best)
            other[giver], other[taker] = other[giver] - 2, other[taker] + 2
            assert delay(other) > delay(best)


def test_calls_in_plenty_are_left_over() -> None:
    made = plan([wanting(1)], {"1": 1e6}, DAY)
    assert made.interval(wanting(1), 0) == SHORTEST


def test_what_draws_on_no_limited_pool_is_polled_as_often_as_may_be() -> None:
    free = Demand({}, (1.0,) * 24, SHORTEST, LONGEST)
    made = plan([free, wanting(1)], {"1": 10}, DAY)
    assert made.interval(free, 0) == SHORTEST


def test_where_even_the_longest_intervals_cost_too_much_all_become_longer_alike() -> None:
    eager = Demand({"1": 1.0}, (1.0,) * 24, SHORTEST, 900.0)
    demands = [eager, wanting(0.001)]
    made = plan(demands, {"1": 27}, DAY)
    assert made.interval(demands[1], 0) / made.interval(eager, 0) == pytest.approx(8)
    assert calls_of(made, demands, DAY) == pytest.approx(27, rel=1e-2)


def test_fixed_intervals_come_first_and_leave_the_others_something() -> None:
    fixed, free = wanting(1, fixed=600.0), wanting(1)
    made = plan([fixed, free], {"1": 200}, DAY)
    assert made.interval(fixed, 0) == 600
    assert calls_of(made, [free], DAY) == pytest.approx(200 - 144, rel=1e-2)
    made = plan([fixed, free], {"1": 100}, DAY)
    assert calls_of(made, [free], DAY) == pytest.approx(AUTO_PART * 100, rel=1e-2)


def test_what_draws_on_two_pools_pays_in_both() -> None:
    both = Demand({"1": 1.0, "2": 1.0}, (1.0,) * 24, SHORTEST, LONGEST)
    demands = [both, wanting(24, pool="1"), wanting(24, pool="2")]
    made = plan(demands, {"1": 1000, "2": 300}, DAY)
    for pool, calls in (("1", 1000), ("2", 300)):
        assert calls_of(made, demands, DAY, pool) == pytest.approx(calls, rel=0.02)
    assert made.interval(both, 0) > made.interval(demands[2], 0)


@settings(max_examples=150, deadline=None)
@given(
    rates=st.lists(st.tuples(st.floats(0, 50), st.floats(1, 20)), min_size=1, max_size=12),
    calls=st.floats(1, 60_000),
    hours=st.integers(1, 24),
)
def test_no_plan_uses_more_calls_than_there_are(rates: list[tuple[float, float]], calls: float, hours: int) -> None:
    demands = [wanting(rate, cost) for rate, cost in rates]
    stretches = DAY[:hours]
    made = plan(demands, {"1": calls}, stretches)
    used = calls_of(made, demands, stretches)
    assert used <= calls * 1.01
    cheapest = sum(demand.costs["1"] * hours * 3600 / SHORTEST for demand in demands)
    if any(rate for rate, _ in rates) and calls < cheapest:
        # What is not used is so for a bound.
        intervals = {made.interval(demand, 0) for demand in demands}
        assert used >= calls * 0.98 or intervals <= {SHORTEST, LONGEST} or math.isclose(min(intervals), SHORTEST)
