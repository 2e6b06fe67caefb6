"""A rehearsed day: the real daemon keeps within the quota, and what is measured is what happened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import timedelta
from multiprocessing import get_context

import pytest

from phinops.catalog.catalog import Edition
from phinops.event import JsonObject
from phinops.simulate.invent import Size, invent
from phinops.surface.rehearsal.day import SIZES, Rehearsal, rehearse
from phinops.surface.rehearsal.measure import source_of
from phinops.surface.rehearsal.summary import averaged, shortcomings

LONG = bool(os.environ.get("PHINOPS_LONG"))

FEW = 5
"""So many days are enough where hundreds fail in them."""

SEEDS: Mapping[Edition, int] = {"personal": 2, "agile": 1} if not LONG else dict.fromkeys(SIZES, FEW) | {"agile": 30}
"""How many days of each edition are rehearsed. In one of Agile some twenty failures are found by polls alone: in five
days chance makes their mean delay a tenth longer or shorter."""

BEST, BEYOND_HINDSIGHT = 0.65, 1.15
"""What the mean delay of failures without an alert rule may be, to equal intervals and to the best with hindsight."""


@pytest.fixture(scope="module")
def days() -> Mapping[Edition, list[JsonObject]]:
    wanted = [
        Rehearsal(edition=edition, size=SIZES[edition], seed=seed)
        for edition, seeds in SEEDS.items()
        for seed in range(1, seeds + 1)
    ]
    if LONG:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
            found = list(processes.map(rehearse, wanted))
    else:
        found = [rehearse(each) for each in wanted]
    return {edition: [day for day in found if day["edition"] == edition] for edition in SEEDS}


@pytest.mark.long
@pytest.mark.parametrize("edition", SEEDS)
def test_no_call_is_refused_no_action_dropped_and_the_reserve_is_left_alone(
    days: Mapping[Edition, list[JsonObject]], edition: Edition
) -> None:
    for day in days[edition]:
        assert shortcomings(day) == []
        assert all(each["missed"] == 0 for each in day["delays"].values())
        assert day["actions"]["verified"] == SIZES[edition].failures
        assert day["actions"]["sent"] >= day["actions"]["failures"] >= SIZES[edition].failures


@pytest.mark.long
@pytest.mark.parametrize("edition", SEEDS)
def test_everything_that_happened_is_accounted_for(days: Mapping[Edition, list[JsonObject]], edition: Edition) -> None:
    for day in days[edition]:
        truth = invent(SIZES[edition], day["seed"], edition)
        alerted = sum(failure.alerted for failure in truth.today.failures)
        delays = day["delays"]
        assert delays["instances_alerted"]["count"] == alerted
        assert delays["instances_plain"]["count"] == SIZES[edition].failures - alerted
        assert delays["again"]["count"] == sum(failure.runs - 1 for failure in truth.today.failures)
        assert delays["alerts"]["count"] == alerted + len(truth.today.alerts)
        assert delays["impacts"]["count"] == len(truth.today.troubles)
        assert sum(day["sources"].values()) == sum(day["calls"].values())
        polled = sum(day["sources"].get(name, 0) for name in ("alerts", "instances", "impacts"))
        assert polled == sum(pool["calls"] for pool in day["polls"]) or edition == "intelligent"
        assert day["pacing"]["calls"] == day["sources"]["instances"]
        assert 0 < day["pacing"]["optimum"] < 1


@pytest.mark.long
@pytest.mark.skipif(not LONG, reason="so many days, and five of the two largest editions, take minutes")
@pytest.mark.parametrize("edition", ["agile", "basic", "intelligent"])
def test_calls_are_spent_where_things_fail(days: Mapping[Edition, list[JsonObject]], edition: Edition) -> None:
    assert averaged(days[edition][:FEW])["pacing"]["ratio"] <= BEST
    pacing = averaged(days[edition])["pacing"]
    assert pacing["ratio"] <= BEST
    assert pacing["ratio"] <= BEYOND_HINDSIGHT * pacing["hindsight"]


@pytest.mark.long
def test_what_is_verified_is_read_once_or_twice_where_calls_are_few(days: Mapping[Edition, list[JsonObject]]) -> None:
    for day in days["agile"]:
        assert day["sources"]["verify"] <= 2 * day["actions"]["sent"]


def test_a_fixed_interval_is_seen_in_the_delays() -> None:
    size = replace(SIZES["agile"], instances=2000)
    day = rehearse(Rehearsal(edition="agile", size=size, seed=1, every=timedelta(hours=2)))
    plain = day["delays"]["instances_plain"]
    assert 2400 < plain["mean"] < 4800
    assert 5400 < plain["max"] < 7210
    # Each of the 20 projects every two hours, and where an alert tells of a failure.
    assert 240 <= day["sources"]["instances"] < 300


def test_a_day_that_asks_too_much_is_said_to() -> None:
    day = rehearse(Rehearsal(edition="personal", size=Size(projects=5, failures=150, instances=2000), seed=1))
    assert day["actions"]["dropped"] > 0
    assert any("dropped" in fault for fault in shortcomings(day))
    assert sum(day["calls"].values()) <= 100


def test_calls_are_sorted_by_what_they_are_for() -> None:
    assert source_of("ListAlertEvents", "ALERTS") == "alerts"
    assert source_of("ListInstances", "POLL") == "instances"
    assert source_of("GetDataServiceApiCallSummary", "POLL") == "impacts"
    assert source_of("ListInstances", "VERIFY") == "verify"
    assert source_of("ListInstances", "") == "other"


GOOD: JsonObject = {
    "edition": "basic",
    "seed": 1,
    "refused": {"rate": 0, "day": 0},
    "actions": {"dropped": 0},
    "polls": [{"pool": "1+2", "calls": 40_000, "most": 40_000}],
    "delays": {"alerts": {"mean": 10.0, "max": 20.0}, "impacts": {"mean": None, "max": None}},
}


def test_a_day_falls_short_by_a_refusal_a_dropped_action_or_a_poll_too_many() -> None:
    assert shortcomings(GOOD) == []
    assert len(shortcomings({**GOOD, "refused": {"rate": 0, "day": 0, "nonce": 1}})) == 1
    assert len(shortcomings({**GOOD, "actions": {"dropped": 2}})) == 1
    assert len(shortcomings({**GOOD, "polls": [{"pool": "1+2", "calls": 40_001, "most": 40_000}]})) == 1


def test_days_are_averaged_and_their_maximum_is_the_largest() -> None:
    other = {
        **GOOD,
        "seed": 2,
        "refused": {"rate": 0, "day": 4, "nonce": 1},
        "delays": {"alerts": {"mean": 20.0, "max": 30.0}, "impacts": {"mean": 5.0, "max": 6.0}},
    }
    mean = averaged([GOOD, other])
    assert (mean["edition"], mean["seed"]) == ("basic", "mean")
    assert mean["refused"] == {"rate": 0, "day": 2, "nonce": 0.5}
    assert mean["delays"] == {"alerts": {"mean": 15.0, "max": 30.0}, "impacts": {"mean": 5.0, "max": 6.0}}
    assert mean["polls"] == [{"pool": "1+2", "calls": 40_000, "most": 40_000}]
    assert averaged([GOOD])["delays"]["impacts"] == {"mean": None, "max": None}
