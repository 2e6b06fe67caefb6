"""Durations: what people write is read, and what is printed reads back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phinops.durations import about, exact_duration, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("250ms", 0.25), ("2d", 172_800), ("1.5h", 5400), ("0s", 0)]
)
def test_numbers_with_units_are_added_up(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "5 m", "m", "-5m", "5m foo", "1y", "５m5"])
def test_anything_else_is_refused_with_the_cure(text: str) -> None:
    with pytest.raises(ValueError, match="write a number with a unit"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**12))
def test_what_is_printed_reads_back(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration


@given(st.one_of(st.just(0.0), st.floats(1e-6, 8e13)))
def test_what_is_printed_exactly_reads_back_as_the_same(seconds: float) -> None:
    span = timedelta(seconds=seconds)
    assert parse_duration(exact_duration(span)) == span


@pytest.mark.parametrize(("seconds", "text"), [(1770.931, "29m31s"), (0.25, "250ms"), (59.6, "1m"), (0, "0s")])
def test_people_read_whole_seconds(seconds: float, text: str) -> None:
    assert about(timedelta(seconds=seconds)) == text
