"""What rules say of leases can be tried like all else."""

from __future__ import annotations

from pathlib import Path

import pytest

from trials import failures, session

FREEZE = """\
rules:
  - id: freeze
    on: instance.failed
    mode: armed
    limits: { firings: { max: 3, per: 1d } }
    do:
      - pause_node: { lease: 2h }
  - id: tell
    on: lease.ended
    do:
      - notify: { to: oncall, message: "{{ event.action.target }} of {{ event.action.rule }}" }
"""

PAUSED = """
steps:
  - event: { type: instance.failed, instance: { id: t_1 } }
  - expect:
      actions: [ { pause_node: { node_id: n_1 }, outcome: accepted } ]
      pending: [ { rule: freeze, kind: lease, until: "2026-01-05T02:00", key: t_1 } ]
"""
LEFT = """
  - advance: 2h
  - expect: { actions: [], pending: [], notifications: [ { to: oncall, message: "n_1 of freeze" } ] }
"""
RESUMED = """
  - expect:
      actions: [ { resume_node: { node_id: n_1, project_id: 1 }, rule: freeze } ]
      pending: [ { rule: freeze, kind: verify } ]
      notifications: [ { to: oncall, message: "n_1 of freeze" } ]
"""


@pytest.mark.parametrize(
    "then",
    [
        "  - advance: 119m\n  - expect: { actions: [] }\n  - advance: 1m" + RESUMED,
        "  - state: { node: { paused: true } }\n  - advance: 2h" + RESUMED,
        "  - restart: true\n  - advance: 2h" + RESUMED,
        "  - reload: none.rules.yaml\n  - advance: 2h\n  - expect: { actions: [ { resume_node: {} } ] }",
        "  - state: { node: { paused: true } }\n  - advance: 1h\n  - state: { node: { paused: false } }" + LEFT,
        "  - advance: 1h\n  - state: { node: { touched: true } }" + LEFT,
    ],
)
def test_a_leased_pause_ends_in_a_test_as_it_does_in_the_daemon(tmp_path: Path, then: str) -> None:
    assert failures(tmp_path, FREEZE, PAUSED.rstrip() + "\n" + then, none="rules: []") == []


def test_a_second_pause_makes_the_lease_longer_and_the_rule_s_limits_count_no_ends_of_leases(tmp_path: Path) -> None:
    test = (
        PAUSED.rstrip()
        + """
  - state: { node: { paused: true } }
  - advance: 1h
  - event: { type: instance.failed, instance: { id: t_2 } }
  - expect: { actions: [] }
  - advance: 119m
  - expect: { actions: [], pending: [ { rule: freeze, kind: lease, in: 1m } ] }
  - advance: 1m
  - expect: { actions: [ { resume_node: {} } ], firings: [ { rule: tell }, { rule: freeze } ] }
  - advance: 10m
  - event: { type: instance.failed, instance: { id: t_3 } }
  - expect: { firings: [ { rule: freeze, event: instance.failed } ] }
"""
    )
    assert failures(tmp_path, FREEZE, test) == []


def test_in_shadow_nothing_is_resumed(tmp_path: Path) -> None:
    test = """
    mode: shadow
    steps:
      - event: { type: instance.failed }
      - expect: { actions: [ { pause_node: {}, outcome: shadow } ], pending: [] }
      - advance: 3h
      - expect: { actions: [] }
    """
    assert failures(tmp_path, FREEZE, test) == []


def test_the_end_of_a_lease_covers_no_step_of_its_rule(tmp_path: Path) -> None:
    rules = """
    rules:
      - id: freeze
        on: instance.failed
        mode: armed
        do:
          - if: event.instance.attempts > 9
            notify: { to: oncall, message: often }
          - pause_node: { lease: 2h }
    """
    test = "steps: [ { event: { type: instance.failed } }, { advance: 3h }, { expect: { notifications: [] } } ]"
    found = session(tmp_path, rules, test)
    assert found.passed, [each.failures for each in found.results]
    assert "step notify-1 (notify) was never carried out" in [each.what for each in found.coverage.report()[0].gaps]
