"""Tests of rules over several events: what only counts, what waits, and what a restart leaves of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from trials import failures, session

COUNT = """\
rules:
  - id: many
    on: { event: instance.failed, count: 3, within: 10m }
    key: event.project.id
    do: [ { notify: { to: oncall, message: "{{ events | length }}" } } ]
"""

ALL = """\
rules:
  - id: both
    on: { all: [instance.failed, hook.deploy], within: 10m }
    do: [ { notify: { to: oncall, message: "{{ event.type }}" } } ]
"""

ABSENT = """\
rules:
  - id: silent
    on: { event: instance.failed, absent: instance.succeeded, within: 10m }
    key: event.instance.id
    do: [ { notify: { to: oncall, message: "{{ event.instance.id }} {{ events | length }}" } } ]
"""

SOME = """\
rules:
  - id: apart
    on: { event: instance.failed, count: 2, within: 10m }
    if: event.instance.attempts < 9 && events.all(e, e.node.id == event.node.id)
    do:
      - if: events.size() == 2
        notify: { to: oncall, message: "{{ events | length }}" }
"""


@pytest.mark.parametrize(
    ("rules", "test"),
    [
        pytest.param(
            COUNT,
            """
            steps:
              - event: { type: instance.failed }
              - advance: 4m
              - event: { type: instance.failed, instance: { id: t_2 } }
              - expect:
                  firings: []
                  skipped: [ { rule: many, reason: "1 of 3 seen" }, { rule: many, reason: "2 of 3 seen, 6m left" } ]
                  pending: [ { rule: many, kind: count, key: "1", in: 6m } ]
              - restart: true
              - expect: { skipped: [], pending: [ { rule: many, kind: count, in: 6m } ] }
              - advance: 6m
              - expect: { pending: [ { rule: many, kind: count, until: "2026-01-05T00:10" } ] }
              - advance: 1s
              - expect: { pending: [ { rule: many, kind: count, until: "2026-01-05T00:14" } ] }
              - restart: true
              - event: { type: instance.failed, instance: { id: t_3 } }
              - expect: { firings: [], skipped: [ { rule: many, reason: "2 of 3 seen" } ] }
              - advance: 3m
              - event: { type: instance.failed, instance: { id: t_4 } }
              - expect:
                  firings: [ { rule: many, key: "1" } ]
                  skipped: []
                  notifications: [ { to: oncall, message: "3" } ]
                  pending: []
            """,
            id="so many, over restarts",
        ),
        pytest.param(
            COUNT,
            """
            steps:
              - event: { type: instance.failed }
              - advance: 10m1s
              - expect: { pending: [], skipped: [ { rule: many, event: instance.failed, reason: "1 of 3 seen" } ] }
            """,
            id="a window that closes waits no longer",
        ),
        pytest.param(
            COUNT,
            """
            steps:
              - event: { type: instance.failed, project: { id: 1 } }
              - event: { type: instance.failed, project: { id: 2 } }
              - expect: { pending: [ { rule: many, kind: count, key: "2" }, { rule: many, kind: count, key: "1" } ] }
              - reload: other.rules.yaml
              - expect: { pending: [] }
            """,
            id="windows of each key, until their rule is gone",
        ),
        pytest.param(
            ALL,
            """
            steps:
              - event: { type: hook.deploy, body: {} }
              - advance: 3m
              - expect:
                  pending: [ { rule: both, kind: all, in: 7m, key: both } ]
                  skipped: [ { rule: both, reason: "1 of 2 seen, instance.failed missing, 10m left" } ]
              - restart: true
              - event: { type: instance.failed }
              - expect: { notifications: [ { to: oncall, message: instance.failed } ], pending: [], skipped: [] }
            """,
            id="one of each, over a restart",
        ),
        pytest.param(
            ABSENT,
            """
            steps:
              - event: { type: instance.failed }
              - advance: 4m
              - event: { type: instance.failed }
              - expect:
                  firings: [ { rule: silent, state: waiting, reason: begins unless instance.succeeded comes } ]
                  skipped: []
                  pending: [ { rule: silent, kind: absent, key: t_1, in: 6m } ]
              - restart: true
              - expect: { pending: [ { rule: silent, kind: absent, in: 6m } ] }
              - advance: 6m
              - expect: { notifications: [ { to: oncall, message: "t_1 2" } ], pending: [] }
            """,
            id="an absence, over a restart",
        ),
        pytest.param(
            ABSENT,
            """
            steps:
              - event: { type: instance.failed }
              - expect: { pending: [ { rule: silent, kind: absent } ] }
              - restart: true
              - event: { type: instance.succeeded }
              - expect:
                  pending: []
                  notifications: []
                  ended: []
                  skipped: [ { rule: silent, event: instance.failed, reason: instance.succeeded came } ]
              - event: { type: instance.succeeded }
              - expect: { skipped: [ { rule: silent, reason: nothing waited for it } ] }
            """,
            id="an absence that was none",
        ),
        pytest.param(
            SOME,
            """
            steps:
              - event: { type: instance.failed, instance: { id: t_1 } }
              - event: { type: instance.failed, instance: { id: t_2 }, node: { id: n_2 } }
              - expect:
                  skipped:
                    - { rule: apart, reason: 1 of 2 seen }
                    - { rule: apart, reason: "if is false: events.all(e, e.node.id == event.node.id)" }
                  pending: [ { rule: apart, kind: count, in: 10m } ]
            """,
            id="a condition that asks for the others",
        ),
        pytest.param(
            COUNT,
            """
            steps:
              - event: { type: instance.failed, time: "2026-01-05T00:05" }
              - event: { type: instance.failed, time: "2026-01-05T00:05" }
              - at: "2026-01-05T00:06"
              - expect: { pending: [ { rule: many, kind: count } ] }
              - event: { type: instance.failed, time: "2026-01-05T00:04" }
              - expect: { notifications: [ { to: oncall, message: "3" } ], pending: [], skipped: [] }
            """,
            id="one that comes late completes what others began",
        ),
    ],
)
def test_is_as_expected(tmp_path: Path, rules: str, test: str) -> None:
    other = "rules: [ { id: other, on: alert.opened, do: [ { notify: { to: oncall, message: m } } ] } ]\n"
    assert failures(tmp_path, rules, test, other=other) == []


def test_a_run_that_is_told_of_late_can_be_read(tmp_path: Path) -> None:
    rules = "rules: [ { id: hold, on: instance.failed, for: 2m, do: [ { notify: { to: oncall, message: m } } ] } ]"
    test = """
        steps:
          - event: { type: instance.succeeded }
          - event: { type: instance.failed, time: "2026-01-04T23:50" }
          - advance: 2m
          - expect: { notifications: [ { to: oncall } ], ended: [ { rule: hold, state: done } ] }
    """
    assert failures(tmp_path, rules, test) == []


def test_one_born_skipped_on_an_event_of_before_is_told(tmp_path: Path) -> None:
    rules = COUNT.replace("    do:", "    limits: { firings: { max: 1, per: 1h } }\n    do:").replace("3", "2")
    test = """
        steps:
          - event: { type: instance.failed }
          - event: { type: instance.failed }
          - event: { type: instance.failed, time: "2026-01-05T00:05" }
          - expect: { firings: [ { rule: many } ] }
          - event: { type: instance.failed, time: "2026-01-05T00:04" }
          - expect: { firings: [], skipped: [ { rule: many, reason: limits.firings } ] }
    """
    assert failures(tmp_path, rules, test) == []


def test_a_condition_on_several_is_covered_by_what_it_was_asked_with(tmp_path: Path) -> None:
    test = """
        steps:
          - event: { type: instance.failed, instance: { id: t_1 } }
          - event: { type: instance.failed, instance: { id: t_2 }, node: { id: n_2 } }
          - event: { type: instance.failed, instance: { id: t_3 } }
          - expect: { firings: [ { rule: apart } ] }
    """
    found = session(tmp_path, SOME, test)
    assert found.passed
    (covered,) = found.coverage.report()
    assert [gap.what for gap in covered.gaps] == [
        "never false: event.instance.attempts < 9",
        "never false: events.size() == 2",
    ]
