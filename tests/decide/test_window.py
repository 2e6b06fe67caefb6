"""Windows: what counts together, in whatever order it came, and how that is told."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from happenings import NOW
from phinops.decide.pattern import Pattern
from phinops.decide.window import Standing, answered, company, completed, standing, words
from phinops.firing import Seen

MINUTE = timedelta(minutes=1)
COUNT = Pattern("count", ("a",), 10 * MINUTE, 3)
ALL = Pattern("all", ("a", "b"), 10 * MINUTE)
ABSENT = Pattern("absent", ("a", "b"), 10 * MINUTE)


def seen(*at: float, kind: str = "a") -> list[Seen]:
    return [Seen(f"{kind}{moment}", kind, NOW + moment * MINUTE, NOW) for moment in at]


def ids(found: tuple[Seen, ...]) -> list[str]:
    return [each.event_id for each in found]


def test_the_first_that_would_have_been_complete_is_the_one() -> None:
    assert ids(completed(COUNT, seen(0, 5, 10))) == ["a0", "a5", "a10"]
    assert completed(COUNT, seen(0, 5, 10.01)) == ()
    assert ids(completed(COUNT, seen(20, 19, 0, 2, 1, 21))) == ["a0", "a1", "a2"]


def test_one_of_each_is_enough_and_others_of_the_span_are_among_them() -> None:
    assert ids(completed(ALL, [*seen(0, 6), *seen(8, kind="b")])) == ["a0", "a6", "b8"]
    assert ids(completed(ALL, [*seen(8, kind="b"), *seen(6, 20), *seen(-1)])) == ["a-1", "a6", "b8"]
    assert completed(ALL, seen(0, 1, 2)) == ()


def test_of_those_that_happened_at_once_the_first_to_arrive_is_the_first() -> None:
    one, two, three = (Seen(name, "a", NOW, NOW) for name in ("z", "m", "a"))
    assert ids(completed(COUNT, [one, two, three, Seen("b", "a", NOW, NOW)])) == ["z", "m", "a"]


@pytest.mark.parametrize("seed", range(50))
def test_the_order_of_arrival_changes_nothing(seed: int) -> None:
    chance = random.Random(seed)
    moments = chance.sample(range(60), 9)
    found = seen(*moments)
    before = [ids(completed(pattern, found)) for pattern in (COUNT, ALL)]
    chance.shuffle(found)
    assert [ids(completed(pattern, found)) for pattern in (COUNT, ALL)] == before


def test_the_most_that_count_together_with_one_are_its_company() -> None:
    found = seen(0, 9, 12, 18)
    assert ids(company(COUNT, found, "a9")) == ["a9", "a12", "a18"]
    assert ids(company(COUNT, found, "a0")) == ["a0", "a9"]
    assert company(COUNT, found, "a77") == ()


def test_an_answer_ends_what_happened_before_it() -> None:
    assert [ids(part) for part in answered(seen(0, 4, 5), NOW + 4 * MINUTE)] == [["a0", "a4"], ["a5"]]


@pytest.mark.parametrize(
    ("pattern", "group", "at", "said"),
    [
        (COUNT, seen(0, 2), 3, "2 of 3 seen, 7m left"),
        (COUNT, seen(0, 2), 30, "2 of 3 seen, too long ago for what happens now"),
        (COUNT, seen(0, 1, 2), 3, "3 of 3 seen"),
        (ALL, seen(0), 2, "1 of 2 seen, b missing, 8m left"),
        (COUNT, [], 0, "0 of 3 seen"),
    ],
)
def test_a_window_is_told_in_words(pattern: Pattern, group: list[Seen], at: int, said: str) -> None:
    found = standing(pattern, group)
    assert words(pattern, found, NOW + at * MINUTE) == said
    assert Standing.from_json(found.to_json()) == found


def test_an_absence_is_told_in_words() -> None:
    assert words(ABSENT, Standing(), NOW) == "begins unless b comes within 10m"
    joined = Standing(firing="fi_1", until=NOW, before=("a0",))
    assert words(ABSENT, joined, NOW) == "it joins fi_1, which waits for b"
    assert words(ABSENT, Standing(answer="ev_1"), NOW) == "b had come already (ev_1)"
    assert Standing.from_json(joined.to_json()) == joined


@pytest.mark.parametrize("pattern", [COUNT, ALL, ABSENT])
def test_a_pattern_is_what_it_was(pattern: Pattern) -> None:
    assert Pattern.from_json(pattern.to_json()) == pattern
    assert Pattern.from_json(None) is None
