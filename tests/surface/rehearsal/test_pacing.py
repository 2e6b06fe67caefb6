"""What intervals could have done: the formulas against what can be worked out by hand, and against trying."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phinops.surface.rehearsal.pacing import DAY, HOUR, equal_delay, hindsight_delay, optimum_delay


def test_equal_intervals_are_half_an_interval_late() -> None:
    # 10 projects, 1,440 calls: each is polled every ten minutes.
    assert equal_delay(10, 1440) == 300


def test_without_differences_nothing_is_better_than_equal() -> None:
    rates = dict.fromkeys(range(10), (0.5,) * 24)
    assert optimum_delay(rates, 1440) == pytest.approx(300)
    failures = [(project, hour * HOUR) for project in range(10) for hour in range(24)]
    assert hindsight_delay(failures, failures, range(10), 1440) == pytest.approx(300)


def test_the_optimum_goes_with_the_root_of_the_rate() -> None:
    rates = {1: (4.0,) * 24, 2: (1.0,) * 24}
    # Twice as many polls for the one that fails four times as often: 1,000 and 500 a day.
    expected = (4 * DAY / 1000 + 1 * DAY / 500) / 5 / 2
    assert optimum_delay(rates, 1500) == pytest.approx(expected)


def test_what_does_not_fail_is_polled_every_two_hours() -> None:
    rates = {1: (1.0,) * 24, 2: (0.0,) * 24}
    assert optimum_delay(rates, 112) == pytest.approx(DAY / 100 / 2)
    failures = [(1, hour * HOUR) for hour in range(24)]
    assert hindsight_delay(failures, failures, (1, 2), 112) == pytest.approx(DAY / 100 / 2)


def test_no_interval_is_shorter_than_ten_seconds() -> None:
    assert optimum_delay({1: (1.0,) * 24}, 1_000_000) == pytest.approx(5)


def test_where_calls_are_few_the_longest_interval_is_three_times_the_equal_one() -> None:
    rates = {1: (1.0,) * 24, 2: (0.0,) * 24}
    # Equal: twelve calls each, every two hours. The second then gets four, and the first twenty.
    assert optimum_delay(rates, 24) == pytest.approx(DAY / 20 / 2)


def test_hindsight_multiplies_projects_and_hours() -> None:
    # Project 1 fails three times at one and once at two, project 2 once at one: cells weigh 4 x 4, 4 x 1, 1 x 4, 1 x 1.
    failures = [(1, HOUR), (1, HOUR + 1), (1, HOUR + 2), (1, 2 * HOUR), (2, HOUR)]
    idle = 2 * 22 * HOUR / (2 * HOUR)
    calls = 90 + idle
    # Polls within the hours go with the roots: 4, 2, 2, 1 of nine parts.
    unit = 90 / 9
    expected = (3 * HOUR / (4 * unit) + HOUR / (2 * unit) + HOUR / (2 * unit)) / 5 / 2
    assert hindsight_delay(failures, failures, (1, 2), calls) == pytest.approx(expected)


def test_hindsight_knows_of_more_than_it_is_measured_by() -> None:
    known = [(1, hour * HOUR) for hour in range(24)] + [(2, hour * HOUR) for hour in range(24) for _ in range(4)]
    # Project 2 gets twice the polls of project 1; only failures of project 1 are measured.
    assert hindsight_delay(known[:24], known, (1, 2), 1500) == pytest.approx(DAY / 500 / 2)


@settings(max_examples=30, deadline=None)
@given(
    rates=st.dictionaries(
        st.integers(1, 5), st.lists(st.floats(0.01, 10), min_size=24, max_size=24).map(tuple), min_size=1
    ),
    calls=st.integers(500, 8_000),
    shift=st.floats(0.5, 2),
)
def test_nothing_that_costs_the_same_is_better_than_the_optimum(
    rates: dict[int, tuple[float, ...]], calls: int, shift: float
) -> None:
    best = optimum_delay(rates, calls)
    assert best <= equal_delay(len(rates), calls) * (1 + 1e-6)
    # Another way to spend as much: intervals by another power of the rate.
    powers = {(key, hour): rate ** (0.5 * shift) for key, hours in rates.items() for hour, rate in enumerate(hours)}
    factor = sum(HOUR * power for power in powers.values()) / calls
    intervals = {cell: factor / power for cell, power in powers.items()}
    if all(10 <= interval <= 7200 for interval in intervals.values()):
        total = sum(map(sum, rates.values()))
        other = sum(rates[key][hour] * interval / 2 for (key, hour), interval in intervals.items()) / total
        assert best <= other * (1 + 1e-6)
