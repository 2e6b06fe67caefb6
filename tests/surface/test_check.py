"""`phinops check`: what people see on a terminal, and rules as they were understood."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from notifiers import CONFIG, RULE
from phinops.surface.cli import phinops

FAULTY = "rules:\n  - id: one\n    on: instance.faild\n    do: [ { notify: { to: oncall, message: x } } ]\n"


def on_a_terminal(folder: Path, *words: str, **variables: str) -> str:
    """What the command writes to a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "60", **variables}
    done = subprocess.run(
        [sys.executable, "-m", "phinops", *words], cwd=folder, stdout=theirs, stderr=subprocess.PIPE, env=environment,
        check=False,
    )  # fmt: skip
    os.close(theirs)
    text = os.read(ours, 65536).decode().replace("\r\n", "\n")
    os.close(ours)
    assert done.returncode == 1
    assert b"1 file: 1 error, 0 warnings" in done.stderr
    return text


def typed(*words: str | os.PathLike[str]) -> Result:
    return CliRunner().invoke(phinops, [os.fspath(word) for word in words])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PHINOPS_CONFIG", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


HEAD = "a.rules.yaml:3:9: unknown-event there is no event «instance.faild»: did you mean «instance.failed»?\n"


def test_a_terminal_shows_the_line_with_a_caret(tmp_path: Path) -> None:
    (tmp_path / "a.rules.yaml").write_text(FAULTY)
    shown = on_a_terminal(tmp_path, "check", "a.rules.yaml", NO_COLOR="1")
    assert shown == HEAD + "      on: instance.faild\n          ^\n"
    assert "\x1b[31m" in on_a_terminal(tmp_path, "check", "a.rules.yaml")


def test_a_pipe_has_one_line_for_each_finding(tmp_path: Path) -> None:
    (tmp_path / "a.rules.yaml").write_text(FAULTY)
    assert typed("check", "a.rules.yaml").stdout == HEAD


def test_rules_are_printed_as_they_were_understood(tmp_path: Path) -> None:
    (tmp_path / "a.rules.yaml").write_text(RULE.replace("TO", "oncall") + "  - { id: two, on: nothing, do: [] }\n")
    (tmp_path / "b.rules.yaml").write_text(RULE.replace("TO", "oncall").replace("id: one", "id: three"))
    result = typed("check", "a.rules.yaml", "b.rules.yaml", "--print")
    assert result.exit_code == 1
    assert "unknown-event" in result.stderr
    first, second = result.stdout.split("# b.rules.yaml\n")
    assert first.startswith("# a.rules.yaml\nrules:\n  - id: one\n    on: instance.failed\n    mode: armed\n")
    (tmp_path / "c.rules.yaml").write_text(second)
    assert typed("check", "c.rules.yaml", "--print").stdout == f"# c.rules.yaml\n{second}"


def test_a_notifier_that_no_rule_needs_is_told_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "phinops.toml").write_text(CONFIG)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.rules.yaml").write_text(RULE.replace("TO", "oncall"))
    whole = typed("check")
    assert whole.exit_code == 0
    assert whole.stdout.startswith("phinops.toml:15:1: unused-notifier no rule tells «night» anything")
    assert typed("check", ".").stdout.startswith("phinops.toml:15:1: unused-notifier")
    assert typed("check", "rules/a.rules.yaml").stdout == ""
