"""What the documents show is run, or read as the program would read it; what they point to is there."""

from __future__ import annotations

import ast
import configparser
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fences import Fence, anchors, commands, fences, links
from phinops.config import check_config
from phinops.decide.findings import CODES
from phinops.decide.load import load_rules
from phinops.simulate import load_scenario
from phinops.surface.cli import COMMANDS, phinops
from phinops.surface.trial.session import run_tests
from settings import SETTING

ROOT = Path(__file__).parent.parent
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TYPED = ROOT / "docs" / "tutorial.md"
"""Its examples build on each other: tests/e2e/test_tutorial.py saves and types them in order."""

FENCES = [fence for file in FILES if file != TYPED for fence in fences(file)]

NOT_READ: Mapping[str, str] = {
    "text": "what is printed, or a mistake on purpose",
    "mermaid": "a picture",
}
"""Blocks that nothing here can read, and why."""

RUN = frozenset({"check", "init", "catalog", "schema", "test"})
"""Commands that need no daemon and no Dataphin: these are run as they stand."""

TOOLS = frozenset(
    ["cd", "cp", "install", "journalctl", "jq", "ln", "mkdir", "phinops", "pip", "pytest", "python3", "systemctl", "uv"]
)
"""What else may stand in a block of commands. They change the machine, so that they are not run here."""

HOOKS = frozenset({"deploy", "alertmanager", "gitlab"})
"""The hooks that examples speak of."""

TENANT = """\
[[tenants]]
name = "prod"
endpoint = "https://dataphin-public.cn-shanghai.aliyuncs.com"
op_tenant_id = 30001011
edition = "basic"
access_key_id = { env = "DATAPHIN_ACCESS_KEY_ID" }
access_key_secret = { env = "DATAPHIN_ACCESS_KEY_SECRET" }
"""


def _read_yaml(fence: Fence, folder: Path) -> None:
    """A scenario, a rule file without a mistake and without a warning, or a file of tests that pass."""
    if re.search(r"^(projects|incidents|faults):", fence.text, re.MULTILINE):
        file = folder / "shown.yaml"
        file.write_text(fence.text, encoding="utf-8")
        load_scenario(file)
        return
    kind = "test" if fence.text.startswith("tests:") else "rules"
    _lay_out(fence.file, folder)
    file = folder / f"shown.{kind}.yaml"
    file.write_text(fence.text, encoding="utf-8")
    found = load_rules([file], replace(SETTING, hooks=HOOKS))
    assert [str(problem) for problem in found.problems] == []
    if kind == "test":
        (folder / "hidden").mkdir()
        session = run_tests([file], None, folder / "hidden")
        assert session.passed, [(each.script.name, each.failures) for each in session.results if not each.passed]
    else:
        assert len(found.rules) > 0


def _read_toml(fence: Fence, folder: Path) -> None:
    """A config, or some tables of one, without a mistake."""
    file = folder / "phinops.toml"
    file.write_text(_whole_config(fence.text), encoding="utf-8")
    _, problems = check_config(file)
    assert [str(problem) for problem in problems] == []


def _whole_config(text: str) -> str:
    if "[[tenants]]" in text:
        return text
    tables = re.search(r"^\[", text, re.MULTILINE)
    begin = tables.start() if tables else len(text)
    return text[:begin] + TENANT + text[begin:]


def _read_json(fence: Fence, folder: Path) -> None:
    json.loads(fence.text)


def _read_unit(fence: Fence, folder: Path) -> None:
    """Part of a systemd unit: sections and settings; one setting may stand there several times."""
    unit = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#", ";"))
    unit.read_string(fence.text)
    assert unit.sections()


def _read_python(fence: Fence, folder: Path) -> None:
    compile(fence.text, str(fence), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def _run_commands(fence: Fence, folder: Path) -> None:
    """Commands of phinops are known with all their options, and run where they need nothing else."""
    _lay_out(fence.file, folder)
    found = list(commands(fence))
    assert found
    for words in found:
        tool = words[0].rpartition("/")[2]
        assert tool in TOOLS, f"«{tool}» is not a tool that the documents use"
        if tool != "phinops":
            continue
        _is_known(words[1:])
        if words[1] in RUN and "no-run" not in fence.marks:
            result = CliRunner().invoke(phinops, words[1:])
            assert result.exit_code == 0, f"{words}: {result.output}"


def _is_known(words: list[str]) -> None:
    name, *arguments = words
    if name.startswith("-"):
        assert CliRunner().invoke(phinops, words).exit_code == 0
        return
    assert name in COMMANDS, f"there is no command {name}"
    command = phinops.get_command(click.Context(phinops), name)
    assert command is not None
    command.make_context(name, arguments, resilient_parsing=False)


def _lay_out(file: Path, folder: Path) -> None:
    """What a reader of the README and of this document wrote down: rules and tests in `rules/`, the config beside."""
    (folder / "rules").mkdir(exist_ok=True)
    for shown in (fence for fence in FENCES if fence.file in (FILES[0], file)):
        if shown.language == "yaml" and (first := re.search(r"^  - id: (\S+)", shown.text, re.MULTILINE)):
            for place in (folder, folder / "rules"):
                (place / f"{first[1]}.rules.yaml").write_text(shown.text, encoding="utf-8")
        if shown.language == "yaml" and (
            rules := re.search(r"^    rules: (\S+)\.rules\.yaml", shown.text, re.MULTILINE)
        ):
            (folder / "rules" / f"{rules[1]}.test.yaml").write_text(shown.text, encoding="utf-8")
        if shown.language == "toml" and "[[tenants]]" in shown.text:
            (folder / "phinops.toml").write_text(shown.text, encoding="utf-8")


READERS: Mapping[str, Callable[[Fence, Path], None]] = {
    "yaml": _read_yaml,
    "toml": _read_toml,
    "json": _read_json,
    "ini": _read_unit,
    "python": _read_python,
    "sh": _run_commands,
    "console": _run_commands,
}

NOT_RUN: Mapping[tuple[str, str], str] = {}
"""Blocks marked `no-run`, by file and first line, and why they are not run."""


@pytest.mark.parametrize("fence", FENCES, ids=str)
def test_an_example_works_as_it_is_shown(fence: Fence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PHINOPS_CONFIG", raising=False)
    if fence.language in NOT_READ:
        return
    assert fence.language in READERS, "say how an example of this kind is read"
    assert set(fence.marks) <= {"no-run"}
    if fence.marks:
        assert (fence.file.name, fence.text.splitlines()[0]) in NOT_RUN, "say why it is not run"
    READERS[fence.language](fence, tmp_path)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_link_leads_somewhere(file: Path) -> None:
    for line, target in links(file):
        if target.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        there = file.parent / path if path else file
        assert there.exists(), f"{file.name}:{line}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{file.name}:{line}: {target}"


def test_every_code_of_check_is_explained() -> None:
    explained = anchors(ROOT / "docs" / "check-codes.md")
    assert set(CODES) <= explained


def test_the_readme_names_what_is_not_there_yet_and_not_what_is() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = readme.partition("## What is not there yet")[2].partition("\n## ")[0]
    assert not {name for name in re.findall(r"`([a-z_]+)`", missing) if name in COMMANDS} - {"check", "call"}


def test_the_readme_s_quotas_are_those_that_are_kept() -> None:
    from phinops.catalog.quotas import PLANS

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = {row[0].lower(): row[1:] for row in re.findall(r"^\| (\w+) \| (.+?) \| (.+?) \|$", readme, re.MULTILINE)}
    for edition in ("personal", "agile", "basic", "intelligent"):
        rates, days = (_numbers(cell) for cell in rows[edition])
        assert rates == sorted(PLANS[edition].rates.values()), edition
        assert days == sorted(PLANS[edition].days.values()), edition


def _numbers(cell: str) -> list[int]:
    """The numbers of calls in a cell, without those of levels."""
    bare = re.sub(r"levels? [123](?: and [123])?", "", cell).replace(",", "")
    return sorted(map(int, re.findall(r"\d+", bare)))
