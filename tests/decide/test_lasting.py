"""`on: { event: instance.stuck, ... }`: what is read of it, what a rule keeps, which events are its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from happenings import FAILED, NOW
from phinops.decide.language import Language
from phinops.decide.lasting import TooLong
from phinops.decide.load import load_rules
from phinops.decide.match import match
from phinops.decide.model import RuleModel
from phinops.decide.rule import Rule, RuleSet
from phinops.event import Event, Lasting
from settings import SETTING, SHANGHAI, only_rule

TEXT = """
rules:
  - id: one
    on: {on}
    if: event.node.name != "" && event.lasting.after_s > 60 && now - event.lasting.since > duration("1m")
    do: [ {{ notify: {{ to: oncall, message: "{{{{ event.lasting.state }}}} since {{{{ event.lasting.since }}}}" }} }} ]
"""
STUCK = "{ event: instance.stuck, state: RUNNING, after: 1h30m }"
OVERDUE = "{ event: instance.overdue, after: 30m }"


@pytest.mark.parametrize(
    ("on", "types", "lasting"),
    [
        (STUCK, ("instance.stuck",), TooLong("RUNNING", timedelta(minutes=90))),
        (OVERDUE, ("instance.overdue",), TooLong("", timedelta(minutes=30))),
    ],
)
def test_a_rule_keeps_what_it_calls_too_long(tmp_path: Path, on: str, types: tuple[str, ...], lasting: TooLong) -> None:
    rule = only_rule(tmp_path, TEXT.format(on=on))
    assert (rule.types, rule.lasting) == (types, lasting)
    again = Rule.from_json(rule.to_json())
    assert (again.types, again.lasting, again.hash) == (types, lasting, rule.hash)


def test_a_rule_without_it_has_the_hash_that_it_always_had(tmp_path: Path) -> None:
    rule = only_rule(tmp_path, "rules: [{id: r, on: instance.failed, do: [{notify: {to: oncall, message: x}}]}]")
    assert "lasting" not in rule.to_json()
    assert Rule.from_json(rule.to_json()).lasting is None


def test_the_rules_that_are_not_off_ask_for_their_times(tmp_path: Path) -> None:
    stuck = only_rule(tmp_path, TEXT.format(on=STUCK))
    overdue = replace(only_rule(tmp_path, TEXT.format(on=OVERDUE)), id="two")
    off = replace(stuck, id="three", mode="off", lasting=TooLong("BLOCKED", timedelta(hours=1)))
    rules = RuleSet([stuck, overdue, off, replace(stuck, id="four")])
    assert rules.lasting == {("instance.stuck", "RUNNING", 5400), ("instance.overdue", "", 1800)}
    assert {"instance.stuck", "instance.overdue"} <= rules.event_types
    assert rules.cares("instance.") is not None
    assert RuleSet([off]).lasting == frozenset()


def test_a_rule_looks_at_events_of_its_own_state_and_time_and_at_those_that_do_not_say(tmp_path: Path) -> None:
    rules = RuleSet([
        replace(only_rule(tmp_path, TEXT.format(on=on)), id=name, condition="")
        for name, on in {"stuck": STUCK, "longer": STUCK.replace("1h30m", "2h"), "overdue": OVERDUE}.items()
    ])  # fmt: skip

    def looks(kind: str, lasting: Lasting | None) -> list[str]:
        event: Event = replace(FAILED, type=kind, lasting=lasting)
        return [each.rule.id for each in match(Language(SHANGHAI), rules, event, NOW)]

    assert looks("instance.stuck", Lasting("RUNNING", 5400, NOW)) == ["stuck"]
    assert looks("instance.stuck", Lasting("RUNNING", 7200, NOW)) == ["longer"]
    assert looks("instance.stuck", Lasting("BLOCKED", 7200, NOW)) == []
    assert looks("instance.stuck", None) == ["stuck", "longer"]
    assert looks("instance.overdue", Lasting("BLOCKED", 1800, NOW)) == ["overdue"]
    assert looks("instance.overdue", Lasting("WAITING", 3600, NOW)) == []


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ("instance.stuck", "must say how long is too long: `on: { event: instance.stuck, state: RUNNING, after: 2h }`"),
        ("[instance.overdue]", "must say how long is too long: `on: { event: instance.overdue, after: 30m }`"),
        ("{ event: instance.stuck, after: 1h }", "«state» is missing: write { event: instance.stuck, state: RUNNING,"),
        (
            "{ event: instance.stuck, state: running, after: 1h }",
            "«state» cannot be «running»: did you mean «RUNNING»?",
        ),
        ("{ event: instance.stuck, state: SUCCESS, after: 1h }", "it is one of WAITING, BLOCKED, RUNNING, FAILED"),
        ("{ event: instance.overdue }", "«after» is missing: write { event: instance.overdue, after: 30m }"),
        ("{ event: instance.overdue, afer: 1h }", "«afer» is not a key of instance.overdue: did you mean «after»?"),
        ("{ event: instance.overdue, after: 0.5s }", "«after» is in whole seconds, at least one, not 500ms"),
        ("{ event: instance.stuk, after: 1h }", "«event» cannot be that with «after»: did you mean «instance.stuck»?"),
        ("{ event: [a], after: 1h, state: FAILED }", "with «state» and «after»: they belong to instance.overdue and"),
        ("{ after: 1h }", "«event» is missing: `on: { event: instance.stuck,"),
        ("instance.overdu", "there is no event «instance.overdu»: did you mean «instance.overdue»?"),
    ],
)
def test_what_is_wrong_is_told_with_a_cure(tmp_path: Path, on: str, message: str) -> None:
    file = tmp_path / "x.rules.yaml"
    file.write_text(TEXT.format(on=on))
    assert message in "\n".join(map(str, load_rules([file], SETTING).errors))


def test_editors_are_told_both_forms() -> None:
    forms = RuleModel.model_json_schema()["properties"]["on"]["anyOf"]
    named = [form for form in forms if "const" in form.get("properties", {}).get("event", {})]
    lasting = {form["properties"]["event"]["const"]: form for form in named}
    assert set(lasting) >= {"instance.overdue", "instance.stuck"}
    assert lasting["instance.stuck"]["required"] == ["event", "after", "state"]
    assert lasting["instance.stuck"]["properties"]["state"]["enum"] == ["WAITING", "BLOCKED", "RUNNING", "FAILED"]
    assert "state" not in lasting["instance.overdue"]["properties"]
