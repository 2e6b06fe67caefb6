"""China's working days, as far as they have been announced."""

from __future__ import annotations

from datetime import date, timedelta

from phinops.decide.workdays import first_known, is_workday, last_known


def test_what_is_known_ends_with_a_year() -> None:
    assert (last_known().month, last_known().day) == (12, 31)
    assert last_known() >= date(2026, 12, 31)
    assert first_known() <= date(2020, 1, 1)


def test_outside_of_what_is_known_it_is_monday_to_friday() -> None:
    beyond = [last_known() + timedelta(days=ahead) for ahead in range(1, 8)]
    before = [first_known() - timedelta(days=back) for back in range(1, 8)]
    for day in (*beyond, *before):
        assert is_workday(day) is (day.weekday() < 5)
