"""Which rules an event speaks to, and on which key."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from happenings import ALERT, DUE, FAILED, HOOK, IMPACT, NOW
from phinops.decide.language import Language
from phinops.decide.match import judge, match
from phinops.decide.pattern import Pattern
from phinops.decide.rule import Cares, Rule, RuleSet
from phinops.event import Event, Schedule
from settings import SHANGHAI

HOUR = timedelta(hours=1)
LANGUAGE = Language(SHANGHAI)


def rule(rule_id: str, kind: str = "instance.failed", condition: str = "", key: str = "", cron: str = "") -> Rule:
    return Rule(rule_id, (kind,), (), condition=condition, key=key, cron=cron, hash=rule_id)


def matches(rules: RuleSet, event: Event = FAILED) -> dict[str, tuple[bool, str, str]]:
    found = match(LANGUAGE, rules, event, NOW)
    return {each.rule.id: (each.verdict.holds, each.key, each.verdict.reason) for each in found}


def test_every_rule_on_the_type_is_asked_and_says_why_not() -> None:
    rules = RuleSet([
        rule("yes", condition="event.instance.attempts < 3"),
        rule("no", condition="event.instance.attempts > 3"),
        rule("cannot", condition="event.instance.ended_at < now"),
        rule("other", kind="instance.blocked"),
    ])  # fmt: skip
    assert matches(rules) == {
        "yes": (True, "t_1", ""),
        "no": (False, "", "if is false"),
        "cannot": (False, "", "if cannot be evaluated: `event.instance.ended_at` is absent"),
    }
    assert rules.event_types == {"instance.failed", "instance.blocked"}


def test_a_rule_that_is_off_looks_at_what_comes_and_has_nothing_polled() -> None:
    rules = RuleSet([rule("one", kind="impact.opened"), replace(rule("two"), mode="off", within=timedelta(minutes=1))])
    assert rules.event_types == {"impact.opened"}
    assert rules.cares("instance.") is None
    assert matches(rules) == {"two": (True, "t_1", "")}


def test_a_source_is_cared_for_as_much_as_by_the_rule_in_the_greatest_hurry() -> None:
    slow, fast = (replace(rule(name), within=timedelta(minutes=span)) for name, span in [("slow", 60), ("fast", 5)])
    both = replace(rule("both", kind="alert.opened"), types=("alert.opened", "instance.blocked", "hook.deploy"))
    rules = RuleSet([slow, both, fast])
    assert rules.cares("instance.") == Cares(timedelta(minutes=5))
    assert rules.cares("alert.") == Cares(None)
    assert rules.cares("impact.") is None
    assert RuleSet().cares("alert.") is None


def test_variables_are_those_of_the_rule_s_own_file() -> None:
    one = replace(rule("one", condition="vars.team == 'a'"), vars={"team": "a"})
    two = replace(rule("two", condition="vars.team == 'a'"), vars={"team": "b"})
    assert {name: found[0] for name, found in matches(RuleSet([one, two])).items()} == {"one": True, "two": False}


def test_a_key_of_its_own_goes_before_the_event_s_object() -> None:
    assert matches(RuleSet([rule("one", key="event.node.id")]))["one"] == (True, "n_1", "")
    assert matches(RuleSet([rule("one", key="event.instance.ended_at")]))["one"] == (
        False, "", "key cannot be evaluated: `event.instance.ended_at` is absent",
    )  # fmt: skip


def test_a_condition_on_events_is_asked_of_the_event_alone_where_there_is_no_key() -> None:
    several = replace(rule("one", key="event.instance.ended_at"), pattern=Pattern("count", (FAILED.type,), HOUR, 2))
    for condition, reason in (
        ("events.size() > 0", "key cannot be evaluated: `event.instance.ended_at` is absent"),
        ("events.size() > 1", "if is false"),
    ):
        found = judge(LANGUAGE, replace(several, condition=condition), FAILED, NOW)
        assert (found.verdict.holds, found.verdict.reason, found.asks) == (False, reason, False)


def test_without_a_key_a_rule_is_keyed_on_the_event_s_object() -> None:
    stale = Event("ev_9", "source.stale", NOW, "prod", "daemon")
    for event, key in [(FAILED, "t_1"), (ALERT, "a_1"), (IMPACT, "/9"), (HOOK, "ev_2"), (DUE, "one"), (stale, "one")]:
        assert matches(RuleSet([rule("one", kind=event.type)]), event)["one"] == (True, key, "")


def test_a_schedule_fires_its_own_rules_only() -> None:
    rules = RuleSet([
        rule("eight", kind="schedule.fired", cron="0 8 * * *"),
        rule("nine", kind="schedule.fired", cron="0 9 * * *"),
        rule("any", kind="schedule.fired"),
    ])  # fmt: skip
    assert set(matches(rules, DUE)) == {"eight", "any"}
    nine = replace(DUE, schedule=Schedule("0 9 * * *", NOW))
    assert set(matches(rules, nine)) == {"nine", "any"}
