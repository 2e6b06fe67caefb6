"""Calendars: which moments they cover, when they begin next, in zones whose clocks change and on China's holidays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phinops.decide.calendar import WEEKDAYS, WHOLE_DAY, Calendar, Hours, objection

NIGHT = Hours(22 * 60, 32 * 60)
DAY = Hours(8 * 60, 20 * 60)
MONDAYS = ("mon",)


def at(text: str, zone: str = "Asia/Shanghai") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("moment", "covered"),
    [
        ("2026-01-05T07:59:59", False),
        ("2026-01-05T08:00", True),
        ("2026-01-05T19:59:59", True),
        ("2026-01-05T20:00", False),
        ("2026-01-06T12:00", False),
    ],
)
def test_hours_begin_on_the_minute_and_end_before_it(moment: str, covered: bool) -> None:
    assert Calendar("Asia/Shanghai", (DAY,), MONDAYS).covers(at(moment)) is covered


@pytest.mark.parametrize(
    ("moment", "covered"),
    [
        ("2026-01-05T03:00", False),  # the night of Sunday
        ("2026-01-05T21:59", False),
        ("2026-01-05T22:00", True),
        ("2026-01-06T07:59", True),  # still Monday's
        ("2026-01-06T08:00", False),
        ("2026-01-06T22:00", False),
    ],
)
def test_hours_that_pass_midnight_belong_to_the_day_on_which_they_began(moment: str, covered: bool) -> None:
    assert Calendar("Asia/Shanghai", (NIGHT,), MONDAYS).covers(at(moment)) is covered


def test_the_time_of_day_is_that_of_the_zone() -> None:
    noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert not Calendar("Asia/Shanghai", (DAY,)).covers(noon)
    assert Calendar("Europe/Berlin", (DAY,)).covers(noon)


@pytest.mark.parametrize(
    ("day", "works"),
    [
        ("2026-02-13", True),  # a Friday
        ("2026-02-14", True),  # a Saturday that is worked to make up for the Spring Festival
        ("2026-02-17", False),  # the Spring Festival
        ("2026-02-21", False),  # a Saturday
        ("2026-10-01", False),  # the National Day
        ("2026-10-10", True),  # a Saturday that makes up for it
        ("2099-10-01", True),  # a Thursday of a year that nobody has announced
        ("2099-10-03", False),
    ],
)
def test_workdays_are_china_s_with_those_that_make_up_for_holidays(day: str, works: bool) -> None:
    noon = at(f"{day}T12:00")
    assert Calendar("Asia/Shanghai", days=("workdays",)).covers(noon) is works
    assert Calendar("Asia/Shanghai", days=("holidays",)).covers(noon) is not works
    assert Calendar("Asia/Shanghai", days=("workdays", "holidays")).covers(noon)


@pytest.mark.parametrize(
    ("moment", "covered"),
    [
        # In Berlin clocks go from 02:00 to 03:00 on 2026-03-29, and from 03:00 back to 02:00 on 2026-10-25.
        ("2026-03-29T00:59:59+00:00", True),  # 01:59:59
        ("2026-03-29T01:00:00+00:00", True),  # 03:00, and 02:30 has not passed as it would have been
        ("2026-03-29T01:29:59+00:00", True),
        ("2026-03-29T01:30:00+00:00", False),  # what would have been 02:30
        ("2026-10-25T00:29:59+00:00", True),
        ("2026-10-25T00:30:00+00:00", False),  # 02:30 for the first time
        ("2026-10-25T01:15:00+00:00", False),  # 02:15 for the second time
    ],
)
def test_clocks_that_change_are_read_as_rfc_5545_says(moment: str, covered: bool) -> None:
    calendar = Calendar("Europe/Berlin", (Hours(0, 150),))
    assert calendar.covers(datetime.fromisoformat(moment)) is covered


def test_hours_that_a_clock_skips_do_not_come_that_day() -> None:
    calendar = Calendar("Europe/Berlin", (Hours(150, 190),))  # 02:30 would be 03:30, after the end at 03:10
    assert not any(calendar.covers(at("2026-03-29T00:00", "UTC") + timedelta(minutes=step)) for step in range(240))
    assert calendar.next_begin(at("2026-03-28T12:00", "UTC")) == at("2026-03-30T00:30", "UTC")


@pytest.mark.parametrize(
    ("calendar", "begins"),
    [
        (Calendar("Asia/Shanghai", (DAY,)), "2026-01-05T08:00"),
        (Calendar("Asia/Shanghai", (DAY,), ("sat",)), "2026-01-10T08:00"),
        (Calendar("Asia/Shanghai", (DAY, Hours(360, 420)), MONDAYS), "2026-01-05T06:00"),
        (Calendar("Asia/Shanghai", (NIGHT,), ("sun",)), "2026-01-11T22:00"),
        (Calendar("Asia/Shanghai", days=("holidays",)), "2026-01-10T00:00"),
    ],
)
def test_it_says_when_it_begins_next(calendar: Calendar, begins: str) -> None:
    assert calendar.next_begin(at("2026-01-05T05:00")) == at(begins)


def test_the_reason_names_the_calendar_and_the_next_time() -> None:
    nights = Calendar("Asia/Shanghai", (NIGHT,), ("workdays",), "nights")
    now = at("2026-01-05T10:12")
    assert objection([nights], now) == (
        "active: 10:12 on 2026-01-05 is outside nights (22:00-08:00, workdays); "
        "next at 22:00 on 2026-01-05 (Asia/Shanghai)"
    )
    berlin = Calendar("Europe/Berlin", (Hours(300, 360),))
    assert objection([nights, berlin], now) == (
        "active: 10:12 on 2026-01-05 is outside nights (22:00-08:00, workdays) and 05:00-06:00; "
        "next at 05:00 on 2026-01-05 (Europe/Berlin)"
    )


def test_any_of_several_will_do_and_none_at_all_is_always() -> None:
    now = at("2026-01-05T10:12")
    assert objection([], now) == ""
    assert objection([Calendar("Asia/Shanghai", (NIGHT,)), Calendar("Asia/Shanghai", (DAY,))], now) == ""


@pytest.mark.parametrize(
    ("calendar", "text"),
    [
        (Calendar("UTC"), "always"),
        (Calendar("UTC", name="all"), "all (always)"),
        (Calendar("UTC", (WHOLE_DAY, DAY), ("mon", "tue", "wed", "sat")), "00:00-24:00, 08:00-20:00, mon-wed, sat"),
        (Calendar("UTC", days=("holidays", "fri")), "holidays, fri"),
    ],
)
def test_a_calendar_reads_as_it_is_written(calendar: Calendar, text: str) -> None:
    assert str(calendar) == text


def test_a_calendar_survives_being_stored() -> None:
    calendar = Calendar("Europe/Berlin", (NIGHT, DAY), ("workdays", "sat"), "nights")
    assert Calendar.from_json(calendar.to_json()) == calendar


_HOURS = st.tuples(st.integers(0, 1439), st.integers(1, 1440)).map(lambda each: Hours(each[0], each[0] + each[1]))
_CALENDARS = st.builds(
    Calendar,
    st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.lists(_HOURS, min_size=1, max_size=3).map(tuple),
    st.lists(st.sampled_from([*WEEKDAYS, "workdays", "holidays"]), min_size=1, unique=True).map(tuple),
)


@settings(max_examples=200, deadline=None)
@given(_CALENDARS, st.integers(0, 4 * 365 * 24 * 60))
def test_it_covers_the_moment_at_which_it_begins_and_none_before_it(calendar: Calendar, minutes: int) -> None:
    now = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    begins = calendar.next_begin(now)
    assert begins > now
    assert calendar.covers(begins)
    if not calendar.covers(now):
        assert not calendar.covers(begins - timedelta(seconds=1))
        assert not calendar.covers(now + (begins - now) / 2)
