"""Doubts about conditions: only what is certain."""

from __future__ import annotations

import pytest

from phinops.decide.language import Language
from phinops.decide.scope import Names
from settings import SHANGHAI

LANGUAGE = Language(SHANGHAI)


def doubts(source: str, *types: str, steps: tuple[str, ...] | None = None) -> list[str]:
    """The codes and messages for events of these types, instance.failed unless said; none of them is an error."""
    names = Names(types or ("instance.failed",), steps or (), within_plan=steps is not None)
    flaws = LANGUAGE.check_condition(source, names)
    assert {flaw.severity for flaw in flaws} <= {"warning"}
    return [f"{flaw.code} {flaw.offset} {flaw.message}" for flaw in flaws]


@pytest.mark.parametrize(
    "source",
    [
        "true",
        "event.instance.attempts > 3 && event.instance.attempts < 5",
        "event.instance.attempts >= 3 && event.instance.attempts <= 3",
        'event.node.name == "a" || event.node.name == "b"',
        'event.node.name != "a" && event.node.name != "b"',
        '!(event.node.name == "a" && event.node.name == "b")',
        'event.node.name.startsWith("dws") && event.node.name.startsWith("dws_")',
        'event.node.name.endsWith("d") && event.node.name.endsWith("_1d") && event.node.name.contains("x")',
        '!event.node.name.startsWith("a") && event.node.name.contains("b")',
        'event.node.name in ["a", "b"] && event.node.name.startsWith("b")',
        "event.instance.duration_s != null && event.instance.duration_s > 3",
        'event.time.getHours("Asia/Shanghai") < 6 || event.time.getHours("Asia/Shanghai") > 20',
        "event.time.getMonth() == 11 && event.time.getDate() == 31",
        "event.instance.attempts == -1 || event.instance.attempts == 7 || 1.5 < 2.5",
        'event.instance.status == "FAILED" && event.type == "instance.failed"',
        'event.instance.previous_status in ["", "RUNNING"]',
        "event.node.owners.exists(o, o.name == 'li') && !event.node.owners.exists(o, o.name == 'wang')",
        "event.node.owners[0].name == 'li' && event.node.owners[1].name == 'wang'",
        "event.raw.a == 1 && event.raw.b == 2 && has(event.raw.c)",
        "event.instance.duration_s - 5 > 3 && event.instance.duration_s - 6 < 3",
        "event.node.name == event.project.name",
        "event.node.name in [event.project.name, 'x']",
        "[1, 2] == [1, 2] && {'a': 1}.size() == 1",
        "(event.node.paused == null ? 1 : 2) == 1",
        "event.node.name.matches('a') && !event.node.name.matches('b')",
    ],
)
def test_what_may_be_true_is_not_doubted(source: str) -> None:
    assert doubts(source) == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("false", "0 can never be true: `false` is never true"),
        ("!true", "1 can never be true: `!true` is never true"),
        ("true && 2 < 1", "8 can never be true: `2 < 1` is never true"),
        ("'a' in ['b']", '0 can never be true: `"a" == "b"` is never true'),
        (
            "3 < event.instance.attempts && 3.0 >= double(event.instance.attempts) && false",
            "73 can never be true: `false` is never true",
        ),
        ("event.instance.attempts < 3 && event.instance.attempts > 3", "31"),
        ("event.node.paused && !event.node.paused", "22"),
        ("event.node.name in ['a', 'b'] && !(event.node.name in ['b', 'a', 'c'])", "35"),
        ("event.node.name.contains('a') && event.node.name == 'b'", "33"),
        (
            "event.node.owners.exists(o, o.name == 'li') && !event.node.owners.exists(o, o.name == 'li')",
            "48 can never be true: a clause and its opposite exclude each other",
        ),
        ("(event.id == 'a' ? event.tenant == 'b' : false) && event.id == 'c'", "51"),
        (
            "!(event.id == 'a' ? true : true)",
            "20 can never be true: `!true` is never true; nor can what else it allows",
        ),
        ("event.instance.attempts in [1, 2, 3] && event.instance.attempts > 2 && event.instance.attempts != 3", "71"),
        ("size(event.node.owners) > 3 && size(event.node.owners) < 3", "31"),
        ("event.node.owners[0].name == 'li' && event.node.owners[0].name == 'wang'", "37"),
        ("event.instance.duration_s - 5 > 3 && event.instance.duration_s - 5 < 3", "37"),
        (
            "event.time.getHours() > 23",
            "0 can never be true: `event.time.getHours() > 23` is true of no instance.failed",
        ),
    ],
)
def test_what_can_never_be_true_is_told(source: str, said: str) -> None:
    (found,) = doubts(source)
    assert found.startswith(f"never-true {said}"), found


def test_more_alternatives_than_can_be_looked_through_are_let_be() -> None:
    pairs = " && ".join(f"(event.id == 'a{index}' || event.tenant == 'b{index}')" for index in range(7))
    assert doubts(pairs) == []
    wide = " || ".join(f"(event.id == 'a' && event.id == 'b{index}')" for index in range(70))
    assert doubts(wide) == []


@pytest.mark.parametrize(
    ("source", "types", "said"),
    [
        (
            "event.impact.errors > 3 && event.node.name != ''",
            ("instance.failed", "impact.opened"),
            "instance.failed has no `impact`",
        ),
        (
            "has(event.impact) && event.node.name != ''",
            ("instance.failed", "impact.opened"),
            "`has(event.impact)` is true of no",
        ),
    ],
)
def test_no_type_may_be_able_to_meet_it(source: str, types: tuple[str, ...], said: str) -> None:
    (found,) = doubts(source, *types)
    assert said in found


def test_one_type_that_can_meet_it_is_enough() -> None:
    assert doubts("has(event.impact) && event.impact.errors > 3", "instance.failed", "impact.opened") == []
    assert doubts("!has(event.impact)", "instance.failed", "impact.opened") == []


@pytest.mark.parametrize(
    ("source", "types", "said"),
    [
        (
            "event.type == 'instance.fialed'",
            (),
            "14 there is no event «instance.fialed»: did you mean «instance.failed»?",
        ),
        ("event.type == 'x'", (), "14 there is no event «x»: here it is instance.failed"),
        (
            "event.type in ['instance.failed', 'instance.blocked']",
            (),
            "34 «on» does not name instance.blocked: here the type is",
        ),
        ("event.instance.status != 'zzz'", (), "25 no instance is «zzz»: there are BLOCKED, FAILED"),
        ("event.instance.status == 'SUCCESS'", (), "25 the status is FAILED in instance.failed, never «SUCCESS»"),
        ("event.alert.status == 'ALERTIN'", ("alert.opened",), "22 no alert is «ALERTIN»: did you mean «ALERTING»?"),
        (
            "event.alert.status == 'ALERTING'",
            ("alert.silenced",),
            "22 the status is DO_NOT_DISTURB or SILENCING in alert.silenced",
        ),
        ("event.action.outcome == 'zzz'", ("action.settled",), "24 no outcome is «zzz»: there are accepted, failed"),
        ("event.time.getDayOfWeek('UTC') == 7", (), "34 getDayOfWeek() is never 7: it gives 0 to 6"),
    ],
)
def test_a_value_that_there_never_is_is_told(source: str, types: tuple[str, ...], said: str) -> None:
    (found,) = doubts(source, *types)
    assert found.startswith(f"impossible-value {said}"), found


def test_values_of_other_lists_are_let_be() -> None:
    assert doubts("event.alert.status == 'SOMETHING_NEW'", "alert.opened") == []
    assert doubts("event.instance.status == 'RUNNING'", "instance.stuck") == []
    assert doubts("event.instance.previous_status == ''") == []
    assert doubts("event.node.priority == 'ANY'") == []


def test_a_step_may_see_an_object_that_has_gone_on() -> None:
    assert doubts("event.instance.status == 'SUCCESS'", steps=()) == []
    assert doubts("event.alert.status == 'ALERTING'", "alert.closed", steps=()) == []
    (found,) = doubts("steps.again.outcome in ['verified', 'ok']", steps=("again",))
    assert "no outcome is «ok»" in found


def test_a_strange_value_is_told_once_and_no_more_is_made_of_it() -> None:
    assert len(doubts("event.instance.status == 'RUNNING' && event.instance.status == 'FAILED'")) == 1
    assert len(doubts("(event.type == 'x' ? event.id == 'a' : event.id == 'b') || event.tenant == 'c'")) == 1
