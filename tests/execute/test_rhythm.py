"""When a verification reads."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phinops.execute import rhythm


def reads(within: float, calls: int | None) -> list[float]:
    """The moments of the reads of one verification that nobody else takes calls from."""
    at, made, pause = 0.0, 0, None
    found = []
    while within - at > 1e-6:
        left = None if calls is None else max(0, calls - made)
        pause = rhythm.pause(pause, within - at, rhythm.reads_left(left, made))
        at += pause
        made += 1
        found.append(round(at, 1))
    return found


@pytest.mark.parametrize(
    ("within", "calls", "at"),
    [
        (300, None, [5, 15, 35, 75, 135, 195, 255, 300]),
        (300, 1000, [5, 15, 35, 75, 135, 195, 255, 300]),
        (1800, 60, [85.7, 428.6, 1800]),
        (1800, 0, [85.7, 428.6, 1800]),
        (20, 0, [5, 15, 20]),
        (3, 0, [3]),
    ],
)
def test_pauses_grow_and_the_last_read_is_at_the_end(within: float, calls: int | None, at: list[float]) -> None:
    assert reads(within, calls) == at


@pytest.mark.parametrize(("calls", "number"), [(1000, 33), (600, 30), (300, 15), (200, 10), (100, 5), (80, 4)])
def test_half_an_hour_costs_a_twentieth_of_what_is_left(calls: int, number: int) -> None:
    at = reads(1800, calls)
    assert (len(at), at[-1]) == (number, 1800)
    pauses = [later - sooner for sooner, later in pairwise([0.0, *at])]
    assert all(longer > shorter - 0.2 for shorter, longer in pairwise(pauses[:-1]))
    assert at[0] <= 30


@given(st.floats(1, 100_000), st.integers(0, 3000) | st.integers(0, 1_000_000))
def test_never_more_than_the_portion_and_never_beyond_the_end(within: float, calls: int) -> None:
    at = reads(within, calls)
    assert at[-1] == pytest.approx(within, abs=0.1)
    assert len(at) <= max(rhythm.FEWEST, calls // rhythm.PORTION)
    assert len(at) <= len(reads(within, None))


def test_a_new_day_gives_reads_again_and_a_day_that_others_spent_takes_them() -> None:
    assert rhythm.reads_left(1000, 4) == 46
    assert rhythm.reads_left(0, 2) == 1
    assert rhythm.reads_left(0, 30) == 1
    assert rhythm.pause(300.0, 900.0, 46) == rhythm.LONGEST


@given(st.floats(0, 1e6), st.floats(rhythm.FIRST, 1e5))
def test_a_wait_ends_on_its_grid_and_hardly_sooner_or_later(now: float, wait: float) -> None:
    found = rhythm.aligned(now, wait)
    step = rhythm.grid(wait)
    assert step <= wait < 3 * step
    assert abs(found - wait) <= step / 2 + 1e-6
    assert (now + found) / step == pytest.approx(round((now + found) / step), abs=1e-6)


def test_points_of_a_coarse_grid_are_points_of_the_fine_ones() -> None:
    assert [rhythm.grid(wait) for wait in (5, 9.9, 10, 19, 20, 60, 80, 1400)] == [5, 5, 10, 10, 20, 60, 60, 960]


def test_a_run_is_read_when_most_of_those_like_it_are_over_and_then_ever_more_rarely() -> None:
    likely = [60.0, 100.0, 200.0, 300.0]
    assert rhythm.until_over(0, likely) == 200
    assert rhythm.until_over(200, likely) == 100
    assert rhythm.until_over(298, likely) == pytest.approx(74.5)
    assert rhythm.until_over(400, likely) == 200
    assert rhythm.until_over(400, []) == 0


def test_reads_are_few_where_a_day_has_few_calls() -> None:
    assert [rhythm.are_few(rhythm.reads_left(calls, 0)) for calls in (None, 50_000, 10_000, 9_000, 1_000, 0)] == [
        False, False, False, True, True, True
    ]  # fmt: skip


def test_a_wait_may_be_kept_to_a_grid_that_is_finer_than_its_own() -> None:
    assert rhythm.aligned(0, 400) == 480
    assert rhythm.aligned(0, 400, rhythm.LONGEST) == 420
    assert rhythm.aligned(0, 12, rhythm.LONGEST) == 10


def test_what_ends_about_the_same_time_ends_together() -> None:
    assert rhythm.cell(1000.0, 1800) == rhythm.cell(981.0, 1800) != rhythm.cell(1001.0, 1800)
    assert rhythm.cell(1000.0, 60) != rhythm.cell(994.0, 60)
    assert rhythm.cell(1021.0, 86_400) == rhythm.cell(1080.0, 86_400) != rhythm.cell(1081.0, 86_400)
