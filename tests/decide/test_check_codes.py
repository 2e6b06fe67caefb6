"""Every example in docs/check-codes.md gives the code that it stands under."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from phinops.decide.findings import CODES
from phinops.decide.load import load_rules
from settings import SETTING

PAGE = (Path(__file__).parents[2] / "docs" / "check-codes.md").read_text("utf-8")
EXAMPLES = dict(re.findall(r"^## ([a-z-]+)\n.*?^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))

ELSEWHERE: Mapping[str, str] = {
    "file-unreadable": "words for a file",
    "none-found": "a command",
    "not-yet": "a config: tests/test_config.py",
    "yaml-too-big": "words for a file",
    "days-unknown": "a matter of the date: test_calendarfile.py",
    "protected-target": "a config: tests/surface/test_protecting.py",
    "unused-notifier": "a config: tests/surface/test_unused.py",
    "quota-polls": "needs a config: tests/demand",
    "quota-schedule": "needs a config: tests/demand",
    "quota-together": "needs a config: tests/demand",
    "within-unmet": "needs a config: tests/demand",
}
"""Codes whose example is no part of a rule or test file, or means nothing without a config."""

RULE = {"id": "one", "on": "instance.failed", "do": "[ { notify: { to: oncall, message: x } } ]"}
BLUEPRINT = """\
blueprints:
  - id: some
    inputs: { prefix: { type: string, default: x }, times: { type: int, default: 2 } }
    on: instance.failed
    do: [ { notify: { to: oncall, message: x } } ]
"""
TEST = {"name": "one", "rules": "one.rules.yaml", "steps": "[ { expect: { actions: [] } } ]"}


def _file(code: str, example: str) -> tuple[str, str]:
    """The name and the text of a file that is right but for the example."""
    if code == "file-shape" or example.startswith("rules: ["):
        return "one.rules.yaml", example
    if code.startswith("test-"):
        step = f"steps: [ {example.strip()}, {{ expect: {{ actions: [] }} }} ]"
        return "one.test.yaml", "tests:\n" + _item(TEST, step if "event:" in example else example)
    if example.startswith("- id:"):
        whole = "do:" in example
        rules = [example] if whole else [_item(RULE, line[2:]) for line in example.splitlines()]
        return "one.rules.yaml", "rules:\n" + "".join(rules)
    if example.startswith(("use:", "with:")):
        with_blueprint = BLUEPRINT if example.startswith("with:") else ""
        use = "use: some\n" if with_blueprint else ""
        return "one.rules.yaml", with_blueprint + "rules:\n" + _item({"id": "one"}, use + example)
    return "one.rules.yaml", "rules:\n" + _item(RULE, _keys(code, example))


def _keys(code: str, example: str) -> str:
    """The example as keys of a rule."""
    if example.startswith("- ") or code == "not-yet":
        return "mode: armed\ndo:\n" + _step(example)
    if example.startswith("message:"):
        return "do:\n  - notify:\n      to: oncall\n      " + example
    return f"on:\n  {example}" if example.startswith("schedule:") else example


def _step(example: str) -> str:
    lines = example.splitlines()
    return "".join(f"  {line}\n" for line in ([f"- {lines[0]}"] if not lines[0].startswith("-") else lines))


def _item(usual: Mapping[str, str], example: str) -> str:
    """A list's item with the lines of the example, and the usual keys that it leaves out."""
    said = set(re.findall(r"^(\w+):", example, re.MULTILINE))
    lines = [f"{key}: {value}" for key, value in usual.items() if key not in said] + example.splitlines()
    return "".join(f"  {'- ' if index == 0 else '  '}{line}\n" for index, line in enumerate(lines))


def test_every_code_has_an_example() -> None:
    assert EXAMPLES.keys() == CODES.keys()
    assert ELSEWHERE.keys() <= CODES.keys()


@pytest.mark.parametrize("code", [code for code in CODES if code not in ELSEWHERE])
def test_the_example_gives_its_code(tmp_path: Path, code: str) -> None:
    name, text = _file(code, EXAMPLES[code])
    if name.endswith(".test.yaml") and code != "test-rules":
        (tmp_path / "one.rules.yaml").write_text("rules: []\n")
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = load_rules([tmp_path / name], SETTING).problems
    assert {problem.code for problem in found} == {code}, f"{text}\n" + "\n".join(map(str, found))
