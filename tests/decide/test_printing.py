"""What a rule is printed as is read as the same rule."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from phinops.decide.load import Loaded, load_rules
from phinops.decide.model import RuleModel, StepModel
from phinops.decide.printing import NOT_PRINTED, RULE_FIELDS, STEP_FIELDS, print_rules, together
from phinops.decide.rule import Rule, RuleStep
from settings import SETTING, loaded

ROOT = Path(__file__).parents[2]

WRITTEN = """\
vars: { team: "on: call", "404": [ 1, 2.5, null, true ], empty: {} }
rules:
  - id: one
    do:
    - {verify: { within: 90m }, rerun_instance: , id: again, on_error: continue}
    - with: { InstanceId: "{{ event.instance.id }}", ProjectId: 7 }
      call: GetPhysicalInstance
    - notify: { to: [oncall], message: "one\\ntwo\\n", title: 'yes' }
      if: steps.again.outcome != "verified"
    limits: { firings: { per: 60m, max: 3 }, downstream: { max: 0 } }
    if: |
      event.instance.attempts < 3
      && event.node.name != "x"
    for: 0.5h
    mode: armed
    on: [ instance.failed ]
  - { id: two, on: { schedule: "*/5 * * * *" }, do: [ call: GetMyRoles ], concurrency: single, key: now }
"""

PRINTED = """\
vars:
  team: "on: call"
  "404":
    - 1
    - 2.5
    - null
    - true
  empty: {}
rules:
  - id: one
    on: instance.failed
    if: |
      event.instance.attempts < 3
      && event.node.name != "x"
    for: 30m
    mode: armed
    limits:
      firings:
        max: 3
        per: 1h
      downstream:
        max: 0
    do:
      - id: again
        rerun_instance: {}
        verify:
          within: 1h30m
        on_error: continue
      - call: GetPhysicalInstance
        with:
          InstanceId: "{{ event.instance.id }}"
          ProjectId: 7
      - if: "steps.again.outcome != \\"verified\\""
        notify:
          to:
            - oncall
          message: |
            one
            two
          title: yes
  - id: two
    on:
      schedule: "*/5 * * * *"
    mode: armed
    key: now
    concurrency: single
    do:
      - call: GetMyRoles
"""


def again(found: Loaded, folder: Path) -> Loaded:
    """What is read of the printed rules."""
    return loaded(folder, print_rules(found.rules, SETTING.kinds))


def bare(found: Loaded) -> list[tuple[Rule, str]]:
    """The rules without the place that they stand at, with their hashes."""
    return [(dataclasses.replace(rule, file="", line=0, column=1), rule.hash) for rule in found.rules]


def test_rules_are_printed_in_one_form(tmp_path: Path) -> None:
    assert print_rules(loaded(tmp_path, WRITTEN).rules, SETTING.kinds) == PRINTED


@pytest.mark.parametrize("file", sorted((ROOT / "rules").glob("*.rules.yaml")), ids=lambda file: file.name)
def test_the_example_rules_are_read_again_as_they_were(tmp_path: Path, file: Path) -> None:
    found = load_rules([file], SETTING)
    assert found.rules or found.blueprints
    assert bare(again(found, tmp_path)) == bare(found)


BESIDE = """\
vars: { prefix: dws_ }
calendars:
  nights: { hours: 22:00-08:00, days: workdays }
blueprints:
  - id: some
    description: Of a blueprint.
    inputs:
      name: { type: string }
      times: { type: int, default: 2 }
      most: { type: float, default: 0.5 }
      loud: { type: bool, default: true }
      pause: { type: duration, default: 90s }
      none: { type: duration, default: 0s }
      who: { type: notifier, default: oncall }
      list: { type: list, default: [ a, b ] }
    on: instance.failed
    if: |
      event.node.name == inputs.name && event.instance.attempts < inputs.times && event.node.name in inputs.list
      && now - event.time > inputs.none
    for: "{{ inputs.pause }}"
    do:
      - notify: { to: "{{ inputs.who }}", message: "{{ inputs.name }} failed" }
rules:
  - { id: one, use: some, with: { name: x } }
  - { id: two, use: some, with: { name: y }, description: of its own, active: nights, mode: shadow }
  - id: three
    on: { event: instance.stuck, state: RUNNING, after: 2h }
    active: [ nights, { hours: [ 08:00-12:00, 13:00-24:00 ] } ]
    do: [ { notify: { to: oncall, message: x } } ]
  - id: four
    on: { event: instance.overdue, after: 30m }
    do: [ { notify: { to: oncall, message: x } } ]
"""


def test_what_came_from_beside_the_rules_comes_back(tmp_path: Path) -> None:
    found = loaded(tmp_path, BESIDE)
    assert [str(problem) for problem in found.problems] == []
    assert bare(again(found, tmp_path)) == bare(found)


def test_rules_that_cannot_share_a_file_are_parted(tmp_path: Path) -> None:
    one = loaded(tmp_path, BESIDE).rules
    other = loaded(tmp_path, BESIDE.replace("22:00", "23:00")).rules
    rules = [*one, *other, *loaded(tmp_path, WRITTEN).rules]
    assert [[rule.id for rule in group] for group in together(rules)] == [
        ["one", "two", "three", "four", "one"], ["two", "three", "four"], ["one", "two"],
    ]  # fmt: skip


def test_no_rules_are_a_file_without_any(tmp_path: Path) -> None:
    assert print_rules([], SETTING.kinds) == "rules: []\n"
    assert loaded(tmp_path, "rules: []\n").problems == ()


def test_every_field_of_a_rule_is_printed_or_said_not_to_be() -> None:
    own = {"id", "description", "steps"}
    assert {field.name for field in dataclasses.fields(Rule)} == own | RULE_FIELDS.keys() | NOT_PRINTED.keys()
    assert {field.name for field in dataclasses.fields(RuleStep)} == set(STEP_FIELDS)


def test_every_key_of_a_rule_file_can_come_back() -> None:
    keys = {field.alias or name for name, field in RuleModel.model_fields.items()}
    assert keys == {"id", "description", "on", "do", "active"} | {key for key, _ in RULE_FIELDS.values()}
    assert {field.alias or name for name, field in StepModel.model_fields.items()} - {"retry"} == {
        "id", "if", "verify", "on_error",
    }  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "~", "true", "-1", "0x10", "1e3", "a: b", "a #b", "- a", "{{ x }}", "\t", "a\x85b", "\u2028",
        "日本\n語", "a\n b\n", "a\n\n\nb", "a\n", "\na\nb", "a\nb \nc", "a\nb\n\n", "\U0001f600", "'\"\\",
        "x" * 3000, "é", "\ufeffa", 0xFFFF_FFFF_FFFF_FFFF, -5, 0.1, 1e22, -0.0, True, None, [], {}, [[]], [{}],
        [[1, [2]], {"a": [{"b": None}]}],
        {"a b": {"": 1}}, {"k" * 900: {"x": 1}, "\x00" * 200: [1], "m" * 600: "one\ntwo\n"},
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_every_value_of_vars_comes_back(tmp_path: Path, value: object) -> None:
    rule = Rule("one", ("instance.failed",), (RuleStep("notify-1", "notify", {"to": "oncall", "message": "x"}),))
    printed = print_rules([dataclasses.replace(rule, vars={"value": value})], SETTING.kinds)
    found = loaded(tmp_path, printed)
    assert [str(problem) for problem in found.problems] == []
    (read,) = found.rules
    assert repr(read.vars) == repr({"value": value})


def test_a_printed_file_keeps_to_the_lines_that_people_write() -> None:
    assert not re.search(r"[ \t]$", PRINTED, re.MULTILINE)
