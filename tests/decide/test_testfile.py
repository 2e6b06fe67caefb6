"""The form of rule tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from phinops.decide.load import load_rules
from settings import SETTING

GOOD = """\
tests:
  - name: everything that a test may say
    rules: orders.rules.yaml
    steps:
      - event:
          time: 2026-01-05T06:00:00+08:00
          type: instance.failed
          node: { name: dws_orders, owners: [ { id: 7, name: li } ] }
          instance: { id: t_1, attempts: 1, paused: null }
          raw: { Anything: [ 1 ] }
      - event: { type: impact.opened, api: { id: 9 }, impact: { error_rate: 1, errors: 3 } }
      - event: { type: alert.opened, alert: { params: { a: b } } }
      - advance: 6m
      - state: { instance: { id: t_1, status: SUCCESS } }
      - expect:
          actions:
            - rerun_instance: { instance_id: t_1 }
            - call: GetPhysicalInstance
              with: { InstanceId: t_1 }
            - backfill: { start: x }
            - rerun_instance: null
              outcome: verified
              rule: x
              step: y
          notifications: [ { to: [a, b], title: x, message: { matches: "^x" }, severity: info } ]
          firings:
            - { rule: x, event: instance.failed, key: k, mode: shadow, state: done, reason: "", steps: { a: shadow } }
          ended: []
          skipped: [ { rule: x, reason: y, event: z } ]
          pending: [ { rule: x, kind: for, until: 2026-01-05T00:00, key: z }, { rule: y, in: 5m } ]
          calls: { 1: 0, 3: 2 }
      - at: "2026-01-06T00:00"
      - answer: { api: GetPhysicalInstance, error: { code: X, message: y, status: 500 }, times: always }
      - answer: { api: GetPhysicalInstance, body: {}, times: 2 }
      - restart: true
      - reload: [ orders.rules.yaml ]
      - state: { instance: { downstream: 3 }, node: { gone: true }, alert: { status: FINISH } }
      - state: { api: { id: 1 }, impact: { errors: 0 } }
      - expect: { calls: 3 }
"""

ONE = """\
tests:
  - name: one
    rules: orders.rules.yaml
    steps:
      - {step}
      - expect: {{ actions: [] }}
"""


def codes(folder: Path, text: str) -> list[tuple[int, int, str]]:
    (folder / "orders.rules.yaml").write_text("rules: []\n")
    file = folder / "orders.test.yaml"
    file.write_text(text, encoding="utf-8")
    return [(each.line, each.column, each.code) for each in load_rules([file], SETTING).problems]


def test_the_contract_of_tests_is_understood(tmp_path: Path) -> None:
    assert codes(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("event: ^{ id: x }", "test-event"),
        ("event: { type: ^5 }", "test-event"),
        ("event: { type: ^instance.fail }", "test-event"),
        ("event: { type: instance.failed, ^nod: {} }", "test-event"),
        ("event: { type: instance.failed, ^impact: {} }", "test-event"),
        ("event: { type: instance.failed, node: { ^nme: x } }", "test-event"),
        ("event: { type: instance.failed, node: ^x }", "test-event"),
        ("event: { type: instance.failed, node: { owners: ^li } }", "test-event"),
        ("event: { type: instance.failed, node: { owners: [ ^li ] } }", "test-event"),
        ("event: { type: instance.failed, node: { paused: ^maybe } }", "test-event"),
        ("event: { type: instance.failed, instance: { attempts: ^one } }", "test-event"),
        ("event: { type: instance.failed, time: ^today }", "test-event"),
        ("event: { type: instance.failed, time: ^5 }", "test-event"),
        ("event: { type: impact.opened, impact: { error_rate: ^high } }", "test-event"),
        ("event: { type: alert.opened, alert: { params: ^x } }", "test-event"),
        ("event: { type: instance.failed, instance: { id: ^true } }", "test-event"),
        ("event: ^x", "bad-value"),
        ("advance: ^6", "bad-value"),
        ("state: { ^nodes: {} }", "unknown-key"),
        ("state: { node: { ^pause: true } }", "test-event"),
        ("state: ^x", "bad-value"),
        ("^{ advance: 6m, state: {} }", "bad-value"),
        ("^wait: 6m", "unknown-key"),
        ("expect: ^{}", "test-empty"),
        ("expect: { ^acts: [] }", "unknown-key"),
        ("expect: { actions: [ ^x ] }", "bad-value"),
        ("expect: { actions: [ { ^rerun: {} } ] }", "step-kind"),
        ("expect: { actions: [ { rerun_instance: { ^id: x } } ] }", "step-parameter"),
        ("expect: { actions: [ ^{} ] }", "step-kind"),
        ("expect: { actions: [ ^{ rerun_instance: {}, pause_node: {} } ] }", "step-kind"),
        ("expect: { actions: [ { rerun_instance: {}, outcome: ^1 } ] }", "bad-value"),
        ("expect: { notifications: [ { ^titel: x } ] }", "unknown-key"),
        ("expect: { notifications: [ { title: { ^like: x } } ] }", "unknown-key"),
        ("expect: { notifications: [ { title: ^{} } ] }", "bad-value"),
        ("expect: { notifications: [ { title: ^{ contains: x, matches: y } } ] }", "bad-value"),
        ("expect: { notifications: [ { title: ^{ matches: '(' } } ] }", "bad-value"),
        ("expect: { notifications: [ { severity: ^bad } ] }", "bad-value"),
        ("expect: { firings: [ { rule: x, state: ^over } ] }", "bad-value"),
        ("expect: { firings: [ { rule: x, steps: { a: ^good } } ] }", "bad-value"),
        ("expect: { skipped: ^x }", "bad-value"),
        ("expect: { pending: [ { rule: x, kind: ^sleep } ] }", "bad-value"),
        ("expect: { pending: [ { rule: x, until: ^tomorrow } ] }", "bad-value"),
        ("expect: { pending: [ { rule: x, until: ^[] } ] }", "bad-value"),
        ("expect: { calls: ^-1 }", "bad-value"),
        ("expect: { calls: ^{ 4: 1 } }", "bad-value"),
        ("at: ^morning", "bad-value"),
        ("at: ^6", "bad-value"),
        ("restart: ^false", "bad-value"),
        ("reload: ^none.rules.yaml", "test-rules"),
        ("answer: { api: ^GetPhysicalInstanc, body: {} }", "step-parameter"),
        ("answer: ^{ api: GetPhysicalInstance }", "bad-value"),
        ("answer: ^{ api: GetPhysicalInstance, body: {}, fault: reset }", "bad-value"),
        ("answer: { api: GetPhysicalInstance, fault: ^fire }", "bad-value"),
        ("answer: { api: GetPhysicalInstance, body: {}, times: ^0 }", "bad-value"),
        ("answer: { api: GetPhysicalInstance, error: ^{} }", "missing-key"),
        ("answer: { api: ^5, body: {} }", "bad-value"),
        ("answer: ^{ body: {} }", "bad-value"),
        ("answer: ^{ api: GetPhysicalInstance, http: 'https://x', body: {} }", "bad-value"),
        ("answer: ^{ api: GetPhysicalInstance, body: x }", "bad-value"),
        ("answer: ^{ http: 'https://x' }", "bad-value"),
        ("answer: ^{ http: 'https://x', error: { code: x } }", "bad-value"),
        ("answer: ^{ http: 'https://x', fault: throttle }", "bad-value"),
        ("state: { instance: { downstream: ^many } }", "test-event"),
        ("state: { alert: { ^downstream: 1 } }", "test-event"),
        ("state: { instance: { gone: ^5 } }", "test-event"),
        ("^x", "bad-value"),
    ],
)
def test_mistakes_in_a_step_are_told_with_their_place(tmp_path: Path, step: str, code: str) -> None:
    column = len("      - ") + step.index("^") + 1
    found = codes(tmp_path, ONE.format(step=step.replace("^", "")))
    assert (5, column, code) in found
    assert {line for line, _, _ in found} == {5}


RULES, EXPECT = "    rules: orders.rules.yaml\n", "    steps: [ expect: { actions: [] } ]\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tests: []\nvars: {}\n", (2, 1, "unknown-key")),
        ("rules: []\n", (1, 1, "file-shape")),
        ("", (1, 1, "file-shape")),
        ("tests: [\n", (1, 8, "yaml-syntax")),
        ("tests:\n  -\n" + RULES + EXPECT, (3, 5, "missing-key")),
        ("tests:\n  - name: x\n    rules: none.rules.yaml\n" + EXPECT, (3, 12, "test-rules")),
        ('tests:\n  - name: x\n    rules: "a\\0b"\n' + EXPECT, (3, 12, "test-rules")),
        ("tests:\n  - name: x\n    rules: " + "x" * 5000 + "\n" + EXPECT, (3, 12, "test-rules")),
        ("tests:\n  - name: x\n" + RULES + "    steps: [ advance: 1m ]\n", (2, 5, "test-empty")),
        ("tests:\n  - name: x\n" + RULES + "    steps: none\n", (4, 12, "bad-value")),
    ],
)
def test_mistakes_in_a_file_are_told_with_their_place(tmp_path: Path, text: str, problem: tuple[int, int, str]) -> None:
    assert codes(tmp_path, text) == [problem]
