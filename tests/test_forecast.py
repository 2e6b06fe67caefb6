"""How long the quota of a day lasts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from phinops.forecast import Forecast, forecast, next_midnight, pace_of, seconds_left

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
TEN = datetime(2026, 1, 5, 10, tzinfo=SHANGHAI)


def of(now: datetime = TEN, **given: Any) -> Forecast:
    plain = {"used": 400, "limit": 1000, "reserve": 200, "this_hour": 0, "last_hour": 100, "zone": SHANGHAI}
    return forecast(now=now, **{**plain, **given})


def test_the_pace_is_this_hour_and_the_share_of_the_last_one_that_is_within_sixty_minutes() -> None:
    assert pace_of(0, 60, TEN) == 60
    assert pace_of(7, 60, TEN.replace(minute=45)) == 7 + 15
    assert pace_of(7, 60, TEN.replace(minute=59, second=59)) == pytest.approx(7, abs=0.02)


def test_it_runs_out_when_the_pace_has_used_what_is_left() -> None:
    found = of()
    assert (found.left, found.pace) == (600, 100)
    assert found.runs_out == TEN.replace(hour=16)
    assert found.resets == datetime(2026, 1, 6, tzinfo=SHANGHAI)


def test_what_lasts_until_the_day_ends_does_not_run_out() -> None:
    assert of(last_hour=42).runs_out is None, "14 hours at 42"
    assert of(last_hour=43).runs_out is not None
    assert of(last_hour=0).runs_out is None, "nobody calls"


def test_what_is_spent_has_run_out_now_and_more_than_all_is_still_nothing_left() -> None:
    for used in (1000, 1003):
        found = of(used=used, last_hour=0)
        assert (found.left, found.runs_out) == (0, TEN)


def test_without_a_limit_nothing_is_left_and_nothing_runs_out() -> None:
    found = of(limit=None, reserve=0)
    assert (found.used, found.left, found.runs_out, found.pace) == (400, None, None, 100)


def test_the_moment_asked_may_be_in_any_zone_and_the_answer_is_in_the_quotas() -> None:
    found = of(now=TEN.astimezone(UTC))
    assert found == of()
    assert found.runs_out is not None
    assert found.runs_out.tzinfo is SHANGHAI


@pytest.mark.parametrize(("day", "hours"), [(28, 24), (29, 23)])
def test_a_day_in_which_the_clocks_are_changed_is_as_long_as_it_is(day: int, hours: int) -> None:
    began = datetime(2026, 3, day, tzinfo=BERLIN)
    assert seconds_left(began) == hours * 3600
    assert next_midnight(began) == datetime(2026, 3, day + 1, tzinfo=BERLIN)
    assert forecast(
        used=0, limit=hours * 10, reserve=0, this_hour=10, last_hour=0, now=began, zone=BERLIN
    ).runs_out is None  # fmt: skip
