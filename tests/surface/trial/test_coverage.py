"""What no test has tried is found, with its place."""

from __future__ import annotations

from pathlib import Path

from phinops.surface.trial.coverage import Covered, percent, to_json
from trials import RERUN, session

BLOCK = """\
rules:
  - id: block
    on: instance.failed
    if: |
      event.node.name.startsWith("dws_")
      && (event.instance.attempts > 1 || event.node.priority == "HIGH")
    do:
      - notify: { to: oncall, message: failed }
  - id: plain
    on: instance.succeeded
    do:
      - notify: { to: oncall, message: succeeded }
"""


def covered(folder: Path, rules: str, *tests: str) -> Covered:
    found = session(folder, rules, *tests)
    assert found.passed, [each.failures for each in found.results]
    return found.coverage.report()[0]


def gaps(report: Covered) -> list[str]:
    return [f"{each.place.line}:{each.place.column} {each.rule}: {each.what}" for each in report.gaps]


def test_everything_that_was_not_tried_is_named(tmp_path: Path) -> None:
    report = covered(tmp_path, BLOCK, "steps: [ { expect: { actions: [] } } ]")
    assert gaps(report) == [
        "2:1 block: never fired",
        '5:7 block: never true: event.node.name.startsWith("dws_")',
        '5:7 block: never false: event.node.name.startsWith("dws_")',
        '6:11 block: never true: event.instance.attempts > 1 || event.node.priority == "HIGH"',
        '6:11 block: never false: event.instance.attempts > 1 || event.node.priority == "HIGH"',
        "8:9 block: step notify-1 (notify) was never carried out",
        "9:1 plain: never fired",
        "12:9 plain: step notify-1 (notify) was never carried out",
    ]
    assert (report.rules, report.clauses, report.steps) == ((0, 2), (0, 4), (0, 2))
    assert report.percent == 0


def test_each_clause_must_be_seen_both_ways(tmp_path: Path) -> None:
    seen = "steps: [ { event: { type: instance.failed, node: { name: dws_a } } }, { expect: { notifications: [] } } ]"
    fired = """
    steps:
      - event: { type: instance.failed, node: { name: dws_a, priority: HIGH } }
      - event: { type: instance.succeeded }
      - expect: { firings: [ { rule: block }, { rule: plain } ] }
    """
    report = covered(tmp_path, BLOCK, seen, fired)
    assert gaps(report) == ['5:7 block: never false: event.node.name.startsWith("dws_")']
    assert (report.rules, report.clauses, report.steps) == ((2, 2), (3, 4), (2, 2))
    assert round(report.percent, 1) == 87.5


def test_the_conditions_of_steps_count(tmp_path: Path) -> None:
    good = """
    steps:
      - event: { type: instance.failed, node: { name: dws_a } }
      - state: { instance: { status: SUCCESS } }
      - advance: 1m
      - expect: { notifications: [] }
    """
    report = covered(tmp_path, RERUN, good)
    assert gaps(report) == [
        "4:9 rerun: never false: event.instance.attempts < 3",
        '4:40 rerun: never false: event.node.name.startsWith("dws_")',
        "11:9 rerun: step notify-2 (notify) was never carried out",
        '11:13 rerun: never true: steps.again.outcome != "verified"',
    ]


def test_of_nothing_all_is_covered() -> None:
    assert percent([]) == 100
    assert percent([(1, 2), (0, 2)]) == 25


def test_as_json(tmp_path: Path) -> None:
    document = to_json(covered(tmp_path, BLOCK, "steps: [ { expect: { actions: [] } } ]"))
    assert document["rules"] == {"tried": 0, "of": 2}
    assert document["percent"] == 0
    file = str(tmp_path / "some.rules.yaml")
    assert document["gaps"][0] == {"file": file, "line": 2, "column": 1, "rule": "block", "what": "never fired"}
