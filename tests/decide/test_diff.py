"""What a reload changes, told key by key."""

from __future__ import annotations

from pathlib import Path

import pytest

from phinops.decide.diff import RuleChange, differences
from phinops.decide.rule import RuleSet
from settings import loaded

BASE = """
vars: { most: 3 }
rules:
  - id: one
    on: instance.failed
    if: event.instance.attempts < vars.most
    for: 6m
    mode: shadow
    limits: { firings: { max: 3, per: 1h } }
    do:
      - rerun_instance: {}
        verify: { within: 30m }
      - notify: { to: oncall, message: "m" }
"""


def _diff(folder: Path, before: str, after: str) -> list[str]:
    found = []
    for text in (before, after):
        read = loaded(folder, text)
        assert [str(problem) for problem in read.problems] == []
        found.append(read.rules)
    return list(map(str, differences(*found)))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("for: 6m", "for: 10m", "one: for: 6m -> 10m"),
        ("    for: 6m\n", "", "one: for: 6m -> none"),
        ("mode: shadow", "mode: armed", "one: mode: shadow -> armed"),
        ("most: 3", "most: 4", "one: vars.most: 3 -> 4"),
        ("max: 3", "max: 5", "one: limits.firings.max: 3 -> 5"),
        ("within: 30m", "within: 1h", "one: do[1] verify.within: 30m -> 1h"),
        ('message: "m"', 'message: "n"', "one: do[2] notify.message: m -> n"),
        ('message: "m"', 'message: "' + 70 * "n" + '"', "one: do[2] notify.message changed"),
        ("    for: 6m\n", "    for: 6m\n    within: 5m\n    description: d\n",
         "one: within: none -> 5m, description: none -> d"),
        ("    on: instance.failed", "    on: [instance.failed, instance.blocked]",
         "one: on: instance.failed -> instance.failed, instance.blocked"),
        ("    on: instance.failed", "    on: { event: instance.failed, count: 3, within: 10m }",
         "one: on: instance.failed -> { event: instance.failed, count: 3, within: 10m }"),
        ("    on: instance.failed\n    if: event.instance.attempts < vars.most\n    for: 6m\n",
         "    on: { event: instance.failed, absent: custom.b, within: 600s }\n",
         "one: on: instance.failed -> { event: instance.failed, absent: custom.b, within: 10m }, "
         "if: event.instance.attempts < vars.most -> none, for: 6m -> none"),
        ('      - notify: { to: oncall, message: "m" }\n', "", "one: do: rerun_instance, notify -> rerun_instance"),
    ],
)  # fmt: skip
def test_each_changed_key_is_told_with_both_values(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in BASE
    assert _diff(tmp_path, BASE, BASE.replace(old, new)) == [said]


def test_what_only_moved_has_not_changed(tmp_path: Path) -> None:
    assert _diff(tmp_path, BASE, "# a comment\n" + BASE) == []


def test_rules_that_came_and_went_are_named(tmp_path: Path) -> None:
    assert _diff(tmp_path, BASE, BASE.replace("id: one", "id: two")) == ["one: removed", "two: added"]
    assert differences(RuleSet(), RuleSet()) == []


def test_a_schedule_is_shown_as_it_is_written(tmp_path: Path) -> None:
    cron = 'rules:\n  - id: c\n    on: { schedule: "0 6 * * *" }\n    do: [ { notify: { to: oncall, message: m } } ]\n'
    assert _diff(tmp_path, cron, cron.replace("0 6", "5 6")) == [
        "c: on: { schedule: 0 6 * * * } -> { schedule: 5 6 * * * }"
    ]


CALENDARS = """
vars: { pause_s: 30, flag_s: true }
calendars: { nights: { hours: 22:00-08:00, days: workdays } }
blueprints:
  - id: b
    inputs: { pause: { type: duration, default: 30m }, names: { type: list, default: [a] } }
    on: { all: [instance.failed, alert.opened], within: 10m }
    if: inputs.pause < duration("9h") && inputs.names.size() > 0
    do: [ { notify: { to: oncall, message: m } } ]
rules:
  - id: one
    on: { event: instance.stuck, state: RUNNING, after: 2h }
    active: nights
    do: [ { http: { url: "https://x.example", body: { after_s: 1 } } } ]
    mode: armed
  - { id: two, use: b, active: [{ days: sat }, { days: sun }] }
"""
STUCK = "{ event: instance.stuck, state: RUNNING, after: "


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("after: 2h", "after: 150m", [f"one: on: {STUCK}2h }} -> {STUCK}2h30m }}"]),
        ("22:00-08:00", "22:00-24:00", ["one: active.hours: 22:00-08:00 -> 22:00-24:00"]),
        ("22:00-08:00", "[23:00-08:00, 12:00-13:00]", ["one: active.hours: 22:00-08:00 -> 23:00-08:00, 12:00-13:00"]),
        ("days: workdays }", "days: workdays, zone: UTC }", ["one: active.zone: Asia/Shanghai -> UTC"]),
        ("nights", "evenings", ["one: active.name: nights -> evenings"]),
        ("days: sun", "days: [sat, sun]", ["two: active[2].days: sun -> sat, sun"]),
        ("default: 30m", "default: 1h", ["two: inputs.pause: 30m -> 1h"]),
        ("[a]", "[b]", ['two: inputs.names: ["a"] -> ["b"]']),
        ("within: 10m", "within: 9m",
         ["two: on: { all: [instance.failed, alert.opened], within: 10m } -> "
          "{ all: [instance.failed, alert.opened], within: 9m }"]),
        ("after_s: 1", "after_s: 2", ["one: do[1] http.body.after_s: 1 -> 2"]),
        ("pause_s: 30", f"pause_s: {10**18}",
         [f"one: vars.pause_s: 30 -> {10**18}", f"two: vars.pause_s: 30 -> {10**18}"]),
    ],
)  # fmt: skip
def test_what_is_told_is_what_was_written(tmp_path: Path, old: str, new: str, said: list[str]) -> None:
    assert old in CALENDARS
    assert _diff(tmp_path, CALENDARS, CALENDARS.replace(old, new)) == said


def test_a_change_is_json(tmp_path: Path) -> None:
    (change,) = differences(loaded(tmp_path, BASE).rules, loaded(tmp_path, BASE.replace("6m", "7m")).rules)
    assert change.to_json() == {"rule": "one", "change": "changed", "keys": [{"key": "for", "old": "6m", "new": "7m"}]}
    assert RuleChange("r", "added").to_json() == {"rule": "r", "change": "added", "keys": []}
