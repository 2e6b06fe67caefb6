"""Blueprints: what becomes of them where they are used, and whose mistake a mistake is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from happenings import FAILED, NOW
from phinops.decide.blueprint import Blueprint, make_rule
from phinops.decide.calendar import Calendar
from phinops.decide.language import Language
from phinops.decide.load import Loaded, load_rules, with_last_good
from phinops.decide.match import judge
from phinops.decide.rule import Limits, Rule, Window
from phinops.decide.scope import Scope
from settings import SETTING, SHANGHAI, loaded, only_rule

LANGUAGE = Language(SHANGHAI)
MINUTE = timedelta(minutes=1)
TELL = """\
vars: { team: orders }
calendars:
  nights: { hours: 22:00-08:00 }
blueprints:
  - id: tell
    description: Tell of what fails often.
    inputs:
      prefix: { type: string, description: what names of nodes begin with }
      times: { type: int, default: 2, min: 1, max: 10 }
      ratio: { type: float, default: 1 }
      who: { type: notifier, default: oncall }
      pause: { type: duration, default: 5m, max: 1h }
      owners: { type: list, default: [] }
      loud: { type: bool, default: false }
      level: { type: string, default: info, choices: [info, critical] }
    on: "{{ inputs.event }}"
    if: |
      event.node.name.startsWith(inputs.prefix) && event.instance.attempts <= inputs.times && inputs.ratio > 0.5
      && (inputs.loud || size(inputs.owners) == 0 || event.node.owners.exists(o, o.name in inputs.owners))
      && inputs.pause < duration("2h")
    for: "{{ inputs.pause }}"
    mode: armed
    cooldown: 10m
    active: nights
    limits: { firings: { max: "{{ inputs.times }}", per: 1h }, downstream: { max: 3 } }
    do:
      - id: tell
        notify:
          to: "{{ inputs.who }}"
          severity: "{{ inputs.level }}"
          message: "{{ vars.team }}: more than {{ inputs.times }} within {{ inputs.pause }}"
""".replace("    on:", "      event: { type: string, default: instance.failed }\n    on:")
USE = "rules:\n  - id: one\n    use: tell\n    with: { prefix: dws_ }\n"


def two(folder: Path, first: str, second: str) -> Loaded:
    """What the loader makes of two files, read in this order."""
    (folder / "a.rules.yaml").write_text(first, encoding="utf-8")
    (folder / "b.rules.yaml").write_text(second, encoding="utf-8")
    return load_rules([folder], SETTING)


def used(folder: Path, more: str = "", with_: str = "{ prefix: dws_ }", before: str = "") -> Rule:
    lines = "".join(f"    {line}\n" for line in more.splitlines())
    return only_rule(folder, f"{TELL}{before}rules:\n  - id: one\n    use: tell\n    with: {with_}\n{lines}")


def test_a_rule_is_the_blueprint_with_its_values(tmp_path: Path) -> None:
    rule = used(tmp_path)
    assert (rule.id, rule.types, rule.description) == ("one", ("instance.failed",), "Tell of what fails often.")
    assert (rule.hold, rule.mode, rule.cooldown) == (5 * MINUTE, "armed", 10 * MINUTE)
    assert rule.limits == Limits(firings=Window(2, 60 * MINUTE), downstream=3)
    assert rule.steps[0].params["to"] == "oncall"
    assert rule.steps[0].params["severity"] == "info"
    assert rule.active[0].name == "nights"
    assert rule.inputs == {
        "prefix": "dws_", "times": 2, "ratio": 1.0, "who": "oncall", "pause": 5 * MINUTE, "owners": [], "loud": False,
        "level": "info", "event": "instance.failed",
    }  # fmt: skip
    assert rule.line == TELL.count("\n") + 2


def test_values_are_put_wherever_they_are_asked_for(tmp_path: Path) -> None:
    rule = used(tmp_path, with_="{ prefix: a, times: 3, pause: 90s, level: critical, event: instance.blocked }")
    assert (rule.types, rule.hold) == (("instance.blocked",), timedelta(seconds=90))
    assert rule.limits.firings == Window(3, 60 * MINUTE)
    assert rule.steps[0].params["severity"] == "critical"


def test_conditions_and_texts_speak_of_the_inputs(tmp_path: Path) -> None:
    rule = used(tmp_path, with_="{ prefix: dws_, times: 1, owners: [wang] }")
    assert judge(LANGUAGE, rule, FAILED, NOW).verdict.holds
    for with_ in ("{ prefix: ads_ }", "{ prefix: dws_, owners: [zhao] }", "{ prefix: dws_, ratio: 0.5 }"):
        assert not judge(LANGUAGE, used(tmp_path, with_=with_), FAILED, NOW).verdict.holds
    text = LANGUAGE.render(rule.steps[0].params["message"], Scope(FAILED, NOW, vars=rule.vars, inputs=rule.inputs))
    assert text == "orders: more than 1 within 5m"


def test_two_rules_of_one_blueprint_go_by_their_own_values(tmp_path: Path) -> None:
    second = "  - id: two\n    use: tell\n    with: { prefix: ads_ }\n"
    one, other = loaded(tmp_path, TELL + USE + second).rules
    assert judge(LANGUAGE, one, FAILED, NOW).verdict.holds
    assert not judge(LANGUAGE, other, FAILED, NOW).verdict.holds


def test_the_inputs_are_part_of_what_a_rule_means(tmp_path: Path) -> None:
    one, other = used(tmp_path), used(tmp_path, with_="{ prefix: ads_ }")
    assert one.hash != other.hash
    again = Rule.from_json(one.to_json())
    assert (again.inputs, again.hash, again.to_json()) == (one.inputs, one.hash, one.to_json())
    plain = only_rule(
        tmp_path, "rules:\n  - id: one\n    on: quota.low\n    do: [ { notify: { to: oncall, message: x } } ]\n"
    )
    assert "inputs" not in plain.to_json()


def test_a_rule_s_own_word_stands_over_the_blueprint_s(tmp_path: Path) -> None:
    more = "description: mine\nmode: shadow\ncooldown: 1h\nconcurrency: single\nmax_age: 2h\nwithin: 1m\n"
    rule = used(tmp_path, more + "active: { days: sun }\nlimits: { downstream: { max: 9 } }")
    assert (rule.description, rule.mode, rule.cooldown) == ("mine", "shadow", 60 * MINUTE)
    assert (rule.concurrency, rule.max_age, rule.within) == ("single", 120 * MINUTE, MINUTE)
    assert rule.active == (Calendar("Asia/Shanghai", days=("sun",)),)
    assert rule.limits == Limits(firings=Window(2, 60 * MINUTE), downstream=9)


def test_the_defaults_of_a_rule_s_file_stand_between_the_two(tmp_path: Path) -> None:
    defaults = (
        "defaults: { mode: shadow, cooldown: 2h, limits: { targets: { max: 1, per: 1h } }, on_error: continue }\n"
    )
    found = two(tmp_path, TELL, f"{defaults}{USE}    cooldown: 3h\n")
    (rule,) = found.rules
    assert found.problems == ()
    assert (rule.mode, rule.cooldown) == ("shadow", 180 * MINUTE)
    assert rule.limits == Limits(Window(2, 60 * MINUTE), Window(1, 60 * MINUTE), 3)
    assert rule.steps[0].on_error == "stop"  # what a blueprint does is its own


def test_calendars_are_those_of_the_file_in_which_they_are_named(tmp_path: Path) -> None:
    own = "calendars: { nights: { hours: 20:00-06:00 } }\n"
    (rule,) = two(tmp_path, TELL, own + USE).rules
    assert str(rule.active[0]) == "nights (22:00-08:00)"
    (rule,) = two(tmp_path, TELL, own + USE + "    active: nights\n").rules
    assert str(rule.active[0]) == "nights (20:00-06:00)"
    broken = two(tmp_path, TELL, own.replace("06:00", "6") + USE + "    active: nights\n")
    assert [problem.code for problem in broken.problems] == ["bad-calendar"]
    assert "its calendar «nights» has a mistake" in broken.quarantined[0].reason


@pytest.mark.parametrize("first", [True, False])
def test_a_blueprint_is_found_whatever_the_order_of_the_files(tmp_path: Path, first: bool) -> None:
    found = two(tmp_path, *((TELL, USE) if first else (USE, TELL)))
    assert found.problems == ()
    (rule,) = found.rules
    assert (Path(rule.file).name, rule.line) == ("b.rules.yaml" if first else "a.rules.yaml", 2)
    assert rule.vars == {"team": "orders"}
    assert [each.id for each in found.blueprints] == ["tell"]


def test_of_two_blueprints_with_one_id_the_first_stays(tmp_path: Path) -> None:
    found = two(tmp_path, TELL + USE, TELL)
    (problem,) = found.problems
    assert (Path(problem.file).name, problem.line, problem.code) == ("b.rules.yaml", 5, "duplicate-id")
    assert [each.path for each in found.blueprints] == [str(tmp_path / "a.rules.yaml")]
    assert len(found.rules) == 1


def test_a_mistake_in_a_blueprint_is_told_once_and_costs_the_rules_that_use_it(tmp_path: Path) -> None:
    text = TELL.replace("attempts <= inputs.times", "attempts <= inputs.prefix")
    own = "  - id: two\n    on: quota.low\n    do: [ { notify: { to: oncall, message: x } } ]\n"
    found = two(tmp_path, text + "rules:\n" + own, USE)
    (problem,) = found.problems
    assert (Path(problem.file).name, problem.code) == ("a.rules.yaml", "expression-type")
    assert [rule.id for rule in found.rules] == ["two"]
    (out,) = found.quarantined
    assert (out.id, Path(out.file).name, out.line) == ("one", "b.rules.yaml", 2)
    assert out.reason.startswith("its blueprint «tell» has a mistake: ")
    assert "expression-type" in out.reason


def test_the_last_good_version_stays_while_a_blueprint_is_broken(tmp_path: Path) -> None:
    before = two(tmp_path, TELL, USE).rules
    after = two(tmp_path, TELL.replace("inputs.ratio >", "inputs.ratoi >"), USE)
    assert len(after.rules) == 0
    assert with_last_good(after, before).hash == before.hash


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("orders }", "orders }\nvarz: 1"), "something is wrong with its file as a whole"),
        (("nights: { hours: 22:00-08:00 }", "nights: { hours: 22 }"), "its calendar «nights» has a mistake"),
        (('    on: "{{ inputs.event }}"', "    on: {{ inputs.event }}"), "yaml-quotes"),
    ],
)
def test_what_is_wrong_around_a_blueprint_is_wrong_with_it(
    tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    found = two(tmp_path, TELL.replace(*change), USE)
    assert len(found.problems) == 1
    assert reason in found.quarantined[-1].reason
    assert len(found.rules) == 0


def test_a_mistake_in_a_default_costs_a_rule_with_a_blueprint_too(tmp_path: Path) -> None:
    found = two(tmp_path, TELL, "defaults: { cooldown: 1 }\n" + USE)
    assert [problem.code for problem in found.problems] == ["bad-value"]
    assert "cooldown" in found.quarantined[0].reason


def test_a_mistake_that_follows_from_a_value_is_told_at_the_value(tmp_path: Path) -> None:
    found = loaded(tmp_path, TELL + USE.replace("dws_ }", "dws_, event: instance.fialed }"))
    (problem,) = found.problems
    assert (problem.line, problem.column, problem.code) == (TELL.count("\n") + 4, 34, "unknown-event")


def test_a_blueprint_that_does_not_go_with_a_value_says_so_at_its_use(tmp_path: Path) -> None:
    found = loaded(tmp_path, TELL + USE.replace("dws_ }", "dws_, event: quota.low }"))
    assert {(each.line, each.column, each.code) for each in found.errors} == {
        (TELL.count("\n") + 3, 10, "expression-name"),
    }
    assert all(each.message.startswith("blueprint «tell»: «if»: quota.low has no «") for each in found.errors)


def test_a_text_may_be_a_whole_condition_or_message(tmp_path: Path) -> None:
    text = """\
blueprints:
  - id: tell
    inputs: { when: { type: string }, what: { type: string }, to: { type: list } }
    on: instance.failed
    if: "{{ inputs.when }}"
    do: [ { notify: { to: "{{ inputs.to }}", message: "{{ inputs.what }}" } } ]
rules:
  - id: one
    use: tell
    with: { when: event.instance.attempts > 3, what: "{{ event.node.name }} fails", to: [oncall] }
"""
    rule = only_rule(tmp_path, text)
    assert rule.condition == "event.instance.attempts > 3"
    assert rule.steps[0].params == {"to": ["oncall"], "message": "{{ event.node.name }} fails"}
    wrong = loaded(tmp_path, text.replace("attempts", "atempts").replace("node.name }}", "nod.name }}"))
    assert [(each.line, each.column, each.code) for each in wrong.problems] == [
        (10, 19, "expression-name"),
        (10, 53, "template-name"),
    ]


def test_a_rule_that_writes_must_say_its_mode_where_its_blueprint_does_not(tmp_path: Path) -> None:
    text = "blueprints:\n  - id: again\n    on: instance.failed\n    do: [ { rerun_instance: {} } ]\n"
    use = "rules:\n  - id: one\n    use: again\n"
    assert loaded(tmp_path, text).problems == ()
    assert [each.code for each in loaded(tmp_path, text + use).problems] == ["mode-missing"]
    assert only_rule(tmp_path, text + use + "    mode: armed\n").mode == "armed"


@pytest.mark.parametrize(
    ("with_", "said"),
    [
        ("{}", "«prefix» is missing: what names of nodes begin with"),
        ("{ prefix: a, tims: 3 }", "the blueprint has no input «tims»: did you mean «times»?"),
        ("{ prefix: a, zzz: 3 }", "the blueprint has no input «zzz»: it has event, level, "),
        ("{ prefix: 7 }", "«prefix» must be text, not «7»: put it in quotes"),
        ("{ prefix: [] }", "«prefix» must be text, not a collection"),
        ("{ prefix: ~ }", "«prefix» has no value"),
        ("{ prefix: a, times: 2.5 }", "«times» must be a whole number, not «2.5»"),
        ("{ prefix: a, times: true }", "«times» must be a whole number, not «true»"),
        ("{ prefix: a, times: 0 }", "«times» must be at least 1, not 0"),
        ("{ prefix: a, times: 9999999999999999999 }", "«times» must be a whole number of at most 9223372036854775807"),
        ("{ prefix: a, ratio: x }", "«ratio» must be a number, not «x»"),
        ("{ prefix: a, loud: 1 }", "«loud» must be true or false, not «1»"),
        ("{ prefix: a, pause: 5 }", "«pause» must be a duration such as 90s, 15m or 2d, not «5»"),
        ("{ prefix: a, pause: 61m }", "«pause» must be at most 1h, not 61m"),
        ("{ prefix: a, pause: 99999999999d }", "«pause» «99999999999d» is longer than any calendar"),
        ("{ prefix: a, owners: li }", "«owners» must be a list of texts, not «li»"),
        ("{ prefix: a, owners: [1] }", "«owners» must be a list of texts, and «1» is none"),
        ("{ prefix: a, who: oncal }", "«who» names no notifier of the config, «oncal»: did you mean «oncall»?"),
        ("{ prefix: a, level: warning }", "«level» cannot be «warning»: it is one of info, critical"),
        ("{ prefix: a, level: critcal }", "«level» cannot be «critcal»: did you mean «critical»?"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_cure(tmp_path: Path, with_: str, said: str) -> None:
    found = loaded(tmp_path, TELL + USE.replace("{ prefix: dws_ }", with_))
    (problem,) = found.problems
    assert (problem.code, problem.line) in {("blueprint-input", TELL.count("\n") + line) for line in (3, 4)}
    assert said in problem.message
    assert [each.id for each in found.quarantined] == ["one"]


def test_values_and_the_blueprint_are_both_looked_at(tmp_path: Path) -> None:
    found = loaded(tmp_path, TELL.replace("inputs.ratio >", "inputs.ratoi >") + USE.replace("dws_", "7"))
    assert [each.code for each in found.problems] == ["expression-name", "blueprint-input"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{ type: int, default: 2", "{ type: int, default: x", "«default» must be a whole number, not «x»"),
        ("{ type: int, default: 2", "{ type: int, default: 0", "«default» must be at least 1, not 0"),
        ("{ type: int, default: 2", "{ type: int, default: ~", "«default» has no value"),
        ("min: 1", "min: x", "«min» must be a whole number, not «x»"),
        (
            "{ type: bool, default: false",
            "{ type: bool, max: true, default: false",
            "«max» is for int, float, duration",
        ),
        ("[info, critical]", "[info, 3]", "«choices» must be text, not «3»: put it in quotes"),
        ("default: oncall", "default: oncal", "names no notifier of the config, «oncal»"),
        ("{ type: bool, default: false }", "bool", "«loud» must be a mapping with its type"),
        ("{ type: bool, default: false }", "{ type: boolean }", "«type» cannot be «boolean»: did you mean «bool»?"),
        ("{ type: bool, default: false }", "{ typ: bool }", "did you mean «type»?"),
        ("    description: Tell of what fails often.", "    tests: {}", "«tests» must be a list of tests"),
        ("    description: Tell of what fails often.", "    descripton: x", "«descripton» is not a key"),
        ("blueprints:\n  - id: tell", "blueprints:\n  - id: te ll", "must be letters, digits"),
        ("blueprints:", "blueprints:\n  - x", "a blueprint is a mapping that begins with `id`"),
        ("loud: {", "in: {", "no word of CEL"),
        (
            "      && inputs.pause",
            "      && inputs == 1 && inputs.pause",
            "«inputs» is read by name: there is inputs.event",
        ),
    ],
)
def test_a_mistake_in_a_blueprint_is_told_whether_it_is_used_or_not(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in TELL
    found = loaded(tmp_path, TELL.replace(old, new).replace("inputs.loud", "true" if "in: {" in new else "inputs.loud"))
    assert said in found.problems[0].message
    assert len(found.problems) == 1


def test_inputs_that_are_no_mapping_are_a_mistake(tmp_path: Path) -> None:
    text = "blueprints:\n  - id: x\n    inputs: [a]\n    on: quota.low\n"
    text += "    do: [ { notify: { to: oncall, message: x } } ]\n"
    assert [each.code for each in loaded(tmp_path, text).problems] == ["bad-value"]
    assert loaded(tmp_path, text.replace("[a]", "")).problems == ()
    assert (
        loaded(
            tmp_path, text.replace("[a]", "{ a: { type: float, min: 2, max: 3 }, b: { type: int, max: 0 } }")
        ).problems
        == ()
    )


def test_a_blueprint_alone_makes_a_file(tmp_path: Path) -> None:
    found = loaded(tmp_path, TELL)
    assert (found.problems, len(found.rules), found.broken_files) == ((), 0, frozenset())


def test_a_rule_has_no_inputs(tmp_path: Path) -> None:
    text = (
        "rules:\n  - id: one\n    on: quota.low\n    do: [ { notify: { to: oncall, message: 'x {{ inputs.y }}' } } ]\n"
    )
    (problem,) = loaded(tmp_path, text).problems
    assert problem.message == "a rule has no «inputs»: a blueprint has"


TESTED = (
    TELL
    + """\
    tests:
      - name: what fails is told
        with: { prefix: dws_, times: 3 }
        steps:
          - event: { type: instance.failed, instance: { id: t_1, attempts: 1 }, node: { name: dws_a } }
          - expect: { notifications: [ { to: oncall } ] }
"""
)


def only_blueprint(folder: Path, text: str = TESTED) -> Blueprint:
    found = loaded(folder, text)
    assert [str(problem) for problem in found.problems] == []
    (blueprint,) = found.blueprints
    return blueprint


def made(blueprint: Blueprint, values: Any) -> Rule:
    return make_rule(blueprint, values, SETTING, LANGUAGE)


def test_a_blueprint_carries_its_tests_and_becomes_a_rule_for_them(tmp_path: Path) -> None:
    blueprint = only_blueprint(tmp_path)
    (test,) = blueprint.tests
    assert (test.name, test.values, test.line) == ("what fails is told", {"prefix": "dws_", "times": 3}, 34)
    assert [next(iter(step)) for step in test.node.value["steps"].plain()] == ["event", "expect"]
    rule = made(blueprint, test.values)
    assert (rule.id, rule.mode, rule.inputs["times"], rule.hold) == ("tell", "armed", 3, 5 * MINUTE)
    assert (rule.line, rule.description) == (5, "Tell of what fails often.")
    used = only_rule(tmp_path, TELL + USE.replace("dws_", "dws_, times: 3"))
    assert replace(used, id="tell", line=5).to_json() == rule.to_json()
    listed = made(blueprint, {"prefix": "x", "owners": ["li"]})
    assert listed.inputs["owners"] == ["li"]


def test_for_its_tests_a_blueprint_without_a_mode_is_armed(tmp_path: Path) -> None:
    text = "blueprints:\n  - id: again\n    on: instance.failed\n    do: [ { rerun_instance: {} } ]\n"
    assert made(only_blueprint(tmp_path, text), {}).mode == "armed"


def test_a_blueprint_that_cannot_become_a_rule_says_why(tmp_path: Path) -> None:
    blueprint = only_blueprint(tmp_path)
    with pytest.raises(ValueError, match="«prefix» is missing"):
        made(blueprint, {})
    with pytest.raises(ValueError, match="there is no event «nothing»"):
        made(blueprint, {"prefix": "x", "event": "nothing"})
    (broken,) = loaded(tmp_path, TELL.replace("inputs.ratio >", "inputs.x >")).blueprints
    with pytest.raises(ValueError, match="the blueprint has no input «x»"):
        made(broken, {"prefix": "x"})


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("{ prefix: dws_, times: 3 }\n        steps", "[]\n        steps", "bad-value"),
        ("      - name: what fails is told", "      - x\n      - name: what fails is told", "bad-value"),
        ("        with: { prefix: dws_, times", "        rules: x\n        with: { prefix: dws_, times", "unknown-key"),
        ("        with: { prefix: dws_, times", "        wit: 1\n        with: { prefix: dws_, times", "unknown-key"),
        ("name: what fails is told", "name: 3", "bad-value"),
        ("- expect: {", "- expects: {", "unknown-key"),
    ],
)
def test_the_form_of_a_test_is_that_of_a_test_file(tmp_path: Path, old: str, new: str, code: str) -> None:
    assert old in TESTED
    found = loaded(tmp_path, TESTED.replace(old, new))
    assert found.problems[0].code == code
    assert {problem.line for problem in found.problems} <= set(range(33, 40))


def test_a_mistake_in_a_test_is_told_and_leaves_the_blueprint_alone(tmp_path: Path) -> None:
    found = loaded(tmp_path, TESTED.replace("times: 3 }", "times: x }").replace("instance: {", "instanc: {") + USE)
    assert [each.code for each in found.problems] == ["blueprint-input", "test-event"]
    assert (found.blueprints[0].tests, len(found.rules)) == ((), 1)
