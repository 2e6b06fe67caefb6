"""Tests of rules are run as the daemon would run the rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from phinops.surface.trial.run import try_script
from phinops.surface.trial.script import Happens
from phinops.surface.trial.session import run_tests
from phinops.surface.trial.terms import make_terms
from trials import RERUN, failures, notes, result, session, told

SHADOW = RERUN.replace("mode: armed", "mode: shadow")

QUEUE = """\
rules:
  - id: one-after-the-other
    on: instance.failed
    key: event.project.id
    mode: armed
    do:
      - rerun_instance: {}
        verify: { within: 1h }
"""

HOLD = """\
rules:
  - id: hold
    on: [instance.failed, alert.opened, impact.opened]
    for: 10m
    do:
      - notify: { to: oncall, message: "{{ event.type }} {{ now }}" }
"""

ALONE = """\
rules:
  - id: alone
    on: { schedule: "0 6 * * *" }
    mode: armed
    do:
      - run: 1
"""

CALL = """\
rules:
  - id: call
    on: { hook: go }
    mode: armed
    do:
      - id: look
        call: GetPhysicalInstance
        with: { InstanceId: "{{ event.body.id }}", ProjectId: 1 }
        on_error: continue
      - if: steps.look.outcome == "accepted"
        call: OperateInstance
        with:
          OperateCommand: { ProjectId: 1, Operation: TERMINATE, InstanceIdList: [ { Id: "{{ event.body.id }}" } ] }
"""

LIMITED = """\
rules:
  - id: limited
    on: instance.failed
    mode: armed
    limits:
      downstream: { max: 5 }
    do:
      - pause_node: {}
"""

LASTS = "it waits for 30m, until 2026-01-05T00:30:00+08:00"

OTHER = RERUN.replace("id: rerun", "id: other").replace("rerun_instance", "terminate_instance")


@pytest.mark.parametrize(
    ("rules", "test"),
    [
        pytest.param(
            RERUN,
            """
            steps:
              - event: { type: instance.failed, node: { name: dws_a }, instance: { id: t_7 } }
              - expect:
                  actions:
                    - rerun_instance: { instance_id: t_7, project_id: 1 }
                      outcome: accepted
                      rule: rerun
                      step: again
                  firings: [ { rule: rerun, state: running, mode: armed, key: t_7, event: instance.failed } ]
                  pending: [ { rule: rerun, kind: verify, in: 30m, key: t_7 } ]
                  notifications: []
                  skipped: []
                  calls: 1
              - state: { instance: { status: FAILED } }
              - advance: 2m
              - expect:
                  actions: []
                  notifications: [ { to: oncall, title: t_7, message: { matches: "^failed: " }, severity: warning } ]
                  ended: [ { rule: rerun, state: done, reason: "", steps: { again: failed } } ]
                  firings: []
                  pending: []
            """,
            id="a rerun that fails again",
        ),
        pytest.param(
            RERUN,
            """
            steps:
              - event: { type: instance.failed, node: { name: dws_a } }
              - event: { type: instance.failed, node: { name: dws_a } }
              - event: { type: instance.failed, node: { name: dws_a } }
              - event: { type: instance.failed, node: { name: ods_a }, instance: { id: t_2 } }
              - expect:
                  firings: [ { rule: rerun }, { rule: rerun, state: queued } ]
                  skipped:
                    - { rule: rerun, reason: event.instance.attempts < 3, event: instance.failed }
                    - { rule: rerun, reason: startsWith }
                  pending: [ { rule: rerun, kind: queued }, { rule: rerun, kind: verify } ]
            """,
            id="attempts are counted and the key is queued for",
        ),
        pytest.param(
            SHADOW,
            """
            steps:
              - event: { type: instance.failed, node: { name: dws_a } }
              - expect:
                  actions: [ { rerun_instance: {}, outcome: shadow } ]
                  notifications: [ { to: [oncall], message: { contains: shadow } } ]
                  firings: [ { rule: rerun, mode: shadow, state: done } ]
                  calls: { 1: 0, 2: 0, 3: 0 }
            """,
            id="in shadow what it would do counts",
        ),
        pytest.param(
            SHADOW,
            """
            mode: armed
            steps:
              - event: { type: instance.failed, node: { name: dws_a } }
              - expect: { actions: [ { rerun_instance: {}, outcome: accepted } ], notifications: [] }
            """,
            id="a test may arm what is in shadow",
        ),
        pytest.param(
            RERUN,
            """
            mode: shadow
            steps:
              - event: { type: instance.failed, node: { name: dws_a } }
              - expect: { actions: [ { rerun_instance: {}, outcome: shadow } ] }
            """,
            id="a test may put what is armed into shadow",
        ),
        pytest.param(
            RERUN.replace("mode: armed", "mode: 'off'"),
            """
            mode: armed
            steps:
              - event: { type: instance.failed, node: { name: dws_a } }
              - expect: { actions: [], skipped: [ { rule: rerun, reason: mode is off } ] }
            """,
            id="what is off stays off",
        ),
        pytest.param(
            RERUN,
            """
            steps:
              - answer: { api: OperateInstance, error: { code: DPN.OP.NotAllowed, message: "no such luck" } }
              - event: { type: instance.failed, node: { name: dws_a } }
              - expect:
                  actions: [ { rerun_instance: {}, outcome: refused } ]
                  notifications: [ { to: oncall, message: { contains: no such luck } } ]
              - event: { type: instance.failed, node: { name: dws_a }, instance: { id: t_2 } }
              - expect: { actions: [ { rerun_instance: { instance_id: t_2 }, outcome: accepted } ] }
            """,
            id="an error is answered once",
        ),
        pytest.param(
            RERUN,
            """
            steps:
              - answer: { api: OperateInstance, fault: throttle, times: always }
              - event: { type: instance.failed, node: { name: dws_a } }
              - expect: { actions: [], firings: [ { rule: rerun, state: running } ] }
              - advance: 1h
              - expect: { notifications: [] }
            """,
            id="what is throttled waits",
        ),
        pytest.param(
            RERUN,
            """
            steps:
              - answer: { api: OperateInstance, fault: unavailable }
              - event: { type: instance.failed, node: { name: dws_a } }
              - state: { instance: { status: RUNNING } }
              - advance: 1m
              - expect: { actions: [ { rerun_instance: {}, outcome: accepted } ] }
            """,
            id="a lost answer is settled by reading",
        ),
        pytest.param(
            RERUN,
            """
            steps:
              - answer: { api: OperateInstance, fault: timeout }
              - event: { type: instance.failed, node: { name: dws_a } }
              - advance: 10s
              - expect: { pending: [ { rule: rerun, kind: verify } ] }
              - advance: 1m
              - expect: { actions: [ { rerun_instance: {}, outcome: accepted } ], calls: 6 }
            """,
            id="what was not done is done again",
        ),
        pytest.param(
            RERUN,
            """
            steps:
              - answer: { api: OperateInstance, fault: reset, times: always }
              - event: { type: instance.failed, node: { name: dws_a } }
              - state: { instance: { gone: true } }
              - advance: 1h
              - expect: { actions: [ { rerun_instance: {}, outcome: unknown } ] }
            """,
            id="what cannot be read stays unknown",
        ),
        pytest.param(
            RERUN,
            """
            steps:
              - event: { type: instance.failed, node: { name: dws_a } }
              - restart: true
              - expect: { actions: [ { rerun_instance: {} } ], pending: [ { rule: rerun, in: 30m } ] }
              - advance: 10m
              - restart: true
              - advance: 19m
              - expect: { notifications: [], actions: [] }
              - advance: 2m
              - expect: { notifications: [ { message: { contains: timed_out } } ] }
            """,
            id="a restart goes on where it was",
        ),
        pytest.param(
            HOLD,
            """
            steps:
              - event: { type: instance.failed }
              - expect: { pending: [ { rule: hold, kind: for, until: "2026-01-05T00:10", key: t_1 } ] }
              - restart: true
              - advance: 599s
              - expect: { notifications: [] }
              - advance: 1s
              - expect: { notifications: [ { message: "instance.failed 2026-01-05T00:10:00+08:00" } ] }
            """,
            id="for ends at its second",
        ),
        pytest.param(
            HOLD,
            """
            steps:
              - event:
                  type: alert.opened
                  alert: { id: 7, reason: A, params: { count: 3, on: true } }
                  raw: { Own: 1 }
              - event: { type: impact.opened, api: { id: 9 }, impact: { errors: 3 } }
              - advance: 5m
              - expect: { notifications: [] }
              - advance: 5m
              - expect:
                  notifications: [ { message: { contains: alert.opened } }, { message: { contains: impact.opened } } ]
            """,
            id="alerts and impacts are read again",
        ),
        pytest.param(
            HOLD,
            """
            steps:
              - event: { type: alert.opened, alert: { id: 7 } }
              - event: { type: alert.opened, alert: { id: 8 } }
              - event: { type: impact.opened, api: { id: 9 } }
              - state: { alert: { id: 7, status: FINISH }, api: { id: 9 }, impact: { errors: 0 } }
              - state: { alert: { id: 8, gone: true } }
              - advance: 10m
              - expect: { notifications: [], skipped: [ { rule: hold, reason: has left the state }, { rule: hold } ] }
            """,
            id="what is over meanwhile is left",
        ),
        pytest.param(
            HOLD,
            """
            steps:
              - event: { type: instance.failed }
              - state: { instance: { status: RUNNING } }
              - advance: 10m
              - expect: { skipped: [ { rule: hold, reason: the object has left the state of instance.failed } ] }
            """,
            id="what runs again is left",
        ),
        pytest.param(
            LIMITED,
            """
            steps:
              - event: { type: instance.failed }
              - state: { node: { downstream: 5 } }
              - event: { type: instance.failed, instance: { id: t_2 }, node: { id: n_2 } }
              - advance: 11m
              - state: { node: { downstream: 6 } }
              - event: { type: instance.failed, instance: { id: t_3 }, node: { id: n_2 } }
              - expect:
                  actions:
                    - { pause_node: { node_id: n_1 } }
                    - { pause_node: { node_id: n_2 } }
                    - { pause_node: { node_id: n_2 }, outcome: refused }
                  ended:
                    - { rule: limited }
                    - { rule: limited }
                    - { rule: limited, state: failed, reason: limits.downstream }
            """,
            id="what hangs below is what the state says",
        ),
        pytest.param(
            CALL,
            """
            steps:
              - event: { type: hook.go, body: { id: t_1 } }
              - expect: { actions: [ { call: GetPhysicalInstance, outcome: refused } ] }
              - state: { instance: { id: t_1, status: RUNNING } }
              - event: { type: hook.go, body: { id: t_1 } }
              - expect:
                  actions:
                    - call: OperateInstance
                      with: { OperateCommand: { Operation: TERMINATE, InstanceIdList: [ { Id: t_1 } ] } }
                  calls: 2
              - answer: { api: GetPhysicalInstance, body: { Instance: {} } }
              - event: { type: hook.go, body: { id: t_9 } }
              - expect: { actions: [ { call: OperateInstance }, ] }
            """,
            id="reads may be left out",
        ),
        pytest.param(
            """
            rules:
              - id: hourly
                on: { schedule: "0 * * * *" }
                do:
                  - notify: { to: [oncall, boss], message: "{{ event.schedule.due }}" }
              - id: any
                on: [schedule.fired]
                do:
                  - notify: { to: log, message: "{{ event.schedule.cron }}" }
            """,
            """
            start: 2026-02-01T05:30
            steps:
              - at: "2026-02-01T06:00"
              - expect:
                  notifications:
                    - { to: [oncall, boss], message: "2026-02-01T06:00:00+08:00" }
                    - { to: log, message: "0 * * * *" }
              - event: { type: schedule.fired }
              - expect: { notifications: [ { to: [oncall, boss] }, { to: log } ] }
              - advance: 2h
              - expect:
                  notifications: [ { to: [oncall, boss] }, { to: log }, { to: oncall }, { to: boss }, { to: log } ]
            """,
            id="schedules fire when they are due",
        ),
        pytest.param(
            QUEUE,
            """
            steps:
              - event: { type: instance.failed, instance: { id: t_1 } }
              - event: { type: instance.failed, instance: { id: t_2 } }
              - expect:
                  actions: [ { rerun_instance: { instance_id: t_1 } } ]
                  pending:
                    - { rule: one-after-the-other, kind: verify }
                    - { rule: one-after-the-other, kind: queued, key: "1" }
              - state: { instance: { id: t_1, status: SUCCESS } }
              - advance: 1m
              - expect: { actions: [ { rerun_instance: { instance_id: t_2 } } ] }
            """,
            id="one after the other",
        ),
        pytest.param(
            """
            rules:
              - id: own
                on: [source.stale, quota.low, rule.quarantined, action.settled, custom.x]
                do:
                  - notify:
                      to: log
                      message: "{{ event.type }} {{ event.source }}"
            """.replace(", custom.x", ""),
            """
            steps:
              - event: { type: source.stale, health: { name: alerts } }
              - event: { type: quota.low }
              - event: { type: rule.quarantined }
              - event: { type: action.settled, action: { outcome: failed } }
              - expect:
                  notifications:
                    - { message: source.stale alerts }
                    - { message: quota.low quota }
                    - { message: rule.quarantined rules }
                    - { message: action.settled actions }
            """,
            id="the daemon's own events",
        ),
    ],
)
def test_is_as_expected(tmp_path: Path, rules: str, test: str) -> None:
    found = result(tmp_path, rules, test)
    assert found.passed, [*told(found), *notes(found)]


def failed_once(expect: str, after: str = "") -> str:
    """A test in which an instance fails, time passes, and something is expected."""
    advance = f"  - advance: {after}\n" if after else ""
    return f"""\
steps:
  - event: {{ type: instance.failed, node: {{ name: dws_a }} }}
{advance}  - expect: {{ {expect} }}
"""


@pytest.mark.parametrize(
    ("test", "message"),
    [
        pytest.param(
            "steps: [ { event: { type: instance.failed, node: { name: dws_a } } }, { expect: { actions: [] } } ]",
            "4: actions: rerun_instance {project_id: 1, instance_id: t_1} by rerun, accepted was not expected",
            id="too much",
        ),
        pytest.param(
            "steps: [ { event: { type: instance.failed } }, { expect: { actions: [ { rerun_instance: {} } ] } } ]",
            "4: actions: rerun_instance {} did not happen",
            id="too little",
        ),
        pytest.param(
            """
            steps:
              - event: { type: instance.failed, node: { name: dws_a } }
              - expect:
                  actions:
                    - rerun_instance: { instance_id: t_2 }
            """,
            "8: actions: expected rerun_instance {instance_id: t_2}, but instance_id is t_1",
            id="another parameter",
        ),
        pytest.param(
            failed_once("actions: [ { pause_node: {} } ]"),
            "6: actions: expected pause_node {}, but rerun_instance {project_id: 1, instance_id: t_1} by rerun, "
            "accepted came",
            id="another step",
        ),
        pytest.param(
            failed_once("actions: [ { rerun_instance: {}, outcome: verified } ]"),
            "6: actions: expected rerun_instance {} {outcome: verified}, but its outcome is accepted",
            id="another outcome",
        ),
        pytest.param(
            failed_once("notifications: [ { to: boss } ]", after="31m"),
            "7: notifications: expected to boss, but it is to oncall",
            id="another notifier",
        ),
        pytest.param(
            failed_once("notifications: [ { severity: info } ]", after="31m"),
            "7: notifications: expected a notice {severity: info}, but its severity is warning",
            id="another severity",
        ),
        pytest.param(
            failed_once("notifications: [ { title: { contains: t_2 } } ]", after="31m"),
            "7: notifications: expected a notice {title: {contains: t_2}}, but its title is «t_1»",
            id="another title",
        ),
        pytest.param(
            failed_once("notifications: [ { title: t_2 } ]", after="31m"),
            "7: notifications: expected a notice {title: t_2}, but its title is «t_1»",
            id="another whole title",
        ),
        pytest.param(
            failed_once("firings: [ { rule: rerun, state: done } ]"),
            "6: firings: expected rerun {state: done}, but its state is running",
            id="another state",
        ),
        pytest.param(
            failed_once("firings: [ { rule: other } ]"),
            "6: firings: expected other, but it is of rerun",
            id="another rule",
        ),
        pytest.param(
            failed_once("firings: [ { rule: rerun, steps: { again: verified } } ]"),
            "6: firings: expected rerun {steps: {again: verified}}, but step again is open",
            id="a step that is open",
        ),
        pytest.param(
            failed_once("ended: [ { rule: rerun, reason: because } ]", after="31m"),
            "7: ended: expected rerun {reason: because}, but its reason is «»",
            id="another reason of an end",
        ),
        pytest.param(
            """
            steps:
              - event: { type: instance.failed }
              - expect: { skipped: [ { rule: rerun, reason: attempts } ] }
            """,
            "6: skipped: expected rerun {reason: attempts}, but its reason is "
            '«if is false: event.node.name.startsWith("dws_") (event.node.name is node)»',
            id="another reason",
        ),
        pytest.param(
            "steps: [ { event: { type: instance.failed } }, { expect: { skipped: [] } } ]",
            '4: skipped: rerun on instance.failed: if is false: event.node.name.startsWith("dws_") '
            "(event.node.name is node) was not expected",
            id="a rule that did not fire where none was to be silent",
        ),
        pytest.param(
            failed_once("pending: [ { rule: rerun, kind: verify, until: 2026-01-05T00:31 } ]"),
            "6: pending: expected rerun {kind: verify, until: 2026-01-05T00:31}, but it waits for 30m, "
            "until 2026-01-05T00:30:00+08:00",
            id="another moment",
        ),
        pytest.param(
            failed_once("pending: []"),
            "6: pending: rerun {kind: verify, key: t_1} for 30m, until 2026-01-05T00:30:00+08:00 was not expected",
            id="something waits",
        ),
        pytest.param(
            failed_once("calls: 0"),
            "6: calls: 1 were made, 0 expected",
            id="more calls",
        ),
        pytest.param(
            failed_once("calls: { 3: 1 }"),
            "6: calls: 0 of level 3 were made, 1 expected",
            id="calls of another level",
        ),
        pytest.param(
            """
            steps:
              - advance: 1h
              - at: "2026-01-05T00:59:59"
              - expect: { actions: [] }
            """,
            "6: the clock shows 2026-01-05T01:00:00 already: it does not go back",
            id="back in time",
        ),
    ],
)
def test_says_what_is_not_as_expected(tmp_path: Path, test: str, message: str) -> None:
    assert failures(tmp_path, RERUN, test) == [message]


@pytest.mark.parametrize(
    ("expect", "difference"),
    [
        ("skipped: [ { rule: rerun, event: alert.opened } ]", "it is on instance.failed"),
        ("pending: [ { rule: other } ]", "it is of rerun"),
        ("pending: [ { rule: rerun, kind: for } ]", "its kind is verify"),
        ("pending: [ { rule: rerun, key: t_2 } ]", "its key is t_1"),
        ('pending: [ { rule: rerun, in: 30m, until: "2026-01-05T00:31" } ]', LASTS),
        ('pending: [ { rule: rerun, in: 31m, until: "2026-01-05T00:30" } ]', LASTS),
        ("firings: [ { rule: rerun, mode: shadow } ]", "its mode is armed"),
    ],
)
def test_says_in_what_way_it_is_different(tmp_path: Path, expect: str, difference: str) -> None:
    test = f"""
    steps:
      - event: {{ type: instance.failed, node: {{ name: dws_a }} }}
      - event: {{ type: instance.failed, instance: {{ id: t_2 }} }}
      - expect: {{ {expect} }}
    """
    assert failures(tmp_path, RERUN, test)[0].endswith(f", but {difference}")


@pytest.mark.parametrize(
    ("wanted", "difference"),
    [
        ("Operation: RERUN", "Operation is TERMINATE"),
        ("InstanceIdList: [ { Id: x } ]", "InstanceIdList[0].Id is t_1"),
        ("InstanceIdList: []", "InstanceIdList is [{Id: t_1}]"),
        ("ProjectId: true", "ProjectId is 1"),
        ("Operation: { a: b }", "Operation is TERMINATE"),
    ],
)
def test_parameters_are_compared_as_far_as_they_are_named(tmp_path: Path, wanted: str, difference: str) -> None:
    test = f"""
    steps:
      - state: {{ instance: {{ id: t_1, status: RUNNING }} }}
      - event: {{ type: hook.go, body: {{ id: t_1 }} }}
      - expect: {{ actions: [ {{ call: OperateInstance, with: {{ OperateCommand: {{ {wanted} }} }} }} ] }}
    """
    assert f", but with.OperateCommand.{difference}" in failures(tmp_path, CALL, test)[0]


def test_another_call_is_another_action(tmp_path: Path) -> None:
    test = """
    steps:
      - state: { instance: { id: t_1, status: RUNNING } }
      - event: { type: hook.go, body: { id: t_1 } }
      - expect: { actions: [ { call: PausePhysicalNode } ] }
    """
    assert ", but call: OperateInstance {" in failures(tmp_path, CALL, test)[0]


def test_several_that_are_due_together_are_read_and_written_together(tmp_path: Path) -> None:
    rule = HOLD.replace('- notify: { to: oncall, message: "{{ event.type }} {{ now }}" }', "- rerun_instance: {}")
    rule = rule.replace("[instance.failed, alert.opened, impact.opened]", "instance.failed\n    mode: armed")
    events = "\n".join(f"      - event: {{ type: instance.failed, instance: {{ id: t_{n} }} }}" for n in range(5))
    actions = ", ".join(f"{{ rerun_instance: {{ instance_id: t_{n} }} }}" for n in range(5))
    test = f"steps:\n{events}\n      - advance: 10m\n      - expect: {{ actions: [ {actions} ] }}"
    found = result(tmp_path, rule, test.replace("\n      ", "\n  "))
    assert found.passed, told(found)


def test_what_trips_phinops_is_a_failure_of_the_test(tmp_path: Path) -> None:
    found = session(tmp_path, RERUN, "steps: [ { expect: { actions: [] } } ]").results[0]
    script = replace(found.script, steps=(Happens(found.script.place, {}),))
    (tmp_path / "more").mkdir()
    failed = try_script(make_terms(None, tmp_path / "more"), script)
    assert told(failed)[0].startswith("2: phinops failed: KeyError: 'type' (make, ")
    way = "\n".join(notes(failed))
    assert way.index("Traceback") < way.index("in _happen") < way.index("in make") < way.index("KeyError: 'type'")


def test_says_what_happened_instead_and_why_a_rule_did_not_fire(tmp_path: Path) -> None:
    found = result(
        tmp_path,
        RERUN + LIMITED.split("\n", 1)[1],
        """
        steps:
          - state: { node: { id: n_1, downstream: 9 } }
          - event: { type: instance.failed }
          - expect: { actions: [ { rerun_instance: {} } ] }
        """,
    )
    refusal = "limits.downstream: 9 nodes hang below n_1, 5 are allowed"
    assert notes(found) == [
        "expected  rerun_instance {}",
        f"happened  pause_node {{project_id: 1, node_id: n_1}} by limited, refused: {refusal}",
        "this is what happened at 2026-01-05T00:00:00",
        'did not fire: rerun on instance.failed: if is false: event.node.name.startsWith("dws_") '
        "(event.node.name is node)",
        f"refused: step pause_node-1 of limited: {refusal}",
        f"failed: limited: step pause_node-1: refused: {refusal}",
    ]


def test_says_that_a_rule_is_in_shadow(tmp_path: Path) -> None:
    test = "steps: [ { event: { type: instance.failed, node: { name: dws_a } } }, { expect: { notifications: [] } } ]"
    assert any("the rule is in shadow" in note for note in notes(result(tmp_path, SHADOW, test)))


def test_only_the_first_expectation_that_fails_is_told(tmp_path: Path) -> None:
    test = """
    steps:
      - event: { type: instance.failed, node: { name: dws_a } }
      - expect: { actions: [], firings: [] }
      - expect: { actions: [ { pause_node: {} } ] }
    """
    assert [each.split(":")[0] for each in failures(tmp_path, RERUN, test)] == ["6", "6"]


def test_a_reload_reads_other_rules(tmp_path: Path) -> None:
    test = """
    steps:
      - reload: other.rules.yaml
      - event: { type: instance.failed, node: { name: dws_a } }
      - expect: { actions: [ { terminate_instance: {} } ] }
    """
    assert failures(tmp_path, RERUN, test, other=OTHER) == []


def test_a_reload_of_rules_with_mistakes_fails(tmp_path: Path) -> None:
    test = """
    steps:
      - reload: other.rules.yaml
      - expect: { actions: [] }
    """
    found = result(tmp_path, RERUN, test, other=ALONE)
    assert told(found) == ["5: the rules that are read have mistakes"]
    assert "step-kind" in notes(found)[0]


def test_rules_with_mistakes_fail_their_tests(tmp_path: Path) -> None:
    found = result(tmp_path, ALONE, "steps: [ { expect: { actions: [] } } ]")
    assert told(found) == ["2: its rules have mistakes"]
    assert notes(found)[0].startswith(f"{tmp_path}/some.rules.yaml:6:")


def test_the_same_test_goes_the_same_way(tmp_path: Path) -> None:
    test = """
    steps:
      - answer: { api: OperateInstance, fault: unavailable, times: 3 }
      - event: { type: instance.failed, node: { name: dws_a } }
      - advance: 2h
      - expect: { calls: 0 }
    """
    one, two = session(tmp_path, RERUN, test).results[0], session(tmp_path, RERUN, test).results[0]
    assert one.failures == two.failures
    assert [each.at for each in one.record.events] == [each.at for each in two.record.events]


def test_several_rule_files_are_in_force_together(tmp_path: Path) -> None:
    test = """
    rules: [some.rules.yaml, other.rules.yaml]
    steps:
      - event: { type: instance.failed, node: { name: dws_a } }
      - expect: { firings: [ { rule: rerun }, { rule: other } ] }
    """
    assert failures(tmp_path, RERUN, test, other=OTHER) == []


WAITS = """\
rules:
  - id: waits
    on: { hook: go }
    mode: armed
    do:
      - wait: 10m
      - id: ask
        http: { url: "https://example.com/state?x=1" }
        on_error: continue
      - id: tell
        http: { url: "https://example.com/tell", body: { state: "{{ steps.ask.outcome }}" } }
        retry: 1
        on_error: continue
      - emit: { type: custom.told, data: { how: "{{ steps.tell.outcome }}" } }
  - id: hears
    on: custom.told
    do:
      - notify: { to: oncall, message: "{{ event.data.how }}" }
"""


@pytest.mark.parametrize(
    "test",
    [
        pytest.param(
            """
            steps:
              - event: { type: hook.go }
              - expect: { actions: [ { wait: 10m } ], pending: [ { rule: waits, kind: wait, in: 10m } ] }
              - advance: 10m
              - expect:
                  actions:
                    - http: { url: "https://example.com/state?x=1" }
                    - http: { url: "https://example.com/tell", body: { state: accepted } }
                      outcome: accepted
                    - emit: { type: custom.told, data: { how: accepted } }
                  notifications: [ { message: accepted } ]
                  firings: [ { rule: hears, event: custom.told } ]
            """,
            id="what is told",
        ),
        pytest.param(
            """
            steps:
              - answer: { http: "https://example.com/state", status: 503, body: "not now" }
              - answer: { http: "https://example.com/tell", body: { ok: false }, status: 500 }
              - event: { type: hook.go }
              - advance: 10m
              - expect:
                  actions: [ { http: { body: { state: refused } }, outcome: refused } ]
                  pending: [ { rule: waits, kind: retry } ]
              - advance: 1h
              - expect:
                  actions: [ { http: {} , outcome: accepted }, { emit: { type: custom.told } } ]
                  notifications: [ { message: accepted } ]
            """,
            id="what is refused is asked again",
        ),
        pytest.param(
            """
            steps:
              - answer: { http: "https://example.com/tell", fault: reset }
              - answer: { http: "https://example.com/state", fault: timeout }
              - event: { type: hook.go }
              - advance: 11m
              - expect:
                  actions: [ { http: {}, outcome: unknown }, { emit: {} } ]
                  notifications: [ { message: unknown } ]
            """,
            id="what is lost",
        ),
    ],
)  # fmt: skip
def test_steps_that_reach_others_are_answered(tmp_path: Path, test: str) -> None:
    found = result(tmp_path, WAITS, test)
    assert found.passed, [*told(found), *notes(found)]


LASTING = """\
rules:
  - id: hung
    on: { event: instance.stuck, state: RUNNING, after: 1h }
    do:
      - notify: { to: oncall, message: "{{ event.lasting.since | default('somebody said so') }}" }
  - id: late
    on: { event: instance.overdue, after: 30m }
    do:
      - notify: { to: boss, message: "{{ event.instance.status }}" }
"""


@pytest.mark.parametrize(
    "test",
    [
        pytest.param(
            """
            steps:
              - event: { type: instance.running }
              - advance: 59m
              - expect: { notifications: [] }
              - advance: 1m
              - expect: { notifications: [ { to: oncall, message: "2026-01-05T00:00:00+08:00" } ] }
            """,
            id="what runs for too long is found out",
        ),
        pytest.param(
            """
            steps:
              - event: { type: instance.stuck, lasting: { state: RUNNING, after_s: 3600 } }
              - event: { type: instance.stuck, lasting: { state: WAITING, after_s: 3600 } }
              - event: { type: instance.overdue, instance: { id: t_2 } }
              - expect: { notifications: [ { to: oncall }, { to: boss, message: WAITING } ] }
            """,
            id="what a test says",
        ),
    ],
)  # fmt: skip
def test_what_lasts_too_long(tmp_path: Path, test: str) -> None:
    found = result(tmp_path, LASTING, test)
    assert found.passed, [*told(found), *notes(found)]


BLUEPRINT = """\
blueprints:
  - id: tells
    inputs:
      prefix: { type: string }
      to: { type: notifier }
    on: instance.failed
    if: event.node.name.startsWith(inputs.prefix)
    do:
      - notify: { to: "{{ inputs.to }}", message: "{{ event.node.name }}" }
    tests:
      - name: it tells
        with: { prefix: dws_, to: oncall }
        steps:
          - event: { type: instance.failed, node: { name: dws_a } }
          - expect: { notifications: [ { to: oncall, message: dws_a } ] }
      - name: it tells of others
        with: { prefix: ods_, to: boss }
        mode: shadow
        steps:
          - event: { type: instance.failed, node: { name: dws_a } }
          - expect:
              notifications: [ { to: boss } ]
"""


def test_blueprints_are_tried_by_the_tests_that_they_carry(tmp_path: Path) -> None:
    file = tmp_path / "tells.rules.yaml"
    file.write_text(BLUEPRINT, encoding="utf-8")
    (tmp_path / "hidden").mkdir()
    found = run_tests([file], None, tmp_path / "hidden")
    assert found.mistakes == []
    one, two = found.results
    assert one.passed, told(one)
    assert told(two) == ["22: notifications: to boss did not happen"]
    assert notes(two)[-1].startswith("did not fire: tells on instance.failed: if is false")
    (covered,) = found.coverage.report()
    assert (covered.file, covered.rules, covered.clauses, covered.steps) == (file, (1, 1), (2, 2), (1, 1))
