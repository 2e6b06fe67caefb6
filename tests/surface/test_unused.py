"""Notifiers that no rule needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from notifiers import CONFIG, RULE
from phinops.config import load_config
from phinops.decide.load import load_rules
from phinops.problem import Problem
from phinops.rulebook import setting_of
from phinops.surface.unused import covers, unused_notifiers


def unused(folder: Path, to: str, more: str = "") -> list[Problem]:
    """What is said of the config where the one rule tells `to`."""
    file = folder / "phinops.toml"
    file.write_text(CONFIG)
    (folder / "rules").mkdir()
    (folder / "rules" / "a.rules.yaml").write_text(RULE.replace("TO", to) + more)
    config = load_config(file)
    loaded = load_rules(config.rules.paths, setting_of(config))
    return list(unused_notifiers(config, loaded, lambda key: (str(file), len(key), 1)))


def test_a_notifier_that_no_rule_names_is_told(tmp_path: Path) -> None:
    (problem,) = unused(tmp_path, "oncall")
    assert (problem.code, problem.severity, problem.line) == ("unused-notifier", "warning", 2)
    assert problem.message.startswith("no rule tells «night» anything")


@pytest.mark.parametrize("to", ["[oncall, night]", '"{{ vars.who }}"'])
def test_one_that_is_named_or_may_be_is_not(tmp_path: Path, to: str) -> None:
    assert unused(tmp_path, to, "vars: { who: night }\n") == []


def test_a_question_to_everybody_needs_them_all_and_one_to_some_names_them(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "some").mkdir()
    rule = "  - id: two\n    on: instance.failed\n    mode: armed\n    do: [ { approve: HOW }, { pause_node: {} } ]\n"
    assert unused(tmp_path / "all", "oncall", rule.replace("HOW", "{ expires: 1h }")) == []
    assert unused(tmp_path / "some", "oncall", rule.replace("HOW", "{ to: night }")) == []


def test_nothing_is_told_while_a_rule_is_left_out(tmp_path: Path) -> None:
    assert unused(tmp_path, "oncall", "  - id: two\n    on: nothing\n    do: []\n") == []


def test_only_all_rules_of_the_config_are_enough(tmp_path: Path) -> None:
    (tmp_path / "phinops.toml").write_text(CONFIG)
    config = load_config(tmp_path / "phinops.toml")
    assert covers([tmp_path], config)
    assert covers([tmp_path / "rules"], config)
    assert not covers([tmp_path / "rules" / "a.rules.yaml"], config)
    assert not covers([], config)
