"""China's working days: holidays off, weekends made up for them worked, as the State Council announces them."""

from __future__ import annotations

from datetime import date
from functools import cache

SATURDAY = 5


@cache
def is_workday(day: date) -> bool:
    """Whether people in China work on the day; outside the years that are known, Monday to Friday."""
    # Only rules with such calendars pay for the tables.
    from chinese_calendar import is_workday as announced

    if first_known() <= day <= last_known():
        return bool(announced(day))
    return day.weekday() < SATURDAY


@cache
def last_known() -> date:
    """The last day for which holidays and make-up days are known; the next year is announced each November."""
    return date(_known_years()[1], 12, 31)


@cache
def first_known() -> date:
    """The first day for which holidays and make-up days are known."""
    return date(_known_years()[0], 1, 1)


def _known_years() -> tuple[int, int]:
    from chinese_calendar.constants import holidays

    years = [day.year for day in holidays]
    return min(years), max(years)
