"""Loading: what comes out, what is left out, and that no text whatever makes it raise."""

from __future__ import annotations

import os
import string
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from phinops.decide import findings as finding
from phinops.decide.document import MAX_NODES, read
from phinops.decide.filemodel import FileModel
from phinops.decide.findings import Findings
from phinops.decide.load import load_rules, with_last_good
from phinops.decide.mistakes import InNode, validated
from phinops.decide.rule import Limits, Rule, RuleSet, Setting, Window
from phinops.execute.steps.table import STEPS
from settings import SETTING, loaded, only_rule

EXAMPLE = """\
rules:
  - id: rerun-failed-orders
    description: Rerun failed order marts, twice at most, and tell on-call when that did not help.
    on: instance.failed
    if: event.node.name.startsWith("dws_") && event.instance.attempts < 3
    for: 6m                               # longer than the tenant's own auto-rerun interval
    mode: armed                           # off | shadow | armed
    key: event.instance.id                # what cooldown, concurrency and windows are kept per
    concurrency: queued                   # single | queued | restart | parallel
    limits:
      firings: { max: 20, per: 1h }       # of the whole rule, all keys together
      targets: { max: 10, per: 1h }       # distinct nodes or instances written to
      downstream: { max: 50 }             # refuse when more nodes than this hang below the target
    do:
      - id: rerun
        rerun_instance: {}
        verify: { within: 30m }
      - if: steps.rerun.outcome in ["failed", "timed_out"]
        notify:
          to: oncall
          title: "{{ event.node.name }} still fails"
          message: "{{ event.instance.id }} failed again after a rerun."
"""
"""The example by which the language is specified: it must load as printed."""

NOTICE = "rules:\n  - id: {id}\n    on: {on}\n    do:\n      - notify: {{ to: oncall, message: {message} }}\n"


def notice(rule_id: str, on: str = "instance.failed", message: str = "x") -> str:
    return NOTICE.format(id=rule_id, on=on, message=message)


def test_the_example_of_the_language_loads_with_all_that_it_says(tmp_path: Path) -> None:
    rule = only_rule(tmp_path, EXAMPLE)
    assert (rule.id, rule.types, rule.mode, rule.writes) == ("rerun-failed-orders", ("instance.failed",), "armed", True)
    assert rule.condition == 'event.node.name.startsWith("dws_") && event.instance.attempts < 3'
    assert (rule.hold, rule.key, rule.concurrency) == (timedelta(minutes=6), "event.instance.id", "queued")
    hour = timedelta(hours=1)
    assert rule.limits == Limits(Window(20, hour), Window(10, hour), 50)
    rerun, notify = rule.steps
    assert (rerun.id, rerun.kind, rerun.params, rerun.verify) == ("rerun", "rerun_instance", {}, timedelta(minutes=30))
    assert (notify.kind, notify.on_error, notify.verify) == ("notify", "stop", None)
    assert notify.condition == 'steps.rerun.outcome in ["failed", "timed_out"]'
    assert notify.params["title"] == "{{ event.node.name }} still fails"


def test_a_rule_survives_being_stored_with_its_firing(tmp_path: Path) -> None:
    rule = only_rule(tmp_path, "vars: { a: [1, x] }\n" + EXAMPLE)
    stored = rule.to_json()
    again = Rule.from_json(stored)
    assert again.to_json() == stored
    assert again.hash == rule.hash
    assert again.steps == rule.steps
    assert stored["limits"]["targets"] == {"max": 10, "per_s": 3600.0}


def test_what_a_rule_leaves_out_takes_the_defaults(tmp_path: Path) -> None:
    rule = only_rule(tmp_path, notice("one"))
    assert (rule.mode, rule.concurrency, rule.limits, rule.key) == ("armed", "queued", Limits(), "")
    assert (rule.hold, rule.cooldown, rule.max_age, rule.writes) == (None, None, None, False)
    assert rule.steps[0].id == "notify-1"


def test_words_that_yaml_1_1_takes_for_bools_are_text(tmp_path: Path) -> None:
    text = "vars: { a: yes, b: no, c: on, d: 0o17, e: 0x1f, f: 1.5, g: ~, h: 2026-01-05, i: .inf, j: 1e999, k: -7 }\n"
    rule = only_rule(tmp_path, text + notice("one").replace("    do:", "    mode: off\n    do:"))
    assert rule.mode == "off"
    assert rule.vars == {
        "a": "yes", "b": "no", "c": "on", "d": 15, "e": 31, "f": 1.5, "g": None, "h": "2026-01-05", "i": ".inf",
        "j": "1e999", "k": -7,
    }  # fmt: skip


def test_long_ids_of_digits_keep_every_digit(tmp_path: Path) -> None:
    rule = only_rule(tmp_path, "vars: { short: 1234567890123456789, long: 12345678901234567890123 }\n" + notice("one"))
    assert rule.vars == {"short": 1234567890123456789, "long": "12345678901234567890123"}


def test_tags_and_anchors_of_plain_yaml_are_understood(tmp_path: Path) -> None:
    text = "vars: { a: &who !!str 7, b: *who, c: ! x, d: !!int 7, e: !!map { x: 1 } }\n" + notice("one")
    assert only_rule(tmp_path, text).vars == {"a": "7", "b": "7", "c": "x", "d": 7, "e": {"x": 1}}


def test_a_byte_order_mark_is_not_part_of_the_first_key(tmp_path: Path) -> None:
    assert only_rule(tmp_path, "\ufeff" + notice("one")).id == "one"


def test_an_empty_list_of_rules_is_fine(tmp_path: Path) -> None:
    for text in ("rules: []\n", "rules:\n"):
        found = loaded(tmp_path, text)
        assert (len(found.rules), found.problems) == (0, ())


def test_a_broken_rule_leaves_the_others_in_the_file_alone(tmp_path: Path) -> None:
    text = notice("one") + notice("two", on="instance.fail").removeprefix("rules:\n")
    text += notice("three").removeprefix("rules:\n")
    found = loaded(tmp_path, text)
    assert [rule.id for rule in found.rules] == ["one", "three"]
    (left_out,) = found.quarantined
    assert (left_out.id, left_out.line) == ("two", 6)
    assert "unknown-event" in left_out.reason
    assert found.broken_files == frozenset()


def test_a_broken_rule_leaves_those_on_its_line_alone(tmp_path: Path) -> None:
    good = "{id: good, on: instance.failed, do: [{notify: {to: oncall, message: x}}]}"
    found = loaded(tmp_path, f"rules: [{{id: bad, on: nothing, do: []}}, {good}]\n")
    assert [rule.id for rule in found.rules] == ["good"]
    assert [each.id for each in found.quarantined] == ["bad"]


def test_a_rule_that_lacks_quotes_is_left_out_and_the_rest_read(tmp_path: Path) -> None:
    text = "rules:\n  - id: one\n    on: instance.failed\n    if: @event.id\n"
    text += "    do: [ { notify: { to: oncall, message: x } } ]\n"
    found = loaded(tmp_path, text + notice("two", on="nothing").removeprefix("rules:\n") + notice("three")[7:])
    assert [(problem.line, problem.code) for problem in found.problems] == [(4, "yaml-quotes"), (7, "unknown-event")]
    assert [rule.id for rule in found.rules] == ["three"]


def test_quotes_that_are_missing_within_braces_end_the_reading_of_the_file(tmp_path: Path) -> None:
    found = loaded(tmp_path, notice("one", message="{{ event.id }} failed"))
    assert [(problem.line, problem.column, problem.code) for problem in found.problems] == [(5, 40, "yaml-quotes")]
    assert found.broken_files
    (out,) = found.quarantined
    assert (out.id, out.line, out.reason) == ("", 5, str(found.problems[0]))


def test_a_mistake_in_the_file_as_a_whole_stops_all_its_rules(tmp_path: Path) -> None:
    for text in ("varz: {}\n" + notice("one"), notice("one") + "vars: [ 1 ]\n"):
        found = loaded(tmp_path, text)
        assert len(found.rules) == 0
        assert [each.id for each in found.quarantined] == ["one"]
        assert found.broken_files == {str(tmp_path / "one.rules.yaml")}


@pytest.mark.parametrize("text", ["rules: { id: one }\n", "rules: *all\n", "rules: one\n", "vars: {}\nrules: 1\n"])
def test_rules_that_are_no_list_leave_those_before_in_force(tmp_path: Path, text: str) -> None:
    before = loaded(tmp_path, notice("one")).rules
    found = loaded(tmp_path, text)
    assert found.broken_files == {str(tmp_path / "one.rules.yaml")}
    assert [(each.id, each.reason) for each in found.quarantined] == [("", str(min(found.problems)))]
    assert [rule.id for rule in with_last_good(found, before)] == ["one"]


def test_rules_written_twice_are_a_mistake_of_all_of_them(tmp_path: Path) -> None:
    found = loaded(tmp_path, "rules: []\n" + notice("one"))
    assert [each.code for each in found.problems] == ["yaml-duplicate-key"]
    assert ([each.id for each in found.quarantined], len(found.broken_files)) == (["one"], 1)


def test_a_file_that_is_no_yaml_breaks_only_itself(tmp_path: Path) -> None:
    (tmp_path / "a.rules.yaml").write_text("rules: [\n")
    (tmp_path / "b.rules.yaml").write_text(notice("good"))
    found = load_rules([tmp_path], SETTING)
    assert [rule.id for rule in found.rules] == ["good"]
    assert found.broken_files == {str(tmp_path / "a.rules.yaml")}


def test_the_last_good_version_of_what_broke_is_kept(tmp_path: Path) -> None:
    before = RuleSet([
        only_rule(tmp_path, notice("one")), *loaded(tmp_path, notice("gone")).rules,
        Rule("elsewhere", ("instance.failed",), (), file="other.rules.yaml"),
    ])  # fmt: skip
    after = loaded(tmp_path, notice("one", on="nothing") + notice("new").removeprefix("rules:\n"))
    assert [rule.id for rule in with_last_good(after, before)] == ["new", "one"]
    unreadable = loaded(tmp_path, "rules: [")
    assert [rule.id for rule in with_last_good(unreadable, before)] == ["one", "gone"]


def test_of_two_rules_with_one_id_the_first_file_s_stays(tmp_path: Path) -> None:
    (tmp_path / "a.rules.yaml").write_text(notice("same"))
    (tmp_path / "b.rules.yaml").write_text(notice("same", on="instance.blocked"))
    found = load_rules([tmp_path], SETTING)
    (rule,) = found.rules
    assert rule.types == ("instance.failed",)
    (problem,) = found.problems
    assert (Path(problem.file).name, problem.line, problem.column, problem.code) == (
        "b.rules.yaml",
        2,
        9,
        "duplicate-id",
    )


def test_folders_are_walked_in_order_and_each_file_read_once(tmp_path: Path) -> None:
    for folder in ("b", "a", ".hidden"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.rules.yaml").write_text(notice(f"in-{folder.strip('.')}"))
    (tmp_path / "notes.yaml").write_text("not: rules\n")
    found = load_rules([tmp_path / "b", tmp_path, tmp_path / "b" / "x.rules.yaml"], SETTING)
    assert [rule.id for rule in found.rules] == ["in-b", "in-a"]
    assert [str(Path(file).relative_to(tmp_path)) for file in found.files] == ["b/x.rules.yaml", "a/x.rules.yaml"]


def test_a_file_that_is_named_is_read_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text(notice("one"))
    assert len(load_rules([tmp_path / "mine.yml"], SETTING).rules) == 1


def test_paths_that_cannot_be_read_are_problems(tmp_path: Path) -> None:
    (tmp_path / "loop.rules.yaml").symlink_to("loop.rules.yaml")
    found = load_rules([tmp_path / "none", tmp_path], SETTING)
    assert sorted(problem.code for problem in found.problems) == ["file-unreadable", "none-found"]
    assert found.broken_files == {str(tmp_path / "loop.rules.yaml")}


def test_folders_that_may_not_be_read_are_problems() -> None:
    with _as_nobody(), tempfile.TemporaryDirectory() as folder:
        os.makedirs(Path(folder, "open", "closed"))
        Path(folder, "open", "closed").chmod(0)
        found = load_rules([Path(folder, "open"), Path(folder, "x" * 300)], SETTING)
        Path(folder, "open", "closed").chmod(0o700)
    assert [problem.code for problem in found.problems] == ["file-unreadable", "file-unreadable"]
    assert {Path(problem.file).name for problem in found.problems} == {"closed", "x" * 300}


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Runs the block without root's right to read everything."""
    if os.geteuid() != 0:
        yield
        return
    folder = tempfile.gettempdir()
    assert Path(folder).stat().st_mode & 0o001
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("data", "place"),
    [(b"rules:\n  - id: \xff\n", (2, 1)), (b"x" * (4 * 1024 * 1024 + 1), (1, 1)), (b"rules: []\nx: \x07\n", (2, 4))],
)
def test_bytes_that_are_no_text_are_problems(data: bytes, place: tuple[int, int]) -> None:
    findings = Findings("x")
    assert not read(data, findings).readable
    (problem,) = findings.problems
    assert (problem.line, problem.column) == place


def test_aliases_are_counted_in_full(tmp_path: Path) -> None:
    laughs = "vars:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    laughs += "".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    started = time.perf_counter()
    found = loaded(tmp_path, laughs + notice("one"))
    assert [problem.code for problem in found.problems] == ["yaml-too-big"]
    assert str(MAX_NODES) in found.problems[0].message
    assert time.perf_counter() - started < 5


def test_what_a_rule_takes_to_load_does_not_grow_with_the_others(tmp_path: Path) -> None:
    """How long a thousand take is measured in the benchmarks; here only that it is not a square."""
    rule = "  - id: r{n}\n    on: instance.failed\n"
    rule += '    if: event.node.name.startsWith("dws_{n}") && event.instance.attempts < 3\n    do:\n'
    rule += '      - notify: {{ to: oncall, title: "{{{{ event.node.name }}}} {n}", message: "{{{{ event.id }}}}" }}\n'

    def seconds(count: int) -> float:
        folder = tmp_path / str(count)
        folder.mkdir(exist_ok=True)
        (folder / "many.rules.yaml").write_text("rules:\n" + "".join(rule.format(n=n) for n in range(count)))
        started = time.process_time()
        found = load_rules([folder], SETTING)
        assert (len(found.rules), found.problems) == (count, ())
        return time.process_time() - started

    seconds(100)
    assert seconds(1600) < 16 * 3 * min(seconds(100) for _ in range(3))


def test_without_a_config_notifiers_hooks_and_edition_are_not_checked(tmp_path: Path) -> None:
    setting = Setting(STEPS, ZoneInfo("UTC"))
    text = notice("one", on="{ hook: any }").replace("oncall", "anybody")
    rule = only_rule(tmp_path, text, setting)
    assert rule.types == ("hook.any",)
    assert {problem.code for problem in loaded(tmp_path, text).problems} == {"unknown-hook", "step-parameter"}


def test_a_schedule_belongs_to_its_rule(tmp_path: Path) -> None:
    rule = only_rule(tmp_path, notice("one", on='{ schedule: "0 6 * * MON#2" }'))
    assert (rule.types, rule.cron) == (("schedule.fired",), "0 6 * * MON#2")
    assert RuleSet([rule]).crons == {"0 6 * * MON#2"}


def test_a_rule_on_schedules_that_nobody_has_is_warned_of(tmp_path: Path) -> None:
    found = loaded(tmp_path, notice("one", on="schedule.fired"))
    assert [(problem.code, problem.severity) for problem in found.problems] == [("never-fires", "warning")]
    assert len(found.rules) == 1
    with_one = notice("one", on="schedule.fired") + notice("two", on='{ schedule: "0 6 * * *" }').removeprefix(
        "rules:\n"
    )
    assert loaded(tmp_path, with_one).problems == ()


def test_for_on_what_has_no_state_is_warned_of(tmp_path: Path) -> None:
    found = loaded(tmp_path, notice("one", on="{ hook: deploy }").replace("    do:", "    for: 5m\n    do:"))
    assert [(problem.code, problem.severity) for problem in found.problems] == [("only-delays", "warning")]


WAITED = """rules:
  - id: one
    on: instance.failed
    mode: armed
    do:
      - rerun_instance: {}
      - wait: 10m
      - notify: { to: oncall, message: x }
      - %s
"""


@pytest.mark.parametrize(
    ("step", "codes"),
    [
        ("rerun_instance: {}", ["step-unasked"]),
        ("pause_node:", ["step-unasked"]),
        ("{ rerun_instance: {}, if: 'event.instance.status == \"FAILED\"' }", []),
        ("rerun_instance: { instance_id: t_1, project_id: 7 }", []),
        ("call: ListInstances", []),
    ],
)
def test_a_write_after_a_wait_that_nothing_asks_for_is_warned_of(tmp_path: Path, step: str, codes: list[str]) -> None:
    found = [problem for problem in loaded(tmp_path, WAITED % step).problems if problem.code == "step-unasked"]
    assert [(problem.code, problem.severity, problem.line, problem.column) for problem in found] == [
        (code, "warning", 9, 9) for code in codes
    ]


def test_a_comment_that_looks_like_text_is_warned_of(tmp_path: Path) -> None:
    text = "rules:\n  - id: one\n    on: instance.failed\n    do:\n      - notify:\n          to: oncall\n"
    found = loaded(tmp_path, text + "          message: Order#{{ event.id }}\n          title: x # fine\n")
    assert found.problems == ()  # no blank before the sign, so no comment
    found = loaded(tmp_path, text + "          message: Order # {{ event.id }}\n          title: x # fine\n")
    assert [(problem.line, problem.column, problem.code, problem.severity) for problem in found.problems] == [
        (7, 26, "yaml-comment", "warning")
    ]


def test_targets_that_events_or_parameters_give_are_accepted(tmp_path: Path) -> None:
    for on, step in [
        ("alert.opened", "pause_node: {}"),
        ("[alert.opened, instance.failed]", "rerun_instance: {}"),
        ("alert.opened", "rerun_instance: { instance_id: t_1 }"),
        ('{ schedule: "0 6 * * *" }', "pause_node: { node_id: n_1, project_id: 7 }"),
    ]:
        only_rule(tmp_path, f"rules:\n  - id: one\n    on: {on}\n    mode: armed\n    do:\n      - {step}\n")


def test_the_mode_may_be_left_out_by_a_rule_that_only_reads(tmp_path: Path) -> None:
    text = "rules:\n  - id: one\n    on: instance.failed\n    do:\n      - call: {api}\n        with: {{ {params} }}\n"
    reads = text.format(api="GetPhysicalInstance", params='InstanceId: "{{ event.instance.id }}", ProjectId: 1')
    assert only_rule(tmp_path, reads).steps[0].params["call"] == "GetPhysicalInstance"
    writes = text.format(api="ResumePhysicalNode", params="ResumeCommand: { ProjectId: 1, NodeIdList: [] }")
    assert "mode-missing" in {problem.code for problem in loaded(tmp_path, writes).problems}


def test_short_forms_are_understood(tmp_path: Path) -> None:
    text = "rules:\n  - id: one\n    on: instance.failed\n    if: true\n    mode: armed\n    do:\n"
    rule = only_rule(tmp_path, text + "      - rerun_instance:\n        retry: 0\n        on_error: continue\n")
    assert (rule.condition, rule.steps[0].params, rule.steps[0].on_error) == ("true", {}, "continue")


def test_the_models_describe_rule_files_to_editors() -> None:
    schema = FileModel.model_json_schema()
    keys = schema["$defs"]["RuleModel"]["properties"]
    assert {"id", "on", "if", "for", "limits", "do"} <= set(keys)
    assert "from 10s to 24h" in keys["within"]["description"]
    assert keys["on"]["anyOf"][2]["required"] == ["schedule"]
    assert schema["$defs"]["RuleModel"]["additionalProperties"] is False


def test_the_models_describe_what_stands_beside_the_rules() -> None:
    schema = FileModel.model_json_schema()
    assert set(schema["properties"]) == {"vars", "defaults", "calendars", "blueprints", "rules"}
    assert {"required": ["rules"]} in schema["anyOf"]
    calendar = schema["$defs"]["CalendarModel"]["properties"]
    assert [kind["type"] for kind in calendar["days"]["anyOf"]] == ["string", "array"]
    blueprint = schema["$defs"]["BlueprintModel"]["properties"]
    assert "inputs" in blueprint["for"]["anyOf"][1]["pattern"]
    assert "anyOf" not in blueprint["inputs"]
    assert set(schema["$defs"]["UseModel"]["properties"]) >= {"id", "use", "with", "active", "mode"}
    for name in ("UseModel", "InputModel", "CalendarModel", "BlueprintTestModel"):
        for key, value in schema["$defs"][name]["properties"].items():
            old = key in ("id", "mode", "cooldown", "concurrency", "limits", "max_age")
            assert old or value["description"], (name, key)


def test_rules_that_mean_the_same_have_the_same_hash(tmp_path: Path) -> None:
    one = only_rule(tmp_path, notice("one"))
    again = only_rule(tmp_path, "# a comment\n" + notice("one").replace("    do:", "    description: said\n    do:"))
    other = only_rule(tmp_path, "vars: { x: 1 }\n" + notice("one"))
    assert one.hash == again.hash
    assert one.hash != other.hash
    sooner = only_rule(tmp_path, notice("one").replace("    do:", "    within: 5m\n    do:"))
    assert (sooner.within, sooner.hash) == (timedelta(minutes=5), one.hash)
    assert RuleSet([one]).hash == RuleSet([again]).hash != RuleSet([other]).hash


class Either(BaseModel):
    one: int | list[int]


def test_of_the_branches_of_a_union_one_complains() -> None:
    findings = Findings("x")
    document = read(b"one: x", findings)
    assert document.root
    assert validated(Either, document.root.plain(), InNode(document.root), findings) is None
    assert [problem.code for problem in findings.problems] == ["bad-value"]


def test_every_code_that_the_loader_uses_is_declared() -> None:
    used = set()
    for file in Path(finding.__file__).parent.glob("*.py"):
        for code in finding.CODES:
            if f'"{code}"' in file.read_text("utf-8").replace("CODES: Mapping", ""):
                used.add(code)
    assert used == set(finding.CODES)


TOKENS = st.sampled_from(
    ["rules:", "- id: one", "on: instance.failed", "if: ", "do:", "- notify:", "{", "}", "[", "]", "{{ ", " }}", "!",
     "&a", "*a", "#", ": ", "? ", "|", ">", "'", '"', "\t", "\n", "\n  ", "\n    ", "event.id", "steps.x.outcome",
     "vars:", "---", "%", "@", "`", "\\", "é", "\u2028", "\x00", "\x85", "\r", "<<: *a", "!!binary x", "call:", "with:",
     "1h", "null"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(TOKENS, max_size=30).map("".join)))
def test_no_text_makes_the_loader_raise(text: str) -> None:
    _load_bytes(text.encode("utf-8", errors="surrogatepass"))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80))
def test_no_bytes_make_the_loader_raise(data: bytes) -> None:
    _load_bytes(data)


PARTS = """\
vars: { team: x }
defaults: { mode: armed, cooldown: 1h, limits: { firings: { max: 2, per: 1h } }, on_error: continue, active: nights }
calendars:
  nights: { hours: [22:00-08:00], days: workdays, zone: Asia/Shanghai }
blueprints:
  - id: tell
    inputs:
      prefix: { type: string }
      times: { type: int, default: 2, min: 1 }
      pause: { type: duration, default: 5m, choices: [5m, 10m] }
    on: instance.failed
    if: event.node.name.startsWith(inputs.prefix)
    for: "{{ inputs.pause }}"
    do: [ { notify: { to: oncall, message: "{{ inputs.times }} times" } } ]
    tests: [ { name: x, with: { prefix: a }, steps: [ { expect: { actions: [] } } ] } ]
rules:
  - id: one
    use: tell
    with: { prefix: dws_ }
    active: [nights, { days: mon-fri }]
"""


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_change_to_a_good_file_makes_the_loader_raise(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([EXAMPLE, PARTS]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 12))
        put = data.draw(st.one_of(st.just(""), TOKENS, st.text(string.printable, max_size=4)))
        text = text[:at] + put + text[at + cut :]
    _load_bytes(text.encode())


def _load_bytes(data: bytes) -> None:
    """Loads the bytes as a rule file; every problem must have a place within the file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "one.rules.yaml")
        file.write_bytes(data)
        found = load_rules([file], SETTING)
    lines = data.decode("utf-8", errors="replace").replace("\r", "\n").split("\n")
    for problem in found.problems:
        assert 1 <= problem.line <= len(lines) + 1
        assert 1 <= problem.column <= max(map(len, lines)) + 2
        assert problem.code in finding.CODES


@pytest.mark.parametrize(("age", "codes"), [("10m", []), ("599s", ["never-fires"])])
def test_what_is_just_young_enough_after_its_wait_may_fire(tmp_path: Path, age: str, codes: list[str]) -> None:
    waits = "    for: 10m\n    max_age: " + age + "\n    do:"
    found = loaded(tmp_path, notice("one").replace("    do:", waits))
    assert [each.code for each in found.problems] == codes


def test_a_schedule_that_a_comma_cuts_wants_quotes(tmp_path: Path) -> None:
    (problem,) = loaded(tmp_path, notice("one", on="{ schedule: 0 6,18 * * * }")).errors[:1]
    assert "a comma ends a value inside of { }, put it in quotes" in problem.message
