"""The guards: what stands between a condition that holds and a firing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta

import pytest

from happenings import FAILED, NOW
from phinops.decide.calendar import Calendar, Hours
from phinops.decide.permit import ALLOWED, History, Verdict, permit
from phinops.decide.rule import Limits, Rule, Window

MINUTE = timedelta(minutes=1)
RULE = Rule("one", ("instance.failed",), ())


def test_nothing_objects_to_a_first_firing() -> None:
    assert permit(RULE, FAILED, History(), NOW) == ALLOWED


def test_a_rule_that_is_off_does_not_fire() -> None:
    assert permit(replace(RULE, mode="off"), FAILED, History(), NOW) == Verdict(False, "mode is off")
    assert permit(replace(RULE, mode="shadow"), FAILED, History(), NOW) == ALLOWED


def test_an_event_may_be_too_old() -> None:
    assert permit(replace(RULE, max_age=5 * MINUTE), FAILED, History(), NOW) == ALLOWED
    assert permit(replace(RULE, max_age=4 * MINUTE), FAILED, History(), NOW) == Verdict(
        False, "max_age: the event is 5m old, 4m is allowed"
    )


def test_cooldown_counts_from_the_start_of_the_last_firing() -> None:
    rule = replace(RULE, cooldown=timedelta(hours=1))
    assert permit(rule, FAILED, History(last_started=NOW - timedelta(hours=1)), NOW) == ALLOWED
    assert permit(rule, FAILED, History(last_started=NOW - 20 * MINUTE), NOW) == Verdict(
        False, "cooldown: 40m of 1h left"
    )


def test_a_rule_fires_no_more_often_than_its_limit() -> None:
    rule = replace(RULE, limits=Limits(firings=Window(3, timedelta(hours=1))))
    assert permit(rule, FAILED, History(firings_in_window=2), NOW) == ALLOWED
    assert permit(rule, FAILED, History(firings_in_window=3), NOW) == Verdict(
        False, "limits.firings: 3 firings in 1h, 3 are allowed"
    )


def test_a_busy_key_queues_or_skips() -> None:
    assert permit(RULE, FAILED, History(busy=True), NOW) == Verdict(
        False, "the key is busy: it waits for its turn", True
    )
    assert permit(replace(RULE, concurrency="single"), FAILED, History(busy=True), NOW) == Verdict(
        False, "the key is busy (concurrency: single)"
    )


@pytest.mark.parametrize(("own", "caused", "allowed"), [(4, True, True), (5, True, False), (5, False, True)])
def test_a_rule_wakes_itself_up_five_times_a_day_at_most(own: int, caused: bool, allowed: bool) -> None:
    verdict = permit(RULE, FAILED, History(own_firings=own, caused_by_own=caused), NOW)
    assert verdict.allowed is allowed
    assert allowed or "its own" in verdict.reason or "own actions" in verdict.reason


def test_only_what_may_fire_at_all_waits_for_its_turn() -> None:
    rule = replace(RULE, cooldown=timedelta(hours=1))
    verdict = permit(rule, FAILED, History(last_started=NOW, busy=True), NOW)
    assert (verdict.allowed, verdict.queue) == (False, False)


def test_a_rule_outside_of_its_hours_does_not_fire_and_says_when_it_will() -> None:
    rule = replace(RULE, active=(Calendar("UTC", (Hours(0, 60),), name="late"),))
    inside = NOW.replace(hour=0, minute=30, tzinfo=UTC)
    event = replace(FAILED, time=inside)
    assert permit(rule, event, History(), inside) == ALLOWED
    verdict = permit(rule, event, History(busy=True), inside + timedelta(hours=1))
    assert verdict == Verdict(
        False, "active: 01:30 on 2026-01-05 is outside late (00:00-01:00); next at 00:00 on 2026-01-06 (UTC)"
    )
    off = replace(rule, mode="off")
    assert permit(off, event, History(), inside + timedelta(hours=1)) == Verdict(False, "mode is off")
