"""Tests of rules say what became of backfills, fixes and manual runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from trials import failures

RULES = """\
rules:
  - id: rates
    on: instance.succeeded
    if: event.node.name == "ods_rates"
    mode: MODE
    do:
      - id: fill
        backfill:
          start: "{{ days_before(event.instance.biz_date, 2) }}"
          end: "{{ event.instance.biz_date }}"
          node_id: n_9
          downstream: DOWNSTREAM
          parallelism: 2
          name: "rates of {{ event.instance.biz_date }}"
        verify: { within: 6h }
        retry: 1
      - notify: { to: oncall, message: "fill {{ steps.fill.outcome }}" }
  - id: by-hand
    on: { hook: go }
    mode: MODE
    do:
      - id: run
        run_manual_node: { node_id: n_7, project_id: 7, biz_date: "{{ bizdate(now) }}" }
        verify: { within: 1h }
        retry: 1
      - notify: { to: oncall, message: "run {{ steps.run.outcome }}" }
  - id: mend
    on: instance.failed
    if: event.instance.attempts == 1
    mode: MODE
    do:
      - id: fix
        fix_data: { range: all, force: true }
        verify: { within: 1h }
      - notify: { to: oncall, message: "fix {{ steps.fix.outcome }}" }
"""
CAME = "{ type: instance.succeeded, instance: { biz_date: 2026-01-03 }, node: { name: ods_rates } }"

FOLLOWED = f"""
steps:
  - event: {CAME}
  - expect:
      actions:
        - backfill:
            node_id: n_9
            start: 2026-01-01
            end: 2026-01-03
            downstream: DOWNSTREAM
            parallelism: 2
            name: rates of 2026-01-03
  - advance: 1h
  - expect:
      notifications: []
      pending: [ {{ rule: rates, kind: verify, in: 5h }} ]
  - restart: true
  - state: {{ node: {{ id: n_9, backfill: SUCCESS }} }}
  - advance: 2m
  - expect: {{ actions: [], notifications: [ {{ to: oncall, message: fill verified }} ] }}
"""
FAILED = f"""
steps:
  - event: {CAME}
  - state: {{ node: {{ id: n_9, backfill: FAILED }} }}
  - advance: 5s
  - advance: 1h
  - expect: {{ actions: [ {{ backfill: {{}} }} ], notifications: [ {{ to: oncall, message: fill failed }} ] }}
"""
TOO_LONG = f"""
steps:
  - event: {CAME}
  - advance: 7h
  - expect: {{ actions: [ {{ backfill: {{}} }} ], notifications: [ {{ to: oncall, message: fill timed_out }} ] }}
"""
LOST = f"""
steps:
  - answer: {{ api: CreateNodeSupplement, fault: FAULT }}
  - event: {CAME}
  - advance: 12s
  - state: {{ node: {{ id: n_9, backfill: RUNNING }} }}
  - advance: 10m
  - state: {{ node: {{ id: n_9, backfill: SUCCESS }} }}
  - advance: 7h
  - expect: {{ actions: [ {{ backfill: {{}} }} ], notifications: [ {{ to: oncall, message: fill OUTCOME }} ] }}
"""
LOST_FOR_GOOD = f"""
steps:
  - answer: {{ api: CreateNodeSupplement, fault: timeout }}
  - event: {CAME}
  - advance: 1h
  - expect:
      actions: [ {{ backfill: {{}}, outcome: unknown }} ]
      ended: [ {{ rule: rates, state: needs_decision }} ]
"""
BY_HAND = """
steps:
  - event: { type: hook.go }
  - advance: 10m
  - expect: { actions: [ { run_manual_node: { node_id: n_7, biz_date: 2026-01-04 } } ], notifications: [] }
  - state: { node: { id: n_7, manual_run: SUCCESS } }
  - advance: 2m
  - expect: { notifications: [ { to: oncall, message: run verified } ] }
"""
BY_HAND_AGAIN = """
steps:
  - event: { type: hook.go }
  - state: { node: { id: n_7, manual_run: FAILED } }
  - advance: 5s
  - expect: { actions: [ { run_manual_node: {} } ], notifications: [] }
  - advance: 10s
  - state: { node: { id: n_7, manual_run: SUCCESS } }
  - advance: 2m
  - expect: { actions: [ { run_manual_node: {} } ], notifications: [ { to: oncall, message: run verified } ] }
"""
BY_HAND_LOST = """
steps:
  - answer: { api: ExecuteManualNode, fault: reset }
  - event: { type: hook.go }
  - advance: 5s
  - state: { node: { id: n_7, manual_run: RUNNING } }
  - advance: 5m
  - state: { node: { id: n_7, manual_run: SUCCESS } }
  - advance: 2m
  - expect:
      actions: [ { run_manual_node: {}, outcome: verified } ]
      notifications: [ { to: oncall, message: run verified } ]
"""
BY_HAND_NEVER = """
steps:
  - answer: { api: ExecuteManualNode, fault: timeout }
  - event: { type: hook.go }
  - advance: 5m
  - state: { node: { id: n_7, manual_run: SUCCESS } }
  - advance: 2m
  - expect: { actions: [ { run_manual_node: {}, outcome: verified } ], calls: { 2: 2 } }
"""
MENDED = """
steps:
  - event: { type: instance.failed, instance: { id: t_5 } }
  - advance: 10m
  - expect: { actions: [ { fix_data: { instance_id: t_5, range: all, force: true } } ], notifications: [] }
  - state: { instance: { id: t_5, status: SUCCESS } }
  - advance: 2m
  - expect: { notifications: [ { to: oncall, message: fix verified } ] }
"""
MENDED_AFTER_ALL = """
steps:
  - answer: { api: FixData, fault: timeout }
  - event: { type: instance.failed, instance: { id: t_5 } }
  - advance: 15s
  - state: { instance: { id: t_5, status: RUNNING } }
  - advance: 5m
  - state: { instance: { id: t_5, status: FAILED } }
  - advance: 2m
  - expect: { actions: [ { fix_data: {}, outcome: failed } ], notifications: [ { to: oncall, message: fix failed } ] }
"""


def tried(folder: Path, test: str, downstream: str = "none", mode: str = "armed") -> list[str]:
    rules = RULES.replace("DOWNSTREAM", downstream).replace("MODE", mode)
    return failures(folder, rules, test.replace("DOWNSTREAM", downstream))


@pytest.mark.parametrize("downstream", ["none", "all", "[n_10, n_11]"])
def test_a_backfill_is_followed_until_a_state_says_its_end(tmp_path: Path, downstream: str) -> None:
    assert tried(tmp_path, FOLLOWED, downstream) == []


@pytest.mark.parametrize("test", [FAILED, TOO_LONG, LOST_FOR_GOOD])
def test_a_backfill_that_may_still_run_is_not_repeated(tmp_path: Path, test: str) -> None:
    assert tried(tmp_path, test) == []


@pytest.mark.parametrize("fault", ["timeout", "reset"])
@pytest.mark.parametrize(("downstream", "outcome"), [("none", "verified"), ("all", "timed_out")])
def test_a_backfill_whose_answer_was_lost_shows_by_its_instances(
    tmp_path: Path, fault: str, downstream: str, outcome: str
) -> None:
    assert tried(tmp_path, LOST.replace("FAULT", fault).replace("OUTCOME", outcome), downstream) == []


@pytest.mark.parametrize("test", [BY_HAND, BY_HAND_AGAIN, BY_HAND_LOST, BY_HAND_NEVER])
def test_a_manual_run_is_followed_looked_for_and_repeated_when_it_failed(tmp_path: Path, test: str) -> None:
    assert tried(tmp_path, test) == []


@pytest.mark.parametrize("test", [MENDED, MENDED_AFTER_ALL])
def test_of_a_fix_the_next_status_of_the_instance_tells(tmp_path: Path, test: str) -> None:
    assert tried(tmp_path, test) == []


def test_in_shadow_nothing_is_submitted_and_everything_is_told(tmp_path: Path) -> None:
    shown = "{ backfill: { start: 2026-01-01, downstream: none }, outcome: shadow }"
    test = f"steps: [ event: {CAME}, expect: {{ actions: [ {shown} ], calls: 0 }} ]"
    assert tried(tmp_path, test, mode="shadow") == []


def test_of_a_backfill_that_nobody_made_nothing_can_be_said(tmp_path: Path) -> None:
    test = "steps: [ state: { node: { id: n_9, backfill: SUCCESS } }, expect: { actions: [] } ]"
    assert tried(tmp_path, test) == ["4: node n_9 has had no backfill: nothing can be said of it"]
