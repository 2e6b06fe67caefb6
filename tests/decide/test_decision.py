"""One pure function decides: by the condition, then by the guards, and the same again from recorded facts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from phinops.decide.decision import Decision, Facts, decide
from phinops.decide.language import FALSE, TRUE
from phinops.decide.match import Match
from phinops.decide.pattern import Pattern
from phinops.decide.permit import History
from phinops.decide.rule import Rule, Window
from phinops.decide.scope import Truth
from phinops.decide.window import Standing
from phinops.event import Event, Instance
from worlds import START

RULE = Rule(id="r", types=("instance.failed",), steps=())
EVENT = Event("ev_1", "instance.failed", START, "t", "instances", instance=Instance(id="t_1"))
FACTS = Facts(START)


def decided(rule: Rule = RULE, facts: Facts = FACTS, verdict: Truth = TRUE) -> Decision:
    return decide(Match(rule, "k", verdict), EVENT, facts)


def test_nothing_follows_from_a_condition_that_is_false() -> None:
    assert decided(verdict=FALSE) == Decision("no", reason="if is false")


def test_a_condition_without_a_value_is_a_skipped_firing_that_says_so() -> None:
    assert decided(verdict=Truth(False, "if cannot be evaluated: x")) == Decision(
        "skipped", "k", "if cannot be evaluated: x"
    )


def test_what_may_fire_is_ready_or_waits_for_its_time() -> None:
    assert decided() == Decision("ready", "k")
    assert decided(replace(RULE, hold=timedelta(minutes=6))) == Decision(
        "waiting", "k", "begins after 6m if it still holds then", wake_at=START + timedelta(minutes=6)
    )


def test_a_busy_key_queues_or_skips() -> None:
    busy = Facts(START, History(busy=True))
    assert decided(facts=busy).state == "queued"
    assert decided(replace(RULE, concurrency="single"), busy) == Decision(
        "skipped", "k", "the key is busy (concurrency: single)"
    )


def test_a_guard_skips_with_its_reason() -> None:
    limited = replace(RULE, limits=replace(RULE.limits, firings=Window(1, timedelta(hours=1))))
    assert decided(limited, Facts(START, History(firings_in_window=1))).reason.startswith("limits.firings")


def test_what_may_not_count_is_skipped_before_it_is_counted() -> None:
    several = replace(RULE, pattern=Pattern("count", RULE.types, timedelta(hours=1), 2))
    for rule, decision in (
        (several, Decision("counted", "k", "1 of 2 seen")),
        (replace(several, mode="off"), Decision("skipped", "k", "mode is off")),
    ):
        assert decided(rule, Facts(START, window=Standing(seen=1, needed=2))) == decision


@given(
    last=st.none() | st.integers(0, 10_000),
    busy=st.booleans(),
    own=st.integers(0, 9),
    caused=st.booleans(),
    fired=st.integers(0, 9),
)
def test_facts_are_read_back_as_they_were_recorded(
    last: int | None, busy: bool, own: int, caused: bool, fired: int
) -> None:
    moment = None if last is None else START - timedelta(seconds=last)
    facts = Facts(START, History(moment, busy, own, caused, fired))
    assert Facts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


def test_facts_of_a_newer_version_are_read_without_what_is_unknown() -> None:
    document = FACTS.to_json()
    document["history"]["phase_of_the_moon"] = 1
    assert Facts.from_json(document) == FACTS
