from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phinops.record.moments import from_micros, to_micros

moments = st.integers(-(10**15), 10**16).map(
    lambda micros: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
)


@given(moments, st.timezones())
def test_a_time_comes_back_to_the_microsecond_whatever_its_zone(when: datetime, zone: tzinfo) -> None:
    assert from_micros(to_micros(when.astimezone(zone))) == when


@given(moments, moments)
def test_integers_order_as_times_do(one: datetime, other: datetime) -> None:
    assert (to_micros(one) < to_micros(other)) == (one < other)


def test_a_microsecond_is_one() -> None:
    assert to_micros(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=1)) == 1


def test_no_time_stays_no_time() -> None:
    assert (to_micros(None), from_micros(None)) == (None, None)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(TypeError):
        to_micros(datetime(2026, 1, 1))  # noqa: DTZ001 - it is what must not be stored
