"""A decision taken apart: every clause with its values, the first one that decided, every guard that objected."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from phinops.decide.decision import Facts
from phinops.decide.explain import LONGEST_VALUE, Told, explain
from phinops.decide.language import Language
from phinops.decide.pattern import Pattern
from phinops.decide.rule import Rule
from phinops.event import Event, Instance, Node
from settings import SHANGHAI
from worlds import START

HOUR = timedelta(hours=1)
LANGUAGE = Language(SHANGHAI)
RULE = Rule(id="r", types=("instance.failed",), steps=(), vars={"most": 3, "team": {"name": "x"}})
EVENT = Event(
    "ev_1", "instance.failed", START, "t", "instances", instance=Instance(id="t_1", attempts=4), node=Node(name="ods_x")
)


def told(condition: str, event: Event = EVENT) -> Told:
    return explain(LANGUAGE, replace(RULE, condition=condition), event, Facts(START))


def test_each_clause_is_told_with_what_it_read() -> None:
    found = told('event.node.name.startsWith("dws_") && event.instance.attempts < vars.most').condition
    assert found
    assert [(part.text, part.holds, dict(part.values)) for part in found.parts] == [
        ('event.node.name.startsWith("dws_")', False, {"event.node.name": "ods_x"}),
        ("event.instance.attempts < vars.most", False, {"event.instance.attempts": 4, "vars.most": 3}),
    ]
    assert found.holds is False


@pytest.mark.parametrize(
    ("condition", "first"),
    [
        ("event.instance.attempts > 3 && event.instance.attempts > 4 && false", "event.instance.attempts > 4"),
        ("false || event.instance.attempts > 9", "false || event.instance.attempts > 9"),
        ("true && (false || true) && !(true)", "!(true)"),
        ("event.instance.started_at < now && event.instance.attempts > 9", "event.instance.attempts > 9"),
        ("event.instance.started_at < now && true", "event.instance.started_at < now"),
    ],
)  # fmt: skip
def test_the_first_clause_that_decided(condition: str, first: str) -> None:
    found = told(condition).first_false
    assert found
    assert found.text == first


def test_of_what_holds_nothing_is_false() -> None:
    assert told("true").first_false is None
    assert told("").condition is None
    assert told("").first_false is None


def test_a_clause_that_cannot_be_evaluated_says_why() -> None:
    found = told("event.instance.started_at < now")
    assert found.condition
    assert found.condition.holds is None
    assert found.condition.reason == "`event.instance.started_at` is absent"
    assert dict(found.condition.values) == {"now": START.isoformat()}
    assert found.decision.state == "skipped"


def test_values_below_vars_and_raw_are_told_as_far_as_they_are_there() -> None:
    event = replace(EVENT, raw={"Node": {"Name": "n" * 500}})
    found = told('event.raw.Node.Name == vars.team.name && has(vars.team.lead) && event.raw.Other == "x"', event)
    assert found.condition
    first, second, third = found.condition.parts
    assert dict(first.values) == {"event.raw.Node.Name": "n" * (LONGEST_VALUE - 1) + "…", "vars.team.name": "x"}
    assert (dict(second.values), dict(third.values)) == ({}, {})


def test_every_guard_that_objects_is_told_not_only_the_foremost() -> None:
    rule = replace(RULE, max_age=timedelta(minutes=1), mode="off")
    found = explain(LANGUAGE, rule, replace(EVENT, time=START - timedelta(hours=1)), Facts(START))
    assert list(found.objections) == ["mode", "max_age"]
    assert found.decision.reason == "mode is off"


def test_guards_are_not_asked_where_the_condition_is_false() -> None:
    rule = replace(RULE, mode="off", condition="false")
    assert explain(LANGUAGE, rule, EVENT, Facts(START)).objections == {}


def test_a_told_clause_is_json() -> None:
    found = told("event.instance.attempts > 3 && true")
    assert found.condition
    assert found.condition.to_json() == {
        "kind": "all", "text": "event.instance.attempts > 3 && true", "holds": True, "reason": "",
        "decides": False, "values": {},
        "parts": [
            {"kind": "is", "text": "event.instance.attempts > 3", "holds": True, "reason": "", "decides": False,
             "values": {"event.instance.attempts": 4}, "parts": []},
            {"kind": "is", "text": "true", "holds": True, "reason": "", "decides": False, "values": {}, "parts": []},
        ],
    }  # fmt: skip


def test_the_inputs_of_a_blueprint_are_told_as_they_are_written() -> None:
    condition = "inputs.pause < duration('1h') && inputs.most < 3"
    rule = replace(RULE, condition=condition, inputs={"pause": HOUR / 2, "most": 3})
    found = explain(LANGUAGE, rule, EVENT, Facts(START)).condition
    assert found
    assert [dict(part.values) for part in found.parts] == [{"inputs.pause": "30m"}, {"inputs.most": 3}]


def test_of_the_events_that_counted_it_is_told_how_many_they_were() -> None:
    condition = "events.size() >= 2 && events[0].instance.attempts < event.instance.attempts && event.node.name != ''"
    rule = replace(RULE, condition=condition, pattern=Pattern("count", RULE.types, HOUR, 3))
    events = [replace(EVENT, id=f"ev_{attempts}", instance=Instance(attempts=attempts)) for attempts in (1, 2, 4)]
    values = {}
    for among in (events, events[-1:]):
        found = explain(LANGUAGE, rule, among[-1], Facts(START), among).condition
        assert found
        values[len(among)] = [dict(part.values) for part in found.parts]
    assert values[3] == [
        {"events": "3 events"},
        {"events": "3 events", "event.instance.attempts": 4},
        {"event.node.name": "ods_x"},
    ]
    assert values[1][0] == {"events": "1 event"}


def test_of_what_is_to_stay_away_no_condition_is_asked() -> None:
    rule = replace(RULE, condition="false", pattern=Pattern("absent", ("alert.opened", EVENT.type), HOUR))
    found = explain(LANGUAGE, rule, EVENT, Facts(START))
    assert (found.condition, found.decision.state) == (None, "counted")


def test_of_equal_clauses_one_decides() -> None:
    found = told("false && true && false")
    assert found.condition
    document = found.condition.to_json(found.first_false)
    assert [part["decides"] for part in document["parts"]] == [True, False, False]
    assert document["decides"] is False
