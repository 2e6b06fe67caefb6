"""The setting that rule files of tests are checked against: the real kinds of steps and a small config."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from phinops.decide.load import Loaded, load_rules
from phinops.decide.rule import Rule, Setting
from phinops.execute.steps.table import STEPS

SHANGHAI = ZoneInfo("Asia/Shanghai")

SETTING = Setting(STEPS, SHANGHAI, edition="agile", notifiers=frozenset({"oncall"}), hooks=frozenset({"deploy"}))


def loaded(folder: Path, text: str, setting: Setting = SETTING) -> Loaded:
    """What the loader makes of one rule file with this text."""
    file = folder / "one.rules.yaml"
    file.write_text(text, encoding="utf-8")
    return load_rules([file], setting)


def only_rule(folder: Path, text: str, setting: Setting = SETTING) -> Rule:
    """The one rule of a file that has no mistake; warnings are none."""
    found = loaded(folder, text, setting)
    assert [str(problem) for problem in found.errors] == []
    (rule,) = found.rules
    return rule
