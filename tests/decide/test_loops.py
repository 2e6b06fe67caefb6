"""Rules that wake each other, and what ends that."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from phinops.decide.loops import endless_loops
from phinops.decide.rule import Limits, Rule, RuleStep, Window
from settings import SETTING

RERUN = RuleStep("rerun_instance-1", "rerun_instance", {})
HOUR = timedelta(hours=1)


def rule(name: str, on: str, *steps: RuleStep, condition: str = "", file: str = "a.rules.yaml", line: int = 1) -> Rule:
    return Rule(name, (on,), steps, condition=condition, file=file, line=line)


def emit(kind: str, condition: str = "") -> RuleStep:
    return RuleStep("emit-1", "emit", {"type": kind}, condition)


def told(*rules: Rule) -> list[str]:
    """What is said of the rules, up to where the cure begins."""
    problems = list(endless_loops(rules, SETTING.kinds))
    assert {problem.code for problem in problems} <= {"endless-loop"}
    return [problem.message.partition(", and nothing")[0] for problem in problems]


def test_a_rule_that_reruns_what_failed_wakes_itself() -> None:
    assert told(rule("one", "instance.failed", RERUN)) == ["«one» wakes itself by instance.failed"]


@pytest.mark.parametrize(
    "change",
    [
        {"cooldown": HOUR},
        {"limits": Limits(firings=Window(3, HOUR))},
        {"mode": "off"},
        {"condition": "event.instance.attempts < 3"},
        {"condition": 'event.node.name == "x" && event.caused_by == ""'},
        {"condition": "now - event.time < duration('1h')"},
        {"condition": "event . instance . attempts < 3"},
        {"steps": (RuleStep("r", "rerun_instance", {}, "event.instance.attempts == 1"),)},
        {"types": ("instance.failed", "alert.opened"), "condition": 'event.type == "alert.opened"'},
        {"steps": (RuleStep("t", "terminate_instance", {}),)},
        {"steps": (RuleStep("p", "pause_node", {}),)},
        {"steps": (RuleStep("a", "approve", {}), RERUN)},
        {"types": ("instance.succeeded",), "steps": (RuleStep("s", "set_instance_success", {}),)},
    ],
)
def test_what_may_end_it_ends_it(change: dict[str, object]) -> None:
    whole = rule("one", "instance.failed", RERUN)
    assert told(dataclasses.replace(whole, **change)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"condition": 'event.node.name.startsWith("event.instance.attempts")'},
        {"condition": "event.project.name == vars.project && event.instance.biz_date != ''"},
        {"condition": "event.instance.due_time.getHours() < 6 && event.instance.id != event.node.id"},
        {"condition": 'event.type == "instance.failed"'},
        {"limits": Limits(targets=Window(3, HOUR), downstream=5)},
        {"max_age": HOUR},
        {"mode": "shadow"},
        {"hold": HOUR},
    ],
)
def test_what_is_the_same_each_time_does_not(change: dict[str, object]) -> None:
    whole = rule("one", "instance.failed", RERUN)
    assert len(told(dataclasses.replace(whole, **change))) == 1  # type: ignore[arg-type]


def test_a_lease_ends_with_an_event_that_wakes() -> None:
    pause = RuleStep("p", "pause_node", {"node_id": "n_1", "project_id": "7", "lease": "1h"})
    assert told(rule("one", "lease.ended", pause)) == ["«one» wakes itself by lease.ended"]
    assert told(rule("one", "lease.ended", dataclasses.replace(pause, params={}))) == []


def test_events_of_our_own_carry_a_circle_over_files() -> None:
    one = rule("one", "custom.a", emit("custom.b"), file="b.rules.yaml", line=7)
    two = rule("two", "custom.b", emit("custom.c"))
    three = rule("three", "custom.c", emit("custom.a"), emit("custom.other"))
    (problem,) = endless_loops([one, two, three, rule("four", "custom.a", emit("custom.b", "now > event.time"))], {})
    assert (problem.file, problem.line) == ("b.rules.yaml", 7)
    assert problem.message.startswith(
        "«one» wakes «two» by custom.b, which wakes «three» by custom.c, which wakes «one» by custom.a, and nothing"
    )
    assert "attempts" not in problem.message


def test_what_two_rules_do_to_one_instance_is_a_circle() -> None:
    kill = rule("kill", "instance.running", RuleStep("t", "terminate_instance", {}))
    revive = dataclasses.replace(rule("revive", "instance.failed", RERUN), cooldown=HOUR)
    assert told(kill, revive) == []
    assert told(kill, dataclasses.replace(revive, cooldown=None)) == [
        "«kill» wakes «revive» by instance.failed, which wakes «kill» by instance.running"
    ]


def test_a_settled_action_wakes_those_who_act_on_that() -> None:
    write = RuleStep("c", "call", {"call": "RetryTransferOwnership"})
    read = RuleStep("c", "call", {"call": "GetMyRoles"})
    assert told(rule("one", "action.settled", write)) == ["«one» wakes itself by action.settled"]
    assert told(rule("one", "action.settled", read)) == []
    assert told(rule("one", "action.settled", write, condition='event.action.rule != "one"')) == []
