"""Conditions and keys: what holds, what cannot be evaluated and why, what check says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from happenings import ALERT, DUE, FAILED, HOOK, IMPACT, NOW, STEPS, VARS
from phinops.decide.conditions import Conditions
from phinops.decide.language import Language
from phinops.decide.scope import CannotEvaluate, Names, Scope
from phinops.event import Event, Instance
from settings import SHANGHAI

LANGUAGE = Language(SHANGHAI)


PIECES = st.sampled_from(
    ["event", ".instance", ".attempts", ".ended_at", ".raw", ".x", "steps", ".rerun", ".outcome", "vars", ".most",
     "now", "has(", "(", ")", "[", "]", "{", "}", "'a'", '"', " < ", " == ", " && ", "!", "3", "1.5", "?", ":", ",",
     "bizdate(", ".exists(o, ", ".map(", "\n", "null", "true", "-", "é", "\x00"]
)  # fmt: skip


def holds(source: str, event: Event = FAILED) -> bool | str:
    """True, False, or why it could not be evaluated."""
    truth = LANGUAGE.holds(source, Scope(event, NOW, STEPS, VARS))
    if truth.holds:
        return True
    return False if truth.reason == "if is false" else truth.reason.removeprefix("if cannot be evaluated: ")


@pytest.mark.parametrize(
    "source",
    [
        'event.instance.attempts < 3 && event.node.name.startsWith("dws_")',
        'event.type == "instance.failed" && event.project.id == "7"',
        'event.node.owners.exists(o, o.name == "li")',
        'event.node.owners.map(o, o.id) == ["1", "2"]',
        "event.instance.duration_s == null && event.node.paused == null",
        'event.instance.previous_status == "RUNNING" && event.instance.biz_date < "2026-02"',
        "now - event.time == duration('5m')",
        "event.instance.started_at < event.time",
        'event.time.getHours("Asia/Shanghai") == 7',
        "has(event.instance.started_at) && !has(event.instance.ended_at)",
        "!has(event.instance.ended_at) || event.instance.ended_at < now",
        "event.instance.ended_at < now || true",
        'event.raw.NodeInfo.Tags[0] == "a" && event.raw.NodeInfo.Tags[1] == 2 && event.raw.Ratio < 1.0',
        "event.raw.Big == 1234567890123456789",
        "has(event.raw.NodeInfo) && !has(event.raw.Other) && has(event.raw)",
        'steps.rerun.outcome in ["failed", "timed_out"] && steps["rerun"].reason != ""',
        "event.instance.attempts < vars.most && 'dws' in vars.teams && vars.deep.x.y == null",
        "[event.instance].all(i, i.attempts == 1)",
        'steps["re" + "run"].outcome == "failed"',
        '{"a": event.node.name}["a"] == "dws_orders"',
        'bizdate(now) == "2026-01-04" && days_before(bizdate(now), 4) == "2025-12-31"',
        "",
    ],
)
def test_conditions_that_are_true_of_a_failed_instance(source: str) -> None:
    assert holds(source) is True
    if source:
        names = Names(("instance.failed",), ("rerun",), frozenset(VARS))
        assert LANGUAGE.check_condition(source, names) == []


def test_conditions_of_other_events() -> None:
    assert holds("event.body.ok && event.body.list == [] && event.body.n == 3 && !has(event.body.x)", HOOK) is True
    assert holds("has(event.body)", HOOK) is True
    assert holds('event.alert.times > 1 && event.alert.params.owner == "li"', ALERT) is True
    assert holds("event.impact.error_rate > 0.2 && event.impact.apps.exists(a, a.errors == 3)", IMPACT) is True
    assert holds("event.schedule.due == now", DUE) is True
    assert holds("event.raw == null && !has(event.raw)", DUE) is True


def test_a_false_condition_says_no_more_than_that() -> None:
    assert holds("event.instance.attempts > 3") is False


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("event.instance.ended_at < now", "`event.instance.ended_at` is absent"),
        ("event.instance.ended_at != now", "`event.instance.ended_at` is absent"),
        ('bizdate(event.instance.due_time) == "x"', "`event.instance.due_time` is absent"),
        ("[event.instance].exists(i, i.ended_at < now)", "`i.ended_at` is absent"),
        ('{"a": event.instance.ended_at}["a"] < now', "`event.instance.ended_at` is absent"),
        ("(event.instance).ended_at < now", "`event.instance.ended_at` is absent"),
        ("[event.instance][0].ended_at < now", "`....ended_at` is absent"),
        ("event.instance.duration_s < 3", "`<` cannot be applied to (null, int)"),
        ("event.node.paused", "it is null, neither true nor false"),
        ("!event.node.paused", "`!` cannot be applied to its operand, which may be null"),
        ("event.impact.errors > 3", "the event has no `impact`"),
        ('event.api.name == ""', "the event has no `api`"),
        ("event.body.x == 1", "the event has no `body`"),
        ("event.raw.Other == 1", 'there is no key "Other"'),
        ("event.raw.Ratio.x == 1", "a field is read of something that has none"),
        ('steps.other.outcome == ""', 'there is no key "other"'),
        ('days_before("soon", 1) == ""', "days_before('soon', 1) needs a date such as 2026-01-31"),
        ("1 / (event.instance.attempts - 1) > 0", "divide by zero"),
        ("event.raw.NodeInfo", "it is a dict, neither true nor false"),
        ("event.nod.x", "not a valid expression: "),
    ],
)
def test_what_cannot_be_evaluated_does_not_hold_and_says_why(source: str, reason: str) -> None:
    found = holds(source)
    assert isinstance(found, str)
    assert found.startswith(reason)


def test_parts_that_an_event_lacks_are_absent_to_has() -> None:
    assert holds("has(event.impact)") is False
    assert holds("has(event.impact.errors)") is False
    assert holds("has(event.body)") is False
    assert holds("has(event.impact) && event.impact.errors > 3") is False


def test_an_expression_is_compiled_anew_for_events_with_other_parts() -> None:
    source = "event.impact.errors == 3"
    assert holds(source) == "the event has no `impact`"
    assert holds(source, IMPACT) is True
    assert holds(source) == "the event has no `impact`"


def test_the_time_of_evaluation_is_an_argument() -> None:
    source = "now - event.time >= duration('5m')"
    assert LANGUAGE.holds(source, Scope(FAILED, NOW)).holds
    assert not LANGUAGE.holds(source, Scope(FAILED, NOW - timedelta(seconds=1))).holds


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("event.instance.id", "t_1"),
        ("event.instance.attempts", "1"),
        ("event.raw.Ratio", "0.5"),
        ("event.instance.attempts == 1", "true"),
        ("event.time", "2026-01-05T07:55:00+08:00"),
        ("now - event.time", "5m"),
        ('event.project.id + "/" + event.node.name', "7/dws_orders"),
    ],
)
def test_a_key_is_the_text_of_a_scalar(source: str, text: str) -> None:
    assert LANGUAGE.check_key(source, Names(("instance.failed",))) == []
    assert LANGUAGE.value(source, Scope(FAILED, NOW)) == text


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("event.node.paused", "null"),
        ("event.node.owners", "neither text nor a number"),
        ("event.instance.ended_at", "absent"),
    ],
)
def test_a_key_without_a_text_cannot_be_evaluated(source: str, reason: str) -> None:
    with pytest.raises(CannotEvaluate, match=reason):
        LANGUAGE.value(source, Scope(FAILED, NOW))


@pytest.mark.parametrize(
    ("source", "offset", "words"),
    [
        ('event.nod.name == "x"', 6, "did you mean «node»"),
        ("event.attempts < 3", 6, "did you mean «event.instance.attempts»"),
        ("instance.attempts < 3", 0, "did you mean «event.instance"),
        ("event.node.name.startswith('x')", 16, "did you mean «startsWith»"),
        ("has(event.instance.strted_at)", 19, "did you mean «started_at»"),
        ("event.node.owners.exists(o, o.nme == '')", 30, "«nme» is not a field of owner"),
        ("vars.mots == 3", 5, "did you mean «most»"),
        ("most == 3", 0, "did you mean «vars.most»"),
        ("evnt.node.name == 'x'", 0, "did you mean «event»"),
        ("rerun.outcome == 'failed'", 0, "did you mean «steps.rerun"),
        ("steps['rerum'].outcome == ''", 6, "did you mean «rerun»"),
        ("steps.rerun.outcom == ''", 12, "did you mean «outcome»"),
        ("event.schedule.cron == ''", 6, "only schedule.fired"),
        ("event.body.x == 1", 6, "only hook events"),
        ("event.node.name > 3", 16, "text stands in quotes"),
        ("event.time > '2026'", 11, "timestamp("),
        ("now - event.time > '1h'", 17, 'duration("1h")'),
        ("event.instance.attempts > 1.5", 24, "double"),
        ("event.node.name.x == ''", 16, "string has no fields"),
        ("event.node.name", 0, "must be true or false"),
        ("True", 0, "did you mean «true»"),
        ("event.id == 'x' or true", 16, "write «||»"),
        ("not event.node.paused", 4, "write «!»"),
        ("event.id = 'x'", 9, "write «==»"),
        ("event.id == 'x", 12, "no closing quote"),
        ("event.id == 'x')", 15, "unexpected «)»"),
        ("event.id ==", 11, "too early"),
        ("bizdat(now) == ''", 0, "did you mean «bizdate»"),
        ("'失败' == event.nod.name", 14, "did you mean «node»"),
        ("event.id == ''\n  && event.nod", 26, "did you mean «node»"),
        ("event.node.name.matches('[')", 24, "missing ]"),
        ("now - event.time > duration('1 hour')", 28, "duration"),
        ("event.time > timestamp('today')", 23, "timestamp"),
        ("1 + " * 40 + "1 == 41", 0, "nested too deeply"),
        ("(" * 300 + "1" + ")" * 300, 0, "nested too deeply"),
    ],
)
def test_mistakes_are_told_with_their_place_and_cure(source: str, offset: int, words: str) -> None:
    flaws = LANGUAGE.check_condition(source, Names(("instance.failed",), ("rerun",), frozenset({"most"})))
    assert [flaw.offset for flaw in flaws] == [offset]
    assert words in flaws[0].message


def test_two_mistakes_in_one_expression_are_both_told() -> None:
    flaws = LANGUAGE.check_condition("event.nod == 1 || event.instnce == 2", Names(("instance.failed",)))
    assert [flaw.offset for flaw in flaws] == [6, 24]


def test_a_list_of_types_may_speak_of_what_any_of_them_has() -> None:
    names = Names(("instance.failed", "impact.opened"))
    assert LANGUAGE.check_condition("has(event.impact) || event.instance.attempts > 1", names) == []
    assert len(LANGUAGE.check_condition("event.alert.times > 1", names)) == 1


def test_what_is_kept_compiled_is_bounded() -> None:
    conditions = Conditions(SHANGHAI, kept=2)
    for number in range(5):
        assert conditions.value(f"event.instance.attempts + {number}", Scope(FAILED, NOW)) == 1 + number


def test_times_may_stand_in_any_zone() -> None:
    event = Event("e", "instance.failed", datetime(2026, 1, 4, 17, tzinfo=UTC), "t", "s", instance=Instance("t_1"))
    assert holds('bizdate(event.time) == "2026-01-04"', event) is True


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=12).map("".join)))
def test_no_text_makes_check_or_evaluation_raise(source: str) -> None:
    names = Names(("instance.failed", "impact.opened"), ("rerun",), frozenset(VARS))
    flaws = LANGUAGE.check_condition(source, names)
    assert all(0 <= flaw.offset <= len(source) for flaw in flaws)
    truth = LANGUAGE.holds(source, Scope(FAILED, NOW, STEPS, VARS))
    assert truth.holds or truth.reason


def test_half_a_surrogate_pair_is_a_mistake() -> None:
    assert len(LANGUAGE.check_condition("event.id == '\ud800'", Names(("instance.failed",)))) == 1
    assert len(LANGUAGE.check_template("{{ event.id }} \ud800", Names(("instance.failed",)))) == 1
    assert isinstance(holds("event.id == '\ud800'"), str)


def test_of_several_events_each_is_asked_for_what_it_has() -> None:
    several = Scope(FAILED, NOW, events=(ALERT, FAILED))
    assert LANGUAGE.holds("events.filter(e, has(e.alert)).size() == 1 && !has(events[0].node)", several).holds
    lacking = LANGUAGE.holds('events[0].instance.id == ""', several)
    assert (lacking.holds, lacking.known) == (False, False)
    assert "instance` is absent" in lacking.reason
