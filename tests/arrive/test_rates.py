"""How often things change, learned from few counts."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from random import Random

import pytest

from fake_dataphin import ZONE
from phinops.arrive.rates import UNKNOWN, rates

NOW = datetime(2026, 1, 19, tzinfo=ZONE)
DAY = timedelta(days=1)


def nightly(part: str, days: int, count: int, hour: int = 2) -> dict[tuple[str, datetime], int]:
    return {(part, NOW - day * DAY + timedelta(hours=hour)): count for day in range(1, days + 1)}


def test_of_what_nothing_is_known_something_is_expected_at_any_hour() -> None:
    assert sum(rates({}, ["7"], NOW, ZONE)["7"]) == pytest.approx(UNKNOWN)
    assert len(set(rates({}, ["7"], NOW, ZONE)["7"])) == 1


def test_what_changes_every_night_is_expected_every_night() -> None:
    found = rates(nightly("7", 28, 4), ["7"], NOW, ZONE)["7"]
    assert sum(found) == pytest.approx(4, rel=0.1)
    assert found[2] > 20 * found[14]


def test_hours_are_those_of_the_zone() -> None:
    utc = {(part, moment.astimezone(None)): count for (part, moment), count in nightly("7", 28, 4).items()}
    assert rates(utc, ["7"], NOW, ZONE) == rates(nightly("7", 28, 4), ["7"], NOW, ZONE)


def test_a_part_without_changes_is_expected_to_have_few_and_at_the_hours_of_the_others() -> None:
    found = rates(nightly("7", 14, 6), ["7", "8"], NOW, ZONE)
    assert 0 < sum(found["8"]) < sum(found["7"]) / 5
    assert max(range(24), key=lambda hour: found["8"][hour]) == 2


def test_what_is_long_ago_counts_less() -> None:
    old = {(part, moment - 20 * DAY): count for (part, moment), count in nightly("7", 3, 5).items()}
    new = nightly("8", 3, 5)
    found = rates({**old, **new}, ["7", "8"], NOW, ZONE)
    assert sum(found["8"]) > 1.5 * sum(found["7"])


def test_what_is_not_polled_any_more_is_left_out() -> None:
    assert set(rates(nightly("gone", 3, 5), ["7"], NOW, ZONE)) == {"7"}


def scattered(hours: dict[str, int], days: int = 14) -> dict[tuple[str, datetime], int]:
    """Two changes a day of each part, in the hour that is its own or in the one after."""
    found: dict[tuple[str, datetime], int] = {}
    for part, hour in hours.items():
        for day in range(1, days + 1):
            for later in (0, 1):
                found[part, NOW - day * DAY + timedelta(hours=hour + later)] = 1
    return found


def test_parts_that_have_hours_of_their_own_keep_them() -> None:
    found = rates(
        scattered({str(hour): hour for hour in range(0, 24, 3)}), [str(hour) for hour in range(0, 24, 3)], NOW, ZONE
    )
    assert all(found[str(hour)][hour] > 8 * found[str(hour)][(hour + 12) % 24] for hour in range(0, 24, 3))


def test_where_all_have_the_same_hours_chance_is_not_taken_for_a_habit() -> None:
    """Each part has had its changes of every other night within one hour of the same six."""
    random = Random(1)
    found: Counter[tuple[str, datetime]] = Counter()
    parts = [str(number) for number in range(20)]
    for part in parts:
        for day in range(1, 15):
            if random.random() < 0.5:
                found[part, NOW - day * DAY + timedelta(hours=random.randrange(6))] += 1
    learned = rates(found, parts, NOW, ZONE)
    for part in parts:
        night = learned[part][1:5]
        assert max(night) < 1.6 * min(night), part
