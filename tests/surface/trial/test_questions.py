"""What rules ask people, in tests of rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from trials import failures

RULES = """\
rules:
  - id: gold
    on: instance.failed
    mode: armed
    cooldown: 1h
    key: event.instance.id
    do:
      - id: ask
        approve: { to: [boss, oncall], message: "Rerun {{ event.instance.id }}?", expires: 30m }
        on_error: continue
      - if: steps.ask.outcome != "accepted"
        notify: { to: oncall, message: "{{ steps.ask.outcome }}: {{ steps.ask.reason }}" }
      - rerun_instance: {}
"""
ASKED = """
steps:
  - event: { type: instance.failed, instance: { id: t_1 } }
  - expect:
      actions: []
      notifications:
        - { to: [boss, oncall], title: gold asks for approval, message: { contains: rerun_instance t_1 in } }
      pending: [ { rule: gold, kind: approve, in: 30m, key: t_1 } ]
      firings: [ { rule: gold, state: running, reason: "step ask waits for approval ap_" } ]
"""
YES = """
  - approve: { by: anna, reason: go }
  - expect:
      actions: [ { rerun_instance: { instance_id: t_1 } } ]
      notifications: []
      pending: []
      ended: [ { rule: gold, state: done, steps: { ask: accepted } } ]
"""
NO = """
  - deny: { by: anna, reason: not today }
  - expect:
      actions: []
      notifications: [ { to: oncall, message: "refused: denied by anna (cli): not today" } ]
      ended: [ { rule: gold, state: failed, reason: "nobody said yes to it" } ]
"""
SILENCE = """
  - advance: 30m
  - expect:
      actions: []
      notifications: [ { to: oncall, message: { contains: "timed_out: nobody answered approval ap_" } } ]
      ended: [ { rule: gold, state: failed } ]
"""
MEANWHILE = """
  - restart: true
  - advance: 10m
  - state: { instance: { id: t_1, status: RUNNING } }
  - approve: true
  - expect:
      actions: []
      notifications: [ { to: oncall, message: { contains: "state changed: instance t_1 was FAILED and is RUNNING" } } ]
"""
TWO = """
  - event: { type: instance.failed, instance: { id: t_2 } }
  - approve: true
  - expect: { actions: [] }
"""
LATE = """
  - deny: true
  - deny: true
  - expect: { actions: [] }
"""


@pytest.mark.parametrize("end", [YES, NO, SILENCE, MEANWHILE], ids=["yes", "no", "silence", "meanwhile"])
def test_people_answer_in_a_test_as_they_would(tmp_path: Path, end: str) -> None:
    assert failures(tmp_path, RULES, ASKED + end) == []


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (TWO, "it answers one question, and 2 fit: ask of gold, ask of gold"),
        (LATE, "it answers one question, and 0 fit: none"),
    ],
)
def test_an_answer_that_is_not_to_one_question_fails_the_test(tmp_path: Path, end: str, told: str) -> None:
    (found,) = failures(tmp_path, RULES, ASKED + end)
    assert told in found


def test_nobody_is_asked_in_shadow_and_what_would_be_is_told(tmp_path: Path) -> None:
    test = """
    mode: shadow
    steps:
      - event: { type: instance.failed }
      - expect:
          actions: [ { rerun_instance: {}, outcome: shadow } ]
          notifications: [ { to: [boss, oncall], message: "Rerun t_1?" } ]
          ended: [ { rule: gold, state: done, steps: { ask: shadow } } ]
    """
    assert failures(tmp_path, RULES.replace('accepted"', 'shadow"'), test) == []


def test_a_reload_leaves_a_question_as_it_was_asked(tmp_path: Path) -> None:
    end = """
  - reload: other.rules.yaml
  - expect:
      pending: [ { rule: gold, kind: approve, in: 30m } ]
  - approve: true
  - expect: { actions: [ { rerun_instance: { instance_id: t_1 } } ] }
"""
    other = RULES.replace("rerun_instance", "set_instance_success").replace("30m", "2h")
    assert failures(tmp_path, RULES, ASKED + end, other=other) == []


def test_a_backfill_and_a_pause_for_a_time_are_done_as_they_were_shown(tmp_path: Path) -> None:
    rules = """
    rules:
      - id: mend
        on: instance.failed
        mode: armed
        cooldown: 1h
        do:
          - approve: { to: boss }
          - pause_node: { lease: 2h }
          - backfill: { start: "2026-01-01", end: "2026-01-02" }
    """
    test = """
    steps:
      - event: { type: instance.failed }
      - expect:
          notifications: [ { to: boss, message: { contains: "pause_node n_1 in project 1 for 2h: " } } ]
      - approve: true
      - expect: { actions: [ { pause_node: {} } ] }
      - state: { node: { paused: true } }
      - advance: 5m
      - expect: { actions: [ { backfill: {} } ] }
    """
    assert failures(tmp_path, rules, test) == []
