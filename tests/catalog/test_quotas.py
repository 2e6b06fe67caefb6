from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from phinops.catalog.catalog import Edition, load_catalog
from phinops.catalog.quotas import PLANS, QuotaPlan, allowed, level_of, plan_for


@pytest.mark.parametrize(
    ("edition", "rates", "days"),
    [
        ("personal", {"1+2+3": 5}, {"1+2+3": 100}),
        ("agile", {"1+2+3": 5}, {"1+2+3": 1000}),
        ("basic", {"1": 50, "2": 20, "3": 5}, {"1+2": 50_000, "3": 10_000}),
        ("intelligent", {"1": 50, "2": 20, "3": 5}, {"3": 10_000}),
    ],
)
def test_an_edition_has_its_published_plan(edition: Edition, rates: Mapping[str, int], days: Mapping[str, int]) -> None:
    assert PLANS[edition] == QuotaPlan(rates, days)


def test_a_level_finds_its_pools() -> None:
    basic = PLANS["basic"]
    assert [basic.rate_pool(level) for level in (1, 2, 3)] == ["1", "2", "3"]
    assert [basic.day_pool(level) for level in (1, 2, 3)] == ["1+2", "1+2", "3"]


def test_a_level_in_no_key_is_not_limited() -> None:
    assert PLANS["intelligent"].day_pool(2) is None
    assert QuotaPlan({"1": 1}, {}).rate_pool(3) is None


@pytest.mark.parametrize(
    ("rates", "complaint"),
    [
        ({"4": 5}, "calls a second: '4' does not name levels"),
        ({"1,2": 5}, "does not name levels"),
        ({"1": 0}, "must be at least 1"),
        ({"1": 5, "1+2": 5}, "level 1 is in '1' and in '1[+]2'"),
        ({"2+2": 5}, "level 2 is in"),
    ],
)
def test_an_impossible_plan_is_refused(rates: Mapping[str, int], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        QuotaPlan(rates, {})


def test_a_stated_table_replaces_the_published_one() -> None:
    plan = plan_for("basic", daily={"1+2+3": 70})
    assert plan == QuotaPlan(PLANS["basic"].rates, {"1+2+3": 70})
    assert plan_for("agile") == PLANS["agile"]
    assert plan_for("private", qps={"1+2+3": 8}) == QuotaPlan({"1+2+3": 8}, {})


def test_a_private_deployment_must_state_its_quota() -> None:
    with pytest.raises(ValueError, match="state qps"):
        plan_for("private", daily={"1": 5})


def test_a_higher_edition_has_more_apis() -> None:
    def count(edition: Edition) -> int:
        return sum(allowed(spec, edition) for spec in load_catalog())

    editions: list[Edition] = ["personal", "agile", "basic", "intelligent", "private"]
    assert [count(edition) for edition in editions] == [300, 300, 358, 376, 376]


def test_an_unpublished_level_counts_as_the_dearest() -> None:
    levels = Counter(level_of(spec) for spec in load_catalog())
    assert levels == {1: 55, 2: 75, 3: 81 + 165}


def test_a_stated_level_goes_before_the_published_one() -> None:
    spec = load_catalog().require("GetInstanceDownStream")
    assert level_of(spec) == 2
    assert level_of(spec, {"GetInstanceDownStream": 1}) == 1
    assert level_of(spec, {"FixData": 1}) == 2
